"""Texts and images become vectors, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.serve.failures import Refusal
from mmgraph.serve.features import unit
from mmgraph.serve.index import Index


@dataclass(frozen=True)
class Content:
    """A text, an image or both.

    Attributes:
        index: Whose encoder is used.
        text: The text.
        image: File of the image, checked.
    """

    index: Index
    text: str | None = None
    image: Path | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """Content in the space of the nodes.

    Attributes:
        vector: `[dim]`.
        features: Centred unit-norm features by modality, `[dim of the modality]` each.
    """

    vector: Tensor
    features: dict[str, np.ndarray]


def encode_batch(jobs: Sequence[Content]) -> list[Encoded | Exception]:
    """Encode all jobs of an index in one batch; if that fails, one by one, so that each gets an answer of its own."""
    results: list[Encoded | Exception] = [RuntimeError("not encoded")] * len(jobs)
    for index in {job.index: None for job in jobs}:
        rows = [row for row, job in enumerate(jobs) if job.index is index]
        for row, result in zip(rows, _encode(index, [jobs[row] for row in rows]), strict=True):
            results[row] = result
    return results


def _encode(index: Index, jobs: Sequence[Content]) -> Sequence[Encoded | Exception]:
    assert index.encoder is not None
    given: dict[str, list[object]] = {}
    if any(job.text is not None for job in jobs):
        given["text"] = [job.text for job in jobs]
    if any(job.image is not None for job in jobs):
        given["image"] = [job.image for job in jobs]
    try:
        features = index.encoder.features(given)
        vectors = index.encoder.embed(features).cpu()
    except InputError as error:
        if len(jobs) > 1:
            return [result for job in jobs for result in _encode(index, [job])]
        # The message names the file, which is the server's affair.
        return [Refusal(415, "image: it cannot be decoded") if jobs[0].image is not None else Refusal(400, str(error))]
    parts: list[dict[str, np.ndarray]] = [{} for _ in jobs]
    for name, item in features.items():
        values = unit(item.rows().float().numpy() - item.mean.float().numpy())
        for row in np.flatnonzero(item.present.numpy()):
            parts[row][name] = values[row]
    return [Encoded(vector, part) for vector, part in zip(vectors, parts, strict=True)]
