"""Models without training: features, smoothed features, rankers, our network as it is before training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from context import Context, LoadedGraph
from measures import Entry, Subject
from model import Model, Prepared

from mmgraph.data.graph import MultimodalGraph
from mmgraph.inference.embed import embed
from mmgraph.inference.levels import Level
from mmgraph.nn.build import Encoder, build_encoder
from mmgraph.seeding import derive_seed
from mmgraph.tasks.base import Task
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.tasks.smoothing import FORMS, SmoothedForm, best_smoothed
from mmgraph.training.evaluate import random_copy


def hop(number: int) -> SmoothedForm:
    """One level alone; hop 0 are the raw features."""
    return SmoothedForm((number,), weights=(1.0,))


def smoothed(label: str, form: SmoothedForm) -> Model:
    """Raw features, or one form of smoothing."""

    def prepare(_context: Context, graph: LoadedGraph, _seed: int) -> Prepared:
        entry = _smoothed_entry(form, graph, "")
        return Subject(lambda _task: entry), 0.0

    return Model(label, "control", False, lambda _context, _graph: {"form": form.name}, prepare)


def best_of_smoothed() -> Model:
    """For each task the form of smoothing that is best on its valid split."""

    def prepare(_context: Context, graph: LoadedGraph, _seed: int) -> Prepared:
        chosen: dict[str, tuple[SmoothedForm, str]] = {}

        def entry(task: Task) -> Entry | None:
            if task.num_examples("valid") == 0:
                return None
            if task.digest not in chosen:
                if isinstance(task, NodeRetrievalTask):
                    modality = task.modality
                    best = best_smoothed(
                        graph.graph, task, encode_query=lambda copies: graph.raw_query(modality, copies)
                    )
                else:
                    best = best_smoothed(graph.graph, task)
                chosen[task.digest] = (best.form, best.choice)
            form, choice = chosen[task.digest]
            return _smoothed_entry(form, graph, choice)

        return Subject(entry), 0.0

    return Model(
        "best smoothed", "control", False, lambda _context, _graph: {"forms": [form.name for form in FORMS]}, prepare
    )


def _smoothed_entry(form: SmoothedForm, graph: LoadedGraph, choice: str) -> Entry:
    copies = len(form.hops) if form.combine == "concat" else 1
    return Entry(form.table(graph.graph), lambda modality: graph.raw_query(modality, copies), choice)


def ranker(label: str, make: Callable[[MultimodalGraph, RecommendationTask], ScoreFunction]) -> Model:
    """What scores users and items without vectors."""

    def prepare(_context: Context, graph: LoadedGraph, _seed: int) -> Prepared:
        def direct(task: Task, split: str) -> dict[str, float] | None:
            if not isinstance(task, RecommendationTask):
                return None
            return task.evaluate_scores(make(graph.graph, task), graph.graph, split=split)

        return Subject(lambda _task: None, direct), 0.0

    return Model(
        label,
        "control",
        False,
        lambda _context, _graph: {},
        prepare,
        applies=lambda _context, graph: any(isinstance(task, RecommendationTask) for task in graph.tasks.values()),
    )


def untrained(label: str, *, random: bool) -> Model:
    """Our network without training: where training starts, or with all parameters drawn at random."""

    def prepare(context: Context, graph: LoadedGraph, seed: int) -> Prepared:
        config = context.config.encoder
        if not random:
            config = replace(config, gnn=replace(config.gnn, zero_init=True))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "parameters"))
            encoder = build_encoder(config, [context.load(graph.graph.name).graph]).to(context.device).eval()
        return network_subject(random_copy(encoder, seed) if random else encoder, graph), 0.0

    return Model(
        label,
        "control",
        random,
        lambda context, _graph: {"encoder": context.settings(context.config)["encoder"]},
        prepare,
    )


def network_subject(encoder: Encoder, graph: LoadedGraph, *, level: Level = "last") -> Subject:
    """A network ready to be scored."""
    table = embed(encoder, graph.graph, level=level)
    entry = Entry(table, lambda modality: graph.network_query(encoder, modality, level=level))
    return Subject(lambda _task: entry)
