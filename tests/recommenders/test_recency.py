from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.recommenders.interactions import Interactions
from mmgraph.recommenders.recency import History, pair_times, recency_weights, recent_popularity
from mmgraph.tasks.recommendation import RecommendationTask

# u0 has i0 at 5, i1 at 1, i2 at 3, i3 at 3; u1 has i2 at 9. Nodes: i0..i3 are 0..3, u0 and u1 are 4 and 5.
EDGES = torch.tensor([[4, 4, 4, 4, 5], [0, 1, 2, 3, 2]])
TIMES = torch.tensor([5, 1, 3, 3, 9])


def interactions(times: torch.Tensor | None = TIMES) -> Interactions:
    attributes = {} if times is None else {"time": times}
    relation = Relation(EDGES, "user", "item", attributes=attributes)
    ids = NodeIds(["i0", "i1", "i2", "i3", "u0", "u1"])
    graph = MultimodalGraph("shop", ids, ("item", "user"), torch.tensor([0] * 4 + [1] * 2), {"likes": relation})
    table = pa.table({"user": ["u1"], "item": ["i0"], "split": ["valid"]})
    return Interactions.of(graph, RecommendationTask("recommend", "likes", "user", "item", table))


def test_times_and_places_by_hand() -> None:
    data = interactions()
    time = pair_times(data)
    assert time is not None
    assert time.tolist() == [5, 1, 3, 3, 9]
    history = History.of(data, time)
    assert history.place.tolist() == [3, 0, 1.5, 1.5, 0]  # two at one moment share their place
    assert history.order.tolist() == [3, 0, 1, 2, 0]
    assert history.age().tolist() == [0, 3, 1.5, 1.5, 0]
    assert recency_weights(history.age(), 1.5).tolist() == [1, 0.25, 0.5, 0.5, 1]


def test_distances_to_what_is_asked() -> None:
    data = interactions()
    history = History.of(data, TIMES.double())
    asked = torch.tensor([False, True, False, False, False])  # the oldest of u0; nothing of u1
    assert history.distance(asked, data).tolist() == [2, 0, 0.5, 0.5, 0]
    latest = torch.tensor([True, False, False, False, False])
    assert history.distance(latest, data).tolist() == [0, 2, 0.5, 0.5, 0]


def test_what_is_popular_of_late() -> None:
    data = interactions()
    # By age in interactions: i2 of u1 is the latest (0), then i0 (1), i2 and i3 (2), i1 (4). Half-life: 0.2 * 5 = 1.
    found = recent_popularity(data, TIMES.double(), half_life=0.2)
    assert found.tolist() == pytest.approx([1 / 2, 1 / 16, 1 / 4 + 1, 1 / 4])


def test_without_times_there_is_no_recency() -> None:
    assert pair_times(interactions(None)) is None
    with pytest.raises(InputError, match="expected one finite time per edge"):
        pair_times(interactions(torch.tensor([1.0, 2.0, float("nan"), 3.0, 4.0])))


def test_a_reverse_relation_gives_times_too() -> None:
    data = interactions()
    graph = data.graph
    likes = replace(graph.relations["likes"].take(torch.tensor([True] * 4 + [False])), reverse="liked_by")
    back = Relation(
        torch.tensor([[2, 0], [5, 4]]), "item", "user", attributes={"time": torch.tensor([9, 7])}, reverse="likes"
    )
    both = replace(graph, relations={"likes": likes, "liked_by": back})
    time = pair_times(Interactions.of(both, data.task))
    assert time is not None
    assert time.tolist() == [7, 1, 3, 3, 9]  # the latest of both
