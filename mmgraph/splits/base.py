"""What every splitter returns: a table that says, by id, on which side each node, edge or interaction lies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmgraph.data.ids import as_ids
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import atomic_folder, content_digest, file_digest
from mmgraph.parquet import read_parquet
from mmgraph.sealed import check_digest, read_sealed_json, write_sealed_json
from mmgraph.splits.column_bytes import column_bytes
from mmgraph.untrusted import reading

Kind = Literal["node", "edge", "interaction"]

TRAIN, VALID, TEST, UNUSED = PARTS = ("train", "valid", "test", "unused")
"""Where a row may lie. `unused` rows are neither seen in training nor asked: for instance a later repeat of a training
edge, or an edge between a validation and a test node."""

KEYS: dict[str, tuple[str, ...]] = {
    "node": ("id",),
    "edge": ("source", "target", "relation"),
    "interaction": ("user", "item"),
}
"""Columns of ids (and the relation) that name a row, by kind of split. Edges and interactions with a column `time` may
repeat at different times."""

FORMAT, VERSION = "mmgraph.split", 1


@dataclass(frozen=True, eq=False)
class Split:
    """A split of nodes, edges or interactions.

    The table is explicit: it lists the rows of every part, the training part included. Rows are brought into canonical
    order, so that the order in which they are given never matters. What the table does not name (edges of other
    relations, for instance) is not split and belongs to training.

    Attributes:
        kind: `node`, `edge` or `interaction`.
        table: The columns of `KEYS[kind]` and `split` (one of `PARTS`). Further columns travel along: `time`,
            `label`, `negatives` and the like.
        method: How it was made: `random`, `time`, `cold-node`, `official`, ...
        settings: What the method was told, ready for JSON: seed, shares, relations.

    Raises:
        InputError: If a column is missing, an id is missing, a part is unknown, or a row occurs twice.
    """

    kind: Kind
    table: pa.Table
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KEYS:
            raise unknown_choice("kind of split", self.kind, KEYS)
        object.__setattr__(self, "table", _canonical(self.where, self.table, self.key))

    @property
    def where(self) -> str:
        """How errors name this split."""
        return f"{self.kind} split {self.method!r}"

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name a row."""
        times = ("time",) if self.kind != "node" and "time" in self.table.column_names else ()
        return (*KEYS[self.kind], *times)

    def part(self, *names: str) -> pa.Table:
        """Rows of one or several parts, in canonical order."""
        for name in names:
            if name not in PARTS:
                raise unknown_choice("part of a split", name, PARTS)
        return self.table.filter(pc.is_in(self.table["split"], pa.array(names, pa.string())))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of rows by part."""
        return {name: int(pc.sum(pc.equal(self.table["split"], name)).as_py() or 0) for name in PARTS}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of kind, method, settings and all rows; equal digests mean equal splits."""
        parts: list[bytes | str] = [self.kind, self.method, json.dumps(dict(self.settings), sort_keys=True)]
        for name in sorted(self.table.column_names):
            parts += [name, *column_bytes(self.table[name])]
        return content_digest(*parts)

    def save(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write `split.parquet` and `split.json` (with the digest) into a folder, whole or not at all.

        Raises:
            InputError: If the folder exists and is not to be overwritten.
        """
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            pq.write_table(self.table, temporary / "split.parquet")
            write_sealed_json(
                temporary / "split.json",
                {
                    "format": FORMAT,
                    "version": VERSION,
                    "kind": self.kind,
                    "method": self.method,
                    "settings": dict(self.settings),
                    "counts": self.counts,
                    "digest": self.digest,
                    "file": {"split.parquet": file_digest(temporary / "split.parquet")},
                },
            )
        return Path(folder)

    @classmethod
    def load(cls, folder: Path | str) -> Split:
        """Read what `save` wrote.

        Raises:
            InputError: If a file is missing, or its rows are not those that the digest was made of.
        """
        folder = Path(folder)
        header = read_sealed_json(folder / "split.json")
        if not isinstance(header, dict) or (header.get("format"), header.get("version")) != (FORMAT, VERSION):
            raise InputError(f"{folder / 'split.json'}: expected format {FORMAT!r} version {VERSION}")
        path = folder / "split.parquet"
        if not path.is_file():
            raise InputError(f"{path}: file not found")
        if "split.parquet" in header.get("file", {}):
            check_digest(path, header["file"]["split.parquet"], source=folder / "split.json")
        try:
            table = read_parquet(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
        with reading(folder, "a split"):
            split = cls(header["kind"], table, header["method"], header["settings"])
            if split.digest != header["digest"]:
                raise InputError(
                    f"{path}: the split was changed: expected digest {header['digest'][:12]}, got {split.digest[:12]}"
                )
        return split

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {count:,}" for name, count in self.counts.items() if count)
        return f"Split({self.kind}, {self.method}: {rows})"


def load_splits(dataset_folder: Path | str) -> dict[str, Split]:
    """Read all splits of a dataset folder by name, in alphabetical order; none if it has no folder `splits`."""
    found = sorted((Path(dataset_folder) / "splits").glob("[!.]*/split.json"))
    return {path.parent.name: Split.load(path.parent) for path in found}


def save_splits(splits: Mapping[str, Split], dataset_folder: Path | str, *, overwrite: bool = False) -> None:
    """Write splits to `<dataset_folder>/splits/<name>`.

    Raises:
        InputError: If a name cannot be that of a folder, or one exists and is not to be overwritten.
    """
    for name, split in splits.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise InputError(f"split name {name!r}: expected letters, digits, '-', '_' and '.' only")
        split.save(Path(dataset_folder) / "splits" / name, overwrite=overwrite)


def _canonical(where: str, table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Check a table and sort its rows by their keys."""
    wanted = [*keys, "split"]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise InputError(f"{where}: missing columns {first_few(missing)}; got {first_few(table.column_names, 10)}")
    for name in wanted:
        column = table[name]
        if name == "time":
            absent = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
            if pc.any(absent).as_py():
                raise InputError(f"{where}: {pc.sum(absent).as_py():,} rows have no time")
            continue
        if not (pa.types.is_string(column.type) or column.type == pa.int64()) or column.null_count:
            values = as_ids(column, where=f"{where}, column {name!r}")
            column = pa.array(values, type=pa.string() if values.dtype == object else pa.int64())
            table = table.set_column(table.column_names.index(name), name, column)
        if name in ("relation", "split") and not pa.types.is_string(table[name].type):
            raise InputError(f"{where}, column {name!r}: expected strings, got integers")
    unknown = sorted(set(table["split"].unique().to_pylist()) - set(PARTS))
    if unknown:
        raise InputError(f"{where}, column 'split': expected {', '.join(PARTS)}, got {first_few(unknown)}")
    table = table.combine_chunks()
    if _ascending(table, keys).all():  # as splitters give it; sorting millions of strings takes longer than all else
        return table
    table = table.sort_by([(name, "ascending") for name in keys]).combine_chunks()
    twice = np.flatnonzero(~_ascending(table, keys))
    if len(twice):
        row = table.select(list(keys)).slice(int(twice[0]), 1).to_pylist()[0]
        raise InputError(f"{where}: {row} occurs more than once")
    return table


def _ascending(table: pa.Table, keys: Sequence[str]) -> np.ndarray:
    """For each row but the last whether the next one is truly larger, `[num_rows - 1]`, bool."""
    count = max(table.num_rows - 1, 0)
    less, equal = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
    for name in keys:
        this, following = table[name].slice(0, count), table[name].slice(1)
        less |= equal & pc.less(this, following).to_numpy()
        equal &= pc.equal(this, following).to_numpy()
    return less
