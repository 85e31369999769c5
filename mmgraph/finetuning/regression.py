"""Node regression: a number for each node."""

from __future__ import annotations

import pyarrow as pa
from torch import Tensor, nn

from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.heads import NodeHead
from mmgraph.finetuning.node_problem import NodeProblem
from mmgraph.finetuning.problem import Validation
from mmgraph.finetuning.vectors import NodeVectors, rows_to_predict
from mmgraph.metrics.regression import mean_absolute_error, regression_metrics, root_mean_squared_error
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.ridge import fit_ridge, standard


class RegressionProblem(NodeProblem):
    """Huber [1] or squared error of values that are standardised by the train nodes.

    A linear head starts as the ridge regression of the encoder's vectors, as the head of a classification starts as the
    linear probe. Predictions and metrics are in the units of the values.

    Args:
        vectors: Of the nodes.
        task: Values and splits.
        config: Settings.

    Raises:
        InputError: If the values cannot be trained on, or belong to nodes that the graph lacks.

    References:
        [1] Huber, 1964, Robust Estimation of a Location Parameter; its threshold is one standard deviation here.
    """

    def __init__(self, vectors: NodeVectors, task: NodeRegressionTask, config: FinetuneConfig) -> None:
        super().__init__(vectors, task, task.examples, config)
        self.task = task
        device = vectors.encoder.device
        self.centre, self.spread = standard(self.target["train"])
        self.error = nn.functional.huber_loss if config.value_loss == "huber" else nn.functional.mse_loss
        start = vectors.exact(self.rows["train"])
        self.head = NodeHead(start, 1, hidden=config.hidden, dropout=config.dropout).to(device)
        if not config.hidden:
            valid = (vectors.exact(self.rows["valid"]), self.target["valid"])
            self.head.start_at(fit_ridge((start, self.target["train"]), valid))

    def loss(self, step: int) -> Tensor:
        """Loss of one batch of train nodes."""
        output, target, part = self.batch(step)
        return part.weight * self.error(output.squeeze(1), self._standardised(target))

    def validate(self) -> Validation:
        """Minus the root mean squared error, as the ridge regression is chosen."""
        target = self.target["valid"]
        prediction = self._predict(self.rows["valid"])
        loss = float(self.error(self._standardised(prediction), self._standardised(target)))
        rmse = root_mean_squared_error(prediction, target)
        return Validation((-rmse,), {"rmse": rmse, "mae": mean_absolute_error(prediction, target), "loss": loss})

    def test(self) -> dict[str, float]:
        """As `NodeRegressionTask.evaluate`."""
        ids, target = self.task.examples("test")
        rows = self.rows_of(ids)
        return regression_metrics(self._predict(rows), target.to(rows.device))

    def predictions(self) -> pa.Table:
        """Columns `id` and `value`, for every node of the types that have values."""
        rows, ids = rows_to_predict(self.vectors.graph, self.task.values["id"])
        return pa.table({"id": ids, "value": self._predict(rows).cpu().numpy()})

    def _standardised(self, values: Tensor) -> Tensor:
        """In float32: the differences between values may be lost in it before, as those of years are."""
        return ((values - self.centre) / self.spread).float()

    def _predict(self, rows: Tensor) -> Tensor:
        output = self.head.evaluate(self.vectors.exact(rows)).squeeze(1)
        return output.double() * self.spread + self.centre
