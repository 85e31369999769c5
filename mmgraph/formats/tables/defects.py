"""What is wrong with rows, cells and files of an import: collected, counted, and either refused or set aside."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import atomic_path

Policy = Literal["error", "quarantine"]

KINDS = {
    "unreadable-file": "files that cannot be read",
    "empty-file": "files without any row",
    "missing-column": "columns that are not there",
    "bad-row": "rows with another number of columns, or no JSON object",
    "bad-encoding": "cells that are not valid text",
    "missing-id": "rows without an id",
    "mixed-types": "cells of another type than the rest of their column",
    "duplicate-id": "duplicate ids",
    "dangling-edge": "edges name ids that are no nodes",
    "missing-image": "images that are not there",
    "empty-image": "images of zero bytes",
    "broken-image": "files that are no readable image",
    "large-image": "images with too many pixels",
}
"""Kinds of defects, and what several of them are called."""

IMAGE_KINDS = ("missing-image", "empty-image", "broken-image", "large-image")
"""Always set aside: the node stays, and counts as one without an image."""

LISTED = 1000
"""Defects that are listed one by one, per kind and file; beyond that they are only counted."""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    Attributes:
        kind: One of `KINDS`.
        file: Path of the file.
        row: Number of the data row, counted from 1 without the header.
        id: The id concerned, if any.
        detail: What was expected and what was found.
    """

    kind: str
    file: str
    row: int | None
    id: Any
    detail: str

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}, row {self.row:,}"
        return f"{place}: {self.detail}"


class Defects:
    """Collects defects while tables are read.

    Args:
        policy: `error` refuses the import at the next `check`; `quarantine` sets rows and files aside. Images are set
            aside in any case.
        tolerated: Kinds that are set aside whatever the policy.

    Raises:
        InputError: If the policy is unknown.
    """

    def __init__(self, policy: Policy = "error", *, tolerated: tuple[str, ...] = ()) -> None:
        if policy not in ("error", "quarantine"):
            raise unknown_choice("on_defect", policy, ("error", "quarantine"))
        self.policy = policy
        self.tolerated = {*IMAGE_KINDS, *tolerated}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.listed: dict[tuple[str, str], list[Defect]] = defaultdict(list)
        self._muted = False

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Note nothing for a while: for reading a file once more."""
        self._muted, before = True, self._muted
        try:
            yield
        finally:
            self._muted = before

    def add(self, kind: str, file: Path | str, detail: str, *, row: int | None = None, id: Any = None) -> None:
        """Note a defect."""
        if self._muted:
            return
        key = (kind, str(file))
        self.counts[key] += 1
        if len(self.listed[key]) < LISTED:
            self.listed[key].append(Defect(kind, str(file), row, id, detail))

    def count(self, kind: str, file: Path | str, count: int) -> None:
        """Note defects of a kind that has been listed already, without listing them."""
        if not self._muted:
            self.counts[kind, str(file)] += count

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __iter__(self) -> Iterator[Defect]:
        for defects in self.listed.values():
            yield from defects

    def by_kind(self) -> dict[str, int]:
        """Number of defects by kind, in the order of `KINDS`."""
        totals: Counter[str] = Counter()
        for (kind, _), count in self.counts.items():
            totals[kind] += count
        return {kind: totals[kind] for kind in KINDS if totals[kind]}

    def check(self) -> None:
        """Refuse the import if defects have come up that are not to be set aside.

        Raises:
            InputError: Tells the first kind of defect, and how many others there are.
        """
        if self.policy == "quarantine":
            return
        refused = [key for key in self.counts if key[0] not in self.tolerated]
        if refused:
            others = sum(self.counts[key] for key in refused[1:])
            more = f"; and {others:,} defects of other kinds or files" if others else ""
            raise InputError(f"{self.summary(*refused[0])}{more}")

    def summary(self, kind: str, file: str) -> str:
        """All defects of a kind in a file in one line."""
        count, listed = self.counts[kind, file], self.listed[kind, file]
        if not listed:
            return f"{file}: {count:,} {KINDS[kind]}"
        if count == 1:
            return str(listed[0])
        ids = list(dict.fromkeys(defect.id for defect in listed if defect.id is not None))
        shown = first_few(ids) if ids else listed[0].detail
        first = "" if listed[0].row is None else f" (first in row {listed[0].row:,})"
        return f"{file}: {count:,} {KINDS[kind]}: {shown}{first}"

    def lines(self) -> list[str]:
        """One line per kind and file, in the order of `KINDS`."""
        order = list(KINDS)
        return [self.summary(*key) for key in sorted(self.counts, key=lambda key: (order.index(key[0]), key[1]))]

    def write(self, path: Path) -> None:
        """Write what was set aside as a CSV file: kind, file, row, id, detail."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["kind", "file", "row", "id", "detail"])
            for (kind, name), defects in self.listed.items():
                writer.writerows([d.kind, d.file, d.row, d.id, d.detail] for d in defects)
                rest = self.counts[kind, name] - len(defects)
                if rest > 0 and len(defects) == LISTED:
                    writer.writerow([kind, name, None, None, f"and {rest:,} more"])
