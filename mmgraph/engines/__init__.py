"""Where pure functions over shards run: in this process, or in the workers of Ray."""
