"""Put the blocks of a graph into memory, or into a folder."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmgraph.data.appender import RunningMean
from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.graph_writer import graph_writer
from mmgraph.data.ids import NodeIds
from mmgraph.data.quantised import with_dtype
from mmgraph.data.relation import Relation
from mmgraph.progress import progress_bar
from mmgraph.synthetic.blocks import EdgeBlock, GraphBlocks, block_rows, num_blocks

NODE_ROWS = 2**20


def collect_graph(blocks: GraphBlocks) -> tuple[MultimodalGraph, pa.Table]:
    """Make the whole graph in memory.

    Returns:
        The graph, and the edges that are held out: `source`, `target` (ids), `relation`, `split`, attributes. Rows of
        absent features are NaN on purpose (zeros in int8, which has no NaN): code that reads them is wrong.
    """
    header, rows = blocks.header, np.arange(blocks.num_nodes)
    relations, held_out = {}, []
    for name, relation in header.relations.items():
        parts = [blocks.edge_block(name, block).split() for block in range(blocks.num_edge_blocks(name))]
        edges = EdgeBlock.join([edges for edges, _ in parts])
        relations[name] = Relation(
            torch.from_numpy(edges.edge_index),
            relation.source_type,
            relation.target_type,
            relation.symmetric,
            {key: torch.from_numpy(values) for key, values in edges.attributes.items()},
            relation.reverse,
        )
        held_out += [blocks.held_out(name, out) for _, out in parts]
    features = {}
    for name, feature in header.features.items():
        is_int8 = feature.dtype == torch.int8
        values = torch.empty(blocks.num_nodes, feature.spec.dim, dtype=torch.float32 if is_int8 else feature.dtype)
        present = torch.empty(blocks.num_nodes, dtype=torch.bool)
        mean = RunningMean(feature.spec.dim)
        for block in range(num_blocks(blocks.num_nodes)):
            where = block_rows(blocks.num_nodes, block)
            some, there = blocks.feature_block(name, block)
            values[where], present[where] = torch.from_numpy(some), torch.from_numpy(there)
            mean.add(some[there])
        made = ModalityFeatures(feature.spec, values, present, mean.mean())
        features[name] = with_dtype(made, "int8") if is_int8 else made
    graph = MultimodalGraph(
        header.name,
        NodeIds(blocks.ids(rows)),
        header.node_types,
        torch.from_numpy(blocks.node_type(rows)),
        relations,
        features,
    )
    return graph, pa.concat_tables([blocks.held_out_schema().empty_table(), *held_out])


def write_graph(blocks: GraphBlocks, folder: Path, held_out: Path, *, most: int) -> dict[str, EdgeBlock]:
    """Write the graph to a folder, and the edges that are held out to a parquet file if there are any.

    The folder is what `save_graph` makes of the graph of `collect_graph`, byte for byte; memory holds one block.

    Args:
        blocks: The graph.
        folder: Where to write the graph.
        held_out: Where to write the other edges.
        most: How many of them to return.

    Returns:
        The first held-out edges of each relation that has some, at most so many.
    """
    first: dict[str, EdgeBlock] = {}
    with graph_writer(folder, blocks.header) as writer, ExitStack() as stack, progress_bar() as bar:
        table: pq.ParquetWriter | None = None
        for start in bar.track(range(0, blocks.num_nodes, NODE_ROWS), description="nodes"):
            rows = np.arange(start, min(start + NODE_ROWS, blocks.num_nodes))
            writer.add_nodes(blocks.ids(rows), blocks.node_type(rows))
        for name in blocks.header.relations:
            kept: list[EdgeBlock] = []
            for block in bar.track(range(blocks.num_edge_blocks(name)), description=f"edges: {name}"):
                edges, out = blocks.edge_block(name, block).split()
                writer.add_edges(name, edges.edge_index, edges.attributes)
                if len(out):
                    if table is None:
                        table = stack.enter_context(pq.ParquetWriter(held_out, blocks.held_out_schema()))
                    table.write_table(blocks.held_out(name, out))
                    if sum(map(len, kept)) < most:
                        kept.append(out)
            if kept:
                first[name] = EdgeBlock.join(kept).take(slice(0, most))
        for name in blocks.header.features:
            for block in bar.track(range(num_blocks(blocks.num_nodes)), description=f"features: {name}"):
                writer.add_features(name, *blocks.feature_block(name, block))
        bar.add_task("digests", total=None)
    return first
