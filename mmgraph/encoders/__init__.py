"""Frozen encoders of raw content, their cache and the pipeline over a graph."""
