from __future__ import annotations

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.metrics.ranking import Ranks, ranking_metrics, ranks_against
from mmgraph.metrics.sampled import check_comparable, expected_sampled_rank, sampled_ranking_metrics


def _ranks(values: list[int], num_candidates: int) -> Ranks:
    size = len(values)
    return Ranks(
        torch.tensor(values).double(), torch.zeros(size, dtype=torch.bool), torch.full((size,), num_candidates)
    )


def test_sampling_reverses_the_order_of_two_systems() -> None:
    first = _ranks([5] * 200 + [6000] * 800, 10_000)
    second = _ranks([400] * 1000, 10_000)
    exact = [ranking_metrics(system)["hits@10"] for system in (first, second)]
    assert exact == [pytest.approx(0.2), 0.0]
    with pytest.warns(UserWarning, match="can reverse the order"):
        sampled = [sampled_ranking_metrics(system, 100)["hits@10@sampled(100,0)"] for system in (first, second)]
    assert sampled[0] == pytest.approx(0.20, abs=0.01)
    assert sampled[1] == pytest.approx(0.99, abs=0.02)


@pytest.mark.filterwarnings("ignore:metrics over")
def test_sampled_ranks_agree_with_really_sampled_negatives() -> None:
    positive, negative = torch.randn(400) + 1, torch.randn(400, 500)
    full = ranks_against(positive, negative)
    chosen = torch.randint(500, (400, 20))
    really = ranking_metrics(ranks_against(positive, negative.gather(1, chosen)))
    ours = sampled_ranking_metrics(full, 20, seed=3)
    assert ours["mrr@sampled(20,3)"] == pytest.approx(really["mrr"], abs=0.06)
    assert ours == sampled_ranking_metrics(full, 20, seed=3)


def test_expected_rank() -> None:
    assert expected_sampled_rank(torch.tensor([1.0, 101.0]), 201, 100).tolist() == [1.0, 51.0]


def test_full_and_sampled_metrics_do_not_mix() -> None:
    check_comparable(["mrr", "hits@10"], ["mrr"])
    check_comparable(["mrr@sampled(100,0)"], ["hits@1@sampled(100,0)"])
    with pytest.raises(InputError, match="full ranking"):
        check_comparable(["mrr"], ["mrr@sampled(100,0)"])
    with pytest.raises(InputError, match="sampled"):
        check_comparable(["mrr@sampled(50,0)"], ["mrr@sampled(100,0)"])
    with pytest.raises(InputError, match="at least 1"):
        sampled_ranking_metrics(_ranks([1], 10), 0)
