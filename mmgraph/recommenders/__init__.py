"""Recommenders that are trained on the interactions of a graph: the usual baselines, and ours."""
