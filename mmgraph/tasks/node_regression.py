"""Do frozen embeddings know a number of nodes, such as a price or an age?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.metrics.regression import regression_metrics
from mmgraph.tasks.base import QueryFunction, checked_table
from mmgraph.tasks.node_task import NodeTask
from mmgraph.tasks.ridge import RidgeProbe, fit_ridge, standard

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable


class NodeRegressionTask(NodeTask):
    """Ridge regression on frozen embeddings.

    Args:
        name: Name of the task.
        values: Columns `id`, `value` (a finite number) and `split` (`train`, `valid`, `test`). One row per node; nodes
            without a row enter no loss and no metric.

    Raises:
        InputError: If columns are missing or of the wrong type, an id occurs twice, or a value is empty or not finite.
    """

    kind: ClassVar[str] = "node_regression"

    def __init__(self, name: str, values: pa.Table) -> None:
        super().__init__(name)
        values = checked_table(self.where, values, ids=("id",), splits=self.splits)
        if "value" not in values.column_names:
            raise InputError(f"{self.where}: missing column 'value'")
        column = values["value"]
        if not (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
        ):
            raise InputError(f"{self.where}, column 'value': expected numbers, got {column.type}")
        column = column.cast(pa.float64(), safe=False)
        wrong = pc.invert(pc.fill_null(pc.is_finite(column), False))
        if count := pc.sum(wrong).as_py():
            first = values.select(["id", "value"]).filter(wrong).slice(0, 1).to_pylist()[0]
            found = "nothing" if first["value"] is None else first["value"]
            rest = f", and {count - 1:,} more like it" if count > 1 else ""
            raise InputError(
                f"{self.where}, column 'value': expected a finite number, got {found} for id {first['id']!r}{rest}; "
                "leave such nodes out"
            )
        self.values = pa.table({"id": values["id"], "value": column, "split": values["split"]})

    @property
    def protocol(self) -> str:
        """One line for the report."""
        return (
            "ridge regression on frozen vectors, centred and scaled by one number, values standardised, both by train; "
            "penalty of least squared error on valid"
        )

    def tables(self) -> dict[str, pa.Table]:
        """`values`."""
        return {"values": self.values}

    @classmethod
    def from_tables(cls, name: str, tables: Mapping[str, pa.Table], settings: Mapping[str, Any], root: Path) -> Self:
        """Rebuild from files."""
        del settings, root
        return cls(name, tables["values"])

    @property
    def answers(self) -> pa.Table:
        """The values."""
        return self.values

    def examples(self, split: str) -> tuple[np.ndarray, Tensor]:
        """Ids and values of a split, `[n]` and `[n]` in float64."""
        rows = self._rows(split)
        return NodeIds(rows["id"]).values, torch.tensor(rows["value"].to_pylist(), dtype=torch.float64)

    def evaluate(
        self,
        table: EmbeddingTable,
        graph: MultimodalGraph,
        *,
        split: str = "test",
        seed: int = 0,
        encode_query: QueryFunction | None = None,
    ) -> dict[str, float]:
        """Fit a ridge regression on `train`, choose its penalty on `valid`, then read the values of `split`.

        Returns:
            `mae`, `rmse` (both in units of the values), `r2` and `spearman`. Nothing is random.
        """
        del seed, encode_query
        self.check_split(split)
        self.check_ids(graph)
        probe = self.fit(table)
        ids, target = self.examples(split)
        prediction = probe.predict(table.vectors_of(ids))
        return regression_metrics(prediction, target.to(prediction.device))

    def fit(self, table: EmbeddingTable) -> RidgeProbe:
        """Fit and select the ridge regression; reads no value of `test`.

        Raises:
            InputError: If train or valid is empty, all train values are equal, or vectors are not finite.
        """
        self.check_trainable()
        table.check_finite()
        parts = [(table.vectors_of(ids), values) for ids, values in map(self.examples, ("train", "valid"))]
        return fit_ridge(parts[0], parts[1])

    def check_trainable(self) -> None:
        """Refuse values that nothing can be learned from.

        Raises:
            InputError: If train or valid is empty, or all values of train are equal.
        """
        self.check_parts()
        try:
            standard(self.examples("train")[1])
        except InputError as error:
            raise InputError(f"{self.where}, split 'train': {error}") from None
