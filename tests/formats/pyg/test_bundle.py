from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from mmgraph.errors import InputError
from mmgraph.formats.pyg import bundle_from_pyg, from_pyg, to_hetero_pyg, to_pyg
from mmgraph.splits.base import Split
from mmgraph.splits.nodes import split_nodes_random
from mmgraph.tasks.from_split import task_from_split
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph


def mask(*positions: int, size: int = 5) -> torch.Tensor:
    result = torch.zeros(size, dtype=torch.bool)
    result[list(positions)] = True
    return result


def cites(**other: Any) -> Data:
    fields = {
        "x": torch.rand(5, 3),
        "edge_index": torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        "y": torch.tensor([2, 0, 1, 0, 2]),
        "train_mask": mask(3),
        "val_mask": mask(0, 4),
        "test_mask": mask(2),
        "node_id": ["e", "d", "c", "b", "a"],
    }
    return Data(**fields | other)


def rows(split: Split) -> dict[Any, tuple[Any, str]]:
    return {row["id"]: (row.get("label"), row["split"]) for row in split.table.to_pylist()}


def test_labels_and_masks_by_id() -> None:
    data = cites()
    bundle = bundle_from_pyg(data, name="tiny")
    assert list(bundle.splits) == ["official"]
    split = bundle.splits["official"]
    assert (split.kind, split.method, split.settings) == ("node", "official", {"source": "pyg", "label": "y"})
    assert rows(split) == {
        "e": (2, "valid"),
        "d": (0, "unused"),
        "c": (1, "test"),
        "b": (0, "train"),
        "a": (2, "valid"),
    }
    assert_same_graph(bundle.graph, from_pyg(data, name="tiny"))
    assert bundle.graph.columns is None
    assert bundle.notes == ()


def test_one_of_several_splits() -> None:
    # As in WikiCS: many columns for training and validation, one test set.
    data = cites(train_mask=torch.stack([mask(3), mask(0)], 1), val_mask=torch.stack([mask(0), mask(4)], 1))
    first, second = (bundle_from_pyg(data, name="tiny", split=i) for i in (0, 1))
    assert rows(first.splits["official"])["e"] == (2, "valid")
    assert {k: v[1] for k, v in rows(second.splits["official"]).items()} == {
        "e": "train",
        "d": "unused",
        "c": "test",
        "b": "unused",
        "a": "valid",
    }
    assert second.splits["official"].settings["column"] == 1
    assert second.notes == ("PyG object 'tiny': took split 1 of 2",)


def test_labels_without_masks_can_be_split() -> None:
    data = cites(train_mask=None, val_mask=None, test_mask=None, stopping=1)
    bundle = bundle_from_pyg(data, name="tiny")
    assert bundle.splits["labels"].counts == {"train": 0, "valid": 0, "test": 0, "unused": 5}
    assert "has labels and no masks" in bundle.notes[0]
    assert bundle.notes[1] == "PyG object 'tiny': not read: 'stopping'"
    nodes = bundle.splits["labels"].table.drop_columns(["split"])
    assert split_nodes_random(nodes, shares={"train": 0.6, "valid": 0.2, "test": 0.2}).counts["train"] == 3


def test_absent_labels() -> None:
    bundle = bundle_from_pyg(cites(y=torch.tensor([2, -1, 1, -1, 2])), name="tiny")
    assert rows(bundle.splits["official"]) == {
        "e": (2, "valid"),
        "c": (1, "test"),
        "b": (None, "train"),
        "a": (2, "valid"),
    }
    assert bundle.notes == ("PyG object 'tiny', y: 2 nodes have a negative label, which is taken for none",)
    floats = bundle_from_pyg(cites(y=torch.tensor([2, torch.nan, 1, 0, 2])[:, None]), name="tiny")
    assert "d" not in rows(floats.splits["official"])
    assert rows(floats.splits["official"])["e"] == (2, "valid")


