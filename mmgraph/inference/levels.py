"""What of a model's levels becomes the vector of a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmgraph.data.features import ModalityFeatures
from mmgraph.errors import InputError, unknown_choice

LevelName = Literal["last", "blend", "hybrid", "all"]

LEVELS: tuple[LevelName, ...] = get_args(LevelName)


@dataclass(frozen=True)
class Blend:
    """The embedding plus a share of what it started from: `unit(z) + content * unit(x_0) + smoothed * unit(sum_l w_l x_l)`.

    A network that learnt to tell linked nodes apart gives away some of what plain features are good at: prototypes of
    one example, queries that are texts. Adding the start back at inference buys some of that for a little of the rest,
    without training anew; interpolation of the weights does the same for fine-tuned image encoders [1]. Meant for
    models whose levels share one space: `SignEncoder`, or a `GraphEncoder` with residual layers.

    Attributes:
        content: Weight of the node's own content; a query has nothing else.
        smoothed: Weight of the sum of levels.
        level_weights: Weights in that sum; a model with fewer levels below the embedding leaves out the last ones.

    References:
        [1] Wortsman et al., 2022, Robust Fine-Tuning of Zero-Shot Models, arXiv:2109.01903.
    """

    content: float = 0.1
    smoothed: float = 0.1
    level_weights: tuple[float, ...] = (0.5, 1.0, 0.5)

    def __post_init__(self) -> None:
        if self.content < 0 or self.smoothed < 0:
            raise InputError(f"blend: weights must not be negative, got {self.content} and {self.smoothed}")


@dataclass(frozen=True)
class Hybrid:
    """The embedding and the frozen features of one modality side by side: `[unit(z), sqrt(weight) * unit(x - mean)]`.

    The cosine of two such vectors is the weighted mean of the cosine of the embeddings and that of the raw content, so any
    index of vectors does a hybrid search. For queries that nearly are the text of their node, which need no graph. A node
    without the modality is compared by its embedding, scaled down by `sqrt(1 + weight)`; so is all for a query without it.

    Attributes:
        modality: Whose features.
        weight: Weight of their cosine; that of the embedding is 1.
    """

    modality: str = "text"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise InputError(f"hybrid: weight must be positive, got {self.weight}")


Level = LevelName | Blend | Hybrid
"""`last`: the embedding. `blend`, `hybrid`: a `Blend` or a `Hybrid` with its default weights. `all`: every level and the
embedding side by side, each scaled to unit length, so that each has the same say in a cosine."""


def level_name(level: Level) -> str:
    """How a level is written down: its name, and the weights of a `Blend` or `Hybrid`.

    Example:
        >>> level_name("blend")
        'blend 0.1 0.1 0.5 1.0 0.5'
    """
    check_level(level)
    if level == "blend" or isinstance(level, Blend):
        blend = level if isinstance(level, Blend) else Blend()
        return " ".join(["blend", *map(str, (blend.content, blend.smoothed, *blend.level_weights))])
    if level == "hybrid" or isinstance(level, Hybrid):
        hybrid = level if isinstance(level, Hybrid) else Hybrid()
        return f"hybrid {hybrid.modality} {hybrid.weight}"
    return level


def check_level(level: Level) -> None:
    """Refuse an unknown name.

    Raises:
        InputError: Lists the names.
    """
    if not isinstance(level, Blend | Hybrid) and level not in LEVELS:
        raise unknown_choice("level", str(level), LEVELS)


def combine_levels(
    levels: Iterable[Tensor], level: Level, features: Mapping[str, ModalityFeatures] | None = None
) -> Tensor:
    """Vectors of nodes, float32.

    Args:
        levels: `[num_nodes, dim]` each, from the node's own content to the embedding; read once, and of those that the
            result does not need only one is kept at a time.
        level: What to make of them.
        features: Frozen features of the same nodes; only for `hybrid`.

    Returns:
        `[num_nodes, dim]`; `[num_nodes, num_levels * dim]` for `all`, `[num_nodes, dim + width of the features]` for
        `hybrid`.

    Raises:
        InputError: If the level is unknown, or `hybrid` lacks its modality.
    """
    check_level(level)
    if level == "hybrid" or isinstance(level, Hybrid):
        hybrid = level if isinstance(level, Hybrid) else Hybrid()
        content = _content(hybrid, features or {})  # before the levels, which take long
        embedding = normalize(combine_levels(levels, "last"), dim=1)
        return torch.cat([embedding, hybrid.weight**0.5 * content.to(embedding.device)], dim=1)
    if level == "last":
        last = None
        for last in levels:  # noqa: B007  (not unpacked: that would keep them all)
            pass
        assert last is not None
        return last.float()
    if level == "all":
        return torch.cat([normalize(x.float(), dim=1) for x in levels], dim=1)
    return _blend(list(levels), level if isinstance(level, Blend) else Blend())


def _content(hybrid: Hybrid, features: Mapping[str, ModalityFeatures]) -> Tensor:
    """Centred features of unit length, zero where absent, `[num_nodes, width]`."""
    if hybrid.modality not in features:
        raise unknown_choice("modality of a hybrid", hybrid.modality, features)
    item = features[hybrid.modality]
    content = torch.zeros(item.num_nodes, item.spec.dim, device=item.values.device)
    content[item.present] = item.centred()
    return content


def _blend(levels: Sequence[Tensor], blend: Blend) -> Tensor:
    *start, last = levels
    if not start:
        return normalize(last.float(), dim=1)
    total = torch.zeros_like(last, dtype=torch.float32)
    for weight, x in zip(blend.level_weights, start, strict=False):
        total += weight * x.float()
    own = normalize(start[0].float(), dim=1)
    return normalize(last.float(), dim=1) + blend.content * own + blend.smoothed * normalize(total, dim=1)
