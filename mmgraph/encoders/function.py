"""Any function as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.errors import InputError


class FunctionEncoder(ModalityEncoder):
    """Wrap a function from a list of items to vectors.

    Args:
        function: Takes a list of items, returns `[num_items, dim]`: a tensor, an array or nested lists.
        spec: The feature space of its vectors.
        version: Names the state of the function (weights, preprocessing). It is part of the cache key: change it
            whenever the function's results change.
        length: Length of an item, so that items of equal length share a batch.

    Example:
        >>> spec = FeatureSpec("text", "length", 1)
        >>> encoder = FunctionEncoder(lambda texts: [[len(text)] for text in texts], spec, version="1")
        >>> encoder.encode(["abc"]).vectors
        tensor([[3.]])
    """

    def __init__(
        self,
        function: Callable[[list[Any]], Any],
        spec: FeatureSpec,
        *,
        version: str,
        length: Callable[[Any], int] | None = None,
    ) -> None:
        super().__init__(spec, {"function": spec.encoder, "version": version, "dtype": "float32"})
        self._function = function
        self._length = length

    def sort_key(self, item: Any) -> int:
        """Length of the item."""
        return 0 if self._length is None else self._length(item)

    def encode(self, items: Sequence[Any]) -> EncodedItems:
        """Call the function.

        Raises:
            InputError: If it returns something of another shape.
        """
        if not items:
            return EncodedItems(torch.zeros(0, self.spec.dim))
        with torch.no_grad():
            vectors: Tensor = torch.as_tensor(self._function(list(items))).detach().float()
        if vectors.shape != (len(items), self.spec.dim):
            raise InputError(
                f"encoder {self.spec.encoder!r}: the function must return [{len(items)}, {self.spec.dim}], "
                f"got {list(vectors.shape)}"
            )
        return EncodedItems(vectors)
