"""Datasets of the Open Graph Benchmark, from their files or from the objects of the package `ogb`."""

from mmgraph.formats.ogb.bundle import bundle_from_ogb
from mmgraph.formats.ogb.graph import from_ogb, load_ogb

__all__ = ["bundle_from_ogb", "from_ogb", "load_ogb"]
