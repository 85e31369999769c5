"""What every objective must do. A new objective is tested here as soon as it is in the mix."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mmgraph.data.batch import GraphBatch
from mmgraph.errors import InputError
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.objectives.base import BatchViews, MaskConfig, Objective
from mmgraph.objectives.mix import ObjectiveMix, ObjectivesConfig
from mmgraph.testing.factories import make_graph

DIM = 16
NAMES = [field.name for field in dataclasses.fields(ObjectivesConfig)]


def only(name: str) -> ObjectivesConfig:
    """All weights 0 but one."""
    default = ObjectivesConfig()
    settings = {n: dataclasses.replace(getattr(default, n), weight=float(n == name)) for n in NAMES}
    return ObjectivesConfig(**settings)


def build(name: str, batch: GraphBatch) -> tuple[GraphEncoder, ObjectiveMix]:
    torch.manual_seed(0)
    specs = [features.spec for features in batch.features.values()]
    config = EncoderConfig(dim=DIM, moe=MoEConfig(num_experts=4), gnn=GNNConfig(num_layers=2, heads=2))
    return GraphEncoder(config, specs), ObjectiveMix(only(name), DIM, {batch.graph_name: specs})


def views(encoder: GraphEncoder, batch: GraphBatch, seed: int = 0) -> BatchViews:
    return BatchViews(encoder, batch, mask=MaskConfig(node_rate=0.5), seed=seed)


def test_every_objective_is_in_the_mix() -> None:
    def subclasses(cls: type) -> set[type]:
        return {s for c in cls.__subclasses__() for s in {c, *subclasses(c)}}

    in_mix = {type(o) for name in NAMES for o in build(name, GraphBatch.whole(make_graph()))[1].objectives.values()}
    ours = {cls for cls in subclasses(Objective) if cls.__module__.startswith("mmgraph.")}
    assert ours == in_mix
    assert {cls.name for cls in in_mix} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_a_finite_scalar_and_gradients_reach_every_part(name: str) -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=60, num_edges=150))
    encoder, mix = build(name, batch)
    loss, parts = mix(views(encoder, batch))
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert loss.item() > 0
    assert list(parts) == [name]
    loss.backward()
    for module in (encoder, mix):
        for parameter_name, parameter in module.named_parameters():
            if "gate" in parameter_name or "router" in parameter_name:
                continue
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name: str) -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=60, num_edges=150))
    encoder, mix = build(name, batch)
    first, again, other = (mix(views(encoder, batch, seed))[0].item() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "settings",
    [
        {"num_nodes": 12, "num_edges": 0},
        {"num_nodes": 1, "num_edges": 0},
        {"num_nodes": 20, "num_edges": 40, "modalities": ()},
        {"num_nodes": 20, "num_edges": 40, "missing": 1.0},
        {"num_nodes": 20, "num_edges": 40, "modalities": (("text", 8),)},
    ],
    ids=["no edges", "one node", "no modality", "nothing present", "one modality"],
)
def test_poor_graphs_give_a_finite_loss(name: str, settings: dict) -> None:
    batch = GraphBatch.whole(make_graph(**settings))
    encoder, mix = build(name, batch)
    loss, _ = mix(views(encoder, batch))
    assert torch.isfinite(loss)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_training_lowers_the_loss(name: str) -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=60, num_edges=150))
    encoder, mix = build(name, batch)
    optimizer = torch.optim.Adam([*encoder.parameters(), *mix.parameters()], lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = mix(views(encoder, batch))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_all_weights_zero_is_refused() -> None:
    with pytest.raises(InputError, match="at least one weight must be above 0"):
        build("nothing", GraphBatch.whole(make_graph()))
