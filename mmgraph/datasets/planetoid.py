"""Cora, CiteSeer and PubMed with the public split: the files of Planetoid, read by PyTorch Geometric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.manifest import BuildRecord
from mmgraph.datasets.published import write_published
from mmgraph.datasets.web_files import fetch_file
from mmgraph.errors import InputError, first_few
from mmgraph.files import file_digest
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.pyg import bundle_from_pyg
from mmgraph.formats.safe_pickle import load_pickle
from mmgraph.untrusted import reads

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
NUM_VALID = 500
"""Validation papers: those after the training papers, as the public split has it."""

PUBLISHED = {
    "cora": {"nodes": 2708, "edges": 5278, "train": 140, "valid": 500, "test": 1000},
    "citeseer": {"nodes": 3327, "edges": 4552, "train": 120, "valid": 500, "test": 1000},
    "pubmed": {"nodes": 19717, "edges": 44324, "train": 60, "valid": 500, "test": 1000},
}
"""Counts that the documentation of PyTorch Geometric states (half of its directed edges), and the public split."""

PINNED = {
    "cora": {
        "ind.cora.x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "ind.cora.tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "ind.cora.allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "ind.cora.y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
        "ind.cora.ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "ind.cora.ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "ind.cora.graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "ind.cora.test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
    },
    "citeseer": {
        "ind.citeseer.x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "ind.citeseer.tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "ind.citeseer.allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "ind.citeseer.y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
        "ind.citeseer.ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "ind.citeseer.ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "ind.citeseer.graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "ind.citeseer.test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
    },
}
"""SHA-256 of the files that the card describes; those of PubMed could not be had when this was written."""

NOTICE = """# {name}

Built by `mmgraph datasets build {name}`; the card is `datasets/planetoid/README.md` in the source of mmgraph.

