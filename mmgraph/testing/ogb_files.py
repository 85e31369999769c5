"""Tiny datasets in the layout in which OGB ships its own, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

NUM_NODES = 6
PAPERS = (9657784, 39886, 116691, 121432, 231147, 7)
"""Ids of the papers of ogbn-arxiv and ogbl-citation2, in the order of positions."""

ASINS = ("0027384000", "B00029BOW0", "0375840559", "B0000C9WG1", "0000031909", "B01")
AUTHORS = ("a-5", "a-1", "a-4", "a-2", "a-3", "a-0")
YEARS = (2001, 2002, 2003, 2004, 2018, 2019)


def write_csv(path: Path, rows: Any, header: list[str] | None = None) -> None:
    """Write rows as OGB does: compressed, and without a header but in the folder `mapping`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, columns=header)
    table.to_csv(path, header=header is not None, index=False, compression={"method": "gzip", "mtime": 0})


def write_raw(folder: Path, edges: Any, **other: Any) -> None:
    """Write the raw files of a graph with 6 nodes; names of further files with `_` for `-` where they are no attribute."""
    raw = folder / "raw"
    write_csv(raw / "edge.csv.gz", np.asarray(edges))
    write_csv(raw / "num-node-list.csv.gz", [[NUM_NODES]])
    write_csv(raw / "num-edge-list.csv.gz", [[len(edges)]])
    write_csv(raw / "node-feat.csv.gz", features())
    for name, values in other.items():
        write_csv(raw / f"{name}.csv.gz", values)


def features() -> np.ndarray:
    """Features of the nodes, `[6, 2]`, float32."""
    return np.arange(2 * NUM_NODES, dtype=np.float32).reshape(NUM_NODES, 2) / 4


def write_arxiv(root: Path) -> Path:
    """`ogbn-arxiv`: six papers, their years, classes and the split by time. The mapping is not in order."""
    folder = root / "ogbn_arxiv"
    write_raw(folder, [[1, 0], [2, 1], [3, 0], [5, 3]], node_year=np.array(YEARS)[:, None])
    write_csv(folder / "raw" / "node-label.csv.gz", [[4], [0], [4], [39], [0], [4]])
    for part, rows in {"train": [0, 1, 2], "valid": [4], "test": [5, 3]}.items():
        write_csv(folder / "split" / "time" / f"{part}.csv.gz", [[row] for row in rows])
    order = [3, 0, 5, 1, 2, 4]
    write_csv(folder / "mapping" / "nodeidx2paperid.csv.gz", [[i, PAPERS[i]] for i in order], ["node idx", "paper id"])
    write_csv(
        folder / "mapping" / "labelidx2arxivcategeory.csv.gz", [[0, "arxiv cs ai"]], ["label idx", "arxiv category"]
    )
    return folder


def write_products(root: Path) -> Path:
    """`ogbn-products`: undirected, each edge once on disk; ids some of which look like numbers."""
    folder = root / "ogbn_products"
    write_raw(folder, [[0, 1], [2, 1], [4, 3]])
    write_csv(folder / "raw" / "node-label.csv.gz", [[i] for i in range(NUM_NODES)])
    for part, rows in {"train": [0, 1], "valid": [2, 3], "test": [4, 5]}.items():
        write_csv(folder / "split" / "sales_ranking" / f"{part}.csv.gz", [[row] for row in rows])
    write_csv(folder / "mapping" / "nodeidx2asin.csv.gz", list(enumerate(ASINS)), ["node idx", "asin"])
    return folder


