"""Fakes and factories for tests, ours and our users'."""
