"""Search through codes: all are read, chunk by chunk, and compared with queries that are not quantised."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mmgraph.compression.codec import Codec, Codes
from mmgraph.compression.signs import unpack_signs
from mmgraph.inference.search import top_k

ROWS_PER_CHUNK = 16_384
QUERIES_PER_CHUNK = 512
CANDIDATES = 10
"""Nodes that signs propose for each one that is asked for."""
LEAST_CANDIDATES = 100


def search_codes(
    codec: Codec, codes: Codes, query: Tensor, k: int, *, among: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Find the nodes with the highest cosine between the query and the decoded vector.

    Queries stay float32; only the nodes are quantised, which loses less than quantising both (Gordo et al., 2014,
    Asymmetric Distances for Binary Embeddings, IEEE TPAMI 36(1)). Binary forms find `CANDIDATES * k` nodes, at least
    `LEAST_CANDIDATES`, by the inner product of the rotated query and the signs, and score these by their int8 codes.

    Args:
        codec: What made the codes.
        codes: Of all nodes.
        query: `[num_queries, dim]`, full width, on the device of the codes.
        k: At most the number of candidates.
        among: Ascending rows to search among; `None` for all.

    Returns:
        Cosines, descending, and rows, both `[num_queries, k]`; equal cosines in order of row.
    """
    parts = [_search(codec, codes, part, k, among) for part in torch.split(query, QUERIES_PER_CHUNK)]
    return torch.cat([scores for scores, _ in parts]), torch.cat([rows for _, rows in parts])


def _search(codec: Codec, codes: Codes, query: Tensor, k: int, among: Tensor | None) -> tuple[Tensor, Tensor]:
    query = codec.project(query)
    count = len(codes["codes"]) if among is None else among.numel()
    if codec.signs is None or max(CANDIDATES * k, LEAST_CANDIDATES) >= count:
        return _scan(query, codes["codes"], k, among, codec.decode)
    rotated = query @ codec.signs.to(query.device)
    wanted = max(CANDIDATES * k, LEAST_CANDIDATES)
    unpack = partial(unpack_signs, width=codec.width)
    rows = _scan(rotated, codes["signs"], wanted, among, unpack)[1].sort(dim=1).values
    decoded = codec.decode(codes["codes"][rows.flatten()]).view(*rows.shape, -1)
    scores, place = top_k(torch.einsum("qd,qmd->qm", query, decoded), k)
    return scores, rows.gather(1, place)


def _scan(
    query: Tensor, codes: Tensor, k: int, among: Tensor | None, decode: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The `k` highest inner products of queries `[num_queries, width]` and decoded rows, and the rows."""
    count = len(codes) if among is None else among.numel()
    best = query.new_empty(len(query), 0)
    rows = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    for start in range(0, count, ROWS_PER_CHUNK):
        stop = min(start + ROWS_PER_CHUNK, count)
        part = torch.arange(start, stop, device=query.device) if among is None else among[start:stop]
        found = query @ decode(codes[start:stop] if among is None else codes[part]).t()
        best = torch.cat([best, found], dim=1)
        rows = torch.cat([rows, part.expand(len(query), -1)], dim=1)
        # Rows ascend from left to right wherever scores are equal, so ties go to the lower row.
        best, column = top_k(best, min(k, best.size(1)))
        rows = rows.gather(1, column)
    return best, rows
