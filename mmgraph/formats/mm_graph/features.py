"""The feature files of MM-Graph: one matrix, text first, then image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError, unknown_choice
from mmgraph.formats.choice import choose_one
from mmgraph.formats.mm_graph.contents import FEATURES, as_array
from mmgraph.formats.safe_pickle import load_pt
from mmgraph.formats.zero_rows import Absent, present_rows

MODALITIES = ("text", "image")


def choose_features(folder: Path, features: str | None) -> str | None:
    """Name of the feature file without its ending; `None` if there is none.

    Raises:
        InputError: If the name is unknown, or there are several and none is named.
    """
    found = sorted(path.name.removesuffix(FEATURES) for path in folder.glob(f"[!.]*{FEATURES}"))
    return choose_one(folder, features, found, kind=f"file *{FEATURES}", option="features")


def read_features(
    path: Path,
    encoder: str,
    *,
    widths: tuple[int, int] | None,
    encoders: Mapping[str, str] | None,
    absent: Absent,
) -> tuple[dict[str, ModalityFeatures], int]:
    """Features by modality, and the number of nodes.

    Args:
        path: The file.
        encoder: Name of the encoder, of both modalities.
        widths: Columns of text and of image; a modality of width 0 is not there. By default half each.
        encoders: Other names of encoders, by modality.
        absent: Which rows count as absent.

    Raises:
        InputError: If the file holds no matrix of floating point numbers, or the widths do not fit.
    """
    content = load_pt(path)
    matrix = content if isinstance(content, torch.Tensor) else torch.from_numpy(as_array(str(path), content))
    if matrix.dim() != 2 or not matrix.is_floating_point():
        raise InputError(
            f"{path}: expected floating point numbers [num_nodes, text + image], got {matrix.dtype} {list(matrix.shape)}"
        )
    total = matrix.size(1)
    if widths is None:
        if total % 2:
            raise InputError(f"{path}: {total} columns cannot be halved into text and image; pass widths=(text, image)")
        widths = (total // 2, total // 2)
    if len(widths) != 2 or min(widths) < 0 or sum(widths) != total:
        raise InputError(f"{path}: expected widths of text and image that add up to {total}, got {tuple(widths)}")
    unknown = sorted(set(encoders or {}) - set(MODALITIES))
    if unknown:
        raise unknown_choice("modality of encoders", unknown[0], MODALITIES)
    features = {}
    for modality, values in zip(MODALITIES, torch.split(matrix, list(widths), dim=1), strict=True):
        if values.size(1):
            spec = FeatureSpec(modality, (encoders or {}).get(modality, encoder), values.size(1))
            features[modality] = ModalityFeatures(spec, values, present_rows(values, absent))
    return features, matrix.size(0)
