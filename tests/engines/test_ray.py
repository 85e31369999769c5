"""Ray itself. It starts once for all tests of this file; every `map` starts workers anew, which takes seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.engines.base import Engine
from mmgraph.engines.local import LocalEngine
from mmgraph.engines.ray import RayEngine
from mmgraph.errors import InputError
from mmgraph.inference.embed import embed
from mmgraph.inference.rows import Range
from mmgraph.inference.sweep import sweep
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.testing.encoders import FakeImageEncoder, FakeTextEncoder
from mmgraph.testing.factories import make_graph, randomise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
faults = pytest.mark.skipif(
    "MMGRAPH_TEST_RAY_FAULTS" not in os.environ, reason="takes minutes on few cores; set MMGRAPH_TEST_RAY_FAULTS"
)


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    pytest.importorskip("ray")
    import ray.cloudpickle

    # Workers cannot import this file: send its classes whole.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with RayEngine(workers=2) as made:
        list(made.map(find_threads, [0]))  # starts Ray before tests are cut off from the network
        yield made
    # Ray tries to import the package "datasets" and finds our folder of that name; LanceDB would take it for the package.
    if getattr(sys.modules.get("datasets"), "__file__", None) is None:
        sys.modules.pop("datasets", None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As many as a worker has; with another number the last bit may differ, see `RayEngine`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def find_threads() -> type[Threads]:
    return Threads


class Threads:
    """Not a function but a class: calling it gives what it finds."""

    def __init__(self, shard: int) -> None:
        self.shard, self.threads, self.process = shard, torch.get_num_threads(), os.getpid()
        self.folder = os.getcwd()


class Stumble:
    """Raises or dies at one shard."""

    def __init__(self, at: int, how: str, once: Path | None = None) -> None:
        self.at, self.how, self.once = at, how, once

    def __call__(self, shard: int) -> int:
        if shard == self.at and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError(f"shard {shard} is bad")
        return shard * 10


def texts_of(count: int) -> list[str]:
    random = np.random.default_rng(0)
    words = ["red", "blue", "green", "cat", "dog", "sun"]
    return [f"{i} " + " ".join(random.choice(words, random.integers(1, 12))) for i in range(count)]


def raw_of(**content: list[str] | list[Path]) -> RawGraph:
    count = len(next(iter(content.values())))
    return RawGraph("toy", NodeIds(range(count)), ("node",), torch.zeros(count, dtype=torch.int64), content=content)


def shards_in(folder: Path) -> list[str]:
    """Files of a cache; they are named after their bytes."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))


