from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError

SPEC = FeatureSpec("text", "minilm", 3)


def make(values: Any, present: Any, **other: Any) -> ModalityFeatures:
    return ModalityFeatures(SPEC, torch.tensor(values), torch.tensor(present), **other)


@pytest.mark.parametrize("encoder", ["bge-small-en-v1.5", "openclip:ViT-B-32@laion", "hf:a/b", "ä"])
def test_key_is_valid_in_a_module_dict_and_distinct(encoder: str) -> None:
    key = FeatureSpec("text", encoder, 8).key
    torch.nn.ModuleDict({key: torch.nn.Identity()})
    assert key != FeatureSpec("text", encoder, 9).key
    assert key != FeatureSpec("image", encoder, 8).key
    assert key != FeatureSpec("text", encoder.replace(".", "-").replace(":", "-").replace("/", "-") + "x", 8).key


def test_keys_of_similar_encoders_differ() -> None:
    assert len({FeatureSpec("text", encoder, 1).key for encoder in ("a.b", "a:b", "a/b", "a-b", "a_b", "ab")}) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "e", 1), "a feature space needs a modality and an encoder, got '' and 'e'"),
        (("text", "e", 0), "feature space text/e: dim must be at least 1, got 0"),
    ],
)
def test_bad_specs(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        FeatureSpec(*arguments)


@pytest.mark.parametrize(
    ("values", "present", "message"),
    [
        (torch.zeros(2, 4), torch.ones(2, dtype=torch.bool), "must have shape [num_nodes, 3], got [2, 4]"),
        (torch.zeros(2, 3), torch.ones(3, dtype=torch.bool), "present must be bool [2], got torch.bool [3]"),
        (torch.zeros(2, 3), torch.ones(2), "present must be bool [2], got torch.float32 [2]"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, dtype=torch.bool), "must be floating point"),
    ],
)
def test_bad_shapes(values: torch.Tensor, present: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        ModalityFeatures(SPEC, values, present)


def test_mean_and_centring_ignore_absent_rows() -> None:
    features = make([[1.0, 0, 0], [math.nan] * 3, [3.0, 4, 0]], [True, False, True])
    assert features.mean.tolist() == [2, 2, 0]
    expected = torch.tensor([[-1.0, -2, 0], [1.0, 2, 0]]) / math.sqrt(5)
    torch.testing.assert_close(features.centred(), expected)


def test_parts_keep_the_mean_of_the_whole() -> None:
    features = make([[1.0, 0, 0], [2.0, 0, 0], [6.0, 0, 0]], [True, True, True])
    part = features.take(torch.tensor([2, 0]))
    assert part.mean.tolist() == [3, 0, 0]
    assert part.values[:, 0].tolist() == [6, 1]


def test_no_present_row_has_a_finite_mean() -> None:
    features = make([[math.nan] * 3], [False])
    assert features.mean.tolist() == [0, 0, 0]
    assert features.centred().shape == (0, 3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_in_present_rows_are_found(bad: float) -> None:
    features = make([[0.0, 0, 0], [bad, 0, 0], [bad, 0, 0]], [True, False, True])
    with pytest.raises(InputError, match=r"^here: text features of 1 nodes hold NaN or infinity, first at row 2$"):
        features.check_finite("here")


@pytest.mark.parametrize("rows", [[0], [3], [4, 9], [1, 2, 9]])
def test_bad_rows_are_found_in_every_chunk(monkeypatch: pytest.MonkeyPatch, rows: list[int]) -> None:
    monkeypatch.setattr("mmgraph.data.features.CHECKED_AT_ONCE", 6)
    values, present = torch.zeros(10, 2), torch.ones(10, dtype=torch.bool)
    values[rows, 1] = torch.nan
    values[5] = torch.inf
    present[5] = False
    features = ModalityFeatures(FeatureSpec("text", "x", 2), values, present, torch.zeros(2))
    with pytest.raises(InputError, match=rf"^g: text features of {len(rows)} nodes hold .* first at row {rows[0]}$"):
        features.check_finite("g")
