"""Fine-tuning on each kind of task: it learns, stops by valid alone, comes back the same, and can be resumed."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.finetuning import finetune as module
from mmgraph.finetuning.finetune import finetune, resume_finetune
from mmgraph.finetuning.stopping import read_looks
from mmgraph.inference.embed import embed
from mmgraph.nn.saving import encoder_digest
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.training.loading import load_model
from mmgraph.training.trainer import Trainer

TASKS = ("community", "price", "links", "recommend", "descriptions")


@pytest.mark.parametrize("conv", ["sign", "gat", "sage"])
@pytest.mark.parametrize("mode", ["frozen", "adapter", "full"])
@pytest.mark.parametrize("name", TASKS)
def test_it_learns_what_it_may(toy, encoder_of, settings, tmp_path, name: str, mode: str, conv: str) -> None:
    encoder = encoder_of(toy.graph, conv)
    before = encoder_digest(encoder)
    run = finetune(encoder, toy.graph, toy.tasks[name], settings(mode=mode), out=tmp_path / "run")
    assert encoder_digest(encoder) == before  # the given model stays as it is
    history = read_looks(tmp_path / "run")
    assert history[0]["step"] == 0
    best = max(history, key=lambda look: tuple(look["score"]))
    assert run.result["best_step"] == best["step"]
    assert run.result["valid"] == best["metrics"]
    if mode == "frozen":
        if conv != "sign":  # a `SignEncoder` has been given room for the graph, in vain
            assert encoder_digest(run.encoder) == before
    elif best["step"] > 0:
        assert encoder_digest(run.encoder) != before


@pytest.mark.parametrize("name", TASKS)
def test_training_improves_on_a_random_start(toy, encoder_of, settings, tmp_path, name: str) -> None:
    config = settings(steps=60, eval_every=10, init="random", encoder_lr=1.0)
    run = finetune(encoder_of(toy.graph), toy.graph, toy.tasks[name], config, out=tmp_path / "run")
    history = read_looks(tmp_path / "run")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    assert run.result["valid"] == max(history, key=lambda look: tuple(look["score"]))["metrics"]
    if name not in ("community", "price"):  # their heads start at the best linear model
        assert tuple(run.result["valid"].values()) != tuple(history[0]["metrics"].values())


@pytest.mark.parametrize("name", TASKS)
def test_test_data_changes_nothing_but_the_result(toy, encoder_of, settings, tmp_path, name: str) -> None:
    """Permuted test labels and queries, other links and likes: every choice and every weight stays as it was."""
    task, other = toy.tasks[name], _with_permuted_test(toy.tasks[name])
    assert other.digest != task.digest
    runs = [
        finetune(encoder_of(toy.graph), toy.graph, one, settings(), out=tmp_path / str(number))
        for number, one in enumerate((task, other))
    ]
    states = [torch.load(tmp_path / str(number) / "last.pt", weights_only=True)["modules"] for number in (0, 1)]
    for part in ("encoder", "head"):
        assert states[0][part].keys() == states[1][part].keys()
        assert all(torch.equal(states[0][part][key], states[1][part][key]) for key in states[0][part])
    if name != "links":  # known pairs of the test split are no candidates in validation either
        assert encoder_digest(runs[0].encoder) == encoder_digest(runs[1].encoder)
        history = [(tmp_path / str(number) / "validation.json").read_text() for number in (0, 1)]
        assert history[0] == history[1]


def _with_permuted_test(task):
    def permuted(table: pa.Table, column: str) -> pa.Table:
        rows = np.flatnonzero(pc.equal(table["split"], "test").to_numpy())
        order = np.arange(table.num_rows)
        order[rows] = np.roll(rows, 1)
        return table.set_column(table.column_names.index(column), column, table[column].take(pa.array(order)))

    if isinstance(task, NodeClassificationTask):
        return NodeClassificationTask(task.name, permuted(task.labels, "label"), task.multi_label)
    if isinstance(task, NodeRegressionTask):
        return NodeRegressionTask(task.name, permuted(task.values, "value"))
    if isinstance(task, NodeRetrievalTask):
        return NodeRetrievalTask(task.name, task.modality, permuted(task.queries, "id"), task.root)
    table = task.edges if isinstance(task, LinkPredictionTask) else task.interactions
    rows = np.flatnonzero(pc.equal(table["split"], "test").to_numpy())
    kept = table.take(pa.array(np.delete(np.arange(table.num_rows), rows[:3])))
    if isinstance(task, LinkPredictionTask):
        return LinkPredictionTask(task.name, kept)
    return RecommendationTask(task.name, task.relation, task.user_type, task.item_type, kept)


@pytest.mark.parametrize("name", TASKS)
def test_the_same_call_gives_the_same_bits_and_a_finished_run_is_not_repeated(
    toy, encoder_of, settings, tmp_path, name: str, monkeypatch
) -> None:
    def call(out: str):
        return finetune(encoder_of(toy.graph), toy.graph, toy.tasks[name], settings(), out=tmp_path / out)

    first, second = call("first"), call("second")
    assert encoder_digest(first.encoder) == encoder_digest(second.encoder)
    assert first.result == second.result
    monkeypatch.setattr(module, "make_problem", lambda *_: pytest.fail("computed again"))
    again = call("first")
    assert again.result == first.result
    assert encoder_digest(again.encoder) == encoder_digest(first.encoder)


@pytest.mark.parametrize("conv", ["sign", "sage"])
@pytest.mark.parametrize("name", TASKS)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    toy, encoder_of, settings, tmp_path, name: str, conv: str, monkeypatch
) -> None:
    def call(out: str):
        return finetune(
            encoder_of(toy.graph, conv), toy.graph, toy.tasks[name], settings(mode="adapter"), out=tmp_path / out
        )

    whole = call("whole")
    fit = Trainer.fit

    def interrupted(self, run_step, **options):
        def step(number):
            if number == 7:
                signal.raise_signal(signal.SIGINT)
            return run_step(number)

        return fit(self, step, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call("parts")
    assert not (tmp_path / "parts" / "result.json").exists()
    parts = call("parts")
    assert parts.result == whole.result
    assert encoder_digest(parts.encoder) == encoder_digest(whole.encoder)


def test_a_kill_after_a_better_look_loses_nothing(toy, encoder_of, settings, tmp_path, monkeypatch) -> None:
    """The weights of the best look are written before the checkpoint: a run that dies in between sees it again."""

    def call(out: str):
        config = settings(steps=30, init="random", encoder_lr=1.0)
        return finetune(encoder_of(toy.graph), toy.graph, toy.tasks["links"], config, out=tmp_path / out)

    whole = call("whole")
    save = Trainer.save

    def dies(self) -> None:
        if self.step == 9:
            raise MemoryError
        save(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", dies)
        with pytest.raises(MemoryError):
            call("parts")
    parts = call("parts")
    assert parts.result == whole.result
    assert encoder_digest(parts.encoder) == encoder_digest(whole.encoder)


def test_damaged_files_of_a_run_are_refused_or_replaced(toy, encoder_of, settings, tmp_path, caplog) -> None:
    config = settings(steps=8, eval_every=2, patience=100)

    def call():
        return finetune(encoder_of(toy.graph), toy.graph, toy.tasks["community"], config, out=tmp_path / "run")

    whole = call()
    for name, repairs in (("best.safetensors", False), ("validation.json", False), ("last.pt", True)):
        (tmp_path / "run" / "result.json").unlink()
        path = tmp_path / "run" / name
        data = path.read_bytes()
        place = len(data) // 2
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        if not repairs:
            with pytest.raises(InputError, match=f"{name}: (the file was changed|the file is damaged|expected JSON)"):
                call()
            path.write_bytes(data)
        again = call()
        assert again.result == whole.result
        assert encoder_digest(again.encoder) == encoder_digest(whole.encoder)
    assert "previous.pt, step 6" in caplog.text


def test_the_last_step_is_looked_at_too(toy, encoder_of, settings, tmp_path) -> None:
    config = settings(steps=8, eval_every=3)
    finetune(encoder_of(toy.graph), toy.graph, toy.tasks["community"], config, out=tmp_path / "run")
    history = read_looks(tmp_path / "run")
    assert [look["step"] for look in history] == [0, 3, 6, 8]


def test_adapters_are_folded_into_a_plain_model(toy, encoder_of, settings, tmp_path) -> None:
    config = settings(mode="adapter", init="random", encoder_lr=1.0, steps=30)
    run = finetune(encoder_of(toy.graph), toy.graph, toy.tasks["recommend"], config, out=tmp_path / "run")
    assert run.result["best_step"] > 0
    loaded = load_model(tmp_path / "run", graph=toy.graph)
    assert not any("down" in name for name in loaded.state_dict())
    torch.testing.assert_close(embed(loaded, toy.graph).vectors, embed(run.encoder, toy.graph).vectors)


def test_predictions_and_report_carry_ids_and_names(toy, encoder_of, settings, tmp_path) -> None:
    finetune(encoder_of(toy.graph), toy.graph, toy.tasks["community"], settings(), out=tmp_path / "labels")
    predicted = pq.read_table(tmp_path / "labels" / "predictions.parquet")
    assert set(predicted["id"].to_pylist()) == set(toy.graph.node_ids.values.tolist())
    assert set(predicted["label"].to_pylist()) <= set(toy.tasks["community"].classes)
    finetune(encoder_of(toy.graph), toy.graph, toy.tasks["links"], settings(), out=tmp_path / "links")
    report = pq.read_table(tmp_path / "links" / "report.parquet").to_pylist()
    asked = 2 * toy.tasks["links"].num_examples("test")
    assert [row["count"] for row in report if row["group"] == "relation"] == [asked]
    assert sum(row["count"] for row in report if row["group"] == "degree") == asked


def test_a_frozen_linear_head_is_the_probe(toy, encoder_of, settings, tmp_path) -> None:
    encoder, task = encoder_of(toy.graph), toy.tasks["community"]
    finetune(encoder, toy.graph, task, settings(mode="frozen"), out=tmp_path / "run")
    history = read_looks(tmp_path / "run")
    expected = task.evaluate(embed(encoder, toy.graph), toy.graph, split="valid")["accuracy"]
    assert history[0]["metrics"]["accuracy"] == pytest.approx(expected)


def test_links_without_training_are_the_cosine(toy, encoder_of, settings, tmp_path) -> None:
    encoder = encoder_of(toy.graph)
    for decoder in ("cosine", "relation", "mlp"):
        config = settings(mode="frozen", decoder=decoder, steps=3)
        finetune(encoder, toy.graph, toy.tasks["links"], config, out=tmp_path / decoder)
        history = read_looks(tmp_path / decoder)
        expected = toy.tasks["links"].evaluate(embed(encoder, toy.graph), toy.graph, split="valid")
        assert history[0]["metrics"]["mrr"] == pytest.approx(expected["mrr"], abs=0.02)


def test_bad_calls(toy, encoder_of, settings, tmp_path) -> None:
    encoder, task = encoder_of(toy.graph), toy.tasks["community"]
    with pytest.raises(InputError, match="needs a pre-trained model, got none"):
        finetune(None, toy.graph, task, settings(), out=tmp_path / "a")
    with pytest.raises(InputError, match="needs the dataset folder"):
        finetune(encoder, toy.graph, "community", settings(), out=tmp_path / "a")
    with pytest.raises(InputError, match="unknown task 'comunity'"):
        finetune(encoder, toy.folder, "comunity", settings(), out=tmp_path / "a")
    finetune(encoder, toy.graph, task, settings(), out=tmp_path / "b")
    with pytest.raises(InputError, match="other settings: batch_size is 32 there and 16 here"):
        finetune(encoder, toy.graph, task, settings(batch_size=16), out=tmp_path / "b")
    with pytest.raises(InputError, match="another task"):
        finetune(encoder, toy.graph, toy.tasks["links"], settings(), out=tmp_path / "b")
    with pytest.raises(InputError, match="given in memory"):
        resume_finetune(tmp_path / "b")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(InputError, match="holds no run"):
        finetune(encoder, toy.graph, task, settings(), out=tmp_path / "full")
    empty = replace(toy.graph, relations={"likes": toy.graph.relations["likes"]})
    with pytest.raises(InputError, match="has no edge of similar to learn from"):
        finetune(encoder_of(empty), empty, toy.tasks["links"], settings(), out=tmp_path / "c")


def test_balanced_weights_help_the_rare_class() -> None:
    from mmgraph.finetuning.classification import _class_weight

    weight = _class_weight(torch.tensor([0, 0, 0, 1]), 2)
    torch.testing.assert_close(weight, torch.tensor([4 / 6, 2.0]))
    labels = torch.tensor([[True, False], [True, False], [False, True], [True, False]])
    torch.testing.assert_close(_class_weight(labels, 2), torch.tensor([1.0, 3.0]))


def test_a_held_out_pair_is_not_in_the_graph_that_it_is_learnt_from(toy, encoder_of, settings) -> None:
    from mmgraph.finetuning.ranking import LinkProblem

    problem = LinkProblem(encoder_of(toy.graph), toy.graph, toy.tasks["links"], settings())
    vectors, targets = problem._held_out(0)
    n = toy.graph.num_nodes
    left = {tuple(sorted(pair)) for pair in vectors.graph.message_edges()[0].t().tolist()}
    gone = {tuple(sorted(pair)) for pair in targets.edge_index.t().tolist()}
    assert gone
    assert not gone & left
    likes = vectors.graph.relations["likes"].num_edges
    assert likes >= toy.graph.relations["likes"].num_edges - len(gone)
    other = problem._held_out(1)[1]
    assert {tuple(sorted(pair)) for pair in other.edge_index.t().tolist()} != gone
    assert max(max(pair) for pair in gone) < n


def test_scores_of_other_candidates_are_not_taken_from_memory(toy, encoder_of, settings) -> None:
    """Fixed negatives ask for other candidates each time, which may be as many and start alike."""
    from mmgraph.finetuning.ranking import LinkProblem

    score = LinkProblem(encoder_of(toy.graph), toy.graph, toy.tasks["links"], settings(decoder="cosine")).scorer()
    queries = torch.arange(3)
    some, others = torch.tensor([4, 7, 9]), torch.tensor([4, 8, 10])
    whole = score(queries, 0, torch.arange(toy.graph.num_nodes))
    torch.testing.assert_close(score(queries, 0, some), whole[:, some])
    torch.testing.assert_close(score(queries, 0, others), whole[:, others])


def test_a_tiny_graph_holds_out_all_that_is_asked_and_nothing_else(toy, encoder_of, settings) -> None:
    from mmgraph.finetuning.ranking import LinkProblem

    problem = LinkProblem(encoder_of(toy.graph), toy.graph, toy.tasks["links"], settings(hold_out=0.0))
    vectors, targets = problem._held_out(0)
    assert vectors.graph.relations["similar"].num_edges == 0
    asked = list(toy.graph.relations).index("similar")
    assert set((targets.edge_type // 2).tolist()) == {asked}


def test_run_folders_of_datasets_are_resumed_from_disk(toy, encoder_of, settings, tmp_path: Path, monkeypatch) -> None:
    from mmgraph.nn.saving import save_encoder

    save_encoder(encoder_of(toy.graph), tmp_path / "pretrained" / "model")
    fit = Trainer.fit

    def interrupted(self, run_step, **options):
        def step(number):
            if number == 4:
                signal.raise_signal(signal.SIGINT)
            return run_step(number)

        return fit(self, step, **options)

    whole = finetune(tmp_path / "pretrained", toy.folder, "recommend", settings(), out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            finetune(tmp_path / "pretrained", toy.folder, "recommend", settings(), out=tmp_path / "parts")
    assert resume_finetune(tmp_path / "parts").result == whole.result
