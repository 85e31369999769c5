"""The feature files of MMRec: one matrix for each modality, one row for each item."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.formats.mmrec.contents import MISSED_IMAGES, Absent, read_matrix, read_missed
from mmgraph.formats.zero_rows import present_rows

MODALITIES = ("image", "text")


def read_features(
    folder: Path, name: str, num_users: int, num_items: int, encoders: Mapping[str, str], absent: Absent
) -> tuple[dict[str, ModalityFeatures], list[str]]:
    """Features by modality, and notes on who lacks them.

    Args:
        folder: The folder.
        name: Encoder of a modality that `encoders` does not name.
        num_users: How many nodes come before the items.
        num_items: How many rows the files must have.
        encoders: Encoder by modality.
        absent: Which rows stand for items that lack the modality.

    Raises:
        InputError: If a file cannot be read, or has another number of rows.
    """
    features: dict[str, ModalityFeatures] = {}
    notes = []
    for modality in MODALITIES:
        path = folder / f"{modality}_feat.npy"
        if not path.is_file():
            notes.append(f"there is no {path.name}: items have no {modality}")
            continue
        matrix = torch.from_numpy(read_matrix(path, num_items))
        here = present_rows(matrix, "none" if absent == "none" else "zero")
        why = [f"{int((~here).sum()):,} rows of zeros"]
        missed = folder / MISSED_IMAGES
        if modality == "image" and missed.is_file():
            listed = torch.from_numpy(read_missed(missed, num_items))
            here &= ~listed
            why.append(f"{int(listed.sum()):,} in {missed.name}")
        elif absent == "mean":
            filled = rows_of_the_mean(matrix, here)
            here &= ~filled
            why.append(f"{int(filled.sum()):,} rows of the mean")
        elif absent == "zero" and (filled := rows_of_the_mean(matrix, here)).any():
            notes.append(
                f"{path.name}: {int(filled.sum()):,} rows are the mean of all, as if filled in; absent='mean' says that "
                f"these items lack {modality}"
            )
        if lacking := int((~here).sum()):
            notes.append(f"{path.name}: {lacking:,} of {num_items:,} items lack {modality} ({', '.join(why)})")
        values = matrix.new_zeros(num_users + num_items, matrix.size(1))
        values[num_users:] = matrix
        present = torch.cat([torch.zeros(num_users, dtype=torch.bool), here])
        spec = FeatureSpec(modality, encoders.get(modality, name), matrix.size(1))
        features[modality] = ModalityFeatures(spec, values, present)
    return features, notes


def rows_of_the_mean(matrix: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
    """Which present rows are the mean of all of them, `[num_rows]`, bool; adding such rows does not change the mean."""
    rows = matrix[here].double()
    filled = torch.zeros_like(here)
    if len(rows) > 1:
        mean, spread = rows.mean(dim=0), rows.std(dim=0).amax()
        filled[here] = ((rows - mean).abs().amax(dim=1) <= 1e-5 * spread) & (spread > 0)
    return filled
