from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.errors import InputError
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.moe import MoEConfig
from mmgraph.testing.factories import randomise

CONFIGS: dict[str, dict[str, Any]] = {
    "gat": {"gnn": GNNConfig(conv="gat")},
    "sage": {"gnn": GNNConfig(conv="sage")},
    "lineage": {"gnn": GNNConfig(conv="gat", zero_init=False), "moe": MoEConfig(zero_init=False)},
    "bare": {
        "gnn": GNNConfig(conv="gat", residual=False, norm=False, self_loops=False, zero_init=False),
        "moe": MoEConfig(residual=False, zero_init=False),
    },
    "no experts": {"gnn": GNNConfig(conv="gat"), "moe": MoEConfig(num_experts=0)},
    "no layers": {"gnn": GNNConfig(conv="gat", num_layers=0)},
    "all experts": {"gnn": GNNConfig(conv="gat"), "moe": MoEConfig(num_experts=3, top_k=3)},
}


def encoder_for(features: dict[str, ModalityFeatures], **config: Any) -> GraphEncoder:
    config.setdefault("gnn", GNNConfig(conv="gat"))
    return randomise(GraphEncoder(EncoderConfig(dim=16, **config), [item.spec for item in features.values()]))


def edges(num_nodes: int = 30, num_edges: int = 120) -> Tensor:
    return torch.randint(max(num_nodes - 1, 1), (2, num_edges))


@pytest.fixture(params=CONFIGS, name="config")
def _config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CONFIGS[request.param]


@pytest.mark.parametrize("conv", ["gat", "sage"])
def test_a_zero_initialised_network_starts_at_the_features(make_features, conv: Any) -> None:
    features, edge_index = make_features(), edges()
    config = EncoderConfig(dim=16, gnn=GNNConfig(conv=conv))
    encoder = GraphEncoder(config, [item.spec for item in features.values()])
    output = encoder(features, edge_index)
    assert torch.equal(output.embedding, encoder.fusion(features))
    (output.embedding * torch.randn(30, 16)).sum().backward()
    for name, parameter in encoder.named_parameters():
        if name.endswith(("experts.weight_out", "conv.weight", "neighbours.weight", "own.weight")):
            assert parameter.grad.any(), f"{name} is zero and must be able to leave it"


@pytest.mark.parametrize("part", [GNNConfig, MoEConfig])
def test_zero_init_without_residual_is_refused(part: Any) -> None:
    with pytest.raises(InputError, match="zero_init needs"):
        part(residual=False)


def test_order_of_nodes_and_edges_does_not_matter(make_features, config: dict[str, Any]) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features, **config).double()
    expected = encoder(features, edge_index).embedding
    node_order, edge_order = torch.randperm(30), torch.randperm(120)
    shuffled = {name: item.take(node_order) for name, item in features.items()}
    new_position = torch.empty_like(node_order).index_copy_(0, node_order, torch.arange(30))
    out = encoder(shuffled, new_position[edge_index][:, edge_order]).embedding
    torch.testing.assert_close(out, expected[node_order], rtol=1e-9, atol=1e-9)


def test_garbage_behind_absent_masks_changes_no_bit_and_no_gradient(make_features, config: dict[str, Any]) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features, **config)
    masked = {"text": torch.rand(30) < 0.3}

    def run(given: dict[str, ModalityFeatures]) -> list[Tensor]:
        encoder.zero_grad()
        output = encoder(given, edge_index, masked=masked)
        (output.embedding.square().sum() + output.routing.balance_loss).backward()
        return [output.embedding.detach(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]

    dirty = {}
    for name, item in features.items():
        values = item.values.clone()
        hidden = ~item.present | masked.get(name, torch.zeros(30, dtype=torch.bool))
        values[hidden] = torch.tensor([torch.nan, torch.inf])[torch.randint(2, (int(hidden.sum()), item.spec.dim))]
        dirty[name] = replace(item, values=values)
    clean, after = run(features), run(dirty)
    assert len(clean) == len(after)
    for a, b in zip(clean, after, strict=True):
        assert torch.equal(a, b)


def test_two_runs_are_equal_to_the_bit(make_features, config: dict[str, Any]) -> None:
    features, edge_index = make_features(400), edges(400, 5000)
    encoder = encoder_for(features, **config)

    def run() -> list[Tensor]:
        encoder.zero_grad()
        output = encoder(features, edge_index)
        output.embedding.square().sum().backward()
        return [output.embedding.detach(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]

    for a, b in zip(run(), run(), strict=True):
        assert torch.equal(a, b)


def test_gradients_reach_every_parameter(make_features, config: dict[str, Any]) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features, **config)
    output = encoder(features, edge_index)
    (output.embedding * torch.randn(30, 16)).sum().add(output.routing.balance_loss).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        if name == "fusion.tokens":
            assert bool(parameter.grad[1:].any(dim=1).all()), "the tokens of both modalities are in use"
            assert not parameter.grad[0].any(), "the empty token is not"
        else:
            assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("name", ["gat", "sage", "bare"])
@pytest.mark.parametrize("training", [True, False])
def test_layers_between_ranges_equal_the_full_pass(make_features, name: str, training: bool) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features, **CONFIGS[name]).train(training)
    levels = encoder(features, edge_index).levels
    assert len(levels) == encoder.num_layers + 1
    for number in range(encoder.num_layers):
        for start, stop in ((0, 30), (0, 11), (11, 29), (29, 30)):
            inside = (edge_index[1] >= start) & (edge_index[1] < stop)
            sources, local = edge_index[0, inside].unique(return_inverse=True)
            targets = torch.arange(start, stop)
            x = levels[number]
            bipartite = torch.stack([local, edge_index[1, inside] - start])
            out = encoder.layer(number, x[sources], x[targets], bipartite)
            torch.testing.assert_close(out, levels[number + 1][start:stop], rtol=1e-5, atol=1e-6)
        whole = encoder.layer(number, levels[number], levels[number], edge_index)
        torch.testing.assert_close(whole, levels[number + 1], rtol=1e-5, atol=1e-6)


