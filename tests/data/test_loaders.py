from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmgraph.data.batch import GraphBatch
from mmgraph.data.loaders import BatchLoader
from mmgraph.data.ppr import PPRConfig
from mmgraph.data.sampling import NeighborSampler, PPRSampler, Sampler
from mmgraph.errors import InputError
from mmgraph.process import own_memory
from mmgraph.testing.factories import make_graph


class Recorder(Sampler):
    """Gives batches of the seeds alone, remembers its calls, and fails at one of them if told to."""

    def __init__(self, fail_at: int | None = None, seconds: float = 0.0) -> None:
        super().__init__(make_graph())
        self.seconds = seconds
        self.calls: list[list[int]] = []
        self.fail_at = fail_at

    def sample(self, seeds: Tensor, generator: torch.Generator) -> GraphBatch:
        self.calls.append(seeds.tolist())
        time.sleep(self.seconds)
        if self.fail_at == len(self.calls):
            raise RuntimeError("the sampler broke")
        empty = torch.empty(0, dtype=torch.int64)
        return GraphBatch("toy", seeds, seeds.numel(), empty.expand(2, 0), empty, torch.zeros_like(seeds), {})


def prefetch_threads() -> list[str]:
    deadline = time.monotonic() + 5
    while True:
        alive = [thread.name for thread in threading.enumerate() if thread.name.startswith("mmgraph-prefetch")]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.01)


def content(batch: GraphBatch) -> list[object]:
    features = [f.values.nan_to_num().tolist() for f in batch.features.values()]
    return [batch.node_index.tolist(), batch.edge_index.tolist(), batch.edge_type.tolist(), features]


