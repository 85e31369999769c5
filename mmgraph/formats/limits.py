"""What a format cannot hold is refused, or left out on demand; it is never dropped in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.formats.bundle import Bundle
from mmgraph.splits.base import KEYS, UNUSED, Kind, Split

PARTS_TO_LEAVE_OUT = ("columns", "attributes", "split_columns", "unused")
"""Columns of nodes, attributes of edges, further columns of the split, rows of the split in no part."""


@dataclass(frozen=True)
class Limits:
    """Checks of a writer.

    Attributes:
        format: Name of the format, for messages.
        without: What the user agrees to lose, from `PARTS_TO_LEAVE_OUT`.

    Raises:
        InputError: If `without` names anything else.
    """

    format: str
    without: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in self.without:
            if name not in PARTS_TO_LEAVE_OUT:
                raise unknown_choice("part to leave out", name, PARTS_TO_LEAVE_OUT)

    def refuse(self, graph: str, message: str) -> InputError:
        """The error that says what the format cannot hold."""
        return InputError(f"graph {graph!r} cannot be written as {self.format}: {message}")

    def leave_out(self, graph: str, part: str, names: Iterable[object]) -> None:
        """Refuse these things unless the user agreed to lose them."""
        found = list(names)
        if found and part not in self.without:
            raise self.refuse(graph, f"it has no place for {first_few(found)}; leave them out with without=[{part!r}]")

    def graph(self, bundle: Bundle) -> MultimodalGraph:
        """The graph, which must be encoded and without columns of nodes."""
        graph = bundle.graph
        if not isinstance(graph, MultimodalGraph):
            raise self.refuse(graph.name, "it holds raw content; encode it first")
        columns = [] if graph.columns is None else graph.columns.column_names
        self.leave_out(graph.name, "columns", (f"column {name}" for name in columns))
        return graph

    def relation(self, graph: MultimodalGraph, attributes: Collection[str] = ()) -> tuple[str, Relation]:
        """The only relation, and its name.

        Args:
            graph: The graph.
            attributes: Attributes that the format has a place for.
        """
        if len(graph.relations) != 1:
            raise self.refuse(graph.name, f"expected one relation, got {first_few(list(graph.relations)) or 'none'}")
        name, relation = next(iter(graph.relations.items()))
        others = [key for key in relation.attributes if key not in attributes]
        self.leave_out(graph.name, "attributes", (f"edge attribute {key}" for key in others))
        return name, relation

    def split(
        self, bundle: Bundle, kinds: Collection[Kind], name: str | None, columns: Collection[str], *, unused: bool
    ) -> Split:
        """The split to write.

        Args:
            bundle: The graph and its splits.
            kinds: Kinds of splits that the format holds.
            name: Which split to write; not needed if only one is of these kinds.
            columns: Columns, other than the keys, that the format has a place for.
            unused: Whether the format has a place for rows in no part.
        """
        graph, fitting = bundle.graph.name, [key for key, split in bundle.splits.items() if split.kind in kinds]
        if name is not None and name not in fitting:
            raise unknown_choice(f"split of kind {' or '.join(kinds)}", name, fitting)
        if name is None and len(fitting) != 1:
            raise self.refuse(
                graph,
                f"expected one split of kind {' or '.join(kinds)}, got {first_few(fitting) or 'none'}"
                + ("; choose one with split=..." if fitting else ""),
            )
        split = bundle.splits[name or fitting[0]]
        known = {*KEYS[split.kind], "split", *columns}
        others = [column for column in split.table.column_names if column not in known]
        self.leave_out(graph, "split_columns", (f"column {column} of the split" for column in others))
        if not unused and split.counts[UNUSED]:
            self.leave_out(graph, "unused", [f"{split.counts[UNUSED]:,} unused rows of the split"])
        return split
