"""Pure functions with one definition each."""
