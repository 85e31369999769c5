"""Checkpoints that hold everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgraph.errors import InputError
from mmgraph.files import atomic_path
from mmgraph.sealed import seal, unseal
from mmgraph.untrusted import damaged, reading, reason

logger = logging.getLogger(__name__)

LAST, PREVIOUS, DAMAGED = "last.pt", "previous.pt", "damaged.pt"


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
        """Write atomically, with a SHA-256 at the end: a kill leaves the previous checkpoint in place."""
        # Through memory, because torch's own writer turns a full disk into a RuntimeError.
        buffer = io.BytesIO()
        torch.save(vars(self), buffer)
        buffer.seek(0, io.SEEK_END)
        buffer.write(seal(buffer.getvalue()))
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    @classmethod
    def load(cls, path: Path, *, digest: str) -> Checkpoint:
        """Read without unpickling code, after the SHA-256 at the end of the file has been compared.

        Raises:
            DamagedCheckpointError: If the file is not whole, or not what was written.
            InputError: If the file is missing, or belongs to another configuration.
        """
        try:
            content = unseal(path.read_bytes(), path)
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            checkpoint = cls(**{field.name: state[field.name] for field in fields(cls)})
            if type(checkpoint.step) is not int or checkpoint.step < 0 or not isinstance(checkpoint.digest, str):
                raise TypeError("a step that is no number, or a digest that is no text")
        except FileNotFoundError:
            raise InputError(f"{path}: no checkpoint there; start the run with `mmgraph pretrain`") from None
        except InputError as error:
            raise DamagedCheckpointError(str(error)) from None
        except damaged(OSError) as error:
            raise DamagedCheckpointError(f"{path}: the checkpoint is damaged ({reason(error)})") from None
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
            _check_optimizer(optimizer, self.optimizer)
            optimizer.load_state_dict(self.optimizer)
            set_rng(self.rng)

    @classmethod
    def of(
        cls, step: int, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, *, digest: str
    ) -> Checkpoint:
        """Take the state of a run."""
        states = {name: module.state_dict() for name, module in modules.items()}
        return cls(step, states, optimizer.state_dict(), get_rng(), digest)


def _check_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Compare the state of Adam with its parameters: torch takes any, and fails or goes wrong in the next step.

    Settings are those of the run, of which only the learning rate moves.

    Raises:
        ValueError: Says what does not fit.
    """
    groups = optimizer.state_dict()["param_groups"]
    for fresh, group in zip(groups, state["param_groups"], strict=True):
        if any(group[name] != value for name, value in fresh.items() if name not in ("lr", "initial_lr")):
            raise ValueError(f"other settings of the optimiser: {sorted(group)}")
        if type(group["lr"]) is not float or not 0 <= group["lr"] < math.inf:
            raise ValueError(f"a learning rate of {group['lr']}")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, moments in state["state"].items():
        shape = parameters[number].shape
        shapes = {"step": torch.Size([]), "exp_avg": shape, "exp_avg_sq": shape}
        if {name: value.shape for name, value in moments.items()} != shapes:
            raise ValueError(f"moments of parameter {number} that do not fit its shape {list(shape)}")
        if any(moments[name].dtype != parameters[number].dtype for name in ("exp_avg", "exp_avg_sq")):
            raise ValueError(f"moments of parameter {number} that are not {parameters[number].dtype}")


class DamagedCheckpointError(InputError):
    """The file of a checkpoint is not what was written; an older one may still be good."""


def save_last(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `last.pt`; the one that was there becomes `previous.pt`. At every moment one of the two is whole."""
    last, previous = folder / LAST, folder / PREVIOUS
    if last.exists():
        # A second name first: `last.pt` is there all the time, also for somebody who reads it now.
        with atomic_path(previous) as temporary:
            try:
                os.link(last, temporary)
            except OSError:  # a file system without links
                os.replace(last, temporary)
    checkpoint.save(last)


def load_last(folder: Path, *, digest: str) -> Checkpoint:
    """Read `last.pt`, or, if it is damaged or gone, `previous.pt`, with a warning that names both.

    The damaged file becomes `damaged.pt`, so that the next `save_last` does not put it in the place of the good one.

    Raises:
        InputError: If neither can be used, or they belong to another configuration.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return Checkpoint.load(last, digest=digest)
    except InputError as error:
        if (last.exists() and not isinstance(error, DamagedCheckpointError)) or not previous.exists():
            raise
        reason = str(error) if last.exists() else f"{last}: the file is missing"
    try:
        checkpoint = Checkpoint.load(previous, digest=digest)
    except InputError as error:
        raise InputError(f"{reason}; and {error}; start again in another folder") from None
    with contextlib.suppress(OSError):  # it is gone, or another process has moved it
        os.replace(last, folder / DAMAGED)
    logger.warning("%s; going on from %s, step %d", reason, previous, checkpoint.step)
    return checkpoint


def has_checkpoint(folder: Path) -> bool:
    """Whether there is something to go on from."""
    return (folder / LAST).exists() or (folder / PREVIOUS).exists()


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
