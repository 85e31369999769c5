from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from scipy.stats import chisquare

from mmgraph.config import from_mapping
from mmgraph.errors import InputError
from mmgraph.synthetic.planted import PlantedGraph, planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality, PlantedRelation, benchmark_config
from mmgraph.synthetic.planted_model import PlantedModel
from mmgraph.testing.asserts import assert_same_graph


def test_same_call_same_graph_and_other_seed_other_graph() -> None:
    config = PlantedConfig(num_nodes=200, holdout=0.1)
    one, two, other = (planted_graph(config, seed) for seed in (3, 3, 4))
    assert_same_graph(one.graph, two.graph)
    assert one.labels.equals(two.labels)
    assert one.held_out.equals(two.held_out)
    assert not torch.equal(one.graph.features["text"].values, other.graph.features["text"].values)
    assert one.graph.node_ids != other.graph.node_ids


def test_a_longer_graph_is_no_copy_of_a_shorter_one_but_a_new_modality_changes_no_other() -> None:
    config = PlantedConfig(num_nodes=300)
    graph = planted_graph(config).graph
    more = (*config.modalities, PlantedModality("sound", ("shape",)))
    wider = planted_graph(replace(config, modalities=more)).graph
    assert torch.equal(wider.features["text"].values, graph.features["text"].values)
    assert torch.equal(wider.relations["similar"].edge_index, graph.relations["similar"].edge_index)


@pytest.mark.parametrize("ids", ["integers", "strings"])
def test_ids_are_distinct_unsorted_and_say_nothing(ids: Any) -> None:
    planted = planted_graph(PlantedConfig(num_nodes=3000, ids=ids))
    values = planted.graph.node_ids.values
    assert type(values[0]) is (str if ids == "strings" else np.int64)
    assert sorted(values.tolist()) != values.tolist()
    assert len({len(str(value)) for value in values}) == 1 or ids == "integers"
    by_id = planted.truth.community[torch.from_numpy(np.argsort(values))]
    assert chisquare(np.bincount(by_id[:-1] * 12 + by_id[1:], minlength=144)).pvalue > 1e-3
    assert planted.labels["id"].to_pylist() == values.tolist()


def test_labels_name_the_truth(rich: PlantedGraph) -> None:
    assert rich.labels.column_names == ["id", "label", "colour", "shape", "split"]
    for factor in ("colour", "shape"):
        expected = [f"{factor} {value}" for value in rich.truth.values(factor).tolist()]
        assert rich.labels[factor].to_pylist() == expected
    joined = pc.binary_join_element_wise(rich.labels["colour"], rich.labels["shape"], ", ")
    assert rich.labels["label"].equals(joined)
    assert rich.truth.community.tolist() == rich.truth.values("colour", "shape").tolist()
    counts = {row["values"]: row["counts"] for row in pc.value_counts(rich.labels["split"]).to_pylist()}
    assert counts == {"train": 1800, "valid": 600, "test": 600}
    assert "label" not in (rich.graph.columns.column_names if rich.graph.columns else [])


def test_features_lie_around_the_sum_of_their_centres(rich: PlantedGraph) -> None:
    model, features = rich.truth.model, rich.graph.features["image"]
    centres = np.concatenate(list(model.centres("image").values()))
    assert centres @ centres.T == pytest.approx(np.eye(5), abs=1e-5)
    there = features.present
    noise = features.values[there].numpy() - model.community_centres("image")[rich.truth.community[there]]
    assert noise.std() == pytest.approx(0.8, rel=0.02)
    assert np.abs(noise.mean(axis=0)).max() < 5 * 0.8 / np.sqrt(len(noise))
    assert np.abs(np.corrcoef(noise.T) - np.eye(10)).max() < 5 / np.sqrt(len(noise))


def test_absent_rows_are_nan_and_whole_communities_may_be_absent(rich: PlantedGraph) -> None:
    for name, missing in (("text", 0.2), ("image", 0.1)):
        features = rich.graph.features[name]
        assert bool(features.values[~features.present].isnan().all())
        shares = [float(features.present[rich.truth.community == c].double().mean()) for c in range(6)]
        absent = [share for share in shares if share == 0]
        assert len(absent) == (2 if name == "image" else 0)
        assert [share for share in shares if share] == pytest.approx([1 - missing] * (6 - len(absent)), abs=0.09)


def test_mean_is_that_of_the_present_rows(rich: PlantedGraph) -> None:
    features = rich.graph.features["text"]
    assert torch.allclose(features.mean, features.values[features.present].mean(dim=0), atol=1e-6)


def test_half_precision_is_the_same_graph_rounded() -> None:
    config = PlantedConfig(num_nodes=100)
    full, half = planted_graph(config).graph, planted_graph(replace(config, dtype="float16")).graph
    assert half.features["text"].values.dtype == torch.float16
    assert torch.equal(half.features["text"].values, full.features["text"].values.half())


def test_held_out_edges_are_not_in_the_graph_and_the_others_are(rich: PlantedGraph) -> None:
    whole = planted_graph(replace(rich.truth.model.config, holdout=0.0), seed=4)
    assert whole.held_out.num_rows == 0
    ids = rich.graph.node_ids
    for name, relation in rich.graph.relations.items():
        out = rich.held_out.filter(pc.equal(rich.held_out["relation"], name))
        ends = np.stack([ids.positions(out[side]) for side in ("source", "target")])
        kept, gone = (set(zip(*ends_.tolist(), strict=True)) for ends_ in (relation.edge_index, ends))
        assert not kept & gone
        assert kept | gone == set(zip(*whole.graph.relations[name].edge_index.tolist(), strict=True))
        assert len(gone) / (len(gone) + len(kept)) == pytest.approx(0.2, abs=0.04)
        share_valid = pc.mean(pc.equal(out["split"], "valid").cast("float64")).as_py()
        assert share_valid == pytest.approx(0.5, abs=0.1)
        assert set(out["split"].to_pylist()) == {"valid", "test"}


