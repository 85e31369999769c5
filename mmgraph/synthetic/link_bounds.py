"""The best AUC and MRR that any link predictor can reach on a planted graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

from mmgraph.errors import InputError, unknown_choice
from mmgraph.synthetic.blocks import keyed
from mmgraph.synthetic.label_bounds import Estimate
from mmgraph.synthetic.planted_model import PlantedModel

_CELLS_AT_ONCE = 2**22


@dataclass(frozen=True)
class LinkBounds:
    """What ranking by the true probability of an edge reaches.

    Given the communities and levels of all nodes, pairs are linked independently of each other and of all features. So
    whatever a method has seen, other edges included, it knows no more about a pair than its probability, and:

    - `auc`: ordering pairs by a likelihood ratio, here `p / (1 - p)`, is best (Neyman and Pearson). Pairs of equal
      probability count half, in whatever way they are scored.
    - `mrr_ceiling`: if a candidate is swapped with the next one and is the less likely one, the expected sum of
      reciprocal ranks rises, since only the case where exactly one of them is linked makes a difference. So the order
      of probabilities is best, in any order among equal ones, and no score exceeds it: ties get their mean rank, and
      the reciprocal of a mean is at most the mean of the reciprocals.
    - `mrr`: what the probabilities themselves score. Equal ones are ties, so this is below the ceiling: a random order
      among equal candidates puts some of them first. A method between the two has found the communities.

    There are no such bounds for Hits@k: of `2k - 1` tied candidates all have the mean rank `k`, and all count.

    Attributes:
        auc: Of a random edge against a random pair without one.
        mrr: Of the true probabilities, ties by mean rank.
        mrr_ceiling: Of the true probabilities with ties broken at random: the bound.
        chance_mrr: Of a random order of all candidates.
    """

    auc: Estimate
    mrr: Estimate
    mrr_ceiling: Estimate
    chance_mrr: Estimate


def best_links(
    model: PlantedModel, relation: str, *, filtered: bool = False, num_samples: int = 10_000, seed: int = 0
) -> LinkBounds:
    """Score the true edge probabilities, for the nodes of this graph and all edges that they could have.

    An edge is ranked at either end, which makes no difference in expectation: the candidates for the second node are
    all nodes but the first. Averages over edges are ratios of expected sums over all pairs.

    Args:
        model: The graph.
        relation: The relation whose edges are predicted.
        filtered: As `LinkPredictionTask` ranks: nodes that are linked to the first one in the graph, in any relation, or
            by a held-out edge of this relation are no candidates, and only edges between nodes with no other such link
            are asked for. The numbers of candidates are random then, and the MRR a Monte Carlo average. Otherwise
            all is exact.
        num_samples: Edges that are drawn for that average, fewer if there are very many cells.
        seed: Seed of that average.

    Raises:
        InputError: If the relation is unknown, or can have no edge.
    """
    if relation not in model.laws:
        raise unknown_choice("relation", relation, model.laws)
    law = model.laws[relation]
    members = np.zeros((law.num_groups, model.layout.num_levels))
    np.add.at(members, law.group, model.layout.count)
    chance = law.probability.transpose(1, 0, 2).reshape(model.layout.num_levels, -1)  # [level, candidates' class]
    # Candidates of a node by class (same group or not, level), the node itself left out: [group, level, class]
    same = members[:, None, :] - np.eye(model.layout.num_levels)
    others = np.broadcast_to((members.sum(axis=0) - members)[:, None, :], same.shape)
    number = np.concatenate([same, others], axis=2)
    number = np.where(members[:, :, None] > 0, number, 0)
    edges = members[:, :, None] * number * chance  # expected, of each class
    if edges.sum() == 0:
        raise InputError(f"relation {relation!r} has no edges: nothing to predict")
    auc = Estimate(_auc((members[:, :, None] * number).sum(axis=0).ravel(), chance.ravel()))
    random_order = (digamma(model.num_nodes) - digamma(1)) / (model.num_nodes - 1)
    if filtered:
        return LinkBounds(auc, *_filtered(model, relation, num_samples, seed))
    greater = np.einsum("glb,lab->gla", number, (chance[:, None, :] > chance[:, :, None]).astype(float))
    equal = np.einsum("glb,lab->gla", number, (chance[:, None, :] == chance[:, :, None]).astype(float))
    where = edges > 0
    tied, untied = _reciprocal_ranks(greater[where], equal[where] - 1)
    weight = edges[where] / edges.sum()
    return LinkBounds(
        auc, Estimate(float(weight @ tied)), Estimate(float(weight @ untied)), Estimate(float(random_order))
    )


def _auc(pairs: np.ndarray, chance: np.ndarray) -> float:
    """Chance that a random edge is likelier than a random pair without one, ties count half."""
    distinct, place = np.unique(chance, return_inverse=True)
    positive = np.bincount(place, weights=pairs * chance, minlength=len(distinct))
    negative = np.bincount(place, weights=pairs * (1 - chance), minlength=len(distinct))
    below = negative.cumsum() - negative / 2
    return float((positive * below).sum() / positive.sum() / negative.sum())


def _reciprocal_ranks(greater: np.ndarray, equal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reciprocal rank of a candidate among others, by mean rank and averaged over the orders of equal ones.

    The second is the mean of `1 / r` for `r` from `greater + 1` to `greater + equal + 1`.
    """
    untied = (digamma(greater + equal + 2) - digamma(greater + 1)) / (equal + 1)
    return 1 / (1 + greater + equal / 2), untied


