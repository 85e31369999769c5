"""Features in fewer bytes: half precision, or bytes with one scale per row."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.errors import InputError, unknown_choice

FeatureType = Literal["float32", "float16", "int8"]
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16, "int8": torch.int8}
ROWS_AT_ONCE = 2**14
LARGEST = 127


def quantise_rows(values: Tensor, *, where: str = "features", first: int = 0) -> tuple[Tensor, Tensor]:
    """Round every row to multiples of its largest magnitude over 127 (symmetric, without an offset).

    An entry moves by at most half a scale. A row of zeros has scale zero.

    Args:
        values: `[num_rows, dim]`, floating point.
        where: Named in the error.
        first: Number of the first row in the error.

    Returns:
        Bytes `[num_rows, dim]`, int8 in -127..127, and scales `[num_rows]`, float32: `values` are about their product.

    Raises:
        InputError: If a row holds NaN or infinity.
    """
    values = values.float()
    largest = values.abs().amax(dim=1)
    if not bool((finite := torch.isfinite(largest)).all()):
        row = first + int(torch.nonzero(~finite)[0])
        raise InputError(f"{where}: expected finite values to round to int8, got NaN or infinity, first at row {row}")
    scale = largest / LARGEST
    steps = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (values / steps[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


def with_dtype(features: ModalityFeatures, dtype: FeatureType) -> ModalityFeatures:
    """The same features in another type, on the same device; the mean stays that of the features given.

    Rows of absent nodes become zeros. Beyond the result, memory holds one block of rows.

    Raises:
        InputError: If the type is unknown, or a present row holds NaN, infinity, or what float16 cannot hold.
    """
    if dtype not in DTYPES:
        raise unknown_choice("dtype of features", dtype, DTYPES)
    if features.values.dtype == DTYPES[dtype]:
        return features
    where = f"{features.spec.modality} features"
    values = torch.empty_like(features.values, dtype=DTYPES[dtype])
    scale = torch.empty(features.num_nodes, device=values.device) if dtype == "int8" else None
    for start in range(0, features.num_nodes, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        block = features.rows(rows)
        block = torch.where(features.present[rows, None], block, torch.zeros_like(block))
        if scale is not None:
            values[rows], scale[rows] = quantise_rows(block, where=where, first=start)
        else:
            values[rows] = block.to(values.dtype)
            bad = ~torch.isfinite(values[rows]).all(dim=1)
            if bool(bad.any()):
                raise InputError(f"{where}: row {start + int(torch.nonzero(bad)[0])} holds a value that {dtype} cannot")
    return replace(features, values=values, scale=scale)
