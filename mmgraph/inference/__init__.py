"""From a trained encoder to embeddings of nodes and queries."""
