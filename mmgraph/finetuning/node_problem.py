"""What problems share that train on single nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.loaders import SeedOrder
from mmgraph.distributed import Part
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.heads import NodeHead
from mmgraph.finetuning.problem import Problem
from mmgraph.finetuning.vectors import NodeVectors
from mmgraph.seeding import derive_seed
from mmgraph.tasks.node_task import NodeTask


class NodeProblem(Problem):
    """Rows and targets of train and valid, and batches of train.

    Args:
        vectors: Of the nodes.
        task: Answers and splits.
        examples: Ids and targets of a split.
        config: Settings.

    Raises:
        InputError: If the graph lacks a node, or the answers cannot be trained on.
    """

    head: NodeHead

    def __init__(
        self,
        vectors: NodeVectors,
        task: NodeTask,
        examples: Callable[[str], tuple[np.ndarray, Tensor]],
        config: FinetuneConfig,
    ) -> None:
        task.check_ids(vectors.graph)
        task.check_trainable()
        self.vectors = vectors
        self.rows: dict[str, Tensor] = {}
        self.target: dict[str, Tensor] = {}
        for split in ("train", "valid"):
            ids, target = examples(split)
            self.rows[split] = self.rows_of(ids)
            self.target[split] = target.to(vectors.encoder.device)
        seed = derive_seed(config.seed, "finetune batches", task.name)
        self.order = SeedOrder(len(self.target["train"]), batch_size=config.batch_size, seed=seed)

    def rows_of(self, ids: np.ndarray) -> Tensor:
        """Positions of ids in the graph, on the device of the model."""
        return torch.from_numpy(self.vectors.graph.node_ids.positions(ids)).to(self.vectors.encoder.device)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Part]:
        """Outputs of the head for this rank's part of the train nodes of a step, their targets, and the part."""
        seeds = self.order.seeds(step)
        part = self.ranks.part(seeds.numel())
        chosen = part.of(seeds).to(self.rows["train"].device)
        return self.head(self.vectors.of(self.rows["train"][chosen], step)), self.target["train"][chosen], part
