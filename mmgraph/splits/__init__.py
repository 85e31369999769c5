"""Splits of nodes, edges and interactions, which move together what belongs together."""
