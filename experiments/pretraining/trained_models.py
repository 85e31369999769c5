"""Models that are trained: baselines of other papers, supervised networks, runs of `pretrain`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from context import Context, LoadedGraph, load_table, save_table
from control_models import network_subject
from measures import Entry, Subject
from model import Model, Prepared

from mmgraph.baselines.fit import BASELINES, fit_baseline
from mmgraph.inference.levels import Level
from mmgraph.nn.sign import SignEncoder
from mmgraph.tasks.base import Task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.supervised import SupervisedConfig
from mmgraph.tasks.supervised_links import LinkConfig, supervised_links
from mmgraph.tasks.supervised_values import supervised_nodes
from mmgraph.training.config import PretrainConfig


def baseline(name: str) -> Model:
    """A method of another paper, see `mmgraph.baselines`; it embeds no queries."""

    def config(context: Context) -> Any:
        plain = BASELINES[name].config()
        return plain if context.steps is None else replace(plain, steps=context.steps)

    def prepare(context: Context, graph: LoadedGraph, seed: int) -> Prepared:
        path, key = context.kept_table(name, seed, graph), f"{config(context)} {graph.digest}"
        kept = load_table(path, graph.graph, name, key)
        if kept is None:
            start = time.perf_counter()
            table = fit_baseline(name, graph.graph, seed=seed, config=config(context))
            kept = table, time.perf_counter() - start
            save_table(path, *kept, key)
        entry = Entry(kept[0])
        return Subject(lambda _task: entry), kept[1]

    return Model(
        name,
        "baseline",
        True,
        lambda context, _graph: asdict(config(context)),
        prepare,
        applies=lambda _context, graph: name == "node2vec" or bool(graph.graph.features),
    )


def supervised(name: str, plain: SupervisedConfig) -> Model:
    """A network trained on the labels or values of each node task."""

    def config(context: Context) -> SupervisedConfig:
        return plain if context.steps is None else replace(plain, epochs=context.steps)

    def prepare(context: Context, graph: LoadedGraph, seed: int) -> Prepared:
        def direct(task: Task, split: str) -> dict[str, float] | None:
            if not isinstance(task, NodeClassificationTask | NodeRegressionTask):
                return None
            return supervised_nodes(graph.graph, task, split=split, seed=seed, config=config(context))

        return Subject(lambda _task: None, direct), 0.0

    return Model(
        f"supervised {name}",
        "supervised",
        True,
        lambda context, _graph: asdict(config(context)),
        prepare,
        applies=lambda _context, graph: any(
            isinstance(task, NodeClassificationTask | NodeRegressionTask) for task in graph.tasks.values()
        ),
    )


def supervised_on_links() -> Model:
    """A network trained on the edges of each ranking task."""
    kinds = LinkPredictionTask | RecommendationTask

    def config(context: Context) -> LinkConfig:
        return LinkConfig() if context.steps is None else LinkConfig(steps=context.steps)

    def prepare(context: Context, graph: LoadedGraph, seed: int) -> Prepared:
        def entry(task: Task) -> Entry | None:
            if not isinstance(task, kinds) or task.num_examples("valid") == 0:
                return None
            return Entry(supervised_links(graph.graph, task, seed=seed, config=config(context)))

        return Subject(entry), 0.0

    return Model(
        "supervised links",
        "supervised",
        True,
        lambda context, _graph: asdict(config(context)),
        prepare,
        applies=lambda _context, graph: any(isinstance(task, kinds) for task in graph.tasks.values()),
    )


def pretrained(
    label: str,
    run: str,
    scope: str,
    *,
    level: Level = "last",
    config: PretrainConfig | None = None,
    family: str = "ours",
) -> Model:
    """A run of `pretrain`: ours, or a preset.

    Args:
        label: How tables print it.
        run: Name of the run; models that differ in the level alone share it.
        scope: `single`: trained on the graph alone; `joint`: on all graphs; `others`: on all but the graph.
        level: What of the nodes is scored.
        config: Settings; those of the study by default.
        family: As `Model`.
    """

    def graphs(context: Context, graph: LoadedGraph) -> Sequence[str]:
        name = graph.graph.name
        if scope == "single":
            return (name,)
        return tuple(other for other in context.graphs if scope == "joint" or other != name)

    def chosen_config(context: Context, graph: LoadedGraph, seed: int) -> PretrainConfig:
        plain = context.with_steps(config or context.config, seed)
        # As many batches of each graph as if it were alone, in as many steps; the rate grows with the square root of the
        # batch, as Adam needs it (Malladi et al., 2022, arXiv:2205.10287).
        count = len(graphs(context, graph))
        optim = replace(plain.optim, lr=plain.optim.lr * count**0.5)
        return replace(plain, accumulate=plain.accumulate * count, optim=optim)

    def settings(context: Context, graph: LoadedGraph) -> dict[str, Any]:
        chosen = context.settings(chosen_config(context, graph, 0))
        trained_on = {name: context.load(name).digest for name in graphs(context, graph)}
        return {"config": chosen, "trained_on": trained_on, "level": level}

    def prepare(context: Context, graph: LoadedGraph, seed: int) -> Prepared:
        chosen = chosen_config(context, graph, seed)
        encoder, seconds = context.trained(run, graphs(context, graph), chosen)
        if scope == "others" and isinstance(encoder, SignEncoder):
            # Of the whole graph, also where a poorer form of it is embedded.
            encoder.adopt(context.load(graph.graph.name).graph.features.values())
        return network_subject(encoder, graph, level=level), seconds

    return Model(
        label,
        family,
        True,
        settings,
        prepare,
        applies=lambda context, _graph: len(context.graphs) > 1 or scope != "others",
        claim=lambda context, graph: f"{run}-{'+'.join(graphs(context, graph))}",
    )
