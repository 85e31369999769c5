"""Graphs of the Open Graph Benchmark with their official splits."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mmgraph.archives import extract_zip
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.manifest import BuildRecord
from mmgraph.datasets.published import write_published
from mmgraph.datasets.web_files import fetch_file
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.formats.ogb import bundle_from_ogb
from mmgraph.formats.ogb.graph import ogb_facts, ogb_folder

PUBLISHED = {
    "ogbl-citation2": {"nodes": 2_927_963, "edges": 30_561_187, "train": 30_387_995, "valid": 86_596, "test": 86_596},
    "ogbl-collab": {"nodes": 235_868, "edges": 1_285_465, "train": 1_179_052, "valid": 60_084, "test": 46_329},
    "ogbl-ddi": {"nodes": 4_267, "edges": 1_334_889, "train": 1_067_911, "valid": 133_489, "test": 133_489},
    "ogbl-ppa": {"nodes": 576_289, "edges": 30_326_273, "train": 21_231_931, "valid": 6_062_562, "test": 3_031_780},
    "ogbn-arxiv": {"nodes": 169_343, "edges": 1_166_243, "train": 90_941, "valid": 29_799, "test": 48_603},
    "ogbn-mag": {"nodes": 1_939_743, "edges": 21_111_007, "train": 629_571, "valid": 64_879, "test": 41_939},
    "ogbn-products": {"nodes": 2_449_029, "edges": 61_859_140, "train": 196_615, "valid": 39_323, "test": 2_213_091},
    "ogbn-proteins": {"nodes": 132_534, "edges": 39_561_252, "train": 86_619, "valid": 21_236, "test": 24_679},
}
"""Counts on OGB's pages; `edges` of links are those of all parts together."""

NOTICE = """# {name}

Built by `mmgraph datasets build {name}`; the card is `datasets/ogb/README.md` in the source of mmgraph.

Weihua Hu et al. 2020. Open Graph Benchmark: Datasets for Machine Learning on Graphs. NeurIPS. The licence of each dataset
is stated on https://ogb.stanford.edu and in its folder.
"""


def build(folder: Path, options: BuildOptions) -> BuildRecord:
    """Fill an empty folder with the graph, the official split and its task.

    Raises:
        InputError: If all edges are to be kept, which the files of links do not have in the graph.
    """
    name = options.name
    facts = ogb_facts(name)
    if facts["task type"] == "link prediction" and not options.holdout:
        raise InputError(f"{name}: its graph comes without the held-out edges; --no-holdout has nothing to keep")
    if len(options.local) > 1:
        raise InputError(f"{name}: expected one folder in --local, got {len(options.local)}")
    root = options.local[0] if options.local else fetch(name, options.cache / "ogb", facts["url"])
    source = ogb_folder(name, root, facts)
    bundle = bundle_from_ogb(name, root)
    read = [source / "raw", source / "split" / facts["split"], source / "mapping"]
    files = sorted(file for part in read for file in part.rglob("*") if file.is_file())
    sources = {file.relative_to(source).as_posix(): file_digest(file) for file in files}
    return write_published(name, folder, bundle, sources, PUBLISHED[name], NOTICE.format(name=name))


def fetch(name: str, cache: Path, url: str) -> Path:
    """Fetch and unpack the archive of a dataset, once.

    The address is the one that the package `ogb` has; its own download is not used, because it asks on the terminal
    before large files.

    Returns:
        The folder `cache`, which holds `ogbn_arxiv` or the like.

    Raises:
        InputError: If it cannot be fetched or is no archive.
    """
    place = cache / name.replace("-", "_")
    if place.is_dir():
        return cache
    archive = fetch_file(
        url,
        cache / f"{name}.zip",
        otherwise=f"unpack the archive of {name} into a folder and name it with --local",
    )
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{name}-") as temporary:
        try:
            extract_zip(archive, Path(temporary))
        except InputError:
            archive.unlink()
            raise
        inside = [path for path in Path(temporary).iterdir() if (path / "raw").is_dir()]
        if len(inside) != 1:
            raise InputError(f"{archive}: expected one folder with a folder raw in it, found {len(inside)}")
        os.replace(inside[0], place)
    archive.unlink()
    return cache
