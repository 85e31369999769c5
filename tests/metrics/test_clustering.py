from __future__ import annotations

import math

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.metrics.clustering import clustering_metrics


def test_six_nodes_by_hand() -> None:
    cluster, label = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([5, 5, 2, 2, 2, 2])
    found = clustering_metrics(cluster, label)
    assert found["purity"] == pytest.approx(5 / 6)
    # Entropies in nats: H(label) from 2/6 and 4/6, H(label | cluster) from the first cluster alone.
    entropy = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    shared = entropy - 0.5 * entropy
    assert found["homogeneity"] == pytest.approx(shared / entropy)
    assert found["nmi"] == pytest.approx(shared / ((entropy + math.log(2)) / 2))
    # Pairs together in both: 1 + 3 = 4; expected 6 * 7 / 15.
    assert found["ari"] == pytest.approx((4 - 6 * 7 / 15) / ((6 + 7) / 2 - 6 * 7 / 15))


def test_numbering_does_not_matter() -> None:
    cluster, label = torch.randint(4, (50,)), torch.randint(3, (50,))
    assert clustering_metrics(7 - 2 * cluster, label + 100) == pytest.approx(clustering_metrics(cluster, label))
    assert set(clustering_metrics(label, label).values()) == {1.0}


def test_one_cluster_knows_nothing() -> None:
    found = clustering_metrics(torch.zeros(8, dtype=torch.int64), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2]))
    assert found == {"nmi": 0.0, "ari": 0.0, "purity": 3 / 8, "homogeneity": 0.0}


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"label must be integers \[n\], got torch.float32"):
        clustering_metrics(torch.zeros(2, dtype=torch.int64), torch.tensor([0.0, math.nan]))
    with pytest.raises(InputError, match="got 3 labels and 2 nodes"):
        clustering_metrics(torch.arange(2), torch.arange(3))
    with pytest.raises(InputError, match="no nodes"):
        clustering_metrics(torch.arange(0), torch.arange(0))
