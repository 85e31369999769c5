"""Few-shot classification in context: prototypes of a few labelled nodes, no gradient."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import generator
from mmgraph.tasks.node_classification import NodeClassificationTask

QUERIES = 20


@dataclass(frozen=True)
class FewShotResult:
    """Accuracy over episodes.

    Attributes:
        accuracy: Mean over episodes.
        interval: Half width of its 95% confidence interval over episodes (normal approximation).
        ways: Classes of an episode.
        shots: Support nodes of a class.
        episodes: Number of episodes.
        queries: Mean number of query nodes of an episode.
        num_classes: Classes that episodes draw from.
        num_left_out: Classes of the train part with fewer than `shots` train nodes or without a test node.
        tie_rate: Share of queries whose best similarity two prototypes share; such a query counts in part.
        seed: Seed of the episodes.
    """

    accuracy: float
    interval: float
    ways: int
    shots: int
    episodes: int
    queries: float
    num_classes: int
    num_left_out: int
    tie_rate: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Episode:
    """Which nodes an episode shows and asks for.

    Attributes:
        support: Ids `[ways, shots]`, of the train part.
        query: Ids `[num_queries]`, of the test part.
        target: `[num_queries]`, int64: row of `support` that is right.
    """

    support: np.ndarray
    query: np.ndarray
    target: Tensor


def few_shot_episodes(
    task: NodeClassificationTask,
    *,
    ways: int = 5,
    shots: int = 1,
    episodes: int = 500,
    seed: int = 0,
    queries: int = QUERIES,
) -> tuple[list[Episode], int, int]:
    """Draw episodes from the labels alone, so that every model sees the same ones.

    Classes of an episode are drawn without replacement, support from `train` and up to `queries` nodes of each class
    from `test`, both without replacement.

    Returns:
        The episodes, the number of classes that they draw from, and of those left out for lack of nodes.

    Raises:
        InputError: If the task has several labels per node, numbers are below 1 (`ways` below 2), or fewer than
            `ways` classes have enough nodes.
    """
    if task.multi_label:
        raise InputError(f"{task.where}: few-shot episodes need one label per node, got several")
    if ways < 2 or min(shots, episodes, queries) < 1:
        raise InputError(
            f"few-shot: expected ways >= 2 and at least one shot, episode and query, "
            f"got {ways} ways, {shots} shots, {episodes} episodes, {queries} queries"
        )
    pools = {}
    for split in ("train", "test"):
        ids, target = task.examples(split)
        pools[split] = [ids[(target == code).numpy()] for code in range(len(task.classes))]
    sizes = [(len(train), len(test)) for train, test in zip(pools["train"], pools["test"], strict=True)]
    usable = [code for code, (train, test) in enumerate(sizes) if train >= shots and test]
    if len(usable) < ways:
        raise InputError(
            f"{task.where}: expected at least {ways} classes with {shots} train and 1 test nodes, got {len(usable)}"
        )
    found = []
    for number in range(episodes):
        random = generator(seed, "few-shot", task.name, ways, shots, queries, number)
        classes = [usable[i] for i in torch.randperm(len(usable), generator=random)[:ways].tolist()]
        support = [_some(pools["train"][code], shots, random) for code in classes]
        query = [_some(pools["test"][code], queries, random) for code in classes]
        counts = torch.tensor([len(ids) for ids in query])
        target = torch.repeat_interleave(torch.arange(ways), counts)
        found.append(Episode(np.stack(support), np.concatenate(query), target))
    return found, len(usable), len(task.classes) - len(usable)


def few_shot_accuracy(
    task: NodeClassificationTask,
    table: EmbeddingTable,
    graph: MultimodalGraph,
    *,
    ways: int = 5,
    shots: int = 1,
    episodes: int = 500,
    seed: int = 0,
    queries: int = QUERIES,
) -> FewShotResult:
    """Classify by the nearest prototype, the mean of the support's unit vectors [1], by cosine.

    Nothing is trained. A query between `m` equally near prototypes counts `1 / m` if the right one is among them, so
    constant vectors score `1 / ways`.

    Raises:
        InputError: If ids are unknown, vectors are not finite, or episodes cannot be drawn (`few_shot_episodes`).

    References:
        [1] Snell et al., 2017, Prototypical Networks for Few-shot Learning, arXiv:1703.05175.
    """
    task.check_ids(graph)
    table.check_finite()
    drawn, num_classes, num_left_out = few_shot_episodes(
        task, ways=ways, shots=shots, episodes=episodes, seed=seed, queries=queries
    )
    unit = torch.nn.functional.normalize(table.vectors.float(), dim=1)
    tally = EpisodeTally()
    for episode in drawn:
        support = unit[table.positions(episode.support.ravel())].view(ways, shots, -1)
        prototypes = torch.nn.functional.normalize(support.mean(dim=1), dim=1)
        # A sum over rows, not a matrix product: equal prototypes then get equal scores, bit for bit.
        query = unit[table.positions(episode.query)]
        tally.add(torch.stack([(query * prototype).sum(dim=1) for prototype in prototypes], dim=1), episode.target)
    return tally.result(ways, shots, num_classes, num_left_out, seed)


@dataclass
class EpisodeTally:
    """Adds up what episodes score; a query whose best score `m` classes share counts `1 / m`.

    Attributes:
        right: Accuracy of each episode.
        ties: Number of queries whose best score is shared.
        count: Number of queries.
    """

    right: list[float] = field(default_factory=list)
    ties: int = 0
    count: int = 0

    def add(self, scores: Tensor, target: Tensor) -> None:
        """Add an episode.

        Args:
            scores: `[num_queries, ways]`.
            target: `[num_queries]`, int64.
        """
        target = target.to(scores.device)
        best = scores == scores.amax(dim=1, keepdim=True)
        credit = best.gather(1, target.unsqueeze(1)).flatten() / best.sum(dim=1)
        self.right.append(float(credit.double().mean()))
        self.ties += int((best.sum(dim=1) > 1).sum())
        self.count += len(target)

    def result(self, ways: int, shots: int, num_classes: int, num_left_out: int, seed: int) -> FewShotResult:
        """Mean and confidence interval."""
        accuracy, episodes = np.asarray(self.right), len(self.right)
        spread = float(accuracy.std(ddof=1)) if episodes > 1 else float("nan")
        return FewShotResult(
            accuracy=float(accuracy.mean()),
            interval=1.96 * spread / episodes**0.5,
            ways=ways,
            shots=shots,
            episodes=episodes,
            queries=self.count / episodes,
            num_classes=num_classes,
            num_left_out=num_left_out,
            tie_rate=self.ties / self.count,
            seed=seed,
        )


def _some(ids: np.ndarray, count: int, random: torch.Generator) -> np.ndarray:
    picked: np.ndarray = ids[torch.randperm(len(ids), generator=random)[:count].numpy()]
    return picked
