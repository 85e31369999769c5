"""Time of embedding all nodes with a network of two layers: `mmgraph.embed` beside two forms in PyG with the same weights.

- `whole graph`: one forward pass over the whole `edge_index`, where its messages fit into memory.
- `layer by layer`: what PyG's examples do on large graphs (`reddit.py`, `ogbn_products_sage.py`), 4,096 nodes with all of their
  neighbours at a time. Their loader needs pyg-lib or torch-sparse; here a plain loop over rows of scipy's CSR draws the same batches.

All start with the same projection of features, and each layer is `PReLU(LayerNorm(x + conv(x)))`. Results must be equal up to
rounding. `embed` takes one range up to a million nodes and edges, and bounded ranges beyond; `in ranges` has it use ranges of 4,096
nodes too, so that memory is bounded alike.

    python experiments/benchmarks/inference.py [--sizes 16000,160000 64000,640000 256000,2560000] [--repeats 3] [--out F.json]
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch
from random_graphs import random_edges
from timing import alternate, run_sizes, size_parser, timed_row
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.inference.embed import embed
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gat import GATConv
from mmgraph.nn.gnn import GNNConfig, GNNLayer
from mmgraph.nn.moe import MoEConfig

SIZES = ["16000,160000", "64000,640000", "256000,2560000"]
BATCH = 4096
LARGEST_WHOLE = 4 * 2**30
"""Bytes of the messages of one layer, several of which are in memory at once, up to which the whole graph is tried."""
CLOSE = 1e-4


def graph_of(edge_index: Tensor, num_nodes: int, dim: int) -> MultimodalGraph:
    """Random features on nodes of one type; one relation whose messages are these edges."""
    once = edge_index[:, edge_index[0] < edge_index[1]]
    random = torch.Generator().manual_seed(0)
    values = torch.randn(num_nodes, dim, generator=random)
    features = ModalityFeatures(FeatureSpec("text", "random", dim), values, torch.ones(num_nodes, dtype=torch.bool))
    types = torch.zeros(num_nodes, dtype=torch.int64)
    relations = {"linked": Relation(once, "node", "node")}
    return MultimodalGraph("bench", NodeIds(np.arange(num_nodes)), ("node",), types, relations, {"text": features})


def copy_to_pyg(layer: GNNLayer) -> nn.Module:
    """The convolution of PyG with the weights of ours."""
    from torch_geometric.nn import GATConv as PyGGATConv
    from torch_geometric.nn import SAGEConv as PyGSAGEConv

    conv = layer.conv
    with torch.no_grad():
        if isinstance(conv, GATConv):
            attention = PyGGATConv(conv.dim, conv.dim // conv.heads, heads=conv.heads)
            attention.lin.weight.copy_(conv.weight)
            attention.att_src.copy_(conv.att_source.unsqueeze(0))
            attention.att_dst.copy_(conv.att_target.unsqueeze(0))
            attention.bias.copy_(conv.bias)
            return attention.eval()
        mean = PyGSAGEConv(conv.own.in_features, conv.own.out_features)
        mean.lin_l.load_state_dict(conv.neighbours.state_dict())
        mean.lin_r.load_state_dict(conv.own.state_dict())
        return mean.eval()


class Reference:
    """The same network in PyG.

    Args:
        encoder: The network of ours; everything but the convolutions is shared.
        graph: The graph.
    """

    def __init__(self, encoder: GraphEncoder, graph: MultimodalGraph) -> None:
        self.encoder, self.graph = encoder, graph
        self.layers = list(encoder.gnn.layers)
        self.convs = [copy_to_pyg(layer) for layer in self.layers]
        self.edge_index = graph.message_edges()[0]

    def _after(self, number: int, x: Tensor, messages: Tensor) -> Tensor:
        layer = self.layers[number]
        return layer.activation(layer.norm(messages + x))

    @torch.no_grad()
    def whole(self) -> Tensor:
        """One forward pass."""
        x = self.encoder.fuse(self.graph.features).x
        for number, conv in enumerate(self.convs):
            x = self._after(number, x, conv(x, self.edge_index))
        return x

    @torch.no_grad()
    def layer_wise(self) -> Tensor:
        """All nodes through one layer before the next, a batch of rows of the CSR at a time."""
        x = self.encoder.fuse(self.graph.features).x
        count = self.graph.num_nodes
        source, target = self.edge_index.numpy()
        rows = scipy.sparse.coo_matrix((np.ones(source.size, np.int8), (target, source)), shape=(count, count)).tocsr()
        indptr, indices = torch.from_numpy(rows.indptr).long(), torch.from_numpy(rows.indices).long()
        for number, conv in enumerate(self.convs):
            out = torch.empty_like(x)
            for start in range(0, count, BATCH):
                stop = min(start + BATCH, count)
                neighbours = indices[indptr[start] : indptr[stop]]
                batch = torch.arange(start, stop)
                # The targets are the first rows of the sources, as PyG's loaders have it and its self-loops expect.
                others = torch.unique(neighbours)
                others = others[(others < start) | (others >= stop)]
                place = torch.cat([batch, others])
                inside = (neighbours >= start) & (neighbours < stop)
                local = torch.where(inside, neighbours - start, 0)
                local[~inside] = stop - start + torch.searchsorted(others, neighbours[~inside])
                into = torch.repeat_interleave(torch.arange(stop - start), indptr[start : stop + 1].diff())
                edges = torch.stack([local, into])
                out[start:stop] = self._after(number, x[start:stop], conv((x[place], x[start:stop]), edges))
            x = out
        return x


def measure(num_nodes: int, num_edges: int, dim: int, repeats: int) -> list[dict[str, Any]]:
    """Lines of one graph: both kinds of layers against both forms of PyG."""
    edge_index = random_edges(num_nodes, num_edges)
    graph = graph_of(edge_index, num_nodes, dim)
    lines = []
    for name, conv in (("SAGE", "sage"), ("GAT", "gat")):
        torch.manual_seed(0)
        gnn = GNNConfig(conv=conv, num_layers=2, zero_init=False)
        config = EncoderConfig(dim=dim, moe=MoEConfig(num_experts=0), gnn=gnn)
        encoder = GraphEncoder(config, [item.spec for item in graph.features.values()]).eval()
        reference = Reference(encoder, graph)
        forms: dict[str, Callable[[], Tensor]] = {
            "ours": lambda encoder=encoder: embed(encoder, graph).vectors,
            "in ranges": lambda encoder=encoder: embed(encoder, graph, num_ranges=-(-num_nodes // BATCH)).vectors,
            "layer by layer": reference.layer_wise,
        }
        if num_edges * dim * 4 <= LARGEST_WHOLE:
            forms["whole graph"] = reference.whole
        results = {key: form() for key, form in forms.items()}
        difference = max(float((found - results["ours"]).abs().max()) for found in results.values())
        if difference > CLOSE:
            raise SystemExit(f"{name}, {num_nodes:,} nodes: results differ by {difference:.1e}")
        del results
        times = alternate(forms, repeats=repeats, warm_up=0)
        size, more = {"nodes": num_nodes, "edges": edge_index.size(1)}, {"largest_difference": difference, "dim": dim}
        title = f"embed {name} x 2, speed-up over PyG"
        if "whole graph" in forms:
            lines.append(timed_row(f"{title}'s whole graph", size, times, "whole graph", **more))
        lines.append(timed_row(f"{title} layer by layer", size, times, "layer by layer", **more))
        ranges = timed_row(
            f"{title} layer by layer, in ranges", size, times, "layer by layer", ours="in ranges", **more
        )
        lines.append(ranges)
    return lines


def main() -> None:
    parser = size_parser(__doc__, repeats=3)
    parser.set_defaults(sizes=SIZES)
    parser.add_argument("--dim", type=int, default=128, help="width of features and embeddings")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    run_sizes(args, lambda nodes, edges: measure(nodes, edges, args.dim, args.repeats))


if __name__ == "__main__":
    main()
