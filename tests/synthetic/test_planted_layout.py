from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from mmgraph.synthetic.planted_config import PlantedConfig
from mmgraph.synthetic.planted_layout import PlantedLayout, factor_values, group_of


def test_members_are_the_rows_of_each_cell_side_by_side() -> None:
    layout = PlantedLayout(PlantedConfig(num_nodes=500, degree_exponent=2.5), seed=1)
    assert sorted(layout.members.tolist()) == list(range(500))
    for cell in range(layout.num_cells):
        start, count = layout.start[cell], layout.count.reshape(-1)[cell]
        assert (layout.cell[layout.members[start : start + count]] == cell).all()
    rows = np.array([3, 99])
    assert (layout.community(rows) * layout.num_levels + layout.level(rows)).tolist() == layout.cell[rows].tolist()


def test_communities_and_levels_are_drawn_with_the_stated_shares() -> None:
    layout = PlantedLayout(PlantedConfig(num_nodes=40_000, degree_exponent=3.0), seed=0)
    expected = np.outer(np.full(12, 1 / 12), layout.level_shares) * 40_000
    enough = expected > 5
    observed = np.append(layout.count[enough], 40_000 - layout.count[enough].sum())
    assert chisquare(observed, np.append(expected[enough], 40_000 - expected[enough].sum())).pvalue > 1e-3


@pytest.mark.parametrize("exponent", [2.1, 2.5, 4.0])
def test_weights_follow_the_power_law(exponent: float) -> None:
    layout = PlantedLayout(PlantedConfig(num_nodes=100_000, degree_exponent=exponent), seed=0)
    tail = layout.level_shares[::-1].cumsum()[::-1]  # share of nodes with this weight or more
    beyond = (2 ** (layout.num_levels / 2)) ** (1 - exponent)  # weights end there, and the rest shares out what is left
    assert tail == pytest.approx((layout.weight ** (1 - exponent) - beyond) / (1 - beyond))
    assert 0.2 / 100_000 < beyond < 1 / 100_000


def test_without_an_exponent_all_nodes_are_alike() -> None:
    layout = PlantedLayout(PlantedConfig(num_nodes=10), seed=0)
    assert (layout.num_levels, layout.weight.tolist(), layout.level().tolist()) == (1, [1.0], [0] * 10)


def test_rows_are_in_no_order() -> None:
    community = PlantedLayout(PlantedConfig(num_nodes=50_000), seed=0).community()
    pairs = community[:-1] * 12 + community[1:]
    assert chisquare(np.bincount(pairs, minlength=144)).pvalue > 1e-3
    first, last = np.bincount(community[:25_000]), np.bincount(community[25_000:])
    assert np.abs(first - last).max() < 5 * np.sqrt(50_000 / 12)


def test_more_nodes_than_a_block_and_every_seed_are_different() -> None:
    config = PlantedConfig(num_nodes=40_000)
    one, two = PlantedLayout(config, 0).cell, PlantedLayout(config, 1).cell
    assert (PlantedLayout(config, 0).cell == one).all()
    assert 0.05 < (one == two).mean() < 0.12
    assert not (one[:16_384] == one[16_384:32_768]).all()


def test_groups_are_combinations_of_the_factors() -> None:
    config = PlantedConfig(factors={"a": 2, "b": 3, "c": 2}, modalities=())
    values = factor_values(config)
    communities = set(zip(*(values[name].tolist() for name in "abc"), strict=True))
    assert len(communities) == config.num_communities == 12
    group, size = group_of(config, ("c", "a"))
    assert size == 4
    assert (
        len({(g, c, a) for g, c, a in zip(group.tolist(), values["c"].tolist(), values["a"].tolist(), strict=True)})
        == 4
    )
    assert group_of(config, ())[1] == 1
