"""Groups of nodes: k-means over embeddings, Leiden over edges, names from texts, agreement with labels."""
