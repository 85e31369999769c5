"""Evaluation of a run: the trained model and its controls on all tasks of a graph."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest, load_graph
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.encoders.memo import MemoisedEncoder
from mmgraph.encoders.registry import load_encoder_by_name
from mmgraph.errors import InputError, unknown_choice
from mmgraph.inference.embed import embed
from mmgraph.inference.levels import Level, level_name
from mmgraph.inference.query import QueryEncoder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.saving import encoder_digest
from mmgraph.nn.sign import SignEncoder
from mmgraph.sealed import read_sealed_json, write_sealed_json
from mmgraph.seeding import generator
from mmgraph.tasks.base import QueryFunction, Task, load_tasks
from mmgraph.tasks.controls import raw_features, raw_query, smoothed_features
from mmgraph.tasks.evaluation import TaskRecord, evaluate_tables
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.training.loading import load_model

logger = logging.getLogger(__name__)

TRAINED, RANDOM_INIT, RAW, SMOOTHED = "trained", "random init", "raw features", "smoothed features"
CONTROLS = (RANDOM_INIT, RAW, SMOOTHED)
SUPERVISED = "supervised"
"""Not in `CONTROLS`, because it trains networks of its own."""
BEST_SMOOTHED = "best smoothed"
"""Not in `CONTROLS`, because it tries many forms of smoothing."""


def evaluate_run(
    run_folder: Path | str,
    graph_folder: Path | str,
    *,
    tasks: Literal["all"] | Sequence[str] = "all",
    seed: int = 0,
    out: Path | None = None,
    device: str = "cpu",
    controls: Sequence[str] = CONTROLS,
    level: Level = "last",
) -> list[TaskRecord]:
    """Score the model of a run on the test split of a graph's tasks, next to controls that need no training.

    The records are written as JSON. If that file holds the records of the same model, graph, tasks and settings
    already, they are returned and nothing is computed.

    Args:
        run_folder: A finished run.
        graph_folder: Dataset folder with `encoded/` and `tasks/`.
        tasks: Names of tasks, or `all`.
        seed: Seed of the probes and of the random-init control.
        out: Where to write; see `evaluation_file` for the default.
        device: Where the model runs.
        controls: Which of `random init`, `raw features`, `smoothed features` to add; with any of them come those
            that belong to a kind of task (`popularity`, `item-knn`). `supervised` adds networks trained on the
            labels or edges of each task, `best smoothed` the form of smoothing that is best on its valid split.
        level: What of the model, trained or random, becomes the vectors, see `embed`.

    Raises:
        InputError: If the run is not finished, or graph, tasks or controls are unknown.
    """
    for control in controls:
        if control not in (*CONTROLS, SUPERVISED, BEST_SMOOTHED):
            raise unknown_choice("control", control, (*CONTROLS, SUPERVISED, BEST_SMOOTHED))
    graph = load_graph(graph_folder)
    encoder = load_model(run_folder, device=device, graph=graph)
    chosen = choose_tasks(graph_folder, tasks)
    asked = {
        "model": encoder_digest(encoder),
        "graph": graph_digest(graph),
        "tasks": {name: task.digest for name, task in chosen.items()},
        "seed": seed,
        "controls": list(controls),
    }
    if level != "last":
        asked["level"] = level_name(level)
    path = out or evaluation_file(run_folder, graph_folder, level)
    if path.exists():
        before = read_sealed_json(path) if out is not None else _read_records(path)
        if isinstance(before, dict) and before.get("asked") == asked:
            return [TaskRecord(**record) for record in before["records"]]
    tables = {TRAINED: embed(encoder, graph, device=device, level=level)}
    untrained = random_copy(encoder, seed)
    if RANDOM_INIT in controls:
        tables[RANDOM_INIT] = embed(untrained, graph, device=device, level=level)
    if RAW in controls:
        tables[RAW] = raw_features(graph)
    if SMOOTHED in controls:
        tables[SMOOTHED] = smoothed_features(graph)
    networks = {TRAINED: encoder, RANDOM_INIT: untrained}
    records = evaluate_tables(
        tables,
        graph,
        chosen,
        query_encoders=_query_functions(networks, tables, graph, chosen, level, device),
        seed=seed,
        supervised=SUPERVISED in controls,
        smoothed_forms=BEST_SMOOTHED in controls,
    )
    if not controls:
        records = [record for record in records if record.model == TRAINED]
    write_sealed_json(path, {"asked": asked, "records": [record.to_dict() for record in records]})
    return records


def _read_records(path: Path) -> Any:
    try:
        return read_sealed_json(path)
    except InputError as error:
        logger.warning("%s; evaluated again", error)
        return None


def evaluation_file(run_folder: Path | str, graph_folder: Path | str, level: Level = "last") -> Path:
    """Where `evaluate_run` writes by default: `<run>/evaluation/<graph>.json`, or `<graph>-<level>.json`."""
    end = "" if level == "last" else "-" + level_name(level).replace(" ", "-")
    return Path(run_folder) / "evaluation" / f"{Path(graph_folder).resolve().name}{end}.json"


def random_copy(encoder: Encoder, seed: int) -> Encoder:
    """The same network with parameters drawn anew, none of them zero on purpose: an untrained network as it was usual.

    A network that starts at smoothed features would be that control once more.
    """
    copied = copy.deepcopy(encoder)
    random = generator(seed, "random init")
    if isinstance(copied, SignEncoder):
        copied.reset_parameters(random, zero_init=False)
    else:
        copied.reset_parameters(random)
    return copied.eval()


def choose_tasks(graph_folder: Path | str, names: Literal["all"] | Sequence[str]) -> dict[str, Task]:
    """Tasks of a dataset folder.

    Raises:
        InputError: If there are none, or a name is unknown.
    """
    found = load_tasks(graph_folder)
    if not found:
        raise InputError(f"{graph_folder}: no tasks there (expected tasks/<name>/task.json)")
    if names == "all" or list(names) == ["all"]:
        return found
    for name in names:
        if name not in found:
            raise unknown_choice("task", name, found)
    return {name: found[name] for name in names}


def frozen_encoders(
    graph: MultimodalGraph, modalities: Iterable[str], *, device: str = "cpu", remember: bool = True
) -> dict[str, ModalityEncoder]:
    """The encoders that encoded these modalities of a graph.

    Args:
        graph: The graph.
        modalities: Names of modalities.
        device: Where encoders run.
        remember: Keep every vector in memory; a server that is asked for ever must not.

    Raises:
        InputError: If the graph lacks a modality, or its encoder cannot be loaded by name.
    """
    encoders: dict[str, ModalityEncoder] = {}
    for modality in modalities:
        if modality not in graph.features:
            raise unknown_choice(f"modality of graph {graph.name!r}", modality, graph.features)
        name = graph.features[modality].spec.encoder
        loaded = load_encoder_by_name(name, modality=modality, device=device, download=False)
        encoders[modality] = MemoisedEncoder(loaded) if remember else loaded
    return encoders


def query_encoder(
    encoder: Encoder,
    graph: MultimodalGraph,
    modalities: Iterable[str],
    *,
    level: Level = "last",
    device: str = "cpu",
    remember: bool = True,
) -> QueryEncoder:
    """A query encoder for a model and a graph, with the frozen encoders that the graph names."""
    return QueryEncoder(
        encoder, graph, frozen_encoders(graph, modalities, device=device, remember=remember), level=level
    )


def _query_functions(
    networks: Mapping[str, Encoder],
    tables: Mapping[str, EmbeddingTable],
    graph: MultimodalGraph,
    tasks: Mapping[str, Task],
    level: Level,
    device: str,
) -> dict[str, QueryFunction]:
    """One function per model and modality of the retrieval tasks; all share the frozen encoders."""
    retrieval = [task for task in tasks.values() if isinstance(task, NodeRetrievalTask)]
    modalities = sorted({task.modality for task in retrieval} & set(graph.features))
    encoders = frozen_encoders(graph, modalities, device=device)
    _prefetch(encoders, retrieval)
    functions: dict[str, QueryFunction] = {}
    for model in tables:
        for modality in modalities:
            if model in networks:
                functions[f"{model}/{modality}"] = _network_query(networks[model], graph, encoders, modality, level)
            else:
                functions[f"{model}/{modality}"] = raw_query(graph, encoders, modality=modality)
    return functions


def _network_query(
    network: Encoder, graph: MultimodalGraph, encoders: Mapping[str, ModalityEncoder], modality: str, level: Level
) -> QueryFunction:
    queries = QueryEncoder(network, graph, encoders, level=level)

    def encode(items: Sequence[str]) -> Tensor:
        content: dict[str, Any] = {modality: list(items)}
        return queries.encode(**content).cpu()

    return encode


def _prefetch(encoders: Mapping[str, ModalityEncoder], tasks: Iterable[NodeRetrievalTask]) -> None:
    for task in tasks:
        encoder = encoders.get(task.modality)
        if isinstance(encoder, MemoisedEncoder):
            rows = task.queries.to_pylist()
            queries = sorted({row["query"] for row in rows if row["split"] == "test"})
            is_path = task.modality == "image" and task.root is not None
            encoder.prefetch([task.root / query for query in queries] if is_path and task.root else queries)


def tables_by_task(records: Iterable[TaskRecord]) -> list[tuple[str, list[str], list[list[object]]]]:
    """Title, columns and rows of one table per task, for a terminal."""
    groups: dict[tuple[str, str], list[TaskRecord]] = {}
    for record in records:
        groups.setdefault((record.graph, record.task), []).append(record)
    tables = []
    for (graph, task), group in groups.items():
        metrics = list(dict.fromkeys(name for record in group for name in record.metrics))
        rows: list[list[object]] = [
            [record.model, *(record.metrics.get(name, "") for name in metrics)] for record in group
        ]
        title = f"{graph}: {task} ({group[0].kind.replace('_', ' ')}, {group[0].num_examples:,} test examples)"
        tables.append((title, ["model", *metrics], rows))
    return tables
