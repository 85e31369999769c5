"""The counts that the card states; other data than that of the card is refused before anything is counted."""

from __future__ import annotations

_ALWAYS = {
    "nodes.emoji": 4_495,
    "modalities.text": 3_953,
    "edges.skin_tone_of": 2_030,
    "edges.direction_of": 108,
    "edges.letter_of": 511,
    "edges.chart_neighbour": 1_656,
    "tasks.category.labels": 9,
    "tasks.category.train": 2_264,
    "tasks.category.valid": 757,
    "tasks.category.test": 752,
}
_WHOLE = {
    "modalities.image": 4_495,
    "edges.component_of": 2_599,
    "edges.gender_form_of": 1_369,
    "edges.gender_pair": 649,
}
_WITH_HOLDOUT = {"modalities.image": 4_255, "tasks.image_queries.valid": 60, "tasks.image_queries.test": 180}
_QUERIES_OF_SEED_0 = {
    "tasks.name_queries.valid": 35,
    "tasks.name_queries.test": 105,
    "tasks.foreign_names.valid": 125,
    "tasks.foreign_names.test": 375,
    "tasks.paraphrases.train": 236,
    "tasks.paraphrases.valid": 93,
    "tasks.paraphrases.test": 154,
}
_HELD_OUT_OF_SEED_0 = {
    "edges.component_of": 2_209,
    "edges.gender_form_of": 1_171,
    "edges.gender_pair": 544,
    "tasks.links.valid": 232,
    "tasks.links.test": 461,
}


def expected_counts(*, holdout: bool) -> dict[str, int]:
    """Counts with any seed."""
    return _ALWAYS | (_WITH_HOLDOUT if holdout else _WHOLE)


def drawn_counts(seed: int, *, holdout: bool) -> dict[str, int]:
    """Counts that depend on the seed; the card states those of seed 0."""
    if seed != 0:
        return {}
    return _QUERIES_OF_SEED_0 | (_HELD_OUT_OF_SEED_0 if holdout else {})
