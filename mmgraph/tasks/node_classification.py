"""Do frozen embeddings know the labels of nodes?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, first_few
from mmgraph.metrics.classification import accuracy, macro_auc, macro_f1, multilabel_macro_f1
from mmgraph.tasks.base import QueryFunction, checked_table
from mmgraph.tasks.node_task import NodeTask
from mmgraph.tasks.probe import LinearProbe, fit_probe

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable


class NodeClassificationTask(NodeTask):
    """Linear probe on frozen embeddings.

    Args:
        name: Name of the task.
        labels: Columns `id`, `label` (a string, or a list of strings if `multi_label`) and `split` (`train`,
            `valid`, `test`). One row per node; nodes without a row enter no loss and no metric.
        multi_label: A node may have any number of labels.

    Raises:
        InputError: If columns are missing or of the wrong type, or an id occurs twice.
    """

    kind: ClassVar[str] = "node_classification"

    def __init__(self, name: str, labels: pa.Table, multi_label: bool = False) -> None:
        super().__init__(name)
        self.multi_label = multi_label
        labels = checked_table(self.where, labels, ids=("id",), splits=self.splits)
        if "label" not in labels.column_names:
            raise InputError(f"{self.where}: missing column 'label'")
        column = labels["label"]
        wanted = pa.list_(pa.string()) if multi_label else pa.string()
        value_type = column.type.value_type if multi_label and pa.types.is_list(column.type) else column.type
        if pa.types.is_list(column.type) != multi_label or not (
            pa.types.is_string(value_type) or pa.types.is_large_string(value_type)
        ):
            raise InputError(f"{self.where}, column 'label': expected {wanted}, got {column.type}")
        if column.null_count:
            raise InputError(f"{self.where}, column 'label': {column.null_count} rows are empty; leave such nodes out")
        self.labels = pa.table({"id": labels["id"], "label": column.cast(wanted), "split": labels["split"]})

    @property
    def protocol(self) -> str:
        """One line for the report."""
        return (
            "linear probe on frozen vectors, centred and scaled by one number; logistic regression by L-BFGS, weight decay chosen on "
            f"valid; {'multi-label, AUC over labels with both classes' if self.multi_label else 'one label'}"
        )

    def tables(self) -> dict[str, pa.Table]:
        """`labels`."""
        return {"labels": self.labels}

    def settings(self) -> dict[str, Any]:
        """`multi_label`."""
        return {"multi_label": self.multi_label}

    @classmethod
    def from_tables(cls, name: str, tables: Mapping[str, pa.Table], settings: Mapping[str, Any], root: Path) -> Self:
        """Rebuild from files."""
        del root
        return cls(name, tables["labels"], multi_label=bool(settings["multi_label"]))

    @property
    def answers(self) -> pa.Table:
        """The labels."""
        return self.labels

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Labels that occur in `train`, in alphabetical order; nothing else is known before selection is done."""
        column = self._rows("train")["label"]
        return tuple(sorted(set((pc.list_flatten(column) if self.multi_label else column).to_pylist())))

    def examples(self, split: str) -> tuple[np.ndarray, Tensor]:
        """Ids and targets of a split.

        Returns:
            Ids `[n]` and targets: int64 `[n]`, or bool `[n, num_classes]` if there are several labels. A class that
            `train` lacks gets a number above all classes, so that no prediction is right; such labels are left out
            of the second form.
        """
        rows = self._rows(split)
        ids = NodeIds(rows["id"]).values
        number = {label: i for i, label in enumerate(self.classes)}
        labels = rows["label"].to_pylist()
        if not self.multi_label:
            for label in sorted(set(labels) - set(number)):
                number[label] = len(number)
            return ids, torch.tensor([number[label] for label in labels], dtype=torch.int64)
        targets = torch.zeros(len(labels), len(self.classes), dtype=torch.bool)
        for i, names in enumerate(labels):
            targets[i, [number[name] for name in names if name in number]] = True
        return ids, targets

    def evaluate(
        self,
        table: EmbeddingTable,
        graph: MultimodalGraph,
        *,
        split: str = "test",
        seed: int = 0,
        encode_query: QueryFunction | None = None,
    ) -> dict[str, float]:
        """Train a linear probe on `train`, choose it on `valid`, then read the labels of `split`.

        Returns:
            `accuracy` and `macro_f1`, or `macro_auc` and `macro_f1` if there are several labels. Nothing is random.
        """
        del seed, encode_query
        self.check_split(split)
        self.check_ids(graph)
        probe = self.fit(table)
        ids, target = self.examples(split)
        logits = probe.logits(table.vectors_of(ids))
        return self.metrics(logits, target.to(logits.device), probe.selection.threshold)

    def fit(self, table: EmbeddingTable) -> LinearProbe:
        """Train and select the probe; reads no label of `test`.

        Raises:
            InputError: If train or valid is empty, there are fewer than two classes, or vectors are not finite.
        """
        self.check_trainable()
        table.check_finite()
        parts = []
        for split in ("train", "valid"):
            ids, target = self.selectable(split)
            parts.append((table.vectors_of(ids), target.to(table.vectors.device)))
        return fit_probe(parts[0], parts[1], len(self.classes))

    def selectable(self, split: str) -> tuple[np.ndarray, Tensor]:
        """As `examples`, without nodes of a class that `train` lacks: they say nothing about which model is better."""
        ids, target = self.examples(split)
        known = target < len(self.classes) if not self.multi_label else torch.ones(len(ids), dtype=torch.bool)
        return ids[known.numpy()], target[known]

    def metrics(self, logits: Tensor, target: Tensor, threshold: float | None = None) -> dict[str, float]:
        """Metrics of logits `[n, num_classes]`; `threshold` is the probability from which a label is predicted."""
        if not self.multi_label:
            prediction = logits.argmax(dim=1)
            return {"accuracy": accuracy(prediction, target), "macro_f1": macro_f1(prediction, target)}
        prediction = logits.sigmoid() >= (0.5 if threshold is None else threshold)
        return {"macro_auc": macro_auc(logits, target), "macro_f1": multilabel_macro_f1(prediction, target)}

    def check_trainable(self) -> None:
        """Refuse labels that nothing can be learned from.

        Raises:
            InputError: If train or valid is empty, or there are fewer than two classes.
        """
        self.check_parts()
        if len(self.classes) < (1 if self.multi_label else 2):
            raise InputError(f"{self.where}: expected at least two classes in train, got {first_few(self.classes)}")
