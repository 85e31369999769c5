"""Graphs of which the truth is known: planted communities, users and items with latent tastes."""
