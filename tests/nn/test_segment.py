from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mmgraph.nn import segment

INDPTR = torch.tensor([0, 3, 3, 4, 8, 8])


def literal(values: Tensor, reduce: str) -> Tensor:
    rows = []
    for start, stop in itertools.pairwise(INDPTR):
        part = values[start:stop]
        if reduce == "sum":
            rows.append(part.sum(dim=0))
        else:
            empty = torch.full(values.shape[1:], torch.finfo(values.dtype).min, dtype=values.dtype)
            rows.append(part.max(dim=0).values if len(part) else empty)
    return torch.stack(rows)


@pytest.fixture(params=["torch", "torch_scatter"])
def _backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both paths; torch-scatter is a stand-in with its documented behaviour where it is not installed."""
    if request.param == "torch":
        monkeypatch.setattr(segment, "has_torch_scatter", lambda device: False)
    else:
        monkeypatch.setattr(segment, "has_torch_scatter", lambda device: True)
        if not segment.importlib.util.find_spec("torch_scatter"):
            fake = types.ModuleType("torch_scatter")

            def segment_csr(values: Tensor, indptr: Tensor, reduce: str) -> Tensor:
                parts = [values[a:b] for a, b in itertools.pairwise(indptr)]
                if reduce == "sum":
                    return torch.stack([part.sum(dim=0) for part in parts])
                return torch.stack(
                    [part.amax(dim=0) if len(part) else values.new_zeros(values.shape[1:]) for part in parts]
                )

            fake.segment_csr = segment_csr  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, "torch_scatter", fake)


@pytest.mark.usefixtures("_backend")
@pytest.mark.parametrize("shape", [(8,), (8, 3)])
@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_equals_definition(shape: tuple[int, ...], reduce: str) -> None:
    values = -torch.rand(shape)
    torch.testing.assert_close(segment.segment_reduce(values, INDPTR, reduce), literal(values, reduce))


@pytest.mark.usefixtures("_backend")
def test_softmax_equals_definition_and_has_its_gradient() -> None:
    scores = torch.randn(8, dtype=torch.float64, requires_grad=True)
    index = torch.repeat_interleave(torch.arange(5), INDPTR.diff())
    expected = torch.cat([scores[a:b].softmax(dim=0) for a, b in itertools.pairwise(INDPTR)])
    torch.testing.assert_close(segment.segment_softmax(scores, INDPTR, index), expected)
    assert torch.autograd.gradcheck(lambda s: segment.segment_softmax(s, INDPTR, index), (scores,))


def test_softmax_of_large_and_half_precision_scores() -> None:
    index = torch.repeat_interleave(torch.arange(5), INDPTR.diff())
    share = segment.segment_softmax(torch.full((8,), 1e4), INDPTR, index)
    torch.testing.assert_close(share, (1 / INDPTR.diff()[index]).float())
    assert segment.segment_softmax(torch.zeros(8, dtype=torch.bfloat16), INDPTR, index).dtype == torch.float32


@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_no_edges(reduce: str) -> None:
    out = segment.segment_reduce(torch.empty(0), torch.zeros(4, dtype=torch.int64), reduce)
    assert torch.equal(out, torch.full((3,), 0.0 if reduce == "sum" else torch.finfo(torch.float32).min))
