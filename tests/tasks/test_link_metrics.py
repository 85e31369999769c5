from __future__ import annotations

from typing import Any

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.link_metrics import link_metrics


@pytest.mark.filterwarnings("error")
def test_full_and_sampled_metrics_side_by_side(setting: Any) -> None:
    task = setting.tasks["links"]
    metrics = link_metrics(task, setting.table, setting.graph, sampled=(10, 40), seed=3)
    full = task.evaluate(setting.table, setting.graph)
    assert {name: metrics[name] for name in full} == full
    assert full["mrr"] < metrics["mrr@sampled(40,3)"] < metrics["mrr@sampled(10,3)"]
    assert link_metrics(task, setting.table, setting.graph, sampled=(10, 40), seed=3) == metrics
    assert link_metrics(task, setting.table, setting.graph, sampled=()) == full


def test_a_constant_scorer_is_at_chance(setting: Any) -> None:
    table = EmbeddingTable.for_graph(setting.graph, torch.ones(setting.graph.num_nodes, 3), model="constant")
    metrics = link_metrics(setting.tasks["links"], table, setting.graph, sampled=(100,))
    assert metrics["amri@sampled(100,0)"] == pytest.approx(0, abs=0.02)
    assert metrics["hits@10@sampled(100,0)"] == 0


def test_bad_numbers_are_refused(setting: Any) -> None:
    with pytest.raises(InputError, match="num_sampled must be at least 1"):
        link_metrics(setting.tasks["links"], setting.table, setting.graph, sampled=(0,))
