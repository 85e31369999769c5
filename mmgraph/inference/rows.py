"""Units of work of an embedding: rows `start .. stop` of one level from the level below, the same in any process.

Each class holds what all ranges share and is called with one range. Nothing is changed by a call, so ranges may run in any
order, twice, or on another machine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.nn.blocks import GraphBlocks
from mmgraph.nn.encoder import GraphEncoder
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.sign import SignEncoder

Range = tuple[int, int]
"""First row, and the row after the last one."""


class ContentRows:
    """Rows of level 0 from the features of the same nodes, `[stop - start, dim]` on the device of the features.

    Args:
        encoder: The model, in evaluation mode.
        features: Features of all nodes by modality; may be empty.
        device: Where the result lies.
    """

    def __init__(self, encoder: GraphEncoder, features: dict[str, ModalityFeatures], device: torch.device) -> None:
        self.encoder, self.features, self.device = encoder, features, device

    @torch.no_grad()
    def __call__(self, span: Range) -> Tensor:
        """Compute one range."""
        start, stop = span
        rows = torch.arange(start, stop, device=self.device)
        features = {name: item.take(rows).to(self.encoder.device) for name, item in self.features.items()}
        return self.encoder.fuse(features, num_nodes=stop - start).x.to(self.device)


class LayerRows:
    """Rows of level `number + 1` from level `number`, `[stop - start, dim]` on the device of `x`.

    Args:
        encoder: The model, in evaluation mode.
        number: Index of the layer.
        indptr: `[num_nodes + 1]`: the edges into node `v` are `indptr[v] .. indptr[v + 1] - 1`.
        source: `[num_edges]`: where they come from; may be a mapped file.
        x: `[num_nodes, dim]`: level `number`; may be a mapped file.
    """

    def __init__(self, encoder: GraphEncoder, number: int, indptr: Tensor, source: Tensor, x: Tensor) -> None:
        self.encoder, self.number, self.indptr, self.source, self.x = encoder, number, indptr, source, x

    @torch.no_grad()
    def __call__(self, span: Range) -> Tensor:
        """Compute one range."""
        start, stop = span
        device, indptr = self.encoder.device, self.indptr[start : stop + 1]
        sources, local = torch.unique(self.source[int(indptr[0]) : int(indptr[-1])], return_inverse=True)
        rows = torch.arange(stop - start, device=indptr.device)
        target = torch.repeat_interleave(rows, indptr.diff())
        edges = MessageGraph((indptr - indptr[0]).to(device), local.to(device), target.to(device), sources.numel())
        x_source, x_target = self.x[sources].to(device), self.x[start:stop].to(device)
        return self.encoder.layer(self.number, x_source, x_target, edges).to(self.x.device)


class BlockRows:
    """Rows of the embedding of a `SignEncoder` from the blocks of the same nodes, `[stop - start, dim]`.

    Args:
        encoder: The model, in evaluation mode.
        blocks: The blocks of all nodes, on the device of the model.
        device: Where the result lies.
    """

    def __init__(self, encoder: SignEncoder, blocks: GraphBlocks, device: torch.device) -> None:
        self.encoder, self.blocks, self.device = encoder, blocks, device

    @torch.no_grad()
    def __call__(self, span: Range) -> Tensor:
        """Compute one range."""
        rows = torch.arange(*span, device=self.encoder.device)
        embedding: Tensor = self.encoder(self.blocks.gather(rows)).embedding
        return embedding.to(self.device)
