"""Retrieval: queries must lie close to the nodes that answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from mmgraph.finetuning.mining import Answers, MinedNegatives, mine
from mmgraph.finetuning.problem import Problem, Validation
from mmgraph.finetuning.vectors import node_vectors
from mmgraph.inference.embed import ROWS_AT_ONCE, evaluating
from mmgraph.inference.query import QueryEncoder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.seeding import derive_seed, generator
from mmgraph.tasks.retrieval import NodeRetrievalTask


class RetrievalProblem(Problem):
    """InfoNCE of queries against nodes, with all relevant nodes of a query as positives.

    A query passes through the encoder as a node without neighbours, its frozen features are computed once. Negatives are
    the nodes that answer other queries of the batch, uniform nodes of the same types and, if asked for, hard ones: the
    nearest wrong nodes of the query by the current model, mined every `refresh_every` steps, see `mine`. A node that
    answers the query is none. On request nodes are also asked for by their own text or picture (`own_content`). The loss is minus the logarithm of the share of the softmax that falls on the
    positives, `L_in` of [1] without the weights.

    Attributes:
        head: The mined negatives; it has no parameters.

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

    head: MinedNegatives

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
        self.head = MinedNegatives(len(texts), config.hard_negatives).to(encoder.device)
        self.answers = Answers(self.graph, self.query_of_pair, self.node_of_pair, len(texts))

    def loss(self, step: int) -> Tensor:
        """Loss of one batch of queries."""
        device = self.encoder.device
        chosen = self.order.seeds(step).to(device)
        random = generator(self.seed, "negatives", step, device=device)
        drawn = torch.randint(self.candidates.numel(), (self.config.num_negatives,), generator=random, device=device)
        own = self._own_nodes(chosen.numel(), step)
        right = self.node_of_pair[torch.isin(self.query_of_pair, chosen)]
        nodes = torch.unique(torch.cat([right, own, self.candidates[drawn]]))
        hard = self._hard(chosen, step)
        hard = hard.masked_fill(torch.isin(hard, nodes), -1)  # those that every query has count once
        every = torch.unique(torch.cat([nodes, hard[hard >= 0]]))
        embedded = self.vectors.of(self.ranks.part(every.numel()).of(every), step)
        found = nn.functional.normalize(self.ranks.gather(embedded, every.numel()), dim=1)
        shared = found[torch.searchsorted(every, nodes)]
        count = chosen.numel() + own.numel()
        part = self.ranks.part(chosen.numel())
        chosen, hard = part.of(chosen), part.of(hard)
        asked = nn.functional.normalize(self._embed_queries(chosen), dim=1)
        place = torch.searchsorted(every, hard.clamp(min=0)).clamp(max=every.numel() - 1)
        hard_scores = (found[place] * asked.unsqueeze(1)).sum(dim=2).masked_fill(hard < 0, -torch.inf)
        losses = [(self._contrast(asked @ shared.t(), self.answers.right(chosen, nodes), hard_scores), part)]
        if own.numel():
            part = self.ranks.part(own.numel())
            own = part.of(own)
            names = nn.functional.normalize(self._embed_own(own), dim=1)
            same = self.answers.same_content(self.task.modality, own, nodes)
            losses.append((self._contrast(names @ shared.t(), same, names[:, :0]), part))
        return self.mean(losses, count)

    def _contrast(self, scores: Tensor, is_right: Tensor, hard_scores: Tensor) -> Tensor:
        """Loss of every query, `[num_queries]`, from cosines with shared nodes and with hard negatives of its own."""
        share = (torch.cat([scores, hard_scores], dim=1) / self.config.temperature).log_softmax(dim=1)
        return -share[:, : scores.size(1)].masked_fill(~is_right, -torch.inf).logsumexp(dim=1)

    def _own_nodes(self, count: int, step: int) -> Tensor:
        """Distinct nodes that this step asks for by their own content, ascending."""
        count = round(self.config.own_content * count)
        random = generator(self.seed, "own content", step, device=self.encoder.device)
        present = self.graph.features[self.task.modality].present
        fit = self.candidates[present[self.candidates]]
        if not count or not fit.numel():
            return fit[:0]
        drawn = torch.randint(fit.numel(), (count,), generator=random, device=fit.device)
        own: Tensor = torch.unique(fit[drawn])
        return own

    def _embed_own(self, nodes: Tensor) -> Tensor:
        """Embeddings of nodes by their content of the task's modality alone, as if they were queries."""
        features = {name: item.take(nodes) for name, item in self.graph.features.items()}
        for name, item in features.items():
            if name != self.task.modality:
                features[name] = replace(item, present=torch.zeros_like(item.present))
        embedding: Tensor = self.encoder.encode_content(features, nodes.numel(), graph_name=self.graph.name).embedding
        return embedding

    def _hard(self, chosen: Tensor, step: int) -> Tensor:
        """Positions of the hard negatives of queries, `[num_chosen, hard_negatives]`; -1 for none."""
        number = step // self.config.refresh_every
        if self.config.hard_negatives and int(self.head.round) != number:
            self.head.set(self._mine(number), number)
            self.ranks.same([self.head])  # near ties may be broken otherwise on another device
        return self.head.nodes[chosen]

    def _mine(self, number: int) -> Tensor:
        config, device = self.config, self.encoder.device
        sample = self.candidates
        if sample.numel() > config.mining_sample:
            random = generator(self.seed, "mining", number, device=device)
            order = torch.randperm(sample.numel(), generator=random, device=device)
            sample = sample[order[: config.mining_sample].sort().values]
        with evaluating(self.encoder), torch.no_grad():
            numbers = torch.arange(self.order.nodes.numel(), device=device)
            asked = torch.cat([self._embed_queries(part) for part in torch.split(numbers, ROWS_AT_ONCE)])
            asked = nn.functional.normalize(asked.float(), dim=1)
            right, place = torch.unique(self.node_of_pair, return_inverse=True)
            answer = nn.functional.normalize(self.vectors.exact(right).float(), dim=1)
            cosine = (asked[self.query_of_pair] * answer[place]).sum(dim=1)
            best = torch.full((len(asked),), -torch.inf, device=device)
            best = best.scatter_reduce(0, self.query_of_pair, cosine, "amax")
            found = nn.functional.normalize(self.vectors.exact(sample).float(), dim=1)
            return mine(
                asked, found, sample, self.answers, best=best, count=config.hard_negatives, margin=config.hard_margin
            )

    def _embed_queries(self, numbers: Tensor) -> Tensor:
        features = {name: item.take(numbers) for name, item in self.features.items()}
        embedding: Tensor = self.encoder.encode_content(features, numbers.numel(), graph_name=self.graph.name).embedding
        return embedding

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
