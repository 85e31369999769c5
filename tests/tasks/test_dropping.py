from __future__ import annotations

import itertools

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.inference.embed import embed
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.tasks.controls import raw_features, smoothed_features
from mmgraph.tasks.dropping import drop_modality, isolate
from mmgraph.testing.factories import make_graph


def test_larger_shares_hide_more_of_the_same_nodes_and_nothing_else() -> None:
    graph = make_graph()
    before = graph.features["text"]
    seen = [drop_modality(graph, "text", share, seed=3) for share in (0.0, 0.25, 0.5, 1.0)]
    masks = [dropped.features["text"].present for dropped in seen]
    count = int(before.present.sum())
    assert [int(mask.sum()) for mask in masks] == [count - round(share * count) for share in (0, 0.25, 0.5, 1)]
    for more, fewer in itertools.pairwise(masks):
        assert bool((more | ~fewer).all())
    for dropped in seen:
        assert torch.equal(dropped.features["text"].mean, before.mean)
        assert dropped.features["text"].values is before.values
        assert dropped.features["image"] is graph.features["image"]
        assert dropped.relations is graph.relations
    assert int(before.present.sum()) == count


def test_the_seed_chooses_the_nodes() -> None:
    graph = make_graph(400, 500)
    masks = [drop_modality(graph, "text", 0.5, seed).features["text"].present for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_a_hidden_row_is_never_read() -> None:
    graph = make_graph(missing=0.0)
    dropped = drop_modality(graph, "text", 1.0, seed=0)
    width = graph.features["text"].spec.dim
    assert bool((raw_features(dropped).vectors[:, :width] == 0).all())
    assert torch.equal(raw_features(dropped).vectors[:, width:], raw_features(graph).vectors[:, width:])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_wrong_shares_are_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"0\.\.1"):
        drop_modality(make_graph(), "text", share, seed=0)


def test_an_unknown_modality_is_refused() -> None:
    with pytest.raises(InputError, match="'audio'"):
        drop_modality(make_graph(), "audio", 0.5, seed=0)


def test_isolated_nodes_lose_all_edges_and_others_none() -> None:
    graph = make_graph()
    nodes = torch.tensor([3, 8, 3])
    alone = isolate(graph, nodes)
    for name, relation in graph.relations.items():
        touched = torch.isin(relation.edge_index, nodes).any(dim=0)
        assert torch.equal(alone.relations[name].edge_index, relation.edge_index[:, ~touched])
        for key, values in relation.attributes.items():
            assert torch.equal(alone.relations[name].attributes[key], values[~touched])
    assert alone.num_edges < graph.num_edges
    mask = torch.zeros(graph.num_nodes, dtype=torch.bool)
    mask[nodes] = True
    again = isolate(graph, mask)
    assert all(torch.equal(again.relations[k].edge_index, alone.relations[k].edge_index) for k in graph.relations)


def test_many_isolated_nodes_are_each_as_if_isolated_alone() -> None:
    graph = make_graph(missing=0.0)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(dim=16), [graph])
    encoder.reset_parameters(torch.Generator().manual_seed(1), zero_init=False)  # type: ignore[call-arg]
    both = embed(encoder, isolate(graph, torch.tensor([5, 6]))).vectors
    one = embed(encoder, isolate(graph, torch.tensor([5]))).vectors
    torch.testing.assert_close(both[5], one[5])
    smoothed = smoothed_features(isolate(graph, torch.tensor([5]))).vectors[5]
    torch.testing.assert_close(smoothed, 0.5 * raw_features(graph).vectors[5])


@pytest.mark.parametrize("nodes", [torch.tensor([-1]), torch.tensor([40]), torch.zeros(3, dtype=torch.bool)])
def test_nodes_that_are_not_there_are_refused(nodes: torch.Tensor) -> None:
    with pytest.raises(InputError, match="got"):
        isolate(make_graph(), nodes)


def test_no_nodes_change_nothing() -> None:
    graph = make_graph()
    assert isolate(graph, torch.empty(0, dtype=torch.int64)).num_edges == graph.num_edges
