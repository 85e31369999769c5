"""Smaller forms of embeddings, and what each of them costs."""
