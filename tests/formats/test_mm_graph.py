from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.mm_graph import looks_like_mm_graph, read_mm_graph, write_mm_graph
from mmgraph.splits.base import Split
from mmgraph.tasks.from_split import task_from_split

IDS = ["B00/a", "漢字", "c", "d", "e"]
# Text, then image. Row 2 has no image, row 4 has nothing.
MATRIX = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 0, 0], [2, 0, 0, 3], [0, 0, 0, 0]], dtype=torch.float32)
AS_LIST: Callable[[Any], Any] = lambda values: values  # noqa: E731
CONTAINERS = {"list": AS_LIST, "array": np.array, "tensor": torch.tensor}


def save(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        torch.save(content, folder / name)
    return folder


def nc_files(make: Callable[[Any], Any] = torch.tensor) -> dict[str, Any]:
    return {
        "nc_edges-nodeid.pt": make([[0, 1], [1, 0], [1, 2], [3, 1]]),
        "labels-w-missing.pt": make([0, 1, 0, 1, 10]),
        "split.pt": {"train_idx": make([1, 0]), "val_idx": make([2]), "test_idx": make([3])},
        "clip_feat.pt": MATRIX,
        "node_mapping.pt": {item: row for row, item in enumerate(IDS)},
    }


def lp_files(make: Callable[[Any], Any] = torch.tensor) -> dict[str, Any]:
    return {
        "lp-edge-split.pt": {
            "train": {"source_node": make([0, 1]), "target_node": make([1, 2])},
            "valid": {"source_node": make([3]), "target_node": make([0]), "target_node_neg": make([[1, 4]])},
            "test": {
                "source_node": make([2, 0]),
                "target_node": make([3, 4]),
                "target_node_neg": make([[4, 0, 1], [2, 3, 1]]),
            },
        },
        "clip_feat.pt": MATRIX,
        "node_mapping.pt": {item: row for row, item in enumerate(IDS)},
    }


def edges_by_id(bundle: Bundle) -> set[frozenset[str]]:
    relation, ids = bundle.graph.relations["edge"], bundle.graph.node_ids.values
    return {frozenset(pair) for pair in ids[relation.edge_index.T.numpy()].tolist()}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_node_classification(tmp_path: Path, kind: str) -> None:
    folder = save(tmp_path / "books", nc_files(CONTAINERS[kind]))
    assert looks_like_mm_graph(folder)
    bundle = read_mm_graph(folder)
    graph, split = bundle.graph, bundle.splits["official"]
    assert graph.name == "books"
    assert graph.node_ids.values.tolist() == IDS
    assert graph.relations["edge"].symmetric
    assert graph.relations["edge"].num_edges == 3
    assert edges_by_id(bundle) == {frozenset(p) for p in [(IDS[0], IDS[1]), (IDS[1], IDS[2]), (IDS[1], IDS[3])]}
    text, image = graph.features["text"], graph.features["image"]
    assert (text.spec, image.spec) == (FeatureSpec("text", "clip", 2), FeatureSpec("image", "clip", 2))
    assert torch.equal(text.values, MATRIX[:, :2])
    assert torch.equal(image.values, MATRIX[:, 2:])
    assert text.present.tolist() == [True, True, True, True, False]
    assert image.present.tolist() == [True, True, False, True, False]
    rows = {row["id"]: (row["split"], row["label"]) for row in split.table.to_pylist()}
    assert rows == {
        IDS[0]: ("train", 0),
        IDS[1]: ("train", 1),
        "c": ("valid", 0),
        "d": ("test", 1),
        "e": ("unused", 10),  # a label that no part of the split has enters no task
    }
    assert "10" not in task_from_split("t", split).tables()["labels"]["label"].to_pylist()
    assert split.settings == {"file": "split.pt", "sha256": file_digest(folder / "split.pt")}
    assert bundle.notes == (
        "clip_feat.pt: 1 of 5 nodes lack text (rows of zeros)",
        "clip_feat.pt: 2 of 5 nodes lack image (rows of zeros)",
        "nc_edges-nodeid.pt: 4 rows make 3 pairs, each kept once",
    )


@pytest.mark.parametrize("kind", CONTAINERS)
def test_link_prediction(tmp_path: Path, kind: str) -> None:
    folder = save(tmp_path / "sports", lp_files(CONTAINERS[kind]))
    bundle = read_mm_graph(folder)
    assert edges_by_id(bundle) == {frozenset((IDS[0], IDS[1])), frozenset((IDS[1], "c"))}  # training edges only
    split = bundle.splits["official"]
    rows = {(r["source"], r["target"]): (r["split"], r["negatives"]) for r in split.table.to_pylist()}
    assert rows == {
        (IDS[0], IDS[1]): ("train", None),
        (IDS[1], "c"): ("train", None),
        ("d", IDS[0]): ("valid", [IDS[1], "e"]),
        ("c", "d"): ("test", ["e", IDS[0], IDS[1]]),
        (IDS[0], "e"): ("test", ["c", "d", IDS[1]]),
    }
    assert split.settings == {
        "relations": ["edge"],
        "file": "lp-edge-split.pt",
        "sha256": file_digest(folder / "lp-edge-split.pt"),
        "negatives": {"test": 3, "valid": 2},
    }
    assert task_from_split("t", split).tables()["edges"].num_rows == 3


def test_an_edge_lies_in_one_part_and_asked_pairs_are_not_in_the_graph(tmp_path: Path) -> None:
    files = lp_files()
    train = files["lp-edge-split.pt"]["train"]
    train["source_node"] = torch.tensor([0, 0, 2, 3])
    train["target_node"] = torch.tensor([1, 1, 3, 2])  # a repeat, an edge of the test, and its way back
    bundle = read_mm_graph(save(tmp_path, files))
    assert edges_by_id(bundle) == {frozenset((IDS[0], IDS[1]))}
    assert bundle.splits["official"].counts == {"train": 2, "valid": 1, "test": 2, "unused": 0}
    assert bundle.notes[-2:] == (
        "lp-edge-split.pt: 2 edges of train left out: twice in it, or asked in valid or test",
        "lp-edge-split.pt, train: 1 pairs are not in the graph, because valid or test ask them the other way",
    )


def test_which_negatives_belong_to_which_edge_survives_dropped_rows(tmp_path: Path) -> None:
    files = lp_files()
    files["lp-edge-split.pt"]["valid"] = {  # the first one is asked in the test, too
        "source_node": [2, 3],
        "target_node": [3, 0],
        "target_node_neg": [[0, 1], [1, 4]],
    }
    split = read_mm_graph(save(tmp_path, files)).splits["official"]
    rows = {(r["source"], r["target"]): (r["split"], r["negatives"]) for r in split.part("valid", "test").to_pylist()}
    assert rows[("c", "d")] == ("test", ["e", IDS[0], IDS[1]])
    assert rows[("d", IDS[0])] == ("valid", [IDS[1], "e"])


def test_missing_labels(tmp_path: Path) -> None:
    files = nc_files() | {"labels-w-missing.pt": np.array([0.0, np.nan, -1.0, 2.0, 3.0])}
    table = read_mm_graph(save(tmp_path, files)).splits["official"].table
    assert dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True)) == {
        IDS[0]: 0,
        IDS[1]: None,
        "c": None,
        "d": 2,
        "e": 3,
    }


