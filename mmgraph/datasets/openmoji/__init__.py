"""The graph of all emoji: pictures, names, and the structure that Unicode gives them."""
