"""What a format cannot hold is refused, or left out on demand; it is never dropped in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.formats.bundle import Bundle
from mmgraph.splits.base import KEYS, UNUSED, Kind, Split

PARTS_TO_LEAVE_OUT = ("columns", "attributes", "modalities", "split_columns", "unused")
"""Columns of nodes, attributes of edges, features or content of nodes, further columns of the split, rows of the split
in no part."""


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

    def split(self, bundle: Bundle, kinds: Collection[Kind], name: str | None) -> Split:
        """The split to write.

        Args:
            bundle: The graph and its splits.
            kinds: Kinds of splits that the format holds.
            name: Which split to write; not needed if there is only one.
        """
        fitting = [key for key, split in bundle.splits.items() if split.kind in kinds]
        if name is None and len(bundle.splits) == len(fitting) == 1:
            name = fitting[0]
        if name is None:
            raise self.refuse(
                bundle.graph.name,
                f"expected one split of kind {' or '.join(kinds)}, got {first_few(list(bundle.splits)) or 'none'}"
                + ("; choose one with split=..." if fitting else ""),
            )
        if name not in fitting:
            raise unknown_choice(f"split of kind {' or '.join(kinds)}", name, fitting)
        return bundle.splits[name]

    def rows(self, graph: str, split: Split, columns: Collection[str], *, unused: bool) -> None:
        """Refuse what a split has beyond its keys and parts, unless the format has a place for it.

        Args:
            graph: Name of the graph.
            split: The split to write.
            columns: Columns, other than the keys, that the format has a place for.
            unused: Whether the format has a place for rows in no part.
        """
        known = {*KEYS[split.kind], "split", *columns}
        others = [column for column in split.table.column_names if column not in known]
        self.leave_out(graph, "split_columns", (f"column {column} of the split" for column in others))
        if not unused and split.counts[UNUSED]:
            self.leave_out(graph, "unused", [f"{split.counts[UNUSED]:,} unused rows of the split"])

    def file_name(self, graph: str, name: str, option: str | None = None) -> str:
        """The name, if files can have it.

        Args:
            graph: Name of the graph.
            name: Part of the name of a file.
            option: The option that gives another name, if there is one.
        """
        if not name or name.startswith(".") or set(name) & set("/\\\0"):
            hint = f"; choose one with {option}=..." if option else ""
            raise self.refuse(graph, f"{name!r} cannot be the name of a file{hint}")
        return name

    def modalities(self, graph: MultimodalGraph, known: Collection[str]) -> Mapping[str, ModalityFeatures]:
        """The features that the format has a place for.

        Args:
            graph: The graph.
            known: Modalities that the format holds.
        """
        others = [modality for modality in graph.features if modality not in known]
        self.leave_out(graph.name, "modalities", (f"modality {modality}" for modality in others))
        return {modality: features for modality, features in graph.features.items() if modality in known}
