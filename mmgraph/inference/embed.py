"""Embeddings of all nodes of a graph, exact, layer by layer, in bounded memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from mmgraph.data.csr import CSR
from mmgraph.data.graph import MultimodalGraph
from mmgraph.engines.base import Engine
from mmgraph.engines.local import LocalEngine
from mmgraph.errors import InputError
from mmgraph.inference.levels import Level, check_level, combine_levels, level_name
from mmgraph.inference.rows import BlockRows, ContentRows, LayerRows, Range
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import GraphEncoder
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.saving import encoder_digest
from mmgraph.nn.sign import SignEncoder
from mmgraph.progress import track

E = TypeVar("E", GraphEncoder, SignEncoder, Encoder)
ROWS_AT_ONCE = 2**14
"""Nodes that a `SignEncoder` embeds at once, if not told otherwise."""


def embed(
    encoder: Encoder,
    graph: MultimodalGraph,
    *,
    num_ranges: int | None = None,
    max_rows: int = 2**20,
    device: torch.device | str | None = None,
    level: Level = "last",
    engine: Engine | None = None,
) -> EmbeddingTable:
    """Embed every node with all of its neighbours.

    With layers, level `l` of all nodes is computed from level `l - 1`, one range of nodes at a time; only the range and its
    in-neighbours are gathered. The result equals one forward pass over the whole graph, because a layer reads nothing
    but the level below. Memory is bought with time: a node is projected again for each range that it sends to, so use
    as few ranges as fit. A `SignEncoder` propagates the features of the whole graph once and then embeds range by range.

    Args:
        encoder: The model; it is put back into the mode that it was in.
        graph: The graph.
        num_ranges: Number of ranges of nodes; chosen from `max_rows` by default.
        max_rows: Nodes and in-edges of a range together; a node with more in-edges is a range of its own.
        device: Where to compute; where the encoder is by default. Levels stay on the device of the graph.
        level: What becomes the vector: `last`, `blend` (or a `Blend` with weights of your own), `hybrid` (or a `Hybrid`)
            for the embedding beside the raw texts, or `all` for the levels `0 .. num_layers` side by side (of a
            `SignEncoder`: its inputs, then the embedding), see `mmgraph.inference.levels`.
        engine: Where ranges are computed; in this process by default. Ranges are the same on every engine, and so are the
            bytes. One range of a model with layers is always computed here.

    Raises:
        InputError: If a feature space is unknown to the encoder, an argument is out of range, or a vector comes out
            as NaN or infinity.
    """
    check_level(level)
    if max_rows < 1 or (num_ranges is not None and num_ranges < 1):
        raise InputError(f"embed: max_rows and num_ranges must be at least 1, got {max_rows} and {num_ranges}")
    with evaluating(encoder, device) as model, torch.no_grad():
        levels = (
            _sign_levels(model, graph, num_ranges, max_rows, engine or LocalEngine())
            if isinstance(model, SignEncoder)
            else _layer_levels(model, graph, num_ranges, max_rows, engine or LocalEngine())
        )
        vectors = combine_levels(levels, level, graph.features)
        table = EmbeddingTable.for_graph(graph, vectors, model=table_model(model, level))
    table.check_finite()
    return table


def table_model(encoder: Encoder, level: Level) -> str:
    """What a table of embeddings names as its model: the digest, and the level if it is not `last`."""
    digest = encoder_digest(encoder)
    return digest if level == "last" else f"{digest} {level_name(level)}"


def node_ranges(messages: MessageGraph | CSR, *, num_ranges: int | None, max_rows: int) -> list[tuple[int, int]]:
    """Cut the nodes into ranges `start, stop`.

    Args:
        messages: Edges sorted by target.
        num_ranges: Number of ranges of equal size; at most one per node is made.
        max_rows: If `num_ranges` is not given: nodes and in-edges of a range together, as many as fit.
    """
    count = messages.indptr.numel() - 1
    if num_ranges is not None:
        cuts = [count * i // min(num_ranges, count) for i in range(min(num_ranges, count) + 1)]
        return list(itertools.pairwise(cuts))
    # Rows that the nodes before position i bring along; ascending by at least one.
    rows = messages.indptr + torch.arange(count + 1, device=messages.indptr.device)
    ranges, start = [], 0
    while start < count:
        limit = rows[start] + max_rows
        stop = max(start + 1, int(torch.searchsorted(rows, limit, right=True)) - 1)
        ranges.append((start, stop))
        start = stop
    return ranges


def sign_ranges(num_nodes: int, *, num_ranges: int | None, max_rows: int) -> list[Range]:
    """Cut the nodes for a `SignEncoder`: at most `ROWS_AT_ONCE` and `max_rows` each, or into so many ranges."""
    step = min(ROWS_AT_ONCE, max_rows) if num_ranges is None else -(-num_nodes // num_ranges)
    return [(start, min(start + step, num_nodes)) for start in range(0, num_nodes, step)]


@contextmanager
def evaluating(encoder: E, device: torch.device | str | None = None) -> Iterator[E]:
    """Put a model into evaluation mode for a while, every part of it back into its own mode afterwards.

    Args:
        encoder: The model.
        device: If given and not where the model is, a copy on this device is yielded.
    """
    if device is not None and torch.empty(0, device=device).device != encoder.device:
        yield copy.deepcopy(encoder).to(device).eval()
        return
    modes = [(module, module.training) for module in encoder.modules()]
    try:
        yield encoder.eval()
    finally:
        for module, training in modes:
            module.training = training


def _sign_levels(
    encoder: SignEncoder, graph: MultimodalGraph, num_ranges: int | None, max_rows: int, engine: Engine
) -> Iterator[Tensor]:
    """The levels that the network reads, then the embedding, each `[num_nodes, dim]` on the device of the graph."""
    blocks = encoder.graph_blocks(graph.to(encoder.device))
    yield from (level.to(graph.device) for level in blocks.levels)
    ranges = sign_ranges(graph.num_nodes, num_ranges=num_ranges, max_rows=max_rows)
    out = torch.empty(graph.num_nodes, encoder.dim, device=graph.device)
    yield _fill(out, ranges, engine.map(partial(BlockRows, encoder, blocks, graph.device), ranges), "embed")


def _layer_levels(
    encoder: GraphEncoder, graph: MultimodalGraph, num_ranges: int | None, max_rows: int, engine: Engine
) -> Iterator[Tensor]:
    """Levels `0 .. num_layers` one after the other, each `[num_nodes, dim]` on the device of the graph."""
    messages = MessageGraph.from_edges(graph.message_edges()[0], graph.num_nodes, graph.num_nodes)
    ranges = node_ranges(messages, num_ranges=num_ranges, max_rows=max_rows)
    if len(ranges) == 1:
        # Nothing to bound: the layers may share one sorted set of edges and project each node once.
        features = {name: item.to(encoder.device) for name, item in graph.features.items()}
        x = encoder.fuse(features, num_nodes=graph.num_nodes).x
        edges = messages if graph.device == encoder.device else graph.message_edges()[0].to(encoder.device)
        for one in encoder.propagate(x, edges):
            yield one.to(graph.device)
        return
    x = torch.empty(graph.num_nodes, encoder.dim, device=graph.device)
    build = partial(ContentRows, encoder, dict(graph.features), graph.device)
    yield _fill(x, ranges, engine.map(build, ranges), "embed: features")
    for number in range(encoder.num_layers):
        rows = engine.map(partial(LayerRows, encoder, number, messages.indptr, messages.source, x), ranges)
        x = _fill(torch.empty_like(x), ranges, rows, f"embed: layer {number + 1} of {encoder.num_layers}")
        yield x


def _fill(level: Tensor, ranges: Sequence[Range], results: Iterator[Tensor], description: str) -> Tensor:
    """Put the rows of each range in their place."""
    for (start, stop), rows in track(zip(ranges, results, strict=True), description, total=len(ranges)):
        level[start:stop] = rows
    return level
