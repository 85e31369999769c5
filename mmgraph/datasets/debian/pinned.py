"""The release that the card describes, and its counts."""

from __future__ import annotations

from mmgraph.datasets.debian.archive import COMPONENTS, ICONS_LARGE, ICONS_SMALL, PACKAGES

PINNED = {
    PACKAGES: "515e692f2c4121c6fcec444ef100cc18f79a991910615f3a88c8b7becfc94d2f",
    COMPONENTS: "90ae5d7226b1b80d83ee47edcf09b28eecd11249d6dd1eaf32d65da509f981e6",
    ICONS_LARGE: "86c4bc2ca64bc7eaadfdacb1d24c1ff4926abd95ab214a0c7cda5e5ad423846d",
    ICONS_SMALL: "c1da5bf339c0cea62bca1ee41a9fd312d7a6260e1e366e51e9bb5521779c9aee",
}
"""SHA-256 of the decompressed index files of Debian 12.15 (bookworm), component main, amd64, of 11 July 2026."""

_ALWAYS = {
    "nodes.package": 63_087,
    "nodes.basket": 349,
    "modalities.text": 63_436,
    "modalities.image": 1_859,
    "edges.depends": 265_581,
    "edges.enhances": 1_736,
    "edges.includes": 264,
    "tasks.section.labels": 56,
    "tasks.section.train": 37_718,
    "tasks.section.valid": 12_570,
    "tasks.section.test": 12_571,
    "tasks.section_by_source.labels": 56,
    "tasks.section_by_source.train": 37_708,
    "tasks.section_by_source.valid": 12_591,
    "tasks.section_by_source.test": 12_560,
    "tasks.debtags.labels": 116,
    "tasks.debtags.train": 12_843,
    "tasks.debtags.valid": 4_289,
    "tasks.debtags.test": 4_277,
}
_WHOLE = {"edges.recommends": 22_944, "edges.suggests": 21_836, "edges.contains": 7_512}
_SEEN = {"tasks.baskets.rows_seen": 1_089}
_DRAWN_WITH_SEED_0 = {
    "edges.recommends": 19_739,
    "edges.suggests": 18_930,
    "edges.contains": 5_476,
    "tasks.links.valid": 2_038,
    "tasks.links.test": 4_073,
    "tasks.baskets.valid": 239,
    "tasks.baskets.test": 278,
    "tasks.baskets.rows_valid": 687,
    "tasks.baskets.rows_test": 1_349,
}


def expected_counts(*, holdout: bool) -> dict[str, int]:
    """Counts that these files give with any seed."""
    return _ALWAYS | (_SEEN if holdout else _WHOLE)


def drawn_counts(seed: int, *, holdout: bool) -> dict[str, int]:
    """Counts that depend on the seed; the card states those of seed 0."""
    return dict(_DRAWN_WITH_SEED_0) if seed == 0 and holdout else {}
