"""What every task shares: a name, tables that join by id, a folder on disk, one way to be evaluated."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import as_ids
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import atomic_folder, content_digest, file_digest
from mmgraph.parquet import read_parquet
from mmgraph.sealed import read_sealed_json, write_sealed_json
from mmgraph.untrusted import reading, reads

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable

QueryFunction = Callable[[Sequence[str]], Tensor]
"""Turns free queries (texts, or paths of images) into vectors `[num_queries, dim]` in the space of a table."""

FORMAT, VERSION = "mmgraph.task", 1


class Task(ABC):
    """A question asked of a graph's embeddings. It owns the labels, held-out edges or queries; the graph has none.

    Args:
        name: Name of the task, also the name of its folder.

    Raises:
        InputError: If the name is not usable as a folder's name.
    """

    kind: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    """Names that the column `split` may hold."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise InputError(f"task name {name!r}: expected letters, digits, '-', '_' and '.' only")
        self.name = name

    @property
    def where(self) -> str:
        """How errors name this task."""
        return f"task {self.name!r}"

    @property
    @abstractmethod
    def protocol(self) -> str:
        """One line for the report: candidates, mask, score, tie rule, selection rule."""

    @abstractmethod
    def tables(self) -> dict[str, pa.Table]:
        """The tables of this task by file stem, rows in canonical order."""

    def settings(self) -> dict[str, Any]:
        """Everything besides the tables that rebuilds this task, ready for JSON."""
        return {}

    @classmethod
    @abstractmethod
    def from_tables(cls, name: str, tables: Mapping[str, pa.Table], settings: Mapping[str, Any], root: Path) -> Self:
        """Rebuild a task from what `save` wrote; `root` is the dataset folder."""

    @abstractmethod
    def num_examples(self, split: str) -> int:
        """Number of labelled nodes, edges, users or queries that a split is averaged over."""

    @abstractmethod
    def evaluate(
        self,
        table: EmbeddingTable,
        graph: MultimodalGraph,
        *,
        split: str = "test",
        seed: int = 0,
        encode_query: QueryFunction | None = None,
    ) -> dict[str, float]:
        """Score a table of embeddings.

        Args:
            table: Embeddings of the graph's nodes; joined by id, so the order of its rows does not matter.
            graph: The graph without anything held out.
            split: `valid` or `test`.
            seed: Seed of whatever is random in the evaluation.
            encode_query: Encodes free queries; only retrieval tasks need it.

        Raises:
            InputError: If ids are unknown, the split is, or a held-out pair is found in the graph.
        """

    @cached_property
    def digest(self) -> str:
        """Hash of the splits: equal digests mean equal labels, edges and queries."""
        parts = [self.kind, json.dumps(self.settings(), sort_keys=True)]
        for stem, table in sorted(self.tables().items()):
            parts += [stem, *(f"{name}={json.dumps(table[name].to_pylist())}" for name in table.column_names)]
        return content_digest(*parts)

    def check_split(self, split: str) -> None:
        """Refuse a split that cannot be evaluated.

        Raises:
            InputError: If it is not `valid` or `test`, or has no examples.
        """
        if split not in ("valid", "test"):
            raise unknown_choice("split", split, ("valid", "test"))
        if self.num_examples(split) == 0:
            raise InputError(f"{self.where}: split {split!r} has no examples")

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write `task.json` and the tables into this folder, normally `<dataset>/tasks/<name>`."""
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            files = {}
            for stem, table in self.tables().items():
                path = temporary / f"{stem}.parquet"
                pq.write_table(table, path)
                files[path.name] = file_digest(path)
            header = {"format": FORMAT, "version": VERSION, "kind": self.kind, "name": self.name}
            examples = {split: self.num_examples(split) for split in ("valid", "test")}
            content = {"settings": self.settings(), "num_examples": examples, "digest": self.digest, "files": files}
            write_sealed_json(temporary / "task.json", header | content)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a task that `save` wrote.

        Raises:
            InputError: If files are missing or changed, or the task is of another kind.
        """
        folder = Path(folder)
        header = _read_header(folder)
        if header["kind"] != cls.kind:
            raise InputError(f"{folder}: expected a task of kind {cls.kind!r}, got {header['kind']!r}")
        tables = {}
        for file, digest in header["files"].items():
            path = folder / file
            if not path.is_file():
                raise InputError(f"{path}: file not found")
            if file_digest(path) != digest:
                raise InputError(f"{path}: the file changed since the task was written (SHA-256 differs)")
            tables[path.stem] = read_parquet(path)
        # <dataset>/tasks/<name>: pictures of queries are given relative to the dataset folder
        root = folder.parent.parent if folder.parent.name == "tasks" else folder
        with reading(folder, f"a task of kind {cls.kind!r}"):
            return cls.from_tables(header["name"], tables, header["settings"], root)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, test={self.num_examples('test'):,})"


