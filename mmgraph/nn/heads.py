"""Decoders used in pre-training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError, unknown_choice


class FeatureDecoder(nn.Module):
    """From node embeddings back to the features of one domain: `Linear -> LayerNorm -> GELU`, then a head per modality.

    Args:
        dim: Width of the embeddings.
        specs: The domain's feature spaces, at most one per modality.

    Shapes:
        - input: `[num_nodes, dim]`
        - output: by modality, `[num_nodes, spec.dim]`

    Raises:
        InputError: If two specs share a modality.
    """

    def __init__(self, dim: int, specs: Sequence[FeatureSpec]) -> None:
        super().__init__()
        self.specs = {spec.modality: spec for spec in specs}
        if len(self.specs) != len(specs):
            raise InputError(
                f"a decoder needs one feature space per modality, got {', '.join(spec.key for spec in specs)}"
            )
        self.trunk = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.GELU())
        self.heads = nn.ModuleList(nn.Linear(dim, spec.dim) for spec in self.specs.values())

    def decode(self, x: Tensor, modality: str) -> Tensor:
        """Features of one modality, `[num_nodes, spec.dim]`.

        Raises:
            InputError: If the domain lacks this modality.
        """
        if modality not in self.specs:
            raise unknown_choice("modality", modality, self.specs)
        out: Tensor = self.heads[list(self.specs).index(modality)](self.trunk(x))
        return out

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features of all modalities."""
        hidden = self.trunk(x)
        return {modality: head(hidden) for modality, head in zip(self.specs, self.heads, strict=True)}


class DistanceDecoder(nn.Module):
    """Predict a distance from two embeddings, the same for both orders.

    The mean of `psi([a; b])` and `psi([b; a])` with `psi = Linear(2 dim, dim) -> LayerNorm -> GELU -> Linear(dim, 1)`.
    The published form uses one order only, so its answer depends on it.

    Args:
        dim: Width of the embeddings.

    Shapes:
        - input: `a`, `b` `[num_pairs, dim]`
        - output: `[num_pairs]`
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.psi = nn.Sequential(nn.Linear(2 * dim, dim), nn.LayerNorm(dim), nn.GELU(), nn.Linear(dim, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of pairs."""
        # Two calls of equal shape, not one of twice the size: the sum is then symmetric to the last bit.
        both = self.psi(torch.cat([a, b], dim=1)) + self.psi(torch.cat([b, a], dim=1))
        out: Tensor = both.squeeze(1) / 2
        return out
