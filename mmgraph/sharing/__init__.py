"""Models and graphs as folders that others can read: cards, and the way to and from a hub."""