def test_several_labels() -> None:
    y = torch.tensor([[1.0, 0, 1], [0, 0, 0], [torch.nan] * 3, [0, torch.nan, 1], [0, 1, 0]])
    bundle = bundle_from_pyg(cites(y=y), name="tiny")
    assert rows(bundle.splits["official"]) == {
        "e": ([0, 2], "valid"),
        "d": ([], "unused"),
        "c": (None, "test"),
        "b": ([2], "train"),
        "a": ([1], "valid"),
    }
    assert "1 nodes have labels that are partly unknown" in bundle.notes[0]


def test_types_apart() -> None:
    data = HeteroData()
    data["paper"].x = torch.rand(5, 2)
    data["paper"].update({"y": torch.arange(5), "train_mask": mask(4), "test_mask": mask(0)})
    data["author"].num_nodes = 3
    data["author", "writes", "paper"].edge_index = torch.tensor([[0], [4]])
    single = bundle_from_pyg(data, name="mag")
    assert rows(single.splits["official"])["paper:4"] == (4, "train")
    data["author"].update({"y": torch.arange(3), "val_mask": mask(1, size=3)})
    both = bundle_from_pyg(data, name="mag")
    assert list(both.splits) == ["official-paper", "official-author"]
    assert rows(both.splits["official-author"]) == {
        "author:0": (0, "unused"),
        "author:1": (1, "valid"),
        "author:2": (2, "unused"),
    }


@pytest.mark.parametrize("convert", [to_pyg, to_hetero_pyg])
def test_labels_added_to_our_own_objects(convert: Any) -> None:
    graph = make_graph()
    data = convert(graph)
    items = graph.nodes_of_type("item")
    if convert is to_pyg:
        data.y = torch.arange(40)
        data.train_mask, data.test_mask = mask(*items[:5].tolist(), size=40), mask(8, size=40)
    else:
        data["item"].y = items
        data["item"].train_mask, data["item"].test_mask = torch.arange(30) < 5, items == 8
    bundle = bundle_from_pyg(data)
    assert_same_graph(bundle.graph, graph)
    found = rows(bundle.splits["official"])
    assert found["n0008"] == (8, "test")
    assert {name for name, (_, part) in found.items() if part == "train"} == {f"n{i:04d}" for i in items[:5].tolist()}
    assert all(label == int(name[1:]) for name, (label, _) in found.items())


def test_a_task_comes_out() -> None:
    task = task_from_split("topic", bundle_from_pyg(cites(), name="tiny").splits["official"])
    labels = task.tables()["labels"].to_pylist()
    assert {(row["id"], row["label"], row["split"]) for row in labels} == {
        ("e", "2", "valid"),
        ("c", "1", "test"),
        ("b", "0", "train"),
        ("a", "2", "valid"),
    }


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({"y": torch.arange(4)}, {}, "PyG object 'tiny', y: expected numbers [5] or [5, num_labels], got int64 [4]"),
        ({"y": torch.full((5, 2), 3)}, {}, "several labels per node must be columns of 0 and 1, got other values"),
        (
            {"val_mask": mask(0, size=4)},
            {},
            "PyG object 'tiny', val_mask: expected bool [5] or [5, num_splits], got bool [4]",
        ),
        ({"val_mask": mask(3)}, {}, "PyG object 'tiny': 1 nodes are in train and in valid, first: 'b'"),
        ({}, {"split": 1}, "PyG object 'tiny': split 1 was asked for, but no mask has several columns"),
        (
            {"test_mask": torch.stack([mask(2)] * 3, 1)},
            {"split": 3},
            "PyG object 'tiny', test_mask: expected a split in 0..2, got 3",
        ),
    ],
)
def test_bad_input(fields: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        bundle_from_pyg(cites(**fields), name="tiny", **arguments)
    assert message in str(error.value)


def test_lists_as_labels() -> None:
    data = cites(y=[2, 0, 1, 0, 2])
    assert rows(bundle_from_pyg(data, name="tiny").splits["official"])["c"] == (1, "test")
    assert np.asarray(data.y).shape == (5,)
