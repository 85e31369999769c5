"""The packages of a Debian release: what they are, what they need, what they look like."""
