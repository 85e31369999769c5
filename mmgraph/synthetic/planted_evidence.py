"""What features and links say about the community of a node: exact log-likelihoods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.special import logsumexp

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import unknown_choice
from mmgraph.synthetic.planted_model import PlantedModel


def chosen(what: str, names: Iterable[str] | None, known: Mapping[str, object]) -> list[str]:
    """Names, all of them if not given.

    Raises:
        InputError: If one is not known.
    """
    wanted = list(known) if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise unknown_choice(what, name, known)
    return wanted


def score_evidence(model: PlantedModel, modality: str, scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Log-likelihood of each community given scores of the factor values, up to a constant per node.

    With `x = sum of centres + s z`, orthonormal centres and Gaussian `z`, `-|x - m_c|^2 / (2 s^2)` is, up to what does
    not depend on the community `c`, the sum over factors of `x . centre[value of the factor in c] / s^2`.

    Args:
        model: The graph.
        modality: The modality that has the noise `s`.
        scores: For each factor `x . centre` by value, `[n, num_values]`.
    """
    total = sum(values[:, model.factors[factor]] for factor, values in scores.items())
    return np.asarray(total / model.modalities[modality].noise ** 2)


def feature_evidence(model: PlantedModel, modality: str, values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Log-likelihood `[n, num_communities]` of features, of their absence too; absent rows are not read."""
    out = presence_evidence(model, modality, present)
    scores = {factor: values[present].astype(np.float64) @ c.T for factor, c in model.centres(modality).items()}
    if scores:
        out[present] += score_evidence(model, modality, scores)
    return out


def presence_evidence(model: PlantedModel, modality: str, present: np.ndarray) -> np.ndarray:
    """Log-likelihood `[n, num_communities]` of having, or lacking, a modality."""
    missing = model.missing_chance(modality)
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(present[:, None], np.log1p(-missing), np.log(missing)))


def link_evidence(model: PlantedModel, relation: str) -> tuple[np.ndarray, np.ndarray]:
    """What a pair says for "same group" against "other group" if it is linked in the graph, and if it is not.

    Returns:
        Log-likelihood ratios `[num_levels, num_levels]`. Held-out edges count as not linked.
    """
    chance = (1 - model.config.holdout) * model.laws[relation].probability
    chance = np.clip(chance, 1e-200, 1 - 1e-16)  # finite also where the law says never
    linked, unlinked = np.log(chance), np.log1p(-chance)
    return linked[0] - linked[1], unlinked[0] - unlinked[1]


def neighbour_evidence(model: PlantedModel, relation: str, graph: MultimodalGraph) -> np.ndarray:
    """Log-likelihood `[num_nodes, num_communities]` of a node's links, given the communities of all *other* nodes.

    Up to a constant per node, it is the sum over all others of the ratios of `link_evidence`, each counted for the
    group of the other node. A pair of a relation that is not symmetric counts twice, once in each direction.
    """
    law, layout, n = model.laws[relation], model.layout, model.num_nodes
    linked, unlinked = link_evidence(model, relation)
    group, level = law.group[layout.community()], layout.level()
    source, target = graph.relations[relation].edge_index.numpy()
    gain = (linked - unlinked)[level[source], level[target]]
    total = np.zeros(n * law.num_groups)
    for one, other in ((source, target), (target, source)):
        total += np.bincount(one * law.num_groups + group[other], weights=gain, minlength=len(total))
    evidence = total.reshape(n, law.num_groups)
    members = np.zeros((law.num_groups, layout.num_levels))
    np.add.at(members, law.group, layout.count)
    directions = 1 if law.symmetric else 2
    evidence += directions * (members @ unlinked.T).T[level]
    evidence[np.arange(n), group] -= directions * unlinked[level, level]  # a node is no other node
    return np.asarray(evidence[:, law.group])


def posterior(
    model: PlantedModel,
    graph: MultimodalGraph,
    *,
    modalities: Iterable[str] | None = None,
    relations: Iterable[str] | None = None,
) -> np.ndarray:
    """Probability of each community, for every node, given its features and the communities of all other nodes.

    Args:
        model: The model that made the graph.
        graph: The graph, in its original order.
        modalities: Modalities that are looked at, all by default.
        relations: Relations whose neighbours are looked at, all by default.

    Returns:
        `[num_nodes, num_communities]`.

    Raises:
        InputError: If a name is not known.
    """
    log_odds = np.zeros((model.num_nodes, model.config.num_communities))
    for name in chosen("modality", modalities, model.modalities):
        features = graph.features[name]
        log_odds += feature_evidence(model, name, features.rows().numpy(), features.present.numpy())
    for name in chosen("relation", relations, model.laws):
        log_odds += neighbour_evidence(model, name, graph)
    return np.asarray(np.exp(log_odds - logsumexp(log_odds, axis=1, keepdims=True)))


def marginal(model: PlantedModel, probability: np.ndarray, target: Iterable[str] | None) -> np.ndarray:
    """Probabilities of the values of some factors, from those of communities: `[n, num_values]`.

    Raises:
        InputError: If a factor is not known.
    """
    group, size = model.groups(chosen("factor", target, model.factors))
    out = np.zeros((len(probability), size))
    np.add.at(out.T, group, probability.T)
    return out