def write_mag(root: Path) -> Path:
    """`ogbn-mag`: three papers and two authors; only papers have labels and features."""
    folder = root / "ogbn_mag"
    raw, parts = folder / "raw", folder / "split" / "time"
    triplets = [("author", "writes", "paper"), ("paper", "cites", "paper")]
    write_csv(raw / "triplet-type-list.csv.gz", triplets)
    write_csv(raw / "num-node-dict.csv.gz", [[2, 3]], ["author", "paper"])
    for triplet, edges in zip(triplets, ([[0, 2], [1, 0]], [[0, 1]]), strict=True):
        inside = raw / "relations" / "___".join(triplet)
        write_csv(inside / "edge.csv.gz", edges)
        write_csv(inside / "num-edge-list.csv.gz", [[len(edges)]])
        write_csv(inside / "edge_reltype.csv.gz", [[0]] * len(edges))
    write_csv(raw / "nodetype-has-feat.csv.gz", [[False, True]], ["author", "paper"])
    write_csv(raw / "nodetype-has-label.csv.gz", [[False, True]], ["author", "paper"])
    write_csv(parts / "nodetype-has-split.csv.gz", [[False, True]], ["author", "paper"])
    write_csv(raw / "node-feat" / "paper" / "node-feat.csv.gz", features()[:3])
    write_csv(raw / "node-feat" / "paper" / "node_year.csv.gz", [[2017], [2018], [2019]])
    write_csv(raw / "node-label" / "paper" / "node-label.csv.gz", [[7], [8], [7]])
    for part, row in {"train": 2, "valid": 0, "test": 1}.items():
        write_csv(parts / "paper" / f"{part}.csv.gz", [[row]])
    for kind, names in {"author": [50, 40], "paper": [50, 60, 70]}.items():
        write_csv(folder / "mapping" / f"{kind}_entidx2name.csv.gz", list(enumerate(names)), ["ent idx", "ent name"])
    return folder


def write_papers(root: Path) -> Path:
    """`ogbn-papers100M`: binary files; most papers have no label."""
    folder = root / "ogbn_papers100M"
    (folder / "raw").mkdir(parents=True)
    np.savez(
        folder / "raw" / "data.npz",
        edge_index=np.array([[1, 2], [0, 1]]),
        num_nodes_list=np.array([NUM_NODES]),
        num_edges_list=np.array([2]),
        node_feat=features(),
        node_year=np.array(YEARS)[:, None],
    )
    labels = np.array([np.nan, 3, np.nan, 8, 3, np.nan], dtype=np.float32)[:, None]
    np.savez(folder / "raw" / "node-label.npz", node_label=labels)
    for part, row in {"train": 3, "valid": 1, "test": 4}.items():
        write_csv(folder / "split" / "time" / f"{part}.csv.gz", [[row]])
    return folder


def write_link_parts(folder: Path, parts: Mapping[str, Mapping[str, Any]], **options: Any) -> None:
    """Write the parts of a split of edges as OGB does: dictionaries of numpy arrays in files of `torch.save`."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, arrays in parts.items():
        torch.save({key: np.array(value) for key, value in arrays.items()}, folder / f"{part}.pt", **options)


def write_citation(root: Path, **options: Any) -> Path:
    """`ogbl-citation2`: directed; every held-out citation has three negatives. One test citation is cited back."""
    folder = root / "ogbl_citation2"
    train = [[1, 0], [2, 1], [3, 0], [4, 2]]
    write_raw(folder, train, node_year=np.array(YEARS)[:, None])
    parts: dict[str, dict[str, Any]] = {
        "train": {"source_node": [row[0] for row in train], "target_node": [row[1] for row in train]},
        "valid": {"source_node": [5, 4], "target_node": [1, 0], "target_node_neg": [[0, 3, 4], [3, 5, 3]]},
        "test": {
            "source_node": [2, 5, 4],
            "target_node": [4, 2, 1],
            "target_node_neg": [[0, 3, 5], [3, 0, 4], [5, 3, 3]],
        },
    }
    write_link_parts(folder / "split" / "time", parts, **options)
    write_csv(folder / "mapping" / "nodeidx2paperid.csv.gz", list(enumerate(PAPERS)), ["node idx", "paper id"])
    return folder


def write_collab(root: Path) -> Path:
    """`ogbl-collab`: undirected, one edge for each year of a pair, with weights; negatives shared by all edges."""
    folder = root / "ogbl_collab"
    train = [[0, 1], [1, 0], [2, 3], [4, 3]]
    write_raw(folder, train, edge_weight=[[1], [2], [5], [1]], edge_year=[[2010], [2008], [2011], [2012]])
    parts = {
        "train": {"edge": train, "weight": [1, 2, 5, 1], "year": [2010, 2008, 2011, 2012]},
        "valid": {
            "edge": [[3, 2], [5, 0]],
            "weight": [1, 1],
            "year": [2018, 2018],
            "edge_neg": [[0, 4], [1, 4], [1, 5]],
        },
        "test": {
            "edge": [[0, 5], [1, 2], [5, 2]],
            "weight": [1, 1, 3],
            "year": [2019, 2019, 2019],
            "edge_neg": [[0, 3]],
        },
    }
    write_link_parts(folder / "split" / "time", parts)
    write_csv(folder / "mapping" / "nodeidx2authorid.csv.gz", list(enumerate(AUTHORS)), ["node idx", "author id"])
    return folder
