"""The formats of embedding tables; this file imports none of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TableFormat:
    """A way to store a table. Functions are given as `module:name` in `mmgraph.export`, imported when they are needed.

    Attributes:
        write: `write(table, path, overwrite=False, **options)`; writes a checked table, whole or not at all.
        read: `read(path, verify=True) -> EmbeddingTable`; the table is then searched in memory.
        store: Subclass of `Store` that searches in place, instead of `read`.
        folder: Whether the path is a folder.
        extra: Extra of `pyproject.toml` that installs the library.
        module: Module of the library.
        suffix: Suffix of the file, by which it is read again.
        zero: Whether zero vectors can be allowed; a store that ranks by cosine takes none.
        options: What `write` takes besides.
        update: `update(store, new, merged, path)`, if replacing a few vectors is not writing everything again.
    """

    write: str
    read: str = ""
    store: str = ""
    folder: bool = True
    extra: str = ""
    module: str = ""
    suffix: str = ""
    zero: bool = True
    options: tuple[str, ...] = ()
    update: str = ""


FORMATS: dict[str, TableFormat] = {
    "parquet": TableFormat("parquet:write_parquet", "parquet:read_parquet", folder=False),
    "npy": TableFormat("numpy:write_numpy", "numpy:read_numpy"),
    "faiss": TableFormat("faiss:write_flat", store="faiss:FaissStore", extra="faiss", module="faiss", zero=False),
    "faiss-hnsw": TableFormat("faiss:write_hnsw", store="faiss:FaissStore", extra="faiss", module="faiss", zero=False),
    "faiss-ivfpq": TableFormat(
        "faiss:write_ivfpq",
        store="faiss:FaissStore",
        extra="faiss",
        module="faiss",
        zero=False,
        update="faiss:upsert_ivfpq",
    ),
    "lancedb": TableFormat(
        "lancedb:write_lancedb", store="lancedb:LanceStore", extra="lancedb", module="lancedb", zero=False
    ),
    "duckdb": TableFormat("duckdb:write_duckdb", store="duckdb:DuckStore", extra="duckdb", module="duckdb", zero=False),
    "qdrant": TableFormat(
        "qdrant:write_qdrant",
        store="qdrant:QdrantStore",
        extra="qdrant",
        module="qdrant_client",
        zero=False,
        options=("url",),
        update="qdrant:upsert_qdrant",
    ),
    "usearch": TableFormat(
        "usearch:write_usearch", store="usearch:UsearchStore", extra="usearch", module="usearch", zero=False
    ),
    "safetensors": TableFormat("safetensors:write_safetensors", "safetensors:read_safetensors"),
    "compressed": TableFormat(
        "compressed:write_compressed",
        store="compressed:open_compressed",
        zero=False,
        options=("form", "inner", "seed"),
        update="compressed:upsert_compressed",
    ),
    "projector": TableFormat("projector:write_projector", "projector:read_projector"),
    "graphml": TableFormat(
        "networkx:write_graphml", "networkx:read_graphml", folder=False, suffix=".graphml", options=("graph",)
    ),
    "gexf": TableFormat("networkx:write_gexf", "networkx:read_gexf", folder=False, suffix=".gexf", options=("graph",)),
}
"""Formats by name. A new one is one file and one line here."""

INNER = ("parquet", "npy", "safetensors", "faiss", "faiss-hnsw", "faiss-ivfpq", "usearch", "lancedb", "duckdb")
"""Formats that `compressed` can keep narrower vectors in."""
