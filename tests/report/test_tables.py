from __future__ import annotations

from typing import Any

import pytest

from mmgraph.report.tables import best_value, label, task_tables


def _record(model: str, seed: int = 0, **metrics: float) -> dict[str, Any]:
    return {"graph": "g", "task": "t", "kind": "link_prediction", "model": model, "seed": seed, "metrics": metrics}


def test_best_is_marked_wherever_it_stands_and_ties_are_all_marked() -> None:
    (table,) = task_tables(
        [
            _record("joint", mrr=0.5, hits=0.1),
            _record("raw features", mrr=0.7, hits=0.1),
            _record("alone", mrr=0.7, hits=0.0),
        ]
    )
    marked = {model: [cell is not None and cell.best for cell in cells] for model, cells in table.rows.items()}
    assert marked == {"joint": [False, True], "alone": [True, False], "raw features": [True, True]}
    assert not table.won
    assert "behind" in table.verdict


@pytest.mark.parametrize(
    ("ours", "theirs", "metric", "won", "word"),
    [
        (0.6, 0.5, "mrr", True, "leads"),
        (0.5, 0.5, "mrr", False, "level"),
        (0.4, 0.5, "mrr", False, "behind"),
        (3.0, 7.0, "median_rank", True, "leads"),
        (9.0, 7.0, "median_rank", False, "behind"),
    ],
)
def test_verdict(ours: float, theirs: float, metric: str, won: bool, word: str) -> None:
    (table,) = task_tables([_record("joint", **{metric: ours}), _record("smoothed features", **{metric: theirs})])
    assert table.won is won
    assert word in table.verdict
    assert "smoothed features" in table.verdict


def test_seeds_become_mean_and_standard_deviation() -> None:
    records = [_record("joint", seed=seed, mrr=value) for seed, value in enumerate((0.1, 0.2, 0.6))]
    (table,) = task_tables(records)
    (cell,) = table.rows["joint"]
    assert cell is not None
    assert cell.mean == pytest.approx(0.3)
    assert cell.spread == pytest.approx(0.07**0.5)  # ((.2)^2 + (.1)^2 + (.3)^2) / 2


def test_a_metric_without_better_and_worse_has_no_best() -> None:
    assert best_value("coverage", [0.1, 0.9]) is None
    assert best_value("mrr", [0.3, 0.3]) is None
    assert best_value("mrr", [0.3]) is None
    assert best_value("median_rank", [3.0, 8.0]) == 3.0


def test_a_model_without_a_metric_has_an_empty_cell() -> None:
    (table,) = task_tables([_record("joint", mrr=0.5, hits=0.2), _record("popularity", mrr=0.4)])
    assert table.rows["popularity"][1] is None


def test_rows_are_in_a_fixed_order() -> None:
    (table,) = task_tables(
        [_record(m, mrr=0.1 * i) for i, m in enumerate(["other", "item-knn", "raw features", "joint"])]
    )
    assert list(table.rows) == ["joint", "raw features", "item-knn", "other"]


def test_labels() -> None:
    assert [label(name) for name in ("mrr", "ndcg@10", "macro_f1", "hits@3")] == [
        "MRR",
        "nDCG@10",
        "macro F1",
        "hits@3",
    ]


def test_the_metric_that_decides_comes_first_whatever_the_order_of_the_record() -> None:
    record = {**_record("joint", **{"recall@1": 0.1, "mrr": 0.2}), "kind": "node_retrieval"}
    (table,) = task_tables([record])
    assert table.metrics == ["mrr", "recall@1"]
    assert [cell.mean for cell in table.rows["joint"] if cell] == [0.2, 0.1]


def test_metrics_of_warm_and_cold_answers_are_explained() -> None:
    record = {
        "graph": "g",
        "task": "t",
        "kind": "recommendation",
        "model": "raw features",
        "metrics": {"ndcg@10": 0.1, "recall@10/warm": 0.2, "recall@10/cold": 0.1, "unheard_of/odd": 1.0},
        "protocol": "",
        "num_examples": 3,
    }
    (table,) = task_tables([record])
    assert list(table.notes) == ["ndcg", "recall", ".../warm", ".../cold"]
    assert "new to training" in table.notes[".../cold"]
