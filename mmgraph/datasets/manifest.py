"""`dataset.json`: what a built folder holds, by which a second call knows that there is nothing to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError, first_few
from mmgraph.files import file_digest
from mmgraph.sealed import check_digests, digests_of, read_sealed_json, write_sealed_json
from mmgraph.untrusted import reads

FORMAT, VERSION = "mmgraph.dataset", 1
MANIFEST = "dataset.json"

_OURS = {
    *("nodes.parquet", "nodes.csv", "edges.parquet", "edges.csv", "graph.json"),
    *("images", "tasks", "encoded", "README.md", MANIFEST),
}
_OVERWRITE = "give another folder, or add --overwrite to build it again"


@dataclass(frozen=True)
class BuildRecord:
    """What a builder tells about what it read and what it should have made of it.

    Attributes:
        sources: SHA-256 by name of everything that was read.
        pinned: The same of the sources that the card describes.
        expected: Counts that the card states for these sources and options, by dotted name as in `flat_counts`
            (`nodes.movie`, `edges.likes`, `tasks.genres.test`).
        drawn: Such counts that depend on random numbers as well; another version of torch may draw others.
        facts: Whatever else should be known of the build, ready for JSON: release, what was left out and why.
    """

    sources: Mapping[str, str]
    pinned: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    drawn: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def local_digests(paths: Sequence[Path], *, besides: Path | None = None) -> list[list[str]]:
    """Name and SHA-256 of local files, those of folders included, sorted; where they lie does not matter.

    Args:
        paths: Files and folders.
        besides: A folder whose files are left out.

    Raises:
        InputError: If a path does not exist.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: file not found")
        inside = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        if besides is not None:
            inside = [item for item in inside if not item.resolve().is_relative_to(besides.resolve())]
        top = path if path.is_dir() else path.parent
        found += [[item.relative_to(top).as_posix(), file_digest(item)] for item in inside]
    return sorted(found)


def is_current(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a folder holds exactly this dataset; false if there is nothing yet.

    Args:
        folder: The folder of a dataset.
        identity: Name and options, as `write_manifest` got them.

    Raises:
        InputError: If the folder holds something else, or is not whole; the message says what and offers a way out.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, found a file")
    if not (folder / MANIFEST).is_file():
        offer = "give another folder" if _strangers(folder) else _OVERWRITE
        raise InputError(f"{folder} already exists and has no {MANIFEST}; {offer}")
    manifest = read_manifest(folder)
    found = {"name": manifest["name"], **manifest["options"]}
    differences = [_difference(key, found.get(key), wanted) for key, wanted in identity.items()]
    if any(differences):
        raise InputError(f"{folder}: holds {', '.join(filter(None, differences))}; {_OVERWRITE}")
    for name, size in manifest["files"].items():
        path = folder / name
        there = path.stat().st_size if path.is_file() else None
        if there != size:
            state = "is missing" if there is None else f"has {there:,} bytes, {size:,} were written"
            raise InputError(f"{path}: the file {state}; {_OVERWRITE}")
    try:
        check_digests(folder, manifest.get("digests", {}), source=folder / MANIFEST)
    except InputError as error:
        raise InputError(f"{error}; {_OVERWRITE}") from None
    return True


def _difference(key: str, found: Any, wanted: Any) -> str:
    if found == wanted:
        return ""
    if key == "name":
        return f"{found}, not {wanted}"
    if key == "local":
        return "a dataset from other local files" if found and wanted else "a dataset from other sources"
    return f"a dataset with {key} {found}, not {wanted}"


def check_replaceable(folder: Path) -> None:
    """Refuse to overwrite a folder that holds anything but a dataset.

    Raises:
        InputError: Names what does not belong to a dataset.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, found a file")
    strangers = _strangers(folder)
    if strangers:
        raise InputError(f"{folder}: refusing to overwrite a folder that also holds {first_few(strangers)}")


def _strangers(folder: Path) -> list[str]:
    ours = set(_OURS)
    with contextlib.suppress(InputError):  # a folder without a manifest, or with a damaged one, can be replaced too
        ours |= {name.split("/")[0] for name in read_manifest(folder)["files"]}
    return sorted(path.name for path in folder.iterdir() if path.name not in ours) if folder.is_dir() else []


@reads("a description of a dataset")
def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of `dataset.json`.

    Raises:
        InputError: If it is missing, or of another format or version.
    """
    path = folder / MANIFEST
    manifest = read_sealed_json(path)
    if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{path}: expected format {FORMAT!r} version {VERSION}")
    absent = [key for key in ("name", "options", "counts", "files") if key not in manifest]
    if absent:
        raise InputError(f"{path}: missing keys {first_few(absent)}")
    sizes = manifest["files"]
    if not isinstance(manifest["options"], dict) or not isinstance(sizes, dict):
        raise InputError(f"{path}: expected options by name and bytes by file")
    if any(type(size) is not int for size in sizes.values()):
        raise InputError(f"{path}: expected a number of bytes for every file")
    return manifest


def write_manifest(folder: Path, identity: Mapping[str, Any], record: BuildRecord | None) -> str:
    """Describe a folder that was just built, and compare its counts with those of the card.

    Args:
        folder: The folder; nothing is written into it afterwards.
        identity: Name and options.
        record: What the builder told, if anything.

    Returns:
        What should be told to people: empty, or that the sources are not those of the card.

    Raises:
        InputError: If sources are those of the card and counts are not.
    """
    from mmgraph.datasets.counts import count_folder

    record = record or BuildRecord({})
    counts = count_folder(folder)
    notice = compare_counts(str(identity["name"]), record, counts)
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    options = {key: value for key, value in identity.items() if key != "name"}
    write_sealed_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "version": VERSION,
            "name": identity["name"],
            "options": options,
            "mmgraph": version("mmgraph"),
            "sources": dict(sorted(record.sources.items())),
            "counts": counts,
            "facts": dict(record.facts),
            "files": files,
            "digests": digests_of(folder, besides=[MANIFEST]),
        },
    )
    return notice


def compare_counts(name: str, record: BuildRecord, counts: Mapping[str, Any]) -> str:
    """Compare counts with those of the card.

    Returns:
        What differs, in one line; empty if nothing does.

    Raises:
        InputError: If equal sources gave other counts.
    """
    found = dict(flat_counts(counts))
    wrong = _differences(found, record.expected)
    if not record.pinned or record.sources == record.pinned:
        if wrong:
            raise InputError(f"{name}: a bug in mmgraph: the sources of the card gave other counts: {wrong}")
        drawn = _differences(found, record.drawn)
        return f"{name}: the splits are not those of the card, random numbers differ: {drawn}" if drawn else ""
    others = [
        key if key in record.sources else f"no {key}"
        for key, digest in sorted(record.pinned.items())
        if record.sources.get(key) != digest
    ]
    told = f"counts differ: {wrong}" if wrong else "its counts are equal"
    return f"{name}: built from other data than the card describes ({', '.join(others)}); {told}"


def _differences(found: Mapping[str, int], expected: Mapping[str, int], limit: int = 5) -> str:
    wrong = [f"{k} {found.get(k, 0):,} (card: {n:,})" for k, n in expected.items() if found.get(k, 0) != n]
    return ", ".join(wrong[:limit]) + (f" and {len(wrong) - limit} more" if len(wrong) > limit else "")


def flat_counts(counts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Counts by dotted name: `nodes.movie`, `edges.likes`, `modalities.text`, `tasks.genres.test`."""
    for key, value in counts.items():
        if isinstance(value, Mapping):
            yield from flat_counts(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
