"""Samplers: from seed nodes to a batch of subgraphs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.batch import GraphBatch
from mmgraph.data.csr_file import graph_csr
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ppr import PPRConfig, PPRTable
from mmgraph.errors import InputError


@dataclass(frozen=True)
class SamplingConfig:
    """How training batches are drawn from a graph.

    Attributes:
        kind: `nodes`: seeds with all of their neighbours, for `gnn.conv: sign`, which needs no subgraphs. For layers,
            `ppr`: one subgraph per seed, its top nodes by personalised PageRank; `neighbor`: one common subgraph of
            sampled neighbours, hop by hop.
        hold_out: For `nodes`: share of the pairs of neighbours that leave the graph for a while; links are learnt from
            these. 0 keeps the graph whole and leaves out each learnt edge for its own two ends only.
        refresh_every: For `nodes`: batches of a graph until other pairs leave it.
        batch_size: Seeds per batch at most; the batches of an epoch have equal sizes, give or take one.
        fanouts: For `neighbor`: messages kept per node at each hop; -1 keeps all.
        workers: For `ppr` and `neighbor`: threads that prepare batches ahead, one batch each; changes no result.
        ppr: For `ppr`: accuracy and size of the subgraphs.
    """

    kind: Literal["nodes", "ppr", "neighbor"] = "nodes"
    batch_size: int = 1024
    hold_out: float = 0.4
    refresh_every: int = 20
    fanouts: tuple[int, ...] = (10, 5)
    workers: int = 1
    ppr: PPRConfig = field(default_factory=PPRConfig)

    def __post_init__(self) -> None:
        if self.kind not in ("nodes", "ppr", "neighbor"):
            raise InputError(f"sampling.kind must be 'nodes', 'ppr' or 'neighbor', got {self.kind!r}")
        if not 0 <= self.hold_out < 1:
            raise InputError(f"sampling.hold_out must lie in [0, 1), got {self.hold_out}")
        if self.refresh_every < 1:
            raise InputError(f"sampling.refresh_every must be at least 1, got {self.refresh_every}")
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.workers < 0:
            raise InputError(f"sampling.workers must not be negative, got {self.workers}")
        check_fanouts(self.fanouts)


def check_fanouts(fanouts: Sequence[int]) -> None:
    """Check that there is at least one fan-out and that each is positive or -1.

    Raises:
        InputError: Otherwise.
    """
    if not fanouts or any(fanout < 1 and fanout != -1 for fanout in fanouts):
        raise InputError(f"fanouts must be positive numbers, or -1 for all neighbours, got {list(fanouts)}")


class _Workspace(threading.local):
    """One array per thread, so that prefetching and random access may overlap."""

    def __init__(self, num_nodes: int) -> None:
        self.position = np.full(num_nodes, -1, dtype=np.int32)


class Sampler(ABC):
    """Turns seeds into a batch. What is drawn depends on the seeds and the generator, on nothing else.

    Sampling runs on the CPU; a batch is on the device of its graph.

    Args:
        graph: The graph to sample from.
        relations: Names of the relations along which messages flow, all by default.
        cache: Folder for the adjacency of a graph with very many edges, see `graph_csr`; always in memory if not given.
    """

    def __init__(
        self, graph: MultimodalGraph, *, relations: Iterable[str] | None = None, cache: Path | str | None = None
    ) -> None:
        self.graph = graph
        self.csr = graph_csr(graph, relations=relations, cache=cache)
        self._workspace = _Workspace(graph.num_nodes)

    def prepare(self, *, progress: bool = True) -> None:  # noqa: B027  (most samplers have nothing to prepare)
        """Do now what would otherwise slow down the first batches.

        Args:
            progress: Show a progress bar.
        """

    @abstractmethod
    def sample(self, seeds: Tensor, generator: torch.Generator) -> GraphBatch:
        """Draw a batch.

        Args:
            seeds: `[num_seeds]`, int64: distinct positions in the graph; they become the first rows.
            generator: Source of randomness, on the CPU.

        Raises:
            InputError: If a seed is not in the graph or occurs twice.
        """

    def _check(self, seeds: Tensor) -> Tensor:
        seeds = seeds.cpu()
        if seeds.dim() != 1 or seeds.dtype != torch.int64:
            raise InputError(f"seeds must be int64 [num_seeds], got {seeds.dtype} {list(seeds.shape)}")
        if seeds.numel() and (int(seeds.min()) < 0 or int(seeds.max()) >= self.graph.num_nodes):
            raise InputError(
                f"seeds must lie in 0..{self.graph.num_nodes - 1}, got {int(seeds.min())}..{int(seeds.max())}"
            )
        duplicates = seeds.numel() - np.unique(seeds.numpy()).size
        if duplicates:
            raise InputError(f"seeds must be distinct, got {duplicates} duplicates")
        return seeds.contiguous()

    def _batch(
        self, num_seeds: int, nodes: np.ndarray, subgraph: np.ndarray, edges: Sequence[np.ndarray]
    ) -> GraphBatch:
        device = self.graph.device
        source, target, edge_type = edges
        node_index = torch.from_numpy(nodes).to(device)
        return GraphBatch(
            graph_name=self.graph.name,
            node_index=node_index,
            num_seeds=num_seeds,
            edge_index=torch.from_numpy(np.stack([source, target])).to(device),
            edge_type=torch.from_numpy(edge_type).to(device),
            subgraph=torch.from_numpy(subgraph).to(device),
            features={name: features.take(node_index) for name, features in self.graph.features.items()},
        )


class NeighborSampler(Sampler):
    """Samples neighbours hop by hop into one common subgraph that holds each node once.

    At hop `h`, every node first reached at hop `h` (the seeds at hop 0) keeps at most `fanouts[h]` of its incoming
    messages, drawn uniformly without replacement; nodes of the last hop get none. With fan-outs of -1 the seeds of a
    network with `len(fanouts)` layers see exactly what they see in the whole graph.

    Args:
        graph: The graph to sample from.
        fanouts: Messages kept per node at each hop, -1 for all.
        relations: Names of the relations along which messages flow, all by default.
        cache: As in `Sampler`.

    References:
        Hamilton et al., 2017, Inductive Representation Learning on Large Graphs, NeurIPS.
    """

    def __init__(
        self,
        graph: MultimodalGraph,
        fanouts: Sequence[int],
        *,
        relations: Iterable[str] | None = None,
        cache: Path | str | None = None,
    ) -> None:
        check_fanouts(fanouts)
        super().__init__(graph, relations=relations, cache=cache)
        self.fanouts = tuple(fanouts)

    def sample(self, seeds: Tensor, generator: torch.Generator) -> GraphBatch:
        """Draw a batch; see `Sampler.sample`."""
        from mmgraph.data import kernels

        seeds = self._check(seeds)
        key = torch.randint(2**63 - 1, (1,), generator=generator).numpy().astype(np.uint64)[0]
        nodes, *edges = kernels.sample_neighborhood(
            self.csr.indptr.numpy(),
            self.csr.indices.numpy(),
            self.csr.edge_type.numpy(),
            seeds.numpy(),
            np.asarray(self.fanouts, dtype=np.int64),
            key,
            self._workspace.position,
        )
        return self._batch(seeds.numel(), nodes, np.zeros_like(nodes), edges)


class PPRSampler(Sampler):
    """Gives each seed its own subgraph: its top nodes by personalised PageRank and all messages among them.

    The batch is the disjoint union of these subgraphs: row `i < num_seeds` is seed `i`, the root of subgraph `i`;
    the other rows follow, subgraph by subgraph, by descending PageRank. The generator is not used: the subgraph of
    a seed is fixed.

    Args:
        graph: The graph to sample from.
        config: Accuracy and size of the subgraphs.
        cache: Folder for computed neighbours and, as in `Sampler`, the adjacency, shared by all graphs and settings; in
            memory only if not given.
        relations: Names of the relations along which messages flow, all by default.
    """

    def __init__(
        self,
        graph: MultimodalGraph,
        config: PPRConfig | None = None,
        *,
        cache: Path | str | None = None,
        relations: Iterable[str] | None = None,
    ) -> None:
        super().__init__(graph, relations=relations, cache=cache)
        self.table = PPRTable(self.csr, config or PPRConfig(), cache=cache)

    def prepare(self, *, progress: bool = True) -> None:
        """Compute or open the top nodes of all nodes now."""
        self.table.prepare(progress=progress)

    def sample(self, seeds: Tensor, generator: torch.Generator) -> GraphBatch:
        """Build the batch; see `Sampler.sample`."""
        from mmgraph.data import kernels

        del generator
        seeds = self._check(seeds)
        nodes, subgraph, *edges = kernels.induced_edges(
            self.csr.indptr.numpy(),
            self.csr.indices.numpy(),
            self.csr.edge_type.numpy(),
            self.table.neighbors(seeds),
            self._workspace.position,
        )
        return self._batch(seeds.numel(), nodes, subgraph, edges)


def make_sampler(graph: MultimodalGraph, config: SamplingConfig, *, cache: Path | str | None = None) -> Sampler:
    """Build the sampler that a configuration describes.

    Args:
        graph: The graph to sample from.
        config: Kind and sizes.
        cache: Folder for computed PPR neighbours, and for the adjacency of a graph with very many edges.

    Raises:
        InputError: If the kind makes no subgraphs.
    """
    if config.kind == "nodes":
        raise InputError("sampling.kind 'nodes' makes no subgraphs; expected 'ppr' or 'neighbor'")
    if config.kind == "neighbor":
        return NeighborSampler(graph, config.fanouts, cache=cache)
    return PPRSampler(graph, config.ppr, cache=cache)
