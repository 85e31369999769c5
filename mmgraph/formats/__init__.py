"""Readers and writers of formats that people have, one file each."""
