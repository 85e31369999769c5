"""Training on the labels, links, interactions or queries of a task, from a pre-trained encoder or from nothing."""