@settings(max_examples=25, deadline=None)
@given(num_seeds=st.integers(1, 40), batch_size=st.integers(1, 60), seed=st.integers(0, 1000))
def test_every_node_is_a_seed_once_per_epoch(num_seeds: int, batch_size: int, seed: int) -> None:
    loader = BatchLoader(Recorder(), num_seeds, batch_size=batch_size, seed=seed)
    steps = loader.steps_per_epoch
    assert steps == -(-num_seeds // batch_size)
    for epoch in (0, 3):
        batches = [loader.seeds(epoch * steps + i).tolist() for i in range(steps)]
        assert sorted(node for batch in batches for node in batch) == list(range(num_seeds))
        sizes = [len(batch) for batch in batches]
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        assert loader.epoch(epoch * steps) == loader.epoch((epoch + 1) * steps - 1) == epoch


def test_seed_nodes_may_be_any_nodes() -> None:
    nodes = torch.tensor([31, 4, 15])
    loader = BatchLoader(Recorder(), nodes, batch_size=2, seed=0)
    assert sorted(loader.seeds(0).tolist() + loader.seeds(1).tolist()) == [4, 15, 31]


def test_the_order_changes_with_the_epoch_and_the_seed() -> None:
    loaders = [BatchLoader(Recorder(), 40, batch_size=40, seed=seed) for seed in (0, 1)]
    orders = {tuple(loader.seeds(step).tolist()) for loader in loaders for step in (0, 1)}
    assert len(orders) == 4


def test_the_same_seeds_get_other_neighbours_in_the_next_epoch() -> None:
    loader = BatchLoader(NeighborSampler(make_graph(60, 400), (2,)), 60, batch_size=60, seed=0)
    draws = []
    for step in (0, 1, 0):
        batch = loader.batch(step)
        draws.append({tuple(edge) for edge in batch.node_index[batch.edge_index].T.tolist()})
    assert draws[0] != draws[1]
    assert draws[0] == draws[2]


@pytest.mark.parametrize("kind", ["neighbor", "ppr"])
@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_a_batch_depends_on_its_step_alone(kind: str, prefetch: int) -> None:
    def loader(prefetch: int) -> BatchLoader:
        graph = make_graph(60, 400)
        sampler = NeighborSampler(graph, (3, 2)) if kind == "neighbor" else PPRSampler(graph, PPRConfig(top_k=8))
        return BatchLoader(sampler, 60, batch_size=16, seed=5, prefetch=prefetch)

    jumping = loader(0)
    expected = {step: content(jumping.batch(step)) for step in (9, 2, 5, 0, 7, 3, 8, 1, 6, 4)}
    assert len({str(value) for value in expected.values()}) == 10
    assert [content(batch) for batch in loader(prefetch).iterate(0, 10)] == [expected[step] for step in range(10)]
    resumed = loader(prefetch).iterate(6, 10)
    assert [content(batch) for batch in resumed] == [expected[step] for step in range(6, 10)]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_no_more_than_prefetch_batches_are_prepared_ahead(prefetch: int) -> None:
    sampler = Recorder()
    with closing(BatchLoader(sampler, 40, batch_size=4, seed=0, prefetch=prefetch).iterate()) as batches:
        for consumed in range(1, 25):
            next(batches)
            if consumed in (1, 12):
                time.sleep(0.1)  # give the thread the chance to run too far
            assert consumed <= len(sampler.calls) <= consumed + prefetch
    assert prefetch_threads() == []


@pytest.mark.parametrize(("start", "stop", "length"), [(0, 0, 0), (5, 5, 0), (3, 4, 1), (7, 3, 0), (0, 2, 2)])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_short_ranges(start: int, stop: int, length: int, prefetch: int) -> None:
    sampler = Recorder()
    loader = BatchLoader(sampler, 40, batch_size=8, seed=0, prefetch=prefetch)
    assert len(list(loader.iterate(start, stop))) == length
    assert len(sampler.calls) == length
    assert prefetch_threads() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_thread_ends_when_the_consumer_raises(error: type[BaseException]) -> None:
    loader = BatchLoader(Recorder(), 40, batch_size=4, seed=0, prefetch=2)

    def consume() -> None:
        for _ in loader.iterate():
            raise error("stop")

    with suppress(error):
        consume()
    assert prefetch_threads() == []


def test_closing_waits_for_the_thread_even_while_the_error_is_held() -> None:
    sampler = Recorder(seconds=0.2)
    loader = BatchLoader(sampler, 40, batch_size=4, seed=0, prefetch=4)

    def consume() -> None:
        with closing(loader.iterate()) as batches:
            for _ in batches:
                raise ValueError("stop")

    with pytest.raises(ValueError, match="stop") as held:
        consume()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mmgraph-prefetch")]
    assert len(sampler.calls) <= 2, "batches that nobody will see were sampled"
    assert held.value


def test_an_error_in_the_thread_reaches_the_consumer_at_its_step() -> None:
    batches = BatchLoader(Recorder(fail_at=3), 40, batch_size=4, seed=0, prefetch=2).iterate()
    next(batches)
    next(batches)
    with pytest.raises(RuntimeError, match="the sampler broke"):
        next(batches)
    assert prefetch_threads() == []


ABANDONED = """
import torch
from mmgraph.data.loaders import BatchLoader
from mmgraph.data.sampling import NeighborSampler
from mmgraph.testing.factories import make_graph

batches = BatchLoader(NeighborSampler(make_graph(), (3,)), 40, batch_size=4, seed=0, prefetch=2).iterate()
next(batches)
raise KeyboardInterrupt
"""


def test_a_process_ends_although_batches_were_left() -> None:
    command = [sys.executable, "-W", "ignore", "-c", ABANDONED]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode != 0
    assert process.stderr.strip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        (0, {}, "graph 'toy': expected at least one seed node, got none"),
        (torch.empty(0, dtype=torch.int64), {}, "expected at least one seed node"),
        (5, {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        (5, {"prefetch": -1}, "prefetch must not be negative, got -1"),
    ],
)
def test_bad_arguments_are_refused(nodes: Tensor | int, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BatchLoader(Recorder(), nodes, **{"batch_size": 4, "seed": 0, **options})  # type: ignore[arg-type]


def test_negative_steps_are_refused() -> None:
    with pytest.raises(InputError, match="step must not be negative, got -1"):
        BatchLoader(Recorder(), 5, batch_size=4, seed=0).batch(-1)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(workers: int) -> None:
    sampler = NeighborSampler(make_graph(60, 200), (3, 2))
    plain = BatchLoader(sampler, 60, batch_size=9, seed=1, prefetch=0)
    loader = BatchLoader(sampler, 60, batch_size=9, seed=1, prefetch=2 * workers, workers=workers)
    expected = [content(plain.batch(step)) for step in range(20)]
    assert [content(batch) for batch in loader.iterate(0, 20)] == expected
    for steps in (range(20), range(1, 20, 3), [5, 4, 4, 19, 0, 7]):
        assert [content(loader.ahead(step)) for step in steps] == [expected[step] for step in steps]
    del loader
    assert prefetch_threads() == []


def test_ahead_prepares_the_next_steps_with_their_stride() -> None:
    sampler = Recorder()
    loader = BatchLoader(sampler, 20, batch_size=1, seed=0, prefetch=2)
    loader.ahead(3)
    loader.ahead(6)
    loader._waiting[9].result()
    loader._waiting[12].result()
    calls = list(sampler.calls)
    loader.ahead(9)
    assert calls.count(loader.seeds(9).tolist()) == 1
    assert sampler.calls.count(loader.seeds(9).tolist()) == 1  # it was there already
    assert sorted(loader._waiting) == [12, 15]


def test_an_error_in_a_thread_is_raised_where_its_batch_is_asked_for() -> None:
    sampler = Recorder()
    loader = BatchLoader(sampler, 20, batch_size=1, seed=0, prefetch=1)
    loader.ahead(0)
    loader._waiting[1].result()
    sampler.fail_at = len(sampler.calls) + 1
    loader.ahead(1)
    assert isinstance(loader._waiting[2].exception(), RuntimeError)
    with pytest.raises(RuntimeError, match="the sampler broke"):
        loader.ahead(2)


def test_memory_does_not_grow_over_epochs() -> None:
    own = own_memory()
    if own is None:
        pytest.skip("the system does not tell the memory of a process")
    sampler = NeighborSampler(make_graph(2000, 8000), (5, 3))
    loader = BatchLoader(sampler, 2000, batch_size=400, seed=0, prefetch=2, workers=2)
    sizes = []
    for epoch in range(50):
        for _ in loader.iterate(epoch * loader.steps_per_epoch, (epoch + 1) * loader.steps_per_epoch):
            pass
        sizes.append(own_memory() or 0)
    slope = np.polyfit(np.arange(40), np.array(sizes[10:]) / 2**20, 1)[0]
    assert slope < 1.0  # MiB per epoch; what is kept of the 3 MB of batches of an epoch would show
