"""The list of datasets, and the one way to build them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmgraph.errors import unknown_choice
from mmgraph.files import atomic_folder, cache_folder


@dataclass(frozen=True)
class BuildOptions:
    """What every builder is told.

    Attributes:
        name: Name of the dataset; one builder may make several.
        seed: Seed of all splits.
        holdout: Leave validation and test edges, ratings and pictures out of the graph and write the tasks that
            ask for them; otherwise keep everything and write only tasks that need nothing held out.
        cache: Folder for downloads and rendered images.
        local: Files or a folder to read instead of fetching; what they must be is up to the builder.
    """

    name: str
    seed: int
    holdout: bool
    cache: Path
    local: tuple[Path, ...] = ()


Builder = Callable[[Path, BuildOptions], None]
"""Fills an empty folder with `nodes`, `edges`, `images/`, `tasks/` and `dataset.json`."""

_BUILDERS = {
    "movielens-100k": (
        "mmgraph.datasets.movielens",
        "943 users, 1,682 movies (title, year), 55,375 likes with time; recommendation, genres",
    ),
    "openmoji": (
        "mmgraph.datasets.openmoji.build",
        "4,495 emoji (picture, name) linked by Unicode's structure; category, links, text and image queries",
    ),
}


def available_datasets() -> dict[str, str]:
    """Names of the datasets that can be built here, with one line on each."""
    return {name: description for name, (_, description) in sorted(_BUILDERS.items())}


def build_dataset(
    name: str,
    out: Path | str,
    *,
    seed: int = 0,
    holdout: bool = True,
    cache: Path | str | None = None,
    local: Sequence[Path | str] = (),
) -> Path:
    """Build a dataset folder: tables, images and tasks. The same arguments give the same bytes.

    Args:
        name: One of `available_datasets()`.
        out: Folder to create; it appears only when everything is written.
        seed: Seed of all splits.
        holdout: Leave held-out edges out of the graph and write the tasks about them.
        cache: Folder for downloads and rendered images; by default `$MMGRAPH_CACHE/datasets` or
            `~/.cache/mmgraph/datasets`.
        local: Files or a folder to read instead of fetching.

    Returns:
        `out`.

    Raises:
        InputError: If the name is unknown, `out` exists, or a download is not what it should be.
        MissingExtraError: If a package that carries the data is not installed.
    """
    if name not in _BUILDERS:
        raise unknown_choice("dataset", name, _BUILDERS)
    out = Path(out)
    build: Builder = importlib.import_module(_BUILDERS[name][0]).build
    with atomic_folder(out) as temporary:
        options = BuildOptions(name, seed, holdout, dataset_cache(cache), tuple(map(Path, local)))
        build(temporary, options)
    return out


def dataset_cache(cache: Path | str | None = None) -> Path:
    """Folder for downloads and rendered images: the argument, `$MMGRAPH_CACHE/datasets`, or one in the home folder."""
    return cache_folder("datasets") if cache is None else Path(cache)
