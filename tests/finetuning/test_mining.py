"""Hard negatives: the nearest wrong nodes, none that answers a query or is too close to an answer."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from types import SimpleNamespace

import pyarrow.compute as pc
import pytest
import torch
from torch.nn.functional import normalize

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune, make_problem
from mmgraph.finetuning.mining import Answers, mine
from mmgraph.nn.saving import encoder_digest
from mmgraph.training.trainer import Trainer

# Query 0 is answered by a; query 1 by b and f. c has an edge to a; d has the text of b; e and g are nothing to anyone.
NAMES = ["a", "b", "c", "d", "e", "f", "g"]
TEXT = torch.tensor([[1.0, 0], [2.0, 0], [3.0, 0], [2.0, 0], [4.0, 0], [5.0, 0], [0.0, 0]])
HAS_TEXT = torch.tensor([True, True, True, True, True, True, False])


@pytest.fixture
def answers() -> Answers:
    graph = MultimodalGraph(
        "small",
        NodeIds(NAMES),
        ("item",),
        torch.zeros(7, dtype=torch.int64),
        {"near": Relation(torch.tensor([[2], [0]]), "item", "item")},
        {"text": ModalityFeatures(FeatureSpec("text", "fake", 2), TEXT, HAS_TEXT)},
    )
    return Answers(graph, torch.tensor([0, 1, 1]), torch.tensor([0, 1, 5]), 2)


def test_what_is_right_and_what_is_too_close(answers: Answers) -> None:
    queries, nodes = torch.tensor([1, 0]), torch.tensor([6, 5, 4, 3, 2, 1, 0])

    def names(mask):
        return ["".join(NAMES[int(n)] for n in nodes[row]) for row in mask]

    assert names(answers.right(queries, nodes)) == ["fb", "a"]
    assert names(answers.protected(queries, nodes)) == ["fdb", "ca"]


def _mined(answers: Answers, cosines: list[list[float]], count: int, margin: float | None, candidates=range(7)):
    """Mine with planted cosines: nodes are the axes, queries the combinations."""
    asked, axes = torch.tensor(cosines), torch.eye(7)
    chosen = torch.tensor(list(candidates))
    best = torch.stack([asked[0, 0], asked[1, [1, 5]].max()])
    found = mine(asked, axes[chosen], chosen, answers, best=best, count=count, margin=margin)
    return [["" if n < 0 else NAMES[n] for n in row] for row in found.tolist()]


def test_the_nearest_wrong_nodes_by_hand(answers: Answers) -> None:
    #            a    b    c    d    e    f    g
    cosines = [[0.5, 0.1, 0.9, 0.3, 0.2, 0.6, 0.4], [0.9, 0.5, 0.8, 0.7, 0.6, 0.1, 0.3]]
    assert _mined(answers, cosines, 2, None) == [["f", "g"], ["a", "c"]]
    # Nearest answers at 0.5: nothing above 0.5 - 0.1 (f at 0.6 goes, g at 0.4 stays); of query 1 only g is left.
    assert _mined(answers, cosines, 2, 0.1) == [["g", "d"], ["g", ""]]
    assert _mined(answers, cosines, 9, None, candidates=[0, 2, 6]) == [["g", *[""] * 8], ["a", "c", "g", *[""] * 6]]


def test_copies_without_a_modality_are_not_copies(answers: Answers) -> None:
    """Rows of absent features hold anything; g's equal nobody's."""
    values = TEXT.clone()
    values[6] = values[0]
    text = ModalityFeatures(FeatureSpec("text", "fake", 2), values, HAS_TEXT)
    graph = replace(answers.graph, features={"text": text})
    again = Answers(graph, answers.query_of_pair, answers.node_of_pair, 2)
    assert not again.protected(torch.tensor([0]), torch.tensor([6])).item()


def test_chunks_do_not_matter(answers: Answers, monkeypatch) -> None:
    asked = torch.rand(2, 7, generator=torch.Generator().manual_seed(0)).tolist()
    whole = _mined(answers, asked, 3, None)
    monkeypatch.setattr("mmgraph.finetuning.mining.SCORES_PER_CHUNK", 7)
    assert _mined(answers, asked, 3, None) == whole


@pytest.mark.parametrize("conv", ["sign", "sage"])
def test_mined_nodes_are_candidates_that_no_train_query_asks_for(toy, encoder_of, settings, conv: str) -> None:
    config = settings(hard_negatives=4, mining_sample=25)
    task = toy.tasks["descriptions"]
    problem = make_problem(encoder_of(toy.graph, conv), toy.graph, task, config)
    assert problem.loss(0).item() > 0
    nodes = problem.head.nodes
    queries = sorted(set(task.queries.filter(pc.equal(task.queries["split"], "train"))["query"].to_pylist()))
    ids = toy.graph.node_ids.values
    pairs = {(row["query"], row["id"]) for row in task.queries.to_pylist() if row["split"] == "train"}
    types = {int(toy.graph.node_type[toy.graph.node_ids.positions([i], where="")[0]]) for _, i in pairs}
    drawn = nodes[nodes >= 0]
    assert 4 < drawn.unique().numel() <= 25
    assert set(toy.graph.node_type[drawn].tolist()) <= types
    assert all((query, ids[n]) not in pairs for query, row in zip(queries, nodes, strict=True) for n in row[row >= 0])
    before = nodes.clone()
    problem.loss(config.refresh_every - 1)
    assert torch.equal(problem.head.nodes, before)
    problem.loss(config.refresh_every)
    assert not torch.equal(problem.head.nodes, before)  # another sample


def test_the_loss_by_hand_and_without_hard_negatives_as_before(toy, encoder_of, settings) -> None:
    """Softmax over answers of the batch, uniform nodes, and each query's own mined nodes."""
    task, encoder = toy.tasks["descriptions"], encoder_of(toy.graph)
    for count, share in ((0, 0.0), (3, 0.0), (3, 2.0)):
        config = settings(hard_negatives=count, batch_size=5, own_content=share)
        problem = make_problem(encoder, toy.graph, task, config)
        loss = problem.loss(0)
        seen: dict[str, torch.Tensor] = {}
        real = problem.vectors.of
        problem.vectors = SimpleNamespace(of=lambda rows, step, seen=seen, real=real: _spy(rows, step, seen, real))
        assert torch.equal(problem.loss(0), loss)
        chosen, rows = problem.order.seeds(0), seen["rows"]
        unit = normalize(real(rows, 0), dim=1)
        asked = normalize(problem._embed_queries(chosen), dim=1)
        every = asked @ unit.t() / problem.config.temperature
        own = problem.head.nodes[chosen]
        shared = (~torch.isin(rows, own.flatten()) | torch.isin(rows, _pool(problem, chosen))).expand(len(chosen), -1)
        mine_too = shared | (rows.unsqueeze(0).unsqueeze(2) == own.unsqueeze(1)).any(dim=2)
        right = problem.answers.right(chosen, rows)
        up = every.exp()
        losses = -((up * right).sum(1) / (up * mine_too).sum(1)).log()
        asked_own = problem._own_nodes(chosen.numel(), 0)
        assert 2 * chosen.numel() >= asked_own.numel() >= 1 if share else asked_own.numel() == 0
        if share:  # nodes asked for by their own text: a node is right if it has that text
            text = toy.graph.features["text"]
            assert text.present[asked_own].all()
            features = {name: item.take(asked_own) for name, item in toy.graph.features.items()}
            features["image"] = replace(features["image"], present=torch.zeros(asked_own.numel(), dtype=torch.bool))
            names = encoder.encode_content(features, asked_own.numel(), graph_name=toy.graph.name).embedding
            up = (normalize(names, dim=1) @ unit.t() / problem.config.temperature).exp()[:, shared[0]]
            same = (text.values[asked_own].unsqueeze(1) == text.values[rows]).all(dim=2) & text.present[rows]
            losses = torch.cat([losses, -((up * same[:, shared[0]]).sum(1) / up.sum(1)).log()])
        torch.testing.assert_close(loss, losses.mean())
        assert (count == 0) == (mine_too.all().item())