def test_options(tmp_path: Path) -> None:
    folder = save(tmp_path, nc_files() | {"t5vit_feat.pt": MATRIX})
    bundle = read_mm_graph(
        folder,
        name="b",
        features="t5vit",
        widths=(1, 3),
        encoders={"text": "t5"},
        absent="none",
        ids="rows",
        relation="similar",
    )
    assert bundle.graph.name == "b"
    assert bundle.graph.node_ids.values.tolist() == [0, 1, 2, 3, 4]
    assert list(bundle.graph.relations) == ["similar"]
    specs = {features.spec for features in bundle.graph.features.values()}
    assert specs == {FeatureSpec("text", "t5", 1), FeatureSpec("image", "t5vit", 3)}
    assert all(features.present.all() for features in bundle.graph.features.values())
    assert bundle.notes[0] == "node_mapping.pt was not read: ids are the numbers of rows"
    text_only = read_mm_graph(folder, features="clip", widths=(4, 0)).graph
    assert list(text_only.features) == ["text"]


@pytest.mark.parametrize(
    "mapping",
    [
        dict(enumerate(IDS)),
        {np.str_(item): np.int64(row) for row, item in enumerate(IDS)},
        IDS,
        np.array(IDS),
    ],
    ids=["row to id", "numpy scalars", "list", "array"],
)
def test_mappings(tmp_path: Path, mapping: Any) -> None:
    graph = read_mm_graph(save(tmp_path, nc_files() | {"node_mapping.pt": mapping})).graph
    assert graph.node_ids.values.tolist() == IDS


