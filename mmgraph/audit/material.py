"""What an audit reads: graphs, tasks and splits of a dataset folder, as they lie on disk.

Tasks and splits refuse bad tables when they are made. An audit must look at exactly those, so it reads the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.audit.findings import Finding
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.store import load_graph
from mmgraph.errors import InputError, first_few
from mmgraph.files import file_digest, read_json
from mmgraph.formats.tables import read_tables
from mmgraph.parquet import read_parquet
from mmgraph.splits.base import TEST, TRAIN, VALID, Split

AnyGraph = RawGraph | MultimodalGraph
Kind = Literal["edge", "interaction", "node", "query"]

_TABLES: dict[str, tuple[Kind, str]] = {
    "link_prediction": ("edge", "edges"),
    "recommendation": ("interaction", "interactions"),
    "node_classification": ("node", "labels"),
    "node_regression": ("node", "values"),
    "node_retrieval": ("query", "queries"),
}
ENDS = {"edge": ("source", "target"), "interaction": ("user", "item")}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A task or a split.

    Attributes:
        where: How findings name it: `task 'links'` or `split 'links'`.
        kind: What its rows are.
        table: The rows, with a column `split`.
        settings: What the file says besides the table.
        method: How a split was made; empty for tasks.
    """

    where: str
    kind: Kind
    table: pa.Table
    settings: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""

    def part(self, *names: str) -> pa.Table:
        """Rows of these parts."""
        return self.table.filter(pc.is_in(self.table["split"], pa.array(names, pa.string())))

    @cached_property
    def asked(self) -> pa.Table:
        """Rows of `valid` and `test`."""
        return self.part(VALID, TEST)

    @property
    def ends(self) -> tuple[str, str]:
        """Columns of the two ends of a row."""
        return ENDS[self.kind]

    def relation_of(self, rows: pa.Table) -> pa.Array:
        """Relation of each row."""
        if "relation" in rows.column_names:
            return rows["relation"].combine_chunks()
        return pa.array([self.settings.get("relation")] * rows.num_rows, pa.string())


@dataclass(frozen=True, eq=False)
class Material:
    """Everything of a dataset folder that an audit looks at.

    Attributes:
        folder: The folder.
        graphs: `tables` and `encoded`, those that are there.
        held_out: Tasks and splits.
        findings: What was wrong with the files themselves.
    """

    folder: Path
    graphs: Mapping[str, AnyGraph]
    held_out: tuple[HeldOut, ...]
    findings: tuple[Finding, ...]

    @property
    def raw(self) -> RawGraph | None:
        """The graph before encoding, if its tables are there."""
        graph = self.graphs.get("tables")
        return graph if isinstance(graph, RawGraph) else None

    def of_kind(self, *kinds: Kind) -> Iterator[HeldOut]:
        """Tasks and splits of these kinds."""
        return (held for held in self.held_out if held.kind in kinds)


def read_material(folder: Path | str) -> Material:
    """Read a dataset folder.

    Raises:
        InputError: If the folder holds no graph, or neither tasks nor splits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a dataset folder, found {'a file' if folder.exists() else 'nothing'}")
    graphs: dict[str, AnyGraph] = {}
    if any(folder.glob("nodes.*")):
        graphs["tables"] = read_tables(folder, on_unknown="drop")
    for place in (folder, folder / "encoded"):
        manifest = place / "graph.json"
        if manifest.is_file() and "format" in read_json(manifest):
            graphs["encoded"] = load_graph(place)
    if not graphs:
        raise InputError(f"{folder}: expected nodes.* or encoded/, found neither")
    findings: list[Finding] = []
    held_out = [*_tasks(folder, findings), *_splits(folder, findings)]
    if not held_out and not findings:
        raise InputError(f"{folder}: expected tasks/ or splits/ to audit, found neither")
    return Material(folder, graphs, tuple(held_out), tuple(findings))


def _tasks(folder: Path, findings: list[Finding]) -> Iterator[HeldOut]:
    for path in sorted(folder.glob("tasks/[!.]*/task.json")):
        where = f"task {path.parent.name!r}"
        header = read_json(path)
        changed = [
            name
            for name, digest in header["files"].items()
            if not (path.parent / name).is_file() or file_digest(path.parent / name) != digest
        ]
        if changed:
            detail = f"files are missing or were changed since the task was written: {first_few(changed)}"
            findings.append(Finding("changed-file", where, len(changed), detail))
        if header["kind"] not in _TABLES:
            continue
        kind, stem = _TABLES[header["kind"]]
        if (path.parent / f"{stem}.parquet").is_file():
            table = read_parquet(path.parent / f"{stem}.parquet")
            yield HeldOut(where, kind, table, header["settings"])


def _splits(folder: Path, findings: list[Finding]) -> Iterator[HeldOut]:
    for path in sorted(folder.glob("splits/[!.]*/split.json")):
        where = f"split {path.parent.name!r}"
        try:
            split = Split.load(path.parent)
        except InputError as error:
            findings.append(Finding("changed-file", where, 1, str(error)))
            header, file = read_json(path), path.parent / "split.parquet"
            if file.is_file():
                table = read_parquet(file)
                yield HeldOut(where, header["kind"], table, header["settings"], header["method"])
        else:
            yield HeldOut(where, split.kind, split.table, split.settings, split.method)


def known_parts(held: HeldOut) -> pa.Table:
    """Rows of `train`, `valid` and `test`."""
    return held.part(TRAIN, VALID, TEST)