def _filtered(model: PlantedModel, relation: str, num_samples: int, seed: int) -> tuple[Estimate, Estimate, Estimate]:
    random, layout = keyed(seed, "links", relation), model.layout
    count = layout.count.reshape(-1).astype(np.float64)
    level, community = np.arange(len(count)) % layout.num_levels, np.arange(len(count)) // layout.num_levels

    def pair(name: str, cells: np.ndarray) -> np.ndarray:
        """Probability of an edge between nodes of these cells and of all cells, `[len(cells), num_cells]`."""
        law = model.laws[name]
        other = (law.group[community[cells]][:, None] != law.group[community]).astype(np.int64)
        return np.asarray(law.probability[other, level[cells][:, None], level])

    def unlinked(cells: np.ndarray, *, apart: bool) -> np.ndarray:
        """Probability of no known link: in this relation held out or not, in others not; `apart` from one of it."""
        out = np.ones((len(cells), len(count)))
        for name, law in model.laws.items():
            known = 1.0 if name == relation else 1 - model.config.holdout
            directions = (1 if law.symmetric else 2) - (apart and name == relation)
            out *= (1 - known * pair(name, cells)) ** directions
        return out

    def asked(cells: np.ndarray) -> np.ndarray:
        """Expected number of edges that are asked for, between these cells and all cells."""
        others = count - (cells[:, None] == np.arange(len(count)))
        return np.asarray(count[cells][:, None] * others * pair(relation, cells) * unlinked(cells, apart=True))

    step = max(1, _CELLS_AT_ONCE // len(count))
    blocks = [np.arange(start, min(start + step, len(count))) for start in range(0, len(count), step)]
    weight = np.concatenate([asked(cells).sum(axis=1) for cells in blocks])
    scores: list[np.ndarray] = []
    for start in range(0, num_samples, step):
        first = random.choice(len(count), size=min(step, num_samples - start), p=weight / weight.sum())
        share = asked(first).cumsum(axis=1)
        point = random.random((len(first), 1)) * share[:, -1:]
        second = np.minimum((share <= point).sum(axis=1), len(count) - 1)
        number = np.tile(count, (len(first), 1)).astype(np.int64)
        number[np.arange(len(first)), first] -= 1
        number[np.arange(len(first)), second] -= 1
        candidates = random.binomial(number, unlinked(first, apart=False))
        chance = pair(relation, first)
        positive = chance[np.arange(len(first)), second][:, None]
        greater, equal = ((candidates * mask).sum(axis=1) for mask in (chance > positive, chance == positive))
        all_of_them = candidates.sum(axis=1)
        _, by_chance = _reciprocal_ranks(np.zeros(len(first)), all_of_them)
        scores.append(np.stack([*_reciprocal_ranks(greater, equal), by_chance]))
    found = np.concatenate(scores, axis=1)
    errors = found.std(axis=1, ddof=1) / math.sqrt(found.shape[1])
    tied, untied, random_order = (Estimate(float(v), float(e)) for v, e in zip(found.mean(axis=1), errors, strict=True))
    return tied, untied, random_order
