"""Folders of MMRec: users, items, interactions, and features of items."""

from mmgraph.formats.mmrec.reading import looks_like_mmrec, read_mmrec
from mmgraph.formats.mmrec.writing import write_mmrec

__all__ = ["looks_like_mmrec", "read_mmrec", "write_mmrec"]
