from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.graph_writer import FeatureHeader, GraphHeader, RelationHeader, graph_writer
from mmgraph.data.quantised import FeatureType, quantise_rows, with_dtype
from mmgraph.data.sampling import SamplingConfig
from mmgraph.data.store import graph_digest, load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.inference.embed import embed
from mmgraph.inference.sweep import sweep
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph, randomise
from mmgraph.training.config import PretrainConfig
from mmgraph.training.pretrain import pretrain
from mmgraph.training.tracking import read_metrics

SPEC = FeatureSpec("text", "fake", 3)


def in_bytes(graph: MultimodalGraph, dtype: FeatureType = "int8") -> MultimodalGraph:
    return replace(graph, features={name: with_dtype(item, dtype) for name, item in graph.features.items()})


@pytest.fixture
def graph() -> MultimodalGraph:
    return in_bytes(make_graph(seed=3))


def test_a_row_by_hand() -> None:
    values = torch.tensor([[127.0, -63.4, 0.6], [0.0, 0.0, 0.0], [-0.254, 0.0, 0.001]])
    steps, scale = quantise_rows(values)
    assert steps.dtype == torch.int8
    assert steps.tolist() == [[127, -63, 1], [0, 0, 0], [-127, 0, 0]]
    torch.testing.assert_close(scale, torch.tensor([1.0, 0.0, 0.002]))


