"""What is known of a graph: counts, digests, sources, licences. Nothing is guessed from names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmgraph.data.store import find_graph, graph_digest, load_graph
from mmgraph.datasets.manifest import MANIFEST, read_manifest
from mmgraph.sealed import read_sealed_json
from mmgraph.tasks.base import load_tasks

# The identifiers of the Hugging Face Hub, for datasets whose cards in `datasets/` state a licence.
_LICENCES = {"openmoji": ("cc-by-sa-4.0", "bsd-3-clause", "mit")}


@dataclass(frozen=True)
class GraphFacts:
    """A graph, as far as it is known.

    Attributes:
        name: Its name.
        digest: SHA-256 of what a model sees; `None` if it was not recorded.
        summary: Counts as `MultimodalGraph.summary` gives them; empty if they were not recorded.
        dataset: Content of `dataset.json`; empty for a graph that `mmgraph datasets build` did not make.
        notice: Content of `README.md` in its folder: where it is from and what may be done with it.
        tasks: Kind, examples by split and digest, by task.
        encoding: How the content was encoded, by modality, from `encoding.json`.
        columns: Names of the columns that nodes carry along.
    """

    name: str
    digest: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    notice: str = ""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @property
    def licences(self) -> tuple[str, ...]:
        """Identifiers of the licences of the data, where the card of the dataset states them; `other` otherwise."""
        return _LICENCES.get(str(self.dataset.get("name")), ("other",))


def read_graph_facts(folder: Path | str) -> GraphFacts:
    """Everything that the folder of an encoded graph says.

    Raises:
        InputError: If it holds no encoded graph, or a file in it is damaged.
    """
    folder = Path(folder)
    graph = load_graph(folder)
    notice, encoding = folder / "README.md", find_graph(folder) / "encoding.json"
    tasks = {
        name: {
            "kind": task.kind,
            "examples": {split: task.num_examples(split) for split in task.splits},
            "protocol": task.protocol,
            "digest": task.digest,
        }
        for name, task in load_tasks(folder).items()
    }
    return GraphFacts(
        name=graph.name,
        digest=graph_digest(graph),
        summary=graph.summary(),
        dataset=read_manifest(folder) if (folder / MANIFEST).is_file() else {},
        notice=notice.read_text(encoding="utf-8", errors="replace") if notice.is_file() else "",
        tasks=tasks,
        encoding=read_sealed_json(encoding) if encoding.is_file() else {},
        columns=() if graph.columns is None else tuple(graph.columns.column_names),
    )
