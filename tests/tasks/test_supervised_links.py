from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.tasks.alignment import PairSet
from mmgraph.tasks.controls import raw_features
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.networks import GraphNetwork
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.supervised_links import LinkConfig, _known_cells, supervised_links, train_links

SMALL = LinkConfig(dim=32, steps=60, num_negatives=64)


@pytest.mark.parametrize(("name", "metric", "factor"), [("links", "mrr", 1.05), ("recommend", "ndcg@10", 1.05)])
def test_trained_on_edges_beats_raw_features_and_destroyed_edges(
    setting: Any, name: str, metric: str, factor: float
) -> None:
    task, graph = setting.tasks[name], setting.graph
    trained = task.evaluate(supervised_links(graph, task, config=SMALL), graph)[metric]
    raw = task.evaluate(raw_features(graph), graph)[metric]
    assert trained > factor * raw
    destroyed = {
        key: replace(relation, edge_index=torch.stack([relation.edge_index[0], relation.edge_index[1].roll(50)]))
        for key, relation in graph.relations.items()
    }
    # Random edges may hit a held-out pair, which the task refuses: such pairs go.
    held = task.edges if isinstance(task, LinkPredictionTask) else task.interactions
    ends = [torch.from_numpy(graph.node_ids.positions(held[i])) for i in (0, 1)]
    pairs = torch.stack(ends)
    taken = PairSet(torch.cat([pairs, pairs.flip(0)], dim=1), graph.num_nodes)
    destroyed = {key: relation.take(~taken.contains(relation.edge_index)) for key, relation in destroyed.items()}
    other = replace(graph, relations=destroyed)
    assert task.evaluate(supervised_links(other, task, config=SMALL), other)[metric] < trained


def test_same_seed_same_bits(setting: Any) -> None:
    task, state, config = setting.tasks["links"], torch.get_rng_state(), replace(SMALL, steps=10)
    first = supervised_links(setting.graph, task, seed=1, config=config)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(supervised_links(setting.graph, task, seed=1, config=config).vectors, first.vectors)
    assert not torch.equal(supervised_links(setting.graph, task, seed=2, config=config).vectors, first.vectors)
    assert first.model == "supervised sage"


@pytest.mark.parametrize("name", ["links", "recommend"])
def test_other_test_edges_change_nothing_that_is_trained_or_chosen(setting: Any, name: str) -> None:
    task, graph = setting.tasks[name], setting.graph
    is_links = isinstance(task, LinkPredictionTask)
    rows = task.edges if is_links else task.interactions
    valid = rows.filter(pc.equal(rows["split"], "valid"))
    test = rows.filter(pc.equal(rows["split"], "test"))
    other = pa.concat_tables([valid, test.slice(0, 3)])
    changed = (
        LinkPredictionTask(task.name, other)
        if is_links
        else RecommendationTask(task.name, task.relation, task.user_type, task.item_type, other)
    )
    config = replace(SMALL, steps=30)
    (before, step), (after, same) = (train_links(graph, which, config=config) for which in (task, changed))
    assert step == same
    assert torch.equal(before.vectors, after.vectors)


def test_targets_carry_no_message_in_their_own_step(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmgraph.tasks import supervised_links as module

    graph, task = setting.graph, setting.tasks["links"]
    seen: list[torch.Tensor] = []
    inner, loss = GraphNetwork.forward, module._info_nce

    def forward(self: Any, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        seen.append(edge_index)
        return inner(self, x, edge_index)

    def checked(vectors: torch.Tensor, pairs: torch.Tensor, *rest: Any) -> torch.Tensor:
        messages = PairSet(seen[-1], graph.num_nodes)
        assert pairs.size(1) > 0
        assert not messages.contains(pairs).any()
        assert PairSet(graph.message_edges(["similar"])[0], graph.num_nodes).contains(pairs).all()
        return loss(vectors, pairs, *rest)

    monkeypatch.setattr(GraphNetwork, "forward", forward)
    monkeypatch.setattr(module, "_info_nce", checked)
    supervised_links(graph, task, config=replace(SMALL, steps=3))
    assert len(seen) >= 3


def test_known_cells_by_hand() -> None:
    known = PairSet(torch.tensor([[0, 0, 2], [1, 3, 4]]), 5)
    row, column = _known_cells(torch.tensor([2, 0]), torch.tensor([3, 4, 0, 3]), known)
    assert sorted(zip(row.tolist(), column.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 2), (1, 3)]


def test_nothing_to_train_on_or_select_by_is_refused(setting: Any) -> None:
    task = setting.tasks["links"]
    with pytest.raises(InputError, match="no edges to train on"):
        supervised_links(replace(setting.graph, relations={}), task)
    test_only = LinkPredictionTask("links", task.edges.filter(pc.equal(task.edges["split"], "test")))
    with pytest.raises(InputError, match="split 'valid' has no examples"):
        supervised_links(setting.graph, test_only)
