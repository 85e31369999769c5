"""Several processes that train one model, started by `torchrun`: what each does, and how it is added up.

Every rank draws the same batch, which depends on (seed, step) alone, and takes its part of the rows. The loss of a step is
the mean over ranks of what they return, and its gradient the sum over ranks of the gradients of `loss / world_size`. So
`batch_size` is that of the step, whatever the number of processes, and the result depends on that number by rounding
alone (with dropout also by what is dropped).

Gradients are added by hand after the backward pass, not by `DistributedDataParallel`: a step has several forward passes
of several graphs, each of which uses other parameters, and embeddings are gathered inside of it. Order matters: all ranks
must call `gather` and `total` in the same order, and either all or none may use the result; branches around them may
depend on the whole batch only, never on the part of a rank.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmgraph.errors import InputError

T = TypeVar("T")
TIMEOUT_SECONDS = 1800
"""How long a rank waits for the others; a rank that dies is noticed at once. `MMGRAPH_TIMEOUT` changes it."""
# The second name is deprecated since torch 2.14; a torch without `distributed` has neither.
_all_gather: Any = getattr(dist, "all_gather_single", None) or getattr(dist, "all_gather_into_tensor", None)


class LostRankError(InputError):
    """Another process of the run failed, ended or does not answer."""


@dataclass(frozen=True)
class Part:
    """The rows of a rank.

    Attributes:
        rows: Of those that all ranks share.
        share: Which share of all rows they are. 0 for a rank that has nothing to do: it then has one row, so that no mean
            is over nothing.
        weight: What a mean over these rows counts in the mean over ranks, `share * world_size`.
    """

    rows: slice
    share: float
    weight: float

    def of(self, x: Tensor, dim: int = 0) -> Tensor:
        """The rows of the part along a dimension; `x` itself, not a view, where it is all of them."""
        if self.rows.stop - self.rows.start == x.size(dim):
            return x
        return x.narrow(dim, self.rows.start, self.rows.stop - self.rows.start)


class Ranks:
    """The processes of a run, seen from one of them. This class is the only process; nothing is split or sent."""

    rank = 0
    world_size = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def part(self, count: int) -> Part:
        """Which of `count` rows are this rank's."""
        start, stop = _bounds(count, self.rank, self.world_size)
        if start == stop and count:
            return Part(slice(0, 1), 0.0, 0.0)
        share = (stop - start) / count if count else 1.0
        return Part(slice(start, stop), share, share * self.world_size if count else 1.0)

    def gather(self, x: Tensor, count: int) -> Tensor:
        """All rows `[count, dim]` from the parts of all ranks, each `[num_rows, dim]`; gradients flow back to them."""
        del count
        return x

    def total(self, x: Tensor) -> Tensor:
        """Sum over the ranks; gradients flow back to all of them."""
        return x

    def variance(self, x: Tensor, part: Part) -> Tensor:
        """Variance of all numbers of which `x` holds those of the rows of a part; no gradient."""
        del part
        return x.var(correction=0).detach()

    def reduce(
        self, parameters: Sequence[nn.Parameter], loss: float, stop: Callable[[], bool]
    ) -> tuple[float, Callable[[], bool]]:
        """Add up the gradients of a step.

        Args:
            parameters: All that are trained, the same on every rank. Those that no rank used keep no gradient.
            loss: Of this rank.
            stop: Whether this rank was asked to stop.

        Returns:
            Mean loss, and whether any rank was asked to stop: all ranks then stop after the same step.
        """
        del parameters
        return loss, stop

    def seed(self, seed: int) -> None:
        """Seed what only knows torch's global generator (dropout), differently on every rank.

        One process keeps its generator, whose state is in the checkpoint.
        """

    def same(self, modules: Iterable[nn.Module]) -> None:
        """Give parameters and buffers of rank 0 to all ranks."""

    def on_main(self, action: Callable[[], T]) -> T:
        """Do something on rank 0 alone while the others wait; its result, plain JSON, goes to all."""
        return action()

    def main_first(self, action: Callable[[], T]) -> T:
        """Do something on rank 0 and then on the others, which find the files that it left."""
        return action()

    def merge(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Mean of what the ranks log, over those that have it: numbers and lists of numbers."""
        return dict(logs)


LOCAL = Ranks()
"""One process."""


class TorchRanks(Ranks):
    """The ranks of the default process group of `torch.distributed`.

    Args:
        device: Of the tensors that are trained.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.device = device
        # NCCL sends nothing that lies on the CPU.
        self._wire = torch.device("cpu") if "gloo" in str(dist.get_backend_config()) else device

    def gather(self, x: Tensor, count: int) -> Tensor:
        """See `Ranks.gather`."""
        gathered: Tensor = x if count == 0 else _Gather.apply(x, count, self)
        return gathered

    def total(self, x: Tensor) -> Tensor:
        """See `Ranks.total`."""
        summed: Tensor = _Total.apply(x, self) if x.numel() else x
        return summed

    def variance(self, x: Tensor, part: Part) -> Tensor:
        """See `Ranks.variance`."""
        x = x.detach().double() * (part.share > 0)
        count = x.numel() * (part.share > 0)
        size, first, second = self.add(torch.stack([x.new_tensor(count), x.sum(), x.square().sum()]))
        found: Tensor = (second / size - (first / size).square()).clamp(min=0).float()
        return found

    def reduce(
        self, parameters: Sequence[nn.Parameter], loss: float, stop: Callable[[], bool]
    ) -> tuple[float, Callable[[], bool]]:
        """See `Ranks.reduce`; everything travels in one message."""
        used = [float(p.grad is not None) for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        notes = torch.tensor([*used, loss, float(stop())], device=self.device)
        flat = self.add(torch.cat([*(gradient.flatten().float() for gradient in gradients), notes]))
        *parts, notes = torch.split(flat, [*(p.numel() for p in parameters), notes.numel()])
        *used, loss, stopped = notes.tolist()
        for parameter, gradient, count in zip(parameters, parts, used, strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if count else None
        return loss / self.world_size, lambda: stopped > 0

    def seed(self, seed: int) -> None:
        """See `Ranks.seed`."""
        torch.manual_seed((seed + self.rank) % 2**63)

    def same(self, modules: Iterable[nn.Module]) -> None:
        """See `Ranks.same`."""
        with torch.no_grad(), _Peers(self):
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    dist.broadcast(tensor.detach(), src=0)

    def on_main(self, action: Callable[[], T]) -> T:
        """See `Ranks.on_main`."""
        return self._from_main(action)

    def main_first(self, action: Callable[[], T]) -> T:
        """See `Ranks.main_first`."""
        if self.is_main:
            kept: list[T] = []
            self._from_main(lambda: kept.append(action()))
            return kept[0]
        self._from_main(lambda: None)
        return action()

    def merge(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """See `Ranks.merge`."""
        every = [json.loads(text) for text in self._exchange(json.dumps(logs))]
        merged: dict[str, Any] = {}
        for key in dict.fromkeys(key for one in every for key in one):
            values = torch.tensor([one[key] for one in every if key in one], dtype=torch.float64)
            merged[key] = values.mean(dim=0).tolist()
        return merged

    def add(self, x: Tensor) -> Tensor:
        """Sum over the ranks, the same bits on each; `x` may be overwritten."""
        with _Peers(self):
            dist.all_reduce(x)
        return x

    def collect(self, x: Tensor) -> Tensor:
        """`[world_size, ...]` from tensors of one shape."""
        out = x.new_empty(self.world_size, *x.shape)
        with _Peers(self):
            _all_gather(out.view(-1, *x.shape[1:]), x.contiguous())
        return out

    def _from_main(self, action: Callable[[], T]) -> T:
        if not self.is_main:
            answer = json.loads(self._exchange("")[0])
            if "value" not in answer:
                raise LostRankError(f"rank {self.rank}: stopped because rank 0 failed; its own message says why")
            value: T = answer["value"]
            return value
        answer = {}
        try:
            value = action()
            answer = {"value": value}
        finally:
            self._exchange(json.dumps(answer))
        return value

    def _exchange(self, text: str) -> list[str]:
        """Texts of all ranks."""
        data = torch.frombuffer(bytearray(text.encode() or b" "), dtype=torch.uint8).to(self._wire)
        sizes = self.collect(torch.tensor([data.numel()], device=self._wire)).flatten().tolist()
        padded = data.new_zeros(max(sizes))
        padded[: data.numel()] = data
        rows = self.collect(padded).view(self.world_size, -1)
        return [bytes(row[:size].tolist()).decode() for row, size in zip(rows, sizes, strict=True)]


class _Peers:
    """Name what happened when a rank is gone."""

    def __init__(self, ranks: TorchRanks) -> None:
        self.rank = ranks.rank

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RuntimeError):
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise LostRankError(
                f"rank {self.rank}: another process of this run ended or gave no answer ({reason})"
            ) from None


class _Gather(torch.autograd.Function):
    """All parts on every rank; the gradient of a part is the sum of what all ranks want of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int, ranks: TorchRanks) -> Tensor:
        ctx.count, ctx.ranks, ctx.num_rows = count, ranks, x.size(0)
        bounds = [_bounds(count, rank, ranks.world_size) for rank in range(ranks.world_size)]
        longest = max(stop - start for start, stop in bounds)
        padded = x.new_zeros(longest, *x.shape[1:])
        padded[: x.size(0)] = x
        every = ranks.collect(padded)
        return torch.cat([every[rank, : stop - start] for rank, (start, stop) in enumerate(bounds)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ranks: TorchRanks = ctx.ranks
        total = ranks.add(grad.to(torch.float32, copy=True).contiguous()).to(grad.dtype)
        start, stop = _bounds(ctx.count, ranks.rank, ranks.world_size)
        if start == stop:
            return total.new_zeros(ctx.num_rows, *total.shape[1:]), None, None
        return total[start:stop], None, None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: TorchRanks) -> Tensor:
        ctx.ranks = ranks
        return ranks.add(x.clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ranks: TorchRanks = ctx.ranks
        return ranks.add(grad.clone().contiguous()), None


def _bounds(count: int, rank: int, world_size: int) -> tuple[int, int]:
    return count * rank // world_size, count * (rank + 1) // world_size


def is_main_process() -> bool:
    """Whether this process is rank 0, or the only one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return not _launched() or os.environ["RANK"] == "0"


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process: each on a machine takes the one of its own number."""
    if device.type != "cuda" or device.index is not None or not _launched():
        return device
    return torch.device("cuda", _number("LOCAL_RANK", "0") % max(1, torch.cuda.device_count()))


def connect(device: torch.device) -> Ranks:
    """Join the other processes that `torchrun` started; one process alone if it did not.

    Gloo carries what lies on the CPU, NCCL what lies on GPUs. A process group that is there already is used.

    Args:
        device: Where the model is trained.

    Raises:
        InputError: If the environment is not as `torchrun` leaves it.
        LostRankError: If the others do not come.
    """
    if not dist.is_available():
        return LOCAL
    if not dist.is_initialized():
        if not _launched():
            return LOCAL
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        seconds = _number("MMGRAPH_TIMEOUT", str(TIMEOUT_SECONDS))
        try:
            dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
        except (RuntimeError, ValueError) as error:
            raise LostRankError(f"rank {os.environ['RANK']}: the processes did not find each other: {error}") from None
        atexit.register(_leave)
    return TorchRanks(device) if dist.get_world_size() > 1 else LOCAL


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _launched() -> bool:
    return "RANK" in os.environ and "MASTER_ADDR" in os.environ and _number("WORLD_SIZE", "1") > 1


def _number(name: str, default: str) -> int:
    text = os.environ.get(name, default)
    if not text.isdigit():
        raise InputError(f"environment variable {name}: expected a number, got {text!r}")
    return int(text)
