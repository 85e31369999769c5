"""Supervised controls: the same labels, but with the whole network trained on them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.seeding import derive_seed
from mmgraph.tasks.controls import raw_features
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.probe import best_threshold, validation_score


@dataclass(frozen=True)
class SupervisedConfig:
    """Size and training of a supervised control.

    Attributes:
        dim: Width of the hidden layers.
        num_layers: Number of GraphSAGE layers; 0 makes a perceptron with one hidden layer, which sees no edges.
        dropout: Dropout on the input and on hidden layers.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
        epochs: Most full-batch steps.
        patience: Stop after this many steps without a better score on validation data.
    """

    dim: int = 128
    num_layers: int = 2
    dropout: float = 0.5
    learning_rate: float = 0.005
    weight_decay: float = 5e-4
    epochs: int = 200
    patience: int = 40


class _SageClassifier(nn.Module):
    """Linear, then GraphSAGE layers with residual connections, then linear."""

    def __init__(self, in_dim: int, num_classes: int, config: SupervisedConfig) -> None:
        from torch_geometric.nn import SAGEConv

        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.first = nn.Linear(in_dim, config.dim)
        self.layers = nn.ModuleList([SAGEConv(config.dim, config.dim) for _ in range(config.num_layers)])
        self.last = nn.Linear(config.dim, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits `[num_nodes, num_classes]`."""
        hidden = self.first(self.dropout(x)).relu()
        for layer in self.layers:
            hidden = hidden + layer(self.dropout(hidden), edge_index).relu()
        logits: Tensor = self.last(self.dropout(hidden))
        return logits


def supervised_sage(
    graph: MultimodalGraph,
    task: NodeClassificationTask,
    *,
    split: str = "test",
    seed: int = 0,
    config: SupervisedConfig | None = None,
) -> dict[str, float]:
    """Train a small GraphSAGE [1] on the train labels, full batch, stop early on valid, then read `split`.

    Input are the raw features (`raw_features`) and all edges in both directions. With `num_layers=0` it is the
    supervised perceptron on raw features.

    Raises:
        InputError: If the labels cannot be trained on, see `NodeClassificationTask.check_trainable`.

    References:
        [1] Hamilton et al., 2017, Inductive Representation Learning on Large Graphs, arXiv:1706.02216.
    """
    task.check_split(split)
    task.check_ids(graph)
    task.check_trainable()
    config = config or SupervisedConfig()
    table = raw_features(graph)
    # Rows of unit norm have entries near 1 / sqrt(dim); layers are initialised for entries near 1.
    x, edge_index = table.vectors * table.dim**0.5, graph.message_edges()[0]
    parts = {name: task.selectable(name) for name in ("train", "valid")}
    rows = {name: table.positions(ids) for name, (ids, _) in parts.items()}
    target = {name: labels.to(x.device) for name, (_, labels) in parts.items()}
    loss_function = nn.functional.binary_cross_entropy_with_logits if task.multi_label else nn.functional.cross_entropy
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(derive_seed(seed, "supervised sage", task.name))
        model = _SageClassifier(table.dim, len(task.classes), config).to(x.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        best: tuple[tuple[float, float], int, dict[str, Tensor]] | None = None
        for epoch in range(config.epochs):
            model.train()
            logits = model(x, edge_index)[rows["train"]]
            wanted = target["train"].float() if task.multi_label else target["train"]
            optimizer.zero_grad(set_to_none=True)
            loss_function(logits, wanted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            model.eval()
            with torch.no_grad():
                score = validation_score(model(x, edge_index)[rows["valid"]], target["valid"])
            if best is None or score > best[0]:
                best = (score, epoch, copy.deepcopy(model.state_dict()))
            elif epoch - best[1] >= config.patience:
                break
    assert best is not None
    model.load_state_dict(best[2])
    with torch.no_grad():
        logits = model(x, edge_index)
    threshold = None
    if task.multi_label:
        threshold = best_threshold(logits[rows["valid"]].sigmoid(), target["valid"])
    ids, labels = task.examples(split)
    return task.metrics(logits[table.positions(ids)], labels.to(x.device), threshold)
