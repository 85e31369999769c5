"""How likely two nodes are linked, and edges drawn with exactly these probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from mmgraph.errors import InputError
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedRelation
from mmgraph.synthetic.planted_layout import PlantedLayout, group_of

_BLOCK_DRAWS = 2**17  # about a megabyte per array: they stay in the cache
_MOST_DRAWS_PER_EDGE = 8


@dataclass(frozen=True, eq=False)
class EdgeLaw:
    """The probability of an edge: `1 - exp(-scale * preference * weight_i * weight_j)`, independent for every pair.

    `preference` is `h g` for two nodes of one group and `(1 - h) g / (g - 1)` for others, where `g` is the number of
    groups and `h` the homophily: its mean is 1, and a share `h` of it lies within groups. `scale` makes the expected
    number of edges what the config asks for, over all communities that the nodes could have drawn. So it depends on the
    levels and not on the communities: given everything about all other nodes, nothing but its own edges and features
    says anything about the community of a node. With one level this is the stochastic block model [1], with several
    its degree-corrected form [2] with at most one edge per pair.

    Attributes:
        group: `[num_communities]`: group of each community.
        num_groups: Number of groups.
        preference: Of two nodes of one group, and of others.
        scale: See above.
        weight: `[num_levels]`.
        symmetric: Pairs are unordered.

    References:
        [1] Holland et al., 1983, Stochastic blockmodels: first steps, Social Networks 5(2).
        [2] Karrer and Newman, 2011, Stochastic blockmodels and community structure in networks, arXiv:1008.3926.
    """

    group: np.ndarray
    num_groups: int
    preference: tuple[float, float]
    scale: float
    weight: np.ndarray
    symmetric: bool

    @cached_property
    def rate(self) -> np.ndarray:
        """`[2, num_levels, num_levels]`: minus the logarithm of the chance of no edge; row 0 is within groups."""
        return np.asarray(self.scale * np.multiply.outer(self.preference, np.multiply.outer(self.weight, self.weight)))

    @cached_property
    def probability(self) -> np.ndarray:
        """`[2, num_levels, num_levels]`: chance of an edge, of nodes of one group and of others."""
        return np.asarray(-np.expm1(-self.rate))


def edge_law(config: PlantedConfig, relation: PlantedRelation, layout: PlantedLayout) -> EdgeLaw:
    """Find the scale at which the expected number of distinct edges is the one asked for.

    Raises:
        InputError: If so many distinct edges do not exist, or nearly.
    """
    factors = tuple(config.factors) if relation.factors is None else relation.factors
    group, size = group_of(config, factors)
    h = relation.homophily
    preference = (h * size, (1 - h) * size / (size - 1)) if size > 1 else (1.0, 0.0)
    weight, n = layout.weight, config.num_nodes
    levels = layout.count.sum(axis=0).astype(np.float64)
    pairs = (np.multiply.outer(levels, levels) - np.diag(levels)) / (2 if relation.symmetric else 1)
    # Expected number of pairs by (same group or not, level, level): communities are uniform and independent.
    expected = np.multiply.outer((1 / size, 1 - 1 / size), pairs)
    unscaled = np.multiply.outer(preference, np.multiply.outer(weight, weight))
    wanted = relation.edges_per_node * n

    def excess(scale: float) -> float:
        return float((expected * -np.expm1(-scale * unscaled)).sum() - wanted)

    most = _MOST_DRAWS_PER_EDGE * wanted / max((expected * unscaled).sum(), 1e-300)
    if wanted and excess(most) <= 0:
        raise InputError(
            f"relation {relation.name!r}: expected a sparse graph, got {wanted:,.0f} edges for "
            f"{pairs.sum():,.0f} pairs of nodes; lower edges_per_node"
        )
    scale = brentq(excess, 0.0, most, xtol=1e-300, rtol=1e-12) if wanted else 0.0
    return EdgeLaw(group, size, preference, scale, weight, relation.symmetric)


class EdgeSampler:
    """Draws the edges of a relation, a range of source rows at a time.

    Let every ordered pair have a Poisson number of arrivals with the rate of `EdgeLaw`, and be an edge if there is one
    or more: the probability is right, and pairs are independent. Arrivals of one source are drawn together, as their
    sum is Poisson too and each then picks its target in proportion to the rates. Of a symmetric relation a pair is
    drawn at its lower row: arrivals at targets that lie below are dropped, which leaves the others as they were. A pair
    belongs to one block, so what repeats is removed within the block, and nothing has to be remembered.

    Args:
        law: The probabilities.
        layout: The nodes.
    """

    def __init__(self, law: EdgeLaw, layout: PlantedLayout) -> None:
        self.law, self.layout = law, layout
        group = np.repeat(law.group, layout.num_levels)  # of each cell
        mass = layout.count.reshape(-1) * np.tile(law.weight, layout.num_communities)
        self._cells = np.argsort(group, kind="stable")
        self._stop = mass[self._cells].cumsum()
        self._total = self._stop[-1]
        self._mass = mass
        bounds = np.searchsorted(group[self._cells], np.arange(law.num_groups + 1))
        edges = np.concatenate([[0.0], self._stop])[bounds]
        self._group, self._group_start, self._group_mass = group, edges[:-1], edges[1:] - edges[:-1]

    @property
    def block_nodes(self) -> int:
        """Sources per block: a few for dense graphs. What is drawn depends on it, so nothing else may change it."""
        own, (within, others) = self._group_mass, self.law.preference
        draws = self.law.scale * (own * (within * own + others * (self._total - own))).sum()
        return int(np.clip(_BLOCK_DRAWS * self.layout.num_nodes / max(draws, 1.0), 64, 2**16))

    def draw(self, rows: slice, random: np.random.Generator) -> np.ndarray:
        """Edges whose source (of a symmetric relation: lower end) lies in `rows`: `[2, num_edges]`, sorted, distinct."""
        law, layout = self.law, self.layout
        cell = layout.cell[rows].astype(np.int64)
        group = self._group[cell]
        own = self._group_mass[group]
        within, others = law.preference[0] * own, law.preference[1] * (self._total - own)
        arrivals = random.poisson(law.scale * law.weight[cell % layout.num_levels] * (within + others))
        source = np.repeat(np.arange(len(cell)), arrivals)
        target = self._targets(group[source], (within / np.maximum(within + others, 1e-300))[source], random)
        keep = target > source + rows.start if law.symmetric else target != source + rows.start
        bits = layout.num_nodes.bit_length()
        key = source[keep] << bits | target[keep]
        key.sort()
        key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
        return np.stack([(key >> bits) + rows.start, key & ((1 << bits) - 1)])

    def _targets(self, group: np.ndarray, chance_within: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Rows of targets, in proportion to their weight within the group or outside of it."""
        start, own = self._group_start[group], self._group_mass[group]
        within = random.random(len(group)) < chance_within
        point = random.random(len(group))
        # Lay the masses of all cells end to end, group by group; outside means to jump over the own group.
        point *= np.where(within, own, self._total - own)
        point += np.where(within | (point >= start), np.where(within, start, own), 0.0)
        np.minimum(point, np.nextafter(self._total, 0), out=point)
        place = np.searchsorted(self._stop, point, side="right")
        cell = self._cells[place]
        offset = (self._stop[place] - point) / self.law.weight[cell % self.layout.num_levels]
        offset = np.minimum(offset.astype(np.int64), self.layout.count.reshape(-1)[cell] - 1)
        return np.asarray(self.layout.members[self.layout.start[cell] + offset])
