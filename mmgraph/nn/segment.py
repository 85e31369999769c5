"""Reductions over the in-edges of each target."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Literal

import torch
from torch import Tensor


@cache
def has_torch_scatter(device: str = "cpu") -> bool:
    """Whether the optional package torch-scatter (extra `scatter`) is installed, and was built for such devices.

    Built on a machine without CUDA's compiler, it refuses tensors on a GPU.

    Args:
        device: Type of the device.
    """
    if importlib.util.find_spec("torch_scatter") is None:
        return False
    if device == "cpu":
        return True
    import torch_scatter  # noqa: F401  (it registers the operators)

    return bool(torch.ops.torch_scatter.cuda_version() != -1)


def segment_reduce(values: Tensor, indptr: Tensor, reduce: Literal["sum", "max"]) -> Tensor:
    """Reduce values whose segments are adjacent, by torch-scatter if it is there for the device and else by torch.

    Both give the same results and both have gradients. Empty segments give 0 (sum) or the lowest finite number (max).

    Args:
        values: `[num_edges, ...]`, sorted by segment.
        indptr: `[num_segments + 1]`: where each segment starts and the last one ends.
        reduce: Kind of reduction.
    """
    if has_torch_scatter(values.device.type):
        import torch_scatter

        out: Tensor = torch_scatter.segment_csr(values, indptr, reduce=reduce)
        if reduce == "max":  # torch-scatter gives 0 for empty segments
            empty = (indptr.diff() == 0).view(-1, *[1] * (values.dim() - 1))
            out = out.masked_fill(empty, torch.finfo(values.dtype).min)
        return out
    initial = 0 if reduce == "sum" else torch.finfo(values.dtype).min
    return torch.segment_reduce(values, reduce, offsets=indptr, axis=0, initial=initial)


def segment_softmax(scores: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    """Softmax within each segment, in at least float32.

    Args:
        scores: `[num_edges, ...]`, sorted by segment.
        indptr: `[num_segments + 1]`.
        index: `[num_edges]`: segment of each row.
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    # The shift cancels out of the softmax, so it needs no gradient.
    top = segment_reduce(scores.detach(), indptr, "max")
    share = (scores - top.index_select(0, index)).exp()
    return share / segment_reduce(share, indptr, "sum").index_select(0, index)
