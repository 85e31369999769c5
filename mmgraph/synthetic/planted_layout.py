"""Which community and which degree level every node drew."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from mmgraph.synthetic.blocks import block_rows, keyed, num_blocks
from mmgraph.synthetic.planted_config import PlantedConfig


class PlantedLayout:
    """Cells of nodes that are alike: same community, same degree level.

    Node `i` draws a community, uniformly, and a level `l`; its expected degree is in proportion to `2^(l/2)`. Levels
    have shares `q^l (1 - q)` with `q = 2^(-(exponent - 1) / 2)`, so that the share of nodes with weight `w` or more is
    `w^(1 - exponent)`: the power law of the given exponent, on a grid. Levels end where less than one node is expected.
    All draws are independent of each other and of the row, so the order of rows says nothing.

    Memory is 6 to 8 bytes per node.

    Args:
        config: The graph.
        seed: Seed of everything.
    """

    def __init__(self, config: PlantedConfig, seed: int) -> None:
        self.num_nodes = config.num_nodes
        self.num_communities = config.num_communities
        self.level_shares = _level_shares(config.degree_exponent, config.num_nodes)
        self.weight: np.ndarray = 2.0 ** (np.arange(self.num_levels) / 2)
        small = self.num_cells < 2**15  # NumPy sorts 16-bit numbers by radix, many times faster
        self.cell: np.ndarray = np.empty(self.num_nodes, dtype=np.int16 if small else np.int32)
        edges = self.level_shares.cumsum()[:-1]
        for block in range(num_blocks(self.num_nodes)):
            rows = block_rows(self.num_nodes, block)
            random, size = keyed(seed, "cell", block), rows.stop - rows.start
            community = random.integers(self.num_communities, size=size)
            level = np.searchsorted(edges, random.random(size), side="right")
            self.cell[rows] = community * self.num_levels + level

    @property
    def num_levels(self) -> int:
        """Number of degree levels."""
        return len(self.level_shares)

    @property
    def num_cells(self) -> int:
        """Number of cells; cell `c` is community `c // num_levels`, level `c % num_levels`."""
        return self.num_communities * self.num_levels

    @cached_property
    def count(self) -> np.ndarray:
        """Number of nodes of each cell, `[num_communities, num_levels]`."""
        return np.bincount(self.cell, minlength=self.num_cells).reshape(self.num_communities, self.num_levels)

    @cached_property
    def members(self) -> np.ndarray:
        """All rows, those of one cell side by side, `[num_nodes]`."""
        order = np.argsort(self.cell, kind="stable")
        return order.astype(np.int32) if self.num_nodes < 2**31 else order

    @cached_property
    def start(self) -> np.ndarray:
        """Where each cell starts within `members`, `[num_cells]`."""
        counts = self.count.reshape(-1)
        return np.asarray(counts.cumsum() - counts)

    def community(self, rows: Any = slice(None)) -> np.ndarray:
        """Community of rows, int64."""
        return np.asarray(self.cell[rows].astype(np.int64) // self.num_levels)

    def level(self, rows: Any = slice(None)) -> np.ndarray:
        """Degree level of rows, int64."""
        return np.asarray(self.cell[rows].astype(np.int64) % self.num_levels)


def _level_shares(exponent: float | None, num_nodes: int) -> np.ndarray:
    if exponent is None:
        return np.ones(1)
    ratio = 2.0 ** (-(exponent - 1) / 2)
    levels = 1 + math.floor(math.log(num_nodes) / -math.log(ratio))
    shares = ratio ** np.arange(levels)
    return np.asarray(shares / shares.sum())


def factor_values(config: PlantedConfig) -> dict[str, np.ndarray]:
    """Value of every factor in every community, `[num_communities]` each; the last factor changes fastest."""
    grid = np.unravel_index(np.arange(config.num_communities), tuple(config.factors.values()))
    return {name: np.asarray(values) for name, values in zip(config.factors, grid, strict=True)}


def group_of(config: PlantedConfig, factors: tuple[str, ...]) -> tuple[np.ndarray, int]:
    """Communities with the same values of these factors: group of each community, and the number of groups."""
    values, group, size = factor_values(config), np.zeros(config.num_communities, dtype=np.int64), 1
    for name in factors:
        group = group * config.factors[name] + values[name]
        size *= config.factors[name]
    return group, size
