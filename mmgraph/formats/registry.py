"""The public formats that are folders of files, by name; the module of a format is imported when it is used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.formats.bundle import Bundle
from mmgraph.untrusted import reads


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        module: Module with the functions `read_<stem>(folder, *, name, ...) -> Bundle`, `looks_like_<stem>(folder)`
            and `write_<stem>(bundle, folder, *, overwrite, ...)`.
        stem: End of the names of these functions.
        holds: What its graphs consist of: raw content, or features.
        summary: One line for the list of formats.
    """

    module: str
    stem: str
    holds: Literal["content", "features"]
    summary: str

    def function(self, kind: Literal["read", "write", "looks_like"]) -> Callable[..., Any]:
        """One of the functions of the module."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), f"{kind}_{self.stem}")
        return found

    def options(self, kind: Literal["read", "write"]) -> dict[str, Any]:
        """Options of the reader or the writer that belong to this format only, with their defaults."""
        parameters = list(inspect.signature(self.function(kind)).parameters.values())
        common = {"name", "overwrite"}
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in common}


FORMATS: Mapping[str, Format] = {
    "mm-graph": Format(
        "mmgraph.formats.mm_graph",
        "mm_graph",
        "features",
        "MM-Graph benchmark: edges, labels, splits and features of one encoder as .pt files",
    ),
    "mmrec": Format(
        "mmgraph.formats.mmrec",
        "mmrec",
        "features",
        "MMRec and its Amazon sets: .inter with splits, features of items as .npy, tables of ids",
    ),
    "recbole": Format(
        "mmgraph.formats.recbole",
        "recbole",
        "content",
        "RecBole's atomic files: .inter, .item, .user, .kg, .link",
    ),
}


@reads("files of a public format")
def read_format(folder: Path | str, format: str | None = None, *, name: str | None = None, **options: Any) -> Bundle:
    """Read a folder in a public format.

    Args:
        folder: The folder.
        format: One of `FORMATS`; by default the one whose files are there.
        name: Name of the graph, by default that of the folder.
        options: Options of the reader, see `Format.options`.

    Raises:
        InputError: If the format or an option is unknown, the files fit none or several formats, or are not right.
    """
    chosen = _format(detect_format(folder) if format is None else format)
    _check_options(chosen, "read", options)
    bundle: Bundle = chosen.function("read")(folder, name=name, **options)
    return bundle


def write_format(bundle: Bundle, folder: Path | str, format: str, *, overwrite: bool = False, **options: Any) -> None:
    """Write a graph and its splits in a public format.

    Args:
        bundle: What to write.
        folder: Folder to create; it appears when everything is written.
        format: One of `FORMATS`.
        overwrite: Replace the folder.
        options: Options of the writer, see `Format.options`.

    Raises:
        InputError: If the format or an option is unknown, or the format cannot hold what is in the bundle.
    """
    chosen = _format(format)
    _check_options(chosen, "write", options)
    chosen.function("write")(bundle, folder, overwrite=overwrite, **options)


@reads("files of a public format")
def detect_format(folder: Path | str) -> str:
    """Name of the format that the files of a folder are in.

    Raises:
        InputError: If they fit none, or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, found {'a file' if folder.exists() else 'nothing'}")
    found = [name for name, entry in FORMATS.items() if entry.function("looks_like")(folder)]
    if len(found) != 1:
        listing = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        raise InputError(
            f"{folder}: fits {first_few(found) if found else 'none'} of the formats {', '.join(FORMATS)}; "
            f"name the one it is in (or, for tables: mmgraph import); its files: {first_few(listing, 10) or '(none)'}"
        )
    return found[0]


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise unknown_choice("format", name, FORMATS)
    return FORMATS[name]


def _check_options(chosen: Format, kind: Literal["read", "write"], options: Mapping[str, Any]) -> None:
    known = chosen.options(kind)
    for name in options:
        if name not in known:
            raise unknown_choice(f"option to {kind} {chosen.stem}", name, known)
