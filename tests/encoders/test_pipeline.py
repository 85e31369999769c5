from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.efficientnet import EfficientNetEncoder
from mmgraph.encoders.function import FunctionEncoder
from mmgraph.encoders.minilm import MiniLMEncoder
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.engines.local import LocalEngine
from mmgraph.errors import InputError
from mmgraph.testing.encoders import FakeImageEncoder, FakeTextEncoder
from mmgraph.testing.engines import CopyingEngine
from mmgraph.testing.factories import make_raw_graph

WORDS = ["red", "blue", "green", "cat", "dog", "sun", "moon", "of", "the", "and", "very", "old", "new"]


def raw_of(ids: Sequence[Any] | None = None, columns: pa.Table | None = None, **content: Sequence[Any]) -> RawGraph:
    count = len(next(iter(content.values())))
    ids = [f"n{i}" for i in range(count)] if ids is None else ids
    node_type = torch.zeros(count, dtype=torch.int64)
    return RawGraph("toy", NodeIds(ids), ("node",), node_type, content=content, columns=columns)


def some_texts(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [f"{i} " + " ".join(random.choice(WORDS, random.integers(1, 12))) for i in range(count)]


def by_id(graph: MultimodalGraph, modality: str) -> dict[Any, bytes | None]:
    features = graph.features[modality]
    return {
        node: features.values[row].numpy().tobytes() if features.present[row] else None
        for row, node in enumerate(graph.node_ids.values.tolist())
    }


def shuffled(raw: RawGraph, seed: int) -> RawGraph:
    order = np.random.default_rng(seed).permutation(raw.num_nodes)
    return replace(
        raw,
        node_ids=raw.node_ids.take(order),
        node_type=raw.node_type[order],
        relations={},
        content={name: [items[i] for i in order] for name, items in raw.content.items()},
        columns=None if raw.columns is None else raw.columns.take(pa.array(order)),
    )


@settings(max_examples=15, deadline=None)
@given(
    texts=st.lists(st.one_of(st.none(), st.sampled_from(WORDS), st.text(max_size=12)), min_size=1, max_size=30),
    seed=st.integers(0, 99),
    batch_size=st.integers(1, 9),
)
def test_shuffled_rows_give_the_same_bits(texts: list[str | None], seed: int, batch_size: int) -> None:
    raw = raw_of(text=texts)
    first, report = encode_graph(raw, {"text": FakeTextEncoder()}, cache=False, batch_size=batch_size)
    second, _ = encode_graph(shuffled(raw, seed), {"text": FakeTextEncoder()}, cache=False, batch_size=batch_size)
    assert by_id(first, "text") == by_id(second, "text")
    assert torch.equal(first.features["text"].mean, second.features["text"].mean)
    part = report.modalities["text"]
    assert part.items == part.encoded + part.from_cache + part.duplicates + len(part.quarantined)
    assert first.features["text"].present.tolist() == [text is not None and bool(text.strip()) for text in texts]


def test_shuffled_rows_give_the_same_bits_with_real_encoders(
    tmp_path: Path, minilm: MiniLMEncoder, efficientnet: EfficientNetEncoder, images: list[Path]
) -> None:
    raw = raw_of(text=some_texts(40), image=[*images, *[None] * 20])
    encoders = {"text": minilm, "image": efficientnet}
    first, _ = encode_graph(raw, encoders, cache=tmp_path / "a", batch_size=8)
    second, _ = encode_graph(shuffled(raw, 1), encoders, cache=tmp_path / "b", batch_size=8)
    for modality in encoders:
        assert by_id(first, modality) == by_id(second, modality)
        assert torch.equal(first.features[modality].mean, second.features[modality].mean)


def test_vectors_equal_the_encoders_own(tmp_path: Path, minilm: MiniLMEncoder) -> None:
    texts = some_texts(30)
    graph, _ = encode_graph(raw_of(text=texts), {"text": minilm}, cache=tmp_path, batch_size=7)
    expected = torch.cat([minilm.encode([text]).vectors for text in texts])
    torch.testing.assert_close(graph.features["text"].values, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(graph.features["text"].mean, expected.mean(dim=0))


def test_deleting_one_image_changes_only_its_mask(efficientnet: EfficientNetEncoder, images: list[Path]) -> None:
    """Pain 3, without any cache: the other vectors keep every bit although their batches change."""
    whole, _ = encode_graph(raw_of(image=images), {"image": efficientnet}, cache=False, batch_size=8)
    fewer = [None if row == 4 else path for row, path in enumerate(images)]
    partial, _ = encode_graph(raw_of(image=fewer), {"image": efficientnet}, cache=False, batch_size=8)
    expected = by_id(whole, "image")
    assert expected["n4"] is not None
    assert by_id(partial, "image") == {**expected, "n4": None}


def test_truncated_jpeg_leaves_its_neighbours(
    tmp_path: Path, efficientnet: EfficientNetEncoder, images: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Pain 20."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(images[0].read_bytes()[:-200])
    whole, _ = encode_graph(raw_of(image=images), {"image": efficientnet}, cache=False, batch_size=20)
    with caplog.at_level(logging.WARNING):
        damaged, report = encode_graph(
            raw_of(image=[broken if row == 6 else path for row, path in enumerate(images)]),
            {"image": efficientnet},
            cache=tmp_path / "cache",
            batch_size=20,
        )
    assert by_id(damaged, "image") == {**by_id(whole, "image"), "n6": None}
    [(node, reason)] = report.modalities["image"].quarantined
    assert node == "n6"
    assert "truncated" in reason
    assert "1 of 20 image items cannot be read and count as absent" in caplog.text
    assert damaged.columns is not None
    assert damaged.columns["image"].to_pylist()[5:8] == [str(images[5]), None, str(images[7])]


def test_repaired_image_is_encoded_next_time(tmp_path: Path, images: list[Path]) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(images[0].read_bytes()[:-200])
    raw = raw_of(image=[path, images[1]])
    _, first = encode_graph(raw, {"image": FakeImageEncoder()}, cache=tmp_path / "cache")
    path.write_bytes(images[0].read_bytes())
    _, second = encode_graph(raw, {"image": FakeImageEncoder()}, cache=tmp_path / "cache")
    assert [len(report.modalities["image"].quarantined) for report in (first, second)] == [1, 0]
    assert (second.modalities["image"].encoded, second.modalities["image"].from_cache) == (1, 1)


@pytest.mark.parametrize("how", ["missing", "folder", "text", "empty"])
def test_unreadable_images_are_quarantined(tmp_path: Path, images: list[Path], how: str) -> None:
    path = tmp_path / "bad.png"
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_text("no image" if how == "text" else "")
    graph, report = encode_graph(raw_of(image=[images[0], path]), {"image": FakeImageEncoder()}, cache=False)
    assert [node for node, _ in report.modalities["image"].quarantined] == ["n1"]
    assert graph.features["image"].present.tolist() == [True, False]


def test_ids_with_the_same_stem_stay_distinct(tmp_path: Path) -> None:
    """Pain 3: `a.1` and `a.2` collide where files are named by the part before the first dot."""
    from PIL import Image

    for name, colour in (("a.1", "red"), ("a.2", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    raw = raw_of(["a.1", "a.2"], image=[tmp_path / "a.1.png", tmp_path / "a.2.png"])
    graph, _ = encode_graph(raw, {"image": FakeImageEncoder()}, cache=tmp_path / "cache")
    vectors = by_id(graph, "image")
    assert vectors["a.1"] != vectors["a.2"]


def test_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Pain 16."""
    raw = raw_of(text=some_texts(50))
    whole, _ = encode_graph(raw, {"text": FakeTextEncoder()}, cache=False, batch_size=8)
    stopped = FakeTextEncoder(fail_after=4)
    with pytest.raises(RuntimeError, match="stopped on purpose"):
        encode_graph(raw, {"text": stopped}, cache=tmp_path, batch_size=8)
    rest = FakeTextEncoder()
    graph, report = encode_graph(raw, {"text": rest}, cache=tmp_path, batch_size=8)
    assert (stopped.num_encoded, rest.num_encoded) == (32, 18)
    part = report.modalities["text"]
    assert (part.items, part.encoded, part.from_cache) == (50, 18, 32)
    assert by_id(graph, "text") == by_id(whole, "text")


KILLED = """
import os
import torch
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.testing.encoders import FakeTextEncoder

texts = {texts!r}
node_type = torch.zeros(len(texts), dtype=torch.int64)
raw = RawGraph("toy", NodeIds(range(len(texts))), ("node",), node_type, content={{"text": texts}})

class Killed(FakeTextEncoder):
    def encode(self, items):
        if len(self.batches) == 3:
            os.kill(os.getpid(), 9)
        return super().encode(items)

encode_graph(raw, {{"text": Killed()}}, cache={cache!r}, batch_size=8)
"""


def test_killed_process_loses_only_its_last_batch(tmp_path: Path) -> None:
    code = KILLED.format(texts=some_texts(50), cache=str(tmp_path))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == -9, result.stderr
    encoder = FakeTextEncoder()
    encode_graph(raw_of(text=some_texts(50)), {"text": encoder}, cache=tmp_path, batch_size=8)
    assert encoder.num_encoded == 50 - 3 * 8


def test_second_run_encodes_nothing(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path / "raw", num_nodes=40)
    first, _ = encode_graph(raw, {"text": FakeTextEncoder(), "image": FakeImageEncoder()}, cache=tmp_path / "cache")
    text, image = FakeTextEncoder(), FakeImageEncoder()
    second, report = encode_graph(raw, {"text": text, "image": image}, cache=tmp_path / "cache")
    assert (text.num_encoded, image.num_encoded) == (0, 0)
    assert [part.encoded for part in report.modalities.values()] == [0, 0]
    for modality in ("text", "image"):
        assert by_id(first, modality) == by_id(second, modality)


def test_changed_fingerprint_misses_the_cache(tmp_path: Path) -> None:
    """Pain 17; the contract suite flips every part of every encoder's identity."""
    raw = raw_of(text=some_texts(10))
    encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path)
    for other in (FakeTextEncoder(version="2"), FakeTextEncoder(max_words=50), FakeTextEncoder(dim=17)):
        _, report = encode_graph(raw, {"text": other}, cache=tmp_path)
        assert report.modalities["text"].encoded == 10


def test_three_long_texts_are_reported_as_truncated(tmp_path: Path, minilm: MiniLMEncoder) -> None:
    """Pain 17; also when the vectors come from the cache, and per node where two share a text."""
    long = ["word " * 300, "other " * 400, "third " * 260]
    raw = raw_of(text=["short", *long, None, "fine"])
    for _ in range(2):
        _, report = encode_graph(raw, {"text": minilm}, cache=tmp_path)
        assert report.modalities["text"].truncated == 3
    _, report = encode_graph(raw_of(text=[*long, long[0]]), {"text": minilm}, cache=tmp_path)
    assert (report.modalities["text"].truncated, report.modalities["text"].duplicates) == (4, 1)


def test_corrupt_cache_is_encoded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = raw_of(text=some_texts(20))
    first, _ = encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path, batch_size=5)
    path = sorted(tmp_path.glob("*/*.safetensors"))[1]
    data = bytearray(path.read_bytes())
    data[-10] ^= 0xFF
    path.write_bytes(data)
    encoder = FakeTextEncoder()
    with caplog.at_level(logging.WARNING):
        second, _ = encode_graph(raw, {"text": encoder}, cache=tmp_path, batch_size=5)
    assert encoder.num_encoded == 5
    assert "is corrupt" in caplog.text
    assert by_id(first, "text") == by_id(second, "text")
    third = FakeTextEncoder()
    encode_graph(raw, {"text": third}, cache=tmp_path, batch_size=5)
    assert third.num_encoded == 0


def test_equal_contents_are_encoded_once(tmp_path: Path, images: list[Path]) -> None:
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(images[0].read_bytes())
    text, image = FakeTextEncoder(), FakeImageEncoder()
    raw = raw_of(text=["same", "same", "other"], image=[images[0], copy, images[1]])
    graph, report = encode_graph(raw, {"text": text, "image": image}, cache=False)
    assert (text.num_encoded, image.num_encoded) == (2, 2)
    assert [part.duplicates for part in report.modalities.values()] == [1, 1]
    for modality in ("text", "image"):
        vectors = by_id(graph, modality)
        assert vectors["n0"] == vectors["n1"] != vectors["n2"]


def test_batches_have_one_length_and_the_given_size() -> None:
    encoder = FakeTextEncoder()
    encode_graph(raw_of(text=some_texts(100)), {"text": encoder}, cache=False, batch_size=8)
    assert {len(batch) for batch in encoder.batches[:-1]} == {8}
    lengths = [encoder.sort_key(text) for batch in encoder.batches for text in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_nodes_without_anything(tmp_path: Path) -> None:
    raw = raw_of(text=[None, "", "  \n"], image=[None, None, None])
    graph, report = encode_graph(raw, {"text": FakeTextEncoder(), "image": FakeImageEncoder()}, cache=tmp_path)
    for modality in ("text", "image"):
        assert not graph.features[modality].present.any()
        assert torch.equal(graph.features[modality].mean, torch.zeros(graph.features[modality].spec.dim))
        assert report.modalities[modality].items == 0


def test_columns_carry_texts_and_paths(images: list[Path]) -> None:
    columns = pa.table({"title": ["A", "B"], "text": ["old", "old"]})
    raw = raw_of(columns=columns, text=["hello", " "], image=[None, images[0]])
    graph, _ = encode_graph(raw, {"text": FakeTextEncoder()}, cache=False)
    assert graph.columns is not None
    assert graph.columns.to_pydict() == {
        "title": ["A", "B"],
        "text": ["hello", None],
        "image": [None, str(images[0])],
    }
    assert list(graph.features) == ["text"]


def test_everything_else_of_the_graph_is_kept(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path / "raw", num_nodes=20, num_edges=15)
    graph, _ = encode_graph(raw, {"text": FakeTextEncoder()}, cache=False)
    assert (graph.name, graph.node_ids, graph.node_types) == (raw.name, raw.node_ids, raw.node_types)
    assert graph.node_type is raw.node_type
    assert graph.relations == raw.relations


def test_other_modalities_through_a_function(tmp_path: Path) -> None:
    spec = FeatureSpec("audio", "mean", 1)
    encoder = FunctionEncoder(lambda items: [[float(sum(item))] for item in items], spec, version="1")
    raw = raw_of([3, 1, 2], audio=[b"\x01\x02", None, b"\x05"])
    graph, _ = encode_graph(raw, {"audio": encoder}, cache=tmp_path)
    assert graph.features["audio"].values.tolist() == [[3.0], [0.0], [5.0]]
    assert graph.columns is None


def test_nan_from_an_encoder_is_quarantined() -> None:
    spec = FeatureSpec("text", "bad", 2)
    encoder = FunctionEncoder(
        lambda texts: [[float("nan") if text == "b" else 1.0, 0.0] for text in texts], spec, version="1"
    )
    graph, report = encode_graph(raw_of([10, 20, 30], text=["a", "b", "c"]), {"text": encoder}, cache=False)
    assert report.modalities["text"].quarantined == [(20, "the encoder gave NaN or infinity")]
    assert graph.features["text"].present.tolist() == [True, False, True]


def test_invalid_unicode_is_quarantined(tmp_path: Path, minilm: MiniLMEncoder) -> None:
    graph, report = encode_graph(raw_of(text=["fine", "bad \ud800"]), {"text": minilm}, cache=tmp_path)
    [(node, reason)] = report.modalities["text"].quarantined
    assert (node, reason) == ("n1", "not valid Unicode: surrogates not allowed")
    assert graph.columns is not None
    assert graph.columns["text"].to_pylist() == ["fine", None]


@pytest.mark.parametrize("item", [float("nan"), 3, b"bytes"])
def test_wrong_type_names_the_node(item: Any) -> None:
    with pytest.raises(InputError, match="graph 'toy', text of node 'n1': expected a text, got"):
        encode_graph(raw_of(text=["a", item]), {"text": FakeTextEncoder()}, cache=False)


def test_unknown_modality_lists_the_known() -> None:
    with pytest.raises(InputError, match="unknown modality of graph 'toy' 'image'; choose from: text"):
        encode_graph(raw_of(text=["a"]), {"image": FakeImageEncoder()}, cache=False)


def test_encoder_of_another_modality() -> None:
    with pytest.raises(InputError, match="encoder 'fake-image' is for image, not for text"):
        encode_graph(raw_of(text=["a"]), {"text": FakeImageEncoder()}, cache=False)


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        encode_graph(raw_of(text=["a"]), {"text": FakeTextEncoder()}, cache=False, batch_size=0)


def test_report_is_json() -> None:
    _, report = encode_graph(raw_of([1, 2], text=["a", "\ud800"]), {"text": FakeTextEncoder()}, cache=False)
    again = json.loads(json.dumps(report.to_dict()))
    assert again["modalities"]["text"]["quarantined"] == [[2, "not valid Unicode: surrogates not allowed"]]
    assert again["modalities"]["text"]["encoder"] == "fake-text"


def test_default_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))
    encode_graph(raw_of(text=["a"]), {"text": FakeTextEncoder()})
    assert len(list(tmp_path.glob("encodings/text-fake-text-*/*.safetensors"))) == 1


def test_features_can_be_trained_on(tmp_path: Path, minilm: MiniLMEncoder) -> None:
    """Tensors made in inference mode cannot be saved for the backward pass."""
    graph, _ = encode_graph(raw_of(text=["a", "b"]), {"text": minilm}, cache=tmp_path)
    layer = torch.nn.Linear(384, 2)
    layer(graph.features["text"].values).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("workers", [1, 3])
def test_engine_with_workers_gives_the_same_bytes(tmp_path: Path, images: list[Path], workers: int) -> None:
    """Each file of the cache is named after its bytes, so equal names are equal batches, keys and vectors."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(images[0].read_bytes()[:-200])
    raw = raw_of(text=some_texts(20), image=[*images[:19], broken])
    graphs, reports, files = [], [], []
    for name, engine in (("local", LocalEngine()), ("copies", CopyingEngine(workers))):
        encoders = {"text": FakeTextEncoder(max_words=6), "image": FakeImageEncoder()}
        graph, report = encode_graph(raw, encoders, cache=tmp_path / name, batch_size=3, engine=engine)
        for part in report.modalities.values():
            part.seconds = 0.0
        graphs.append(graph)
        reports.append(report.to_dict())
        files.append(sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.safetensors")))
    assert reports[0] == reports[1]
    assert len(reports[0]["modalities"]["image"]["quarantined"]) == 1
    assert reports[0]["modalities"]["text"]["truncated"] > 0
    assert files[0] == files[1]
    assert len(files[0]) == 14
    for modality in graphs[0].features:
        assert by_id(graphs[0], modality) == by_id(graphs[1], modality)
        assert torch.equal(graphs[0].features[modality].mean, graphs[1].features[modality].mean)


def test_engine_gets_the_rest_only(tmp_path: Path) -> None:
    """Results are kept in order, so the rest is cut into the batches that an undisturbed run makes."""
    raw = raw_of(text=some_texts(50))
    encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path / "whole", batch_size=8)
    with pytest.raises(RuntimeError, match="stopped on purpose"):
        encode_graph(raw, {"text": FakeTextEncoder(fail_after=4)}, cache=tmp_path / "stopped", batch_size=8)
    engine = CopyingEngine()
    encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path / "stopped", batch_size=8, engine=engine)
    assert engine.num_shards == 3
    whole, stopped = ({path.name for path in (tmp_path / name).rglob("*.safetensors")} for name in ("whole", "stopped"))
    assert whole == stopped
    encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path / "stopped", batch_size=8, engine=engine)
    assert engine.num_shards == 3


class BlindEncoder(FakeImageEncoder):
    """On a machine that does not see the files."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (BlindWorker, ())


class BlindWorker(FakeImageEncoder):
    def prepare(self, path: Path | str) -> torch.Tensor:
        raise InputError(f"{path}: file not found")

    def content(self, item: Any) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", str(item))


def test_worker_without_the_files_is_no_quarantine(tmp_path: Path, images: list[Path]) -> None:
    with pytest.raises(InputError, match="is here, but a worker does not find it; engine copying needs a file system"):
        encode_graph(raw_of(image=images[:2]), {"image": BlindEncoder()}, cache=tmp_path, engine=CopyingEngine())


def test_another_type_is_rounded_from_the_cache(tmp_path: Path) -> None:
    raw = raw_of(text=[*some_texts(20), None])
    full, _ = encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path)
    for dtype, allowed in (("float16", 1e-3), ("int8", 1 / 254 + 1e-6)):
        graph, report = encode_graph(raw, {"text": FakeTextEncoder()}, cache=tmp_path, dtype=dtype)  # type: ignore[arg-type]
        assert (report.modalities["text"].encoded, report.modalities["text"].from_cache) == (0, 20)
        found, expected = graph.features["text"], full.features["text"]
        assert str(found.values.dtype) == f"torch.{dtype}"
        assert torch.equal(found.mean, expected.mean)
        largest = expected.rows().abs().amax(dim=1, keepdim=True)
        assert bool(((found.rows().float() - expected.rows()).abs() <= allowed * largest).all())
    with pytest.raises(InputError, match="unknown dtype of features 'int4'"):
        encode_graph(raw, {"text": FakeTextEncoder()}, cache=False, dtype="int4")  # type: ignore[arg-type]
