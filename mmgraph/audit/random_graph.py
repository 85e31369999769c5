"""Random graphs of the shape of another one, in which nothing can be predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmgraph.audit.material import AnyGraph
from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.seeding import generator

DIM = 16
"""Width of random features."""
LEAST = 12
"""Nodes of a type at least, if there are any."""


def random_graph(like: AnyGraph, *, num_nodes: int, seed: int) -> MultimodalGraph:
    """Draw a graph with the types, relations, mean degrees and missing modalities of another one, and nothing else.

    Edges join pairs that are drawn uniformly; a relation and its declared reverse state the same edges. Features are
    Gaussian noise. Whatever is predicted about held-out edges of such a graph is chance, or a leak.

    Args:
        like: The graph whose shape is taken.
        num_nodes: About so many nodes; edges shrink or grow in proportion.
        seed: Another seed, another graph.
    """
    scale = num_nodes / like.num_nodes
    counts = np.bincount(like.node_type.numpy(force=True), minlength=len(like.node_types))
    sizes = [max(LEAST, round(count * scale)) if count else 0 for count in counts.tolist()]
    node_type = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    ids = [
        f"n{number}" for number in torch.randperm(len(node_type), generator=generator(seed, "canary", "ids")).tolist()
    ]
    return MultimodalGraph(
        name="canary",
        node_ids=NodeIds(ids),
        node_types=like.node_types,
        node_type=node_type,
        relations=_relations(like.relations, like.node_types, node_type, scale, seed),
        features=_features(like, node_type, seed),
    )


def _relations(
    relations: Mapping[str, Relation], node_types: tuple[str, ...], node_type: Tensor, scale: float, seed: int
) -> dict[str, Relation]:
    drawn: dict[str, Relation] = {}
    for name, model in relations.items():
        if model.reverse in drawn:
            drawn[name] = replace(drawn[model.reverse], edge_index=drawn[model.reverse].edge_index.flip(0))
        else:
            ends = [torch.nonzero(node_type == node_types.index(kind)).flatten() for kind in _types(model)]
            pairs = _pairs(*ends, symmetric=model.source_type == model.target_type)
            count = min(max(1, round(model.num_edges * scale)), pairs.size(1) // 3) if model.num_edges else 0
            chosen = torch.randperm(pairs.size(1), generator=generator(seed, "canary", "edges", name))[:count].sort()
            drawn[name] = replace(model, edge_index=pairs[:, chosen.values], attributes={})
        random = generator(seed, "canary", "attributes", name)
        size = drawn[name].num_edges
        drawn[name] = Relation(
            drawn[name].edge_index,
            *_types(model),
            symmetric=model.symmetric,
            attributes={
                # Every edge another value, so that cuts by time have something to cut.
                key: torch.randperm(size, generator=random).to(values.dtype).reshape(-1, *[1] * (values.dim() - 1))
                for key, values in model.attributes.items()
                if values.dim() == 1
            },
            reverse=model.reverse,
        )
    return drawn


def _types(relation: Relation) -> tuple[str, str]:
    return relation.source_type, relation.target_type


def _pairs(sources: Tensor, targets: Tensor, *, symmetric: bool) -> Tensor:
    """All pairs that an edge may join, each unordered pair of nodes of one type once, in random direction."""
    pairs = torch.cartesian_prod(sources, targets).reshape(-1, 2).T
    if not symmetric:
        return pairs
    pairs = pairs[:, pairs[0] < pairs[1]]
    turned = torch.arange(pairs.size(1)) % 2 == 1
    return torch.where(turned, pairs.flip(0), pairs)


def _features(like: AnyGraph, node_type: Tensor, seed: int) -> dict[str, ModalityFeatures]:
    """Noise for every modality, present as often as in the model, type by type."""
    present = _presence(like)
    features = {}
    for modality, has in (present or {"noise": torch.ones(like.num_nodes, dtype=torch.bool)}).items():
        random = generator(seed, "canary", "features", modality)
        codes = like.node_type.cpu()
        shares = torch.tensor([float(has[codes == code].float().mean()) for code in range(len(like.node_types))])
        values = torch.randn(node_type.numel(), DIM, generator=random)
        there = torch.rand(node_type.numel(), generator=random) < shares.nan_to_num()[node_type]
        features[modality] = ModalityFeatures(FeatureSpec(modality, "noise", DIM), values, there)
    return features


def _presence(like: AnyGraph) -> dict[str, Tensor]:
    if isinstance(like, RawGraph):
        return {name: torch.tensor([item is not None for item in items]) for name, items in like.content.items()}
    return {name: features.present.cpu() for name, features in like.features.items()}
