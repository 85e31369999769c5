"""What a look at a raw graph can tell: counts, degrees, components, lengths of texts, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation

_CHUNK = 1 << 21


@dataclass(frozen=True)
class Spread:
    """How a number is spread over nodes, edges or images; all zero if there are none."""

    count: int
    mean: float
    minimum: float
    median: float
    p90: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Spread of `[n]` values."""
        if not values.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        quantiles = np.quantile(values, [0, 0.5, 0.9, 0.99, 1]).tolist()
        return cls(int(values.size), float(values.mean()), *quantiles)


@dataclass(frozen=True)
class GraphStatistics:
    """Statistics of a raw graph, ready for JSON by `to_dict`.

    Attributes:
        name: Name of the graph.
        num_nodes: Number of nodes.
        num_edges: Number of stored edges.
        node_types: By node type `nodes`, `isolated` (without any edge) and `degree`.
        degree_histogram: Number of nodes with degree 0, 1, 2-3, 4-7, ... by the smallest degree of each bin.
        relations: By relation its types, `edges`, `self_loops`, `repeated` (edges that join a pair once more),
            `symmetric`, `reverse` and the names of its `attributes`.
        components: `count`, `largest` (nodes) and `singletons` of the graph without directions.
        modalities: By modality `present`, `missing`, and `present_by_type`.
        patterns: Number of nodes by the modalities that they have, for instance `text + image`.
        text: Words and characters per text by modality, and how many repeat another node's text.
        columns: By column its type, missing cells and distinct values.
    """

    name: str
    num_nodes: int
    num_edges: int
    node_types: Mapping[str, Mapping[str, Any]]
    degree_histogram: Mapping[int, int]
    relations: Mapping[str, Mapping[str, Any]]
    components: Mapping[str, int]
    modalities: Mapping[str, Mapping[str, Any]]
    patterns: Mapping[str, int]
    text: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def graph_statistics(raw: RawGraph) -> GraphStatistics:
    """Compute statistics of a raw graph.

    Works in blocks: ten million edges need about 100 MB more than the graph itself.
    """
    degree = np.zeros(raw.num_nodes, dtype=np.int64)
    for relation in raw.relations.values():
        for ends in relation.edge_index:
            degree += np.bincount(ends.numpy(), minlength=raw.num_nodes)
    node_type = raw.node_type.numpy()
    present = {name: np.array([item is not None for item in items]) for name, items in raw.content.items()}
    return GraphStatistics(
        name=raw.name,
        num_nodes=raw.num_nodes,
        num_edges=sum(relation.num_edges for relation in raw.relations.values()),
        node_types={
            name: {
                "nodes": int((node_type == code).sum()),
                "isolated": int((degree[node_type == code] == 0).sum()),
                "degree": asdict(Spread.of(degree[node_type == code])),
            }
            for code, name in enumerate(raw.node_types)
        },
        degree_histogram=_histogram(degree),
        relations={name: _describe(relation, raw.num_nodes) for name, relation in raw.relations.items()},
        components=components([r.edge_index for r in raw.relations.values()], raw.num_nodes),
        modalities={
            name: {
                "present": int(has.sum()),
                "missing": int((~has).sum()),
                "present_by_type": {
                    kind: int(has[node_type == code].sum()) for code, kind in enumerate(raw.node_types)
                },
            }
            for name, has in present.items()
        },
        patterns=_patterns(present, raw.num_nodes),
        text={name: found for name, items in raw.content.items() if (found := _texts(items)) is not None},
        columns={} if raw.columns is None else {name: _column(raw.columns[name]) for name in raw.columns.column_names},
    )


def components(edges: Sequence[Tensor], num_nodes: int) -> dict[str, int]:
    """Connected components of a graph, directions ignored.

    Blocks of edges are taken one after the other, and the nodes that each block connects are merged, so that never
    more than a block is held.

    Args:
        edges: `[2, num_edges]` each.
        num_nodes: Number of nodes.

    Returns:
        `count`, `largest` (number of nodes) and `singletons` (components of one node).
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    label = np.arange(num_nodes, dtype=np.int64)
    count = num_nodes
    for block in _blocks(edges):
        source, target = label[block]
        across = source != target
        if not across.any():
            continue
        pairs = (source[across], target[across])
        ones = np.ones(len(pairs[0]), dtype=np.int8)
        count, merged = connected_components(coo_matrix((ones, pairs), shape=(count, count)), directed=False)
        label = merged.astype(np.int64)[label]
    sizes = np.bincount(label, minlength=1)
    return {"count": int(count), "largest": int(sizes.max()), "singletons": int((sizes == 1).sum())}


def _blocks(edges: Sequence[Tensor]) -> Iterator[np.ndarray]:
    for edge_index in edges:
        for start in range(0, edge_index.size(1), _CHUNK):
            yield edge_index[:, start : start + _CHUNK].numpy()


def _describe(relation: Relation, num_nodes: int) -> dict[str, Any]:
    source, target = relation.edge_index
    low, high = (
        (torch.minimum(source, target), torch.maximum(source, target)) if relation.symmetric else (source, target)
    )
    distinct = torch.unique(low * num_nodes + high).numel()
    return {
        "source": relation.source_type,
        "target": relation.target_type,
        "edges": relation.num_edges,
        "symmetric": relation.symmetric,
        "reverse": relation.reverse,
        "self_loops": int((source == target).sum()),
        "repeated": relation.num_edges - distinct,
        "attributes": list(relation.attributes),
    }


def _histogram(degree: np.ndarray) -> dict[int, int]:
    bins = np.where(degree == 0, 0, np.floor(np.log2(np.maximum(degree, 1))).astype(np.int64) + 1)
    counts = np.bincount(bins).tolist()
    return {(0 if number == 0 else 2 ** (number - 1)): count for number, count in enumerate(counts)}


def _patterns(present: Mapping[str, np.ndarray], num_nodes: int) -> dict[str, int]:
    code = np.zeros(num_nodes, dtype=np.int64)
    for number, has in enumerate(present.values()):
        code += has.astype(np.int64) << number
    counts = np.bincount(code, minlength=1 << len(present)).tolist()
    names = list(present)
    found = {
        " + ".join(name for bit, name in enumerate(names) if pattern >> bit & 1) or "nothing": count
        for pattern, count in enumerate(counts)
        if count
    }
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def _texts(items: Sequence[Any]) -> dict[str, Any] | None:
    """Lengths of texts; `None` if the items are something else."""
    texts = [item for item in items if item is not None]
    if not all(isinstance(item, str) for item in texts):
        return None
    distinct = len(pa.array(texts, pa.string()).unique())
    return {
        "words": asdict(Spread.of(np.array([len(text.split()) for text in texts]))),
        "characters": asdict(Spread.of(np.array([len(text) for text in texts]))),
        "repeated": len(texts) - distinct,
    }


def _column(column: pa.ChunkedArray) -> dict[str, Any]:
    nested = pa.types.is_nested(column.type)
    distinct = None if nested else len(column.unique().drop_null())
    return {"type": str(column.type), "missing": column.null_count, "distinct": distinct}
