from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.splits.negatives import negatives_digest
from mmgraph.tasks.base import load_task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.testing.factories import make_graph

IDS = [f"n{i:04d}" for i in range(8)]


def graph_of(ids: list[Any] = IDS) -> MultimodalGraph:
    return replace(make_graph(8, 0, missing=0), node_ids=NodeIds(ids))


def edges_of(*rows: tuple[Any, Any, str, list[Any] | None], kind: pa.DataType | None = None) -> pa.Table:
    ids = pa.string() if kind is None else kind
    return pa.table(
        {
            "source": pa.array([row[0] for row in rows], ids),
            "target": pa.array([row[1] for row in rows], ids),
            "relation": ["r"] * len(rows),
            "split": [row[2] for row in rows],
            "negatives": pa.array([row[3] for row in rows], pa.list_(ids)),
        }
    )


def table_of(graph: MultimodalGraph, angles: list[float]) -> EmbeddingTable:
    turn = torch.tensor(angles).deg2rad()
    return EmbeddingTable.for_graph(graph, torch.stack([turn.cos(), turn.sin()], dim=1), model="m")


def test_targets_rank_among_their_negatives_only() -> None:
    # Seen from n0 the nodes lie at growing angles; n1 and n2 would come first, but only what is listed counts.
    graph = graph_of()
    table = table_of(graph, [0, 10, 20, 30, 40, 40, 60, 70])
    edges = edges_of(
        (IDS[0], IDS[4], "test", [IDS[7], IDS[3], IDS[6]]),  # one of three is nearer: rank 2
        (IDS[0], IDS[6], "test", [IDS[7]]),  # rank 1 of 2
        (IDS[1], IDS[4], "valid", [IDS[5], IDS[3], IDS[3]]),  # two nearer, the repeated one; one equal: rank 3.5
    )
    task = LinkPredictionTask("links", edges)
    test = task.ranks(table, graph, split="test")
    assert test.rank.tolist() == [2.0, 1.0]
    assert test.num_candidates.tolist() == [4, 2]
    valid = task.ranks(table, graph, split="valid")
    assert (valid.rank.tolist(), valid.tied.tolist()) == ([3.5], [True])
    assert task.evaluate(table, graph)["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert task.num_examples("test") == 2


def test_a_known_positive_among_the_negatives_counts_as_the_list_says() -> None:
    graph = graph_of()
    table = table_of(graph, [0, 10, 20, 30, 40, 50, 60, 70])
    rows = ((IDS[0], IDS[2], "test", [IDS[1]]), (IDS[0], IDS[1], "valid", [IDS[2]]))
    assert LinkPredictionTask("links", edges_of(*rows)).ranks(table, graph).rank.tolist() == [2.0]


def test_equal_vectors_tie_wherever_they_stand() -> None:
    graph = make_graph(64, 0, missing=0)
    ids = graph.node_ids.values.tolist()
    table = EmbeddingTable.for_graph(graph, torch.randn(1, 384).expand(64, -1).contiguous(), model="m")
    rows = [(ids[i], ids[i + 1], "test", ids[40 : 41 + i]) for i in range(20)]
    task = LinkPredictionTask("links", edges_of(*rows))
    ranks = task.ranks(table, graph)
    assert ranks.tied.all()
    assert ranks.rank.tolist() == [1 + (i + 1) / 2 for i in range(20)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), chunk=st.sampled_from([1, 40, 10**6]), strings=st.booleans())
def test_ranks_equal_the_literal_protocol(seed: int, chunk: int, strings: bool) -> None:
    random = np.random.default_rng(seed)
    ids: list[Any] = [f"x{i}" for i in random.permutation(30)] if strings else random.permutation(90)[:30].tolist()
    graph = replace(make_graph(30, 0, missing=0), node_ids=NodeIds(ids))
    vectors = torch.from_numpy(random.integers(-2, 3, (30, 3))).float()  # small integers: many ties, also zero vectors
    pairs = [(a, b) for a, b in random.integers(30, size=(12, 2)).tolist() if a != b]
    pairs = [pair for i, pair in enumerate(pairs) if {*pair} not in [{*other} for other in pairs[:i]]]
    lists = [random.integers(30, size=random.integers(1, 7)).tolist() for _ in pairs]
    rows = [(ids[a], ids[b], "test", [ids[n] for n in some]) for (a, b), some in zip(pairs, lists, strict=True)]
    kind = pa.string() if strings else pa.int64()
    order = random.permutation(len(rows)).tolist()
    task = LinkPredictionTask("links", edges_of(*(rows[i] for i in order), kind=kind))
    table = EmbeddingTable.for_graph(graph, vectors, model="m")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmgraph.tasks.alignment._scores_at_once", ContextVar("scores", default=chunk))
        ranks = task.ranks(table, graph)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    expected = []
    for (a, b), some in sorted(zip(pairs, lists, strict=True), key=lambda row: [ids[node] for node in row[0]]):
        value = (unit[a] * unit[b]).sum()
        others = [(unit[a] * unit[n]).sum() for n in some]
        expected.append(1 + sum(float(v > value) + 0.5 * float(v == value) for v in others))
    assert ranks.rank.tolist() == expected


