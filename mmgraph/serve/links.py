"""Who is linked with whom, in positions of the store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmgraph.data.csr import CSR
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds

Positions = NDArray[np.int64]


class Links:
    """Edges of a graph between the nodes of a store, joined by id.

    Args:
        graph: The graph.
        node_ids: Ids of the store; nodes of either that the other lacks have no edges here.
    """

    def __init__(self, graph: MultimodalGraph, node_ids: NodeIds) -> None:
        self.relations = list(graph.relations)
        self.graph_rows: Positions = graph.node_ids.find(node_ids.values)
        """Row in the graph of each node of the store, -1 where the graph lacks it."""
        place = np.full(graph.num_nodes, -1, dtype=np.int64)
        known = np.flatnonzero(self.graph_rows >= 0)
        place[self.graph_rows[known]] = known
        edges, kinds = graph.message_edges()
        csr = CSR.from_edges(edges, graph.num_nodes, kinds)
        self._starts, self._sources = csr.indptr.numpy(), csr.indices.numpy()
        self._kinds = csr.edge_type.numpy()
        self._symmetric = [relation.symmetric for relation in graph.relations.values()]
        self._place = place

    def degree(self, position: int) -> int:
        """Number of edges of a node, of all relations and in both directions."""
        first, stop = self._range(position)
        return stop - first

    def near(self, position: int, most: int) -> Positions:
        """Up to `most` distinct neighbours, ascending by row of the graph, the node itself left out."""
        first, stop = self._range(position)
        found: Positions = self._place[np.unique(self._sources[first : min(stop, first + 8 * most)])]
        found = found[(found >= 0) & (found != position)]
        if len(found) > most:  # evenly spread
            found = found[np.linspace(0, len(found) - 1, most).astype(np.int64)]
        return found

    def around(self, position: int, hops: int, limit: int) -> tuple[list[int], bool]:
        """Nodes at most `hops` away, near ones first, the node itself at the start; and whether some were left out.

        Args:
            position: The node.
            hops: Number of hops.
            limit: Number of nodes at most.
        """
        found, border = {position: None}, [position]
        for _ in range(hops):
            following: list[int] = []
            for node in border:
                first, stop = self._range(node)
                # A node has at most all other nodes as neighbours, but a hub need not be read to its end.
                for other in dict.fromkeys(self._place[self._sources[first:stop]].tolist()):
                    if other < 0 or other in found:
                        continue
                    if len(found) >= limit:
                        return list(found), True
                    found[other] = None
                    following.append(other)
            border = following
        return list(found), False

    def edges_among(self, positions: list[int]) -> list[tuple[int, int, str]]:
        """Source, target and relation of each stored edge between these nodes; symmetric edges once."""
        chosen = np.sort(self.graph_rows[np.asarray(positions, dtype=np.int64)])
        chosen = chosen[chosen >= 0]
        found: dict[tuple[int, int, int], None] = {}
        for target in chosen.tolist():
            part = slice(int(self._starts[target]), int(self._starts[target + 1]))
            sources, kinds = self._sources[part], self._kinds[part]
            inside = (kinds % 2 == 0) & np.isin(sources, chosen)
            for source, kind in zip(sources[inside].tolist(), kinds[inside].tolist(), strict=True):
                ends = (source, target)
                if self._symmetric[kind // 2] and source > target:
                    ends = (target, source)
                found[(*ends, kind // 2)] = None
        place = self._place
        return [(int(place[a]), int(place[b]), self.relations[kind]) for a, b, kind in found]

    def _range(self, position: int) -> tuple[int, int]:
        row = int(self.graph_rows[position])
        return (0, 0) if row < 0 else (int(self._starts[row]), int(self._starts[row + 1]))
