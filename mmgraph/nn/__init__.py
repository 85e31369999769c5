"""Modules of the model."""
