"""Graphs of NetworkX: encoded graphs both ways, and raw content with splits."""

from mmgraph.formats.networkx.graph import from_networkx, to_networkx
from mmgraph.formats.networkx.raw import raw_from_networkx, split_from_networkx

__all__ = ["from_networkx", "raw_from_networkx", "split_from_networkx", "to_networkx"]
