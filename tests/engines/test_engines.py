from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from mmgraph.engines.base import Engine
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


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mmgraph\[ray\]"'):
        make_engine("ray")


def test_names_on_the_command_line_are_those_of_the_registry() -> None:
    """`cli.parser` spells them out, so that help needs no import."""
    from typing import get_args

    from mmgraph.cli.parser import EngineName

    assert get_args(EngineName) == tuple(ENGINES)


def test_registry_imports_neither_torch_nor_ray() -> None:
    code = "import sys, mmgraph.engines.registry; sys.exit(any(name in sys.modules for name in ('torch', 'ray')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
