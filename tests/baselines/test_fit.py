"""What holds for every baseline: it learns, repeats, carries ids and refuses what it cannot use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgraph.baselines.fit import BASELINES, baseline_features, fit_baseline, fit_with_losses
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.testing.factories import make_graph

NETWORKS = [name for name, baseline in BASELINES.items() if baseline.model is not None]
QUICK: dict[str, dict[str, Any]] = {name: {"dim": 32, "steps": 40, "learning_rate": 5e-3} for name in NETWORKS} | {
    "node2vec": {"dim": 16, "steps": 60, "batch_size": 64, "negatives_per_step": 32}
}


def quick(name: str, **changes: Any) -> Any:
    return BASELINES[name].config(**QUICK[name] | changes)


def planted(seed: int = 0) -> MultimodalGraph:
    return make_graph(160, 900, modalities=(("text", 12), ("image", 12)), missing=0.5, seed=seed)


def nearest_agree(vectors: Tensor, graph: MultimodalGraph) -> float:
    """Share of nodes whose nearest other node, by cosine, is of the same planted community."""
    community = torch.tensor(graph.columns["community"].to_pylist())  # type: ignore[index]
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    nearest = (vectors @ vectors.t()).fill_diagonal_(-2).argmax(dim=1)
    return (community[nearest] == community).float().mean().item()


@pytest.mark.parametrize("name", BASELINES)
def test_the_loss_falls_and_communities_come_out(name: str) -> None:
    graph = planted()
    table, losses = fit_with_losses(name, graph, seed=0, config=quick(name), progress=False)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert nearest_agree(table.vectors, graph) > 0.6  # chance is 0.25


def test_node2vec_beats_its_untrained_vectors() -> None:
    graph = planted()
    trained, untrained = (
        fit_baseline("node2vec", graph, seed=0, config=quick("node2vec", **changes), progress=False)
        for changes in ({}, {"steps": 0})
    )
    assert nearest_agree(trained.vectors, graph) > nearest_agree(untrained.vectors, graph) + 0.3


@pytest.mark.parametrize("name", BASELINES)
def test_no_steps_give_the_untrained_network(name: str) -> None:
    graph = planted()
    table, losses = fit_with_losses(name, graph, seed=0, config=quick(name, steps=0), progress=False)
    assert losses == []
    trained = fit_baseline(name, graph, seed=0, config=quick(name, steps=2), progress=False)
    assert not torch.equal(table.vectors, trained.vectors)


@pytest.mark.parametrize("name", BASELINES)
def test_a_seed_repeats_bit_for_bit_and_leaves_the_global_generator_alone(name: str) -> None:
    graph, config = planted(), quick(name, steps=4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fit_baseline(name, graph, seed=3, config=config, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = fit_baseline(name, graph, seed=3, config=config, progress=False)
    other = fit_baseline(name, graph, seed=4, config=config, progress=False)
    assert torch.equal(first.vectors, again.vectors)
    assert not torch.allclose(first.vectors, other.vectors, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_large_graphs_are_trained_on_subgraphs(name: str) -> None:
    graph = planted()
    config = quick(name, full_batch_up_to=50, batch_size=16, fanouts=(3, 3))
    table, losses = fit_with_losses(name, graph, seed=0, config=config, progress=False)
    again = fit_baseline(name, graph, seed=0, config=config, progress=False)
    whole = fit_baseline(name, graph, seed=0, config=quick(name), progress=False)
    assert torch.equal(table.vectors, again.vectors)
    assert not torch.allclose(table.vectors, whole.vectors, atol=1e-3)
    assert sum(losses[-10:]) < 0.97 * sum(losses[:10])
    assert nearest_agree(table.vectors, graph) > 0.5


@pytest.mark.parametrize("name", BASELINES)
def test_tables_carry_ids_and_the_width_asked_for(name: str) -> None:
    graph = make_graph(30, 60)
    table = fit_baseline(name, graph, seed=0, config=quick(name, steps=1), progress=False)
    assert table.node_ids.values.tolist() == graph.node_ids.values.tolist()
    assert (table.model, table.graph, table.dim) == (name, "toy", QUICK[name]["dim"])
    assert not table.vectors.requires_grad
    table.check_finite()


@pytest.mark.parametrize("name", BASELINES)
def test_nodes_without_edges_or_content_get_finite_vectors(name: str) -> None:
    graph = make_graph(30, 3, missing=0.9)
    fit_baseline(name, graph, seed=0, config=quick(name, steps=2), progress=False).check_finite()
    graph = replace(graph, relations={})
    fit_baseline(name, graph, seed=0, config=quick(name, steps=2), progress=False).check_finite()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_without_features_is_refused(name: str) -> None:
    graph = replace(make_graph(10, 12), features={})
    with pytest.raises(InputError, match=r"^graph 'toy' has no features; of the baselines only 'node2vec' needs none$"):
        fit_baseline(name, graph, seed=0, config=quick(name), progress=False)


def test_node2vec_reads_edges_alone() -> None:
    graph = make_graph(30, 60)
    with_features, without = (
        fit_baseline("node2vec", g, seed=0, config=quick("node2vec", steps=3), progress=False)
        for g in (graph, replace(graph, features={}))
    )
    assert torch.equal(with_features.vectors, without.vectors)
    with pytest.raises(InputError, match=r"reads edges alone: expected no features, got \[30, 2\]"):
        fit_baseline("node2vec", graph, seed=0, x=torch.zeros(30, 2), progress=False)


def test_features_have_unit_entries() -> None:
    graph = make_graph(60, 120, modalities=(("text", 16),), missing=0)
    x = baseline_features(graph)
    assert x.shape == (60, 16)
    items = graph.features["text"].present
    assert torch.allclose(x[items].square().mean(dim=1), torch.ones(int(items.sum())), atol=1e-4)
    assert torch.allclose(baseline_features(graph, unit_rows=True) * 4, x)


@pytest.mark.parametrize("name", ["dgi", "grace", "bgrl", "graphmae"])
def test_sparse_features_are_the_same_as_dense(name: str) -> None:
    graph = make_graph(40, 100)
    x = (torch.rand(40, 20, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    dense, sparse = (
        fit_baseline(name, graph, seed=0, config=quick(name, steps=3), x=values, progress=False)
        for values in (x, x.to_sparse())
    )
    assert torch.allclose(dense.vectors, sparse.vectors, atol=1e-4)


def test_max_seconds_stops_early() -> None:
    _, losses = fit_with_losses("dgi", planted(), seed=0, config=quick("dgi"), progress=False, max_seconds=0.0)
    assert len(losses) < 40


def test_wrong_inputs_are_one_line_errors() -> None:
    graph = make_graph(10, 12)
    with pytest.raises(InputError, match=r"^unknown baseline 'graphmea'; choose from: graphmae"):
        fit_baseline("graphmea", graph, seed=0)
    with pytest.raises(InputError, match=r"^baseline 'graphmae': expected GraphMAEConfig, got GraphMAE2Config$"):
        fit_baseline("graphmae", graph, seed=0, config=quick("graphmae2"))
    with pytest.raises(
        InputError, match=r"^baseline 'dgi': x must be float32 \[10, in_dim\], got torch.float32 \[9, 4\]$"
    ):
        fit_baseline("dgi", graph, seed=0, x=torch.zeros(9, 4))
    with pytest.raises(InputError, match=r"^baseline 'dgi': graph 'toy' must have at least 2 nodes, got 1$"):
        fit_baseline("dgi", make_graph(1, 0), seed=0)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("dgi", {"dim": 0}),
        ("dgi", {"learning_rate": 0.0}),
        ("dgi", {"fanouts": ()}),
        ("grace", {"temperature": -1.0}),
        ("grace", {"drop_edges": (0.2, 1.0)}),
        ("bgrl", {"momentum": 1.5}),
        ("graphmae", {"mask": 1.0}),
        ("graphmae", {"dim": 30, "heads": 4}),
        ("graphmae2", {"remask": "never"}),
        ("node2vec", {"walk_length": 1}),
        ("node2vec", {"p": 0.0}),
    ],
)
def test_wrong_settings_are_refused(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        BASELINES[name].config(**changes)
