"""The counts that the cards state; another wheel is refused before anything is counted."""

from __future__ import annotations

MOVIES_1M = "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9"
"""SHA-256 of `movies.dat` of MovieLens 1M that the counts belong to; another one is read as well."""

_ALWAYS = {
    "nodes.user": 943,
    "nodes.movie": 1_682,
    "nodes.occupation": 19,
    "modalities.text": 1_700,
    "edges.has_occupation": 829,
    "tasks.genres.labels": 18,
    "tasks.genres.train": 1_008,
    "tasks.genres.valid": 336,
    "tasks.genres.test": 336,
}
_KNOWLEDGE = {
    "nodes.entity": 7_491,
    "edges.has_actor": 18_979,
    "edges.has_cinematographer": 1_054,
    "edges.has_company": 1_275,
    "edges.has_content_rating": 1_337,
    "edges.has_country": 2_104,
    "edges.has_director": 1_054,
    "edges.has_language": 2_121,
    "edges.has_producer": 1_630,
    "edges.has_sequel": 58,
    "edges.has_subject": 444,
    "edges.has_writer": 1_202,
}
_WHOLE = {"edges.likes": 55_375}
_HELD_OUT = {  # cut by time, so the same for all seeds
    "movielens-100k": {
        "edges.likes": 39_564,
        "tasks.recommend.valid": 897,
        "tasks.recommend.test": 942,
        "tasks.recommend.rows_valid": 5_111,
        "tasks.recommend.rows_test": 10_700,
        "tasks.recommend.rows_seen": 30_677,
    },
    "movielens-100k-by-time": {
        "edges.likes": 47_070,
        "tasks.recommend.valid": 78,
        "tasks.recommend.test": 153,
        "tasks.recommend.rows_valid": 2_769,
        "tasks.recommend.rows_test": 5_536,
        "tasks.recommend.rows_seen": 40_302,
    },
}
_HELD_OUT["movielens-100k-knowledge"] = _HELD_OUT["movielens-100k"]
_DRAWN_WITH_SEED_0 = {
    "movielens-100k-cold-items": {
        "edges.likes": 47_755,
        "tasks.recommend.valid": 732,
        "tasks.recommend.test": 854,
        "tasks.recommend.rows_valid": 2_827,
        "tasks.recommend.rows_test": 4_793,
        "tasks.recommend.rows_seen": 37_704,
    },
}


def expected_counts(name: str = "movielens-100k", *, holdout: bool) -> dict[str, int]:
    """Counts with any seed.

    Args:
        name: Name of the dataset.
        holdout: Whether likes are held out.
    """
    known = _KNOWLEDGE if name == "movielens-100k-knowledge" else {}
    return _ALWAYS | known | (_HELD_OUT.get(name, {}) if holdout else _WHOLE)


def drawn_counts(seed: int, name: str = "movielens-100k", *, holdout: bool) -> dict[str, int]:
    """Counts that depend on the seed; the cards state those of seed 0."""
    return dict(_DRAWN_WITH_SEED_0.get(name, {})) if seed == 0 and holdout else {}
