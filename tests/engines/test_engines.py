from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from mmgraph.cli.main import main
from mmgraph.engines.base import Engine
from mmgraph.engines.interrupt import Interrupts
from mmgraph.engines.local import LocalEngine
from mmgraph.engines.registry import ENGINES, make_engine
from mmgraph.errors import InputError, MissingExtraError
from mmgraph.testing.engines import CopyingEngine

KINDS: dict[str, Callable[[], Engine]] = {"local": LocalEngine, "copying": CopyingEngine}


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with KINDS[request.param]() as made:
        yield made


class Times:
    """What a worker runs; a class of a module, so that it can be sent."""

    def __init__(self, factor: int, bad: int | None = None) -> None:
        if factor == 0:
            raise OSError(28, "No space left on device", "model.bin")
        self.factor, self.bad = factor, bad

    def __call__(self, shard: int) -> int:
        if shard == self.bad:
            raise InputError(f"shard {shard} is bad")
        return self.factor * shard


def test_results_are_in_order(engine: Engine) -> None:
    assert list(engine.map(partial(Times, 10), range(5))) == [0, 10, 20, 30, 40]


def test_no_shards_build_nothing(engine: Engine) -> None:
    assert list(engine.map(partial(Times, 0), [])) == []


def test_shards_may_come_from_a_generator(engine: Engine) -> None:
    assert list(engine.map(partial(Times, 2), (number + 1 for number in range(2)))) == [2, 4]


def test_an_engine_is_used_many_times(engine: Engine) -> None:
    assert [list(engine.map(partial(Times, factor), [1, 2])) for factor in (1, 3)] == [[1, 2], [3, 6]]


def test_error_comes_after_the_results_before_it(engine: Engine) -> None:
    results = engine.map(partial(Times, 1, bad=2), range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError, match=r"^shard 2 is bad$"):
        next(results)


def test_error_of_build(engine: Engine) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        list(engine.map(partial(Times, 0), [1]))
    assert (caught.value.errno, caught.value.filename) == (28, "model.bin")


def test_functions_are_built_once_per_worker() -> None:
    engine = CopyingEngine(workers=2)
    list(engine.map(partial(Times, 1), range(7)))
    list(engine.map(partial(Times, 1), range(1)))
    assert (engine.num_shards, engine.num_built) == (8, 3)


def test_local_takes_a_shard_when_it_needs_it() -> None:
    taken: list[int] = []
    results = LocalEngine().map(partial(Times, 1), (taken.append(n) or n for n in range(5)))
    assert taken == []
    assert next(results) == 0
    assert taken == [0]


def test_names() -> None:
    assert isinstance(make_engine(), LocalEngine)
    assert isinstance(make_engine("local", workers=1), LocalEngine)
    assert list(ENGINES) == ["local", "ray"]
    with pytest.raises(InputError, match="unknown engine 'spark'; choose from: local, ray"):
        make_engine("spark")
    with pytest.raises(InputError, match="workers must be at least 1, got 0"):
        make_engine("ray", workers=0)
    with pytest.raises(InputError, match="engine local is one process, got 3 workers; for more: --engine ray"):
        make_engine("local", workers=3)


class Swallows:
    """What loses the exception of Ctrl-C: Python prints it and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        assert False, "the exception comes before"  # noqa: B011, PT015


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lost_ctrl_c_is_raised_when_asked_for() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        interrupts.check()
        item = Swallows()
        del item
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_raised_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mmgraph\[ray\]"'):
        make_engine("ray")


@pytest.mark.parametrize("address", ["10.0.0.7:6379", "[::1]:6379"])
def test_cluster_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from mmgraph.engines.ray import _check_reachable

    asked = []

    def refuse(where: tuple[str, int], timeout: float) -> None:
        asked.append(where)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(InputError, match=re.escape(f"no cluster at RAY_ADDRESS={address}: Connection refused")):
        _check_reachable(address)
    assert asked == [(address[:-5].strip("[]"), 6379)]
    _check_reachable("ray://head:10001")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--engine local --workers 3", "engine local is one process, got 3 workers; for more: --engine ray"),
        ("--engine ray --workers 0", "workers must be at least 1, got 0"),
        ("--engine ray", 'install it with: pip install "mmgraph[ray]"'),
        ("--engine spark", "--engine"),
    ],
)
@pytest.mark.parametrize("command", ["encode", "export --run r --out o", "embed --run r --out o"])
def test_bad_flags(
    command: str, flags: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before a graph or a model is looked for: neither is there."""
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command.split(), "--graph", "g", *flags.split()]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_names_on_the_command_line_are_those_of_the_registry() -> None:
    """`cli.parser` spells them out, so that help needs no import."""
    from typing import get_args

    from mmgraph.cli.parser import EngineName

    assert get_args(EngineName) == tuple(ENGINES)


def test_registry_imports_neither_torch_nor_ray() -> None:
    code = "import sys, mmgraph.engines.registry; sys.exit(any(name in sys.modules for name in ('torch', 'ray')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
