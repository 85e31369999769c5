from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, ndtr

from mmgraph.errors import InputError
from mmgraph.metrics.classification import accuracy
from mmgraph.synthetic import label_bounds
from mmgraph.synthetic.label_bounds import best_accuracy, orthogonal_accuracy
from mmgraph.synthetic.planted import PlantedGraph, planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality, PlantedRelation
from mmgraph.synthetic.planted_evidence import neighbour_evidence
from mmgraph.synthetic.planted_model import PlantedModel
from mmgraph.tasks.probe import fit_probe

SEEN = [
    ((), ()),
    (("text",), ()),
    (("image",), ()),
    (("text", "image"), ()),
    ((), ("similar",)),
    (("text",), ("similar",)),
    (None, None),
]


def test_accuracy_of_orthogonal_centres() -> None:
    for size in (2, 3, 10):
        assert orthogonal_accuracy(size, 0.0) == 1 / size
        assert orthogonal_accuracy(size, 1e-12) == pytest.approx(1 / size, abs=1e-5)
        assert orthogonal_accuracy(size, 1e4) == pytest.approx(1.0)
    for precision in (0.3, 2.0, 9.0):
        assert orthogonal_accuracy(2, precision) == pytest.approx(ndtr(math.sqrt(precision / 2)))  # by symmetry
        score = np.random.default_rng(0).standard_normal((200_000, 5)) * math.sqrt(precision)
        score[:, 0] += precision
        assert orthogonal_accuracy(5, precision) == pytest.approx((score.argmax(axis=1) == 0).mean(), abs=0.005)


@pytest.mark.parametrize("target", [None, ("colour",)])
@pytest.mark.parametrize(("modalities", "relations"), SEEN)
@pytest.mark.parametrize("name", ["plain", "rich"])
def test_the_oracle_reaches_the_bound(
    request: pytest.FixtureRequest,
    name: str,
    modalities: tuple[str, ...] | None,
    relations: tuple[str, ...] | None,
    target: tuple[str, ...] | None,
) -> None:
    planted: PlantedGraph = request.getfixturevalue(name)
    truth = planted.truth
    bound = truth.best_accuracy(target, modalities=modalities, relations=relations)
    chance = truth.probabilities(planted.graph, target, modalities=modalities, relations=relations)
    assert torch.allclose(chance.sum(dim=1), torch.ones(()).double())
    reached = accuracy(chance.argmax(dim=1), truth.values(*(target or truth.model.factors)))
    error = math.hypot(math.sqrt(reached * (1 - reached) / planted.graph.num_nodes), bound.standard_error)
    assert abs(reached - bound.value) < 3.5 * error
    assert (bound.standard_error == 0) == (
        not relations and relations is not None and (name == "plain" or modalities in ((), ("text",)))
    )
    assert bound.standard_error < 0.005
    # The oracle's own confidence is right too.
    assert float(chance.amax(dim=1).mean()) == pytest.approx(bound.value, abs=4 * error)


def test_exact_and_drawn_bounds_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PlantedConfig(
        modalities=(
            PlantedModality("text", ("colour",), noise=0.9, missing=0.3),
            PlantedModality("image", ("colour", "shape"), noise=1.1, missing=0.4),
        )
    )
    model = PlantedModel(config)
    for target in (None, ("colour",), ("shape",)):
        exact = best_accuracy(model, target, relations=())
        factors = list(config.factors) if target is None else list(target)
        drawn = label_bounds._sample(model, factors, ["text", "image"], [], 40_000, 0, 0)
        assert drawn.mean() == pytest.approx(exact.value, abs=4 * drawn.std() / 200)


def test_more_to_see_is_never_worse_and_noise_says_nothing(plain: PlantedGraph) -> None:
    best = plain.truth.best_accuracy
    text, image = (best(modalities=[name], relations=()).value for name in ("text", "image"))
    both = best(relations=()).value
    neighbours, everything = best(modalities=(), relations=["similar"]), best()
    assert 1 / 12 < image < text < both < everything.value - 10 * everything.standard_error
    assert neighbours.value < everything.value - 10 * everything.standard_error
    assert best(modalities=(), relations=["noise"]).value == pytest.approx(1 / 12)
    assert best(("colour",), modalities=["image"], relations=()).value == pytest.approx(1 / 4)
    assert best(modalities=(), relations=()).value == pytest.approx(1 / 12)


