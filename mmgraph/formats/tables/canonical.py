"""Folders of tables with the names that `write_tables` gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import read_json
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.mapping import EdgeTable, NodeTable, TablesMapping
from mmgraph.formats.tables.source import ENDINGS, open_source

MODALITIES = {"text": "text", "image": "file"}
"""Columns of the node table that hold content, and whether they hold it or name a file."""

_SETTINGS: dict[str, type] = {"symmetric": list, "reverse": dict, "empty_relations": dict, "modalities": dict}


def canonical_mapping(folder: Path, *, encoding: str = "utf-8", delimiter: str | None = None) -> TablesMapping:
    """The mapping of a folder with `nodes.*`, `edges.*` and perhaps `graph.json`.

    Raises:
        InputError: If a table is missing or there twice, or the settings are wrong.
    """
    nodes, edges = find_table(folder, "nodes"), find_table(folder, "edges")
    settings = _read_settings(folder / "graph.json")
    columns, edge_columns = (
        open_source(path, Defects(), encoding=encoding, delimiter=delimiter).names for path in (nodes, edges)
    )
    modalities = {name: kind for name, kind in (MODALITIES | settings["modalities"]).items() if name in columns}
    table = NodeTable(
        file=nodes.name,
        type_column="type" if "type" in columns else None,
        text=("text",) if modalities.pop("text", None) == "text" else (),
        image="image" if modalities.pop("image", None) == "file" else None,
        modalities=modalities,
    )
    return TablesMapping(
        name=settings["name"],
        nodes=(table,),
        edges=(EdgeTable(edges.name, relation_column="relation" if "relation" in edge_columns else None),),
        symmetric=tuple(settings["symmetric"]),
        reverse=settings["reverse"],
        empty_relations={name: _pair(folder, name, pair) for name, pair in settings["empty_relations"].items()},
        encoding=encoding,
        delimiter=delimiter,
    )


def find_table(folder: Path, stem: str) -> Path:
    """The table `stem.parquet`, `stem.csv` or the like of a folder.

    Raises:
        InputError: If there is none, or more than one.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with tables, found {'a file' if folder.exists() else 'nothing'}")
    found = [folder / f"{stem}{ending}" for ending in ENDINGS if (folder / f"{stem}{ending}").exists()]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{folder}: expected one table {stem}, found {first_few([path.name for path in found])}")
    there = first_few(sorted(path.name for path in folder.iterdir())) or "an empty folder"
    raise InputError(f"{folder}: expected {stem}.parquet, {stem}.csv, {stem}.tsv or {stem}.jsonl, found {there}")


def _pair(folder: Path, name: str, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise InputError(
            f"{folder / 'graph.json'}, empty_relations, {name}: "
            f"expected [source type, target type] of the node table, got {pair!r}"
        )
    return str(pair[0]), str(pair[1])


def _read_settings(path: Path) -> dict[str, Any]:
    settings = read_json(path) if path.exists() else {}
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected an object, got {type(settings).__name__}")
    if settings.get("format"):
        raise InputError(f"{path.parent}: holds an encoded graph, expected tables; open it with load_graph")
    found: dict[str, Any] = {"name": None} | {key: kind() for key, kind in _SETTINGS.items()} | settings
    for key, kind in ({"name": str} | _SETTINGS).items():
        if not isinstance(found[key], kind) and not (key == "name" and found[key] is None):
            raise InputError(f"{path}, {key}: expected {kind.__name__}, got {type(found[key]).__name__}")
    for modality, kind in found["modalities"].items():
        expected = (MODALITIES[modality],) if modality in MODALITIES else ("text", "file")
        if kind not in expected:
            raise InputError(f"{path}, modalities, {modality}: {unknown_choice('kind', str(kind), expected)}")
    return found
