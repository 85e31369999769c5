"""What a run writes down while it trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from mmgraph.errors import InputError
from mmgraph.files import atomic_path
from mmgraph.untrusted import reads

MEASURED = ("seconds", "data_seconds", "own_mib")
"""Keys of `metrics.jsonl` that depend on the machine; all others are equal for equal runs."""


class Tracker:
    """Appends one line per logged step to `metrics.jsonl` and the scalars to TensorBoard.

    Args:
        folder: The run folder.
        first_step: Lines of this step and later are dropped: a resumed run writes them again.
        tensorboard: Also write event files to `tensorboard/`.
        is_on: False for a process that writes nothing.
    """

    def __init__(self, folder: Path, *, first_step: int = 0, tensorboard: bool = True, is_on: bool = True) -> None:
        self.path = folder / "metrics.jsonl"
        self._file: TextIO | None = None
        self._writer: Any = None
        if not is_on:
            return
        kept = [line for line in read_metrics(folder) if line["step"] < first_step] if self.path.exists() else []
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  (closed by __exit__)
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Write the metrics of a step: numbers, or short lists of numbers."""
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **metrics}) + "\n")
            self._file.flush()
        if self._writer is not None:
            for name, value in metrics.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, step)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._writer is not None:
            self._writer.close()


@reads("the metrics of a run")
def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """All logged steps of a run. A last line cut off by a kill is left out.

    Raises:
        InputError: If the file is missing or a line before the last is not JSON.
    """
    path = Path(folder) / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: file not found; is {folder} a run folder?") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise InputError(f"{path}, line {number}: expected JSON, got: {error}") from None
    return rows
