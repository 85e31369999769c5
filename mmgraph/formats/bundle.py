"""What a reader of a public benchmark returns: a graph, and apart from it the splits that came along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.splits.base import Split
from mmgraph.splits.message import message_graph

OFFICIAL = "official"
"""Name and method of the split that a benchmark comes with."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A graph and its splits.

    Attributes:
        graph: The graph without labels; edges that a split holds out are already gone from it.
        splits: Splits by name. Labels are the column `label` of a node split, fixed negatives the column `negatives`
            (a list of ids) of an edge split.
        notes: What the reader found and the user should know, one line each.
    """

    graph: MultimodalGraph | RawGraph
    splits: Mapping[str, Split] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def held_out(graph: MultimodalGraph | RawGraph, split: Split) -> tuple[MultimodalGraph | RawGraph, int]:
    """The graph without the edges that a split holds out, and how many it had of them."""
    allowed = message_graph(graph, split)
    before, after = (sum(r.num_edges for r in g.relations.values()) for g in (graph, allowed))
    return allowed, before - after
