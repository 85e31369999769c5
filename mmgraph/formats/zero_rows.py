"""Formats without a presence mask: a row of zeros stands for a node that lacks the modality."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, first_few, unknown_choice

Absent = Literal["zero", "none"]
"""Which rows count as absent: those that are all zero, or none."""

ROWS_AT_ONCE = 2**14
"""Rows that are looked at in one go: the values may be a file that is larger than the memory."""


def present_rows(values: Tensor, absent: Absent) -> Tensor:
    """Which nodes have the modality, `[num_rows]`, bool.

    Args:
        values: `[num_rows, dim]`.
        absent: Which rows count as absent.

    Raises:
        InputError: If `absent` is unknown.
    """
    if absent not in ("zero", "none"):
        raise unknown_choice("value of absent", absent, ("zero", "none"))
    if absent == "none":
        return torch.ones(values.size(0), dtype=torch.bool)
    # NaN is not equal to zero, so a row of NaN stays present and is refused as such.
    return torch.cat([(part != 0).any(dim=1) for part in torch.split(values, ROWS_AT_ONCE)])


def with_zero_rows(where: str, features: ModalityFeatures, ids: NodeIds) -> Tensor:
    """Values with zeros wherever a node lacks the modality, `[num_nodes, dim]`, whatever these rows hold.

    Args:
        where: Named in the error.
        features: Features of the nodes.
        ids: Ids of the same nodes.

    Raises:
        InputError: If a node has the modality and its features are all zero: it would be read as absent.
    """
    values = torch.zeros(features.values.shape, dtype=features.dtype)
    values[features.present.cpu()] = features.rows(features.present).cpu()
    lost = torch.nonzero(features.present.cpu() & ~present_rows(values, "zero")).flatten().numpy()
    if len(lost):
        raise InputError(
            f"{where}: {len(lost):,} nodes have {features.spec.modality} features that are all zero, which this format "
            f"reads as absent: {first_few(ids.values[lost[:6]].tolist())}"
        )
    return values
