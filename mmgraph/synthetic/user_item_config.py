"""Settings of graphs of users and items with latent tastes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mmgraph.errors import InputError

NUM_HELD_OUT = 2
"""Interactions of each user that come last: one for validation, one for test."""


@dataclass(frozen=True)
class ItemModality:
    """A modality that is a noisy view of an item's latent vector.

    Attributes:
        name: Name of the modality.
        dim: Width of the features; at least the number of latent dimensions that it shows.
        shows: Share of the latent dimensions that it shows, rounded up; which ones is drawn by the seed.
        noise: Standard deviation of the noise, per coordinate; latent coordinates have 1.
        missing: Chance that an item lacks the modality.
    """

    name: str
    dim: int = 32
    shows: float = 1.0
    noise: float = 0.5
    missing: float = 0.0

    def __post_init__(self) -> None:
        where = f"modality {self.name!r}"
        if not self.name:
            raise InputError("a modality needs a name, got ''")
        if not 0 < self.shows <= 1:
            raise InputError(f"{where}: shows must lie in 0..1, above 0, got {self.shows}")
        if not 0 <= self.noise < math.inf:
            raise InputError(f"{where}: noise must not be negative, got {self.noise}")
        if not 0 <= self.missing <= 1:
            raise InputError(f"{where}: missing must lie in 0..1, got {self.missing}")


@dataclass(frozen=True)
class UserItemConfig:
    """Users who choose items by taste and popularity, one after the other.

    A user `u` who has chosen some items chooses item `j` next with a probability in proportion to
    `exp(sharpness * affinity + bias_j)` among the others. The affinity is the inner product of latent vectors and has
    mean 0 and variance 1. The item of popularity rank `r` has the bias `-popularity * log(r)`.

    Attributes:
        num_users: Number of users.
        num_items: Number of items.
        dim: Number of latent dimensions.
        interactions_per_user: Mean number of interactions of a user, at least 3, as far as there are enough items: a
            user chooses at most half of those that are not cold. The number beyond 3 is geometric.
        sharpness: How much taste counts.
        popularity: How much popularity counts: exponent of a power law.
        cold: Share of the items that nobody can choose before everyone's last two interactions.
        ratings: Give interactions a rating from 1 to 5, which grows with the affinity.
        holdout: Keep the last two interactions of each user out of the graph, for validation and test.
        modalities: What items carry; users carry nothing.
        name: Name of the graph.
        ids: External ids are integers, or strings such as `n0000123`. They come in no order.
        dtype: Type of the features; int8 with a scale per row.
    """

    num_users: int = 500
    num_items: int = 400
    dim: int = 8
    interactions_per_user: float = 20.0
    sharpness: float = 2.0
    popularity: float = 0.5
    cold: float = 0.1
    ratings: bool = False
    holdout: bool = True
    modalities: tuple[ItemModality, ...] = (ItemModality("text", shows=0.5), ItemModality("image", shows=0.5))
    name: str = "tastes"
    ids: Literal["integers", "strings"] = "integers"
    dtype: Literal["int8", "float16", "float32"] = "float32"

    def __post_init__(self) -> None:
        for name, least in (("num_users", 1), ("num_items", 4), ("dim", 1), ("interactions_per_user", 3)):
            if not least <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("sharpness", "popularity"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.cold < 1 or self.num_items - self.num_cold < 2:
            raise InputError(f"cold must lie in 0..1 and leave at least 2 of {self.num_items} items, got {self.cold}")
        names = [modality.name for modality in self.modalities]
        if len(set(names)) != len(names):
            raise InputError(f"every modality needs a name of its own, got {names}")
        for modality in self.modalities:
            shown = math.ceil(modality.shows * self.dim)
            if modality.dim < shown:
                raise InputError(f"modality {modality.name!r}: dim must be at least {shown}, got {modality.dim}")

    @property
    def num_cold(self) -> int:
        """Number of cold items."""
        return int(self.cold * self.num_items)