def test_edges_sorted_before_give_the_same_bits(make_features) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features)
    graph = MessageGraph.from_edges(edge_index, 30, 30)
    assert torch.equal(encoder(features, graph).embedding, encoder(features, edge_index).embedding)


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(0, 0), (1, 0), (1, 2), (30, 0), (2, 1)])
def test_tiny_graphs(make_features, config: dict[str, Any], num_nodes: int, num_edges: int) -> None:
    features = make_features(num_nodes)
    encoder = encoder_for(features, **config)
    output = encoder(features, edges(num_nodes, num_edges) if num_nodes else torch.empty(2, 0, dtype=torch.int64))
    output.embedding.sum().backward()
    assert output.embedding.shape == (num_nodes, 16)
    assert bool(output.embedding.isfinite().all())


def test_isolated_nodes_do_not_depend_on_others(make_features) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features)
    alone = {name: item.take(torch.tensor([29])) for name, item in features.items()}
    out = encoder(alone, torch.empty(2, 0, dtype=torch.int64)).embedding
    torch.testing.assert_close(out[0], encoder(features, edge_index).embedding[29])


def test_graph_without_features(make_features) -> None:
    encoder = encoder_for(make_features())
    out = encoder({}, edges(), num_nodes=30).embedding
    assert out.shape == (30, 16)
    out.square().sum().backward()
    assert encoder.fusion.tokens.grad[0].any()


def test_encoder_without_specs() -> None:
    encoder = GraphEncoder(EncoderConfig(dim=16, gnn=GNNConfig(conv="gat")), [])
    assert encoder({}, edges(), num_nodes=30).embedding.shape == (30, 16)


def test_unknown_spec_is_refused_with_the_known_ones(make_features) -> None:
    features = make_features()
    encoder = GraphEncoder(EncoderConfig(dim=16, gnn=GNNConfig(conv="gat")), [features["text"].spec])
    with pytest.raises(InputError, match="'image__fake__24'; it knows: 'text__fake__16'"):
        encoder(features, edges())


def test_order_of_specs_does_not_matter(make_features) -> None:
    specs = [item.spec for item in make_features().values()]
    states = []
    for order in (specs, [*specs[::-1], specs[0]]):
        torch.manual_seed(1)
        states.append(GraphEncoder(EncoderConfig(dim=16, gnn=GNNConfig(conv="gat")), order).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_reset_with_generator_is_repeatable_and_leaves_the_global_one(make_features) -> None:
    encoder = encoder_for(make_features())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    encoder.reset_parameters(torch.Generator().manual_seed(5))
    first = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(7.0)
    encoder.reset_parameters(torch.Generator().manual_seed(5))
    assert all(torch.equal(first[name], value) for name, value in encoder.state_dict().items())
    assert any(not torch.equal(first[name], value) for name, value in before.items())
    encoder.reset_parameters()
    assert not torch.equal(encoder.fusion.tokens, first["fusion.tokens"])


def test_dropout_acts_in_training_only(make_features) -> None:
    features, edge_index = make_features(), edges()
    encoder = encoder_for(features, gnn=GNNConfig(conv="gat", dropout=0.5))
    assert not torch.equal(encoder(features, edge_index).embedding, encoder(features, edge_index).embedding)
    encoder.eval()
    assert torch.equal(encoder(features, edge_index).embedding, encoder(features, edge_index).embedding)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"dim": 10, "gnn": GNNConfig(conv="gat")}, "multiple of gnn.heads, got dim 10 and 4 heads"),
    ],
)
def test_bad_config(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncoderConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"conv": "gcn"}, "must be 'sign', 'gat' or 'sage', got 'gcn'"),
        ({"num_layers": -1}, "num_layers must be 0 or more"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"level_weights": ()}, r"level_weights must be one to three numbers, got \[\]"),
        ({"hidden_mult": 0.0}, "hidden_mult must be positive, got 0.0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
    ],
)
def test_bad_gnn_config(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GNNConfig(**values)
