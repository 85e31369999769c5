from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.metrics.classification import roc_auc
from mmgraph.metrics.ranking import Ranks, ranking_metrics, ranks_against
from mmgraph.synthetic.planted import PlantedGraph, planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedRelation

SMALL = PlantedConfig(
    num_nodes=240,
    modalities=(),
    factors={"colour": 3, "shape": 2},
    relations=(
        PlantedRelation("similar", 3.0, homophily=0.7),
        PlantedRelation("palette", 2.0, factors=("colour",), symmetric=False),
    ),
)


def chances(planted: PlantedGraph, relation: str) -> Tensor:
    """Probability of every pair, minus infinity for a node with itself."""
    rows = torch.arange(planted.graph.num_nodes)
    return planted.truth.link_probability(relation, rows[:, None], rows).fill_diagonal_(-torch.inf)


def mrr(scores: Tensor, pairs: Tensor, known: Tensor | None = None) -> float:
    return ranking_metrics(ranks(scores, pairs, known))["mrr"]


def ranks(scores: Tensor, pairs: Tensor, known: Tensor | None = None) -> Ranks:
    others = scores[pairs[0]].clone()
    others[torch.arange(pairs.size(1)), pairs[1]] = -torch.inf
    if known is not None:
        others[known[pairs[0]]] = -torch.inf
    return ranks_against(scores[pairs[0], pairs[1]], others)


def untied(scores: Tensor, seed: int = 0) -> Tensor:
    return scores + 1e-12 * torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("exponent", [None, 2.5])
@pytest.mark.parametrize("relation", ["similar", "palette"])
def test_closed_forms_are_the_averages_over_all_pairs(exponent: float | None, relation: str) -> None:
    planted = planted_graph(replace(SMALL, num_nodes=80, degree_exponent=exponent), seed=1)
    chance, bounds = chances(planted, relation), planted.truth.best_links(relation)
    pairs = torch.nonzero(chance > -torch.inf).T
    weight = chance[pairs[0], pairs[1]]
    rank = ranks(chance, pairs).rank
    assert bounds.mrr.value == pytest.approx(float((weight / rank).sum() / weight.sum()))
    # AUC by its definition, over all pairs of pairs
    value, _ = weight.sort()
    below = torch.searchsorted(value, value, right=False), torch.searchsorted(value, value, right=True)
    negatives = torch.cat([torch.zeros(1), (1 - value).cumsum(0)]).double()
    auc = (value * (negatives[below[0]] + negatives[below[1]]) / 2).sum() / value.sum() / (1 - value).sum()
    assert bounds.auc.value == pytest.approx(float(auc))
    assert {bounds.auc.standard_error, bounds.mrr.standard_error, bounds.mrr_ceiling.standard_error} == {0.0}
    broken = [float((weight / ranks(untied(chance, seed), pairs).rank).sum() / weight.sum()) for seed in range(20)]
    assert bounds.mrr_ceiling.value == pytest.approx(np.mean(broken), abs=4 * np.std(broken) / np.sqrt(20))
    random = torch.rand(chance.shape, generator=torch.Generator().manual_seed(0)).fill_diagonal_(-torch.inf)
    assert bounds.chance_mrr.value == pytest.approx(float((1 / ranks(random, pairs).rank).mean()), rel=0.02)


@pytest.mark.parametrize("exponent", [None, 2.5])
def test_the_oracle_reaches_the_bound_on_edges_that_were_drawn(exponent: float | None) -> None:
    found: dict[str, list[float]] = {"auc": [], "mrr": [], "mrr_ceiling": []}
    for seed in range(25):
        planted = planted_graph(replace(SMALL, degree_exponent=exponent), seed)
        chance, bounds = chances(planted, "similar"), planted.truth.best_links("similar")
        edges = planted.graph.relations["similar"].edge_index
        pairs = torch.cat([edges, edges.flip(0)], dim=1)
        linked = torch.zeros(240, 240, dtype=torch.bool)
        linked[pairs[0], pairs[1]] = True
        off = chance > -torch.inf
        reached = {
            "auc": float(roc_auc(chance[off][:, None], linked[off][:, None])),
            "mrr": mrr(chance, pairs),
            "mrr_ceiling": mrr(untied(chance), pairs),
        }
        for name, value in reached.items():
            found[name].append(value - getattr(bounds, name).value)
    for name, gaps in found.items():
        assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(25), name
        assert np.abs(gaps).max() < 0.05, name