def _spy(rows, step, seen, real):
    seen["rows"] = rows
    return real(rows, step)


def _pool(problem, chosen):
    """Answers of the batch and its uniform negatives: the draw does not depend on what was mined."""
    from mmgraph.seeding import generator

    random = generator(problem.seed, "negatives", 0)
    drawn = torch.randint(problem.candidates.numel(), (problem.config.num_negatives,), generator=random)
    right = problem.node_of_pair[torch.isin(problem.query_of_pair, chosen)]
    return torch.cat([right, problem.candidates[drawn], problem._own_nodes(chosen.numel(), 0)])


@pytest.mark.parametrize("stop", [7])
def test_an_interrupted_run_goes_on_with_the_same_mined_nodes(
    toy, encoder_of, settings, tmp_path, stop: int, monkeypatch
) -> None:
    """Interrupted in the middle of a round: what was mined came from weights that are gone."""
    config = settings(hard_negatives=4, refresh_every=5, init="random", encoder_lr=1.0)

    def call(out: str):
        return finetune(encoder_of(toy.graph), toy.graph, toy.tasks["descriptions"], config, out=tmp_path / out)

    whole = call("whole")
    fit = Trainer.fit

    def interrupted(self, run_step, **options):
        def step(number):
            if number == stop:
                signal.raise_signal(signal.SIGINT)
            return run_step(number)

        return fit(self, step, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call("parts")
    parts = call("parts")
    assert parts.result == whole.result
    assert encoder_digest(parts.encoder) == encoder_digest(whole.encoder)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hard_negatives": -1}, "hard_negatives must be 0 or more, got -1"),
        ({"hard_margin": 3.0}, "hard_margin must lie in 0..2 or be none, got 3.0"),
        ({"own_content": -0.5}, "own_content must be 0 or more, got -0.5"),
        ({"mining_sample": 0}, "mining_sample must be at least 1, got 0"),
    ],
)
def test_bad_settings(change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FinetuneConfig(**change)
