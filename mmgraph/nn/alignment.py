"""Feature spaces of any width in one common space, without training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError, first_few

FITTED_ROWS = 20_000
"""Rows per graph from which principal axes are computed."""


class FeatureAlignment(nn.Module):
    """Map each feature space to `dim` columns by a fixed matrix, so that a network starts at the features themselves.

    A space of exactly `dim` columns stays as it is. A wider one is cut to its first principal axes, a narrower one is
    filled with zeros. Rows are centred by the mean of their graph before and scaled to unit length after.

    Args:
        dim: Width of the common space.
        specs: The feature spaces, distinct.

    Shapes:
        - input: `ModalityFeatures` of `num_nodes` nodes
        - output: `[num_present, dim]`
    """

    def __init__(self, dim: int, specs: Iterable[FeatureSpec]) -> None:
        super().__init__()
        self.dim = dim
        self.specs: tuple[FeatureSpec, ...] = ()
        for spec in specs:
            # Not `torch.eye`: on the meta device, where models are tried first, it imports torch's compiler for seconds.
            self._add(spec, torch.zeros(spec.dim, dim).fill_diagonal_(1.0))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, sorted."""
        return tuple(sorted({spec.modality for spec in self.specs}))

    def fit(self, features: Iterable[ModalityFeatures]) -> None:
        """Compute the principal axes of all spaces that are wider than `dim`.

        Args:
            features: Features of any number of graphs; those of one space are pooled. Spaces that are not known yet
                are added, which changes nothing about the others.
        """
        pooled: dict[FeatureSpec, list[ModalityFeatures]] = {}
        for item in features:
            pooled.setdefault(item.spec, []).append(item)
        for spec, items in pooled.items():
            self._add(spec, principal_axes(items, self.dim))

    def forward(self, features: ModalityFeatures) -> Tensor:
        """Aligned rows of the nodes that have the modality, unit norm.

        Raises:
            InputError: Names the unknown feature space and lists the known ones.
        """
        self.check(features.spec)
        basis = self.basis(features.spec)
        return nn.functional.normalize(features.centred().to(basis.dtype) @ basis, dim=1)

    def basis(self, spec: FeatureSpec) -> Tensor:
        """The matrix of a space, `[spec.dim, dim]`."""
        found: Tensor = getattr(self, f"basis_{spec.key}")
        return found

    def check(self, spec: FeatureSpec) -> None:
        """Check that a feature space is known.

        Raises:
            InputError: Names it and lists the known ones.
        """
        if spec not in self.specs:
            known = first_few([known.key for known in self.specs], 10) if self.specs else "(none)"
            raise InputError(f"the encoder has no alignment for features {spec.key!r}; it knows: {known}")

    def _add(self, spec: FeatureSpec, basis: Tensor) -> None:
        if spec in self.specs:
            self.basis(spec).copy_(basis)
            return
        device = self.basis(self.specs[0]).device if self.specs else None
        self.specs = tuple(sorted((*self.specs, spec), key=lambda known: known.key))
        self.register_buffer(f"basis_{spec.key}", basis.to(device))


def principal_axes(features: Iterable[ModalityFeatures], dim: int) -> Tensor:
    """First principal axes of centred unit-norm features of one space, `[spec.dim, dim]`.

    The identity if there are exactly `dim` columns; padded with zero columns if there are fewer. The sign of an axis
    is chosen so that its largest entry is positive: equal features give equal axes on every machine.

    Args:
        features: One or several graphs' features of one space; each graph counts with at most `FITTED_ROWS` rows.
        dim: Number of axes.
    """
    items = list(features)
    width = items[0].spec.dim
    if width <= dim:
        return torch.eye(width, dim)
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for item in items:
        present = torch.nonzero(item.present).flatten()
        chosen = present[torch.linspace(0, max(0, present.numel() - 1), min(FITTED_ROWS, present.numel())).long()]
        rows = item.take(chosen).centred().double()
        covariance += (rows.t() @ rows).to(covariance.device)
    return strongest_axes(covariance, dim).float()


def strongest_axes(moments: Tensor, count: int) -> Tensor:
    """First eigenvectors of a matrix of second moments, the strongest first, `[width, count]`, in its precision.

    The sign of an axis is arbitrary: here its largest entry is positive, so that the result does not depend on the library.

    Args:
        moments: `[width, width]`, symmetric.
        count: Number of axes; there are never more than `width`.
    """
    axes = torch.linalg.eigh(moments).eigenvectors[:, -count:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    signed: Tensor = axes * torch.where(largest < 0, -1.0, 1.0)
    return signed


def specs_of(features: Iterable[Mapping[str, ModalityFeatures]]) -> list[FeatureSpec]:
    """Feature spaces of several graphs, each once, in order of appearance."""
    return list(dict.fromkeys(item.spec for one in features for item in one.values()))