def test_filtered_ranking_reaches_its_bound() -> None:
    gaps = []
    for seed in range(15):
        planted = planted_graph(replace(SMALL, degree_exponent=2.5, holdout=0.3), seed)
        graph, ids = planted.graph, planted.graph.node_ids
        out = {
            name: torch.from_numpy(
                np.stack(
                    [ids.positions(planted.held_out.filter(_is(planted, name))[side]) for side in ("source", "target")]
                )
            )
            for name in graph.relations
        }
        known = torch.zeros(240, 240, dtype=torch.int64)
        for ends in (graph.message_edges()[0], torch.cat([out["palette"], out["palette"].flip(0)], dim=1)):
            known.index_put_((ends[0], ends[1]), torch.ones(ends.size(1), dtype=torch.int64), accumulate=True)
        pairs = torch.cat([out["palette"], out["palette"].flip(0)], dim=1)
        pairs = pairs[:, known[pairs[0], pairs[1]] == 1]  # no other link
        bounds = planted.truth.best_links("palette", filtered=True)
        assert 0 < bounds.mrr.standard_error < 0.01
        assert bounds.mrr.value < bounds.mrr_ceiling.value
        gaps.append(mrr(chances(planted, "palette"), pairs, known > 0) - bounds.mrr.value)
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(15)


def _is(planted: PlantedGraph, relation: str) -> object:
    import pyarrow.compute as pc

    return pc.equal(planted.held_out["relation"], relation)


def test_nothing_simple_passes_the_ceiling(plain: PlantedGraph) -> None:
    graph, truth, n = plain.graph, plain.truth, plain.graph.num_nodes
    bounds = truth.best_links("similar")
    edges = graph.relations["similar"].edge_index[:, :1000]
    pairs = torch.cat([edges, edges.flip(0)], dim=1)
    features = torch.cat([graph.features[name].values for name in ("text", "image")], dim=1)
    scorers = {
        "constant": torch.zeros(n, n),
        "chance": torch.rand(n, n),
        "degree of the candidate": torch.bincount(graph.relations["noise"].edge_index[1], minlength=n)
        .float()
        .expand(n, n),
        "features": features @ features.T,
        "same colour": (truth.values("colour")[:, None] == truth.values("colour")).float(),
        "communities, ties broken": untied((truth.community[:, None] == truth.community).double()),
    }
    error = 0.3 / np.sqrt(pairs.size(1))  # the spread of a reciprocal rank is far below 0.3
    reached = {name: mrr(scores.clone().fill_diagonal_(-torch.inf), pairs) for name, scores in scorers.items()}
    assert all(value < bounds.mrr_ceiling.value + error for value in reached.values()), reached
    assert reached["communities, ties broken"] == pytest.approx(bounds.mrr_ceiling.value, abs=error)
    assert reached["chance"] == pytest.approx(bounds.chance_mrr.value, abs=error)
    assert reached["constant"] < bounds.chance_mrr.value / 2
    assert reached["features"] < bounds.mrr_ceiling.value


def test_noise_cannot_be_predicted(plain: PlantedGraph) -> None:
    bounds = plain.truth.best_links("noise")
    assert bounds.auc.value == pytest.approx(0.5)
    assert bounds.mrr_ceiling.value == pytest.approx(bounds.chance_mrr.value)
    assert bounds.mrr.value == pytest.approx(2 / 4000, rel=0.01)


def test_refused_relations(plain: PlantedGraph) -> None:
    with pytest.raises(InputError, match=r"^unknown relation 'likes'; choose from: noise, similar$"):
        plain.truth.best_links("likes")
    empty = planted_graph(PlantedConfig(num_nodes=20, relations=(PlantedRelation("r", 0.0),)))
    with pytest.raises(InputError, match=r"^relation 'r' has no edges: nothing to predict$"):
        empty.truth.best_links("r")
