from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.function import FunctionEncoder
from mmgraph.errors import InputError

SPEC = FeatureSpec("audio", "loudness", 2)


@pytest.mark.parametrize(
    "result", [[[1, 2], [3, 4]], np.array([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 2], [3, 4]], requires_grad=True)]
)
def test_any_kind_of_result_becomes_float32(result: object) -> None:
    vectors = FunctionEncoder(lambda _: result, SPEC, version="1").encode([b"a", b"b"]).vectors
    assert torch.equal(vectors, torch.tensor([[1.0, 2], [3, 4]]))
    assert not vectors.requires_grad


def test_wrong_shape_is_told() -> None:
    encoder = FunctionEncoder(lambda items: torch.zeros(len(items), 3), SPEC, version="1")
    with pytest.raises(InputError, match=r"'loudness': the function must return \[2, 2\], got \[2, 3\]"):
        encoder.encode([b"a", b"b"])


def test_version_and_spec_make_the_fingerprint() -> None:
    def encoder(version: str, spec: FeatureSpec = SPEC) -> FunctionEncoder:
        return FunctionEncoder(lambda _: None, spec, version=version)

    assert encoder("1").fingerprint == encoder("1").fingerprint
    assert encoder("1").fingerprint != encoder("2").fingerprint
    assert encoder("1").fingerprint != encoder("1", FeatureSpec("audio", "loudness", 3)).fingerprint


def test_length_sorts() -> None:
    assert FunctionEncoder(len, SPEC, version="1", length=len).sort_key(b"abc") == 3
    assert FunctionEncoder(len, SPEC, version="1").sort_key(b"abc") == 0


def test_content_of_other_types_is_refused() -> None:
    with pytest.raises(InputError, match="expected a text, bytes or a path, got float"):
        FunctionEncoder(len, SPEC, version="1").content(1.5)
