"""Supervised controls of regression: the same values, but with the whole network trained on them."""

from __future__ import annotations

import torch
from torch import nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.metrics.regression import regression_metrics
from mmgraph.seeding import derive_seed
from mmgraph.tasks.controls import raw_features
from mmgraph.tasks.networks import network_input
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.ridge import standard
from mmgraph.tasks.supervised import StoppedTraining, SupervisedConfig, supervised_sage, train_network


def supervised_nodes(
    graph: MultimodalGraph,
    task: NodeClassificationTask | NodeRegressionTask,
    *,
    split: str = "test",
    seed: int = 0,
    config: SupervisedConfig | None = None,
) -> dict[str, float]:
    """`supervised_sage` for labels, `supervised_values` for values."""
    if isinstance(task, NodeRegressionTask):
        return supervised_values(graph, task, split=split, seed=seed, config=config)
    return supervised_sage(graph, task, split=split, seed=seed, config=config)


def supervised_values(
    graph: MultimodalGraph,
    task: NodeRegressionTask,
    *,
    split: str = "test",
    seed: int = 0,
    config: SupervisedConfig | None = None,
) -> dict[str, float]:
    """Train what `supervised_sage` trains on the train values, by squared error, then read the values of `split`.

    Raises:
        InputError: If the values cannot be trained on, see `NodeRegressionTask.check_trainable`.
    """
    task.check_split(split)
    trained = train_supervised_values(graph, task, seed=seed, config=config)
    ids, target = task.examples(split)
    rows = torch.from_numpy(graph.node_ids.positions(ids)).to(graph.device)
    return regression_metrics(trained.logits[rows].squeeze(1), target.to(graph.device))


def train_supervised_values(
    graph: MultimodalGraph, task: NodeRegressionTask, *, seed: int = 0, config: SupervisedConfig | None = None
) -> StoppedTraining:
    """Train on the train values and stop on valid; no value of `test` is read.

    Values are standardised by the train nodes.

    Returns:
        `logits` are predictions in the units of the values, `[num_nodes, 1]`, float64; `score` is minus the RMSE.
    """
    task.check_ids(graph)
    task.check_trainable()
    config = config or SupervisedConfig()
    table = raw_features(graph)
    x, edge_index = network_input(table.vectors), graph.message_edges()[0]
    parts = {name: task.examples(name) for name in ("train", "valid")}
    rows = {name: table.positions(ids) for name, (ids, _) in parts.items()}
    centre, spread = standard(parts["train"][1])
    target = {name: ((values - centre) / spread).float().to(x.device) for name, (_, values) in parts.items()}
    output, epoch, score = train_network(
        x,
        edge_index,
        1,
        config,
        loss=lambda output: nn.functional.mse_loss(output[rows["train"]].squeeze(1), target["train"]),
        score=lambda output: (-float((output[rows["valid"]].squeeze(1) - target["valid"]).square().mean().sqrt()),),
        seed=derive_seed(seed, "supervised values", task.name),
    )
    return StoppedTraining(output.double() * spread + centre, epoch, score[0] * spread, None)
