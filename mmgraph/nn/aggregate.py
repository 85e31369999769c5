"""Weighted sums of messages without a tensor of `[num_edges, dim]`.

On the CPU these are products with a sparse matrix in both directions; the gradient of the weights is a product of two
dense matrices sampled at the edges. Each row of a result is summed by one thread in a fixed order, so results are equal
bit for bit from run to run. Other devices gather and scatter with plain torch operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.segment import segment_reduce, segment_softmax
from mmgraph.sparse import csr_matrix


def use_sparse(values: Tensor) -> bool:
    """Whether products with sparse matrices are used for these values: on the CPU."""
    return values.device.type == "cpu"


def mean_of_sources(values: Tensor, graph: MessageGraph) -> Tensor:
    """Mean over the in-edges of each target; 0 without in-edges.

    Args:
        values: `[num_sources, dim]`.
        graph: The edges.
    """
    values = values if values.dtype == torch.float64 else values.float()
    weight = graph.degree.clamp(min=1).to(values.dtype).reciprocal().index_select(0, graph.target)
    return sum_of_sources(values, weight, graph)


def sum_of_sources(values: Tensor, weight: Tensor, graph: MessageGraph) -> Tensor:
    """Weighted sum over the in-edges of each target; no gradient for the weights.

    Args:
        values: `[num_sources, dim]`.
        weight: `[num_edges]`.
        graph: The edges.
    """
    if use_sparse(values):
        out: Tensor = _SparseSum.apply(values, weight, graph)
        return out
    return _gather_scatter(values, weight, graph)


def attend(values: Tensor, score_source: Tensor, score_target: Tensor, graph: MessageGraph, *, slope: float) -> Tensor:
    """Sum over the in-edges of each target, weighted by the softmax of `LeakyReLU(score_source + score_target)`.

    Args:
        values: `[num_sources, dim]`.
        score_source: `[num_sources]`.
        score_target: `[num_targets]`.
        graph: The edges.
        slope: Of the LeakyReLU, for negative scores.
    """
    if use_sparse(values):
        out: Tensor = _SparseAttention.apply(values, score_source, score_target, graph, slope)
        return out
    weight = _edge_softmax(score_source, score_target, graph, slope)[1]
    return _gather_scatter(values, weight, graph)


def _edge_softmax(
    score_source: Tensor, score_target: Tensor, graph: MessageGraph, slope: float
) -> tuple[Tensor, Tensor]:
    score = score_source.index_select(0, graph.source) + score_target.index_select(0, graph.target)
    weight = segment_softmax(torch.nn.functional.leaky_relu(score, slope), graph.indptr, graph.target)
    return score, weight


def _gather_scatter(values: Tensor, weight: Tensor, graph: MessageGraph) -> Tensor:
    messages = values.index_select(0, graph.source) * weight.unsqueeze(1)
    return messages.new_zeros(graph.num_targets, values.size(1)).index_add(0, graph.target, messages)


class _SparseSum(torch.autograd.Function):
    """`out[i] = sum over edges (j, i) of weight * values[j]`, no gradient for the weights."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, graph: MessageGraph) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(weight)
        return _multiply(graph.indptr, graph.source, weight, values, graph.num_sources)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _multiply_transposed(ctx.graph, weight, grad.contiguous()), None, None


class _SparseAttention(torch.autograd.Function):
    """`attend` with the gradient written out; keeps two numbers per edge and nothing of `[num_edges, dim]`."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, score_source: Tensor, score_target: Tensor, graph: MessageGraph, slope: float
    ) -> Tensor:
        score, weight = _edge_softmax(score_source, score_target, graph, slope)
        ctx.graph, ctx.slope = graph, slope
        ctx.save_for_backward(values, score, weight)
        return _multiply(graph.indptr, graph.source, weight, values, graph.num_sources)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        values, score, weight = ctx.saved_tensors
        graph: MessageGraph = ctx.graph
        grad = grad.contiguous()
        grad_values = _multiply_transposed(graph, weight, grad)
        # d out / d weight at an edge is the product of the rows at its ends.
        grad_weight = _sampled_product(graph, weight, grad, values)
        grad_score = weight * grad_weight
        # Softmax: w * (g - sum over the segment of w * g).
        grad_score -= weight * segment_reduce(grad_score, graph.indptr, "sum").index_select(0, graph.target)
        grad_score = torch.where(score > 0, grad_score, grad_score * ctx.slope)
        indptr, _, position = graph.by_source
        grad_source = segment_reduce(grad_score.index_select(0, position), indptr, "sum")
        return grad_values, grad_source, segment_reduce(grad_score, graph.indptr, "sum"), None, None


def _multiply(indptr: Tensor, column: Tensor, weight: Tensor, dense: Tensor, num_columns: int) -> Tensor:
    if not weight.numel() or not dense.size(1):
        return dense.new_zeros(indptr.numel() - 1, dense.size(1))
    matrix = _sparse(indptr, column, weight, num_columns)
    out: Tensor = torch.sparse.mm(matrix, dense, "sum")
    return out


def _multiply_transposed(graph: MessageGraph, weight: Tensor, dense: Tensor) -> Tensor:
    indptr, target, position = graph.by_source
    return _multiply(indptr, target, weight.index_select(0, position), dense, graph.num_targets)


def _sampled_product(graph: MessageGraph, weight: Tensor, targets: Tensor, sources: Tensor) -> Tensor:
    """At each edge, the product of its target's row and its source's row, `[num_edges]`."""
    if not weight.numel():
        return torch.zeros_like(weight)
    if graph.num_edges > graph.num_targets * graph.num_sources:
        # So many parallel edges that all pairs are fewer; torch's sampled product refuses this case.
        return (targets @ sources.t())[graph.target, graph.source]
    matrix = _sparse(graph.indptr, graph.source, torch.zeros_like(weight), graph.num_sources)
    out: Tensor = torch.sparse.sampled_addmm(matrix, targets, sources.t()).values()
    return out


def _sparse(indptr: Tensor, column: Tensor, weight: Tensor, num_columns: int) -> Tensor:
    return csr_matrix(indptr, column, weight, (indptr.numel() - 1, num_columns))
