from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.splits.base import Split
from mmgraph.splits.message import message_graph

IDS = ["a", "b", "c", "d"]


def graph_of(**relations: Any) -> MultimodalGraph:
    """Relations as lists of edges like `ab`, or `ab5` with a time; `=` in front marks a symmetric one."""
    found = {}
    for name, (edges, reverse) in relations.items():
        symmetric, edges = edges.startswith("="), edges.removeprefix("=").split()
        ends = torch.tensor([[IDS.index(edge[side]) for edge in edges] for side in (0, 1)], dtype=torch.int64)
        times = {"time": torch.tensor([int(edge[2:]) for edge in edges])} if edges and edges[0][2:] else {}
        found[name] = Relation(ends, "node", "node", symmetric, times, reverse)
    return MultimodalGraph("g", NodeIds(IDS), ("node",), torch.zeros(4, dtype=torch.int64), found)


def split_of(*rows: str, **settings: Any) -> Split:
    """Rows like `ab r test` or `ab5 r test`."""
    cells = [row.split() for row in rows]
    columns = {
        "source": [edge[0] for edge, _, _ in cells],
        "target": [edge[1] for edge, _, _ in cells],
        "relation": [relation for _, relation, _ in cells],
        "split": [part for _, _, part in cells],
    }
    if cells[0][0][2:]:
        columns["time"] = [int(edge[2:]) for edge, _, _ in cells]  # type: ignore[misc]
    return Split("edge", pa.table(columns), "official", settings)


def edges_of(graph: MultimodalGraph) -> dict[str, str]:
    return {
        name: " ".join(IDS[a] + IDS[b] for a, b in relation.edge_index.T.tolist())
        for name, relation in graph.relations.items()
    }


def test_every_way_to_tell_a_pair_is_closed() -> None:
    graph = graph_of(
        r=("ab ba cd", "q"),
        q=("ba ab dc", "r"),
        s=("=ab cd", None),
        other=("ba bc", None),
    )
    split = split_of("ab r test", "cd r train")
    assert edges_of(message_graph(graph, split)) == {"r": "cd", "q": "dc", "s": "cd", "other": "bc"}
    by_relation = split_of("ab r test", "cd r train", together="relation")
    expected = {"r": "cd", "q": "dc", "s": "ab cd", "other": "ba bc"}
    assert edges_of(message_graph(graph, by_relation)) == expected


def test_unused_rows_go_in_every_form_but_do_not_take_the_pair_along() -> None:
    graph = graph_of(r=("ab ba", "q"), q=("ba ab", "r"), s=("=ba", None))
    assert edges_of(message_graph(graph, split_of("ab r unused"))) == {"r": "ba", "q": "ab", "s": "ba"}
    assert edges_of(message_graph(graph, split_of("ab s unused"))) == {"r": "ab ba", "q": "ba ab", "s": ""}


def test_times_tell_rows_apart() -> None:
    graph = graph_of(r=("ab1 ab9 cd1", None))
    split = split_of("ab1 r train", "ab9 r unused", "cd1 r train")
    assert message_graph(graph, split).relations["r"].attributes["time"].tolist() == [1, 1]
    floats = replace(graph.relations["r"], attributes={"time": torch.tensor([1.0, 9.0, 1.5])})
    as_floats = replace(graph, relations={"r": floats})
    assert message_graph(as_floats, split).relations["r"].attributes["time"].tolist() == [1, 1.5]
    no_times = replace(graph, relations={"r": replace(graph.relations["r"], attributes={})})
    message = "tells edges apart by time, but relation 'r' has no complete attribute 'time'"
    with pytest.raises(InputError, match=message):
        message_graph(no_times, split)
    # A relation that the split does not hold anything of needs no times.
    assert edges_of(message_graph(no_times, split_of("ab1 t unused")))["r"] == "ab ab cd"


def test_stages() -> None:
    graph = graph_of(r=("ab bc cd", None))
    split = split_of("ab r train", "bc r valid", "cd r test")
    for stage in ("train", "valid", "test"):
        assert edges_of(message_graph(graph, split, stage)) == {"r": "ab"}  # type: ignore[arg-type]
    assert edges_of(message_graph(graph, split, "test", with_valid=True)) == {"r": "ab bc"}
    with pytest.raises(InputError, match="may carry messages at the test only, got stage 'valid'"):
        message_graph(graph, split, "valid", with_valid=True)
    with pytest.raises(InputError, match="unknown stage 'tst'; choose from: test"):
        message_graph(graph, split, "tst")  # type: ignore[arg-type]


def test_a_pair_in_two_parts_counts_as_held_out() -> None:
    # Official splits are not always clean; then the graph is.
    graph = graph_of(r=("ab ba cd", None))
    split = split_of("ab r train", "ba r test", "cd r valid")
    assert edges_of(message_graph(graph, split)) == {"r": ""}
    assert edges_of(message_graph(graph, split, "test", with_valid=True)) == {"r": "cd"}


def test_splits_of_nodes_and_unknown_nodes() -> None:
    graph = graph_of(r=("ab", None))
    nodes = Split("node", pa.table({"id": ["a"], "split": ["test"]}), "random")
    assert message_graph(graph, nodes) is graph
    with pytest.raises(InputError, match="edge split 'official', column 'target': 1 unknown ids: 'x'"):
        message_graph(graph, split_of("ax r test"))
