"""Links and recommendation: contrast of pairs that left the graph for a while."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.distributed import Part
from mmgraph.errors import InputError
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.problem import Problem, Validation
from mmgraph.finetuning.vectors import BlockVectors, NodeVectors, node_vectors
from mmgraph.metrics.ranking import ranking_metrics
from mmgraph.nn.build import Encoder
from mmgraph.nn.decoders import CosineDecoder, LinkDecoder, ProductDecoder, RelationDecoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.objectives.node_views import GraphEdges, hold_out
from mmgraph.seeding import derive_seed, generator
from mmgraph.tasks.alignment import CosineScores
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.link_scores import LinkRanks, rank_links
from mmgraph.tasks.recommendation import RecommendationTask

ScorePair = Callable[[Tensor, int, Tensor], Tensor]
RELATION_EXPONENT = 0.5
"""A relation is drawn in proportion to its number of edges to this power."""


class RankingProblem(Problem):
    """InfoNCE over edges of the asked relations, against uniform nodes that have no edge with the query.

    What is learnt from is held out of the graph that the encoder sees, as it is when the task asks; a new part is drawn
    every `refresh_every` steps. Validation and test links are not in the graph at all.

    Args:
        encoder: The encoder.
        graph: The graph without anything held out.
        relations: Relations that the task asks for.
        config: Settings.
        name: Of the task.

    Raises:
        InputError: If the graph has no edge of these relations.
    """

    head: LinkDecoder

    def __init__(
        self, encoder: Encoder, graph: MultimodalGraph, relations: list[str], config: FinetuneConfig, name: str
    ) -> None:
        self.encoder, self.graph, self.config = encoder, graph.to(encoder.device), config
        self.relations = [relation for relation in relations if relation in graph.relations]
        if not any(graph.relations[relation].num_edges for relation in self.relations):
            raise InputError(f"task {name!r}: graph {graph.name!r} has no edge of {', '.join(relations)} to learn from")
        self.seed = derive_seed(config.seed, "finetune links", name)
        self.edges = GraphEdges(self.graph)
        self.content = encoder.node_content(self.graph) if isinstance(encoder, SignEncoder) else None
        self.head = _decoder(config, encoder.dim, 2 * len(graph.relations)).to(encoder.device)
        self.whole = self._vectors(self.graph)
        self._round: tuple[int, NodeVectors, GraphEdges] | None = None
        self.nodes = {
            code: torch.nonzero(self.graph.node_type == code).flatten()
            for code in torch.unique(self.graph.node_type).tolist()
        }

    def loss(self, step: int) -> Tensor:
        """Contrast of one batch of held-out edges, at both ends as the task asks."""
        vectors, targets = self._held_out(step // self.config.refresh_every)
        device = self.encoder.device
        random = generator(self.seed, "edges", step, device=device)
        pairs, code = targets.draw(self.config.batch_size, RELATION_EXPONENT, random)
        losses: list[tuple[Tensor, Part]] = []
        for kind in torch.unique(self.graph.node_type[pairs[1]]).tolist():
            mine = self.graph.node_type[pairs[1]] == kind
            losses.append(self._contrast(vectors, pairs[:, mine], code[mine], self.nodes[kind], random, step))
        return self.mean(losses, pairs.size(1))

    def _contrast(
        self, vectors: NodeVectors, pairs: Tensor, code: Tensor, nodes: Tensor, random: torch.Generator, step: int
    ) -> tuple[Tensor, Part]:
        part = self.ranks.part(pairs.size(1))
        pairs, code = part.of(pairs, dim=1), part.of(code)
        count = self.config.num_negatives
        drawn = nodes[torch.randint(nodes.numel(), (count,), generator=random, device=nodes.device)]
        mine = self.ranks.part(count).of(drawn)
        embedded = vectors.of(torch.cat([pairs[0], pairs[1], mine]), step)
        query, found, others = torch.split(embedded, [pairs.size(1), pairs.size(1), mine.numel()])
        others = self.ranks.gather(others, count)
        known = self.edges.adjacency.neighbours_among(pairs[0], drawn) | (pairs[0].unsqueeze(1) == drawn)
        right = self.head.pairs(query, code, found).unsqueeze(1)
        wrong = self.head(query, code, others).masked_fill(known, float("-inf"))
        return -torch.cat([right, wrong], dim=1).log_softmax(dim=1)[:, 0], part

    def _held_out(self, number: int) -> tuple[NodeVectors, GraphEdges]:
        if self._round is None or self._round[0] != number:
            self._round = None  # frees the memory of the last round first
            random = generator(self.seed, "hold out", number)
            rest, held = hold_out(self.graph, self.config.hold_out, random, relations=self.relations)
            targets = self.asked_edges(held)
            if not targets.edge_type.numel():  # a tiny graph: hold all of these edges out
                rest, held = hold_out(self.graph, 1.0, random, relations=self.relations)
                targets = self.asked_edges(held)
            self._round = (number, self._vectors(rest), targets)
        return self._round[1:]

    def asked_edges(self, graph: MultimodalGraph) -> GraphEdges:
        """Edges to learn from, in the directions that the task asks for."""
        return GraphEdges(graph)

    def _vectors(self, graph: MultimodalGraph) -> NodeVectors:
        if isinstance(self.encoder, SignEncoder):
            return BlockVectors(self.encoder, graph, self.encoder.graph_blocks(graph, self.content))
        return node_vectors(self.encoder, graph, self.seed)

    def scorer(self) -> ScorePair:
        """Scores of query nodes, a code and candidate nodes, from vectors that are computed once."""
        every = self.whole.every()
        last: tuple[Tensor, CosineScores] | None = None

        def score(queries: Tensor, code: int, candidates: Tensor) -> Tensor:
            nonlocal last
            query = every[queries.to(every.device)]
            codes = torch.full((len(query),), code, device=every.device)
            with torch.no_grad():
                if not isinstance(self.head, CosineDecoder):
                    return self.head(query, codes, every[candidates.to(every.device)])  # type: ignore[no-any-return]
                if last is None or not torch.equal(
                    last[0], candidates
                ):  # a full ranking asks for the same in every call
                    found = nn.functional.normalize(every[candidates.to(every.device)], dim=1)
                    last = candidates, CosineScores(found)  # equal candidates get equal scores
                return last[1](self.head.turned(query, codes))

        return score


class LinkProblem(RankingProblem):
    """Link prediction."""

    def __init__(
        self, encoder: Encoder, graph: MultimodalGraph, task: LinkPredictionTask, config: FinetuneConfig
    ) -> None:
        super().__init__(encoder, graph, sorted(task.edges["relation"].unique().to_pylist()), config, task.name)
        self.task = task
        self._tested: LinkRanks | None = None

    def validate(self) -> Validation:
        """Mean reciprocal rank among all nodes."""
        metrics = ranking_metrics(self._ranks("valid").ranks)
        return Validation((metrics["mrr"],), metrics)

    def test(self) -> dict[str, float]:
        """As `LinkPredictionTask.evaluate`."""
        return ranking_metrics(self._test_ranks().ranks)

    def report(self) -> pa.Table:
        """Test metrics by relation and by degree of the query."""
        return self._test_ranks().report()

    def _test_ranks(self) -> LinkRanks:
        self._tested = self._ranks("test") if self._tested is None else self._tested
        return self._tested

    def _ranks(self, split: str) -> LinkRanks:
        numbers = {name: number for number, name in enumerate(self.graph.relations)}
        score = self.scorer()

        def link_score(queries: Tensor, relation: str, reverse: bool, candidates: Tensor) -> Tensor:
            if relation not in numbers:
                raise InputError(f"{self.task.where}: relation {relation!r} is not in graph {self.graph.name!r}")
            symmetric = self.graph.relations[relation].symmetric
            return score(queries, 2 * numbers[relation] + int(reverse and not symmetric), candidates)

        return rank_links(self.task, link_score, self.graph, split=split)


class RecommendationProblem(RankingProblem):
    """Items for users."""

    def __init__(
        self, encoder: Encoder, graph: MultimodalGraph, task: RecommendationTask, config: FinetuneConfig
    ) -> None:
        self.code = 2 * list(graph.relations).index(task.relation) if task.relation in graph.relations else 0
        if task.relation in graph.relations and graph.relations[task.relation].source_type != task.user_type:
            self.code += 1
        super().__init__(encoder, graph, [task.relation], config, task.name)
        self.task = task

    def asked_edges(self, graph: MultimodalGraph) -> GraphEdges:
        """From users to items alone."""
        return GraphEdges(graph, codes=[self.code])

    def validate(self) -> Validation:
        """nDCG@10 over all items."""
        metrics = self._evaluate("valid")
        return Validation((metrics["ndcg@10"], metrics["recall@20"]), metrics)

    def test(self) -> dict[str, float]:
        """As `RecommendationTask.evaluate_scores`."""
        return self._evaluate("test")

    def _evaluate(self, split: str) -> dict[str, float]:
        score = self.scorer()
        return self.task.evaluate_scores(lambda users, items: score(users, self.code, items), self.graph, split=split)


def _decoder(config: FinetuneConfig, dim: int, num_codes: int) -> LinkDecoder:
    if config.decoder == "cosine":
        return CosineDecoder(config.temperature)
    if config.decoder == "relation":
        return RelationDecoder(dim, num_codes, rank=4 * config.rank, temperature=config.temperature)
    return ProductDecoder(dim, num_codes, temperature=config.temperature)
