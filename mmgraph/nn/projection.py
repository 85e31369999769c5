"""From features of any modality to one vector per node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError, first_few


class ModalityFusion(nn.Module):
    """Project each modality to a common space and average those that a node shows.

    A modality is visible on a node if it is present and not masked. Visible rows are gathered, centred, scaled to unit
    variance, projected by `Linear -> LayerNorm`, and added where they belong; rows that are not visible are never
    read, so whatever they hold (NaN too) reaches neither the output nor a gradient. A node that shows nothing gets the
    mean of the learned tokens of the graph's modalities; in a graph without modalities it gets the `empty` token.

    Graphs share the projection of a feature space exactly when they share its spec; the tokens are shared by all
    feature spaces of a modality.

    Args:
        dim: Width of the common space.
        specs: The feature spaces, distinct.

    Shapes:
        - input: features `[num_nodes, spec.dim]` by modality
        - output: `[num_nodes, dim]`
    """

    def __init__(self, dim: int, specs: Sequence[FeatureSpec]) -> None:
        super().__init__()
        self.dim = dim
        self.specs = tuple(specs)
        self.modalities = tuple(sorted({spec.modality for spec in specs}))
        self.projections = nn.ModuleDict(
            {spec.key: nn.Sequential(nn.Linear(spec.dim, dim), nn.LayerNorm(dim)) for spec in specs}
        )
        # Row 0 is the token of a graph without any modality, then one row per modality name.
        self.tokens = nn.Parameter(torch.empty(1 + len(self.modalities), dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator: orthogonal matrices, tokens from N(0, 0.02^2)."""
        for projection in self.projections.values():
            assert isinstance(projection, nn.Sequential)
            for module in projection:
                assert isinstance(module, nn.Linear | nn.LayerNorm)
                module.reset_parameters()
                if isinstance(module, nn.Linear):
                    # Keeps angles between features as far as the width allows, where a random matrix blurs them.
                    nn.init.orthogonal_(module.weight)
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.tokens, std=0.02)

    def check(self, features: Mapping[str, ModalityFeatures]) -> None:
        """Check that all feature spaces are known.

        Raises:
            InputError: Names the unknown feature space and lists the known ones.
        """
        for item in features.values():
            if item.spec.key not in self.projections:
                known = first_few([spec.key for spec in self.specs], 10) if self.specs else "(none)"
                raise InputError(f"the encoder has no projection for features {item.spec.key!r}; it knows: {known}")

    def token_of(self, modalities: Sequence[str]) -> Tensor:
        """The vector of a node that shows none of these modalities, `[dim]`."""
        rows = [1 + self.modalities.index(name) for name in sorted(modalities)] or [0]
        return self.tokens[rows].mean(dim=0)

    def forward(
        self,
        features: Mapping[str, ModalityFeatures],
        *,
        masked: Mapping[str, Tensor] | None = None,
        num_nodes: int | None = None,
    ) -> Tensor:
        """Fuse the visible modalities of each node.

        Args:
            features: Features by modality; may be empty.
            masked: By modality, `[num_nodes]` bool: rows to treat as absent.
            num_nodes: Needed only if `features` is empty.

        Raises:
            InputError: On an unknown feature space, a mask that fits no modality, or an unknown number of nodes.
        """
        self.check(features)
        visible = visible_rows(features, masked)
        num_nodes = _count_nodes(features, num_nodes)
        total: Tensor | None = None
        dtype = self.tokens.dtype
        count = torch.zeros(num_nodes, device=self.tokens.device)
        # Sorted, so that the order of the mapping does not change the order of the sum.
        for name in sorted(features):
            item = replace(features[name], present=visible[name])
            rows = torch.nonzero(item.present).flatten()
            projected = self.projections[item.spec.key](item.centred().to(dtype) * math.sqrt(item.spec.dim))
            if total is None:
                total = projected.new_zeros(num_nodes, self.dim)
            total = total.index_add(0, rows, projected.to(total.dtype))
            count += item.present
        token = self.token_of(list(features))
        if total is None:
            return token.expand(num_nodes, self.dim)
        hidden = torch.nonzero(count == 0).flatten()
        fused = total / count.clamp(min=1).unsqueeze(1).to(total.dtype)
        return fused.index_add(0, hidden, token.to(total.dtype).expand(hidden.numel(), self.dim))


def visible_rows(features: Mapping[str, ModalityFeatures], masked: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """By modality, `[num_nodes]` bool: present and not masked.

    Raises:
        InputError: If a mask belongs to no modality, or has a wrong shape or dtype.
    """
    masked = masked or {}
    for name, mask in masked.items():
        if name not in features:
            raise InputError(f"mask for modality {name!r}, but the features have: {first_few(sorted(features))}")
        if mask.shape != features[name].present.shape or mask.dtype != torch.bool:
            raise InputError(
                f"mask for modality {name!r} must be bool [{features[name].num_nodes}], got {mask.dtype} {list(mask.shape)}"
            )
    return {name: item.present & ~masked[name] if name in masked else item.present for name, item in features.items()}


def _count_nodes(features: Mapping[str, ModalityFeatures], num_nodes: int | None) -> int:
    counts = {name: item.num_nodes for name, item in features.items()}
    if num_nodes is not None:
        counts["num_nodes"] = num_nodes
    if not counts:
        raise InputError("features are empty, so num_nodes must be given")
    if len(set(counts.values())) > 1:
        raise InputError(f"features must agree on the number of nodes, got {counts}")
    return next(iter(counts.values()))