@given(
    st.lists(st.lists(st.floats(-(2.0**120), 2.0**120, width=32), min_size=4, max_size=4), min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_no_entry_moves_by_more_than_half_a_scale(rows: list[list[float]]) -> None:
    values = torch.tensor(rows)
    steps, scale = quantise_rows(values)
    error = (values.double() - steps.double() * scale.double()[:, None]).abs()
    # Beyond the rounding of float32 itself, which is coarse for subnormal numbers.
    assert bool((error <= scale.double()[:, None] * (0.5 + 1e-4) + 1e-43).all())
    assert int(steps.min()) >= -127


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_are_refused_in_present_rows_only(bad: float) -> None:
    values, present = torch.ones(4, 3), torch.tensor([True, True, False, True])
    values[2, 0] = bad
    features = with_dtype(ModalityFeatures(SPEC, values, present), "int8")
    assert features.rows()[2].tolist() == [0, 0, 0]
    values[3, 1] = bad
    with pytest.raises(InputError, match="text features: expected finite values .* first at row 3"):
        with_dtype(ModalityFeatures(SPEC, values, present, torch.zeros(3)), "int8")
    wrong = replace(features, scale=torch.tensor([1.0, bad, 1.0, 1.0]))
    with pytest.raises(InputError, match="1 nodes hold NaN or infinity, first at row 1"):
        wrong.check_finite("graph 'g'")


def test_what_float16_cannot_hold_is_refused() -> None:
    features = ModalityFeatures(SPEC, torch.tensor([[1.0, 2, 3], [1e6, 0, 0]]), torch.ones(2, dtype=torch.bool))
    with pytest.raises(InputError, match="row 1 holds a value that float16 cannot"):
        with_dtype(features, "float16")
    assert with_dtype(features, "float32") is features


def test_unknown_type() -> None:
    features = ModalityFeatures(SPEC, torch.zeros(1, 3), torch.ones(1, dtype=torch.bool))
    with pytest.raises(InputError, match="unknown dtype of features 'int4'; choose from: int8"):
        with_dtype(features, "int4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int8), None, "int8 values and a scale go together"),
        (torch.zeros(2, 3), torch.ones(2), "int8 values and a scale go together"),
        (torch.zeros(2, 3, dtype=torch.int8), torch.ones(3), "scale must be float32 [2], got torch.float32 [3]"),
        (torch.zeros(2, 3, dtype=torch.int8), torch.ones(2).half(), "scale must be float32 [2], got torch.float16 [2]"),
    ],
)
def test_values_and_scale_fit(values: Tensor, scale: Tensor | None, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        ModalityFeatures(SPEC, values, torch.ones(2, dtype=torch.bool), scale=scale)


def test_rows_and_parts_are_those_of_the_whole() -> None:
    full = make_graph(seed=1).features["text"]
    features = with_dtype(full, "int8")
    index = torch.tensor([7, 0, 7, 39])
    part = features.take(index)
    assert part.values.dtype == torch.int8
    assert torch.equal(part.rows(), features.rows()[index])
    assert torch.equal(features.rows(index), features.rows()[index])
    assert torch.equal(part.mean, full.mean)
    cosine = torch.cosine_similarity(features.centred(), full.centred())
    assert cosine.min() > 0.999
    computed = ModalityFeatures(full.spec, features.values, features.present, scale=features.scale)
    torch.testing.assert_close(computed.mean, full.mean, atol=0.01, rtol=0)


def test_save_and_load(graph: MultimodalGraph, tmp_path: Path) -> None:
    folder = save_graph(graph, tmp_path / "g")
    assert {"features_0_text_scale.npy", "features_1_image_scale.npy"} <= {path.name for path in folder.iterdir()}
    assert np.load(folder / "features_0_text_values.npy").dtype == np.int8
    for mmap in (True, False, "read"):
        loaded = load_graph(folder, mmap=mmap)  # type: ignore[arg-type]
        assert_same_graph(loaded, graph)
        assert graph_digest(loaded) == graph_digest(graph)
    scale = np.load(folder / "features_0_text_scale.npy")
    np.save(folder / "features_0_text_scale.npy", scale * 2)
    with pytest.raises(InputError, match=r"features_0_text_scale.npy: the file was changed"):
        load_graph(folder)


def test_the_digest_counts_scales_of_present_rows(graph: MultimodalGraph) -> None:
    features = graph.features["text"]
    assert features.scale is not None
    changed = features.scale.clone()
    changed[~features.present] = 9.0
    other = replace(graph, features={**graph.features, "text": replace(features, scale=changed)})
    assert graph_digest(other) == graph_digest(graph)
    changed[features.present] *= 2
    other = replace(graph, features={**graph.features, "text": replace(features, scale=changed)})
    assert graph_digest(other) != graph_digest(graph)


def test_blocks_give_the_files_of_the_whole(tmp_path: Path) -> None:
    full = make_graph(seed=5)
    whole = save_graph(replace(in_bytes(full), columns=None), tmp_path / "whole")
    header = GraphHeader(
        full.name,
        full.node_types,
        {
            name: RelationHeader(
                r.source_type, r.target_type, r.symmetric, {k: v.dtype for k, v in r.attributes.items()}
            )
            for name, r in full.relations.items()
        },
        {name: FeatureHeader(item.spec, torch.int8) for name, item in full.features.items()},
    )
    with graph_writer(tmp_path / "blocks", header) as writer:
        writer.add_nodes(full.node_ids.arrow, full.node_type.numpy())
        for name, relation in full.relations.items():
            attributes = {key: values.numpy() for key, values in relation.attributes.items()}
            writer.add_edges(name, relation.edge_index.numpy(), attributes)
        for name, item in full.features.items():
            for start in range(0, full.num_nodes, 7):
                rows = slice(start, start + 7)
                writer.add_features(name, item.values[rows].numpy(), item.present[rows].numpy())
    for path in sorted(whole.glob("features_*")):
        if "mean" not in path.name:
            assert file_digest(path) == file_digest(tmp_path / "blocks" / path.name), path.name
    assert load_graph(tmp_path / "blocks").features["text"].dtype == torch.float32


class _Whole(TorchDispatchMode):
    """Fails on any operation but slicing and indexing that gets a whole array of bytes."""

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self.num_rows, self.seen = num_rows, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        whole = [a for a in args if isinstance(a, Tensor) and a.dtype == torch.int8 and len(a) == self.num_rows]
        if whole:
            self.seen += 1
            name = str(func)
            assert name.startswith(
                ("aten.index.Tensor", "aten.slice", "aten.select", "aten.detach", "aten.view", "aten.lift_fresh")
            ), name
        return func(*args, **(kwargs or {}))


def test_a_mapped_file_is_never_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgraph.data.arrays._CHUNK_ROWS", 100)  # digests take a block at a time
    folder = save_graph(in_bytes(make_graph(400, 600, seed=2)), tmp_path / "g")
    encoder = _encoder(load_graph(folder))
    with _Whole(400) as watch:
        loaded = load_graph(folder, mmap="read", verify=False)
        for start in range(0, 400, 50):
            loaded.features["text"].take(torch.arange(start, start + 50)).centred()
            loaded.features["image"].rows(torch.arange(start, start + 50))
        sweep(encoder, loaded, tmp_path / "levels", num_ranges=4, max_rows=100)
    assert watch.seen > 16


def _encoder(graph: MultimodalGraph) -> GraphEncoder:
    torch.manual_seed(0)
    config = EncoderConfig(dim=8, moe=MoEConfig(num_experts=2, top_k=1), gnn=GNNConfig(conv="sage", num_layers=1))
    return randomise(GraphEncoder(config, [item.spec for item in graph.features.values()]))


def as_numbers(graph: MultimodalGraph) -> MultimodalGraph:
    """The same graph with the products of bytes and scales as float32."""
    return replace(graph, features={name: with_dtype(item, "float32") for name, item in graph.features.items()})


def test_embed_and_sweep_are_those_of_the_same_numbers(graph: MultimodalGraph, tmp_path: Path) -> None:
    encoder = _encoder(graph)
    assert not any(item.rows().equal(make_graph(seed=3).features[name].rows()) for name, item in graph.features.items())
    found = embed(encoder, graph)
    assert found.vectors.equal(embed(encoder, as_numbers(graph)).vectors)
    swept = sweep(encoder, graph, tmp_path / "levels", num_ranges=3, max_rows=60)
    torch.testing.assert_close(swept.vectors, found.vectors, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("conv", ["sage", "sign"])
def test_steps_of_pretraining_are_those_of_the_same_numbers(
    conv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    gnn = GNNConfig(conv=conv, num_layers=1)  # type: ignore[arg-type]
    config = PretrainConfig(
        steps=2,
        log_every=1,
        device="cpu",
        encoder=EncoderConfig(dim=8, moe=MoEConfig(num_experts=2), gnn=gnn),
        sampling=SamplingConfig(kind="nodes" if conv == "sign" else "neighbor", batch_size=8, fanouts=(3,)),
    )
    graph = in_bytes(make_graph(seed=4))
    losses = {}
    for name, same in (("bytes", graph), ("numbers", as_numbers(graph))):
        save_graph(same, tmp_path / name)
        pretrain([tmp_path / name], config, out=tmp_path / f"run-{name}")
        losses[name] = [row["loss"] for row in read_metrics(tmp_path / f"run-{name}")]
    assert len(losses["bytes"]) == 2
    assert losses["bytes"] == losses["numbers"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_rows_become_numbers_on_their_device(graph: MultimodalGraph) -> None:
    features = graph.features["text"]
    moved = features.to("cuda")
    assert moved.values.dtype == torch.int8
    assert moved.rows().device.type == "cuda"
    assert torch.equal(moved.rows().cpu(), features.rows())
    full = make_graph(seed=3).features["text"].to("cuda")
    assert torch.equal(with_dtype(full, "int8").values.cpu(), features.values)
