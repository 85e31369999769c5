"""What is to be planned, and how its numbers are written on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mmgraph.errors import InputError, unknown_choice

BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes per value of a stored feature."""

_POWERS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
_UNITS = {"": 1, "b": 1} | {
    f"{letter}{kind}": int(base**power)
    for power, letter in enumerate("kmgt", start=1)
    for kind, base in (("b", 1000), ("ib", 1024))
}

MESSAGES_PER_EDGE = 2
"""Every edge carries messages both ways, see `MultimodalGraph.message_edges`."""

Model = Literal["sign", "layers"]
Index = Literal["none", "faiss", "faiss-hnsw", "faiss-ivfpq"]


@dataclass(frozen=True)
class FeatureShape:
    """Features of one modality.

    Attributes:
        modality: Name.
        dim: Width.
        dtype: How a value is stored: `fp32`, `fp16` or `int8`.
    """

    modality: str
    dim: int
    dtype: str = "fp32"

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"features {self.modality!r}: width must be at least 1, got {self.dim}")
        if self.dtype not in BYTES:
            raise unknown_choice(f"dtype of features {self.modality!r}", self.dtype, BYTES)

    @classmethod
    def parse(cls, text: str) -> FeatureShape:
        """Read `text:384` or `image:1280:fp16`.

        Raises:
            InputError: If it is written otherwise.
        """
        parts = text.split(":")
        if len(parts) not in (2, 3) or not parts[0] or not parts[1].isdigit():
            raise InputError(f"features: expected MODALITY:WIDTH or MODALITY:WIDTH:DTYPE, got {text!r}")
        return cls(parts[0], int(parts[1]), *parts[2:])

    @property
    def row_bytes(self) -> int:
        """Bytes of a stored row."""
        return self.dim * BYTES[self.dtype]


@dataclass(frozen=True)
class Workload:
    """A job: a graph, what is encoded, how long is trained, what is written.

    Attributes:
        nodes: Number of nodes.
        edges: Number of stored edges; each carries messages both ways.
        features: Features of the nodes, all present.
        dim: Width of the embeddings.
        texts: Texts to encode.
        images: Images to encode.
        steps: Optimiser steps of pre-training.
        model: `sign`: the default model, whose blocks of the whole graph are computed again in every round. `layers`: sampled
            neighbours and message passing.
        index: Search index that is built.
        ppr: Also compute the PPR neighbours of all nodes, as the preset `unigraph2` needs them.
    """

    nodes: int
    edges: int
    features: tuple[FeatureShape, ...] = (FeatureShape("text", 384),)
    dim: int = 384
    texts: int = 0
    images: int = 0
    steps: int = 600
    model: Model = "sign"
    index: Index = "faiss"
    ppr: bool = False

    def __post_init__(self) -> None:
        for name, least in (("nodes", 2), ("edges", 1), ("dim", 1), ("texts", 0), ("images", 0), ("steps", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        names = [feature.modality for feature in self.features]
        if not names or len(set(names)) != len(names):
            raise InputError(f"features: expected one or more modalities, each once, got {names}")

    @property
    def messages(self) -> int:
        """Number of messages."""
        return MESSAGES_PER_EDGE * self.edges

    @property
    def edges_per_node(self) -> float:
        """Density."""
        return self.edges / self.nodes

    @property
    def feature_bytes(self) -> int:
        """Bytes of all stored features."""
        return self.nodes * sum(feature.row_bytes for feature in self.features)


def parse_count(text: str) -> int:
    """Read a whole number such as `20000`, `1e9`, `2.5M` or `3B`.

    Raises:
        InputError: If it is none.
    """
    found = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)([kmgbt]?)", text.strip().lower())
    if found is None:
        raise InputError(f"expected a number such as 20000, 1e9 or 2.5M, got {text!r}")
    return round(float(found[1]) * _POWERS[found[2]])


def parse_bytes(text: str) -> int:
    """Read a size such as `64GiB`, `500 MB` or `1e9`.

    Raises:
        InputError: If it is none, or 0.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS or not float(found[1]):
        raise InputError(f"expected a size such as 64GiB or 500MB, got {text!r}")
    return round(float(found[1]) * _UNITS[found[2]])


def describe(workload: Workload) -> Mapping[str, object]:
    """The fields as plain values, for JSON."""
    return {
        name: [f"{f.modality}:{f.dim}:{f.dtype}" for f in value] if name == "features" else value
        for name, value in vars(workload).items()
    }
