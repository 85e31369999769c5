"""Add a table to a store that is there already: the same ids are replaced, new ids are appended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable


def check_compatible(manifest: dict[str, Any], where: object, **expected: Any) -> None:
    """Refuse a store of another model, width, metric or graph: its cosines would mean nothing beside the new ones.

    Args:
        manifest: Manifest of the store.
        where: Path of the store, for the message.
        **expected: Fields of the manifest and their values; `None` accepts any.

    Raises:
        InputError: Names the first field that differs.
    """
    for name, value in expected.items():
        if value is not None and manifest.get(name) != value:
            raise InputError(f"{where}: expected a store of {name} {value!r}, got {manifest.get(name)!r}")


def merge_tables(old: EmbeddingTable, new: EmbeddingTable) -> EmbeddingTable:
    """Rows of the old table in their order, replaced where the new one has the id, then the ids that are new.

    Raises:
        InputError: If one has columns that the other has not, or ids of another kind.
    """
    where = f"embeddings of graph {new.graph!r}"
    if (old.columns is None) != (new.columns is None) or (
        old.columns is not None and new.columns is not None and old.columns.schema.names != new.columns.schema.names
    ):
        names = ["none" if t.columns is None else str(t.columns.column_names) for t in (old, new)]
        raise InputError(f"{where}: expected the columns of the store, {names[0]}, got {names[1]}")
    position = old.node_ids.find(new.node_ids.values, where=where)
    fresh = np.flatnonzero(position < 0)
    # Where the row of the result comes from: a row of `old`, or `len(old)` + a row of `new`.
    source = np.concatenate([np.arange(len(old)), len(old) + fresh])
    known = np.flatnonzero(position >= 0)
    source[position[known]] = len(old) + known
    index = torch.from_numpy(source)
    types = (*old.node_types, *(name for name in new.node_types if name not in old.node_types))
    codes = torch.tensor([types.index(name) for name in new.node_types])[new.node_type.cpu()]
    columns = None
    if old.columns is not None and new.columns is not None:
        columns = _concat(old.columns, new.columns, where).take(pa.array(source)).combine_chunks()
    return replace(
        new,
        node_ids=NodeIds(np.concatenate([old.node_ids.values, new.node_ids.values])[source]),
        vectors=torch.cat([old.vectors.cpu(), new.vectors.detach().cpu()])[index],
        node_types=types,
        node_type=torch.cat([old.node_type.cpu(), codes])[index],
        columns=columns,
    )


def _concat(old: pa.Table, new: pa.Table, where: str) -> pa.Table:
    try:
        return pa.concat_tables([old, new.cast(old.schema)])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(f"{where}: columns of other types than in the store: {str(error).splitlines()[0]}") from None
