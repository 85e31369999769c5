from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.store import load_graph
from mmgraph.encoders.folder import encode_folder
from mmgraph.errors import InputError
from mmgraph.inference.embed import embed
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.tasks.base import load_tasks
from mmgraph.testing.datasets import fake_encoders, make_dataset
from mmgraph.training import evaluate
from mmgraph.training.config import PretrainConfig
from mmgraph.training.evaluate import evaluate_run, query_encoder, random_copy, tables_by_task
from mmgraph.training.loading import load_model
from mmgraph.training.pretrain import pretrain

ENCODER = EncoderConfig(dim=16, moe=MoEConfig(num_experts=2, top_k=1), gnn=GNNConfig(conv="sign"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(folder / "cache"))
        graph = make_dataset(folder / "toy")
        encode_folder(graph, encoders={"text": None, "image": None})
        pretrain([graph], PretrainConfig(steps=2, device="cpu", encoder=ENCODER), out=folder / "run")
        yield folder / "run", graph


def test_every_model_on_every_task(places: tuple[Path, Path]) -> None:
    run, graph = places
    records = evaluate_run(run, graph)
    models = {task: {r.model for r in records if r.task == task} for task in load_tasks(graph)}
    tables = {"trained", "random init", "raw features", "smoothed features"}
    assert models["community"] == models["links"] == models["descriptions"] == tables
    assert models["recommend"] == tables | {"popularity", "item-knn"}
    assert all(r.split == "test" and r.graph == "toy" for r in records)


def test_records_are_those_of_the_embeddings(places: tuple[Path, Path]) -> None:
    run, graph = places
    records = {(r.task, r.model): r.metrics for r in evaluate_run(run, graph)}
    loaded, task = load_graph(graph), load_tasks(graph)["links"]
    encoder = load_model(run)
    assert task.evaluate(embed(encoder, loaded), loaded) == records["links", "trained"]
    assert task.evaluate(embed(random_copy(encoder, 0), loaded), loaded) == records["links", "random init"]
    assert records["links", "trained"] != records["links", "random init"]


def test_a_level_scores_nodes_and_queries_alike(places: tuple[Path, Path]) -> None:
    run, graph = places
    records = {(r.task, r.model): r.metrics for r in evaluate_run(run, graph, level="hybrid")}
    loaded, tasks = load_graph(graph), load_tasks(graph)
    encoder = load_model(run)
    table = embed(encoder, loaded, level="hybrid")
    assert tasks["links"].evaluate(table, loaded) == records["links", "trained"]
    queries = query_encoder(encoder, loaded, ["text"], level="hybrid")
    expected = tasks["descriptions"].evaluate(table, loaded, encode_query=lambda items: queries.encode(list(items)))
    assert expected == records["descriptions", "trained"]
    assert (run / "evaluation" / "toy-hybrid-text-1.0.json").is_file()
    assert (
        records["links", "raw features"]
        == {(r.task, r.model): r.metrics for r in evaluate_run(run, graph)}["links", "raw features"]
    )


def test_written_once_and_read_back(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, graph = places
    first = evaluate_run(run, graph, seed=3)
    content = json.loads((run / "evaluation" / "toy.json").read_text())
    assert content["records"] == [record.to_dict() for record in first]

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(evaluate, "evaluate_tables", refuse)
    assert evaluate_run(run, graph, seed=3) == first
    with pytest.raises(AssertionError, match="evaluated again"):
        evaluate_run(run, graph, seed=4)


def test_damaged_records_are_made_again_but_only_our_own(
    places: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, graph = places
    first = evaluate_run(run, graph, tasks=["links"], controls=())
    path = run / "evaluation" / "toy.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"links", b"lunks", 1))
    again = evaluate_run(run, graph, tasks=["links"], controls=())
    assert [record.metrics for record in again] == [record.metrics for record in first]
    assert "toy.json: the file was changed" in caplog.text
    assert evaluate_run(run, graph, tasks=["links"], controls=()) == again  # the file is whole again
    (tmp_path / "notes.txt").write_text("words of somebody")
    with pytest.raises(InputError, match="notes.txt: expected JSON"):
        evaluate_run(run, graph, tasks=["links"], controls=(), out=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "words of somebody"


def test_supervised_controls_on_request(places: tuple[Path, Path], tmp_path: Path) -> None:
    run, graph = places
    records = evaluate_run(
        run, graph, controls=("raw features", "supervised"), tasks=["community"], out=tmp_path / "r.json"
    )
    networks = ["supervised sage", "supervised gat", "supervised mlp"]
    assert [record.model for record in records] == ["trained", "raw features", *networks]


def test_without_controls_only_the_model(places: tuple[Path, Path], tmp_path: Path) -> None:
    run, graph = places
    records = evaluate_run(run, graph, controls=(), tasks=["recommend"], out=tmp_path / "r.json")
    assert [(r.task, r.model) for r in records] == [("recommend", "trained")]


def test_the_random_copy_is_seeded_and_different(places: tuple[Path, Path]) -> None:
    encoder = load_model(places[0])
    weights = [torch.cat([p.flatten() for p in random_copy(encoder, seed).parameters()]) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], torch.cat([p.flatten() for p in encoder.parameters()]))


def test_bad_names(places: tuple[Path, Path], tmp_path: Path) -> None:
    run, graph = places
    with pytest.raises(InputError, match="unknown task 'x'; choose from"):
        evaluate_run(run, graph, tasks=["x"])
    with pytest.raises(InputError, match="unknown control 'x'; choose from"):
        evaluate_run(run, graph, controls=["x"])
    with pytest.raises(InputError, match="no run there"):
        evaluate_run(tmp_path, graph)


def test_an_unfinished_run_says_how_to_go_on(places: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("env.json", "config.yaml"):
        (tmp_path / name).write_bytes((places[0] / name).read_bytes())
    with pytest.raises(InputError, match="not finished; go on with: mmgraph resume --run"):
        load_model(tmp_path)


def test_tables_for_a_terminal(places: tuple[Path, Path]) -> None:
    tables = tables_by_task(evaluate_run(*places))
    titles = [title for title, _, _ in tables]
    assert len(titles) == 4
    assert any("toy: links (link prediction," in title for title in titles)
    assert all(len(row) == len(columns) for _, columns, rows in tables for row in rows)


def test_a_graph_of_another_encoder_is_aligned_with_a_warning(places: tuple[Path, Path]) -> None:
    run, folder = places
    graph = load_graph(folder)
    text = graph.features["text"]
    wide = FeatureSpec("text", "other", text.spec.dim + 5)
    values = torch.cat([text.values, text.values[:, :5]], dim=1)
    other = replace(graph, features={"text": ModalityFeatures(wide, values, text.present)})
    with pytest.warns(UserWarning, match="was not trained on the features text__other__"):
        encoder = load_model(run, graph=other)
    assert torch.isfinite(embed(encoder, other).vectors).all()
    assert encoder.specs != load_model(run, graph=graph).specs
