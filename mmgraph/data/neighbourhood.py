"""Nodes that a few steps lead to, over any relation and in either direction."""

from __future__ import annotations

import weakref

import numpy as np

from mmgraph.data.graph import MultimodalGraph


class Neighbourhood:
    """Edges of a graph by their source, so that a walk reads the edges that it takes and no others.

    Args:
        graph: All of its relations are used, both ways.
    """

    def __init__(self, graph: MultimodalGraph) -> None:
        ends = [relation.edge_index.numpy(force=True) for relation in graph.relations.values()]
        edges = np.concatenate([np.empty((2, 0), dtype=np.int64), *ends], axis=1)
        source, target = np.concatenate(edges), np.concatenate(edges[::-1])
        self._targets = target[np.argsort(source, kind="stable")]
        self._degrees = np.bincount(source, minlength=graph.num_nodes)
        self._starts = np.cumsum(self._degrees) - self._degrees

    def within(self, nodes: np.ndarray, hops: int) -> np.ndarray:
        """Positions at most so many edges away from the nearest of these nodes, ascending; the nodes themselves too.

        Args:
            nodes: Positions, int64.
            hops: Number of edges; 0 gives the nodes alone.
        """
        reached = np.zeros(len(self._degrees), dtype=bool)
        reached[nodes] = True
        border = np.flatnonzero(reached)
        for _ in range(hops):
            counts = self._degrees[border]
            first = self._starts[border] - np.cumsum(counts) + counts
            found = self._targets[np.repeat(first, counts) + np.arange(counts.sum())]
            border = np.unique(found[~reached[found]])
            reached[border] = True
            if len(border) == 0:
                break
        return np.flatnonzero(reached)


_known: weakref.WeakKeyDictionary[MultimodalGraph, Neighbourhood] = weakref.WeakKeyDictionary()


def neighbourhood_of(graph: MultimodalGraph) -> Neighbourhood:
    """The neighbourhoods of a graph, made once for as long as the graph lives."""
    if graph not in _known:
        _known[graph] = Neighbourhood(graph)
    return _known[graph]
