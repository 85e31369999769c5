"""Graphs that are made in blocks, so that the same blocks fill the memory or a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.data.graph_writer import GraphHeader
from mmgraph.seeding import derive_seed
from mmgraph.splits.base import TEST, TRAIN, VALID

PARTS = (TRAIN, VALID, TEST)
"""Where an edge may lie. Edges of part 0 are in the graph, the others are held out."""

BLOCK_NODES = 2**14
"""Nodes per block of whatever is drawn node by node."""


def keyed(seed: int, *keys: int | str) -> np.random.Generator:
    """A generator for one purpose; blocks have their own, so that the order in which they are made does not matter."""
    return np.random.default_rng(derive_seed(seed, "synthetic", *keys))


def num_blocks(length: int, size: int = BLOCK_NODES) -> int:
    """Number of blocks of so many rows."""
    return -(-length // size)


def block_rows(length: int, block: int, size: int = BLOCK_NODES) -> slice:
    """Rows of a block."""
    return slice(block * size, min((block + 1) * size, length))


@dataclass(frozen=True, eq=False)
class EdgeBlock:
    """Some edges of a relation, in their final order.

    Attributes:
        edge_index: `[2, num_edges]`, int64.
        attributes: Edge attributes `[num_edges]` by name.
        part: `[num_edges]`, int8: index into `PARTS`; if not given, all edges are in the graph.
    """

    edge_index: np.ndarray
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    part: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.edge_index.shape[1])

    def take(self, chosen: np.ndarray | slice) -> EdgeBlock:
        """Edges at these places, or where a boolean mask is true."""
        attributes = {name: values[chosen] for name, values in self.attributes.items()}
        part = None if self.part is None else self.part[chosen]
        return EdgeBlock(self.edge_index[:, chosen], attributes, part)

    def split(self) -> tuple[EdgeBlock, EdgeBlock]:
        """Edges of the graph, and those that are held out."""
        part = np.zeros(len(self), dtype=np.int8) if self.part is None else self.part
        return self.take(part == 0), self.take(part > 0)

    @staticmethod
    def join(blocks: Sequence[EdgeBlock]) -> EdgeBlock:
        """All edges of some blocks of one relation, at least one, which all have a part or none has."""
        parts = [block.part for block in blocks if block.part is not None]
        return EdgeBlock(
            np.concatenate([block.edge_index for block in blocks], axis=1),
            {name: np.concatenate([block.attributes[name] for block in blocks]) for name in blocks[0].attributes},
            np.concatenate(parts) if parts else None,
        )


class GraphBlocks(ABC):
    """A graph that is made in blocks. Every block can be made alone, in any order, and always comes out the same."""

    header: GraphHeader
    num_nodes: int

    @abstractmethod
    def ids(self, rows: np.ndarray) -> pa.Array:
        """External ids of rows, strings or int64."""

    @abstractmethod
    def node_type(self, rows: np.ndarray) -> np.ndarray:
        """Code of the node type of rows, int64."""

    @abstractmethod
    def num_edge_blocks(self, relation: str) -> int:
        """Number of blocks of a relation."""

    @abstractmethod
    def edge_block(self, relation: str, block: int) -> EdgeBlock:
        """One block of a relation."""

    @abstractmethod
    def feature_block(self, modality: str, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Features `[rows, dim]` of `BLOCK_NODES` nodes, NaN in absent rows, and which rows are present `[rows]`."""

    def held_out_schema(self) -> pa.Schema:
        """Columns of `held_out`: the attributes are those of all relations."""
        node_id = self.ids(np.zeros(0, dtype=np.int64)).type
        attributes = {
            name: dtype for relation in self.header.relations.values() for name, dtype in relation.attributes.items()
        }
        return pa.schema(
            {"source": node_id, "target": node_id, "relation": pa.string(), "split": pa.string()}
            | {
                name: pa.from_numpy_dtype(torch.empty(0, dtype=dtype).numpy().dtype)
                for name, dtype in attributes.items()
            }
        )

    def held_out(self, relation: str, edges: EdgeBlock) -> pa.Table:
        """Edges as a table: `source`, `target` (ids), `relation`, `split`, and attributes where the relation has them."""
        schema, size = self.held_out_schema(), len(edges)
        codes = np.zeros(size, dtype=np.int8) if edges.part is None else edges.part
        columns = {
            "source": self.ids(edges.edge_index[0]),
            "target": self.ids(edges.edge_index[1]),
            "relation": pa.repeat(pa.scalar(relation, pa.string()), size),
            "split": pa.array(PARTS, pa.string()).take(pa.array(codes)),
        } | edges.attributes
        return pa.table(
            [pa.array(columns.get(field.name, [None] * size), field.type) for field in schema], schema=schema
        )


def shuffled_ids(rows: np.ndarray, num_nodes: int, seed: int, *, strings: bool) -> pa.Array:
    """Ids of rows: distinct, in no order, and none tells its row.

    Multiplying by an odd number, adding and shifting into itself are one to one on numbers of so many bits, so no two
    rows share an id, without a table of them.
    """
    bits = max(20, num_nodes.bit_length() + 1)
    mask, factor, offset = (1 << bits) - 1, derive_seed(seed, "ids", 0) | 1, derive_seed(seed, "ids", 1)
    value = rows.astype(np.uint64)
    for _ in range(2):
        value = (value * np.uint64(factor & mask) + np.uint64(offset & mask)) & np.uint64(mask)
        value ^= value >> np.uint64(bits // 2)
    ids = pa.array(value.astype(np.int64))
    if not strings:
        return ids
    return pc.binary_join_element_wise("n", pc.utf8_lpad(ids.cast(pa.string()), len(str(mask)), "0"), "")