def text_setting(settings: Mapping[str, Any], key: str) -> str:
    """A setting of a stored task that must be a text.

    Raises:
        LookupError: If it is missing.
        ValueError: If it is something else.
    """
    value = settings[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} = {value!r}, which is no text")
    return value


def task_kinds() -> dict[str, type[Task]]:
    """The kinds that a `task.json` may name."""
    from mmgraph.tasks.link_prediction import LinkPredictionTask
    from mmgraph.tasks.node_classification import NodeClassificationTask
    from mmgraph.tasks.node_regression import NodeRegressionTask
    from mmgraph.tasks.recommendation import RecommendationTask
    from mmgraph.tasks.retrieval import NodeRetrievalTask

    kinds: list[type[Task]] = [
        NodeClassificationTask,
        NodeRegressionTask,
        LinkPredictionTask,
        RecommendationTask,
        NodeRetrievalTask,
    ]
    return {kind.kind: kind for kind in kinds}


@reads("a task")
def load_task(folder: Path | str) -> Task:
    """Read a task of any kind."""
    kind = _read_header(Path(folder))["kind"]
    kinds = task_kinds()
    if kind not in kinds:
        raise unknown_choice("kind of task", str(kind), kinds)
    return kinds[kind].load(folder)


def load_tasks(dataset_folder: Path | str) -> dict[str, Task]:
    """Read all tasks of a dataset folder by name, in alphabetical order; none if it has no folder `tasks`."""
    folder = Path(dataset_folder) / "tasks"
    tasks = [load_task(path.parent) for path in sorted(folder.glob("[!.]*/task.json"))]
    return {task.name: task for task in tasks}


def save_tasks(tasks: Iterable[Task], dataset_folder: Path | str, *, overwrite: bool = False) -> None:
    """Write tasks to `<dataset_folder>/tasks/<name>`."""
    for task in tasks:
        task.save(Path(dataset_folder) / "tasks" / task.name, overwrite=overwrite)


def checked_table(
    where: str, table: pa.Table, *, ids: Sequence[str], texts: Sequence[str] = (), splits: Sequence[str]
) -> pa.Table:
    """Check a table of a task and bring its rows into canonical order, so that the given order never matters.

    Args:
        where: Named in errors.
        table: Needs the columns `ids`, `texts` and `split`; others are kept as they are.
        ids: Columns of external ids, strings or integers.
        texts: Columns of strings.
        splits: What `split` may hold.

    Raises:
        InputError: If a column is missing, a cell is empty, a split is unknown, or a row occurs twice.
    """
    wanted = [*ids, *texts, "split"]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise InputError(f"{where}: missing columns {first_few(missing)}; got {first_few(table.column_names, 10)}")
    for name in wanted:
        values = as_ids(table[name], where=f"{where}, column {name!r}")
        if name not in ids and len(values) and values.dtype != object:
            raise InputError(f"{where}, column {name!r}: expected strings, got integers")
        column = pa.array(values, type=pa.string() if values.dtype == object else pa.int64())
        table = table.set_column(table.column_names.index(name), name, column)
    unknown = sorted(set(table["split"].unique().to_pylist()) - set(splits))
    if unknown:
        raise InputError(f"{where}, column 'split': expected {', '.join(splits)}, got {first_few(unknown)}")
    keys = [*ids, *texts]
    counts = table.group_by(keys).aggregate([([], "count_all")])
    if counts.num_rows != table.num_rows:
        twice = counts.filter(pc.greater(counts["count_all"], 1)).select(keys).slice(0, 1).to_pylist()[0]
        raise InputError(f"{where}: {twice} occurs more than once")
    return table.sort_by([(name, "ascending") for name in keys])


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "task.json"
    header = read_sealed_json(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("version") != VERSION:
        raise InputError(f"{path}: expected format {FORMAT!r} version {VERSION}")
    absent = [key for key in ("kind", "name", "settings", "files") if key not in header]
    if absent:
        raise InputError(f"{path}: missing keys {first_few(absent)}")
    return header
