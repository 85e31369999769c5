"""Nodes that a few steps lead to."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.neighbourhood import Neighbourhood, neighbourhood_of
from mmgraph.data.relation import Relation
from mmgraph.objectives.hops import hops_from


def make_graph(num_nodes: int, *relations: list[tuple[int, int]]) -> MultimodalGraph:
    edges = {
        f"r{number}": Relation(torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t(), "x", "x")
        for number, pairs in enumerate(relations)
    }
    return MultimodalGraph("g", NodeIds(range(num_nodes)), ("x",), torch.zeros(num_nodes, dtype=torch.int64), edges)


@pytest.mark.parametrize(
    ("nodes", "hops", "expected"),
    [([0], 0, [0]), ([0], 1, [0, 1]), ([0], 2, [0, 1, 2]), ([0], 9, [0, 1, 2, 3]), ([3, 4], 1, [2, 3, 4]), ([], 3, [])],
)
def test_a_path_of_two_relations(nodes: list[int], hops: int, expected: list[int]) -> None:
    graph = make_graph(5, [(0, 1), (3, 2)], [(1, 2)], [])
    assert Neighbourhood(graph).within(np.array(nodes, dtype=np.int64), hops).tolist() == expected


def test_without_relations() -> None:
    assert Neighbourhood(make_graph(3)).within(np.array([1]), 5).tolist() == [1]


NODE = st.integers(0, 11)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NODE, NODE), max_size=20), st.lists(NODE, min_size=1, max_size=3), st.integers(0, 4))
def test_as_by_breadth_first_search(pairs: list[tuple[int, int]], nodes: list[int], hops: int) -> None:
    graph = make_graph(12, pairs[::2], pairs[1::2])
    away = hops_from(torch.tensor(nodes), graph.message_edges()[0], num_nodes=12, cutoff=hops)
    found = Neighbourhood(graph).within(np.array(nodes), hops)
    assert found.tolist() == torch.nonzero(away <= hops).flatten().tolist()


def test_made_once_and_forgotten_with_the_graph() -> None:
    graph = make_graph(2, [(0, 1)])
    assert neighbourhood_of(graph) is neighbourhood_of(graph)
    assert neighbourhood_of(make_graph(2)) is not neighbourhood_of(graph)
    seen = weakref.ref(graph)
    del graph
    gc.collect()
    assert seen() is None
