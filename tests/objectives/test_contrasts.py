"""Contrastive losses: their values on vectors made by hand, and that nothing collapses."""

from __future__ import annotations

import math

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.sign import SignEncoder
from mmgraph.objectives.base import MaskConfig
from mmgraph.objectives.links import Links, LinksConfig, Memory
from mmgraph.objectives.node_views import GraphEdges, NodeViews
from mmgraph.objectives.views import Views, ViewsConfig, keep_modalities
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph


def test_info_nce_by_hand() -> None:
    objective = Links(LinksConfig(temperature=0.5), 2, {})
    query, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    candidates = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    is_negative = torch.tensor([[True, True, False]])
    loss = objective._contrast(query, positive, candidates, is_negative)
    expected = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(0.0) + math.exp(-2.0)))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_hardness_moves_weight_to_near_negatives_and_keeps_the_sum_of_weights() -> None:
    query, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    candidates = torch.tensor([[0.8, 0.6], [-0.8, 0.6], [0.0, 1.0]])
    is_negative = torch.tensor([[True, True, False]])
    plain, hard = (
        Links(LinksConfig(temperature=0.5, hardness=hardness), 2, {})._contrast(
            query, positive, candidates, is_negative
        )
        for hardness in (0.0, 1.0)
    )
    weight = torch.tensor([0.8, -0.8]).softmax(dim=0) * 2
    negatives = float(weight[0]) * math.exp(1.6) + float(weight[1]) * math.exp(-1.6)
    assert hard.item() == pytest.approx(-math.log(math.exp(1.2) / (math.exp(1.2) + negatives)), rel=1e-5)
    assert hard > plain


def test_a_memory_keeps_the_last_rows() -> None:
    memory = Memory(5, 2)
    for start in (0, 3, 6):
        memory.add(torch.arange(start, start + 3).float().unsqueeze(1).expand(3, 2), torch.arange(start, start + 3))
    vectors, nodes = memory.content()
    assert sorted(nodes.tolist()) == [4, 5, 6, 7, 8]
    assert vectors[:, 0].tolist() == nodes.tolist()
    assert set(memory.state_dict()) == {"vectors", "nodes", "count"}


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="links.temperature must be above 0, got 0.0"):
        LinksConfig(temperature=0.0)
    with pytest.raises(InputError, match=r"links.dims must not exceed the width 16, got \[32\]"):
        Links(LinksConfig(dims=(32,)), 16, {})
    with pytest.raises(InputError, match="views.content_drop must lie in 0..1, got 2"):
        ViewsConfig(content_drop=2.0)


def test_kept_modalities_are_present_ones() -> None:
    present = torch.rand(3, 500, generator=generator(0)) < 0.6
    kept = keep_modalities(present, 0.5, generator(1))
    assert not (kept & ~present).any()
    assert torch.equal(kept.any(dim=0), present.any(dim=0))
    several = present.sum(dim=0) > 1
    alone = (kept.sum(dim=0) == 1)[several].float().mean()
    assert 0.4 < alone < 0.6


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_views_do_not_collapse(stop_gradient: bool) -> None:
    """Trained on nothing else, nodes stay apart, and less of a node finds the node among all others."""
    torch.manual_seed(0)
    graph = make_graph(num_nodes=120, num_edges=400, missing=0.0)
    encoder = build_encoder(EncoderConfig(dim=16, gnn=GNNConfig(conv="sign")), [graph])
    assert isinstance(encoder, SignEncoder)
    blocks, edges, everything = encoder.graph_blocks(graph), GraphEdges(graph), torch.arange(120)
    objective = Views(ViewsConfig(stop_gradient=stop_gradient))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    losses = []
    for step in range(150):
        views = NodeViews(encoder, graph, blocks, edges, edges, everything, mask=MaskConfig(), seed=step)
        loss = objective(views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert losses[-1] < 0.6 * math.log(120)  # the loss of a collapsed network
    with torch.no_grad():
        z = torch.nn.functional.normalize(encoder(blocks.gather(everything)).embedding, dim=1)
    cosine = z @ z.t()
    assert cosine[~torch.eye(120, dtype=torch.bool)].mean() < 0.5
