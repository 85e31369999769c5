"""What the server allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from mmgraph.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Bounds on what one request may ask for; whatever is beyond them is refused before any work is done.

    Attributes:
        max_k: Results of one search.
        max_text: Characters of a text, a filter or an id.
        max_history: Items of a history.
        max_upload_bytes: Bytes of the body of a request, counted while it is read.
        max_pixels: Width times height of an uploaded image, read from its header.
        max_concurrent: Requests in work; more are answered with 429.
        timeout: Seconds for a request, its upload included; then 504.
        max_neighbours: Nodes of a neighbourhood.
        max_hops: Hops of a neighbourhood.
        max_map: Points of the map.
        max_batch: Queries that are encoded or searched together.
    """

    max_k: int = 200
    max_text: int = 2_000
    max_history: int = 500
    max_upload_bytes: int = 10 * 2**20
    max_pixels: int = 40_000_000
    max_concurrent: int = 64
    timeout: float = 20.0
    max_neighbours: int = 500
    max_hops: int = 3
    max_map: int = 100_000
    max_batch: int = 64

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"serve: {item.name} must be above 0, got {value}")