Zhilin Yang, William W. Cohen and Ruslan Salakhutdinov. 2016. Revisiting Semi-Supervised Learning with Graph Embeddings.
ICML. Data by Prithviraj Sen et al. 2008. Collective Classification in Network Data. AI Magazine 29(3).
"""


def build(folder: Path, options: BuildOptions) -> BuildRecord:
    """Fill an empty folder with the graph, the public split and its task."""
    name = options.name
    raw = find_files(name, options.local) if options.local else fetch_files(name, options.cache / "planetoid" / name)
    sources = {file: file_digest(raw / file) for file in file_names(name)}
    bundle = read_planetoid(raw, name)
    return write_published(
        name,
        folder,
        bundle,
        sources,
        PUBLISHED[name],
        NOTICE.format(name=name),
        pinned=PINNED.get(name, {}),
        expected=expected_counts(name) if name in PINNED else {},
    )


def expected_counts(name: str) -> dict[str, int]:
    """Counts of the card by dotted name, see `mmgraph.datasets.manifest`."""
    published = PUBLISHED[name]
    counts = {"nodes.node": published["nodes"], "edges.edge": published["edges"]}
    return counts | {f"tasks.labels.{part}": published[part] for part in ("train", "valid", "test")}


def file_names(name: str) -> list[str]:
    """Names of the eight files of a dataset."""
    return [f"ind.{name}.{part}" for part in PARTS]


def find_files(name: str, local: tuple[Path, ...]) -> Path:
    """Folder that holds the eight files, in or below what was given.

    Raises:
        InputError: If there is none, or several.
    """
    places = set()
    for path in local:
        files = path.rglob(f"ind.{name}.graph") if path.is_dir() else [path]
        places |= {file.parent for file in files if file.name.startswith(f"ind.{name}.")}
    if len(places) != 1:
        raise InputError(
            f"{', '.join(map(str, local))}: expected one folder with {file_names(name)[0]} and seven more files, "
            f"found {len(places)}"
        )
    return _whole(name, places.pop())


def _whole(name: str, raw: Path) -> Path:
    missing = [file for file in file_names(name) if not (raw / file).is_file()]
    if missing:
        raise InputError(f"{raw}: missing files {first_few(missing, 8)}")
    return raw


def fetch_files(name: str, cache: Path) -> Path:
    """Fetch the eight files from where PyTorch Geometric has them from."""
    from torch_geometric.datasets import Planetoid

    for file in file_names(name):
        fetch_file(
            f"{Planetoid.url}/{file}",
            cache / file,
            otherwise=f"put the eight files ind.{name}.* into a folder and name it with --local",
        )
    return cache


@reads("files of Planetoid")
def read_planetoid(raw: Path, name: str) -> Bundle:
    """Read the files of a dataset.

    PyTorch Geometric unpickles them; before it does, they are read by an unpickler that knows arrays and plain
    containers only, so that a file which asks for anything else is refused and never run.

    Papers that the test index skips (in CiteSeer) have neither words nor a label in the source, and have none here.

    Raises:
        InputError: If a file is damaged, or they do not fit together.
    """
    from torch_geometric.io import read_planetoid_data

    items = {part: load_pickle(raw / f"ind.{name}.{part}") for part in PARTS[:-1]}
    test = _test_index(raw / f"ind.{name}.test.index")
    _check(raw, items, test)
    try:
        data = read_planetoid_data(str(raw), name)
    except (IndexError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{raw}: the files of {name} do not fit together: {' '.join(str(error).split())}") from None
    skipped = np.setdiff1d(np.arange(test.min(), test.max() + 1), test)
    data.y[torch.from_numpy(skipped)] = -1
    bundle = bundle_from_pyg(data, name=name, symmetric=True)  # the files list every citation at both ends
    if not len(skipped) or not isinstance(bundle.graph, MultimodalGraph):
        return bundle
    features = bundle.graph.features["features"]
    present = features.present.clone()
    present[torch.from_numpy(skipped)] = False
    absent = ModalityFeatures(features.spec, features.values, present)
    graph = replace(bundle.graph, features={"features": absent})
    note = f"{name}: {len(skipped)} papers that the test index skips have neither words nor a label"
    return replace(bundle, graph=graph, notes=(*bundle.notes, note))


def _test_index(path: Path) -> np.ndarray:
    words = path.read_text(encoding="utf-8", errors="replace").split()
    if not words or not all(word.isdigit() for word in words):
        raise InputError(f"{path}: expected one position of a paper in each line")
    return np.array(words, dtype=np.int64)


def _check(raw: Path, items: dict[str, Any], test: np.ndarray) -> None:
    """Refuse files whose shapes do not fit, where PyTorch Geometric would stop or go on in the wrong place."""
    shapes: dict[str, tuple[int, ...]] = {
        part: getattr(item, "shape", ()) for part, item in items.items() if part != "graph"
    }
    for words, labels in (("x", "y"), ("tx", "ty"), ("allx", "ally")):
        if len(shapes[words]) != 2 or len(shapes[labels]) != 2 or shapes[words][0] != shapes[labels][0]:
            raise InputError(
                f"{raw}: expected {words} and {labels} with one row per paper, "
                f"got {list(shapes[words])} and {list(shapes[labels])}"
            )
    if shapes["allx"][0] < shapes["x"][0] + NUM_VALID:
        raise InputError(
            f"{raw}: expected at least {shapes['x'][0]} + {NUM_VALID} papers in allx, got {shapes['allx'][0]}"
        )
    if len(test) != shapes["tx"][0] or len(np.unique(test)) != len(test) or test.min() != shapes["allx"][0]:
        raise InputError(
            f"{raw}: expected {shapes['tx'][0]} distinct positions from {shapes['allx'][0]} on in test.index, "
            f"got {len(np.unique(test))} from {test.min()} on"
        )
    if not isinstance(items["graph"], dict):
        raise InputError(f"{raw}: expected a dictionary of neighbours in graph, got {type(items['graph']).__name__}")
