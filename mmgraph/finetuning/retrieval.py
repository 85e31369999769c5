"""Retrieval: queries must lie close to the nodes that answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.loaders import SeedOrder
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.errors import InputError
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.problem import Problem, Validation
from mmgraph.finetuning.vectors import node_vectors
from mmgraph.inference.embed import evaluating
from mmgraph.inference.query import QueryEncoder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.seeding import derive_seed, generator
from mmgraph.tasks.retrieval import NodeRetrievalTask


class RetrievalProblem(Problem):
    """InfoNCE of queries against nodes, with all relevant nodes of a query as positives.

    A query passes through the encoder as a node without neighbours, its frozen features are computed once. Negatives are
    the nodes that answer other queries of the batch, and uniform nodes of the same types; a node that answers the query
    is none. The loss is minus the logarithm of the share of the softmax that
    falls on the positives, `L_in` of [1] without the weights.

    Args:
        encoder: The encoder.
        graph: The graph.
        task: Queries; those of `train` are learnt from.
        encoders: Frozen encoders by modality, those that encoded the graph.
        config: Settings.

    Raises:
        InputError: If there are no train queries or no valid queries.

    References:
        [1] Khosla et al., 2020, Supervised Contrastive Learning, arXiv:2004.11362.
    """

    def __init__(
        self,
        encoder: Encoder,
        graph: MultimodalGraph,
        task: NodeRetrievalTask,
        encoders: Mapping[str, ModalityEncoder],
        config: FinetuneConfig,
    ) -> None:
        for split in ("train", "valid"):
            if task.num_examples(split) == 0:
                raise InputError(f"{task.where}: split {split!r} has no queries to learn from or to stop by")
        self.encoder, self.task, self.config = encoder, task, config
        self.graph = graph.to(encoder.device)
        self.vectors = node_vectors(encoder, graph, config.seed)
        self.queries = QueryEncoder(encoder, graph, encoders)
        self.head = nn.Identity()
        self.seed = derive_seed(config.seed, "finetune queries", task.name)
        rows = task.queries.filter(pc.equal(task.queries["split"], "train"))
        texts = rows["query"].unique().to_pylist()
        number = {text: i for i, text in enumerate(texts)}
        self.query_of_pair = torch.tensor([number[text] for text in rows["query"].to_pylist()], device=encoder.device)
        found = graph.node_ids.positions(rows["id"], where=f"{task.where}, column 'id'")
        self.node_of_pair = torch.from_numpy(found).to(encoder.device)
        self.order = SeedOrder(len(texts), batch_size=config.batch_size, seed=self.seed)
        self.features = self._features(texts)
        types = torch.unique(self.graph.node_type[self.node_of_pair])
        self.candidates = torch.nonzero(torch.isin(self.graph.node_type, types)).flatten()

    def loss(self, step: int) -> Tensor:
        """Loss of one batch of queries."""
        device = self.encoder.device
        chosen = self.order.seeds(step).to(device)
        place = torch.full((self.order.nodes.numel(),), -1, device=device)
        place[chosen] = torch.arange(chosen.numel(), device=device)
        pairs = torch.nonzero(place[self.query_of_pair] >= 0).flatten()
        random = generator(self.seed, "negatives", step, device=device)
        drawn = torch.randint(self.candidates.numel(), (self.config.num_negatives,), generator=random, device=device)
        nodes = torch.unique(torch.cat([self.node_of_pair[pairs], self.candidates[drawn]]))
        column = torch.searchsorted(nodes, self.node_of_pair[pairs])
        is_right = torch.zeros(chosen.numel(), nodes.numel(), dtype=torch.bool, device=device)
        is_right[place[self.query_of_pair[pairs]], column] = True
        features = {name: item.take(chosen) for name, item in self.features.items()}
        asked = self.encoder.encode_content(features, chosen.numel(), graph_name=self.graph.name).embedding
        found = self.vectors.of(nodes, step)
        scores = nn.functional.normalize(asked, dim=1) @ nn.functional.normalize(found, dim=1).t()
        share = (scores / self.config.temperature).log_softmax(dim=1)
        return -share.masked_fill(~is_right, -torch.inf).logsumexp(dim=1).mean()

    def validate(self) -> Validation:
        """Mean reciprocal rank of the best relevant node."""
        metrics = self._evaluate("valid")
        return Validation((metrics["mrr"], metrics["recall@10"]), metrics)

    def test(self) -> dict[str, float]:
        """As `NodeRetrievalTask.evaluate`."""
        return self._evaluate("test")

    def _evaluate(self, split: str) -> dict[str, float]:
        table = EmbeddingTable.for_graph(self.graph, self.vectors.every().float(), model="fine-tuning")

        def encode(items: Sequence[str]) -> Tensor:
            content: dict[str, Any] = {self.task.modality: list(items)}
            with evaluating(self.encoder):
                return self.queries.encode(**content)

        return self.task.evaluate(table, self.graph, split=split, encode_query=encode)

    def _features(self, queries: list[str]) -> dict[str, ModalityFeatures]:
        items: list[Any] = queries
        if self.task.modality == "image":
            items = [Path(self.task.root or ".") / query for query in queries]
        found = self.queries.features({self.task.modality: items})
        return {name: item.to(self.encoder.device) for name, item in found.items()}
