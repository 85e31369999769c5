from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.data.store import find_graph, graph_digest, load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.files import content_digest, file_digest, write_json
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


@st.composite
def graphs(draw: st.DrawFn) -> MultimodalGraph:
    """Graphs of all sizes and names, with every kind of attribute."""
    n = draw(st.integers(1, 6))
    ids = (
        draw(st.lists(NAMES | st.text(), min_size=n, max_size=n, unique=True).filter(_encodable))
        if draw(st.booleans())
        else draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n, unique=True))
    )
    types = tuple(draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    node_type = torch.randint(len(types), (n,), generator=random)
    node_type[0] = 0
    first = torch.nonzero(node_type == 0).flatten()
    relations = {}
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        size = draw(st.integers(0, 4))
        ends = first[torch.randint(first.numel(), (2, size), generator=random)]
        attributes = {
            "w": torch.randn(size, 3, generator=random).to(draw(DTYPES)),
            "time": torch.randint(2**40, (size,), generator=random),
            "flag": torch.rand(size, generator=random) < 0.5,
        }
        relations[name] = Relation(
            ends, types[0], types[0], draw(st.booleans()), attributes if draw(st.booleans()) else {}
        )
    features = {}
    for name in draw(st.lists(NAMES, max_size=2, unique=True)):
        dim = draw(st.integers(1, 4))
        values = torch.randn(n, dim, generator=random).to(draw(DTYPES))
        present = torch.rand(n, generator=random) < 0.6
        values[~present] = draw(st.sampled_from([0.0, float("nan"), float("inf")]))
        features[name] = ModalityFeatures(FeatureSpec(name, draw(NAMES), dim), values, present)
    columns = pa.table({"title": draw(st.lists(st.none() | NAMES, min_size=n, max_size=n))})
    return MultimodalGraph(
        draw(NAMES), NodeIds(ids), types, node_type, relations, features, draw(st.sampled_from([None, columns]))
    )


def _encodable(texts: list[str]) -> bool:
    return all(not any(0xD800 <= ord(c) < 0xE000 for c in text) for text in texts)


@given(graph=graphs(), mmap=st.booleans())
@settings(max_examples=40, deadline=None)
def test_load_gives_what_was_saved(
    tmp_path_factory: pytest.TempPathFactory, graph: MultimodalGraph, mmap: bool
) -> None:
    folder = tmp_path_factory.mktemp("store") / "graph"
    save_graph(graph, folder)
    loaded = load_graph(folder, mmap=mmap)
    assert_same_graph(loaded, graph)
    assert graph_digest(loaded) == graph_digest(graph)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_graph(make_graph(), tmp_path / "toy")


def test_files_are_those_of_the_format(saved: Path) -> None:
    manifest = json.loads((saved / "graph.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("mmgraph.graph", 1)
    assert {path.name for path in saved.iterdir()} == {"graph.json", *manifest["files"]}
    assert pa.parquet.read_table(saved / "nodes.parquet").column_names == ["id", "type", "title", "community"]


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = save_graph(load_graph(saved), tmp_path / "again")
    for path in saved.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_mapped_arrays_can_be_written_but_never_reach_the_file(saved: Path) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    graph = load_graph(saved)
    graph.features["text"].values.zero_()
    graph.relations["likes"].edge_index.zero_()
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert_same_graph(load_graph(saved), make_graph())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_is_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = save_graph(make_graph(6, 4), tmp_path_factory.mktemp("store") / "toy")
    path = data.draw(st.sampled_from(sorted(p for p in folder.iterdir() if p.name != "graph.json")))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"^{re.escape(str(path))}: the file was changed: expected SHA-256 \w+, got \w+$"
    ):
        load_graph(folder)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_manifest_is_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = save_graph(make_graph(6, 4), tmp_path_factory.mktemp("store") / "toy")
    path = folder / "graph.json"
    content = bytearray(path.read_bytes())
    visible = [i for i, byte in enumerate(content) if byte not in b" \n"]  # white space means nothing in JSON
    content[data.draw(st.sampled_from(visible))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(folder))):
        load_graph(folder)


def test_verification_can_be_skipped(saved: Path) -> None:
    path = saved / "features_0_text_values.npy"
    values = np.load(path)
    np.save(path, values + 1)
    assert load_graph(saved, verify=False).features["text"].values[0, 0] == values[0, 0] + 1


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_truncated_array_without_verification(saved: Path, cut: int) -> None:
    path = saved / "features_0_text_values.npy"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=re.escape(f"{path}: expected an array, got:")):
        load_graph(saved, verify=False)


def test_array_of_another_shape_without_verification(saved: Path) -> None:
    path = saved / "features_0_text_values.npy"
    np.save(path, np.zeros((2, 2)))
    with pytest.raises(InputError, match=re.escape(f"{path}: expected float32 [40, 16], got float64 [2, 2]")):
        load_graph(saved, verify=False)


def test_missing_file(saved: Path) -> None:
    (saved / "node_type.npy").unlink()
    with pytest.raises(InputError, match=re.escape(f"{saved / 'node_type.npy'}: the file is missing")):
        load_graph(saved)


def test_file_outside_the_folder_is_refused(saved: Path) -> None:
    (saved.parent / "secret.npy").write_bytes((saved / "node_type.npy").read_bytes())
    path = saved / "graph.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../secret.npy"] = file_digest(saved.parent / "secret.npy")
    del manifest["digest"]
    write_json(path, {**manifest, "digest": content_digest(json.dumps(manifest))})
    with pytest.raises(InputError, match=r"secret.npy: the file is missing"):
        load_graph(saved)


