"""Downstream tasks: they own labels, held-out edges and queries."""
