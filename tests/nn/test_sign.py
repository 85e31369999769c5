"""The network over blocks: where it starts, what it accepts, how it travels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.embed import embed
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.nn.saving import encoder_digest, load_encoder, save_encoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.seeding import generator
from mmgraph.tasks.controls import smoothed_features
from mmgraph.testing.factories import make_graph, randomise


def build(graph: MultimodalGraph, dim: int = 16, **gnn: Any) -> SignEncoder:
    config = EncoderConfig(dim=dim, moe=MoEConfig(num_experts=3), gnn=GNNConfig(conv="sign", **gnn))
    torch.manual_seed(0)
    encoder = build_encoder(config, [graph])
    assert isinstance(encoder, SignEncoder)
    return encoder


def unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1)


def test_untrained_it_is_the_smoothed_control() -> None:
    graph = make_graph(modalities=(("text", 16),), missing=0.2)
    expected = smoothed_features(graph).vectors
    # The control fills nodes without content with a plain mean, here it has unit length: compare nodes that see none.
    found = embed(build(graph), graph).vectors
    full = make_graph(modalities=(("text", 16),), missing=0.0)
    torch.testing.assert_close(
        unit(embed(build(full), full).vectors), unit(smoothed_features(full).vectors), atol=1e-5, rtol=0
    )
    assert torch.nn.functional.cosine_similarity(found, expected).mean() > 0.95


def test_a_random_correction_is_no_control() -> None:
    graph = make_graph()
    encoder = build(graph)
    before = embed(encoder, graph).vectors
    encoder.reset_parameters(generator(0, "test"), zero_init=False)
    after = embed(encoder, graph).vectors
    assert torch.nn.functional.cosine_similarity(before, after).mean() < 0.9
    encoder.reset_parameters(generator(0, "test"), zero_init=False)
    assert torch.equal(embed(encoder, graph).vectors, after)


def test_ranges_do_not_change_the_result() -> None:
    graph = make_graph()
    encoder = randomise(build(graph))
    torch.testing.assert_close(embed(encoder, graph, num_ranges=7).vectors, embed(encoder, graph).vectors)


def test_each_of_several_graphs_has_a_correction_of_its_own() -> None:
    first, second = make_graph(name="first"), make_graph(name="second")
    torch.manual_seed(0)
    config = EncoderConfig(dim=16, moe=MoEConfig(num_experts=3), gnn=GNNConfig(conv="sign"))
    encoder = build_encoder(config, [first, second])
    assert isinstance(encoder, SignEncoder)
    assert len(encoder.graph_out) == 2
    assert len(build(first).graph_out) == 0
    randomise(encoder)
    before = [embed(encoder, graph).vectors for graph in (first, second)]
    query = encoder.encode_content(first.features, first.num_nodes, graph_name="first").embedding
    with torch.no_grad():
        encoder.graph_out[0].weight += 1.0
    assert not torch.allclose(embed(encoder, first).vectors, before[0])
    assert torch.equal(embed(encoder, second).vectors, before[1])
    assert not torch.allclose(
        encoder.encode_content(first.features, first.num_nodes, graph_name="first").embedding, query
    )


def test_extending_to_a_new_graph_changes_nothing_at_first(tmp_path: Path) -> None:
    first = make_graph(name="first", modalities=(("text", 16),))
    new = make_graph(name="another", modalities=(("image", 12), ("text", 20)))
    new = replace(new, relations={f"new {name}": relation for name, relation in new.relations.items()})
    for encoder in (build(first), build_encoder(build(first).config, [first, replace(first, name="second")])):
        assert isinstance(encoder, SignEncoder)
        randomise(encoder).eval()
        old = embed(encoder, first).vectors
        encoder.adopt(new.features.values())
        before = embed(encoder, new).vectors
        encoder.extend(new)
        assert torch.equal(embed(encoder, first).vectors, old)
        torch.testing.assert_close(embed(encoder, new).vectors, before)
        embed_with_gradient = encoder(encoder.graph_blocks(new).gather(torch.arange(new.num_nodes))).embedding
        embed_with_gradient.sum().backward()
        for key in set(encoder.relations) - set(build(first).relations):
            weight = encoder.relation_in[encoder.relations.index(key)].weight
            assert weight.grad is not None
            assert bool(weight.grad.any())
        folder = tmp_path / str(len(encoder.graphs))
        save_encoder(encoder, folder)
        assert encoder_digest(load_encoder(folder)) == encoder_digest(encoder)


def test_all_levels_are_the_inputs_and_the_embedding() -> None:
    graph = make_graph()
    encoder = randomise(build(graph))
    every, last = embed(encoder, graph, level="all").vectors, embed(encoder, graph).vectors
    assert every.shape == (graph.num_nodes, 64)
    torch.testing.assert_close(every[:, 48:], unit(last))
    torch.testing.assert_close(every[:, :16], encoder.graph_blocks(graph).x)


def test_content_alone_is_a_node_without_edges() -> None:
    graph = make_graph(num_edges=0, missing=0.4)
    encoder = randomise(build(graph))
    output = encoder.encode_content(graph.features, graph.num_nodes)
    torch.testing.assert_close(output.embedding, embed(encoder, graph).vectors)


@pytest.mark.parametrize("options", [{}, {"structure": False, "relations": False}, {"level_weights": (1.0,)}])
def test_round_trip(options: dict[str, Any], tmp_path: Path) -> None:
    graph = make_graph()
    encoder = randomise(build(graph, **options))
    loaded = load_encoder(save_encoder(encoder, tmp_path / "model"))
    assert encoder_digest(loaded) == encoder_digest(encoder)
    assert torch.equal(embed(loaded, graph).vectors, embed(encoder, graph).vectors)


def test_a_graph_of_other_relations_and_encoders_is_embedded(tmp_path: Path) -> None:
    encoder = randomise(build(make_graph(modalities=(("text", 16),))))
    other = make_graph(name="other", modalities=(("text", 16), ("image", 24)), seed=3)
    relations = {"new": replace(next(iter(other.relations.values())))}
    other = replace(other, relations=relations)
    with pytest.raises(InputError, match=r"no alignment for features 'image__fake__24'; it knows: 'text__fake__16'"):
        embed(encoder, other)
    known = embed(encoder, replace(other, features={"text": other.features["text"]})).vectors
    encoder.adopt(other.features.values())
    table = embed(encoder, other)
    assert torch.isfinite(table.vectors).all()
    assert not torch.allclose(table.vectors, known)
    loaded = load_encoder(save_encoder(encoder, tmp_path / "model"))
    assert torch.equal(embed(loaded, other).vectors, table.vectors)


def test_alignment_keeps_products_of_a_wide_space() -> None:
    base = torch.randn(300, 10, generator=generator(0)) @ torch.randn(10, 40, generator=generator(1))
    features = ModalityFeatures(FeatureSpec("text", "wide", 40), base, torch.ones(300, dtype=torch.bool))
    graph = replace(make_graph(num_nodes=300), features={"text": features})
    aligned = build(graph, dim=12).alignment(features)
    torch.testing.assert_close(aligned @ aligned.t(), features.centred() @ features.centred().t(), atol=1e-4, rtol=0)


def test_garbage_behind_absent_masks_changes_nothing() -> None:
    graph = make_graph(missing=0.5)  # absent rows are NaN
    encoder = randomise(build(graph))
    features = {
        name: replace(item, values=torch.where(item.present.unsqueeze(1), item.values, 7.0))
        for name, item in graph.features.items()
    }
    assert torch.equal(embed(encoder, graph).vectors, embed(encoder, replace(graph, features=features)).vectors)


@pytest.mark.parametrize("change", [{"num_edges": 0}, {"num_nodes": 1, "num_edges": 0}, {"modalities": ()}])
def test_poor_graphs(change: dict[str, Any]) -> None:
    graph = make_graph(**change)
    assert torch.isfinite(embed(randomise(build(graph)), graph).vectors).all()
