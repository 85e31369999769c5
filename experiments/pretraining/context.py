"""What all jobs of a study share: graphs, tasks, frozen encoders, settings, places on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from measures import Measure, measures_of

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest, load_graph
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.encoders.memo import MemoisedEncoder
from mmgraph.errors import InputError
from mmgraph.files import atomic_path, content_digest
from mmgraph.inference.levels import Level
from mmgraph.inference.query import QueryEncoder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.tasks.base import QueryFunction, Task, load_tasks
from mmgraph.tasks.controls import raw_query
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.training.config import PretrainConfig
from mmgraph.training.evaluate import frozen_encoders
from mmgraph.training.pretrain import pretrain

GRAPHS = ("openmoji", "movielens-100k", "debian")
CONFIG = Path(__file__).with_name("mmgraph.yaml")


@dataclass(frozen=True, eq=False)
class LoadedGraph:
    """A graph with its tasks.

    Attributes:
        folder: Dataset folder.
        graph: The graph, on the device of the study.
        tasks: Tasks by name.
    """

    folder: Path
    graph: MultimodalGraph
    tasks: Mapping[str, Task]

    def with_graph(self, graph: MultimodalGraph) -> LoadedGraph:
        """The same tasks on a changed form of the graph; frozen encoders are shared."""
        other = replace(self, graph=graph)
        if any(isinstance(task, NodeRetrievalTask) for task in self.tasks.values()):
            other.__dict__["encoders"] = self.encoders
        return other

    @cached_property
    def digest(self) -> str:
        """Hash of the graph."""
        return graph_digest(self.graph.to("cpu"))

    @cached_property
    def measures(self) -> list[Measure]:
        """Everything that is measured on it."""
        return measures_of(self.tasks)

    @cached_property
    def encoders(self) -> dict[str, ModalityEncoder]:
        """Frozen encoders for the modalities that its retrieval tasks ask with; their queries are encoded once."""
        tasks = [task for task in self.tasks.values() if isinstance(task, NodeRetrievalTask)]
        found = frozen_encoders(self.graph, sorted({task.modality for task in tasks} & set(self.graph.features)))
        for task in tasks:
            encoder = found.get(task.modality)
            if isinstance(encoder, MemoisedEncoder):
                queries = task.queries["query"].unique().to_pylist()
                is_path = task.modality == "image" and task.root is not None
                encoder.prefetch([str(task.root / query) for query in queries] if is_path and task.root else queries)
        return found

    def raw_query(self, modality: str, copies: int = 1) -> QueryFunction:
        """Query encoder of raw and smoothed features, see `mmgraph.tasks.controls.raw_query`."""
        return raw_query(self.graph, self.encoders, modality=modality, copies=copies)

    def network_query(self, encoder: Encoder, modality: str, *, level: Level = "last") -> QueryFunction:
        """Query encoder of a network.

        Args:
            encoder: The network.
            modality: What the queries are.
            level: What nodes were embedded with.
        """
        queries = QueryEncoder(encoder, self.graph, self.encoders, level=level)

        def encode(items: Sequence[str]) -> torch.Tensor:
            content: dict[str, Any] = {modality: list(items)}
            return queries.encode(**content).cpu()

        return encode


@dataclass(frozen=True, eq=False)
class Context:
    """Settings of a study.

    Attributes:
        data: Folder of the dataset folders.
        out: Folder of runs and records.
        graphs: Graphs that joint models are trained on, in canonical order.
        steps: Steps of everything that is trained, in place of its own number; marks all records as a trial.
        device: Where everything runs.
        config: Settings of our model.
    """

    data: Path
    out: Path
    graphs: tuple[str, ...]
    steps: int | None = None
    device: str = "cpu"
    config: PretrainConfig = field(default_factory=PretrainConfig)
    _loaded: dict[str, LoadedGraph] = field(default_factory=dict)

    def load(self, name: str) -> LoadedGraph:
        """A graph of the study.

        Raises:
            InputError: If it is not there, not encoded, or has no tasks.
        """
        if name not in self._loaded:
            folder = self.data / name
            tasks = load_tasks(folder)
            if not tasks:
                raise InputError(f"{folder}: expected a built dataset with tasks, found none")
            self._loaded[name] = LoadedGraph(folder, load_graph(folder).to(self.device), tasks)
        return self._loaded[name]

    def with_steps(self, config: PretrainConfig, seed: int) -> PretrainConfig:
        """A configuration for one seed, shortened if the study is a trial."""
        return replace(config, seed=seed, device=self.device, steps=self.steps or config.steps)

    def run_folder(self, name: str, scope: Sequence[str], config: PretrainConfig) -> Path:
        """Where a run lies: other settings or graphs give another folder, so that trials never meet real runs."""
        described = json.dumps([name, self.settings(config), {g: self.load(g).digest for g in scope}], sort_keys=True)
        folder = f"{slug(name)}-{'+'.join(scope)}-{content_digest(described)[:8]}"
        return self.out / "runs" / folder / f"seed{config.seed}"

    def trained(self, name: str, scope: Sequence[str], config: PretrainConfig) -> tuple[Encoder, float]:
        """The encoder of a run, trained or continued if need be, and the seconds of all its steps."""
        folder = self.run_folder(name, scope, config)
        run = pretrain([self.data / graph for graph in scope], config, out=folder)
        return run.encoder, seconds_of_steps(folder)

    def settings(self, config: PretrainConfig) -> dict[str, Any]:
        """What of a configuration decides results, ready for JSON; the seed is apart."""
        unimportant = ("seed", "device", "save_every", "log_every")
        # Through JSON, so that tuples are equal to the lists that a file gives back.
        plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
        plain["sampling"].pop("workers")
        return {key: value for key, value in plain.items() if key not in unimportant}

    def kept_table(self, name: str, seed: int, graph: LoadedGraph) -> Path:
        """Where vectors wait that cannot be trained in parts, until all measures are taken."""
        return self.out / "vectors" / f"{slug(graph.graph.name)}-{slug(name)}-{self.steps or 'full'}-seed{seed}.pt"


def save_table(path: Path, table: EmbeddingTable, seconds: float, key: str) -> None:
    """Keep vectors; `key` says what they depend on."""
    with atomic_path(path) as temporary:
        torch.save({"vectors": table.vectors.cpu(), "seconds": seconds, "key": key}, temporary)


def load_table(path: Path, graph: MultimodalGraph, model: str, key: str) -> tuple[EmbeddingTable, float] | None:
    """What `save_table` kept, if there is anything for this key."""
    if not path.exists():
        return None
    kept = torch.load(path, weights_only=True)
    if kept["key"] != key:
        return None
    return EmbeddingTable.for_graph(graph, kept["vectors"].to(graph.device), model=model), kept["seconds"]


def seconds_of_steps(run: Path) -> float:
    """Seconds spent on the steps of a run, over all sessions: the clock of the log starts anew with each."""
    path = run / "metrics.jsonl"
    total = last = 0.0
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        seconds = json.loads(line).get("seconds", last)
        total += last if seconds < last else 0.0
        last = seconds
    return total + last


@contextmanager
def claimed(path: Path, *, wait: bool) -> Iterator[bool]:
    """Yield whether this process may work on something; the claim ends with the block or the process.

    Args:
        path: Lock file.
        wait: Wait for another process instead of yielding False.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def slug(name: str) -> str:
    """A name as part of a file name."""
    return "".join(c if c.isalnum() or c in ".-+" else "-" for c in name.lower()).strip("-").replace("--", "-")
