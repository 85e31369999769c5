"""Checkpoints that hold everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgraph.errors import InputError
from mmgraph.files import atomic_path
from mmgraph.untrusted import DAMAGED, reading, reason


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` optimiser steps.

    Batches, masks and the schedule depend on (seed, step) alone, so the step is the whole cursor. The global random
    state is kept for `nn.Dropout`, which knows no generator.

    Attributes:
        step: Optimiser steps that are done.
        modules: State of the trained modules by name.
        optimizer: State of the optimiser.
        rng: Global random state, by device.
        digest: Digest of the configuration and the graphs; a run with another one is refused.
    """

    step: int
    modules: dict[str, dict[str, Any]]
    optimizer: dict[str, Any]
    rng: dict[str, Any]
    digest: str

    def save(self, path: Path) -> None:
        """Write atomically: a kill leaves the previous checkpoint in place."""
        # Through memory, because torch's own writer turns a full disk into a RuntimeError.
        buffer = io.BytesIO()
        torch.save(vars(self), buffer)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    @classmethod
    def load(cls, path: Path, *, digest: str) -> Checkpoint:
        """Read without unpickling code.

        Raises:
            InputError: If the file is missing or damaged, or belongs to another configuration.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise InputError(f"{path}: no checkpoint there; start the run with `mmgraph pretrain`") from None
        except (*DAMAGED, OSError) as error:
            raise InputError(f"{path}: the checkpoint is damaged ({reason(error)})") from None
        with reading(path, "a checkpoint"):
            checkpoint = cls(**state)
        if checkpoint.digest != digest:
            raise InputError(
                f"{path}: the checkpoint belongs to another configuration or other graphs "
                f"(digest {checkpoint.digest[:12]}, this run has {digest[:12]})"
            )
        return checkpoint

    def restore(self, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
        """Put the state back into modules, optimiser and the global random state."""
        with reading("checkpoint", "the state of these modules and this optimiser"):
            for name, module in modules.items():
                module.load_state_dict(self.modules[name])
            optimizer.load_state_dict(self.optimizer)
            set_rng(self.rng)

    @classmethod
    def of(
        cls, step: int, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, *, digest: str
    ) -> Checkpoint:
        """Take the state of a run."""
        states = {name: module.state_dict() for name, module in modules.items()}
        return cls(step, states, optimizer.state_dict(), get_rng(), digest)


def get_rng() -> dict[str, Any]:
    """State of torch's global generators."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng(state: dict[str, Any]) -> None:
    """Restore what `get_rng` returned; a machine without the devices restores what it has."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