def test_integer_ids_and_no_mapping(tmp_path: Path) -> None:
    files = nc_files() | {"node_mapping.pt": {40: 1, 30: 0, 20: 2, 10: 4, 0: 3}}
    assert read_mm_graph(save(tmp_path, files)).graph.node_ids.values.tolist() == [30, 40, 20, 0, 10]
    (tmp_path / "node_mapping.pt").unlink()
    bundle = read_mm_graph(tmp_path)
    assert bundle.graph.node_ids.values.tolist() == [0, 1, 2, 3, 4]
    assert bundle.notes[0] == "there is no node_mapping.pt: ids are the numbers of rows"
    (tmp_path / "clip_feat.pt").unlink()
    assert read_mm_graph(tmp_path).graph.features == {}


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize("dump", [torch.save, lambda v, path: path.write_bytes(pickle.dumps(v, protocol=2))])
@pytest.mark.parametrize("file", ["split.pt", "clip_feat.pt", "node_mapping.pt", "labels-w-missing.pt"])
def test_a_file_cannot_run_code(tmp_path: Path, file: str, dump: Callable[[Any, Path], None]) -> None:
    folder = save(tmp_path / "f", nc_files())
    dump({"train_idx": Evil(tmp_path / "run")}, folder / file)
    with pytest.raises(InputError) as error:
        read_mm_graph(folder)
    assert str(error.value) == (
        f"{folder / file}: expected arrays, tensors and plain containers only, but it asks for "
        f"{os.system.__module__}.system; nothing in it was run"
    )
    assert not (tmp_path / "run").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "run")))  # it would have
    assert (tmp_path / "run").exists()


def test_arrays_of_numpy_1_are_read(tmp_path: Path) -> None:
    folder = save(tmp_path, nc_files())
    content = pickle.dumps(np.array([0, 1, 0, 1, 10]), protocol=2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in content
    (folder / "labels-w-missing.pt").write_bytes(_with_magic(content))
    assert read_mm_graph(folder).splits["official"].table["label"].null_count == 0


def _with_magic(content: bytes) -> bytes:
    """An old file of `torch.save`: magic number, version, system, the object, keys of tensors."""
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(part, protocol=2) for part in start) + content + pickle.dumps([], protocol=2)


def with_(files: dict[str, Any], name: str, content: Any) -> dict[str, Any]:
    return {**files, name: content}


def lp_with(part: str, **changes: Any) -> dict[str, Any]:
    files = lp_files()
    entry = {**files["lp-edge-split.pt"][part], **changes}
    files["lp-edge-split.pt"][part] = {key: value for key, value in entry.items() if value is not None}
    return files