def test_what_is_missing_may_say_something() -> None:
    shown = PlantedModality("text", (), missing=0.0)
    model = PlantedModel(PlantedConfig(modalities=(shown,), relations=()))
    assert best_accuracy(model).value == pytest.approx(1 / 12)
    model = PlantedModel(PlantedConfig(modalities=(replace(shown, absent_communities=2),), relations=()))
    # Two communities lack it, ten have it: one of two, or of ten, can be guessed.
    bound = best_accuracy(model)
    assert bound.value == pytest.approx(2 / 12, abs=4 * bound.standard_error)
    model = PlantedModel(PlantedConfig(modalities=(replace(shown, missing=1.0, absent_communities=2),), relations=()))
    assert best_accuracy(model).value == pytest.approx(1 / 12)


def literal_evidence(planted: PlantedGraph, relation: str) -> np.ndarray:
    """Log-likelihood of all pairs of a node, pair by pair."""
    model = planted.truth.model
    law, community, level = model.laws[relation], model.layout.community(), model.layout.level()
    n, edges = model.num_nodes, set(zip(*planted.graph.relations[relation].edge_index.tolist(), strict=True))
    out = np.zeros((n, model.config.num_communities))
    for i in range(n):
        for k in range(model.config.num_communities):
            for j in range(n):
                if i == j:
                    continue
                same = 0 if law.group[k] == law.group[community[j]] else 1
                chance = (1 - model.config.holdout) * law.probability[same, level[i], level[j]]
                pairs = [(min(i, j), max(i, j))] if law.symmetric else [(i, j), (j, i)]
                out[i, k] += sum(math.log(chance) if pair in edges else math.log1p(-chance) for pair in pairs)
    return out


@pytest.mark.parametrize("relation", ["similar", "palette", "noise"])
def test_evidence_of_links_is_the_likelihood_of_all_pairs(rich: PlantedGraph, relation: str) -> None:
    planted = planted_graph(replace(rich.truth.model.config, num_nodes=40), seed=5)
    found, expected = (
        neighbour_evidence(planted.truth.model, relation, planted.graph),
        literal_evidence(planted, relation),
    )
    assert found - logsumexp(found, axis=1, keepdims=True) == pytest.approx(
        expected - logsumexp(expected, axis=1, keepdims=True), abs=1e-9
    )


def test_edges_that_settle_everything_are_no_trouble() -> None:
    pure = PlantedConfig(num_nodes=600, modalities=(), relations=(PlantedRelation("r", 4.0, homophily=1.0),))
    planted = planted_graph(pure)
    linked = torch.zeros(600, dtype=torch.bool)
    linked[planted.graph.relations["r"].edge_index.flatten()] = True
    chance = planted.truth.probabilities(planted.graph)
    assert bool((chance.argmax(dim=1) == planted.truth.community)[linked].all())
    assert 0.99 < planted.truth.best_accuracy().value < 1


def probe_accuracy(planted: PlantedGraph, x: torch.Tensor, target: torch.Tensor) -> float:
    split = np.array(planted.labels["split"].slice(0, 2000).to_pylist())
    rows = {name: torch.from_numpy(np.flatnonzero(split == name)) for name in ("train", "valid", "test")}
    sides = [(x[rows[name]], target[rows[name]]) for name in ("train", "valid")]
    probe = fit_probe(sides[0], sides[1], int(target.max()) + 1)
    return accuracy(probe.logits(x[rows["test"]]).argmax(dim=1), target[rows["test"]])


def test_a_linear_probe_comes_close_and_does_not_pass(plain: PlantedGraph) -> None:
    both = torch.cat([plain.graph.features[name].values for name in ("text", "image")], 1)
    bound, luck = plain.truth.best_accuracy(relations=()).value, 3.5 * 0.5 / math.sqrt(400)
    assert bound - 0.1 < probe_accuracy(plain, both, plain.truth.community) < bound + luck


def test_smoothing_over_neighbours_passes_the_modalities_but_not_the_bound(plain: PlantedGraph) -> None:
    x = torch.cat([plain.graph.features[name].values for name in ("text", "image")], 1)
    source, target = plain.graph.message_edges(["similar"])[0]
    smooth = torch.zeros_like(x).index_add_(0, target, x[source])
    reached = probe_accuracy(plain, torch.cat([x, smooth], 1), plain.truth.community)
    alone = plain.truth.best_accuracy(relations=()).value
    bound = plain.truth.best_accuracy().value
    assert alone + 0.05 < reached < bound


def test_unknown_names(plain: PlantedGraph) -> None:
    with pytest.raises(InputError, match=r"^unknown modality 'txt'; choose from: text, image$"):
        plain.truth.best_accuracy(modalities=["txt"])
    with pytest.raises(InputError, match=r"^unknown relation 'x'; choose from: noise, similar$"):
        plain.truth.best_accuracy(relations=["x"])
    with pytest.raises(InputError, match=r"^unknown factor 'size'; choose from: "):
        plain.truth.best_accuracy(["size"])
