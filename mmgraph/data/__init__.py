"""Graphs, ids, sampling and storage."""
