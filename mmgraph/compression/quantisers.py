"""Codes of numbers: fewer bits, whole numbers, or one byte for several dimensions at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import require
from mmgraph.seeding import derive_seed

LEVELS = 127
"""Steps of int8 to each side; -128 is not used, so that codes are symmetric."""
CLIPS = tuple(1.0 - 0.05 * i for i in range(13))
"""Shares of the largest value that are tried as the last step of int8."""
ROWS_PER_CENTROID, ROUNDS = 100, 12
PRODUCT_BITS = 8
ROWS_AT_ONCE = 16_384


class Quantiser(ABC):
    """A code of vectors `[num_nodes, width]`, float32, as rows of a small type."""

    name: ClassVar[str]

    @abstractmethod
    def encode(self, vectors: Tensor) -> Tensor:
        """Codes `[num_nodes, bytes or numbers]` of vectors."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Vectors `[num_nodes, width]`, float32."""

    def inner(self, query: Tensor, codes: Tensor) -> Tensor:
        """Inner products `[num_queries, num_nodes]` of queries `[num_queries, width]` and decoded vectors."""
        return query @ self.decode(codes).t()

    def tensors(self) -> dict[str, Tensor]:
        """What was learnt, by name."""
        return {}

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild from `tensors`."""


class Float32(Quantiser):
    """Every bit."""

    name = "float32"
    dtype: ClassVar[torch.dtype] = torch.float32

    def encode(self, vectors: Tensor) -> Tensor:
        """The numbers in their type."""
        return vectors.to(self.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """The numbers as float32."""
        return codes.float()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Nothing was learnt."""
        del tensors
        return cls()


class Float16(Float32):
    """Half precision: 11 significant bits."""

    name = "float16"
    dtype = torch.float16


class Int8(Quantiser):
    """Whole numbers `-127 .. 127` times one step per dimension, symmetric around zero.

    Args:
        step: `[width]`, float32, positive.
    """

    name = "int8"

    def __init__(self, step: Tensor) -> None:
        self.step = step

    @classmethod
    def fit(cls, vectors: Tensor) -> Int8:
        """Choose the step of each dimension that leaves the smallest squared error, among shares of the largest value.

        A few large values would make all steps coarse: beyond the last step they are cut off instead (calibration by
        squared error, as in Nagel et al., 2021, arXiv:2106.08295, section 3.1).

        Args:
            vectors: `[num_nodes, width]`, float32.
        """
        largest = vectors.abs().amax(dim=0)
        largest = torch.where(largest > 0, largest, 1.0)  # a dimension of zeros has no step of its own
        steps = torch.tensor(CLIPS, device=largest.device).unsqueeze(1) * largest / LEVELS
        error = torch.zeros_like(steps, dtype=torch.float64)
        for rows in torch.split(vectors, ROWS_AT_ONCE):
            for number, step in enumerate(steps):
                tried = cls(step)
                error[number] += (tried.decode(tried.encode(rows)) - rows).square().sum(dim=0)
        return cls(steps.gather(0, error.argmin(dim=0, keepdim=True))[0])

    def encode(self, vectors: Tensor) -> Tensor:
        """int8 `[num_nodes, width]`: halves go to the even number, what is too large to the last step."""
        step = self.step.to(vectors.device)
        return (vectors / step).round_().clamp_(-LEVELS, LEVELS).to(torch.int8)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes times steps."""
        return codes.float() * self.step.to(codes.device)

    def inner(self, query: Tensor, codes: Tensor) -> Tensor:
        """As above; the steps are multiplied into the queries instead of into every row."""
        return (query * self.step.to(query.device)) @ codes.float().t()

    def tensors(self) -> dict[str, Tensor]:
        """`step`."""
        return {"step": self.step}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """From `step`."""
        return cls(tensors["step"])


class Product(Quantiser):
    """One byte for each group of neighbouring dimensions: the number of the nearest of up to 256 centroids.

    Args:
        centroids: `[groups, num_centroids, width / groups]`, float32.

    References:
        [1] Jégou, Douze and Schmid, 2011, Product Quantization for Nearest Neighbor Search, IEEE TPAMI 33(1).
    """

    name = "pq"

    def __init__(self, centroids: Tensor) -> None:
        self.centroids = centroids

    @classmethod
    def fit(cls, vectors: Tensor, groups: int, *, seed: int = 0) -> Product:
        """Learn the centroids by the k-means of faiss, with one thread, so that the same vectors give the same codes.

        Args:
            vectors: `[num_nodes, width]`, float32; `width` is a multiple of `groups`.
            groups: Number of groups.
            seed: Seed of the starts.

        Raises:
            MissingExtraError: If faiss is not installed.
        """
        faiss = require("faiss", extra="faiss")
        bits = min(PRODUCT_BITS, max(1, len(vectors).bit_length() - 1))
        learner = faiss.ProductQuantizer(vectors.size(1), groups, bits)
        learner.cp.min_points_per_centroid = 1  # small tables are no mistake
        learner.cp.max_points_per_centroid = ROWS_PER_CENTROID
        learner.cp.niter = ROUNDS
        learner.cp.seed = derive_seed(seed, "product codes", groups) % 2**31
        array = np.ascontiguousarray(vectors.numpy(force=True), dtype=np.float32)
        if len(array) < 2**bits:  # one node: faiss wants as many rows as centroids
            array = np.repeat(array, 2**bits, axis=0)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            learner.train(array)
        finally:
            faiss.omp_set_num_threads(threads)
        found = faiss.vector_to_array(learner.centroids).reshape(groups, 2**bits, -1)
        return cls(torch.from_numpy(found.copy()).to(vectors.device))

    def encode(self, vectors: Tensor) -> Tensor:
        """uint8 `[num_nodes, groups]`."""
        centroids = self.centroids.to(vectors.device)
        codes = torch.empty(len(vectors), len(centroids), dtype=torch.uint8, device=vectors.device)
        for group, part in enumerate(torch.split(vectors, centroids.size(2), dim=1)):
            # Nearest by |c|^2 - 2 x c: the length of x is the same for all.
            distance = centroids[group].square().sum(dim=1) - 2 * part @ centroids[group].t()
            codes[:, group] = distance.argmin(dim=1).to(torch.uint8)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The centroids side by side."""
        centroids = self.centroids.to(codes.device)
        parts = [centroids[group][codes[:, group].long()] for group in range(len(centroids))]
        return torch.cat(parts, dim=1)

    def inner(self, query: Tensor, codes: Tensor) -> Tensor:
        """As above, as sums of inner products with centroids, which are computed once per query [1, section 3.3]."""
        centroids = self.centroids.to(query.device)
        groups, count, size = centroids.shape
        products = torch.einsum("gcs,qgs->gcq", centroids, query.view(len(query), groups, size))
        place = codes.long() + count * torch.arange(groups, device=codes.device)
        return torch.nn.functional.embedding_bag(place, products.reshape(groups * count, -1), mode="sum").t()

    def tensors(self) -> dict[str, Tensor]:
        """`centroids`."""
        return {"centroids": self.centroids}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """From `centroids`."""
        return cls(tensors["centroids"])


QUANTISERS: dict[str, type[Quantiser]] = {
    "float32": Float32,
    "float16": Float16,
    "int8": Int8,
    "binary": Int8,
    "pq": Product,
}
"""What scores a vector of each code; `binary` looks for candidates by sign and scores them by int8."""
