"""Features of nodes by modality, with the mask that says which nodes have them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmgraph.errors import InputError

CHECKED_AT_ONCE = 2**22
"""Entries that `ModalityFeatures.check_finite` looks at in one go."""


@dataclass(frozen=True)
class FeatureSpec:
    """The feature space of a modality. Graphs share a projection exactly when they share a spec.

    Attributes:
        modality: What was encoded, for example `text` or `image`.
        encoder: Key of the frozen encoder, for example `minilm`.
        dim: Width of the features.
    """

    modality: str
    encoder: str
    dim: int

    def __post_init__(self) -> None:
        if not self.modality or not self.encoder:
            raise InputError(
                f"a feature space needs a modality and an encoder, got {self.modality!r} and {self.encoder!r}"
            )
        if self.dim < 1:
            raise InputError(f"feature space {self.modality}/{self.encoder}: dim must be at least 1, got {self.dim}")

    @property
    def key(self) -> str:
        """Name that is valid as a key of `torch.nn.ModuleDict` (no dots)."""
        parts = (
            re.sub(r"[^0-9A-Za-z-]", lambda m: f"_{ord(m.group()):x}_", part) for part in (self.modality, self.encoder)
        )
        return "__".join((*parts, str(self.dim)))


@dataclass(frozen=True, eq=False)
class ModalityFeatures:
    """Features of one modality for all nodes of a graph.

    Attributes:
        spec: The feature space.
        values: `[num_nodes, dim]`, floating point, or int8 to be multiplied by `scale`; rows of absent nodes are
            ignored, whatever they hold. Whoever wants numbers asks `rows`.
        present: `[num_nodes]`, bool: which nodes have this modality.
        mean: `[dim]`, mean over the present nodes of the *whole* graph. It is stored with the data so that
            batches, unseen nodes and queries are centred alike. Computed if not given.
        scale: `[num_nodes]`, float32, of int8 values; none otherwise.
    """

    spec: FeatureSpec
    values: Tensor
    present: Tensor
    mean: Tensor = field(default=None)  # type: ignore[assignment]
    scale: Tensor | None = None

    def __post_init__(self) -> None:
        name = f"{self.spec.modality} features"
        if self.values.dim() != 2 or self.values.size(1) != self.spec.dim:
            raise InputError(f"{name} must have shape [num_nodes, {self.spec.dim}], got {list(self.values.shape)}")
        if not self.values.is_floating_point() and self.values.dtype != torch.int8:
            raise InputError(f"{name} must be floating point or int8 with a scale, got {self.values.dtype}")
        if self.present.shape != self.values.shape[:1] or self.present.dtype != torch.bool:
            raise InputError(
                f"{name}: present must be bool [{self.values.size(0)}], got {self.present.dtype} {list(self.present.shape)}"
            )
        self._check_scale(name)
        if self.mean is None:
            object.__setattr__(self, "mean", self._present_mean())
        if self.mean.shape != (self.spec.dim,):
            raise InputError(f"{name}: mean must have shape [{self.spec.dim}], got {list(self.mean.shape)}")

    def _check_scale(self, name: str) -> None:
        if (self.values.dtype == torch.int8) != (self.scale is not None):
            raise InputError(f"{name}: int8 values and a scale go together, got {self.values.dtype} and {self.scale}")
        if self.scale is not None and (self.scale.shape != self.present.shape or self.scale.dtype != torch.float32):
            raise InputError(
                f"{name}: scale must be float32 [{self.num_nodes}], got {self.scale.dtype} {list(self.scale.shape)}"
            )

    def _present_mean(self) -> Tensor:
        if not bool(self.present.any()):
            return torch.zeros(self.spec.dim, device=self.values.device)
        return self.rows(self.present).float().mean(dim=0)

    @property
    def num_nodes(self) -> int:
        """Number of rows."""
        return self.values.size(0)

    @property
    def dtype(self) -> torch.dtype:
        """Type of what `rows` gives."""
        return self.values.dtype if self.scale is None else torch.float32

    def rows(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Features at these positions, or where a mask is true, `[n, dim]`, floating point.

        The one place where int8 values become numbers. Only the rows that are asked for are read, and they are
        multiplied on the device of the features: `features.take(index).to(device).rows()` moves bytes.
        """
        values = self.values[index]
        return values if self.scale is None else values.float() * self.scale[index].unsqueeze(1)

    def check_finite(self, where: str) -> None:
        """Refuse NaN and infinite values in present rows.

        Raises:
            InputError: Names the first bad row.
        """
        # Bytes are always finite, so the values need not be read if there is a scale.
        content = self.values if self.scale is None else self.scale.unsqueeze(1)
        bad, step = [], max(1, CHECKED_AT_ONCE // content.size(1))
        for start in range(0, self.num_nodes, step):  # in chunks: the values may be a file larger than the memory
            rows = slice(start, start + step)
            low, high = content[rows].aminmax()  # NaN if there is one; many times faster than `isfinite`
            if math.isfinite(low.item()) and math.isfinite(high.item()):
                continue
            wrong = ~torch.isfinite(content[rows]).all(dim=1) & self.present[rows]
            bad += (torch.nonzero(wrong).flatten() + start).tolist()
        if bad:
            raise InputError(
                f"{where}: {self.spec.modality} features of {len(bad)} nodes hold NaN or infinity, first at row {bad[0]}"
            )

    def centred(self) -> Tensor:
        """Centred unit-norm features of the present nodes, `[num_present, dim]`, float32.

        Domains differ in offset and scale; both are removed here, once, for inputs and for targets.
        """
        values = self.rows(self.present).float() - self.mean.float()
        return torch.nn.functional.normalize(values, dim=1)

    def take(self, index: Tensor) -> ModalityFeatures:
        """Rows at these positions; the mean of the whole graph is kept."""
        scale = None if self.scale is None else self.scale[index]
        return replace(self, values=self.values[index], present=self.present[index], scale=scale)

    def to(self, device: torch.device | str) -> ModalityFeatures:
        """Copy to a device."""
        scale = None if self.scale is None else self.scale.to(device)
        values, present, mean = (tensor.to(device) for tensor in (self.values, self.present, self.mean))
        return replace(self, values=values, present=present, mean=mean, scale=scale)
