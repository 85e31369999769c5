from __future__ import annotations

import pytest

from mmgraph.synthetic.user_item import UserItemGraph, user_item_graph
from mmgraph.synthetic.user_item_config import UserItemConfig
from mmgraph.tasks.recommendation import RecommendationTask


@pytest.fixture(scope="session")
def tastes() -> UserItemGraph:
    """Sharp tastes, mild popularity: knowing the user's items is worth much more than knowing what is popular."""
    return user_item_graph(UserItemConfig(num_users=150, num_items=80, dim=3, sharpness=3.0, cold=0.1), seed=1)


@pytest.fixture(scope="session")
def task(tastes: UserItemGraph) -> RecommendationTask:
    table = tastes.held_out.select(["user", "item", "split"])
    return RecommendationTask("recommend", "interacted", "user", "item", table)
