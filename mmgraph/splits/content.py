"""Which nodes say the same: copies of one text or one picture, which a split must not tear apart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgraph.data.raw import RawGraph
from mmgraph.errors import unknown_choice
from mmgraph.files import file_digest
from mmgraph.splits.edge_rows import number_by_id


def content_groups(
    raw: RawGraph, *, modalities: Iterable[str] | None = None, ignore: Collection[str] = ()
) -> dict[Any, Any]:
    """Group nodes that share content, directly or through others.

    Two nodes share content if they have the same text, whatever its case and white space, or files that are equal byte
    for byte. Pictures are not decoded, and only files of equal size are read. Files that are missing or empty are no
    content.

    Args:
        raw: The graph before encoding.
        modalities: Modalities that count, all by default.
        ignore: Texts that say nothing (`"unknown"`, `"n/a"`); nodes that share one are not grouped for that.

    Returns:
        For every node, by id, the smallest id of its group: what the splitters of nodes take as `groups`.

    Raises:
        InputError: If the graph lacks a modality.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    chosen = list(raw.content) if modalities is None else list(modalities)
    links = [np.empty((2, 0), dtype=np.int64)]
    ignored = {_folded(text) for text in ignore}
    for modality in chosen:
        if modality not in raw.content:
            raise unknown_choice("modality", modality, raw.content)
        links.append(_links(_keys(modality, raw.content[modality], ignored)))
    source, target = np.concatenate(links, axis=1)
    size = (raw.num_nodes, raw.num_nodes)
    _, group = connected_components(coo_array((np.ones(len(source), dtype=bool), (source, target)), shape=size))
    ids, number = number_by_id(raw.node_ids)
    first = np.full(int(group.max()) + 1, raw.num_nodes, dtype=number.dtype)
    np.minimum.at(first, group, number)
    names = ids.to_pylist()
    return {names[node]: names[smallest] for node, smallest in zip(number.tolist(), first[group].tolist(), strict=True)}


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _keys(modality: str, items: Sequence[Any], ignored: Collection[str]) -> list[bytes | None]:
    """What each item is the same as: equal keys mean equal content, `None` has none."""
    is_file = [isinstance(item, Path) or (modality == "image" and isinstance(item, str)) for item in items]
    sizes = {
        str(item): Path(item).stat().st_size
        for item, known in zip(items, is_file, strict=True)
        if known and Path(item).is_file()
    }
    common = Counter(sizes.values())
    digests = {path: file_digest(path) for path, size in sizes.items() if size and common[size] > 1}
    keys: list[bytes | None] = []
    for item, known in zip(items, is_file, strict=True):
        if known:
            # A path that several nodes share is one file; one of a size of its own is not read.
            name = digests.get(str(item), str(item)) if sizes.get(str(item)) else None
            keys.append(None if name is None else name.encode())
        elif isinstance(item, str):
            text = _folded(item)
            keys.append(None if not text or text in ignored else _short(text.encode()))
        else:
            keys.append(_short(item) if isinstance(item, bytes) and item else None)
    return keys


def _short(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _links(keys: Sequence[bytes | None]) -> np.ndarray:
    """Each item and the first one with the same key, `[2, num_links]`."""
    first: dict[bytes, int] = {}
    links = [(first.setdefault(key, row), row) for row, key in enumerate(keys) if key is not None]
    return np.array(links, dtype=np.int64).reshape(-1, 2).T
