"""Search through codes: all are read, chunk by chunk, and compared with queries that are not quantised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

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

Score = Callable[[Tensor, slice | Tensor], Tensor]
"""Scores `[num_queries, num_rows]` of queries and some rows of the codes, given as a slice or as positions."""


class CodeIndex:
    """The codes of all nodes and the codec that reads them.

    Keeps the length of every decoded vector, four bytes per node, from the first search on: rounding changes it, and the
    cosine wants it out.

    Args:
        codec: What made the codes.
        codes: Of all nodes; may be mapped from a file.
    """

    def __init__(self, codec: Codec, codes: Codes) -> None:
        self.codec, self.codes = codec, codes

    def __len__(self) -> int:
        return len(self.codes["codes"])

    @cached_property
    def inverse_norms(self) -> Tensor:
        """One over the length of each decoded vector, `[num_nodes]`; zero where the vector is zero."""
        parts = []
        for chunk in torch.split(self.codes["codes"], ROWS_PER_CHUNK):
            norms = torch.linalg.vector_norm(self.codec.quantiser.decode(chunk), dim=1)
            parts.append(torch.where(norms > 0, 1 / norms, 0.0))
        return torch.cat(parts)

    def search(self, query: Tensor, k: int, *, among: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Find the nodes with the highest cosine between the query and the decoded vector.

        Queries stay float32; only the nodes are quantised, which loses less than quantising both (Gordo et al., 2014,
        Asymmetric Distances for Binary Embeddings, IEEE TPAMI 36(1)). Binary forms find `CANDIDATES * k` nodes, at
        least `LEAST_CANDIDATES`, by the inner product of the rotated query and the signs, and score these by their int8
        codes.

        Args:
            query: `[num_queries, dim]`, full width, on the device of the codes.
            k: At most the number of candidates.
            among: Ascending rows to search among; `None` for all.

        Returns:
            Cosines, descending, and rows, both `[num_queries, k]`; equal cosines in order of row.
        """
        parts = [self._search(self.codec.project(part), k, among) for part in torch.split(query, QUERIES_PER_CHUNK)]
        return torch.cat([scores for scores, _ in parts]), torch.cat([rows for _, rows in parts])

    def _search(self, query: Tensor, k: int, among: Tensor | None) -> tuple[Tensor, Tensor]:
        wanted = max(CANDIDATES * k, LEAST_CANDIDATES)
        if self.codec.signs is None or wanted >= (len(self) if among is None else among.numel()):
            return self._scan(self._cosines, query, k, among)
        rotated = query @ self.codec.signs.to(query.device)
        rows = self._scan(self._agreement, rotated, wanted, among)[1].sort(dim=1).values
        decoded = self.codec.decode(self.codes["codes"][rows.flatten()]).view(*rows.shape, -1)
        scores, place = top_k(torch.einsum("qd,qmd->qm", query, decoded), k)
        return scores, rows.gather(1, place)

    def _cosines(self, query: Tensor, rows: slice | Tensor) -> Tensor:
        return self.codec.quantiser.inner(query, self.codes["codes"][rows]) * self.inverse_norms[rows]

    def _agreement(self, query: Tensor, rows: slice | Tensor) -> Tensor:
        return query @ unpack_signs(self.codes["signs"][rows], self.codec.width).t()

    def _scan(self, score: Score, query: Tensor, k: int, among: Tensor | None) -> tuple[Tensor, Tensor]:
        """The `k` highest scores of queries `[num_queries, width]`, and the rows."""
        best = query.new_empty(len(query), 0)
        rows = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
        for chosen, part in self._chunks(among, query.device):
            best = torch.cat([best, score(query, chosen)], dim=1)
            rows = torch.cat([rows, part.expand(len(query), -1)], dim=1)
            # Rows ascend from left to right wherever scores are equal, so ties go to the lower row.
            best, column = top_k(best, min(k, best.size(1)))
            rows = rows.gather(1, column)
        return best, rows

    def _chunks(self, among: Tensor | None, device: torch.device) -> Iterator[tuple[slice | Tensor, Tensor]]:
        """Rows as they are read, a slice where possible, and as positions."""
        count = len(self) if among is None else among.numel()
        for start in range(0, count, ROWS_PER_CHUNK):
            stop = min(start + ROWS_PER_CHUNK, count)
            if among is None:
                yield slice(start, stop), torch.arange(start, stop, device=device)
            else:
                yield among[start:stop], among[start:stop]
