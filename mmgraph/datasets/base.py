"""The list of datasets, and the one way to build them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmgraph.datasets.manifest import BuildRecord, check_replaceable, is_current, local_digests, write_manifest
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import atomic_folder, cache_folder
from mmgraph.progress import console


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

    def identity(self, out: Path) -> dict[str, Any]:
        """Name and options that decide what is built, ready for JSON; of local files, their names and digests.

        Args:
            out: Where it is built; what lies there is no source, even if it lies among local files.
        """
        return {
            "name": self.name,
            "seed": self.seed,
            "holdout": self.holdout,
            "local": local_digests(self.local, besides=out),
        }

    def refuse_local(self) -> None:
        """For builders that read no local files.

        Raises:
            InputError: If some were given, which would go unread.
        """
        if self.local:
            raise InputError(f"{self.name}: reads no local files, got {first_few(list(map(str, self.local)))}")


Builder = Callable[[Path, BuildOptions], BuildRecord | None]
"""Fills an empty folder with a graph (tables and `images/`, or `encoded/`), `splits/` and `tasks/`, and tells what it
read; `dataset.json` is written afterwards, see `mmgraph.datasets.manifest`."""


class _Entry(NamedTuple):
    """A dataset: the module that builds it, one line on it, and the folder of its card where that is not its name."""

    module: str
    description: str
    card: str | None = None


_PLANETOID = "mmgraph.datasets.planetoid"
_OGB = "mmgraph.datasets.ogb"
_BUILDERS = {
    "citeseer": _Entry(_PLANETOID, "3,327 papers (words) and 4,552 citations; 6 topics, public split", "planetoid"),
    "cora": _Entry(_PLANETOID, "2,708 papers (words) and 5,278 citations; 7 topics, public split", "planetoid"),
    "debian": _Entry(
        "mmgraph.datasets.debian.build",
        "63,436 packages of Debian 12 (name, description, some icons) and what they need; sections, tags, links, baskets",
    ),
    "movielens-100k": _Entry(
        "mmgraph.datasets.movielens.build",
        "943 users (occupation), 1,682 movies (title, year), 55,375 likes with time; recommendation, genres",
    ),
    "movielens-100k-by-time": _Entry(
        "mmgraph.datasets.movielens.build",
        "movielens-100k split by calendar time: train on the past of all users, ask about the future",
        "movielens-100k",
    ),
    "movielens-100k-cold-items": _Entry(
        "mmgraph.datasets.movielens.build",
        "movielens-100k with movies held out: what is asked about has no like in the graph",
        "movielens-100k",
    ),
    "movielens-100k-knowledge": _Entry(
        "mmgraph.datasets.movielens.build",
        "movielens-100k with casts, directors, companies, ... of Freebase; needs movies.dat of MovieLens 1M (--local)",
        "movielens-100k",
    ),
    "ogbl-citation2": _Entry(_OGB, "2,927,963 papers (features); citations of 2019 among 1,000 negatives each", "ogb"),
    "ogbl-collab": _Entry(_OGB, "235,868 authors (features); collaborations of 2018 and 2019", "ogb"),
    "ogbl-ddi": _Entry(_OGB, "4,267 drugs without features; interactions, split by what drugs act on", "ogb"),
    "ogbl-ppa": _Entry(_OGB, "576,289 proteins (species); associations, split by how they were found", "ogb"),
    "ogbn-arxiv": _Entry(_OGB, "169,343 papers (features) and 1,166,243 citations; 40 subjects, split by year", "ogb"),
    "ogbn-mag": _Entry(_OGB, "1,939,743 papers, authors, institutions and fields; 349 venues, split by year", "ogb"),
    "ogbn-products": _Entry(_OGB, "2,449,029 products bought together; 47 categories, split by sales", "ogb"),
    "ogbn-proteins": _Entry(_OGB, "132,534 proteins of 8 species without features; 112 functions", "ogb"),
    "openmoji": _Entry(
        "mmgraph.datasets.openmoji.build",
        "4,495 emoji (picture, name) linked by Unicode's structure; category, links, text and image queries",
    ),
    "pubmed": _Entry(_PLANETOID, "19,717 papers (words) and 44,324 citations; 3 topics, public split", "planetoid"),
}


def card_of(name: str) -> str:
    """Name of the folder under the top-level `datasets/` that holds the card of a dataset; several may share one."""
    if name not in _BUILDERS:
        raise unknown_choice("dataset", name, _BUILDERS)
    return _BUILDERS[name].card or name


def available_datasets() -> dict[str, str]:
    """Names of the datasets that can be built here, with one line on each."""
    return {name: entry.description for name, entry in sorted(_BUILDERS.items())}


def build_dataset(
    name: str,
    out: Path | str,
    *,
    seed: int = 0,
    holdout: bool = True,
    cache: Path | str | None = None,
    local: Sequence[Path | str] = (),
    overwrite: bool = False,
) -> Path:
    """Build a dataset folder: tables, images and tasks. The same arguments give the same bytes.

    If `out` holds exactly this dataset already, nothing is done.

    Args:
        name: One of `available_datasets()`.
        out: Folder to create; it appears only when everything is written.
        seed: Seed of all splits.
        holdout: Leave held-out edges out of the graph and write the tasks about them.
        cache: Folder for downloads and rendered images; by default `$MMGRAPH_CACHE/datasets` or
            `~/.cache/mmgraph/datasets`.
        local: Files or a folder to read instead of fetching.
        overwrite: Build anew, and replace the dataset that is in `out`.

    Returns:
        `out`.

    Raises:
        InputError: If the name is unknown, `out` holds something else or is not whole, or a download is not what it
            should be.
        MissingExtraError: If a package that carries the data is not installed.
    """
    out, options = Path(out), _options(name, seed, holdout, cache, local)
    identity = options.identity(out)
    if overwrite:
        check_replaceable(out)
    elif is_current(out, identity):
        return out
    build: Builder = importlib.import_module(_BUILDERS[name].module).build
    with atomic_folder(out, overwrite=out.exists()) as temporary:
        record = build(temporary, options)
        notice = write_manifest(temporary, identity, record)
    if notice:
        console.print(notice, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return out


def is_built(
    name: str, out: Path | str, *, seed: int = 0, holdout: bool = True, local: Sequence[Path | str] = ()
) -> bool:
    """Whether `out` holds exactly this dataset, so that `build_dataset` would do nothing. Needs no torch.

    Raises:
        InputError: As `build_dataset`, if `out` holds something else or is not whole.
    """
    out, options = Path(out), _options(name, seed, holdout, None, local)
    return is_current(out, options.identity(out))


def _options(
    name: str, seed: int, holdout: bool, cache: Path | str | None, local: Sequence[Path | str]
) -> BuildOptions:
    if name not in _BUILDERS:
        raise unknown_choice("dataset", name, _BUILDERS)
    return BuildOptions(name, seed, holdout, dataset_cache(cache), tuple(map(Path, local)))


def dataset_cache(cache: Path | str | None = None) -> Path:
    """Folder for downloads and rendered images: the argument, `$MMGRAPH_CACHE/datasets`, or one in the home folder."""
    return cache_folder("datasets") if cache is None else Path(cache)