SPLIT = {"train_idx": [0], "val_idx": [1], "test_idx": [2]}
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "nothing there": ({}, {}, "{f}: expected nc_edges-nodeid.pt or one of lp-edge-split.pt, lp-edge-split-hard.pt, "
        "lp-edge-split-random.pt, found none of them"),
    "two splits": (with_(lp_files(), "lp-edge-split-hard.pt", {}), {},
        "{f}: expected one file of a split, got 'lp-edge-split.pt', 'lp-edge-split-hard.pt'; choose one with split_file=..."),
    "unknown split": (lp_files(), {"split_file": "lp-edge-split-hard.pt"},
        "unknown file of a split in {f} 'lp-edge-split-hard.pt'; choose from: lp-edge-split.pt"),
    "two features": (with_(nc_files(), "t5vit_feat.pt", MATRIX), {},
        "{f}: expected one file *_feat.pt, got 'clip', 't5vit'; choose one with features=..."),
    "unknown features": (nc_files(), {"features": "clap"}, "unknown file *_feat.pt in {f} 'clap'; choose from: clip"),
    "odd width": (with_(nc_files(), "clip_feat.pt", MATRIX[:, :3]), {},
        "{f}/clip_feat.pt: 3 columns cannot be halved into text and image; pass widths=(text, image)"),
    "widths": (nc_files(), {"widths": (1, 2)},
        "{f}/clip_feat.pt: expected widths of text and image that add up to 4, got (1, 2)"),
    "encoders": (nc_files(), {"encoders": {"audio": "x"}},
        "unknown modality of encoders 'audio'; choose from: image, text"),
    "absent": (nc_files(), {"absent": "nan"}, "unknown value of absent 'nan'; choose from: none, zero"),
    "ids": (nc_files(), {"ids": "row"}, "unknown source of ids 'row'; choose from: rows, mapping"),
    "integer features": (with_(nc_files(), "clip_feat.pt", torch.ones(5, 2, dtype=torch.int64)), {},
        "{f}/clip_feat.pt: expected floating point numbers [num_nodes, text + image], got torch.int64 [5, 2]"),
    "NaN": (with_(nc_files(), "clip_feat.pt", MATRIX * torch.nan), {"name": "g"},
        "graph 'g': text features of 5 nodes hold NaN or infinity, first at row 0"),
    "short labels": (with_(nc_files(), "labels-w-missing.pt", [0, 1]), {},
        "{f}/labels-w-missing.pt: expected one label for each node [5], got shape [2]"),
    "half labels": (with_(nc_files(), "labels-w-missing.pt", [0, 0.5, 0, 0, 0]), {},
        "{f}/labels-w-missing.pt: expected whole numbers as labels, got double"),
    "ids as objects": (with_(nc_files(), "node_mapping.pt", np.array(IDS, dtype=object)), {},
        "{f}/node_mapping.pt: cannot be read as pickled arrays and plain containers: arrays must hold numbers, true and "
        "false, or strings, got dtype 'O8'"),
    "text labels": (with_(nc_files(), "labels-w-missing.pt", list("abcde")), {},
        "{f}/labels-w-missing.pt: expected numbers [5] or [5, num_labels], got <U1 [5]"),
    "edges turned": (with_(nc_files(), "nc_edges-nodeid.pt", [[0, 1, 2], [1, 2, 3]]), {},
        "{f}/nc_edges-nodeid.pt: expected integers [any, 2], got int64 [2, 3]"),
    "edges out of range": (with_(nc_files(), "nc_edges-nodeid.pt", [[0, 5]]), {},
        "{f}/nc_edges-nodeid.pt: positions must lie in 0..4, got 0..5"),
    "edges ragged": (with_(nc_files(), "nc_edges-nodeid.pt", [[0, 5], [1]]), {}, "{f}/nc_edges-nodeid.pt: expected an array"),
    "edges a number": (with_(nc_files(), "nc_edges-nodeid.pt", 3), {},
        "{f}/nc_edges-nodeid.pt: expected a list, array or tensor, got int"),
    "split key": (with_(nc_files(), "split.pt", {"train_idx": [0]}), {},
        "{f}/split.pt: missing 'val_idx', 'test_idx'; found: 'train_idx'"),
    "split list": (with_(nc_files(), "split.pt", [0]), {},
        "{f}/split.pt: expected a dictionary with train_idx, val_idx, test_idx, got list"),
    "in two parts": (with_(nc_files(), "split.pt", {**SPLIT, "test_idx": [0]}), {},
        "{f}/split.pt: 1 nodes are in train and in test, first: "),
    "twice in one": (with_(nc_files(), "split.pt", {**SPLIT, "test_idx": [3, 2, 3]}), {},
        "{f}/split.pt, test: expected each position once, got 3 again"),
    "mapping too short": (with_(nc_files(), "node_mapping.pt", {"a": 0, "b": 1}), {},
        "{f}/node_mapping.pt: expected each of the 5 rows once, got 2 entries (('a', 0), ('b', 1)); to number nodes by "
        "row instead, pass ids='rows'"),
    "mapping list": (with_(nc_files(), "node_mapping.pt", ["a"]), {},
        "{f}/node_mapping.pt: expected one id for each row [5], got shape [1]"),
    "mapping twice": (with_(nc_files(), "node_mapping.pt", list("abcda")), {}, "{f}/node_mapping.pt: 1 duplicate ids: 'a'"),
    "no source": (lp_with("valid", source_node=None), {},
        "{f}/lp-edge-split.pt, valid: expected a dictionary with source_node and target_node, missing 'source_node'"),
    "lengths": (lp_with("test", source_node=[0]), {},
        "{f}/lp-edge-split.pt, test: source_node has 1 entries, target_node 2"),
    "negatives": (lp_with("test", target_node_neg=[[1, 2]]), {},
        "{f}/lp-edge-split.pt, test, target_node_neg: expected integers [2, any], got int64 [1, 2]"),
    "negatives of one part": (lp_with("test", target_node_neg=None), {},
        "{f}/lp-edge-split.pt: target_node_neg must be in both valid and test or in neither, got ['valid']"),
    "no negative": (lp_with("valid", target_node_neg=torch.empty(1, 0, dtype=torch.int64)), {},
        "{f}/lp-edge-split.pt: target_node_neg must hold at least one negative for each edge, got none"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input(tmp_path: Path, files: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_mm_graph(save(tmp_path, files), **options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(message.replace("{f}", str(tmp_path)))


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: folder not found"):
        read_mm_graph(tmp_path / "nowhere")
    save(tmp_path, nc_files())
    whole = (tmp_path / "clip_feat.pt").read_bytes()
    (tmp_path / "clip_feat.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"clip_feat\.pt: [^\n]*$"):
        read_mm_graph(tmp_path)
    (tmp_path / "clip_feat.pt").unlink()
    (tmp_path / "split.pt").unlink()
    with pytest.raises(InputError, match=r"split\.pt: file not found"):
        read_mm_graph(tmp_path)


def test_what_is_written_is_what_the_benchmark_reads(tmp_path: Path) -> None:
    for kind, files in (("nc", nc_files()), ("lp", lp_files())):
        bundle = read_mm_graph(save(tmp_path / kind, files))
        write_mm_graph(bundle, tmp_path / f"{kind}2")
        found = {path.name: torch.load(path, weights_only=True) for path in (tmp_path / f"{kind}2").iterdir()}
        assert set(found) == set(files)
        assert found["node_mapping.pt"] == files["node_mapping.pt"]
        assert torch.equal(found["clip_feat.pt"], MATRIX)
        if kind == "nc":
            assert found["nc_edges-nodeid.pt"].tolist() == [[0, 1], [1, 2], [1, 3]]
            assert found["labels-w-missing.pt"].tolist() == [0, 1, 0, 1, 10]
            indices = {key: value.tolist() for key, value in found["split.pt"].items()}
            assert indices == {"train_idx": [0, 1], "val_idx": [2], "test_idx": [3]}
        else:
            test = found["lp-edge-split.pt"]["test"]  # rows by id: "B00/a" before "c"
            assert {key: value.tolist() for key, value in test.items()} == {
                "source_node": [0, 2],
                "target_node": [4, 3],
                "target_node_neg": [[2, 3, 1], [4, 0, 1]],
            }


def changed(bundle: Bundle, table: pa.Table | None = None, **graph: Any) -> Bundle:
    split = bundle.splits["official"]
    if table is not None:
        split = Split(split.kind, table, split.method, split.settings)
    return Bundle(replace(bundle.graph, **graph), {"official": split})


@pytest.fixture
def nc(tmp_path: Path) -> Bundle:
    return read_mm_graph(save(tmp_path / "nc", nc_files()), name="g")


@pytest.fixture
def lp(tmp_path: Path) -> Bundle:
    return read_mm_graph(save(tmp_path / "lp", lp_files()), name="g")


def refusal(bundle: Bundle, folder: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        write_mm_graph(bundle, folder / "out", **options)
    assert not (folder / "out").exists()
    return str(error.value).removeprefix("graph 'g' cannot be written as MM-Graph: ")


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, nc: Bundle) -> None:
    graph, table = nc.graph, nc.splits["official"].table
    assert isinstance(graph, MultimodalGraph)
    relation, text, image = graph.relations["edge"], graph.features["text"], graph.features["image"]
    columns = pa.table({"title": list("vwxyz")})
    assert refusal(changed(nc, columns=columns), tmp_path) == (
        "it has no place for 'column title'; leave them out with without=['columns']"
    )
    write_mm_graph(changed(nc, columns=columns), tmp_path / "without", without=["columns"])
    timed = replace(relation, attributes={"time": torch.arange(3)})
    assert "'edge attribute time'; leave them out with without=['attributes']" in refusal(
        changed(nc, relations={"edge": timed}), tmp_path
    )
    directed = replace(relation, symmetric=False)
    assert refusal(changed(nc, relations={"edge": directed}), tmp_path) == (
        "relation 'edge' has a direction, which readers of the format ignore"
    )
    assert refusal(changed(nc, relations={}), tmp_path) == "expected one relation, got none"
    assert refusal(changed(nc, node_types=("node", "user")), tmp_path) == "expected one node type, got 2"
    assert refusal(Bundle(graph), tmp_path) == "expected one split of kind node or edge, got none"
    twice = Bundle(graph, {"a": nc.splits["official"], "b": nc.splits["official"]})
    assert refusal(twice, tmp_path).endswith("got 'a', 'b'; choose one with split=...")
    assert "unknown split of kind node or edge 'c'; choose from: a, b" in refusal(twice, tmp_path, split="c")
    bought = pa.table({"user": ["a"], "item": ["B00/a"], "split": ["test"]})
    other = Bundle(graph, {"a": nc.splits["official"], "b": Split("interaction", bought, "official")})
    assert refusal(other, tmp_path).endswith("got 'a', 'b'; choose one with split=...")  # b would be lost
    assert refusal(Bundle(graph, {"b": other.splits["b"]}), tmp_path) == (
        "expected one split of kind node or edge, got 'b'"
    )
    zero = ModalityFeatures(text.spec, text.values, torch.ones(5, dtype=torch.bool))
    assert "1 nodes have text features that are all zero, which this format reads as absent: 'e'" in refusal(
        changed(nc, features={"text": zero, "image": image}), tmp_path
    )
    narrow = ModalityFeatures(FeatureSpec("text", "clip", 1), text.values[:, :1], text.present)
    uneven = changed(nc, features={"text": narrow, "image": image})
    assert refusal(uneven, tmp_path) == (
        "text and image have 1 and 2 columns, but readers halve the matrix; pass widths=(1, 2) here and when reading"
    )
    write_mm_graph(uneven, tmp_path / "uneven", widths=(1, 2))
    assert read_mm_graph(tmp_path / "uneven", widths=(1, 2)).graph.features["text"].spec.dim == 1
    other = ModalityFeatures(FeatureSpec("text", "t5", 2), text.values, text.present)
    mixed = changed(nc, features={"text": other, "image": image})
    assert refusal(mixed, tmp_path) == "its encoders are ['clip', 't5']; name the file with features=..."
    assert "'../x' cannot be the name of a file" in refusal(mixed, tmp_path, features="../x")
    half = ModalityFeatures(text.spec, text.values.half(), text.present)
    assert "must have one dtype" in refusal(changed(nc, features={"text": half, "image": image}), tmp_path)
    audio = ModalityFeatures(FeatureSpec("audio", "clip", 2), text.values, text.present)
    assert refusal(changed(nc, features={"audio": audio}), tmp_path) == (
        "it has no place for 'modality audio'; leave them out with without=['modalities']"
    )
    named = table.set_column(table.column_names.index("label"), "label", table["label"].cast(pa.string()))
    assert refusal(changed(nc, named), tmp_path) == "labels must be whole numbers, got string; number them first"
    assert "has no column 'label'" in refusal(changed(nc, table.drop_columns(["label"])), tmp_path)
    negative = table.set_column(table.column_names.index("label"), "label", pa.array([-5, 0, 0, 0, 0]))
    assert refusal(changed(nc, negative), tmp_path) == "labels must not be negative, got -5"
    more = table.append_column("weight", table["label"])
    assert "'column weight of the split'" in refusal(changed(nc, more), tmp_path)
    with pytest.raises(InputError, match="unknown part to leave out 'column'; choose from: columns, "):
        write_mm_graph(nc, tmp_path / "out", without=["column"])
    raw = RawGraph("g", graph.node_ids, graph.node_types, graph.node_type, graph.relations)
    assert refusal(Bundle(raw, nc.splits), tmp_path) == "it holds raw content; encode it first"


def test_edges_that_the_format_cannot_hold(tmp_path: Path, lp: Bundle) -> None:
    table = lp.splits["official"].table
    extra = Relation(torch.tensor([[0, 1, 3], [1, 2, 4]]), "node", "node", symmetric=True)
    assert refusal(changed(lp, relations={"edge": extra}), tmp_path).startswith(
        "1 of its edges are no training edges of the edge split 'official'"
    )
    rows = table.to_pylist()
    ragged = pa.Table.from_pylist(
        [{**row, "negatives": row["negatives"] and row["negatives"][: 1 + (row["source"] == "c")]} for row in rows],
        schema=table.schema,
    )
    assert refusal(changed(lp, ragged), tmp_path) == "edges of a part need equally many negatives, got [1, 2]"
    trained = pa.Table.from_pylist([{**row, "negatives": ["e"]} for row in rows], schema=table.schema)
    assert refusal(changed(lp, trained), tmp_path) == "negatives of training edges have no place in it"
    unused = pa.Table.from_pylist(
        [{**row, "split": "unused"} if row["split"] == "valid" else row for row in rows], schema=table.schema
    )
    assert refusal(changed(lp, unused), tmp_path) == (
        "it has no place for '1 unused rows of the split'; leave them out with without=['unused']"
    )
    other = table.set_column(table.column_names.index("relation"), "relation", pa.array(["like"] * len(rows)))
    assert "holds out edges of 'like', the graph has 'edge'" in refusal(changed(lp, other), tmp_path)
    assert "unknown file of an edge split 'x.pt'" in refusal(lp, tmp_path, split_file="x.pt")
    write_mm_graph(lp, tmp_path / "hard", split_file="lp-edge-split-hard.pt")
    assert read_mm_graph(tmp_path / "hard").splits["official"].settings["file"] == "lp-edge-split-hard.pt"
    with pytest.raises(InputError, match="already exists"):
        write_mm_graph(lp, tmp_path / "hard")
