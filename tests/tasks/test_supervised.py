from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.supervised import SupervisedConfig, supervised_sage, train_supervised

SMALL = SupervisedConfig(dim=32, epochs=60, patience=20, learning_rate=0.01)


@pytest.fixture(scope="module")
def faint(setting: Any) -> Any:
    """The same graph with faint features: one node alone hardly tells its community, its neighbours together do."""
    random = torch.Generator().manual_seed(1)
    community = torch.tensor(setting.graph.columns["community"].to_pylist())
    values = torch.randn(4, 16, generator=random)[community]
    values = values + 2.5 * torch.randn(len(values), 16, generator=random)
    everywhere = torch.ones(setting.graph.num_nodes, dtype=torch.bool)
    features = {"text": ModalityFeatures(FeatureSpec("text", "faint", 16), values, everywhere)}
    return replace(setting.graph, features=features)


@pytest.mark.parametrize("conv", ["sage", "gat"])
@pytest.mark.parametrize(("name", "metric", "floor"), [("community", "accuracy", 0.8), ("traits", "macro_auc", 0.9)])
def test_learns_the_plant(setting: Any, name: str, metric: str, floor: float, conv: Any) -> None:
    assert supervised_sage(setting.graph, setting.tasks[name], config=replace(SMALL, conv=conv))[metric] > floor


def test_same_seed_same_bits_and_the_global_generator_is_left_alone(setting: Any) -> None:
    task, state = setting.tasks["community"], torch.get_rng_state()
    first = supervised_sage(setting.graph, task, seed=1, config=replace(SMALL, epochs=5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert supervised_sage(setting.graph, task, seed=1, config=replace(SMALL, epochs=5)) == first


def test_permuted_test_labels_change_nothing_but_the_test_score(setting: Any) -> None:
    task = setting.tasks["community"]
    labels, split = task.labels["label"].to_pylist(), task.labels["split"].to_pylist()
    test = [i for i, name in enumerate(split) if name == "test"]
    for row, other in zip(test, reversed(test), strict=True):
        labels[row] = task.labels["label"][other].as_py()
    permuted = NodeClassificationTask(task.name, task.labels.set_column(1, "label", pa.array(labels)))
    config = replace(SMALL, epochs=20)
    scores = [
        [supervised_sage(setting.graph, which, split=split, config=config) for split in ("valid", "test")]
        for which in (task, permuted)
    ]
    assert scores[0][0] == scores[1][0]
    before, after = (train_supervised(setting.graph, which, config=config) for which in (task, permuted))
    assert (before.epoch, before.score) == (after.epoch, after.score)
    assert torch.equal(before.logits, after.logits)
    assert scores[0][1]["accuracy"] > scores[1][1]["accuracy"] + 0.2


def test_it_reads_the_edges_and_without_layers_it_does_not(setting: Any, faint: Any) -> None:
    task = setting.tasks["community"]
    with_edges = supervised_sage(faint, task, config=SMALL)["accuracy"]
    alone = supervised_sage(faint, task, config=replace(SMALL, num_layers=0))["accuracy"]
    without = supervised_sage(replace(faint, relations={}), task, config=replace(SMALL, num_layers=0))["accuracy"]
    assert alone == without
    assert with_edges > alone + 0.1


def test_bad_splits_are_refused(setting: Any) -> None:
    with pytest.raises(InputError, match="unknown split"):
        supervised_sage(setting.graph, setting.tasks["community"], split="all")
