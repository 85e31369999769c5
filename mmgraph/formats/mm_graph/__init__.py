"""Folders of the MM-Graph benchmark: node classification and link prediction on text and images."""

from mmgraph.formats.mm_graph.reading import looks_like_mm_graph, read_mm_graph
from mmgraph.formats.mm_graph.writing import write_mm_graph

__all__ = ["looks_like_mm_graph", "read_mm_graph", "write_mm_graph"]
