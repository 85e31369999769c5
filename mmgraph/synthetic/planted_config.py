"""Settings of graphs with planted communities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from mmgraph.errors import InputError, unknown_choice

RESERVED = ("community", "id", "label", "split")
"""Names that a factor cannot have."""


@dataclass(frozen=True)
class PlantedModality:
    """A modality that shows some factors of a node's community and hides the others.

    Attributes:
        name: Name of the modality.
        factors: The factors that it shows. Every value of a factor has a centre; all centres have length 1 and are at
            right angles to each other.
        dim: Width of the features; at least the number of centres.
        noise: Standard deviation, per coordinate, of the Gaussian noise around the sum of a node's centres.
        missing: Chance that a node lacks the modality, whatever its community.
        absent_communities: Number of communities, drawn by the seed, none of whose nodes has the modality: that it is
            missing then says something.
    """

    name: str
    factors: tuple[str, ...]
    dim: int = 32
    noise: float = 0.6
    missing: float = 0.0
    absent_communities: int = 0

    def __post_init__(self) -> None:
        where = f"modality {self.name!r}"
        if not self.name:
            raise InputError("a modality needs a name, got ''")
        if not 0 < self.noise < math.inf:
            raise InputError(f"{where}: noise must be above 0, got {self.noise}")
        if not 0 <= self.missing <= 1:
            raise InputError(f"{where}: missing must lie in 0..1, got {self.missing}")
        if self.absent_communities < 0:
            raise InputError(f"{where}: absent_communities must not be negative, got {self.absent_communities}")


@dataclass(frozen=True)
class PlantedRelation:
    """A relation that prefers nodes with the same values of some factors.

    Attributes:
        name: Name of the relation.
        edges_per_node: Expected number of edges, divided by the number of nodes.
        factors: The factors that edges follow; all of them if not given, and none makes pure noise.
        homophily: Share of the edges that join nodes with the same values of these factors, as long as the graph is
            sparse; 1 / number of values is no preference.
        symmetric: The relation reads the same both ways; each pair is stored once.
    """

    name: str
    edges_per_node: float = 2.0
    factors: tuple[str, ...] | None = None
    homophily: float = 0.6
    symmetric: bool = True

    def __post_init__(self) -> None:
        where = f"relation {self.name!r}"
        if not self.name:
            raise InputError("a relation needs a name, got ''")
        if not 0 <= self.edges_per_node < math.inf:
            raise InputError(f"{where}: edges_per_node must not be negative, got {self.edges_per_node}")
        if not 0 <= self.homophily <= 1:
            raise InputError(f"{where}: homophily must lie in 0..1, got {self.homophily}")


def _modalities() -> tuple[PlantedModality, ...]:
    return PlantedModality("text", ("colour",)), PlantedModality("image", ("shape",))


def _relations() -> tuple[PlantedRelation, ...]:
    return PlantedRelation("similar"), PlantedRelation("noise", 1.0, factors=(), symmetric=False)


@dataclass(frozen=True)
class PlantedConfig:
    """Communities, each a combination of factors, that modalities and relations show in part.

    Every node draws a value of every factor, all values alike; its community is the combination.

    Attributes:
        num_nodes: Number of nodes.
        factors: Number of values of each factor, at least 2.
        modalities: What nodes carry.
        relations: How nodes are linked.
        degree_exponent: Exponent of the power law of expected degrees, above 2; all alike if not given. A node that is
            popular in one relation is so in all.
        holdout: Share of the edges of every relation that is kept out of the graph, for validation and test.
        name: Name of the graph.
        node_type: Type of all nodes.
        ids: External ids are integers, or strings such as `n0000123`. They come in no order.
        dtype: Type of the features; int8 with a scale per row.
    """

    num_nodes: int = 1000
    factors: dict[str, int] = field(default_factory=lambda: {"colour": 4, "shape": 3})
    modalities: tuple[PlantedModality, ...] = field(default_factory=_modalities)
    relations: tuple[PlantedRelation, ...] = field(default_factory=_relations)
    degree_exponent: float | None = None
    holdout: float = 0.0
    name: str = "planted"
    node_type: str = "item"
    ids: Literal["integers", "strings"] = "integers"
    dtype: Literal["int8", "float16", "float32"] = "float32"

    def __post_init__(self) -> None:
        if self.num_nodes < 1:
            raise InputError(f"num_nodes must be at least 1, got {self.num_nodes}")
        if not self.factors:
            raise InputError("factors: expected at least one, got none")
        for factor, size in self.factors.items():
            if factor in RESERVED:
                raise InputError(f"a factor cannot be named {factor!r}: labels and tasks use {', '.join(RESERVED)}")
            if size < 2:
                raise InputError(f"factor {factor!r}: expected at least 2 values, got {size}")
        if self.degree_exponent is not None and not 2 < self.degree_exponent < math.inf:
            raise InputError(f"degree_exponent must be above 2, got {self.degree_exponent}")
        if not 0 <= self.holdout < 1:
            raise InputError(f"holdout must lie in 0..1, below 1, got {self.holdout}")
        for kind, parts in (("modality", self.modalities), ("relation", self.relations)):
            names = [part.name for part in parts]
            if len(set(names)) != len(names):
                raise InputError(f"every {kind} needs a name of its own, got {names}")
        for modality in self.modalities:
            where = f"modality {modality.name!r}"
            self.check_factors(where, modality.factors)
            centres = sum(self.factors[factor] for factor in modality.factors)
            if modality.dim < max(centres, 1):
                raise InputError(f"{where}: dim must be at least {max(centres, 1)}, one per centre, got {modality.dim}")
            if modality.absent_communities > self.num_communities:
                raise InputError(
                    f"{where}: absent_communities must be at most {self.num_communities}, got {modality.absent_communities}"
                )
        for relation in self.relations:
            self.check_factors(f"relation {relation.name!r}", relation.factors or ())

    @property
    def num_communities(self) -> int:
        """Number of combinations of factor values."""
        return math.prod(self.factors.values())

    def check_factors(self, where: str, names: tuple[str, ...]) -> None:
        """Refuse factors that do not exist or are named twice.

        Raises:
            InputError: Names the factor and lists those that exist.
        """
        for name in names:
            if name not in self.factors:
                raise unknown_choice(f"factor of {where}:", name, self.factors)
        if len(set(names)) != len(names):
            raise InputError(f"{where}: every factor may be named once, got {list(names)}")


def benchmark_config(num_nodes: int, num_edges: int) -> PlantedConfig:
    """A graph of any size and of a shape as real ones have: power-law degrees, pictures that are missing, some noise.

    Four fifths of the edges follow the communities, the others nothing. Features are narrow and in half precision. Some
    thousand edges are held out.

    Args:
        num_nodes: Number of nodes.
        num_edges: Expected number of edges, held-out ones included.
    """
    per_node = num_edges / max(num_nodes, 1)
    return PlantedConfig(
        num_nodes=num_nodes,
        modalities=(PlantedModality("text", ("colour",)), PlantedModality("image", ("shape",), missing=0.3)),
        relations=(
            PlantedRelation("similar", 0.8 * per_node, homophily=0.4),
            PlantedRelation("noise", 0.2 * per_node, factors=(), symmetric=False),
        ),
        degree_exponent=2.5,
        holdout=min(0.1, 10_000 / max(num_edges, 1)),
        dtype="float16",
    )
