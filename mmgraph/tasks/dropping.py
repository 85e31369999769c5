"""Graphs from which something was taken away, to measure what a model loses with it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, unknown_choice
from mmgraph.seeding import generator


def drop_modality(graph: MultimodalGraph, modality: str, share: float, seed: int) -> MultimodalGraph:
    """Hide a modality of some of the nodes that have it.

    A larger share hides the same nodes and more, so that a sweep over shares follows one chain of sets. Only the mask
    changes: values are shared with the given graph, and the mean stays that of the whole graph, as for new nodes.

    Args:
        graph: The graph; it stays as it is.
        modality: What to hide.
        share: Share of the present nodes to hide, 0 to 1, rounded to whole nodes.
        seed: Which nodes.

    Raises:
        InputError: If the graph lacks the modality, or the share is out of range.
    """
    if modality not in graph.features:
        raise unknown_choice(f"modality of graph {graph.name!r}", modality, graph.features)
    if not 0 <= share <= 1:
        raise InputError(f"share of nodes to hide must lie in 0..1, got {share}")
    item = graph.features[modality]
    rows = torch.nonzero(item.present).flatten()
    order = torch.randperm(rows.numel(), generator=generator(seed, "drop modality", modality)).to(rows.device)
    present = item.present.clone()
    present[rows[order[: round(share * rows.numel())]]] = False
    return replace(graph, features={**graph.features, modality: replace(item, present=present)})


def isolate(graph: MultimodalGraph, nodes: Tensor) -> MultimodalGraph:
    """Take all edges of some nodes away, in every relation and direction, as if they were new.

    Positions, contents and all other edges stay. What a node without edges becomes depends on itself alone, so many
    nodes can be isolated at once and each be looked at by itself; the others have changed neighbourhoods.

    Args:
        graph: The graph; it stays as it is.
        nodes: `[k]`, int64: positions, in any order, repeats allowed; or a mask `[num_nodes]`, bool.

    Raises:
        InputError: If a position is out of range, or a mask has another length.
    """
    cold = torch.zeros(graph.num_nodes, dtype=torch.bool, device=graph.device)
    if nodes.dtype == torch.bool:
        if nodes.shape != cold.shape:
            raise InputError(f"mask of nodes must be [{graph.num_nodes}], got {list(nodes.shape)}")
        cold = nodes.to(graph.device)
    elif nodes.numel():
        if int(nodes.min()) < 0 or int(nodes.max()) >= graph.num_nodes:
            raise InputError(
                f"positions of nodes must lie in 0..{graph.num_nodes - 1}, got {int(nodes.min())}..{int(nodes.max())}"
            )
        cold[nodes.to(graph.device)] = True
    relations = {
        name: relation.take(~cold[relation.edge_index].any(dim=0)) for name, relation in graph.relations.items()
    }
    return replace(graph, relations=relations)
