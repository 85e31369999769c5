"""Ways to write an embedding table for other tools."""
