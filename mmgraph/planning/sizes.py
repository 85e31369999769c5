"""What a job occupies, as formulas of its workload. Sizes are bytes."""

from __future__ import annotations

from math import log2

from mmgraph.planning.workload import Workload

ID_BYTES = 24
"""A node's id as a short string with its offset, and its type."""
HNSW_LINK_BYTES = 2 * 32 * 4
"""Faiss keeps 2 * M links of four bytes on the lowest level, M = 32."""
PQ_DIMS_PER_BYTE = 8
SIGN_LEVELS = 3
"""Levels of the default model: the node itself and one and two steps away."""


def graph_bytes(job: Workload) -> int:
    """The store: ids and types, two int64 per edge, and the features."""
    return ID_BYTES * job.nodes + 16 * job.edges + job.feature_bytes


def csr_bytes(job: Workload) -> int:
    """Starts, sources and types, int64 each."""
    return 8 * (job.nodes + 1) + 16 * job.messages


def matrix_bytes(job: Workload) -> int:
    """One float32 vector per node."""
    return 4 * job.dim * job.nodes


def message_bytes(job: Workload) -> int:
    """Messages with source, target and type as int64, and their weight."""
    return 28 * job.messages


def block_bytes(job: Workload, relation_keys: int = 2) -> int:
    """Everything that the default model computes for a whole graph in advance (`GraphBlocks`).

    Aligned features by modality, levels, structure levels, the sum over each direction of each relation, all float32
    `[num_nodes, dim]`; the weighted adjacency and its sorted form once for all relations and once split among them.
    """
    matrices = len(job.features) + 2 * SIGN_LEVELS + relation_keys
    return matrices * matrix_bytes(job) + 2 * (12 + 24) * job.messages


def index_bytes(job: Workload) -> int:
    """The search index."""
    flat = matrix_bytes(job)
    sizes = {
        "none": 0,
        "faiss": flat,
        "faiss-hnsw": flat + HNSW_LINK_BYTES * job.nodes,
        "faiss-ivfpq": (job.dim // PQ_DIMS_PER_BYTE + 8) * job.nodes,
    }
    return sizes[job.index]


def index_work(job: Workload) -> float:
    """Size by which the time to build the index grows: values, times log of the number of nodes for a navigable graph."""
    work = float(job.nodes * job.dim)
    return work * log2(job.nodes) if job.index == "faiss-hnsw" else work
