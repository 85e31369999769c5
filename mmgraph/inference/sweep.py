"""Embeddings of all nodes of a graph, exact, with the levels in files: for graphs whose vectors do not fit into memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.arrays import array_entry, array_header, read_array
from mmgraph.data.csr import CSR
from mmgraph.data.csr_file import graph_csr
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest
from mmgraph.engines.base import Engine
from mmgraph.engines.local import LocalEngine
from mmgraph.errors import InputError
from mmgraph.files import cache_folder, content_digest, read_json, write_json
from mmgraph.inference.embed import evaluating, node_ranges, sign_ranges, table_model
from mmgraph.inference.levels import Level, check_level, combine_levels, level_name
from mmgraph.inference.rows import BlockRows, ContentRows, LayerRows, Range
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import GraphEncoder
from mmgraph.nn.saving import encoder_digest
from mmgraph.nn.sign import SignEncoder
from mmgraph.progress import track

logger = logging.getLogger(__name__)

VERSION = 1
"""Part of what a folder of levels belongs to; raise it when the numbers change."""
BLOCK_ROWS = 2**17
"""Nodes and in-edges of a block together, if not told otherwise."""
IN_MEMORY = 2**31
"""Bytes of levels and edges up to which `embed` is the better choice; see `needs_sweep`."""


def needs_sweep(encoder: Encoder, graph: MultimodalGraph) -> bool:
    """Whether `embed` would take more than 2 GiB for two levels of all nodes and the edges in both directions."""
    size = 2 * graph.num_nodes * encoder.dim * 4 + 2 * graph.num_edges * 32
    return isinstance(encoder, GraphEncoder) and size > IN_MEMORY


def sweep(
    encoder: Encoder,
    graph: MultimodalGraph,
    folder: Path | str,
    *,
    num_ranges: int = 16,
    max_rows: int = BLOCK_ROWS,
    device: torch.device | str | None = None,
    level: Level = "last",
    cache: Path | str | None = None,
    engine: Engine | None = None,
) -> EmbeddingTable:
    """Embed every node with all of its neighbours, like `embed`, one level after the other as files in `folder`.

    Nodes are cut into blocks, and blocks are computed one at a time, so the result does not depend on the number of
    ranges, bit for bit; it depends on `max_rows` in the last bits, as products of matrices of other heights do. A range is
    some blocks in a row: its vectors are written, synchronised, and noted with their digest in `journal.jsonl`. A call
    that is killed goes on after the last range noted, if model, graph, level and `max_rows` are the same. Memory holds one
    block: its nodes and their in-neighbours, some six times `max_rows * dim * 4` bytes.

    The propagation of a `SignEncoder` is done in memory, and again by a call that goes on; its embedding is computed in
    ranges like a level, in the blocks of `embed`, so the bytes are the same.

    The vectors of the table are a mapped file in `folder`: remove the folder when the table is no longer needed.

    Args:
        encoder: The model.
        graph: The graph; see `load_graph(..., mmap="read")`.
        folder: Where the levels go; two of them at a time, all of them for a `level` other than `last`.
        num_ranges: Number of ranges; at most one per block is made.
        max_rows: Nodes and in-edges of a block together; a node with more in-edges is a block of its own.
        device: Where to compute; where the encoder is by default.
        level: What becomes the vector, as in `embed`.
        cache: Folder for the adjacency of large graphs, as in `graph_csr`; the user's cache folder if not given.
        engine: Where blocks are computed; in this process by default. The process that calls writes them, so a call may
            go on with another engine. Workers hold a copy of what all blocks share, as in `embed`.

    Raises:
        InputError: If a feature space is unknown to the model, an argument is out of range, the folder holds something
            else or its disk lacks room, or a vector comes out as NaN or infinity.
    """
    check_level(level)
    if max_rows < 1 or num_ranges < 1:
        raise InputError(f"sweep: max_rows and num_ranges must be at least 1, got {max_rows} and {num_ranges}")
    key = content_digest(
        "mmgraph.sweep", str(VERSION), encoder_digest(encoder), graph_digest(graph), level_name(level), str(max_rows)
    )
    engine = engine or LocalEngine()
    with evaluating(encoder, device) as model, torch.no_grad():
        if isinstance(model, SignEncoder):
            ranges = sign_ranges(graph.num_nodes, num_ranges=None, max_rows=max_rows)
            files = _Levels(Path(folder), key, graph.num_nodes, ranges, num_ranges)
            last = _fill_sign(files, model, graph, level, engine)
        else:
            csr = graph_csr(graph, cache=cache_folder("ppr") if cache is None else cache)
            ranges = node_ranges(csr, num_ranges=None, max_rows=max_rows)
            files = _Levels(Path(folder), key, graph.num_nodes, ranges, num_ranges)
            last = _fill_layers(files, model, graph, csr, level, engine)
        table = EmbeddingTable.for_graph(graph, files.read(last), model=table_model(encoder, level))
    table.check_finite()
    return table


def _fill_layers(
    files: _Levels, model: GraphEncoder, graph: MultimodalGraph, csr: CSR, level: Level, engine: Engine
) -> int:
    """Compute what is missing; returns the number of the level that holds the vectors."""
    widths = [model.dim] * (model.num_layers + 1)
    files.check_room(sum(widths) if level != "last" else model.dim * min(2, len(widths)))
    whole = [number for number in range(model.num_layers + 1) if files.is_complete(number)]
    # What lies below the last whole level is gone, unless the vectors need all of them.
    for number in range(max(whole, default=0) if level == "last" else 0, model.num_layers + 1):
        if not files.is_complete(number):
            below = files.read(number - 1) if number else None
            title = f"embed: layer {number} of {model.num_layers}" if number else "embed: features"
            files.fill(number, _builder(model, graph, csr, number, below), title, engine)
        if level == "last" and number:
            files.remove(number - 1)
    last = model.num_layers
    if level == "last":
        return last
    levels = [files.read(number) for number in range(last + 1)]
    files.fill(last + 1, partial(_combine, levels, graph, level), "embed: vectors", LocalEngine())
    return last + 1


def _builder(
    model: GraphEncoder, graph: MultimodalGraph, csr: CSR, number: int, below: Tensor | None
) -> Callable[[], Callable[[Range], Tensor]]:
    """Makes what makes a block of level `number`, `[stop - start, dim]`."""
    if below is None:
        return partial(ContentRows, model, dict(graph.features), graph.device)
    return partial(LayerRows, model, number - 1, csr.indptr, csr.indices, below)


def _fill_sign(files: _Levels, model: SignEncoder, graph: MultimodalGraph, level: Level, engine: Engine) -> int:
    """As `_fill_layers`; level 0 is the embedding, level 1 the vectors if they are something else."""
    last = 0 if level == "last" else 1
    files.check_room(model.dim * (1 if level == "last" else model.num_layers + 3))
    if not files.is_complete(last):
        blocks = model.graph_blocks(graph.to(model.device))
        files.fill(0, partial(BlockRows, model, blocks, graph.device), "embed", engine)
        if last:
            levels = [*(one.to(graph.device) for one in blocks.levels), files.read(0)]
            files.fill(1, partial(_combine, levels, graph, level), "embed: vectors", LocalEngine())
    return last


def _combine(levels: list[Tensor], graph: MultimodalGraph, level: Level) -> Callable[[Range], Tensor]:
    def block_of(block: Range) -> Tensor:
        rows = torch.arange(*block, device=graph.device)
        features = {name: item.take(rows) for name, item in graph.features.items()}
        return combine_levels((one[slice(*block)].clone() for one in levels), level, features)

    return block_of


@dataclass(frozen=True)
class _Done:
    """A range that is written: rows `start .. stop - 1`, width and digest of their bytes."""

    stop: int
    dim: int
    digest: str


class _Levels:
    """Files of levels `[num_nodes, dim]`, float32, and a journal of the ranges that are written.

    Args:
        folder: The folder; emptied if it belongs to another key.
        key: What the levels belong to.
        num_nodes: Number of rows.
        blocks: Rows that are computed at a time.
        num_ranges: Number of ranges; at most one per block.
    """

    def __init__(self, folder: Path, key: str, num_nodes: int, blocks: list[Range], num_ranges: int) -> None:
        self.folder, self.num_nodes = folder, num_nodes
        count = min(num_ranges, len(blocks))
        cuts = [len(blocks) * i // count for i in range(count + 1)]
        self.ranges = [blocks[first:last] for first, last in itertools.pairwise(cuts)]
        self._journal = folder / "journal.jsonl"
        self._open(key)
        self._done = self._read_journal()

    def _open(self, key: str) -> None:
        header = self.folder / "sweep.json"
        if self.folder.exists() and any(self.folder.iterdir()):
            if not header.exists():
                raise InputError(f"{self.folder}: expected an empty folder or one of levels, found other files")
            if read_json(header) == {"key": key}:
                return
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(header, {"key": key})

    def _read_journal(self) -> dict[tuple[int, int], _Done]:
        """Ranges that are whole, by level and first row; what a kill cut off, or what was changed since, is left out."""
        found: dict[tuple[int, int], _Done] = {}
        for line in self._journal.read_text(encoding="utf-8").splitlines() if self._journal.exists() else []:
            try:
                note: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[note["level"], note["start"]] = _Done(note["stop"], note["dim"], note["sha256"])
        for (level, start), done in list(found.items()):
            if self._path(level).exists() and self._digest(level, start, done) != done.digest:
                logger.warning("%s: rows %s to %s are computed again", self._path(level), start, done.stop)
                del found[level, start]
        return found

    def _digest(self, level: int, start: int, done: _Done) -> str:
        with open(self._path(level), "rb") as file:
            file.seek(self._header_size(done.dim) + start * done.dim * 4)
            digest, rest = hashlib.sha256(), (done.stop - start) * done.dim * 4
            while rest and (part := file.read(min(rest, 2**22))):
                digest.update(part)
                rest -= len(part)
        return digest.hexdigest()

    def _path(self, level: int) -> Path:
        return self.folder / f"level-{level}.npy"

    def _header_size(self, dim: int) -> int:
        return len(array_header(np.dtype("<f4"), (self.num_nodes, dim)))

    def check_room(self, dim: int) -> None:
        """Refuse a disk that has no room for rows of this width, less what is there already."""
        wanted = self.num_nodes * dim * 4
        there = sum(path.stat().st_blocks * 512 for path in self.folder.glob("level-*.npy"))
        if (free := shutil.disk_usage(self.folder).free) < wanted - there:
            raise InputError(
                f"{self.folder}: the levels need {wanted / 2**30:.1f} GiB, the disk has {free / 2**30:.1f}"
            )

    def is_complete(self, level: int) -> bool:
        """Whether all rows of a level are written and there."""
        return self._path(level).exists() and self._missing(level) == []

    def _missing(self, level: int) -> list[list[Range]]:
        """Ranges of which a block is not written; an earlier call may have had other ranges."""
        done = sorted((start, item.stop) for (number, start), item in self._done.items() if number == level)
        return [blocks for blocks in self.ranges if not _covers(done, blocks[0][0], blocks[-1][1])]

    def fill(self, level: int, build: Callable[[], Callable[[Range], Tensor]], title: str, engine: Engine) -> None:
        """Compute the ranges of a level that are missing.

        Args:
            level: Number of the level.
            build: Makes the function that computes a block.
            title: Shown beside the progress bar.
            engine: Computes the blocks.
        """
        if not self._path(level).exists():
            self._done = {key: item for key, item in self._done.items() if key[0] != level}
        missing = self._missing(level)
        # All blocks at once, so that workers do not wait at the end of a range.
        results = engine.map(build, [block for blocks in missing for block in blocks])
        for blocks in track(missing, title) if missing else []:
            digest, start, stop, dim = hashlib.sha256(), blocks[0][0], blocks[-1][1], 0
            with open(self._path(level), "r+b" if self._path(level).exists() else "w+b") as file:
                for block in blocks:
                    rows = next(results).float().numpy(force=True)
                    dim = rows.shape[1]
                    if block == blocks[0]:
                        file.write(array_header(np.dtype("<f4"), (self.num_nodes, dim)))
                        file.seek(self._header_size(dim) + start * dim * 4)
                    data = np.ascontiguousarray(rows, dtype="<f4").data
                    file.write(data)
                    digest.update(data)
                file.flush()
                os.fsync(file.fileno())
            self._note(level, start, _Done(stop, dim, digest.hexdigest()))

    def _note(self, level: int, start: int, done: _Done) -> None:
        note = {"level": level, "start": start, "stop": done.stop, "dim": done.dim, "sha256": done.digest}
        with open(self._journal, "ab") as file:
            # After a kill the last line may lack its end.
            file.write(b"\n" + json.dumps(note).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._done[level, start] = done

    def read(self, level: int) -> Tensor:
        """A level that is complete, mapped, `[num_nodes, dim]`."""
        dim = next(item.dim for (number, _), item in self._done.items() if number == level)
        return read_array(
            self._path(level), array_entry(f"level-{level}", torch.float32, (self.num_nodes, dim)), mmap="read"
        )

    def remove(self, level: int) -> None:
        """Delete the file of a level that nothing needs any more."""
        self._path(level).unlink(missing_ok=True)


def _covers(done: list[tuple[int, int]], start: int, stop: int) -> bool:
    """Whether ranges, sorted by start, hold all rows `start .. stop - 1`."""
    for first, last in done:
        if first <= start < last:
            start = last
    return start >= stop
