"""The model that a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.data.graph import MultimodalGraph
from mmgraph.nn.adjacency import relation_keys
from mmgraph.nn.alignment import specs_of
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.sign import SignEncoder

Encoder = GraphEncoder | SignEncoder
"""Any model that embeds nodes."""


def build_encoder(config: EncoderConfig, graphs: Sequence[MultimodalGraph]) -> Encoder:
    """A new model for the feature spaces and relations of these graphs; parameters come from torch's global generator.

    Args:
        config: Shape; `gnn.conv: sign` makes a `SignEncoder`, other convolutions a `GraphEncoder`.
        graphs: What it is to be trained on.
    """
    specs = specs_of(graph.features for graph in graphs)
    if config.gnn.conv != "sign":
        return GraphEncoder(config, specs)
    relations = [key for graph in graphs for key in relation_keys(graph).values()]
    encoder = SignEncoder(config, specs, relations, [graph.name for graph in graphs])
    encoder.alignment.fit(item for graph in graphs for item in graph.features.values())
    return encoder
