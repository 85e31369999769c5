"""Builds the folder of the package graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.debian.apt import fetch_index
from mmgraph.datasets.debian.archive import (
    COMPONENTS,
    ICONS_LARGE,
    ICONS_SMALL,
    PACKAGES,
    Archive,
    find_files,
    read_archive,
)
from mmgraph.datasets.debian.baskets import TypedEdges, split_items, type_edges
from mmgraph.datasets.debian.icons import choose_icons, read_components, read_icons
from mmgraph.datasets.debian.packages import RELATIONS, Package, find_edges, read_packages
from mmgraph.datasets.debian.pinned import PINNED, drawn_counts, expected_counts
from mmgraph.datasets.debian.tasks import package_groups, split_links, split_sections, split_tags
from mmgraph.datasets.manifest import BuildRecord
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.formats.tables import write_tables
from mmgraph.progress import console
from mmgraph.splits.base import TEST, VALID, Split, save_splits
from mmgraph.splits.message import message_graph
from mmgraph.tasks.base import save_tasks
from mmgraph.tasks.from_split import task_from_split

_ENDS = {"contains": ("basket", "package"), "includes": ("basket", "basket")}

NOTICE = """# debian

Built by `mmgraph datasets build debian`; the card is `datasets/debian/README.md` in the source of mmgraph.

