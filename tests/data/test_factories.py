from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph, make_raw_graph


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(1, 0), (2, 1), (3, 3), (40, 120), (2_000, 6_000)])
def test_sizes_are_as_asked_and_edges_distinct(num_nodes: int, num_edges: int) -> None:
    graph = make_graph(num_nodes, num_edges)
    assert (graph.num_nodes, graph.num_edges) == (num_nodes, num_edges)
    for relation in graph.relations.values():
        pairs = [tuple(sorted(p)) if relation.symmetric else tuple(p) for p in relation.edge_index.T.tolist()]
        assert len(set(pairs)) == len(pairs)
        assert all(a != b for a, b in pairs)


def test_same_seed_same_graph() -> None:
    assert_same_graph(make_graph(seed=3), make_graph(seed=3))
    with pytest.raises(AssertionError):
        assert_same_graph(make_graph(seed=3), make_graph(seed=4))


def test_communities_are_planted_in_edges_and_features() -> None:
    graph = make_graph(400, 1200, missing=0.0)
    assert graph.columns is not None
    community = torch.tensor(graph.columns["community"].to_pylist())
    source, target = graph.message_edges()[0]
    assert 0.6 < (community[source] == community[target]).float().mean() < 0.9  # 0.25 by chance
    values = graph.features["text"].centred()
    same = community[:, None] == community
    similarity = values @ values.T
    assert similarity[same].mean() > similarity[~same].mean() + 0.3


@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_missing_rows_are_nan(missing: float) -> None:
    text = make_graph(2_000, 0, missing=missing).features["text"]
    assert abs(float((~text.present).float().mean()) - missing) < 0.05
    assert text.values[~text.present].isnan().all()


def test_too_many_edges() -> None:
    with pytest.raises(ValueError, match="asked for 2 edges between 2 and 2 nodes"):
        make_graph(2, 2)


def test_raw_graph_draws_images(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path, 20)
    texts, images = raw.content["text"], raw.content["image"]
    assert texts[0] is not None
    assert images[0] is not None
    assert 0 < sum(text is None for text in texts) < 20
    modes = set()
    for kind, text, path in zip(raw.node_type.tolist(), texts, images, strict=True):
        assert raw.node_types[kind] == "item" or (text is None and path is None)
        if path is not None:
            with Image.open(path) as image:
                assert image.size == (32, 32)
                modes.add(image.mode)
    assert modes == {"RGB", "RGBA"}
