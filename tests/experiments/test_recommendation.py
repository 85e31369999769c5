"""The comparison of recommenders: its table, and what stands in a record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mmgraph.synthetic.user_item import user_item_graph
from mmgraph.synthetic.user_item_config import UserItemConfig
from mmgraph.tasks.recommendation import RecommendationTask

FOLDER = Path(__file__).parents[2] / "experiments" / "downstream"


@pytest.fixture
def script(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("recommendation")


@pytest.fixture
def setting(script: ModuleType, tmp_path: Path) -> Any:
    made = user_item_graph(UserItemConfig(num_users=60, num_items=40, dim=3, sharpness=3.0, cold=0.2), seed=0)
    table = made.held_out.select(["user", "item", "split"])
    task = RecommendationTask("recommend", "interacted", "user", "item", table)
    return script.Setting("tastes", made.graph, task, tmp_path)


def test_a_record_holds_what_the_task_says(script: ModuleType, setting: Any) -> None:
    found = script.measure(setting, "ease", 0)
    assert set(found) == {"seconds", "valid", "test", "per_user"}
    users = setting.task.num_examples("test")
    per_user = [float(value) for value in found["per_user"].split()]
    assert len(per_user) == users
    assert sum(per_user) / users == pytest.approx(found["test"]["ndcg@10"], abs=1e-3)
    assert script.measure(setting, "gated, pre-trained", 0) is None  # no model was trained on this graph
    assert script.measure(setting, "pre-trained, cosine", 0) is None


def test_among_new_items_nothing_else_is_listed(script: ModuleType, setting: Any) -> None:
    graph, relation = setting.graph, setting.graph.relations["interacted"]
    items, users = graph.nodes_of_type("item"), graph.nodes_of_type("user")[:3]
    score = script.among_new(lambda u, i: torch.ones(u.numel(), i.numel()), setting)(users, items)
    has_edge = torch.isin(items, relation.edge_index[1 if relation.target_type == "item" else 0])
    assert bool((score[:, has_edge] == -torch.inf).all())
    assert bool((score[:, ~has_edge] == 1).all())


def test_the_table_tests_users_against_the_best_baseline_on_valid(script: ModuleType) -> None:
    def run(valid: float, test: float, per_user: str) -> dict[str, Any]:
        return {"seconds": 1.0, "valid": {"ndcg@10": valid}, "test": {"ndcg@10": test}, "per_user": per_user}

    rows = {
        "ease": {"none": run(0.3, 0.2, "0.1 0.2 0.3")},
        "als": {"0": run(0.2, 0.4, "0.3 0.4 0.6")},  # better on test, but that does not choose
        "gated": {"0": run(0.4, 0.3, "0.2 0.3 0.4"), "1": run(0.4, 0.4, "0.3 0.4 0.6")},
    }
    lines = script.table_of(rows).splitlines()
    assert "ndcg@10 against ease" in lines[0]
    by_name = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    assert "35.0 ± 7.1 (2)" in by_name["gated"]
    assert "+16.7 (p 0.010)" in by_name["gated"]  # 15, 15 and 20 points: t = 10 with 2 degrees of freedom
