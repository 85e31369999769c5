"""Supervised controls: the same labels, but with the whole network trained on them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.seeding import derive_seed
from mmgraph.tasks.controls import raw_features
from mmgraph.tasks.networks import GraphNetwork, NetworkConfig, network_input
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.probe import best_threshold, validation_score


@dataclass(frozen=True)
class SupervisedConfig(NetworkConfig):
    """Shape and training of a supervised control; the defaults are those of GCN [1], at width 64.

    Attributes:
        conv: `sage` or `gat`.
        dim: Width of the hidden layers.
        num_layers: Number of graph layers; 0 makes a perceptron with one hidden layer, which sees no edges.
        heads: Heads of a hidden `gat` layer.
        dropout: Dropout on the input of every layer.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
        epochs: Most full-batch steps.
        patience: Stop after this many steps without a better score on validation data.

    References:
        [1] Kipf and Welling, 2017, Semi-Supervised Classification with Graph Convolutional Networks, arXiv:1609.02907.
    """

    learning_rate: float = 0.01
    weight_decay: float = 5e-4
    epochs: int = 200
    patience: int = 40


@dataclass(frozen=True)
class StoppedTraining:
    """A supervised control at the step that was best on validation data.

    Attributes:
        logits: `[num_nodes, num_classes]`, in the order of the graph.
        epoch: The chosen step.
        score: Score on validation data: accuracy, or minus the cross-entropy if there are several labels.
        threshold: Probability from which a label is predicted, if there are several labels.
    """

    logits: Tensor
    epoch: int
    score: float
    threshold: float | None


def supervised_sage(
    graph: MultimodalGraph,
    task: NodeClassificationTask,
    *,
    split: str = "test",
    seed: int = 0,
    config: SupervisedConfig | None = None,
) -> dict[str, float]:
    """Train a small GraphSAGE [1], or what `config.conv` says, on the train labels, then read the labels of `split`.

    Full batch, all edges in both directions, early stopping on valid. Input are the raw features, see
    `network_input`. With `num_layers=0` it is the supervised perceptron on raw features.

    Raises:
        InputError: If the labels cannot be trained on, see `NodeClassificationTask.check_trainable`.

    References:
        [1] Hamilton et al., 2017, Inductive Representation Learning on Large Graphs, arXiv:1706.02216.
    """
    task.check_split(split)
    trained = train_supervised(graph, task, seed=seed, config=config)
    ids, labels = task.examples(split)
    rows = torch.from_numpy(graph.node_ids.positions(ids)).to(graph.device)
    return task.metrics(trained.logits[rows], labels.to(graph.device), trained.threshold)


def train_supervised(
    graph: MultimodalGraph, task: NodeClassificationTask, *, seed: int = 0, config: SupervisedConfig | None = None
) -> StoppedTraining:
    """Train on the train labels and stop on valid, see `supervised_sage`; no label of `test` is read."""
    task.check_ids(graph)
    task.check_trainable()
    config = config or SupervisedConfig()
    table = raw_features(graph)
    x, edge_index = network_input(table.vectors), graph.message_edges()[0]
    parts = {name: task.selectable(name) for name in ("train", "valid")}
    rows = {name: table.positions(ids) for name, (ids, _) in parts.items()}
    target = {name: labels.to(x.device) for name, (_, labels) in parts.items()}
    wanted = target["train"].float() if task.multi_label else target["train"]
    loss_function = nn.functional.binary_cross_entropy_with_logits if task.multi_label else nn.functional.cross_entropy
    logits, epoch, score = train_network(
        x,
        edge_index,
        len(task.classes),
        config,
        loss=lambda output: loss_function(output[rows["train"]], wanted),
        score=lambda output: validation_score(output[rows["valid"]], target["valid"]),
        seed=derive_seed(seed, "supervised sage", task.name),
    )
    threshold = best_threshold(logits[rows["valid"]].sigmoid(), target["valid"]) if task.multi_label else None
    return StoppedTraining(logits, epoch, score[0], threshold)


def train_network(
    x: Tensor,
    edge_index: Tensor,
    out_dim: int,
    config: SupervisedConfig,
    *,
    loss: Callable[[Tensor], Tensor],
    score: Callable[[Tensor], tuple[float, ...]],
    seed: int,
) -> tuple[Tensor, int, tuple[float, ...]]:
    """Train a network on the whole graph until the score on validation data has not risen for a while.

    Args:
        x: `[num_nodes, dim]`, the input.
        edge_index: `[2, num_edges]`.
        out_dim: Number of outputs.
        config: Network and training.
        loss: Of outputs `[num_nodes, out_dim]`; looks at train nodes only.
        score: Of outputs; higher is better, later entries decide between equal earlier ones. Looks at valid nodes only.
        seed: Seed of weights and dropout.

    Returns:
        Outputs `[num_nodes, out_dim]` of the best step, its number and its score.
    """
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed)
        model = GraphNetwork(x.size(1), out_dim, config).to(x.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        best: tuple[tuple[float, ...], int, dict[str, Tensor]] | None = None
        for epoch in range(config.epochs):
            model.train()
            output = model(x, edge_index)
            optimizer.zero_grad(set_to_none=True)
            loss(output).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            model.eval()
            with torch.no_grad():
                found = score(model(x, edge_index))
            if best is None or found > best[0]:
                best = (found, epoch, copy.deepcopy(model.state_dict()))
            elif epoch - best[1] >= config.patience:
                break
    assert best is not None
    model.load_state_dict(best[2])
    with torch.no_grad():
        output = model(x, edge_index)
    return output, best[1], best[0]
