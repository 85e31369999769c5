"""Together is the same as alone."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import PIL.Image
import pytest
import torch

from mmgraph.serve.batching import Batcher
from mmgraph.serve.encoding import Content, Encoded, encode_batch
from mmgraph.serve.failures import Refusal
from mmgraph.serve.finding import Question, find_batch


@pytest.fixture
def index(client):
    return client.app.state.service.holder.index


def test_what_queues_while_the_thread_is_busy_is_one_batch() -> None:
    busy, go, batches = threading.Event(), threading.Event(), []

    def work(jobs):
        busy.set()
        assert go.wait(10)
        batches.append(list(jobs))
        return [ValueError("odd") if job % 2 else 10 * job for job in jobs]

    async def run() -> None:
        sizes: list[int] = []
        batcher: Batcher[int, int] = Batcher("test", work, max_batch=4, observe=sizes.append)
        tasks = [asyncio.create_task(batcher.do(0))]
        await asyncio.to_thread(busy.wait, 10)
        tasks += [asyncio.create_task(batcher.do(job)) for job in range(1, 8)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert batches == [[0], [1, 2, 3], [5, 6, 7]]  # 4 was gone before its batch began
        assert sizes == [1, 3, 3]
        assert [type(r) if isinstance(r, BaseException) else r for r in results] == [
            *(0, ValueError, 20, ValueError, asyncio.CancelledError, ValueError, 60, ValueError)
        ]
        assert await batcher.do(4) == 40
        batcher.close()

    asyncio.run(run())


def test_work_that_fails_fails_its_batch_only(caplog) -> None:
    def work(jobs):
        if 1 in jobs:
            raise KeyError("broken")
        return list(jobs)

    async def run() -> None:
        batcher: Batcher[int, int] = Batcher("test", work, max_batch=4)
        with pytest.raises(KeyError):
            await batcher.do(1)
        assert await batcher.do(2) == 2
        batcher.close()

    asyncio.run(run())
    assert "a batch of 1 failed" in caplog.text


def test_encoding_together_is_encoding_alone(index, tmp_path) -> None:
    jobs = [Content(index, text) for text in ("a red circle", "blue", "a large green square of green")]
    for number, colour in enumerate(("red", "blue")):
        path = tmp_path / f"{number}.png"
        PIL.Image.new("RGB", (9, 9), colour).save(path)
        jobs += [Content(index, None, path), Content(index, "a bar", path)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    together, mixed = encode_batch(jobs), encode_batch([jobs[0], Content(index, "text", broken), *jobs[1:]])
    assert isinstance(mixed[1], Refusal)
    assert mixed[1].status == 415
    del mixed[1]
    for job, found, other in zip(jobs, together, mixed, strict=True):
        (alone,) = encode_batch([job])
        for item in (found, other):
            assert isinstance(item, Encoded)
            assert isinstance(alone, Encoded)
            assert torch.allclose(item.vector, alone.vector, atol=1e-5)
            assert item.features.keys() == alone.features.keys()
            assert item.features.keys() == {"text"} - {None if job.text else "text"} | (
                {"image"} if job.image else set()
            )
            for name, values in alone.features.items():
                assert np.allclose(item.features[name], values, atol=1e-5)
                assert abs(np.linalg.norm(values) - 1) < 1e-5


def test_searching_together_is_searching_alone(index) -> None:
    texts = encode_batch([Content(index, "red circle"), Content(index, "blue")])
    away = [item for item in texts if isinstance(item, Encoded)]
    questions = [
        Question(index, 3, (0,)),
        Question(index, 20, (5,), node_type="user"),
        Question(index, 7, (1, 2, 3), shares=True),
        Question(index, 1, content=away[0]),
        Question(index, 5, (4,), content=away[0], without=away[1]),
        Question(index, 60, (7,)),
        Question(index, 2, (8,), where="((("),
        *(Question(index, 4, (position,)) for position in range(10, 30)),
    ]
    for question, found in zip(questions, find_batch(questions), strict=True):
        (alone,) = find_batch([question])
        if question.where:
            assert isinstance(found, Refusal)
            assert isinstance(alone, Refusal)
            continue
        assert found.positions == alone.positions
        assert len(found.positions) == min(
            question.k, {"user": 15, None: 60}[question.node_type] - len(question.like)
        ) or (question.node_type)
        assert not set(found.positions) & set(question.like)
        assert np.allclose(found.scores, alone.scores, atol=1e-5)
        for part, other in zip(found.parts, alone.parts, strict=True):
            assert part.keys() == other.keys()
            assert all(abs(part[name] - other[name]) < 2e-4 for name in part)
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(found.shares, alone.shares, strict=True))


def test_concurrent_requests_get_their_own_answers(client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = ["red", "blue circle", "a green square", "orange bar", "frame", "n0001", "n0002"]

    def ask(number: int) -> list:
        text = texts[number % len(texts)]
        path, query = ("/similar", {"id": text}) if text.startswith("n0") else ("/search", {"text": text})
        return [hit["id"] for hit in client.get(path, params=query).json()["hits"]]

    alone = [ask(number) for number in range(len(texts))]
    with ThreadPoolExecutor(14) as pool:
        for number, hits in enumerate(pool.map(ask, range(70))):
            assert hits == alone[number % len(texts)]
