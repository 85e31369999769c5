"""Queries in the space of the nodes: a text, an image or both become a node without neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, first_few
from mmgraph.inference.embed import evaluating
from mmgraph.inference.levels import Level, combine_levels
from mmgraph.nn.build import Encoder

if TYPE_CHECKING:
    from mmgraph.encoders.base import ModalityEncoder

BATCH_SIZE = 64
"""Items that go through a frozen encoder together."""


class QueryEncoder:
    """Embeds free content as if it were a node of the graph that has no edges.

    The content passes through the frozen encoder of its modality, is centred by the mean of the graph, and then takes
    the way of every node: projection, mixture of experts, and message passing without messages.

    Args:
        encoder: The model that embedded the nodes.
        graph: The graph whose nodes are searched; only its feature spaces and means are kept.
        encoders: Frozen encoders by modality; those that encoded the graph.
        level: As given to `embed` for the nodes.

    Raises:
        InputError: If an encoder makes other features than the graph has.

    Example:
        >>> query = QueryEncoder(model, graph, {"text": load_encoder_by_name("minilm")})  # doctest: +SKIP
        >>> embed(model, graph).search(query.encode(["red running shoes"]), k=10)  # doctest: +SKIP
    """

    def __init__(
        self,
        encoder: Encoder,
        graph: MultimodalGraph,
        encoders: Mapping[str, ModalityEncoder],
        *,
        level: Level = "last",
    ) -> None:
        self.encoder = encoder
        self.encoders = dict(encoders)
        self.level = level
        self.graph_name = graph.name
        # One row, never read: queries of any number take their modalities from here.
        self._features = {name: item.take(torch.zeros(1, dtype=torch.int64)) for name, item in graph.features.items()}
        for modality, content_encoder in self.encoders.items():
            if modality in self._features and content_encoder.spec != self._features[modality].spec:
                raise InputError(
                    f"graph {graph.name!r} has {modality} features {self._features[modality].spec.key!r}, "
                    f"but queries would be encoded as {content_encoder.spec.key!r}"
                )

    def encode(
        self, text: Sequence[str | None] | None = None, image: Sequence[Path | str | None] | None = None
    ) -> Tensor:
        """Embed queries.

        Args:
            text: One text per query, `None` for a query without.
            image: One path of an image per query, `None` for a query without. Given together with `text`, query `i`
                has both.

        Returns:
            `[num_queries, dim]`, float32, on the device of the model.

        Raises:
            InputError: If there is no query, the lists differ in length, a query is empty, an image cannot be read,
                or the graph or the encoders lack the modality.
        """
        images = None if image is None else [None if path is None else Path(path) for path in image]
        given: dict[str, Sequence[Any]] = {
            name: items for name, items in (("text", text), ("image", images)) if items is not None
        }
        return self.embed(self.features(given))

    def embed(self, features: Mapping[str, ModalityFeatures]) -> Tensor:
        """Embed what `features` gave.

        Returns:
            `[num_queries, dim]`, float32, on the device of the model.
        """
        count = next(iter(features.values())).num_nodes
        device = self.encoder.device
        with evaluating(self.encoder) as model, torch.no_grad():
            content = {name: item.to(device) for name, item in features.items()}
            output = model.encode_content(content, count, graph_name=self.graph_name)
            return combine_levels(output.levels, self.level, content)

    def features(self, given: Mapping[str, Sequence[Any]]) -> dict[str, ModalityFeatures]:
        """Frozen features of queries, on the CPU, with the modalities that the graph has.

        Args:
            given: Items by modality, as in `encode`.

        Raises:
            InputError: As `encode`.
        """
        features = self._empty(self._check(given))
        for modality, items in given.items():
            features[modality] = self._encode_modality(modality, items)
        return features

    def _check(self, given: Mapping[str, Sequence[Any]]) -> int:
        sizes = {modality: len(items) for modality, items in given.items()}
        if not sizes or not all(sizes.values()):
            raise InputError(f"query: expected at least one text or image, got {sizes or 'nothing'}")
        if len(set(sizes.values())) > 1:
            raise InputError(f"query: texts and images must be as many, got {sizes}")
        for modality in given:
            if modality not in self._features:
                raise InputError(
                    f"query: graph {self.graph_name!r} has no {modality} features; it has: "
                    f"{first_few(sorted(self._features)) or '(none)'}"
                )
            if modality not in self.encoders:
                raise InputError(
                    f"query: no encoder for {modality}; there are: {first_few(sorted(self.encoders)) or '(none)'}"
                )
        count = next(iter(sizes.values()))
        for i in range(count):
            content = [items[i] for items in given.values() if items[i] is not None]
            if not content or any(isinstance(item, str) and not item.strip() for item in content):
                raise InputError(f"query {i}: expected a text or an image, got {content or 'nothing'}")
        return count

    def _empty(self, count: int) -> dict[str, ModalityFeatures]:
        """All modalities of the graph, absent: the model must see which ones the graph has."""
        return {
            name: ModalityFeatures(
                item.spec, torch.zeros(count, item.spec.dim), torch.zeros(count, dtype=torch.bool), item.mean.cpu()
            )
            for name, item in self._features.items()
        }

    def _encode_modality(self, modality: str, items: Sequence[Any]) -> ModalityFeatures:
        encoder, spec = self.encoders[modality], self._features[modality].spec
        values = torch.zeros(len(items), spec.dim)
        present = torch.tensor([item is not None for item in items])
        # Batches of equal length, as when a graph is encoded.
        rows = sorted(torch.nonzero(present).flatten().tolist(), key=lambda i: encoder.sort_key(items[i]))
        for start in range(0, len(rows), BATCH_SIZE):
            batch = rows[start : start + BATCH_SIZE]
            encoded = encoder.encode([items[i] for i in batch])
            for number, reason in encoded.failed:
                row = batch[number]
                raise InputError(f"query {row}: {modality} {str(items[row])!r} cannot be read: {reason}")
            values[batch] = encoded.vectors.float().cpu()
        return ModalityFeatures(spec, values, present, self._features[modality].mean.cpu())
