"""Graphs with planted communities, made block by block."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import pyarrow as pa

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph_writer import FeatureHeader, GraphHeader, RelationHeader
from mmgraph.data.quantised import DTYPES
from mmgraph.synthetic.blocks import EdgeBlock, GraphBlocks, block_rows, keyed, num_blocks, shuffled_ids
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality
from mmgraph.synthetic.planted_edges import EdgeLaw, EdgeSampler, edge_law
from mmgraph.synthetic.planted_layout import PlantedLayout, factor_values, group_of

ENCODER = "planted"
"""Key of the encoder that the features claim to come from."""

_SPLITS = ("train", "train", "train", "valid", "test")


class PlantedModel(GraphBlocks):
    """Everything that a config and a seed determine, made when it is asked for.

    Args:
        config: The graph.
        seed: Seed of everything.

    Raises:
        InputError: If a relation asks for more edges than there are pairs of nodes, or nearly.
    """

    def __init__(self, config: PlantedConfig, seed: int = 0) -> None:
        self.config, self.seed, self.num_nodes = config, seed, config.num_nodes
        self.layout = PlantedLayout(config, seed)
        self.factors = factor_values(config)
        self.modalities = {modality.name: modality for modality in config.modalities}
        self.laws: dict[str, EdgeLaw] = {r.name: edge_law(config, r, self.layout) for r in config.relations}
        self.header = GraphHeader(
            name=config.name,
            node_types=(config.node_type,),
            relations={
                r.name: RelationHeader(config.node_type, config.node_type, r.symmetric) for r in config.relations
            },
            features={
                m.name: FeatureHeader(FeatureSpec(m.name, ENCODER, m.dim), DTYPES[config.dtype])
                for m in config.modalities
            },
        )

    def ids(self, rows: np.ndarray) -> pa.Array:
        """External ids of rows."""
        return shuffled_ids(rows, self.num_nodes, self.seed, strings=self.config.ids == "strings")

    def node_type(self, rows: np.ndarray) -> np.ndarray:
        """All nodes are of one type."""
        return np.zeros(len(rows), dtype=np.int64)

    @cached_property
    def samplers(self) -> dict[str, EdgeSampler]:
        """What draws the edges of each relation."""
        return {name: EdgeSampler(law, self.layout) for name, law in self.laws.items()}

    def num_edge_blocks(self, relation: str) -> int:
        """Number of blocks of a relation."""
        return num_blocks(self.num_nodes, self.samplers[relation].block_nodes)

    def edge_block(self, relation: str, block: int) -> EdgeBlock:
        """Edges of a range of sources; held-out ones are chosen at random, half of them for validation."""
        sampler, random = self.samplers[relation], keyed(self.seed, "edges", relation, block)
        edges = sampler.draw(block_rows(self.num_nodes, block, sampler.block_nodes), random)
        if self.config.holdout == 0:
            return EdgeBlock(edges)
        chance = random.random(edges.shape[1])
        part = np.where(chance < self.config.holdout / 2, 1, np.where(chance < self.config.holdout, 2, 0))
        return EdgeBlock(edges, part=part.astype(np.int8))

    def feature_block(self, modality: str, block: int) -> tuple[np.ndarray, np.ndarray]:
        """The sum of the centres of a node's factor values, and noise."""
        setting, rows = self.modalities[modality], block_rows(self.num_nodes, block)
        random = keyed(self.seed, "features", modality, block)
        community = self.layout.community(rows)
        values = random.standard_normal((len(community), setting.dim), dtype=np.float32)
        values *= np.float32(setting.noise)
        values += self.community_centres(modality)[community]
        present = random.random(len(community)) >= self.missing_chance(modality)[community]
        values[~present] = np.nan
        return values.astype("float16" if self.config.dtype == "float16" else "float32"), present

    def centres(self, modality: str) -> dict[str, np.ndarray]:
        """Centres `[num_values, dim]` of the factors that a modality shows; all are orthonormal."""
        setting = self.modalities[modality]
        sizes = [self.config.factors[factor] for factor in setting.factors]
        random = keyed(self.seed, "centres", modality)
        directions = np.linalg.qr(random.standard_normal((setting.dim, max(sum(sizes), 1))))[0].T.astype(np.float32)
        return dict(zip(setting.factors, np.split(directions, np.cumsum(sizes))[: len(sizes)], strict=True))

    def community_centres(self, modality: str) -> np.ndarray:
        """Expected features of each community `[num_communities, dim]`."""
        out = np.zeros((self.config.num_communities, self.modalities[modality].dim), dtype=np.float32)
        for factor, centres in self.centres(modality).items():
            out += centres[self.factors[factor]]
        return out

    def missing_chance(self, modality: str) -> np.ndarray:
        """Chance that a node of each community lacks the modality, `[num_communities]`."""
        setting: PlantedModality = self.modalities[modality]
        chance = np.full(self.config.num_communities, setting.missing)
        order = keyed(self.seed, "absent", modality).permutation(self.config.num_communities)
        chance[order[: setting.absent_communities]] = 1.0
        return chance

    def groups(self, factors: Iterable[str]) -> tuple[np.ndarray, int]:
        """Communities with equal values of these factors: group of each community, and the number of groups."""
        return group_of(self.config, tuple(factors))

    def labels(self, rows: np.ndarray) -> pa.Table:
        """The truth about rows: `id`, `label` (the community), one column per factor, and `split`.

        A share of 0.6 of the nodes is `train`, 0.2 `valid` and 0.2 `test`, at random: rows are in no order.
        """
        community = self.layout.community(rows)
        names = {
            factor: np.array([f"{factor} {value}" for value in range(size)], dtype=object)[self.factors[factor]]
            for factor, size in self.config.factors.items()
        }
        label = np.array([", ".join(parts) for parts in zip(*names.values(), strict=True)], dtype=object)
        index = pa.array(community)
        split = pa.array(_SPLITS, pa.string()).take(pa.array(rows % len(_SPLITS)))
        return pa.table(
            {
                "id": self.ids(rows),
                "label": pa.array(label, pa.string()).take(index),
                **{factor: pa.array(values, pa.string()).take(index) for factor, values in names.items()},
                "split": split,
            }
        )
