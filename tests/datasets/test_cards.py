"""What cards say is what the code verifies after a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.datasets.debian import pinned as debian
from mmgraph.datasets.movielens import pinned as movielens
from mmgraph.datasets.movielens.source import WHEEL
from mmgraph.datasets.openmoji import pinned as openmoji

CARDS = Path(__file__).parents[2] / "datasets"


@pytest.mark.parametrize("pinned", [debian, openmoji], ids=["debian", "openmoji"])
@pytest.mark.parametrize("holdout", [True, False])
def test_a_card_states_every_count_that_is_verified(pinned, holdout: bool) -> None:
    card = (CARDS / pinned.__name__.split(".")[-2] / "README.md").read_text(encoding="utf-8")
    counts = pinned.expected_counts(holdout=holdout) | pinned.drawn_counts(0, holdout=holdout)
    assert len(counts) > 10
    missing = {name: count for name, count in counts.items() if f"{count:,}" not in card}
    assert missing == {}
    assert pinned.drawn_counts(1, holdout=holdout) == {}


def test_the_card_names_the_pinned_files() -> None:
    card = (CARDS / "debian" / "README.md").read_text(encoding="utf-8")
    assert all(digest in card for digest in debian.PINNED.values())


@pytest.mark.parametrize("name", [f"movielens-100k{end}" for end in ("", "-by-time", "-cold-items", "-knowledge")])
@pytest.mark.parametrize("holdout", [True, False])
def test_the_cards_of_movielens_state_every_count_that_is_verified(name: str, holdout: bool) -> None:
    card = (CARDS / "movielens-100k" / "README.md").read_text(encoding="utf-8")
    counts = movielens.expected_counts(name, holdout=holdout) | movielens.drawn_counts(0, name, holdout=holdout)
    assert len(counts) > 9
    assert {key: count for key, count in counts.items() if f"{count:,}" not in card} == {}
    assert movielens.drawn_counts(1, name, holdout=holdout) == {}
    assert WHEEL.sha256 in card
    assert movielens.MOVIES_1M in card
