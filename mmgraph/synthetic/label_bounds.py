"""The best accuracy that any classifier can reach on a planted graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.special import logsumexp, ndtr

from mmgraph.synthetic.blocks import keyed
from mmgraph.synthetic.planted_evidence import chosen, link_evidence, marginal, presence_evidence, score_evidence
from mmgraph.synthetic.planted_model import PlantedModel

_CELLS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Estimate:
    """A number, and how well it is known.

    Attributes:
        value: The number.
        standard_error: Standard error of a Monte Carlo average; 0 if the number is exact.
    """

    value: float
    standard_error: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:.4f}" + (f" +- {self.standard_error:.4f}" if self.standard_error else "")


def best_accuracy(
    model: PlantedModel,
    target: Iterable[str] | None = None,
    *,
    modalities: Iterable[str] | None = None,
    relations: Iterable[str] | None = None,
    num_samples: int = 20_000,
    seed: int = 0,
) -> Estimate:
    """Bayes accuracy of some factors of a node: the best that any classifier can expect from what it is shown.

    Without relations the classifier sees the features of the node. The bound is exact then, unless whole communities
    lack a modality: features are independent given the community, so the most probable one is the best guess, and
    factors are independent of each other, so that the chance to guess all of them is a product of those of
    `orthogonal_accuracy`; what is missing at random is averaged over.

    With relations it is told the communities of *all other nodes*, their degree levels and its own. No method knows
    more: given the communities and levels of all nodes, the links of a node and its features are independent of
    everything else in the graph, and what other features and links say about other nodes' communities is said already.
    So this bounds transductive methods too, whatever labels they are given; they fall short of it as far as they have
    to guess the communities of neighbours. It is an average over nodes that are drawn and linked to the graph's nodes,
    of the probability of the most probable value: the chance to be right, given what is seen.

    Features are rounded to the type of the config; that can only lower what is possible.

    Args:
        model: The graph.
        target: Factors to predict, all (the community) by default.
        modalities: Modalities that the classifier sees, all by default; `()` for none.
        relations: Relations that it sees, all by default; `()` for none.
        num_samples: Nodes that are drawn for a Monte Carlo average, fewer if there are very many cells.
        seed: Seed of that average.

    Raises:
        InputError: If a name is not known.
    """
    factors = chosen("factor", target, model.factors)
    seen, links = chosen("modality", modalities, model.modalities), chosen("relation", relations, model.laws)
    if not links and not any(model.modalities[name].absent_communities for name in seen):
        return Estimate(_exact(model, factors, seen))
    width = model.layout.num_cells if links else model.config.num_communities
    step = max(1, min(num_samples, _CELLS_AT_ONCE // width))
    num_steps = max(1, min(-(-num_samples // step), 16))
    best = np.concatenate([_sample(model, factors, seen, links, step, seed, i) for i in range(num_steps)])
    return Estimate(float(best.mean()), float(best.std(ddof=1) / math.sqrt(len(best))))


def orthogonal_accuracy(num_values: int, precision: float) -> float:
    """Chance to guess which of some orthonormal centres lies behind a noisy point.

    With noise of standard deviation `s` in each of several independent views, `precision` is the sum of `1 / s^2`. The
    scores (view . centre / s^2, summed over views) of all values are independent Gaussians with variance `precision`;
    that of the true value has mean `precision`, the others 0, and the highest is the best guess. So the chance is the
    integral over `z` of `phi(z) Phi(z + sqrt(precision))^(num_values - 1)`, `1 / num_values` without any view.
    """
    if precision == 0:
        return 1 / num_values
    shift = math.sqrt(precision)

    def density(z: float) -> float:
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * float(ndtr(z + shift)) ** (num_values - 1)

    # The integrand is below 1e-40 outside, and 0 in double precision well before.
    return float(quad(density, -14, 14, epsabs=1e-12, limit=200)[0])


def _exact(model: PlantedModel, factors: list[str], seen: list[str]) -> float:
    total = 0.0
    settings = [model.modalities[name] for name in seen]
    for pattern in itertools.product((True, False), repeat=len(settings)):
        weight = math.prod(1 - m.missing if there else m.missing for m, there in zip(settings, pattern, strict=True))
        if weight == 0:
            continue
        there = [m for m, present in zip(settings, pattern, strict=True) if present]
        total += weight * math.prod(
            orthogonal_accuracy(model.config.factors[factor], sum(1 / m.noise**2 for m in there if factor in m.factors))
            for factor in factors
        )
    return total


def _sample(
    model: PlantedModel, factors: list[str], seen: list[str], links: list[str], size: int, seed: int, step: int
) -> np.ndarray:
    """Highest probability of a value, for some drawn nodes, `[size]`."""
    random, layout = keyed(seed, "accuracy", step), model.layout
    community = random.integers(model.config.num_communities, size=size)
    log_odds = np.zeros((size, model.config.num_communities))
    for name in seen:
        present = random.random(size) >= model.missing_chance(name)[community]
        log_odds += presence_evidence(model, name, present)
        scores = {}
        for factor in model.modalities[name].factors:
            noise = random.standard_normal((size, model.config.factors[factor]))
            scores[factor] = model.modalities[name].noise * noise
            scores[factor][np.arange(size), model.factors[factor][community]] += 1
        if scores:
            log_odds += np.where(present[:, None], score_evidence(model, name, scores), 0)
    level = random.choice(layout.num_levels, size=size, p=layout.level_shares)
    for name in links:
        law, (linked, unlinked) = model.laws[name], link_evidence(model, name)
        other = np.where(law.group[community][:, None] == law.group, 0, 1)  # [size, num_communities]
        chance = (1 - model.config.holdout) * law.probability[
            other[:, :, None], level[:, None, None], np.arange(layout.num_levels)
        ]
        number = np.zeros((size, layout.num_communities, layout.num_levels))
        directions = 1 if law.symmetric else 2
        for _ in range(directions):
            number += random.binomial(layout.count, chance)
        gain = number * (linked - unlinked)[level][:, None, :]
        gain += directions * layout.count * unlinked[level][:, None, :]
        evidence = np.zeros((size, law.num_groups))
        np.add.at(evidence.T, law.group, gain.sum(axis=2).T)
        log_odds += evidence[:, law.group]
    probability = np.exp(log_odds - logsumexp(log_odds, axis=1, keepdims=True))
    return np.asarray(marginal(model, probability, factors).max(axis=1))
