"""Graphs from tables: what people have, and what `mmgraph` writes."""

from mmgraph.formats.tables.reading import ImportedTables, import_tables, read_tables
from mmgraph.formats.tables.writing import write_tables

__all__ = ["ImportedTables", "import_tables", "read_tables", "write_tables"]
