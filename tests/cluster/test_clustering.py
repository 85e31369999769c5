from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmgraph.cluster.clustering import Clustering, evaluate_clustering, write_clusters
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.tasks.node_classification import NodeClassificationTask


def _clustering(ids: list[str], code: list[int]) -> Clustering:
    return Clustering.from_codes(NodeIds(ids), np.array(code), method="test")


def _task(labels: dict[str, str]) -> NodeClassificationTask:
    split = (["train", "valid", "test"] * len(labels))[: len(labels)]
    return NodeClassificationTask("t", pa.table({"id": list(labels), "label": list(labels.values()), "split": split}))


def test_clusters_are_numbered_by_size_then_by_id() -> None:
    found = _clustering(["e", "d", "c", "b", "a"], [7, 3, 7, -5, 3])
    # 3 holds a and d, 7 holds c and e: equal sizes, a comes first.
    assert found.cluster.tolist() == [1, 0, 1, 2, 0]
    assert found.sizes.tolist() == [2, 2, 1]
    assert (len(found), found.num_clusters) == (5, 3)
    assert repr(found) == "Clustering(5 nodes in 3 clusters, test)"


def test_agreement_is_joined_by_id_and_uses_all_parts() -> None:
    found = _clustering(["a", "b", "c", "d", "e", "z"], [0, 0, 0, 1, 1, 1])
    # The task lists its rows by id; z has no label and does not count.
    metrics = evaluate_clustering(found, _task({"e": "y", "a": "x", "d": "y", "c": "y", "b": "x"}))
    assert metrics["purity"] == pytest.approx(4 / 5)
    assert (metrics["num_nodes"], metrics["num_clusters"]) == (5, 2)
    same = evaluate_clustering(found, _task({"d": "p", "a": "q", "b": "q", "e": "p", "c": "q"}))
    assert (same["nmi"], same["ari"], same["purity"], same["homogeneity"]) == pytest.approx((1, 1, 1, 1))


def test_tasks_that_do_not_fit_are_refused() -> None:
    found = _clustering(["a", "b"], [0, 1])
    with pytest.raises(InputError, match=r"task 't', nodes of the clustering: 1 unknown ids: 'q'"):
        evaluate_clustering(found, _task({"a": "x", "q": "y"}))
    several = pa.table({"id": ["a"], "label": [["x"]], "split": ["train"]})
    with pytest.raises(InputError, match="one label per node"):
        evaluate_clustering(found, NodeClassificationTask("t", several, multi_label=True))
    with pytest.raises(InputError, match="integers"):
        evaluate_clustering(Clustering.from_codes(NodeIds([1, 2]), np.arange(2), method="m"), _task({"a": "x"}))


@pytest.mark.parametrize(
    ("cluster", "names", "message"),
    [
        ([0, 2], None, "without gaps"),
        ([0, -1], None, "without gaps"),
        ([0], None, r"int64 \[2\]"),
        ([0.0, 1.0], None, "float32"),
        ([0, 1], ("a",), "expected 2 names, got 1"),
    ],
)
def test_malformed_clusterings_are_refused(cluster: list[int], names: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Clustering(NodeIds(["a", "b"]), torch.tensor(cluster), "m", names)


@pytest.mark.parametrize("ids", [["b", "a", "c"], [30, 10, 20]])
def test_file_has_id_cluster_and_name(ids: list[str] | list[int], tmp_path: Path) -> None:
    found = Clustering(NodeIds(ids), torch.tensor([1, 0, 1]), "m", ("red", "blue"))
    path = write_clusters(found, tmp_path / "c.parquet")
    table = pq.read_table(path)
    assert table.to_pydict() == {"id": ids, "cluster": [1, 0, 1], "name": ["blue", "red", "blue"]}
    assert table.schema.metadata[b"mmgraph.clustering"] == b"m"
    with pytest.raises(InputError, match="already exists"):
        write_clusters(found, path)
    write_clusters(Clustering(NodeIds(ids), torch.tensor([0, 0, 0]), "m"), path, overwrite=True)
    assert pq.read_table(path).column_names == ["id", "cluster"]
    with pytest.raises(InputError, match="got a folder"):
        write_clusters(found, tmp_path)
