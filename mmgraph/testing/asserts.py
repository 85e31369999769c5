"""Assertions about whole graphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation

Graph = MultimodalGraph | RawGraph


def assert_same_graph(actual: Graph, expected: Graph, *, by_id: bool = False) -> None:
    """Assert that two graphs are equal, bit for bit, except what absent rows of features hold.

    Args:
        actual: Graph to check.
        expected: What it must equal.
        by_id: Nodes, edges and relations may come in another order; they are matched by id and by name. Edges of
            symmetric relations may be turned round.

    Raises:
        AssertionError: Names the part that differs.
    """
    assert type(actual) is type(expected)
    assert actual.name == expected.name
    if not by_id:
        assert actual.node_types == expected.node_types
        assert list(actual.relations) == list(expected.relations)
    assert _nodes(actual, by_id) == _nodes(expected, by_id), "ids, types or columns differ"
    assert set(actual.relations) == set(expected.relations)
    for name, relation in expected.relations.items():
        other = actual.relations[name]
        for field in ("source_type", "target_type", "symmetric", "reverse", "num_edges"):
            assert getattr(other, field) == getattr(relation, field), f"relation {name}: {field} differs"
        assert {k: v.dtype for k, v in other.attributes.items()} == {k: v.dtype for k, v in relation.attributes.items()}
        assert _edges(actual, other, by_id) == _edges(expected, relation, by_id), f"edges of {name} differ"
    if isinstance(actual, RawGraph) and isinstance(expected, RawGraph):
        assert set(actual.content) == set(expected.content)
        for name in expected.content:
            assert _content(actual, name, by_id) == _content(expected, name, by_id), f"{name} differs"
    if isinstance(actual, MultimodalGraph) and isinstance(expected, MultimodalGraph):
        _assert_same_features(actual, expected, by_id)


def _order(graph: Graph, by_id: bool) -> np.ndarray:
    return np.argsort(graph.node_ids.values, kind="stable") if by_id else np.arange(graph.num_nodes)


def _nodes(graph: Graph, by_id: bool) -> list[Any]:
    names = [graph.node_types[code] for code in graph.node_type.tolist()]
    rows = graph.columns.to_pylist() if graph.columns is not None else [{}] * graph.num_nodes
    return [(graph.node_ids[i], names[i], rows[i]) for i in _order(graph, by_id).tolist()]


def _edges(graph: Graph, relation: Relation, by_id: bool) -> list[Any]:
    source, target = (graph.node_ids.values[ends].tolist() for ends in relation.edge_index.numpy(force=True))
    attributes = [
        [str(v) for v in relation.attributes[k].tolist()] for k in sorted(relation.attributes)
    ]  # as text, so that NaN equals NaN
    turn = by_id and relation.symmetric
    pairs = [tuple(sorted(pair)) if turn else pair for pair in zip(source, target, strict=True)]
    edges = list(zip(pairs, *attributes, strict=True))
    return sorted(edges) if by_id else edges


def _content(graph: RawGraph, modality: str, by_id: bool) -> list[Any]:
    items = [graph.content[modality][i] for i in _order(graph, by_id).tolist()]
    return [item if item is None or isinstance(item, str) else item.read_bytes() for item in items]


def _assert_same_features(actual: MultimodalGraph, expected: MultimodalGraph, by_id: bool) -> None:
    assert set(actual.features) == set(expected.features)
    for name, features in expected.features.items():
        other = actual.features[name]
        assert other.spec == features.spec
        assert other.values.dtype == features.values.dtype
        bits = [(f.rows().float().numpy(force=True), f.present.numpy(force=True)) for f in (other, features)]
        (a, has_a), (b, has_b) = (
            (v[_order(g, by_id)], p[_order(g, by_id)]) for (v, p), g in zip(bits, (actual, expected), strict=True)
        )
        assert np.array_equal(has_a, has_b), f"{name}: presence differs"
        assert np.array_equal(a[has_a], b[has_b]), f"{name}: values differ"
        assert np.array_equal(other.mean.numpy(force=True), features.mean.numpy(force=True)), f"{name}: means differ"
