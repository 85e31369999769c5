from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.errors import InputError
from mmgraph.tasks.controls import raw_features, raw_query, smoothed_features
from mmgraph.testing.factories import make_graph


def _dense_adjacency(graph: Any) -> torch.Tensor:
    adjacency = torch.zeros(graph.num_nodes, graph.num_nodes)
    for source, target in graph.message_edges()[0].T.tolist():
        adjacency[target, source] += 1
    degree = adjacency.sum(dim=1).clamp(min=1)
    return adjacency / (degree[:, None] * degree[None, :]).sqrt()


def test_raw_features_by_hand() -> None:
    graph = make_graph(missing=0.4)
    table = raw_features(graph)
    text, image = graph.features["text"], graph.features["image"]
    neighbours: dict[int, list[int]] = {i: [] for i in range(graph.num_nodes)}
    for source, target in graph.message_edges()[0].T.tolist():
        neighbours[target].append(source)
    values = torch.zeros(graph.num_nodes, 40)
    for features, block in ((text, slice(0, 16)), (image, slice(16, 40))):
        for i in range(graph.num_nodes):
            if features.present[i]:
                row = features.values[i] - features.values[features.present].mean(dim=0)
                values[i, block] = row / row.norm()
    has = text.present | image.present
    assert not has.all()
    for i in range(graph.num_nodes):
        expected = values[i]
        known = [j for j in neighbours[i] if has[j]]
        if not has[i] and known:
            expected = values[known].mean(dim=0)
        assert torch.allclose(table.vectors[i], expected, atol=1e-5)
    assert table.model == "raw features"
    assert table.node_ids == graph.node_ids


@pytest.mark.parametrize("combine", ["weighted", "concat"])
def test_smoothed_features_by_hand(combine: Any) -> None:
    graph = make_graph(missing=0.4)
    table = smoothed_features(graph, combine=combine)
    adjacency = _dense_adjacency(graph)
    x = raw_features(graph).vectors
    levels = [x, adjacency @ x, adjacency @ adjacency @ x]
    if combine == "weighted":
        expected = 0.5 * levels[0] + levels[1] + 0.5 * levels[2]
    else:
        expected = torch.cat([torch.nn.functional.normalize(level, dim=1) for level in levels], dim=1)
    assert torch.allclose(table.vectors, expected, atol=1e-5)
    assert table.model == {"weighted": "smoothed features", "concat": "smoothed features (concat)"}[combine]


def test_values_behind_absent_rows_change_no_bit() -> None:
    graph = make_graph(missing=0.4)
    other = {
        name: replace(features, values=torch.where(features.present[:, None], features.values, 7.0))
        for name, features in graph.features.items()
    }
    assert math.isnan(float(graph.features["text"].values.sum()))
    for control in (raw_features, smoothed_features):
        assert torch.equal(control(graph).vectors, control(replace(graph, features=other)).vectors)


def test_without_edges_smoothing_keeps_the_features_alone() -> None:
    graph = replace(make_graph(missing=0), relations={})
    assert torch.allclose(smoothed_features(graph).vectors, 0.5 * raw_features(graph).vectors)


def test_destroyed_edges_lower_smoothed_features(setting: Any) -> None:
    task, graph = setting.tasks["community"], setting.graph
    relations = {
        name: replace(relation, edge_index=torch.stack([relation.edge_index[0], relation.edge_index[1].roll(50)]))
        for name, relation in graph.relations.items()
    }
    destroyed = replace(graph, relations=relations)
    # One hop alone, so that the nodes' own features cannot help.
    good = task.evaluate(smoothed_features(graph, (1,), weights=(1.0,)), graph)["accuracy"]
    bad = task.evaluate(smoothed_features(destroyed, (1,), weights=(1.0,)), graph)["accuracy"]
    assert good > bad + 0.2


@pytest.mark.parametrize("combine", ["weighted", "concat"])
def test_users_without_content_lie_near_their_items(combine: Any) -> None:
    # A bipartite graph whose users have no content: a straw man would give cosine 0 to every pair.
    graph = make_graph(200, 600, missing=0)
    is_item = graph.node_type == graph.node_types.index("item")
    features = {name: replace(item, present=item.present & is_item) for name, item in graph.features.items()}
    graph = replace(graph, features=features, relations={"likes": graph.relations["likes"]})
    table = smoothed_features(graph, combine=combine)
    user, item = graph.relations["likes"].edge_index
    unit = torch.nn.functional.normalize(table.vectors, dim=1)
    liked = (unit[user] * unit[item]).sum(dim=1).mean()
    other = (unit[user] * unit[item.roll(37)]).sum(dim=1).mean()
    assert liked > other + 0.1


def test_bad_arguments_are_refused() -> None:
    graph = make_graph()
    with pytest.raises(InputError, match="hops must be ascending"):
        smoothed_features(graph, (1, 0))
    with pytest.raises(InputError, match="3 weights for 2 hops"):
        smoothed_features(graph, (0, 1))
    with pytest.raises(InputError, match="unknown combine 'concta'; choose from: concat"):
        smoothed_features(graph, combine="concta")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no features"):
        raw_features(replace(graph, features={}))


class _Lengths(ModalityEncoder):
    """A text is a row number; its vector is that row of a matrix."""

    def __init__(self, spec: FeatureSpec, values: torch.Tensor) -> None:
        super().__init__(spec, {})
        self.values = values

    def encode(self, items: Sequence[Any]) -> EncodedItems:
        failed = tuple((i, "broken") for i, item in enumerate(items) if item == "bad")
        rows = [0 if item == "bad" else int(item) for item in items]
        return EncodedItems(self.values[rows], failed=failed)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_query_of_a_node_with_one_modality_is_its_raw_vector(modality: str) -> None:
    graph = make_graph(200, 300, missing=0.3)
    features = graph.features[modality]
    encode = raw_query(graph, {modality: _Lengths(features.spec, features.values)}, modality=modality)
    other = graph.features["image" if modality == "text" else "text"]
    alone = torch.nonzero(features.present & ~other.present).flatten()
    queries = [str(i) for i in alone.tolist()]
    assert torch.allclose(encode(queries), raw_features(graph).vectors[alone], atol=1e-6)
    assert torch.equal(encode(queries[::-1]).flip(0), encode(queries))
    tripled = raw_query(graph, {modality: _Lengths(features.spec, features.values)}, modality=modality, copies=3)
    assert tripled(queries).shape == (len(queries), 120)
    with pytest.raises(InputError, match="cannot encode query 'bad': broken"):
        encode(["0", "bad"])


def test_queries_of_other_feature_spaces_are_refused() -> None:
    graph = make_graph()
    spec = FeatureSpec("text", "other", 16)
    with pytest.raises(InputError, match="encoded as 'text__other__16'"):
        raw_query(graph, {"text": _Lengths(spec, torch.zeros(1, 16))})
    with pytest.raises(InputError, match="unknown modality 'sound'"):
        raw_query(graph, {}, modality="sound")
    with pytest.raises(InputError, match="unknown encoder for modality 'text'"):
        raw_query(graph, {})
