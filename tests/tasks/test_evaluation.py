from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.tasks.controls import popularity, raw_features, smoothed_features
from mmgraph.tasks.evaluation import evaluate_tables
from mmgraph.tasks.link_metrics import link_metrics
from mmgraph.tasks.smoothing import best_smoothed


def test_records_of_all_tasks_and_models(setting: Any) -> None:
    tables = {"planted": setting.table, "raw features": raw_features(setting.graph)}
    state = torch.get_rng_state()
    records = evaluate_tables(
        tables, setting.graph, setting.tasks, query_encoders={"planted": setting.encode_query}, progress=False
    )
    assert torch.equal(torch.get_rng_state(), state)
    names = [(record.task, record.model) for record in records]
    both = ["planted", "raw features"]
    assert names == [
        *[(task, model) for task in ("community", "traits", "links", "recommend") for model in both],
        ("recommend", "popularity"),
        ("recommend", "item-knn"),
        ("queries", "planted"),
        *[("price", model) for model in both],
    ]
    for record in records:
        task = setting.tasks[record.task]
        assert (record.graph, record.kind, record.split, record.seed) == ("toy", task.kind, "test", 0)
        assert record.num_examples == task.num_examples("test")
        assert record.digest == task.digest
        assert record.seconds >= 0
        if record.model == "planted":
            expected = task.evaluate(setting.table, setting.graph, encode_query=setting.encode_query)
            assert record.metrics == expected
    by_name = dict(zip(names, records, strict=True))
    most_liked = setting.tasks["recommend"].evaluate_scores(
        popularity(setting.graph, setting.tasks["recommend"]), setting.graph
    )
    assert by_name["recommend", "popularity"].metrics == most_liked
    rows = json.loads(json.dumps([record.to_dict() for record in records], allow_nan=False))
    assert rows[0]["metrics"] == records[0].metrics


def test_supervised_controls_are_added_on_request(setting: Any) -> None:
    tasks = {name: setting.tasks[name] for name in ("community", "links", "queries")}
    records = evaluate_tables({}, setting.graph, tasks, split="valid", supervised=True, progress=False)
    assert [(record.task, record.model) for record in records] == [
        ("community", "supervised sage"),
        ("community", "supervised gat"),
        ("community", "supervised mlp"),
        ("links", "supervised sage"),
    ]
    assert all(record.metrics["accuracy"] > 0.5 for record in records[:3])
    assert "early stopping on valid" in records[0].protocol
    assert "full ranking" in records[3].protocol
    assert "trained on the edges" in records[3].protocol


def test_best_smoothed_is_added_on_request_and_names_its_choice(setting: Any) -> None:
    tasks = {name: setting.tasks[name] for name in ("links", "recommend", "queries")}
    records = evaluate_tables({}, setting.graph, tasks, smoothed_forms=True, progress=False)
    best = [record for record in records if record.model == "best smoothed"]
    assert [record.task for record in best] == ["links", "recommend"]
    for record in best:
        chosen = best_smoothed(setting.graph, tasks[record.task])
        assert record.protocol == f"{tasks[record.task].protocol}; {chosen.choice}"
        assert record.metrics == tasks[record.task].evaluate(chosen.table, setting.graph)


@pytest.mark.filterwarnings("error:metrics over")
def test_sampled_metrics_stand_beside_full_ones_on_request(setting: Any) -> None:
    tasks = {name: setting.tasks[name] for name in ("links", "recommend")}
    records = evaluate_tables({"planted": setting.table}, setting.graph, tasks, sampled=(20,), progress=False)
    task = tasks["links"]
    assert records[0].metrics == link_metrics(task, setting.table, setting.graph, sampled=(20,))
    assert "mrr@sampled(20,0)" in records[0].metrics
    assert not any("sampled" in name for record in records[1:] for name in record.metrics)


def test_queries_of_other_modalities_need_their_own_encoder(setting: Any) -> None:
    task = setting.tasks["queries"]
    image = type(task)("pictures", "image", task.queries)
    tables = {"planted": setting.table}
    for encoders, expected in (
        ({"planted": setting.encode_query}, []),
        ({"planted/image": setting.encode_query}, ["planted"]),
    ):
        records = evaluate_tables(tables, setting.graph, {"pictures": image}, query_encoders=encoders, progress=False)
        assert [record.model for record in records] == expected
    with pytest.raises(InputError, match="unknown model 'plantde'; models: planted"):
        evaluate_tables(tables, setting.graph, {}, query_encoders={"plantde": setting.encode_query})


def test_controls_beat_destroyed_controls_on_every_task(setting: Any) -> None:
    graph = setting.graph
    tables = {"smoothed": smoothed_features(graph)}
    shuffled = setting.table.vectors[torch.randperm(graph.num_nodes)]
    tables["destroyed"] = type(setting.table).for_graph(graph, shuffled, model="destroyed")
    tasks = {name: task for name, task in setting.tasks.items() if name != "queries"}
    records = evaluate_tables(tables, graph, tasks, progress=False)
    for name, task in tasks.items():
        first = {
            record.model: record.metrics.get("spearman", next(iter(record.metrics.values())))  # errors are better low
            for record in records
            if record.task == name
        }
        assert first["smoothed"] > 1.3 * first["destroyed"], task