Names, descriptions and relations are metadata of the Debian archive. Each icon belongs to the package that it is named
after and has that package's licence; look it up there before you publish pictures. Do not publish this folder as a whole.
"""


def build(folder: Path, options: BuildOptions) -> BuildRecord:
    """Fill an empty folder with the graph and its tasks."""
    return build_debian(folder, obtain_archive(options), options)


def obtain_archive(options: BuildOptions) -> Archive:
    """Index files: local ones, or those in the cache, or fetched through apt once and kept there.

    Raises:
        InputError: If local files are not what they should be, the cache cannot be written, or fetching fails.
    """
    if options.local:
        return read_archive(find_files(options.local))
    try:
        return _cached_archive(options.cache / "debian")
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise InputError(
            f"{error.filename}: the cache of downloads cannot be used ({error.strerror}); choose another: --cache DIR"
        ) from None


def _cached_archive(cache: Path) -> Archive:
    index = cache / "index"
    if index.is_dir():
        try:
            archive = read_archive(find_files([index]))
        except InputError:
            console.print(f"the index files in {index} are damaged, they are fetched again", highlight=False)
        else:
            told = f"using the index files in {index} ({release_name(archive)}); delete the folder to fetch newer ones"
            console.print(told, highlight=False, markup=False, soft_wrap=True)
            return archive
    (cache / "apt").mkdir(parents=True, exist_ok=True)
    fetch_index(index, cache / "apt")
    return read_archive(find_files([index]))


def release_name(archive: Archive) -> str:
    """For messages: `Debian 12.15 (bookworm)`."""
    release = archive.release
    words = [release.get("origin", ""), release.get("version", ""), f"({release.get('codename', 'unknown release')})"]
    return " ".join(filter(None, words))


def build_debian(folder: Path, archive: Archive, options: BuildOptions) -> BuildRecord:
    """Fill an empty folder with the graph and its tasks.

    Args:
        folder: Where to write.
        archive: Index files.
        options: Seed and hold-out.

    Returns:
        Digests of the index files, and what was left out of them.
    """
    packages, left_out = read_packages(archive.contents[PACKAGES])
    edges, unresolved = find_edges(packages)
    typed = type_edges(packages, edges)
    pictures, icon_facts = _write_icons(folder, archive, packages)

    made = split_archive(packages, typed, pictures, options)
    graph = _raw_graph(packages, typed, pictures)
    for split in made.values():
        graph = message_graph(graph, split)  # without what is asked
    tasks = [task_from_split(name, split) for name, split in made.items() if split.part(VALID, TEST).num_rows]
    write_tables(graph, folder, overwrite=True)
    save_splits(made, folder)
    save_tasks(tasks, folder)
    (folder / "README.md").write_text(NOTICE, encoding="utf-8")
    return BuildRecord(
        sources=archive.digests(),
        pinned=PINNED,
        expected=expected_counts(holdout=options.holdout),
        drawn=drawn_counts(options.seed, holdout=options.holdout),
        facts={
            "release": dict(archive.release),
            "edges_before_holdout": {name: len(pairs) for name, pairs in typed.relations.items()},
            "left_out": left_out | {"names_without_edge": unresolved, "edges_of_baskets": typed.left_out},
            "icons": icon_facts,
        },
    )


def split_archive(
    packages: Sequence[Package], typed: TypedEdges, pictures: Mapping[str, Path], options: BuildOptions
) -> dict[str, Split]:
    """All splits by the name of the task that they make; what the archive has no data for is left out.

    Args:
        packages: All packages.
        typed: All edges.
        pictures: Path of the icon by package.
        options: Seed, and whether edges are held out.
    """
    digests = {name: file_digest(path) for name, path in pictures.items()}
    alike = package_groups(packages, digests, by_source=False)
    related = package_groups(packages, digests, by_source=True)
    splits = {
        "section": split_sections(packages, typed.baskets, alike, options.seed),
        "section_by_source": split_sections(packages, typed.baskets, related, options.seed),
        "debtags": split_tags(packages, typed.baskets, related, options.seed),
    }
    if options.holdout:
        source_of = {package.name: package.source for package in packages}
        splits["links"] = split_links({name: typed.relations[name] for name in RELATIONS}, source_of, options.seed)
        splits["baskets"] = split_items(typed.relations["contains"], typed.suggested, source_of, options.seed)
    return {name: split for name, split in splits.items() if split is not None}


def _write_icons(folder: Path, archive: Archive, packages: Sequence[Package]) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write the icon of each package that has a usable one; returns their paths, and what was set aside."""
    components = read_components(archive.contents[COMPONENTS]) if COMPONENTS in archive.contents else {}
    names = {package.name for package in packages}
    wanted = {package: icons for package, icons in components.items() if package in names}
    files = {icon for icons in wanted.values() for icon in icons}
    tables = [
        read_icons(archive.contents[kind], files, where=kind)
        for kind in (ICONS_LARGE, ICONS_SMALL)
        if kind in archive.contents
    ]
    chosen, quarantined = choose_icons(wanted, tables)
    paths = {name: folder / "images" / f"{name}.png" for name in chosen}
    if paths:
        (folder / "images").mkdir()
    for name, path in paths.items():
        path.write_bytes(chosen[name])
    absent = len(wanted) - len(chosen)
    return paths, {
        "quarantined": quarantined,
        "without_usable_file": absent,
        "of_no_package": len(components) - len(wanted),
    }


def _raw_graph(packages: Sequence[Package], typed: TypedEdges, pictures: Mapping[str, Path]) -> RawGraph:
    """The graph with all its edges."""
    node_ids = NodeIds([package.name for package in packages], where="debian")
    kinds = ["basket" if package.name in typed.baskets else "package" for package in packages]
    node_types, node_type = encode_node_types(kinds)
    found = {}
    for name, pairs in typed.relations.items():
        source_type, target_type = _ENDS.get(name, ("package", "package"))
        if not {source_type, target_type} <= set(node_types):
            continue  # an archive without baskets
        ends = [node_ids.positions([pair[end] for pair in pairs], where=f"debian, {name}") for end in (0, 1)]
        edge_index = torch.stack([torch.from_numpy(end) for end in ends])
        found[name] = Relation(edge_index, source_type, target_type)
    return RawGraph(
        name="debian",
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations=found,
        content={
            "text": [package.text for package in packages],
            "image": [pictures.get(package.name) for package in packages],
        },
        columns=pa.table(
            {
                "source": [package.source for package in packages],
                "version": [package.version for package in packages],
            }
        ),
    )
