"""Small random graphs with planted communities, and networks for them, for tests and benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph, encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.nn.build import Encoder, build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.seeding import generator

HOMOPHILY = 0.8
"""Share of the drawn edges that stay in the community of their source."""

M = TypeVar("M", bound=nn.Module)

_COLOURS = ("red", "green", "blue", "orange")
_SHAPES = ("circle", "square", "bar", "frame")


def make_graph(
    num_nodes: int = 40,
    num_edges: int = 120,
    modalities: Sequence[tuple[str, int]] = (("text", 16), ("image", 24)),
    missing: float = 0.3,
    seed: int = 0,
    *,
    num_communities: int = 4,
    name: str = "toy",
) -> MultimodalGraph:
    """Make a graph with planted communities, two node types and two relations.

    Every fourth node is a `user`, the others are `item`; ids are `n0000`, `n0001`, ... Two thirds of the edges are
    `similar` (item to item, symmetric), the rest `likes` (user to item, with attributes `rating` and `time`);
    without users all are `similar`. Features are the centre of the community plus noise. Rows of absent nodes are
    NaN on purpose: code that reads them is wrong, and its test fails. The column `community` holds the truth.

    Args:
        num_nodes: Number of nodes, at least 1.
        num_edges: Number of distinct edges, without self-loops.
        modalities: Name and width of each modality.
        missing: Probability that a node lacks a modality; 0 for none, 1 for all.
        seed: Seed of everything.
        num_communities: Number of planted communities.
        name: Name of the graph.

    Raises:
        ValueError: If there are fewer pairs of nodes than edges are asked for.
    """
    node = torch.arange(num_nodes)
    community = _community(num_nodes, num_communities, seed)
    node_types, node_type = encode_node_types(_type_names(num_nodes))
    columns = pa.table({"title": [f"Title {i}" for i in range(num_nodes)], "community": community.numpy()})
    return MultimodalGraph(
        name=name,
        node_ids=NodeIds([f"n{i:04d}" for i in node.tolist()]),
        node_types=node_types,
        node_type=node_type,
        relations=_relations(community, num_edges, seed),
        features={
            modality: _features(modality, dim, community, missing=missing, seed=seed) for modality, dim in modalities
        },
        columns=columns,
    )


def make_raw_graph(
    folder: Path | str,
    num_nodes: int = 12,
    num_edges: int = 20,
    missing: float = 0.25,
    seed: int = 0,
    *,
    num_communities: int = 4,
    name: str = "toy",
) -> RawGraph:
    """Make a raw graph with texts and real PNG images (32 x 32, in `folder/images`); built like `make_graph`.

    The community shows in the colour of an image and in the words of a text. Some images have transparent pixels.
    Node 0 always has both modalities, users (every fourth node) have neither.

    Args:
        folder: Where the images go.
        num_nodes: Number of nodes, at least 1.
        num_edges: Number of distinct edges, without self-loops.
        missing: Probability that an item lacks a modality.
        seed: Seed of everything.
        num_communities: Number of planted communities.
        name: Name of the graph.
    """
    folder = Path(folder)
    community = _community(num_nodes, num_communities, seed)
    type_names = _type_names(num_nodes)
    node_types, node_type = encode_node_types(type_names)
    draw = torch.rand(num_nodes, 2, generator=generator(seed, "missing"))
    has = (draw >= missing) & torch.tensor([[kind == "item"] for kind in type_names])
    has[0] = True
    texts: list[str | None] = []
    images: list[Path | None] = []
    for i, group in enumerate(community.tolist()):
        colour, shape = _COLOURS[group % len(_COLOURS)], _SHAPES[i % len(_SHAPES)]
        texts.append(f"a {colour} {shape}, number {i}, caf\u00e9 \u6f22\u5b57" if has[i, 0] else None)
        path = folder / "images" / f"n{i:04d}.png"
        images.append(_draw(path, colour, shape, transparent=i % 2 == 0) if has[i, 1] else None)
    return RawGraph(
        name=name,
        node_ids=NodeIds([f"n{i:04d}" for i in range(num_nodes)]),
        node_types=node_types,
        node_type=node_type,
        relations=_relations(community, num_edges, seed),
        content={"text": texts, "image": images},
        columns=pa.table({"title": [f"Title {i}" for i in range(num_nodes)], "community": community.numpy()}),
    )


def _type_names(num_nodes: int) -> list[str]:
    return ["user" if i % 4 == 3 else "item" for i in range(num_nodes)]


def _community(num_nodes: int, num_communities: int, seed: int) -> Tensor:
    return torch.randint(num_communities, (num_nodes,), generator=generator(seed, "community"))


def _features(modality: str, dim: int, community: Tensor, *, missing: float, seed: int) -> ModalityFeatures:
    random = generator(seed, "features", modality)
    centres = torch.randn(int(community.max()) + 1, dim, generator=random)
    values = centres[community] + torch.randn(community.numel(), dim, generator=random) + 0.5
    present = torch.rand(community.numel(), generator=random) >= missing
    values[~present] = math.nan
    return ModalityFeatures(FeatureSpec(modality, "fake", dim), values, present)


def _relations(community: Tensor, num_edges: int, seed: int) -> dict[str, Relation]:
    is_user = torch.tensor([kind == "user" for kind in _type_names(community.numel())])
    items, users = torch.nonzero(~is_user).flatten(), torch.nonzero(is_user).flatten()
    num_likes = num_edges // 3 if users.numel() else 0
    similar = _edges(items, items, community, num_edges - num_likes, generator(seed, "similar"), symmetric=True)
    relations = {"similar": Relation(similar, "item", "item", symmetric=True)}
    if users.numel():
        random = generator(seed, "likes")
        likes = _edges(users, items, community, num_likes, random, symmetric=False)
        attributes = {
            "rating": torch.randint(1, 6, (num_likes,), generator=random).float(),
            "time": torch.randint(10**9, (num_likes,), generator=random),
        }
        relations = {"likes": Relation(likes, "user", "item", attributes=attributes), **relations}
    return relations


def _edges(
    sources: Tensor, targets: Tensor, community: Tensor, count: int, random: torch.Generator, *, symmetric: bool
) -> Tensor:
    """Draw `count` distinct edges, most of them within a community; sorted by source, then target."""
    n, across = community.numel(), (1 - HOMOPHILY) / HOMOPHILY / max(int(community.max()), 1)
    possible = targets.numel() * (targets.numel() - 1) // 2 if symmetric else sources.numel() * targets.numel()
    if count > possible:
        raise ValueError(f"asked for {count} edges between {sources.numel()} and {targets.numel()} nodes")
    if possible <= 2**16:
        pairs = torch.cartesian_prod(sources, targets).T
        pairs = pairs[:, pairs[0] < pairs[1]] if symmetric else pairs
        weight = torch.where(community[pairs[0]] == community[pairs[1]], 1.0, across)
        chosen = torch.multinomial(weight, count, generator=random) if count else torch.empty(0, dtype=torch.int64)
        return pairs[:, chosen.sort().values]
    keys = torch.empty(0, dtype=torch.int64)
    while keys.numel() < count:  # rejection, for graphs too large to list all pairs
        size = (4 * count + 16,)
        a = sources[torch.randint(sources.numel(), size, generator=random)]
        b = targets[torch.randint(targets.numel(), size, generator=random)]
        keep = (community[a] == community[b]) | (torch.rand(size, generator=random) < across)
        a, b = a[keep & (a != b)], b[keep & (a != b)]
        if symmetric:
            a, b = torch.minimum(a, b), torch.maximum(a, b)
        keys = torch.unique(torch.cat([keys, a * n + b]))
    keys = keys[torch.randperm(keys.numel(), generator=random)[:count]].sort().values
    return torch.stack([keys // n, keys % n])


def _draw(path: Path, colour: str, shape: str, *, transparent: bool) -> Path:
    from PIL import Image, ImageDraw

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA" if transparent else "RGB", (32, 32), (0, 0, 0, 0) if transparent else "white")
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse((6, 6, 26, 26), fill=colour)
    elif shape == "square":
        pen.rectangle((6, 6, 26, 26), fill=colour)
    elif shape == "bar":
        pen.rectangle((2, 13, 30, 19), fill=colour)
    else:
        pen.rectangle((4, 4, 28, 28), outline=colour, width=4)
    image.save(path)
    return path


def make_encoder(graph: MultimodalGraph, conv: Any = "sign", **gnn: Any) -> Encoder:
    """A network of width 16 for a graph, two layers deep, of which every part says something.

    Args:
        graph: The graph.
        conv: Kind of layers.
        gnn: Further fields of `GNNConfig`.
    """
    torch.manual_seed(0)
    config = EncoderConfig(dim=16, moe=MoEConfig(num_experts=2), gnn=GNNConfig(conv=conv, num_layers=2, heads=2, **gnn))
    return randomise(build_encoder(config, [graph]))


def randomise(module: M, *, seed: int = 0) -> M:
    """Give parameters that are all zero or all alike random values, so that no part of a network is silent in a test."""
    random = generator(seed, "randomise")
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=random).to(parameter))
    return module
