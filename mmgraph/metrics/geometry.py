"""Shape of a set of vectors: gap between modalities, alignment, uniformity, effective rank. Memory is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from mmgraph.errors import InputError, first_few

ROWS_PER_CHUNK = 2048
"""Rows that are looked at together; uniformity holds this number squared of cosines."""


def modality_gap(first: Tensor, second: Tensor) -> float:
    """Distance of the centres of two modalities on the unit sphere, `|mean(x) - mean(y)|`, 0 to 2 [1].

    Args:
        first: `[num_first, dim]`: vectors of one modality, scaled to length 1 here.
        second: `[num_second, dim]`: vectors of another one; rows need not belong together.

    Raises:
        InputError: If there are none, widths differ, or a vector is zero, NaN or infinite.

    References:
        [1] Liang et al., 2022, Mind the Gap: Understanding the Modality Gap in Multi-modal Contrastive Representation
        Learning, arXiv:2203.02053, section 4.
    """
    _check_widths(first, second)
    centres = []
    for name, vectors in (("first", first), ("second", second)):
        total = torch.zeros(vectors.size(1), dtype=torch.float64, device=vectors.device)
        for chunk in _unit_chunks(vectors, name):
            total += chunk.sum(dim=0)
        centres.append(total / len(vectors))
    return float(torch.linalg.vector_norm(centres[0] - centres[1]))


def alignment(first: Tensor, second: Tensor, *, power: float = 2.0) -> float:
    """Mean distance of the unit vectors of pairs that belong together, to a power; 0 is best [1], equation 1.

    Args:
        first: `[num_pairs, dim]`.
        second: `[num_pairs, dim]`: row i belongs to row i of `first`; join by id before.
        power: `alpha` of the paper.

    Raises:
        InputError: If there are no pairs, shapes differ, or a vector is zero, NaN or infinite.

    References:
        [1] Wang and Isola, 2020, Understanding Contrastive Representation Learning through Alignment and Uniformity on
        the Hypersphere, arXiv:2005.10242.
    """
    _check_widths(first, second)
    if first.shape != second.shape:
        raise InputError(f"alignment needs pairs: expected {list(first.shape)} twice, got {list(second.shape)}")
    total = 0.0
    for a, b in zip(_unit_chunks(first, "first"), _unit_chunks(second, "second"), strict=True):
        total += float(torch.linalg.vector_norm(a - b, dim=1).pow(power).sum())
    return total / len(first)


def uniformity(vectors: Tensor, *, temperature: float = 2.0) -> float:
    """Log of the mean Gaussian potential of all pairs, `log mean exp(-t |x - y|^2)`; 0 is collapse, low is spread [1].

    All pairs of different rows count, each once, as in the authors' code (equation 2 has the expectation over two
    independent draws). The work grows with the square of the number of rows (4 s for 20,000 x 384 on one core, so
    25 times that for 100,000; a random sample of rows will do), the memory does not.

    Args:
        vectors: `[num_vectors, dim]`, at least two.
        temperature: `t` of the paper.

    Raises:
        InputError: If there are fewer than two vectors, or one is zero, NaN or infinite.

    References:
        [1] Wang and Isola, 2020, arXiv:2005.10242.
    """
    _check_matrix(vectors)
    if len(vectors) < 2:
        raise InputError("uniformity needs at least two vectors, got 1")
    parts = []
    for number, rows in enumerate(_unit_chunks(vectors, "vectors")):
        start = number * ROWS_PER_CHUNK
        for other, columns in enumerate(_unit_chunks(vectors[start:], "vectors")):
            # |x - y|^2 = 2 - 2 cos on the sphere.
            exponent = (rows.float() @ columns.float().t()).sub_(1).mul_(2 * temperature)
            if other == 0:
                exponent = exponent[torch.ones_like(exponent, dtype=torch.bool).triu_(1)]
            if exponent.numel():
                parts.append(exponent.flatten().logsumexp(dim=0).double())
    count = len(vectors) * (len(vectors) - 1) / 2
    return float(torch.stack(parts).logsumexp(dim=0)) - math.log(count)


def effective_rank(vectors: Tensor, *, centre: bool = False) -> float:
    """Exponential of the entropy of the normalised singular values: how many dimensions are in use, 1 to `dim` [1].

    Vectors are taken as they are, neither scaled nor, by default, centred; RankMe [2] is the same number. Singular
    values come from the Gram matrix in float64, so those below about 1e-8 of the largest are noise of that size.

    Args:
        vectors: `[num_vectors, dim]`.
        centre: Subtract the mean first, so that one common direction does not count.

    Raises:
        InputError: If there are none, one is NaN or infinite, or all are zero (after centring: equal).

    References:
        [1] Roy and Vetterli, 2007, The effective rank: a measure of effective dimensionality, EUSIPCO.
        [2] Garrido et al., 2023, RankMe, arXiv:2210.02885.
    """
    _check_matrix(vectors)
    dim = vectors.size(1)
    mean = vectors.mean(dim=0, dtype=torch.float64) if centre else torch.zeros(dim, device=vectors.device)
    gram = torch.zeros(dim, dim, dtype=torch.float64, device=vectors.device)
    energy = 0.0
    for start in range(0, len(vectors), ROWS_PER_CHUNK):
        chunk = vectors[start : start + ROWS_PER_CHUNK].double()
        energy += float(chunk.square().sum())
        chunk = chunk - mean
        gram.addmm_(chunk.t(), chunk)
    if not bool(torch.isfinite(gram).all()):
        raise InputError("effective rank: vectors hold NaN, infinity or values whose squares overflow")
    # Rounding of the mean leaves about 1e-32 of the squared length of equal rows.
    if float(gram.trace()) <= 1e-24 * energy:
        raise InputError(f"effective rank is undefined: all vectors are {'equal' if centre else 'zero'}")
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    share = singular / singular.sum()
    return float(torch.special.entr(share).sum().exp())


def _unit_chunks(vectors: Tensor, name: str) -> Iterator[Tensor]:
    """Unit vectors `[<= ROWS_PER_CHUNK, dim]` in float64, so that nearly equal vectors keep their distance."""
    for start in range(0, len(vectors), ROWS_PER_CHUNK):
        chunk = vectors[start : start + ROWS_PER_CHUNK].double()
        norm = torch.linalg.vector_norm(chunk, dim=1, keepdim=True)
        bad = torch.nonzero(~(torch.isfinite(norm) & (norm > 0)).flatten()).flatten() + start
        if bad.numel():
            raise InputError(f"{name}: {bad.numel():,} rows are zero, NaN or infinite: {first_few(bad.tolist())}")
        yield chunk / norm


def _check_matrix(vectors: Tensor) -> None:
    if vectors.dim() != 2 or vectors.numel() == 0:
        raise InputError(f"vectors must have shape [num_vectors, dim] and not be empty, got {list(vectors.shape)}")


def _check_widths(first: Tensor, second: Tensor) -> None:
    _check_matrix(first)
    _check_matrix(second)
    if first.size(1) != second.size(1):
        raise InputError(f"vectors must have one width, got {first.size(1)} and {second.size(1)}")
