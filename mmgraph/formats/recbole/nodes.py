"""Users and items: their tokens, and the fields that describe them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.formats.recbole.atomic import AtomicFile


@dataclass(frozen=True, eq=False)
class TokenNodes:
    """The nodes of one type.

    Attributes:
        node_type: Their type.
        tokens: Their tokens, in the order of the file that lists them, else ascending.
        fields: A column per further field, one row per node.
        where: The file that lists them; `None` if they are those that interact.
    """

    node_type: str
    tokens: NodeIds
    fields: pa.Table
    where: str | None

    @classmethod
    def listed(cls, file: AtomicFile, key: str, node_type: str) -> TokenNodes:
        """The nodes that a file lists.

        Raises:
            InputError: If the field of tokens is missing, or a token occurs twice.
        """
        tokens = file.tokens(key)
        refuse_repeats(file, tokens, key)
        return cls(node_type, NodeIds(tokens, where=file.where), file.table.drop_columns([key]), file.where)

    @classmethod
    def seen(cls, columns: Sequence[pa.ChunkedArray], node_type: str) -> TokenNodes:
        """The nodes that occur in any of some columns."""
        chunks = [chunk for column in columns for chunk in column.chunks]
        tokens = sorted(pc.unique(pa.chunked_array(chunks, pa.string())).to_pylist())
        return cls(node_type, NodeIds(pa.array(tokens, pa.string())), pa.table({}), None)

    def rows_of(self, file: AtomicFile, key: str) -> np.ndarray:
        """Number of the node that each row of a file names, `[num_rows]`.

        Raises:
            InputError: If a token is unknown; names the line.
        """
        tokens = file.tokens(key)
        found = self.tokens.find(tokens)
        if (found < 0).any():
            row = int(np.flatnonzero(found < 0)[0])
            raise InputError(f"{file.line(row)}: {self.node_type} {tokens[row].as_py()!r} is not in {self.where}")
        return found


def refuse_repeats(file: AtomicFile, tokens: pa.ChunkedArray, key: str) -> None:
    """Refuse a token that occurs in two rows.

    Raises:
        InputError: Names both lines.
    """
    codes = np.asarray(tokens.combine_chunks().dictionary_encode().indices) if len(tokens) else np.empty(0, np.int64)
    _, first = np.unique(codes, return_index=True)
    if len(first) == len(codes):
        return
    again = int(np.setdiff1d(np.arange(len(codes)), first)[0])
    before = int(np.flatnonzero(codes == codes[again])[0])
    raise InputError(
        f"{file.line(again)}: {key} {tokens[again].as_py()!r} occurs a second time, the first was line "
        f"{file.line(before).rsplit(' ', 1)[1]}"
    )
