"""Node classification with one or several labels."""

from __future__ import annotations

import pyarrow as pa
import torch
from torch import Tensor, nn

from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.heads import NodeHead
from mmgraph.finetuning.node_problem import NodeProblem
from mmgraph.finetuning.problem import Validation
from mmgraph.finetuning.vectors import NodeVectors, rows_to_predict
from mmgraph.metrics.classification import accuracy, macro_auc
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.probe import best_threshold, fit_probe, validation_score


class ClassificationProblem(NodeProblem):
    """Cross-entropy over the classes, or over each label.

    A linear head starts as the linear probe of the encoder's vectors: training then begins at the score of the frozen
    encoder, and the first steps do not tear up its features for the sake of a random head [1].

    Args:
        vectors: Of the nodes.
        task: Labels and splits.
        config: Settings.

    Raises:
        InputError: If the labels cannot be trained on, or belong to nodes that the graph lacks.

    References:
        [1] Kumar et al., 2022, Fine-Tuning Can Distort Pretrained Features and Underperform Out-of-Distribution,
        arXiv:2202.10054.
    """

    def __init__(self, vectors: NodeVectors, task: NodeClassificationTask, config: FinetuneConfig) -> None:
        super().__init__(vectors, task, task.selectable, config)
        self.task = task
        device = vectors.encoder.device
        count = len(task.classes)
        start = vectors.exact(self.rows["train"])
        self.head = NodeHead(start, count, hidden=config.hidden, dropout=config.dropout).to(device)
        if not config.hidden:
            parts = [(start, self.target["train"]), (vectors.exact(self.rows["valid"]), self.target["valid"])]
            self.head.start_at(fit_probe(parts[0], parts[1], count))
        self.weight = _class_weight(self.target["train"], count) if config.class_weight == "balanced" else None

    def loss(self, step: int) -> Tensor:
        """Loss of one batch of train nodes."""
        logits, target, part = self.batch(step)
        if target.dim() == 1:
            loss = nn.functional.cross_entropy(logits, target, weight=self.weight)
            if self.weight is None:
                return part.weight * loss
            mine = self.weight[target].sum() * float(part.share > 0)  # a mean with weights counts by their sum
            return loss * (self.ranks.world_size * mine / self.ranks.total(mine))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target.float(), pos_weight=self.weight)
        return part.weight * loss

    def validate(self) -> Validation:
        """Accuracy, or the loss if there are several labels, as the probe is chosen."""
        logits, target = self._logits(self.rows["valid"]), self.target["valid"]
        score, tie = validation_score(logits, target)
        if target.dim() == 1:
            return Validation((score, tie), {"accuracy": accuracy(logits.argmax(dim=1), target), "loss": -tie})
        return Validation((score, tie), {"macro_auc": macro_auc(logits, target), "loss": -tie})

    def test(self) -> dict[str, float]:
        """As `NodeClassificationTask.metrics`."""
        ids, target = self.task.examples("test")
        rows = self.rows_of(ids)
        return self.task.metrics(self._logits(rows), target.to(rows.device), self._threshold())

    def predictions(self) -> pa.Table:
        """Columns `id`, `label` (a list if there are several) and `probability`, for every node of the labelled types."""
        rows, ids = rows_to_predict(self.vectors.graph, self.task.labels["id"])
        logits = self._logits(rows)
        classes = self.task.classes
        if not self.task.multi_label:
            best = logits.softmax(dim=1).max(dim=1)
            names = [classes[i] for i in best.indices.tolist()]
            return pa.table({"id": ids, "label": names, "probability": best.values.cpu().numpy()})
        probability, threshold = logits.sigmoid(), self._threshold() or 0.5
        chosen = [torch.nonzero(row).flatten().tolist() for row in (probability >= threshold).cpu()]
        return pa.table(
            {
                "id": ids,
                "label": pa.array([[classes[i] for i in row] for row in chosen], pa.list_(pa.string())),
                "probability": pa.array(
                    [probability[n, row].tolist() for n, row in enumerate(chosen)], pa.list_(pa.float32())
                ),
            }
        )

    def _threshold(self) -> float | None:
        if not self.task.multi_label:
            return None
        return best_threshold(self._logits(self.rows["valid"]).sigmoid(), self.target["valid"])

    def _logits(self, rows: Tensor) -> Tensor:
        return self.head.evaluate(self.vectors.exact(rows))


def _class_weight(target: Tensor, count: int) -> Tensor:
    """Weights of mean one over the nodes for classes; negatives per positive, at most 100, for labels: `[count]`."""
    if target.dim() == 1:
        size = torch.bincount(target, minlength=count).clamp(min=1).float()
        return target.numel() / (count * size)
    positive = target.float().sum(dim=0).clamp(min=1)
    return ((len(target) - positive) / positive).clamp(1.0, 100.0)
