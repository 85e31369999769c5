"""Early stopping that survives a kill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import nn

from mmgraph.errors import InputError
from mmgraph.files import atomic_path
from mmgraph.finetuning.problem import Validation
from mmgraph.sealed import read_sealed_json, seal, unseal, write_sealed_json
from mmgraph.untrusted import reading


class EarlyStopping:
    """Keeps the weights that were best on validation data, and says when enough was tried.

    Args:
        folder: Run folder; `validation.json` and `best.safetensors` live there.
        modules: What is kept, by name.
        patience: Looks in a row without a better score.
        writes: False for a process that leaves the files to another.
    """

    def __init__(self, folder: Path, modules: Mapping[str, nn.Module], patience: int, *, writes: bool = True) -> None:
        self.modules, self.patience, self.writes = modules, patience, writes
        self.history_path, self.best_path = folder / "validation.json", folder / "best.safetensors"
        self.history: list[dict[str, Any]] = []

    @property
    def best(self) -> dict[str, Any]:
        """The look with the best score, the first of equal ones: `step`, `score` and metrics."""
        return max(self.history, key=lambda look: tuple(look["score"]))

    @property
    def is_done(self) -> bool:
        """Whether the last `patience` looks were no better."""
        return len(self.history) - 1 - self.history.index(self.best) >= self.patience if self.history else False

    def rewind(self, step: int) -> None:
        """Go back to what was known after a step: a resumed run looks again at what follows."""
        history = read_looks(self.history_path.parent) if self.history_path.exists() else []
        self.history = [look for look in history if look["step"] <= step]

    def add(self, step: int, found: Validation) -> None:
        """Take a look into account, and keep the weights if it is the best so far."""
        if any(look["step"] == step for look in self.history):
            return
        self.history.append({"step": step, "score": list(found.score), "metrics": found.metrics})
        if not self.writes:
            return
        if self.best["step"] == step:
            weights = {
                f"{name}/{key}": tensor.detach().cpu().contiguous()
                for name, module in self.modules.items()
                for key, tensor in module.state_dict().items()
            }
            with atomic_path(self.best_path) as temporary:
                data = save(weights, metadata={"step": json.dumps(step)})
                temporary.write_bytes(data + seal(data))
        write_sealed_json(self.history_path, {"looks": self.history})

    def restore_best(self) -> None:
        """Put the best weights back into the modules.

        Raises:
            InputError: If the file is missing or damaged, or belongs to another step than the best look.
        """
        with reading(self.best_path, "the best weights of a run"):
            if not self.best_path.exists():
                raise InputError(f"{self.best_path}: file not found; start again in another folder")
            data = bytes(unseal(self.best_path.read_bytes(), self.best_path))
            step = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["step"])
            if step != self.best["step"]:
                raise InputError(
                    f"{self.best_path}: weights of step {step}, but the best look was at {self.best['step']}"
                )
            weights = load(data)
            for name, module in self.modules.items():
                prefix = f"{name}/"
                module.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})


def read_looks(folder: Path) -> list[dict[str, Any]]:
    """All looks at the validation data of a run: `step`, `score` and `metrics`.

    Raises:
        InputError: If `validation.json` is missing or was changed.
    """
    path = folder / "validation.json"
    content = read_sealed_json(path)
    with reading(path, "looks at validation data"):
        looks = list(content["looks"] if isinstance(content, dict) else content)  # a list in an earlier version
        for look in looks:
            numbers = isinstance(look["score"], list) and all(type(part) in (int, float) for part in look["score"])
            if type(look["step"]) is not int or not isinstance(look["metrics"], dict) or not numbers:
                raise ValueError(f"a look without step, score and metrics: {look}")
    return looks