def test_relations_follow_their_factors(rich: PlantedGraph) -> None:
    def share(relation: str, *factors: str) -> float:
        value = rich.truth.values(*factors)
        source, target = rich.graph.relations[relation].edge_index
        return float((value[source] == value[target]).double().mean())

    assert share("similar", "colour", "shape") == pytest.approx(0.6, abs=0.05)
    assert share("palette", "colour") == pytest.approx(0.7, abs=0.05)
    assert share("palette", "shape") == pytest.approx(0.5, abs=0.05)
    assert share("noise", "colour", "shape") == pytest.approx(1 / 6, abs=0.05)


def test_some_nodes_have_many_more_edges_than_others() -> None:
    flat, skewed = (
        planted_graph(PlantedConfig(num_nodes=5000, modalities=(), degree_exponent=exponent)).graph
        for exponent in (None, 2.5)
    )
    most = [int(torch.bincount(g.relations["similar"].edge_index.flatten()).max()) for g in (flat, skewed)]
    assert most[0] < 25
    assert most[1] > 100


def test_graphs_without_modalities_or_relations() -> None:
    planted = planted_graph(PlantedConfig(num_nodes=1, modalities=(), relations=()))
    assert (planted.graph.num_nodes, planted.graph.num_edges, planted.held_out.num_rows) == (1, 0, 0)


def test_benchmark_graphs_have_the_size_asked_for() -> None:
    graph = planted_graph(benchmark_config(4000, 40_000)).graph
    assert graph.num_nodes == 4000
    assert graph.num_edges == pytest.approx(36_000, rel=0.05)


def test_configs_survive_yaml() -> None:
    from dataclasses import asdict

    config = PlantedConfig(
        degree_exponent=2.5, relations=(PlantedRelation("r", factors=("shape",)), PlantedRelation("s"))
    )
    assert from_mapping(PlantedConfig, asdict(config)) == config


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PlantedConfig(num_nodes=0), "num_nodes must be at least 1, got 0"),
        (lambda: PlantedConfig(factors={}), "factors: expected at least one, got none"),
        (
            lambda: PlantedConfig(factors={"label": 3}),
            "a factor cannot be named 'label': labels and tasks use community, id, label, split",
        ),
        (lambda: PlantedConfig(factors={"a": 1}), "factor 'a': expected at least 2 values, got 1"),
        (lambda: PlantedConfig(degree_exponent=2.0), "degree_exponent must be above 2, got 2.0"),
        (lambda: PlantedConfig(holdout=1.0), "holdout must lie in 0..1, below 1, got 1.0"),
        (
            lambda: PlantedConfig(modalities=(PlantedModality("text", ("color",)),)),
            "unknown factor of modality 'text': 'color'; choose from: colour, shape",
        ),
        (
            lambda: PlantedConfig(modalities=(PlantedModality("text", ("colour", "colour")),)),
            "modality 'text': every factor may be named once, got ['colour', 'colour']",
        ),
        (
            lambda: PlantedConfig(modalities=(PlantedModality("text", ("colour", "shape"), dim=6),)),
            "modality 'text': dim must be at least 7, one per centre, got 6",
        ),
        (
            lambda: PlantedConfig(modalities=(PlantedModality("text", (), absent_communities=13),)),
            "modality 'text': absent_communities must be at most 12, got 13",
        ),
        (
            lambda: PlantedConfig(relations=(PlantedRelation("r"), PlantedRelation("r"))),
            "every relation needs a name of its own, got ['r', 'r']",
        ),
        (lambda: PlantedModality("text", (), noise=0.0), "modality 'text': noise must be above 0, got 0.0"),
        (lambda: PlantedModality("text", (), missing=1.5), "modality 'text': missing must lie in 0..1, got 1.5"),
        (lambda: PlantedModality("", ()), "a modality needs a name, got ''"),
        (lambda: PlantedRelation("r", homophily=2.0), "relation 'r': homophily must lie in 0..1, got 2.0"),
        (lambda: PlantedRelation("r", -1.0), "relation 'r': edges_per_node must not be negative, got -1.0"),
    ],
)
def test_settings_out_of_range(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        build()


def test_example_of_the_documentation() -> None:
    planted = planted_graph(PlantedConfig(num_nodes=500), seed=1)
    assert str(planted.truth.best_accuracy(modalities=["text"], relations=())) == "0.2487"


def test_blocks_can_be_made_alone_and_in_any_order() -> None:
    config = benchmark_config(40_000, 400_000)
    forwards, backwards = PlantedModel(config), PlantedModel(config)
    blocks = range(forwards.num_edge_blocks("similar"))
    assert len(blocks) > 2
    late = {block: backwards.edge_block("similar", block) for block in reversed(blocks)}
    for block in blocks:
        edges = forwards.edge_block("similar", block)
        assert (edges.edge_index == late[block].edge_index).all()
        assert edges.part is not None
        assert (edges.part == late[block].part).all()
    assert (forwards.feature_block("image", 1)[0] == backwards.feature_block("image", 1)[0])[
        forwards.feature_block("image", 1)[1]
    ].all()
