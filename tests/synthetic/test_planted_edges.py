from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.synthetic.blocks import block_rows, keyed, num_blocks
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedRelation
from mmgraph.synthetic.planted_edges import EdgeSampler, edge_law
from mmgraph.synthetic.planted_layout import PlantedLayout


def sampler(relation: PlantedRelation, **config: object) -> EdgeSampler:
    settings_ = PlantedConfig(relations=(relation,), modalities=(), **config)  # type: ignore[arg-type]
    layout = PlantedLayout(settings_, 0)
    return EdgeSampler(edge_law(settings_, relation, layout), layout)


def pair_probability(edges: EdgeSampler) -> np.ndarray:
    """Probability of every ordered pair of rows, without the diagonal."""
    layout, law = edges.layout, edges.law
    group, level = law.group[layout.community()], layout.level()
    chance = law.probability[(group[:, None] != group).astype(int), level[:, None], level]
    np.fill_diagonal(chance, 0)
    return chance


@pytest.mark.parametrize("exponent", [None, 2.3])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("homophily", [0.0, 0.7, 1.0])
def test_every_pair_is_linked_as_often_as_the_law_says(
    exponent: float | None, symmetric: bool, homophily: float
) -> None:
    relation = PlantedRelation("r", 2.0, homophily=homophily, symmetric=symmetric)
    edges = sampler(relation, num_nodes=14, factors={"f": 2}, degree_exponent=exponent)
    chance, times = pair_probability(edges), 4000
    counts = np.zeros((14, 14))
    for i in range(times):
        found = edges.draw(slice(0, 14), keyed(i))
        counts[found[0], found[1]] += 1
    if symmetric:
        assert not np.tril(counts).any()
        chance = np.triu(chance)
    assert not counts[chance == 0].any()
    error = (counts / times - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-9) / times)
    assert np.abs(error).max() < 4.5
    assert abs(error[chance > 0].mean()) < 4 / np.sqrt((chance > 0).sum())
    assert 0.8 < error[chance > 0].std() < 1.2


def test_pairs_are_independent() -> None:
    edges = sampler(PlantedRelation("r", 2.0), num_nodes=8, factors={"f": 2})
    seen = np.zeros((3000, 8, 8))
    for i in range(3000):
        found = edges.draw(slice(0, 8), keyed(i))
        seen[i, found[0], found[1]] = 1
    flat = seen.reshape(3000, -1)
    flat = flat[:, flat.std(axis=0) > 0]
    correlation = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    assert np.abs(correlation).max() < 5 / np.sqrt(3000)
    assert seen.sum(axis=(1, 2)).var() == pytest.approx((flat.mean(axis=0) * (1 - flat.mean(axis=0))).sum(), rel=0.15)


@given(
    num_nodes=st.integers(60, 3000),
    per_node=st.floats(0.1, 6),
    homophily=st.floats(0, 1),
    exponent=st.sampled_from([None, 2.2, 3.0]),
    symmetric=st.booleans(),
    factors=st.sampled_from([None, ("colour",), ()]),
)
@settings(max_examples=25, deadline=None)
def test_number_of_edges_and_homophily_are_those_asked_for(
    num_nodes: int,
    per_node: float,
    homophily: float,
    exponent: float | None,
    symmetric: bool,
    factors: tuple[str, ...] | None,
) -> None:
    relation = PlantedRelation("r", per_node, factors=factors, homophily=homophily, symmetric=symmetric)
    edges = sampler(relation, num_nodes=num_nodes, degree_exponent=exponent)
    size = edges.block_nodes
    found = np.concatenate(
        [edges.draw(block_rows(num_nodes, b, size), keyed(b)) for b in range(num_blocks(num_nodes, size))], axis=1
    )
    key = found[0] * num_nodes + found[1]
    assert (np.diff(key) > 0).all()  # sorted by source and target, and distinct
    assert (found[0] < found[1]).all() if symmetric else (found[0] != found[1]).all()
    chance = pair_probability(edges)
    chance = np.triu(chance) if symmetric else chance
    deviation = np.sqrt((chance * (1 - chance)).sum())
    assert abs(len(key) - chance.sum()) < 5 * deviation
    # What was drawn as communities adds to the spread; over all that could be drawn, the mean is the one asked for.
    assert chance.sum() == pytest.approx(per_node * num_nodes, rel=0.5 if exponent or num_nodes < 500 else 0.1)
    group = edges.law.group[edges.layout.community()]
    within = group[:, None] == group
    share = (chance * within).sum() / chance.sum()
    observed = within[found[0], found[1]].mean()
    assert abs(observed - share) < 5 * np.sqrt(share * (1 - share) / len(key)) + 1e-9


def test_scale_is_right_on_average_over_communities() -> None:
    relation = PlantedRelation("r", 1.5, homophily=0.8)
    config = PlantedConfig(num_nodes=400, relations=(relation,), degree_exponent=3.5)
    totals, shares = [], []
    for seed in range(200):
        layout = PlantedLayout(config, seed)
        edges = EdgeSampler(edge_law(config, relation, layout), layout)
        chance, group = pair_probability(edges), edges.law.group[layout.community()]
        totals.append(chance.sum() / 2)
        shares.append((chance * (group[:, None] == group)).sum() / chance.sum())
    assert np.mean(totals) == pytest.approx(600, abs=4 * np.std(totals) / np.sqrt(200))
    assert np.mean(shares) == pytest.approx(0.8, abs=0.03)  # pairs within groups saturate first in a small graph


def test_noise_has_no_preference_and_one_value_of_homophily_neither() -> None:
    noise = sampler(PlantedRelation("r", 2.0, factors=()), num_nodes=300)
    assert noise.law.preference == (1.0, 0.0)
    even = sampler(PlantedRelation("r", 2.0, homophily=1 / 12), num_nodes=300)
    assert even.law.preference == pytest.approx((1.0, 1.0))
    assert pair_probability(even)[0, 1:] == pytest.approx(pair_probability(noise)[0, 1:])


@pytest.mark.parametrize("num_nodes", [1, 2, 5])
def test_more_edges_than_pairs_are_refused(num_nodes: int) -> None:
    pairs = num_nodes * (num_nodes - 1) // 2
    message = f"relation 'r': expected a sparse graph, got {4 * num_nodes} edges for {pairs} pairs of nodes; lower edges_per_node"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        sampler(PlantedRelation("r", 4.0), num_nodes=num_nodes)


def test_no_edges_at_all() -> None:
    for num_nodes in (1, 50):
        edges = sampler(PlantedRelation("r", 0.0), num_nodes=num_nodes)
        assert edges.draw(slice(0, num_nodes), keyed(0)).shape == (2, 0)


def test_blocks_stay_small_in_dense_graphs() -> None:
    sparse, dense = (sampler(PlantedRelation("r", e), num_nodes=4000).block_nodes for e in (0.5, 200.0))
    assert dense < 1000 < sparse
