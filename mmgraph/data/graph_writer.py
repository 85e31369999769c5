"""Write a graph folder block by block, for graphs that do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmgraph.data.appender import ArrayAppender, RunningMean
from mmgraph.data.arrays import write_array
from mmgraph.data.features import FeatureSpec
from mmgraph.data.quantised import quantise_rows
from mmgraph.data.store import FORMAT, VERSION, check_target, file_stem, write_manifest
from mmgraph.files import atomic_folder

ROW_GROUP = 2**20  # what `pyarrow.parquet.write_table` makes of a whole table


@dataclass(frozen=True)
class RelationHeader:
    """What is known of a relation before its edges.

    Attributes:
        source_type: Node type of all sources.
        target_type: Node type of all targets.
        symmetric: The relation reads the same both ways.
        attributes: Type of each edge attribute; attributes have one number per edge.
        reverse: Name of the relation that states the same facts the other way round.
    """

    source_type: str
    target_type: str
    symmetric: bool = False
    attributes: Mapping[str, torch.dtype] = field(default_factory=dict)
    reverse: str | None = None


@dataclass(frozen=True)
class FeatureHeader:
    """What is known of a modality before its features.

    Attributes:
        spec: The feature space.
        dtype: Type of the entries as they are stored; with int8, blocks are given as float32 and rounded.
    """

    spec: FeatureSpec
    dtype: torch.dtype


@dataclass(frozen=True)
class GraphHeader:
    """What is known of a graph before its nodes and edges.

    Attributes:
        name: Name of the graph.
        node_types: Names of the node types.
        relations: Relations by name.
        features: Modalities by name.
    """

    name: str
    node_types: tuple[str, ...]
    relations: Mapping[str, RelationHeader] = field(default_factory=dict)
    features: Mapping[str, FeatureHeader] = field(default_factory=dict)


class GraphWriter:
    """Takes nodes, edges and features in blocks of any size; each of them in its final order.

    The folder is the one that `save_graph` would write for the whole graph, byte for byte, except that the mean of a
    modality is summed block by block. Memory holds one block, and up to a million ids. Whether ids are unique and
    edges point at nodes is checked when the graph is loaded.

    Args:
        folder: An empty folder, see `graph_writer`.
        header: What the graph will hold.
    """

    def __init__(self, folder: Path, header: GraphHeader) -> None:
        self.folder, self.header = folder, header
        self._open = ExitStack()
        self._ids: list[pa.Table] = []
        self._nodes: pq.ParquetWriter | None = None
        self._types = self._appender("node_type", torch.int64)
        self._edges: dict[str, ArrayAppender] = {}
        self._attributes: dict[str, dict[str, ArrayAppender]] = {}
        for number, (name, relation) in enumerate(header.relations.items()):
            stem = file_stem("relation", number, name)
            self._edges[name] = self._appender(stem, torch.int64, lines=2)
            self._attributes[name] = {
                key: self._appender(file_stem(stem, place, key), dtype)
                for place, (key, dtype) in enumerate(relation.attributes.items())
            }
        self._stems = {name: file_stem("features", number, name) for number, name in enumerate(header.features)}
        self._values: dict[str, ArrayAppender] = {}
        self._present: dict[str, ArrayAppender] = {}
        self._scales: dict[str, ArrayAppender] = {}
        self._means: dict[str, RunningMean] = {}
        for name, feature in header.features.items():
            dim = feature.spec.dim
            self._values[name] = self._appender(f"{self._stems[name]}_values", feature.dtype, width=dim)
            self._present[name] = self._appender(f"{self._stems[name]}_present", torch.bool)
            if feature.dtype == torch.int8:
                self._scales[name] = self._appender(f"{self._stems[name]}_scale", torch.float32)
            self._means[name] = RunningMean(dim)

    def add_nodes(self, ids: pa.Array, node_type: np.ndarray) -> None:
        """Add nodes: their ids (strings or int64) and their codes in `node_types`, `[rows]`."""
        self._types.append(node_type)
        types = pa.array(self.header.node_types, pa.string()).take(pa.array(node_type))
        self._ids.append(pa.table({"id": ids, "type": types}))
        while sum(table.num_rows for table in self._ids) >= ROW_GROUP:
            table = pa.concat_tables(self._ids)
            self._write_nodes(table.slice(0, ROW_GROUP))
            self._ids = [table.slice(ROW_GROUP)]

    def add_edges(self, relation: str, edge_index: np.ndarray, attributes: Mapping[str, np.ndarray]) -> None:
        """Add edges `[2, rows]` of a relation, with one entry per edge of every attribute.

        Raises:
            ValueError: If the attributes are not those of the header, or have another length.
        """
        appenders = self._attributes[relation]
        if set(attributes) != set(appenders):
            raise ValueError(
                f"relation {relation!r}: expected attributes {sorted(appenders)}, got {sorted(attributes)}"
            )
        self._edges[relation].append(edge_index)
        for key, values in attributes.items():
            if len(values) != edge_index.shape[1]:
                raise ValueError(f"attribute {key!r}: expected {edge_index.shape[1]} entries, got {len(values)}")
            appenders[key].append(values)

    def add_features(self, modality: str, values: np.ndarray, present: np.ndarray) -> None:
        """Add features `[rows, dim]` of a modality and which rows have them `[rows]`; absent rows become zeros."""
        stored = np.where(present[:, None], values, np.zeros(1, values.dtype))
        if modality in self._scales:
            rounded, scale = quantise_rows(
                torch.from_numpy(stored), where=f"{modality} features", first=self._values[modality].length
            )
            self._scales[modality].append(scale.numpy())
            stored = rounded.numpy()
        self._values[modality].append(stored)
        self._present[modality].append(present)
        self._means[modality].add(values[present])

    def finish(self) -> None:
        """Complete all files and write `graph.json`.

        Raises:
            ValueError: If there are more or fewer features than nodes.
        """
        for name, present in self._present.items():
            if present.length != self._types.length:
                raise ValueError(f"{name} features: expected {self._types.length} rows, got {present.length}")
        self._write_nodes(pa.concat_tables(self._ids) if self._ids else None)
        if self._nodes is not None:
            self._nodes.close()
        write_manifest(
            self.folder,
            {
                "format": FORMAT,
                "version": VERSION,
                "name": self.header.name,
                "num_nodes": self._types.length,
                "node_types": list(self.header.node_types),
                "columns": False,
                "node_type": self._types.finish(),
                "relations": {name: self._finish_relation(name) for name in self.header.relations},
                "features": {name: self._finish_features(name) for name in self.header.features},
            },
        )

    def close(self) -> None:
        """Close all files, finished or not."""
        self._open.close()

    def _appender(
        self, stem: str, dtype: torch.dtype, *, width: int | None = None, lines: int | None = None
    ) -> ArrayAppender:
        appender = ArrayAppender(self.folder, stem, dtype, width=width, lines=lines)
        self._open.callback(appender.close)
        return appender

    def _write_nodes(self, table: pa.Table | None) -> None:
        if table is None or table.num_rows == 0:
            return
        if self._nodes is None:
            self._nodes = pq.ParquetWriter(self.folder / "nodes.parquet", table.schema)
            self._open.callback(self._nodes.close)
        self._nodes.write_table(table.combine_chunks(), row_group_size=ROW_GROUP)

    def _finish_relation(self, name: str) -> dict[str, Any]:
        header = self.header.relations[name]
        return {
            "source_type": header.source_type,
            "target_type": header.target_type,
            "symmetric": header.symmetric,
            "reverse": header.reverse,
            "edge_index": self._edges[name].finish(),
            "attributes": {key: appender.finish() for key, appender in self._attributes[name].items()},
        }

    def _finish_features(self, name: str) -> dict[str, Any]:
        header = self.header.features[name]
        return {
            "encoder": header.spec.encoder,
            "dim": header.spec.dim,
            "values": self._values[name].finish(),
            "present": self._present[name].finish(),
            "mean": write_array(self.folder, f"{self._stems[name]}_mean", self._means[name].mean()),
            **({"scale": self._scales[name].finish()} if name in self._scales else {}),
        }


@contextmanager
def graph_writer(folder: Path | str, header: GraphHeader, *, overwrite: bool = False) -> Iterator[GraphWriter]:
    """Write a graph to a folder, whole or not at all.

    Args:
        folder: Where to write.
        header: What the graph will hold.
        overwrite: Replace the graph that is there.

    Raises:
        InputError: As `save_graph`.
    """
    folder = Path(folder)
    check_target(folder, overwrite=overwrite)
    with atomic_folder(folder, overwrite=overwrite) as new:
        writer = GraphWriter(new, header)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()
