"""A clustering: one cluster for each node, by id, with names if texts gave some."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.files import atomic_path
from mmgraph.metrics.clustering import clustering_metrics

if TYPE_CHECKING:
    from mmgraph.tasks.node_classification import NodeClassificationTask


@dataclass(frozen=True, eq=False)
class Clustering:
    """Which cluster each node is in.

    Attributes:
        node_ids: External ids, unique strings or integers.
        cluster: `[num_nodes]`, int64, on the CPU: numbers from 0 without gaps; `from_codes` gives the largest number 0.
        method: What made it, with its settings.
        names: A few words for each cluster, or `None`; see `name_clusters`.
    """

    node_ids: NodeIds
    cluster: Tensor
    method: str
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        where = f"clustering {self.method!r}"
        if self.cluster.shape != (len(self.node_ids),) or self.cluster.dtype != torch.int64:
            raise InputError(
                f"{where}: cluster must be int64 [{len(self.node_ids)}], got {self.cluster.dtype} {list(self.cluster.shape)}"
            )
        if len(self.node_ids) == 0:
            raise InputError(f"{where}: expected at least one node, got none")
        if int(self.cluster.min()) < 0 or bool((self.sizes == 0).any()):
            raise InputError(f"{where}: clusters must be numbered from 0 without gaps")
        if self.names is not None and len(self.names) != self.num_clusters:
            raise InputError(f"{where}: expected {self.num_clusters} names, got {len(self.names)}")

    @classmethod
    def from_codes(cls, node_ids: NodeIds, code: np.ndarray, *, method: str) -> Clustering:
        """Number clusters by size, the largest 0; equal sizes in order of the smallest id in them.

        Args:
            node_ids: External ids.
            code: `[num_nodes]`: any integers, equal for nodes of one cluster.
            method: What made them.
        """
        by_id = np.argsort(node_ids.values, kind="stable")
        _, first, inverse, counts = np.unique(code[by_id], return_index=True, return_inverse=True, return_counts=True)
        number: np.ndarray = np.empty(len(counts), dtype=np.int64)
        number[np.lexsort((first, -counts))] = np.arange(len(counts))
        cluster: np.ndarray = np.empty(len(code), dtype=np.int64)
        cluster[by_id] = number[inverse]
        return cls(node_ids, torch.from_numpy(cluster), method)

    @property
    def sizes(self) -> Tensor:
        """Number of nodes of each cluster, `[num_clusters]`."""
        return torch.bincount(self.cluster)

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster.max()) + 1

    def __len__(self) -> int:
        return len(self.node_ids)

    def __repr__(self) -> str:
        return f"Clustering({len(self):,} nodes in {self.num_clusters:,} clusters, {self.method})"


def evaluate_clustering(clustering: Clustering, task: NodeClassificationTask) -> dict[str, float]:
    """Compare clusters with the labels of a task, those of train, valid and test together.

    Nothing is fitted on labels, so there is no part to hold out. But whoever chooses `k`, a resolution or a model by these
    numbers has used the test labels.

    Returns:
        `nmi`, `ari`, `purity`, `homogeneity` of `clustering_metrics`, `num_clusters` (those with a labelled node) and
        `num_nodes` (labelled).

    Raises:
        InputError: If nodes have several labels, there are none, or labelled nodes are not in the clustering.
    """
    if task.multi_label:
        raise InputError(f"{task.where}: clusters are compared with one label per node, got several")
    where = f"{task.where}, nodes of the clustering"
    position = clustering.node_ids.positions(task.labels["id"], where=where)
    cluster = clustering.cluster[torch.from_numpy(position)]
    label = torch.from_numpy(np.unique(task.labels["label"].to_pylist(), return_inverse=True)[1].astype(np.int64))
    metrics = clustering_metrics(cluster, label)
    return metrics | {"num_clusters": float(torch.unique(cluster).numel()), "num_nodes": float(label.numel())}


def write_clusters(clustering: Clustering, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write one parquet file with `id`, `cluster` and, if there are names, `name`; the method is in its metadata.

    Raises:
        InputError: If the file exists and `overwrite` is false, or the path is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, got a folder")
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; give another file or ask to overwrite it")
    columns = {"id": clustering.node_ids.arrow, "cluster": pa.array(clustering.cluster.numpy())}
    if clustering.names is not None:
        columns["name"] = pa.array(clustering.names, pa.string()).take(columns["cluster"])
    table = pa.table(columns).replace_schema_metadata({"mmgraph.clustering": clustering.method})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
    return path
