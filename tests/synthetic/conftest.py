from __future__ import annotations

import pytest

from mmgraph.synthetic.planted import PlantedGraph, planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality, PlantedRelation

RICH = PlantedConfig(
    num_nodes=3000,
    factors={"colour": 3, "shape": 2},
    modalities=(
        PlantedModality("text", ("colour",), dim=8, noise=0.7, missing=0.2),
        PlantedModality("image", ("colour", "shape"), dim=10, noise=0.8, missing=0.1, absent_communities=2),
    ),
    relations=(
        PlantedRelation("similar", 1.5, homophily=0.6),
        PlantedRelation("palette", 1.0, factors=("colour",), homophily=0.7, symmetric=False),
        PlantedRelation("noise", 1.0, factors=(), symmetric=False),
    ),
    degree_exponent=2.5,
    holdout=0.2,
)
"""A bit of everything."""


@pytest.fixture(scope="session")
def rich() -> PlantedGraph:
    return planted_graph(RICH, seed=4)


@pytest.fixture(scope="session")
def plain() -> PlantedGraph:
    """The default, with more nodes."""
    return planted_graph(PlantedConfig(num_nodes=4000), seed=2)