def test_results_are_in_order_from_workers_with_one_thread(engine: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgraph.engines.ray.SHARDS_AT_ONCE", 8)  # two rounds of at most two workers
    found = list(engine.map(find_threads, range(12)))
    assert [one.shard for one in found] == list(range(12))
    assert {one.threads for one in found} == {1}
    assert {one.folder for one in found} == {os.getcwd()}
    for one_round in (found[:8], found[8:]):
        assert 1 <= len({one.process for one in one_round}) <= 2
    assert not {one.process for one in found[:8]} & {one.process for one in found[8:]}
    assert os.getpid() not in {one.process for one in found}


def test_error_in_a_worker_is_the_same_line(engine: RayEngine) -> None:
    results = engine.map(partial(Stumble, 2, "raise"), range(4))
    assert [next(results), next(results)] == [0, 10]
    with pytest.raises(InputError, match=r"^shard 2 is bad$"):
        next(results)


@faults
def test_shard_of_a_dead_worker_is_tried_again(engine: RayEngine, tmp_path: Path) -> None:
    assert list(engine.map(partial(Stumble, 1, "die", tmp_path / "died"), range(4))) == [0, 10, 20, 30]
    assert (tmp_path / "died").exists()


@faults
def test_shard_that_kills_every_worker_is_an_error(engine: RayEngine, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="engine ray: a shard killed its worker 4 times"):
        list(engine.map(partial(Stumble, 0, "die"), range(1)))
    assert capfd.readouterr() == ("", "")


def test_too_many_workers_for_the_cluster(engine: RayEngine) -> None:
    with pytest.raises(
        InputError, match=r"engine ray: 999 workers with 1 CPU each do not fit, the cluster has room for \d"
    ):
        list(RayEngine(workers=999).map(find_threads, range(3)))
    with pytest.raises(InputError, match="1 workers with 1 CPU and 1 GPU each do not fit, the cluster has room for 0"):
        list(RayEngine(workers=1, gpus_per_worker=1).map(find_threads, [0]))


def test_encoding_gives_the_same_bytes(engine: RayEngine, tmp_path: Path) -> None:
    from PIL import Image

    images = [tmp_path / f"{i}.png" for i in range(9)]
    for number, path in enumerate(images):
        Image.new("RGB", (8, 8), (number * 20, 0, 90)).save(path)
    images[4].write_bytes(b"no image")
    raw = raw_of(text=texts_of(9), image=images)
    both = {}
    for name, chosen in (("local", None), ("ray", engine)):
        encoders = {"text": FakeTextEncoder(max_words=6), "image": FakeImageEncoder()}
        graph, report = encode_graph(raw, encoders, cache=tmp_path / name, batch_size=2, engine=chosen)
        both[name] = (graph, report.modalities["image"].quarantined, shards_in(tmp_path / name))
    assert both["local"][1:] == both["ray"][1:]
    assert [node for node, _ in both["ray"][1]] == [4]
    assert len(both["ray"][2]) == 10
    for modality, features in both["local"][0].features.items():
        other = both["ray"][0].features[modality]
        assert torch.equal(features.values, other.values)
        assert torch.equal(features.present, other.present)
        assert torch.equal(features.mean, other.mean)


@pytest.mark.parametrize("conv", ["sign", "gat"])
def test_embedding_gives_the_same_bytes(engine: RayEngine, conv: str) -> None:
    graph = make_graph(40, 120)
    torch.manual_seed(1)
    gnn = GNNConfig(conv=conv, num_layers=1, heads=2)  # type: ignore[arg-type]
    encoder = randomise(build_encoder(EncoderConfig(dim=16, gnn=gnn), [graph]))
    expected = embed(encoder, graph, num_ranges=3, level="all")
    assert torch.equal(embed(encoder, graph, num_ranges=3, level="all", engine=engine).vectors, expected.vectors)


class Failing:
    """Rows of blocks up to `stop`."""

    def __init__(self, build: Callable[[], Callable[[Range], torch.Tensor]], stop: int) -> None:
        self.inner, self.stop = build(), stop

    def __call__(self, block: Range) -> torch.Tensor:
        if block[1] > self.stop:
            raise InputError(f"no rows from {self.stop}")
        return self.inner(block)


class Watched(Engine):
    """Another engine, with the shards that it got; a task fails in level `at`."""

    name = "watched"

    def __init__(self, inner: Engine, at: int | None = None) -> None:
        self.inner, self.at, self.shards = inner, at, list[list[Any]]()

    def map(self, build: Callable[[], Any], shards: Iterable[Any]) -> Iterator[Any]:
        self.shards.append(list(shards))
        broken = len(self.shards) - 1 == self.at
        yield from self.inner.map(partial(Failing, build, 25) if broken else build, self.shards[-1])


@pytest.mark.parametrize("ray_first", [True, False])
def test_a_stopped_sweep_goes_on_with_the_other_engine(engine: RayEngine, tmp_path: Path, ray_first: bool) -> None:
    graph = make_graph(40, 120)
    torch.manual_seed(1)
    encoder = randomise(build_encoder(EncoderConfig(dim=8, gnn=GNNConfig(conv="gat", num_layers=1, heads=2)), [graph]))
    first, second = (engine, LocalEngine()) if ray_first else (LocalEngine(), engine)
    arguments: dict[str, Any] = {"num_ranges": 99, "max_rows": 60}
    whole = Watched(LocalEngine())
    expected = sweep(encoder, graph, tmp_path / "whole", engine=whole, **arguments).vectors
    with pytest.raises(InputError, match=r"^no rows from 25$"):
        sweep(encoder, graph, tmp_path / "levels", engine=Watched(first, at=1), **arguments)
    rest = Watched(second)
    found = sweep(encoder, graph, tmp_path / "levels", engine=rest, **arguments)
    assert torch.equal(found.vectors, expected)
    # Level 0 is whole, and of level 1 only the blocks beyond the failed one are left.
    assert rest.shards == [[block for block in whole.shards[1] if block[1] > 25]]
    assert 0 < len(rest.shards[0]) < len(whole.shards[1])


PROGRAM = """
import sys, time
import torch
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.engines.registry import make_engine
from mmgraph.testing.encoders import FakeTextEncoder

class Slow(FakeTextEncoder):
    def encode(self, items):
        time.sleep(0.5)
        return super().encode(items)

texts = {texts!r}
raw = RawGraph("toy", NodeIds(range(len(texts))), ("node",), torch.zeros(len(texts), dtype=torch.int64),
               content={{"text": texts}})
try:
    with make_engine("ray", workers=1) as engine:
        encode_graph(raw, {{"text": Slow()}}, cache={cache!r}, batch_size=2, engine=engine)
except KeyboardInterrupt:
    sys.exit(130)
"""


@faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_stopped_run_goes_on_where_it_was_and_leaves_no_process(tmp_path: Path, number: int, code: int) -> None:
    pytest.importorskip("ray")
    texts = texts_of(80)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["MMGRAPH_TEST_MARK"] = mark = f"{tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(texts=texts, cache=str(tmp_path / "stopped"))],
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while process.poll() is None and len(shards_in(tmp_path / "stopped")) < 3:
            time.sleep(0.05)
        process.send_signal(number)
        printed = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, printed
    assert printed == ("", "")
    deadline = time.monotonic() + 180  # two seconds, but Ray's agents look for their parent now and then only
    while (left := processes_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    done = len(shards_in(tmp_path / "stopped"))
    assert 3 <= done < 40
    rest = FakeTextEncoder()
    encode_graph(raw_of(text=texts), {"text": rest}, cache=tmp_path / "stopped", batch_size=2)
    assert rest.num_encoded == 80 - 2 * done
    encode_graph(raw_of(text=texts), {"text": FakeTextEncoder()}, cache=tmp_path / "whole", batch_size=2)
    assert shards_in(tmp_path / "stopped") == shards_in(tmp_path / "whole")


def processes_with(mark: str) -> list[str]:
    """Command lines of the processes that have inherited our mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MMGRAPH_TEST_MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
