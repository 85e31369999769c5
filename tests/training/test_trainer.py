"""Schedule, checkpoints and the log."""

from __future__ import annotations

import errno
import itertools
import json
from pathlib import Path

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.training.checkpoint import Checkpoint
from mmgraph.training.optim import OptimConfig, build_optimizer, learning_rate
from mmgraph.training.tracking import Tracker, read_metrics
from mmgraph.training.trainer import StepOutput, Trainer


def test_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    config = OptimConfig(lr=2.0, warmup=0.1, final_lr=0.1)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_only_matrices_are_decayed() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    decayed, plain = build_optimizer({"model": module}, OptimConfig(weight_decay=0.5)).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(2, 3)]
    assert decayed["weight_decay"] == 0.5
    assert len(plain["params"]) == 3
    assert plain["weight_decay"] == 0.0


def make_trainer(folder: Path, *, steps: int = 6, digest: str = "d") -> tuple[Trainer, torch.nn.Module]:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    folder.mkdir(exist_ok=True)
    return Trainer(
        {"net": module}, OptimConfig(), steps=steps, folder=folder, digest=digest, save_every=2, log_every=1
    ), module


def regression(module: torch.nn.Module, *, stop_at: int | None = None):
    def run(step: int) -> StepOutput:
        if step == stop_at:
            raise RuntimeError("killed")
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(step))
        loss = (module(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        return StepOutput(loss.item(), {})

    return run


def test_a_stopped_run_goes_on_bit_for_bit_with_dropout(tmp_path: Path) -> None:
    trainer, whole = make_trainer(tmp_path / "whole")
    trainer.fit(regression(whole))
    trainer, module = make_trainer(tmp_path / "parts")
    with pytest.raises(RuntimeError, match="killed"):
        trainer.fit(regression(module, stop_at=5))
    torch.manual_seed(99)
    trainer, module = make_trainer(tmp_path / "parts")
    trainer.restore()
    assert trainer.step == 4
    trainer.fit(regression(module))
    for a, b in zip(whole.parameters(), module.parameters(), strict=True):
        assert torch.equal(a, b)
    losses = [[row["loss"] for row in read_metrics(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    trainer, module = make_trainer(tmp_path)

    def explode(step: int) -> StepOutput:
        output = regression(module)(step)
        return output if step < 3 else StepOutput(float("nan"), {})

    with pytest.raises(InputError, match="at step 3; lower optim.lr"):
        trainer.fit(explode)
    assert Checkpoint.load(tmp_path / "last.pt", digest="d").step == 2


def test_checkpoints_of_another_run_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path)
    with pytest.raises(InputError, match="no checkpoint there"):
        trainer.restore()
    trainer.save()
    with pytest.raises(InputError, match="belongs to another configuration"):
        make_trainer(tmp_path, digest="e")[0].restore()
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"last.pt: the file is damaged"):
        trainer.restore()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: b""])
def test_the_previous_checkpoint_is_used_if_the_last_is_damaged(tmp_path: Path, damage, caplog) -> None:
    trainer, whole = make_trainer(tmp_path / "whole")
    trainer.fit(regression(whole))
    trainer, module = make_trainer(tmp_path / "parts")
    with pytest.raises(RuntimeError, match="killed"):
        trainer.fit(regression(module, stop_at=5))
    last = tmp_path / "parts" / "last.pt"
    last.write_bytes(damage(last.read_bytes()))
    trainer, module = make_trainer(tmp_path / "parts")
    trainer.restore()
    assert trainer.step == 2
    assert "last.pt: the file is damaged" in caplog.text
    assert "previous.pt, step 2" in caplog.text
    # A damaged file must never take the place of the good one.
    trainer.save()
    assert Checkpoint.load(tmp_path / "parts" / "last.pt", digest="d").step == 2
    assert Checkpoint.load(tmp_path / "parts" / "previous.pt", digest="d").step == 2
    trainer.fit(regression(module))
    for a, b in zip(whole.parameters(), module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_byte_of_a_checkpoint_counts(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path)
    trainer.save()
    path = tmp_path / "last.pt"
    data = path.read_bytes()
    for place in range(0, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InputError, match="last.pt: the file is damaged"):
            trainer.restore()


def test_two_damaged_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path)
    trainer.save()
    trainer.save()
    for name in ("last.pt", "previous.pt"):
        (tmp_path / name).write_bytes(b"x" * 200)
    with pytest.raises(InputError, match=r"last.pt: the file is damaged.*previous.pt: the file is damaged"):
        trainer.restore()


def test_a_run_without_its_last_checkpoint_goes_on_from_the_previous(tmp_path: Path, caplog) -> None:
    trainer, _ = make_trainer(tmp_path)
    trainer.step = 3
    trainer.save()
    (tmp_path / "last.pt").rename(tmp_path / "previous.pt")  # a kill between two renames, where links do not exist
    other, _ = make_trainer(tmp_path)
    assert other.has_checkpoint
    other.restore()
    assert other.step == 3
    assert "last.pt: the file is missing" in caplog.text


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, module = make_trainer(tmp_path)
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if trainer.step < 4:
            return write_bytes(path, data)
        write_bytes(path, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.fit(regression(module))
    assert Checkpoint.load(tmp_path / "last.pt", digest="d").step == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_the_log_drops_steps_that_are_run_again_and_a_cut_line(tmp_path: Path) -> None:
    with Tracker(tmp_path, tensorboard=False) as tracker:
        for step in range(4):
            tracker.log(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1, 2, 3]
    with Tracker(tmp_path, first_step=2, tensorboard=False) as tracker:
        tracker.log(2, {"loss": 9.0})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(0, 0.0), (1, 1.0), (2, 9.0)]


def test_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is .* a run folder"):
        read_metrics(tmp_path)
