"""Engines by name, as the command line writes them."""

from __future__ import annotations

from mmgraph.engines.base import Engine
from mmgraph.engines.local import LocalEngine
from mmgraph.errors import InputError, unknown_choice

ENGINES: dict[str, str] = {
    "local": "this process",
    "ray": "workers of Ray, on this machine or, with RAY_ADDRESS, on a cluster; needs the extra ray",
}
"""What `make_engine` understands, with one line each."""


def make_engine(name: str = "local", *, workers: int | None = None, device: str = "cpu") -> Engine:
    """Make an engine.

    Args:
        name: One of `ENGINES`.
        workers: Number of worker processes; as many as there are free processors by default. Only for `ray`.
        device: Where the work runs. On `cuda` each worker of `ray` gets a GPU of its own.

    Raises:
        InputError: If the name is unknown or `workers` does not fit it.
        MissingExtraError: If the package of the engine is missing.
    """
    if name not in ENGINES:
        raise unknown_choice("engine", name, ENGINES)
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if name == "local":
        if workers not in (None, 1):
            raise InputError(f"engine local is one process, got {workers} workers; for more: --engine ray")
        return LocalEngine()
    from mmgraph.engines.ray import RayEngine

    return RayEngine(workers=workers, gpus_per_worker=1 if device.startswith("cuda") else 0)