def test_protocol_and_digests_name_the_negatives(tmp_path: Path) -> None:
    rows = [(IDS[0], IDS[4], "test", [IDS[7], IDS[3]]), (IDS[1], IDS[4], "valid", [IDS[5]])]
    edges = edges_of(*rows)
    task = LinkPredictionTask("links", edges)
    assert task.negatives_digest == negatives_digest(edges)
    assert f"negatives {task.negatives_digest[:12]}" in task.protocol
    assert "\n" not in task.protocol
    without = LinkPredictionTask("links", edges.drop_columns(["negatives"]))
    assert without.negatives_digest is None
    assert "full ranking over all nodes" in without.protocol
    other = LinkPredictionTask("links", edges_of(rows[0], (*rows[1][:3], [IDS[6]])))
    assert len({task.digest, without.digest, other.digest}) == 3
    assert LinkPredictionTask("links", edges_of(*rows[::-1])).digest == task.digest
    task.save(tmp_path / "links")
    loaded = load_task(tmp_path / "links")
    assert isinstance(loaded, LinkPredictionTask)
    assert loaded.edges.equals(task.edges)
    assert (loaded.digest, loaded.negatives_digest) == (task.digest, task.negatives_digest)


def test_digests_of_tasks_without_negatives_are_what_they_were() -> None:
    edges = pa.table({"source": ["b", "a"], "target": ["c", "b"], "relation": ["r", "r"], "split": ["test", "valid"]})
    expected = "90f71316cbf73c2c6a4e13de59aa02ffa17adbc11631a71f6cb72a538639c5dc"  # as of version 0.1.0
    assert LinkPredictionTask("links", edges).digest == expected


def test_other_kinds_of_lists_are_read() -> None:
    edges = edges_of((IDS[0], IDS[4], "test", [IDS[7], IDS[3]]))
    task = LinkPredictionTask("links", edges)
    for kind in (pa.large_list(pa.large_string()), pa.list_(pa.string(), 2)):
        other = edges.set_column(4, "negatives", edges["negatives"].cast(kind))
        assert LinkPredictionTask("links", other).digest == task.digest


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        (pa.array(["a", "b"]), "column 'negatives': expected lists of ids, got string"),
        (pa.array([["a"], None]), "1 of 2 edges have no negatives; give all of them some, or none"),
        (pa.array([["a"], []]), "1 of 2 edges have no negatives"),
        (pa.array([["a"], [None]]), "column 'negatives': missing id in row 1"),
        (pa.array([[1], [2]]), r"expected ids like those of targets \(string\), got int64"),
    ],
)
def test_wrong_negatives_are_refused(negatives: pa.Array, message: str) -> None:
    edges = edges_of((IDS[0], IDS[4], "test", None), (IDS[1], IDS[4], "valid", None))
    with pytest.raises(InputError, match=message):
        LinkPredictionTask("links", edges.set_column(4, "negatives", negatives))


def test_no_edges_at_all() -> None:
    empty = edges_of((IDS[0], IDS[4], "test", [IDS[7]])).slice(0, 0)
    for table in (empty, pa.Table.from_batches([], empty.schema)):
        task = LinkPredictionTask("links", table)
        assert (task.num_examples("test"), task.edges.num_rows) == (0, 0)
        assert task.digest


def test_leaks_and_unknown_negatives_are_refused() -> None:
    graph = make_graph(8, 4, missing=0)
    table = EmbeddingTable.for_graph(graph, torch.randn(8, 4), model="m")
    source, target = graph.relations["similar"].edge_index[:, 0].tolist()
    leaked = edges_of((IDS[source], IDS[target], "test", [IDS[7]]))
    with pytest.raises(InputError, match="1 held-out pairs are edges of graph 'toy'"):
        LinkPredictionTask("links", leaked).evaluate(table, graph)
    unknown = edges_of((IDS[3], IDS[7], "test", ["nobody"]))
    with pytest.raises(InputError, match="task 'links', column 'negatives': 1 unknown ids: 'nobody'"):
        LinkPredictionTask("links", unknown).evaluate(table, graph)
