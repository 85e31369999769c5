"""Agreement of a clustering with labels: NMI, ARI, purity, homogeneity."""

from __future__ import annotations

from torch import Tensor

from mmgraph.errors import InputError


def clustering_metrics(cluster: Tensor, label: Tensor) -> dict[str, float]:
    """Compare clusters with labels; how either is numbered does not matter.

    NMI [1] is normalised by the arithmetic mean of the entropies and ARI [2] is 0 in expectation for random clusters of
    the same sizes; both are scikit-learn's. Purity, the share of nodes whose label is the most frequent one of their
    cluster, and homogeneity [3] grow with the number of clusters, so compare them only at an equal number.

    Args:
        cluster: `[n]`, integers: cluster of each node.
        label: `[n]`, integers: label of the same node.

    Returns:
        `nmi`, `ari`, `purity`, `homogeneity`.

    Raises:
        InputError: If there are none, shapes differ, or numbers are not integers (NaN has no place in them).

    References:
        [1] Strehl and Ghosh, 2002, Cluster ensembles, JMLR 3.
        [2] Hubert and Arabie, 1985, Comparing partitions, Journal of Classification 2.
        [3] Rosenberg and Hirschberg, 2007, V-Measure, EMNLP.
    """
    from sklearn import metrics

    for name, values in (("cluster", cluster), ("label", label)):
        if values.dim() != 1 or values.is_floating_point() or values.is_complex():
            raise InputError(f"{name} must be integers [n], got {values.dtype} {list(values.shape)}")
    if cluster.shape != label.shape:
        raise InputError(f"expected one label per node, got {label.numel()} labels and {cluster.numel()} nodes")
    if cluster.numel() == 0:
        raise InputError("no nodes to compare")
    found, truth = cluster.numpy(force=True), label.numpy(force=True)
    together = metrics.cluster.contingency_matrix(truth, found)
    return {
        "nmi": float(metrics.normalized_mutual_info_score(truth, found)),
        "ari": float(metrics.adjusted_rand_score(truth, found)),
        "purity": float(together.max(axis=0).sum() / together.sum()),
        "homogeneity": float(metrics.homogeneity_score(truth, found)),
    }
