"""Supervised control of ranking tasks: a graph network trained on the very edges whose kind is held out."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.metrics.ranking import ranks_against
from mmgraph.seeding import derive_seed, generator
from mmgraph.tasks.alignment import PairSet
from mmgraph.tasks.controls import node_contents
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.networks import GraphNetwork, NetworkConfig, network_input
from mmgraph.tasks.recommendation import RecommendationTask, user_item_edges


@dataclass(frozen=True)
class LinkConfig(NetworkConfig):
    """Shape and training of a supervised link predictor.

    Attributes:
        conv: `sage` or `gat`.
        dim: Width of all layers, the output among them.
        num_layers: Number of graph layers.
        heads: Heads of a hidden `gat` layer.
        dropout: Dropout on the input of every layer.
        learning_rate: Learning rate of Adam.
        temperature: Cosines are divided by it in the loss.
        batch_pairs: Most target pairs of a step; never more than a quarter of all, so that the graph stays whole.
        num_negatives: Uniform negatives of a step for each node type, shared by its targets.
        steps: Most steps.
        check_every: Steps between two looks at the valid edges.
        patience: Stop after this many looks without a better score.
    """

    dim: int = 128
    dropout: float = 0.2
    learning_rate: float = 0.01
    temperature: float = 0.1
    batch_pairs: int = 8192
    num_negatives: int = 512
    steps: int = 150
    check_every: int = 10
    patience: int = 4


VALID_NEGATIVES = 1000


def supervised_links(
    graph: MultimodalGraph,
    task: LinkPredictionTask | RecommendationTask,
    *,
    seed: int = 0,
    config: LinkConfig | None = None,
) -> EmbeddingTable:
    """Train a two-layer GraphSAGE [1] with a contrastive loss on the edges of the graph, and embed all nodes.

    Targets are edges of the relations that the task names (all relations if the graph has none of them), with
    InfoNCE [2] over cosines in both directions and uniform negatives; known neighbours are no negatives. The
    targets of a step carry no message in that step, in whatever relation or direction. Input are the nodes' own
    contents and their types: the mean over neighbours that `raw_features` gives to users would show the targets.
    The step is chosen by the reciprocal rank of the valid edges among random nodes; test edges are not looked at.

    Returns:
        A table `[num_nodes, dim]`, to be scored by the task's own full ranking; model `supervised sage`.

    Raises:
        InputError: If there is nothing to train on or to select by, or ids are unknown.

    References:
        [1] Hamilton et al., 2017, Inductive Representation Learning on Large Graphs, arXiv:1706.02216.
        [2] van den Oord et al., 2018, Representation Learning with Contrastive Predictive Coding, arXiv:1807.03748.
    """
    return train_links(graph, task, seed=seed, config=config)[0]


def train_links(
    graph: MultimodalGraph,
    task: LinkPredictionTask | RecommendationTask,
    *,
    seed: int = 0,
    config: LinkConfig | None = None,
) -> tuple[EmbeddingTable, int]:
    """As `supervised_links`, with the number of steps that was chosen on valid."""
    config = config or LinkConfig()
    task.check_split("valid")
    targets, valid = _targets(graph, task), _valid_pairs(graph, task)
    n, device = graph.num_nodes, graph.device
    messages = graph.message_edges()[0]
    # One number for each pair of nodes, whatever relation and direction join them.
    pairs, pair_of_message = torch.unique(_key(messages, n), return_inverse=True)
    target_pairs = torch.searchsorted(pairs, torch.unique(_key(targets[:, targets[0] != targets[1]], n)))
    if target_pairs.numel() < 2:
        raise InputError(f"{task.where}: graph {graph.name!r} has no edges to train on")
    known = PairSet(messages.cpu(), n)
    batch = min(config.batch_pairs, max(1, target_pairs.numel() // 4))
    types = nn.functional.one_hot(graph.node_type, len(graph.node_types)).float()
    x = torch.cat([network_input(node_contents(graph)), types], dim=1)
    judge = _Judge(graph, valid, known, seed)
    random = generator(seed, "supervised links", task.name)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "supervised links", task.name))
        model = GraphNetwork(x.size(1), config.dim, config).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        best: tuple[float, int, dict[str, Tensor]] | None = None
        waiting = torch.empty(0, dtype=torch.int64)
        for step in range(1, config.steps + 1):
            if waiting.numel() < batch:
                waiting = torch.randperm(target_pairs.numel(), generator=random)
            chosen, waiting = target_pairs[waiting[:batch].to(device)], waiting[batch:]
            held = torch.zeros(pairs.numel(), dtype=torch.bool, device=device)
            held[chosen] = True
            ends = torch.stack([pairs[chosen] // n, pairs[chosen] % n])
            model.train()
            vectors = nn.functional.normalize(model(x, messages[:, ~held[pair_of_message]]), dim=1)
            optimizer.zero_grad(set_to_none=True)
            _info_nce(vectors, torch.cat([ends, ends.flip(0)], dim=1), graph, known, config, random).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % config.check_every and step != config.steps:
                continue
            model.eval()
            with torch.no_grad():
                score = judge(model(x, messages))
            if best is None or score > best[0]:
                best = (score, step, copy.deepcopy(model.state_dict()))
            elif step - best[1] >= config.patience * config.check_every:
                break
    assert best is not None
    model.load_state_dict(best[2])
    with torch.no_grad():
        vectors = model(x, messages)
    return EmbeddingTable.for_graph(graph, vectors, model=f"supervised {config.conv}"), best[1]


class _Judge:
    """Mean reciprocal rank of valid pairs, at both ends, among nodes that are drawn once."""

    def __init__(self, graph: MultimodalGraph, valid: Tensor, known: PairSet, seed: int) -> None:
        both = torch.cat([valid, valid.flip(0)], dim=1)
        known = PairSet(torch.cat([known.pairs(), both.cpu()], dim=1), graph.num_nodes)
        self.parts = []
        for code in torch.unique(graph.node_type[both[1]]).tolist():
            mine = both[:, graph.node_type[both[1]] == code]
            random = generator(seed, "valid negatives", code)
            nodes = torch.nonzero(graph.node_type.cpu() == code).flatten()
            nodes = nodes[torch.randperm(nodes.numel(), generator=random)[:VALID_NEGATIVES]]
            self.parts.append((mine, nodes.to(mine.device), _known_cells(mine[0], nodes, known)))

    def __call__(self, vectors: Tensor) -> float:
        vectors = nn.functional.normalize(vectors, dim=1)
        found = []
        for pairs, nodes, (row, column) in self.parts:
            scores = vectors[pairs[0]] @ vectors[nodes].t()
            scores[row, column] = -torch.inf
            usable = (scores > -torch.inf).any(dim=1)
            value = (vectors[pairs[0]] * vectors[pairs[1]]).sum(dim=1)
            found.append(ranks_against(value[usable], scores[usable]).rank.reciprocal())
        return float(torch.cat(found).mean())


def _info_nce(
    vectors: Tensor, pairs: Tensor, graph: MultimodalGraph, known: PairSet, config: LinkConfig, random: torch.Generator
) -> Tensor:
    """InfoNCE of pairs `[2, m]` (query node, positive) against uniform nodes of the positive's type."""
    losses = []
    found_type = graph.node_type[pairs[1]]
    for code in torch.unique(found_type).tolist():
        mine = pairs[:, found_type == code]
        nodes = torch.nonzero(graph.node_type.cpu() == code).flatten()
        nodes = nodes[torch.randint(nodes.numel(), (config.num_negatives,), generator=random)]
        scores = vectors[mine[0]] @ vectors[nodes.to(mine.device)].t()
        row, column = _known_cells(mine[0], nodes, known)
        scores = scores.index_put((row, column), scores.new_tensor(-torch.inf))
        value = (vectors[mine[0]] * vectors[mine[1]]).sum(dim=1, keepdim=True)
        logits = torch.cat([value, scores], dim=1) / config.temperature
        losses.append(-logits.log_softmax(dim=1)[:, 0])
    return torch.cat(losses).mean()


