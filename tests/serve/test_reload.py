"""New embeddings are taken over whole, under load, or not at all."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace

import httpx
import pytest
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.export.base import write_table
from mmgraph.files import atomic_path
from mmgraph.inference.table import EmbeddingTable
from mmgraph.serve.app import make_app
from mmgraph.serve.index import Sources

COUNT = 40


def make_table(seed: int, prefix: str) -> EmbeddingTable:
    vectors = torch.randn(COUNT, 8, generator=torch.Generator().manual_seed(seed))
    ids = NodeIds(["start", *(f"{prefix}{i}" for i in range(1, COUNT))])
    return EmbeddingTable(ids, vectors, ("thing",), torch.zeros(COUNT, dtype=torch.int64), "g", f"model {prefix}")


class Caller:
    """An application with its life, and a client in the same event loop."""

    def __init__(self, path, **options) -> None:
        self.app = make_app(Sources(embeddings=path), **options)
        self.holder = self.app.state.service.holder

    async def __aenter__(self) -> Caller:
        self._life = self.app.router.lifespan_context(self.app)
        await self._life.__aenter__()
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test")
        return self

    async def __aexit__(self, *error) -> None:
        await self.client.aclose()
        await self._life.__aexit__(*error)

    async def hits(self, k: int = 5) -> list[str]:
        reply = await self.client.get("/similar", params={"id": "start", "k": k})
        assert reply.status_code == 200, reply.text
        return [hit["id"] for hit in reply.json()["hits"]]


@pytest.mark.parametrize("kind", ["parquet", "faiss", "duckdb", "qdrant", "lancedb", "usearch", "npy"])
def test_reload_under_load_drops_nothing_and_mixes_nothing(tmp_path, kind) -> None:
    tables = [make_table(seed, prefix) for seed, prefix in enumerate("ab")]
    expected = [table.search(table.vectors_of(["start"]), 6).ids()[0][1:] for table in tables]
    path = write_table(tables[0], tmp_path / "s", format=kind)

    async def run() -> None:
        async with Caller(path, reload_seconds=0.02) as caller:
            answers: list[list[str]] = []
            stop = False

            async def ask() -> None:
                while not stop:
                    answers.append(await caller.hits())
                    await asyncio.sleep(0)

            askers = [asyncio.create_task(ask()) for _ in range(8)]
            while len(answers) < 20:
                await asyncio.sleep(0.01)
            first = caller.holder.index
            await asyncio.to_thread(write_table, tables[1], path, format=kind, overwrite=True)
            while not answers or answers[-1] != expected[1]:
                await asyncio.sleep(0.01)
            stop = True
            await asyncio.gather(*askers)
            assert all(answer in expected for answer in answers)
            assert expected[0] in answers
            switched = answers.index(expected[1])
            # At most the requests that were in work at the moment of the change are answered from before.
            assert answers[switched:].count(expected[0]) <= 8
            assert caller.holder.index is not first
            assert (await caller.client.get("/about")).json()["model"] == "model b"
            assert f"mmgraph_index_generation {float(caller.holder.index.generation)}" in (
                (await caller.client.get("/metrics")).text
            )

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_damaged_index_is_refused_and_the_old_one_stays(tmp_path, caplog) -> None:
    path = write_table(make_table(0, "a"), tmp_path / "s", format="npy")

    async def run() -> None:
        async with Caller(path, reload_seconds=0.02) as caller:
            before, index = await caller.hits(), caller.holder.index
            for damage in ("vectors.npy", "manifest.json"):
                whole = (path / damage).read_bytes()
                with atomic_path(path / damage) as file:  # not in place: the old index reads the old file
                    file.write_bytes(whole[: len(whole) // 2])
                os.utime(path / "manifest.json")
                caplog.clear()
                while "reload refused, the old index stays" not in caplog.text:
                    await asyncio.sleep(0.01)
                assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
                assert caller.holder.index is index
                assert await caller.hits() == before
                with atomic_path(path / damage) as file:
                    file.write_bytes(whole)
                caplog.clear()
                os.utime(path / "manifest.json")
                while caller.holder.index is index:
                    await asyncio.sleep(0.01)
                index = caller.holder.index
                assert await caller.hits() == before
            assert not await _refused_then_missing(caller, path)

    async def _refused_then_missing(caller, path) -> bool:
        path.rename(path.with_name("elsewhere"))
        return await caller.holder.reload()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_request_keeps_the_index_that_it_began_with(tmp_path) -> None:
    path = write_table(make_table(0, "a"), tmp_path / "s", format="npy")

    async def run() -> None:
        async with Caller(path, reload_seconds=0) as caller:
            closed: list[object] = []
            with caller.holder.lend() as first:
                object.__setattr__(first, "release", lambda: closed.append(first))
                write_table(make_table(1, "b"), path, format="npy", overwrite=True)
                assert (await caller.hits())[0].startswith("a")  # nobody looks without being told
                assert await caller.holder.reload()
                assert (await caller.hits())[0].startswith("b")
                await asyncio.sleep(0.05)
                assert closed == []
            for _ in range(200):
                if closed:
                    break
                await asyncio.sleep(0.01)
            assert closed == [first]

    asyncio.run(asyncio.wait_for(run(), 60))


def test_another_model_is_refused_when_queries_are_encoded(workspace, tmp_path, caplog) -> None:
    from mmgraph.export.base import read_table

    table = read_table(workspace.store)
    path = write_table(table, tmp_path / "s", format="npy")

    async def run() -> None:
        app = make_app(Sources(workspace.run, workspace.graph, path), reload_seconds=0)
        async with app.router.lifespan_context(app):
            holder = app.state.service.holder
            first = holder.index
            write_table(replace(table, model="another"), path, format="npy", overwrite=True)
            assert not await holder.reload()
            assert "made by another model" in caplog.text
            write_table(table, path, format="npy", overwrite=True)
            assert await holder.reload()
            # Graph and encoder did not change, and are not loaded again.
            assert holder.index.graph is first.graph
            assert holder.index.encoder is first.encoder
            assert holder.index.store is not first.store

    asyncio.run(asyncio.wait_for(run(), 60))
