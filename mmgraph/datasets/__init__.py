"""Builders of real graphs, with their tasks, from files that anyone can get."""

from mmgraph.datasets.base import available_datasets, build_dataset

__all__ = ["available_datasets", "build_dataset"]
