"""Versions of installed packages, for the records that results carry."""

from __future__ import annotations

from importlib import metadata

ABSENT = "absent"


def installed_version(package: str) -> str:
    """Version of an installed package by its name on the package index; `absent` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ABSENT
