"""The study of retrieval: its arithmetic, and what it chooses by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from mmgraph.data.ids import NodeIds
from mmgraph.files import read_json
from mmgraph.inference.table import EmbeddingTable

FOLDER = Path(__file__).parents[2] / "experiments" / "downstream"


@pytest.fixture
def study(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("retrieval")


def test_the_bootstrap_pairs_queries(study) -> None:
    other = np.array([[0.0, 0.5, 1.0]])
    # The same lead on every query has no spread, however much queries differ; seeds are averaged first.
    ours = np.stack([other[0] + 0.1, other[0] + 0.3])
    assert study.bootstrap(ours, other) == pytest.approx((0.2, 0.2, 0.2))
    mean, low, high = study.bootstrap(np.tile([[1.0, 0.0]], 50), np.zeros((1, 100)))
    assert mean == 0.5
    # The share of heads among 100: 0.5 +- 1.96 * 0.05.
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.011)


def test_names_beside_embeddings_add_their_cosines(study) -> None:
    random = torch.Generator().manual_seed(0)
    first, second, a, b = (torch.randn(n, d, generator=random) for n, d in ((4, 3), (4, 5), (2, 3), (2, 5)))

    def searched(vectors: torch.Tensor, query: torch.Tensor) -> Any:
        table = EmbeddingTable(NodeIds(list("wxyz")), vectors, ("n",), torch.zeros(4).long(), "g", "m")
        return study.Searched(table, ("text",), lambda modality: lambda items: query[: len(items)])

    both = study.with_names(searched(first, a), searched(second, b), 0.5)
    query = both.encode("text")(["one", "two"])
    found = cosine_similarity(query.unsqueeze(1), both.table.vectors.unsqueeze(0), dim=2)
    parts = [cosine_similarity(q.unsqueeze(1), v.unsqueeze(0), dim=2) for q, v in ((a, first), (b, second))]
    torch.testing.assert_close(found, (parts[0] + 0.5 * parts[1]) / 1.5)
    assert both.modalities == ("text",)


def test_valid_queries_choose_and_test_queries_do_not(study) -> None:
    def cells(valid: float, test: float) -> dict[str, Any]:
        return {"paraphrases": {"valid": {"mrr": [valid]}, "test": {"mrr": [test]}}}

    assert study.chosen({"a": cells(0.2, 0.9), "b": cells(0.3, 0.1)}, ["a", "b"]) == "b"


def test_the_results_that_are_kept_make_the_tables(study) -> None:
    summary = read_json(FOLDER / "retrieval.results.json")
    text = study.tables_of(summary)
    assert all(f"{task}: valid MRR, then test" in text for task in study.TASKS)
    mean, low, high = summary[study.RAW]["paraphrases"]["against names alone"]["mrr"]
    assert (mean, low, high) == (0, 0, 0)
    page = (FOLDER / "retrieval.md").read_text(encoding="utf-8")
    assert all(line in page for line in text.splitlines())