def _known_cells(queries: Tensor, nodes: Tensor, known: PairSet) -> tuple[Tensor, Tensor]:
    """Cells of a matrix queries x nodes whose node is the query itself or a known neighbour of it."""
    order = torch.argsort(nodes, stable=True)
    ordered, first = nodes[order], torch.arange(queries.numel())
    row, partner = known.of(queries.cpu())
    row, partner = torch.cat([row, first]), torch.cat([partner, queries.cpu()])
    start, stop = torch.searchsorted(ordered, partner), torch.searchsorted(ordered, partner, right=True)
    count = stop - start  # a node may be drawn more than once
    row, start = row.repeat_interleave(count), start.repeat_interleave(count)
    place = torch.arange(row.numel()) - (count.cumsum(0) - count).repeat_interleave(count)
    return row.to(queries.device), order[start + place].to(queries.device)


def _key(pairs: Tensor, num_nodes: int) -> Tensor:
    return pairs.amin(dim=0) * num_nodes + pairs.amax(dim=0)


def _targets(graph: MultimodalGraph, task: LinkPredictionTask | RecommendationTask) -> Tensor:
    if isinstance(task, RecommendationTask):
        return user_item_edges(graph, task.relation, task.user_type, task.item_type)
    named = [name for name in task.edges["relation"].unique().to_pylist() if name in graph.relations]
    return graph.message_edges(sorted(named) or None)[0]


def _valid_pairs(graph: MultimodalGraph, task: LinkPredictionTask | RecommendationTask) -> Tensor:
    is_links = isinstance(task, LinkPredictionTask)
    rows = task.edges if isinstance(task, LinkPredictionTask) else task.interactions
    rows = rows.filter(pc.equal(rows["split"], "valid"))
    sides = ("source", "target") if is_links else ("user", "item")
    ends = [graph.node_ids.positions(rows[side], where=f"{task.where}, column {side!r}") for side in sides]
    return torch.stack([torch.from_numpy(end) for end in ends]).to(graph.device)
