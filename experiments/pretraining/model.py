"""What a row of the tables is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from context import Context, LoadedGraph
from measures import Subject

Prepared = tuple[Subject, float]
"""A model ready to be scored, and the seconds that its training took."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model of the study.

    Attributes:
        label: How tables print it.
        family: `control`, `baseline`, `supervised` or `ours`.
        seeded: Whether it depends on a seed.
        settings: What decides its numbers besides seed, graph and tasks, ready for JSON.
        prepare: Train it or continue its training with a seed, and make it ready to be scored on a graph.
        applies: Whether it has anything to say about a graph.
        claim: Name of a training that several models or graphs share, so that two processes do not run it at once.
    """

    label: str
    family: str
    seeded: bool
    settings: Callable[[Context, LoadedGraph], dict[str, Any]]
    prepare: Callable[[Context, LoadedGraph, int], Prepared]
    applies: Callable[[Context, LoadedGraph], bool] = lambda _context, _graph: True
    claim: Callable[[Context, LoadedGraph], str] = lambda _context, _graph: ""
