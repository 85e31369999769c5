"""Compressed sparse rows on disk, built from the relations of a graph in bounded memory."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mmgraph.data.appender import ArrayAppender
from mmgraph.data.arrays import array_parts, read_array, write_array
from mmgraph.data.csr import CSR
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, unknown_choice
from mmgraph.files import atomic_folder, remove_leftovers
from mmgraph.progress import track
from mmgraph.sealed import check_digests, digests_of, read_sealed_json, write_sealed_json
from mmgraph.untrusted import reads

logger = logging.getLogger(__name__)

FORMAT, VERSION = "mmgraph.csr", 1
MANIFEST = "csr.json"
MEMORY = 2**29
"""Bytes that a build may take for the rows that it fills, if not told otherwise."""
MESSAGES_IN_MEMORY = 2**23
"""`graph_csr` keeps the rows of graphs with at most so many messages in memory: at most 2 GiB while they are sorted."""
_AT_ONCE = 2**22
_NAMES = ("indptr", "indices", "edge_type")


def graph_csr(
    graph: MultimodalGraph,
    *,
    cache: Path | str | None = None,
    relations: Iterable[str] | None = None,
    memory: int = MEMORY,
    messages_in_memory: int = MESSAGES_IN_MEMORY,
) -> CSR:
    """Messages of a graph by target, in memory if they are few, else in files that are mapped.

    Both have the same content. Nothing that is sampled from them depends on where they lie.

    Args:
        graph: The graph.
        cache: Folder that holds the rows of all graphs. Without it they are kept in memory, however many.
        relations: Names of the relations along which messages flow, all by default.
        memory: As in `build_csr`.
        messages_in_memory: Largest number of messages that are kept in memory. An edge sends two.

    Raises:
        InputError: If a relation is unknown, or the cache cannot be written.
    """
    chosen = _chosen(graph, relations)
    messages = 2 * sum(graph.relations[name].num_edges for name in chosen)
    if cache is None or messages <= messages_in_memory:
        edge_index, edge_type = graph.message_edges(chosen)
        return CSR.from_edges(edge_index.cpu(), graph.num_nodes, edge_type.cpu())
    folder = Path(cache) / f"csr-{edges_digest(graph, chosen)[:24]}"
    if folder.exists():
        try:
            return open_csr(folder)
        except InputError as error:
            logger.warning("%s; it will be built again", error)
    remove_leftovers(cache)  # of killed builds of any graph: each may be as large as the edges
    try:
        return build_csr(graph, folder, relations=chosen, memory=memory, overwrite=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot write the adjacency: {error.strerror}") from error


def build_csr(
    graph: MultimodalGraph,
    folder: Path | str,
    *,
    relations: Iterable[str] | None = None,
    memory: int = MEMORY,
    overwrite: bool = False,
) -> CSR:
    """Write the messages of a graph to a folder, whole or not at all, and open it.

    One pass over the edges counts the messages into each node. The nodes are then cut into ranges whose rows fit into
    `memory`, and for each range one more pass fills its rows. `indices` are int32 as long as the nodes allow it, types
    int8 or int16, offsets int64. The rows are those of `CSR.from_edges`, value by value.

    Args:
        graph: The graph; its edges may be mapped files.
        folder: Where to write.
        relations: Names of the relations along which messages flow, all by default.
        memory: Bytes for the rows that are filled at a time. Offsets take another 8 bytes per node, and the row of a
            single node is never cut.
        overwrite: Replace what is there.

    Raises:
        InputError: If a relation is unknown, or the folder exists and is not to be overwritten.
    """
    from mmgraph.data import csr_kernels

    chosen, folder = _chosen(graph, relations), Path(folder)
    indptr = np.zeros(graph.num_nodes + 1, dtype=np.int64)
    for _, target, _ in _messages(graph, chosen):
        csr_kernels.count_targets(target, indptr[1:])
    np.cumsum(indptr, out=indptr)
    num_types = 2 * max(len(graph.relations), 1)
    index_type = torch.int32 if graph.num_nodes <= 2**31 - 1 else torch.int64
    kind_type = torch.int8 if num_types <= 2**7 else torch.int16 if num_types <= 2**15 else torch.int64
    ranges = _ranges(indptr, index_type.itemsize + kind_type.itemsize, memory)
    with atomic_folder(folder, overwrite=overwrite) as new:
        indices = ArrayAppender(new, "indices", index_type)
        kinds = ArrayAppender(new, "edge_type", kind_type)
        try:
            for first, last in track(ranges, "adjacency") if len(ranges) > 1 else ranges:
                starts = indptr[first : last + 1] - indptr[first]
                row_indices = np.empty(starts[-1], dtype=_numpy_type(index_type))
                row_kinds = np.empty(starts[-1], dtype=_numpy_type(kind_type))
                place = starts[:-1].copy()
                for source, target, kind in _messages(graph, chosen):
                    csr_kernels.fill_rows(source, target, kind, first, last, place, row_indices, row_kinds)
                csr_kernels.sort_rows(starts, row_indices, row_kinds, num_types)
                indices.append(row_indices)
                kinds.append(row_kinds)
                del row_indices, row_kinds  # before the next range takes as much
            entries = {"indices": indices.finish(), "edge_type": kinds.finish()}
        finally:
            indices.close()
            kinds.close()
        entries["indptr"] = write_array(new, "indptr", torch.from_numpy(indptr))
        write_sealed_json(new / MANIFEST, {"format": FORMAT, "version": VERSION, **entries, "files": digests_of(new)})
    return open_csr(folder, verify=False)


@reads("an adjacency")
def open_csr(folder: Path | str, *, verify: bool = True) -> CSR:
    """Map the rows that `build_csr` wrote.

    Args:
        folder: The folder.
        verify: Compare the digests of all files; reads every byte once.

    Raises:
        InputError: If there are none, or a file is missing or was changed.
    """
    folder = Path(folder)
    manifest = read_sealed_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{folder / MANIFEST}: expected format {FORMAT!r} version {VERSION}")
    if verify:
        check_digests(folder, manifest["files"], source=folder / MANIFEST)
    csr = CSR(*(read_array(folder / f"{name}.npy", manifest[name], mmap="read") for name in _NAMES))
    if verify:
        _check_rows(csr, folder)
    return csr


def _check_rows(csr: CSR, folder: Path) -> None:
    """Compare offsets and sources with the number of nodes: compiled code follows them without looking.

    Raises:
        InputError: If one of them leads outside.
    """
    parts = (csr.indptr, csr.indices, csr.edge_type)
    if any(part.dim() != 1 or part.is_floating_point() or part.dtype == torch.bool for part in parts):
        raise InputError(f"{folder}: expected whole numbers in one dimension")
    num_nodes, num_edges = len(csr.indptr) - 1, len(csr.indices)
    ends = num_nodes >= 0 and int(csr.indptr[0]) == 0 and int(csr.indptr[-1]) == num_edges == len(csr.edge_type)
    if not ends or csr.indptr.dtype != torch.int64 or bool((csr.indptr[1:] < csr.indptr[:-1]).any()):
        raise InputError(f"{folder}: expected offsets that rise from 0 to the number of messages, {num_edges:,}")
    if num_edges and not 0 <= int(csr.indices.min()) <= int(csr.indices.max()) < num_nodes:
        raise InputError(f"{folder}: expected sources among the {num_nodes:,} nodes")
    if num_edges and int(csr.edge_type.min()) < 0:
        raise InputError(f"{folder}: expected types that are not negative, got {int(csr.edge_type.min())}")


def edges_digest(graph: MultimodalGraph, relations: Sequence[str]) -> str:
    """SHA-256 of what the rows of a graph follow from: number of nodes, and the edges of these relations by number."""
    names = list(graph.relations)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "num_nodes": graph.num_nodes,
        "relations": [
            [names.index(name), graph.relations[name].symmetric, graph.relations[name].num_edges] for name in relations
        ],
    }
    digest = hashlib.sha256(json.dumps(header).encode())
    for name in relations:
        for part in array_parts(graph.relations[name].edge_index):
            digest.update(part)
    return digest.hexdigest()


def _chosen(graph: MultimodalGraph, relations: Iterable[str] | None) -> list[str]:
    names = list(graph.relations)
    chosen = names if relations is None else list(relations)
    for name in chosen:
        if name not in names:
            raise unknown_choice("relation", name, names)
    return chosen


def _messages(graph: MultimodalGraph, relations: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Sources, targets and their type, a piece at a time; types as in `MultimodalGraph.message_edges`."""
    names = list(graph.relations)
    for name in relations:
        relation, code = graph.relations[name], 2 * names.index(name)
        for start in range(0, relation.num_edges, _AT_ONCE):
            source, target = relation.edge_index[:, start : start + _AT_ONCE].numpy(force=True)
            yield source, target, code
            yield target, source, code if relation.symmetric else code + 1


def _ranges(indptr: np.ndarray, width: int, memory: int) -> list[tuple[int, int]]:
    """Nodes `first, last` whose rows, of so many bytes per message, and places of 24 bytes per node fit into `memory`."""
    count = len(indptr) - 1
    ranges, first = [], 0
    while first < count:
        low, high = first + 1, count
        while low < high:  # the last node that still fits; a table of sums would take another 8 bytes per node
            middle = (low + high + 1) // 2
            fits = int(indptr[middle] - indptr[first]) * width + 24 * (middle - first) <= memory
            low, high = (middle, high) if fits else (low, middle - 1)
        ranges.append((first, low))
        first = low
    return ranges


def _numpy_type(dtype: torch.dtype) -> np.dtype[np.generic]:
    return torch.empty(0, dtype=dtype).numpy().dtype
