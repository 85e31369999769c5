"""Objects of PyTorch Geometric: `Data` and `HeteroData`."""

from mmgraph.formats.pyg.bundle import bundle_from_pyg
from mmgraph.formats.pyg.graph import from_pyg, to_pyg
from mmgraph.formats.pyg.hetero import to_hetero_pyg

__all__ = ["bundle_from_pyg", "from_pyg", "to_hetero_pyg", "to_pyg"]
