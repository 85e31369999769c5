"""Content on both sides: a text or an image of a held-out node that a training node has too, and queries in the graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmgraph.audit.findings import Finding, examples
from mmgraph.audit.material import HeldOut, Material
from mmgraph.audit.parts import NEW_NODES
from mmgraph.data.raw import RawGraph
from mmgraph.files import file_digest
from mmgraph.splits.base import TEST, TRAIN, VALID
from mmgraph.splits.content import content_groups

_CHECKS = {"text": "same-text-in-two-parts", "image": "same-image-in-two-parts"}


def check_content(material: Material) -> Iterator[Finding]:
    """Look for copies of content in training and in what is asked; needs the tables of the graph."""
    raw = material.raw
    if raw is None:
        return
    for modality, check in _CHECKS.items():
        if modality not in raw.content:
            continue
        groups = content_groups(raw, modalities=[modality])
        for held in material.held_out:
            parts = _parts_of_nodes(held)
            torn = _torn_groups(groups, parts)
            if torn:
                detail = f"{len(torn):,} {modality}s are on both sides, for example {examples(torn, join=' and ')}"
                yield Finding(check, held.where, len(torn), detail)


def _parts_of_nodes(held: HeldOut) -> dict[Any, str]:
    """Part of each node: of labelled nodes, and of those that are new in splits that ask about new nodes."""
    if held.kind == "node":
        return dict(zip(held.table["id"].to_pylist(), held.table["split"].to_pylist(), strict=True))
    side = NEW_NODES.get(held.method)
    if side is None:
        return {}
    parts: dict[Any, str] = {}
    for part in (TEST, VALID, TRAIN):
        parts |= dict.fromkeys(held.part(part)[side].to_pylist(), part)
    return parts


def _torn_groups(groups: Mapping[Any, Any], parts: Mapping[Any, str]) -> list[tuple[Any, Any]]:
    """A training node and a held-out node with the same content, one pair for each content."""
    members: dict[Any, dict[bool, Any]] = defaultdict(dict)
    for node, part in parts.items():
        if part in (TRAIN, VALID, TEST) and node in groups:
            members[groups[node]].setdefault(part == TRAIN, node)
    return [(sides[True], sides[False]) for sides in members.values() if len(sides) == 2]


def check_queries(material: Material) -> Iterator[Finding]:
    """Look for queries that are, to the letter or the byte, content of a node that they should find."""
    raw = material.raw
    if raw is None:
        return
    for held in material.of_kind("query"):
        modality = str(held.settings.get("modality", "text"))
        if modality not in raw.content:
            continue
        told = _told_queries(held, raw, modality, material.folder)
        if told:
            detail = f"{len(told):,} queries are the {modality} of a node that they should find: {examples(told)}"
            yield Finding("query-in-graph", held.where, len(told), detail)


def _told_queries(held: HeldOut, raw: RawGraph, modality: str, folder: Path) -> list[str]:
    position = {node: row for row, node in enumerate(raw.node_ids.values.tolist())}
    told = []
    for row in held.asked.to_pylist():
        here = position.get(row["id"])
        item = None if here is None else raw.content[modality][here]
        if item is None:
            continue
        if isinstance(item, Path):
            query = folder / row["query"]
            same = query.is_file() and item.is_file() and file_digest(query) == file_digest(item)
        else:
            same = _folded(row["query"]) == _folded(str(item))
        if same:
            told.append(row["query"])
    return told


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
