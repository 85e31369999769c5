"""Groups of nodes that no split may tear apart, made of whatever they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import networkx as nx


def joined_groups(nodes: Collection[str], *shared: Mapping[str, Any]) -> dict[str, str]:
    """Put nodes into one group that share something, directly or through others.

    Args:
        nodes: Ids of all nodes.
        shared: Each maps nodes to what they may share: a source, a text, the digest of a picture, another grouping.
            Equal values of one mapping join; values of different mappings have nothing to do with each other. Nodes
            without an entry share nothing.

    Returns:
        For every node the smallest id of its group: what the splitters of nodes take as `groups`.
    """
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    for known in shared:
        first: dict[Any, str] = {}
        graph.add_edges_from((node, first.setdefault(known[node], node)) for node in nodes if node in known)
    return {node: min(group) for group in nx.connected_components(graph) for node in group}