def test_white_space_of_the_manifest_counts(saved: Path) -> None:
    path = saved / "graph.json"
    path.write_bytes(path.read_bytes().replace(b"\n  ", b"\n\t ", 1))
    with pytest.raises(InputError, match=r"graph.json: the file was changed"):
        load_graph(saved)


def test_other_versions_are_refused(saved: Path) -> None:
    path = saved / "graph.json"
    manifest = json.loads(path.read_text())
    manifest["version"] = 2
    path.write_text(json.dumps(manifest))
    message = f"{path}: expected format 'mmgraph.graph' version 1, got 'mmgraph.graph' version 2"
    with pytest.raises(InputError, match=re.escape(message)):
        load_graph(saved)


def test_dataset_folder_opens_its_encoded_graph(tmp_path: Path) -> None:
    graph = make_graph()
    save_graph(graph, tmp_path / "encoded")
    (tmp_path / "graph.json").write_text('{"name": "toy", "symmetric": []}')
    assert find_graph(tmp_path) == tmp_path / "encoded"
    assert_same_graph(load_graph(tmp_path), graph)


def test_folders_without_a_graph(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the folder of a graph, found nothing$"):
        load_graph(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"expected a graph \(graph.json\), found: 'notes.txt'$"):
        load_graph(tmp_path)
    (tmp_path / "nodes.csv").touch()
    with pytest.raises(InputError, match="holds tables but no encoded graph; run: mmgraph encode --graph"):
        load_graph(tmp_path)


def test_existing_folders_are_not_lost(saved: Path, tmp_path: Path) -> None:
    other = make_graph(seed=1)
    with pytest.raises(InputError, match="already exists"):
        save_graph(other, saved)
    assert_same_graph(load_graph(saved), make_graph())
    save_graph(other, saved, overwrite=True)
    assert_same_graph(load_graph(saved), other)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    with pytest.raises(InputError, match="refusing to overwrite a folder that holds no encoded graph"):
        save_graph(other, precious, overwrite=True)
    assert (precious / "thesis.tex").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, overwrite: bool
) -> None:
    folder = tmp_path / "toy"
    if overwrite:
        save_graph(make_graph(), folder)

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("mmgraph.data.store.write_json", fail)
    with pytest.raises(type(error)):
        save_graph(make_graph(seed=1), folder, overwrite=overwrite)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == (["toy"] if overwrite else [])
    if overwrite:
        assert_same_graph(load_graph(folder), make_graph())


@pytest.mark.parametrize("names", [["id"], ["type", "type"], ["a", "a"]])
def test_ambiguous_columns_are_refused(tmp_path: Path, names: list[str]) -> None:
    columns = pa.table([pa.array(range(40))] * len(names), names=names)
    with pytest.raises(InputError, match=rf"columns must have distinct names other than id and type, got '{names[0]}'"):
        save_graph(dataclasses.replace(make_graph(), columns=columns), tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_digest_counts_what_a_model_sees_and_nothing_else() -> None:
    graph = make_graph()
    digest = graph_digest(graph)
    text, likes = graph.features["text"], graph.relations["likes"]
    garbage = torch.where(text.present[:, None], text.values, 7.0)
    same = [
        dataclasses.replace(graph, columns=None),
        dataclasses.replace(graph, features={**graph.features, "text": dataclasses.replace(text, values=garbage)}),
    ]
    changed = text.values.clone()
    changed[int(text.present.nonzero()[0]), 0] += 1e-6
    other = [
        dataclasses.replace(graph, name="other"),
        graph.subgraph(torch.arange(39, -1, -1)),
        dataclasses.replace(graph, features={**graph.features, "text": dataclasses.replace(text, values=changed)}),
        dataclasses.replace(graph, features={**graph.features, "text": dataclasses.replace(text, mean=text.mean + 1)}),
        dataclasses.replace(graph, relations={"likes": likes, "similar": graph.relations["likes"]}),
        dataclasses.replace(graph, relations=dict(reversed(graph.relations.items()))),
        dataclasses.replace(graph, relations={**graph.relations, "likes": dataclasses.replace(likes, symmetric=True)}),
        dataclasses.replace(graph, node_ids=NodeIds(range(40))),
        dataclasses.replace(graph, node_ids=NodeIds([str(i) for i in range(40)])),
    ]
    assert {graph_digest(g) for g in same} == {digest}
    digests = [graph_digest(g) for g in other]
    assert len({digest, *digests}) == len(other) + 1


def test_reverse_relations_are_kept_and_count_in_the_digest(tmp_path: Path) -> None:
    graph = make_graph(8, 10)
    likes = graph.relations["likes"]
    back = Relation(likes.edge_index.flip(0), "item", "user")
    plain = dataclasses.replace(graph, relations={**graph.relations, "liked_by": back})
    declared = {
        **graph.relations,
        "likes": dataclasses.replace(likes, reverse="liked_by"),
        "liked_by": dataclasses.replace(back, reverse="likes"),
    }
    graph = dataclasses.replace(graph, relations=declared)
    assert_same_graph(load_graph(save_graph(graph, tmp_path / "g")), graph)
    assert graph_digest(graph) != graph_digest(plain)
