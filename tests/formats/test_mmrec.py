from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.mmrec import looks_like_mmrec, read_mmrec, write_mmrec
from mmgraph.splits.base import Split
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.testing.asserts import assert_same_graph

USERS = ["u/1", "ü", "NA"]
ITEMS = ["0000031852", "b", "c", "d"]  # leading zeros stay
INTER = """userID\titemID\trating\ttimestamp\tx_label
0\t0\t5.0\t1390694400\t0
0\t2\t4.5\t1390694401\t1
1\t0\t1.0\t1390694402\t0
1\t1\t3.0\t1390694403\t2
0\t1\t2.0\t1390694404\t0
"""
IMAGE = np.array([[1, 2, 3], [0, 0, 0], [4, 5, 6], [7, 8, 1]], dtype=np.float64)
TEXT = np.array([[1, 2], [3, 4], [5, 9], [0, 0]], dtype=np.float32)


def save(folder: Path, **changes: Any) -> Path:
    """A folder as MMRec's preparation writes it; `None` leaves a file out."""
    files: dict[str, Any] = {
        "baby.inter": INTER,
        "u_id_mapping.csv": "user_id\tuserID\n" + "".join(f"{item}\t{i}\n" for i, item in enumerate(USERS)),
        "i_id_mapping.csv": "asin\titemID\n" + "".join(f"{item}\t{i}\n" for i, item in enumerate(ITEMS)),
        "image_feat.npy": IMAGE,
        "text_feat.npy": TEXT,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files | {NAMES.get(key, key): value for key, value in changes.items()}).items():
        if isinstance(content, np.ndarray):
            np.save(folder / name, content)
        elif content is not None:
            (folder / name).write_text(content, encoding="utf-8")
    return folder


NAMES = {
    "inter": "baby.inter",
    "users": "u_id_mapping.csv",
    "items": "i_id_mapping.csv",
    "image": "image_feat.npy",
    "text": "text_feat.npy",
    "missed": "missed_img_itemIDs.csv",
    "second": "other.inter",
}


def test_read(tmp_path: Path) -> None:
    folder = save(tmp_path)
    assert looks_like_mmrec(folder)
    bundle = read_mmrec(folder, encoders={"image": "cnn"})
    graph, split = bundle.graph, bundle.splits["official"]
    assert graph.name == "baby"
    assert graph.node_ids.values.tolist() == [*USERS, *ITEMS]  # those without interactions, too
    assert [graph.node_types[code] for code in graph.node_type.tolist()] == ["user"] * 3 + ["item"] * 4
    relation = graph.relations["interacted"]
    assert (relation.source_type, relation.target_type, relation.symmetric) == ("user", "item", False)
    edges = zip(*graph.node_ids.values[relation.edge_index.numpy()].tolist(), strict=True)
    rows = zip(edges, relation.attributes["rating"].tolist(), relation.attributes["time"].tolist(), strict=True)
    assert set(rows) == {
        (("u/1", "0000031852"), 5.0, 1390694400),
        (("ü", "0000031852"), 1.0, 1390694402),
        (("u/1", "b"), 2.0, 1390694404),
    }
    image, text = graph.features["image"], graph.features["text"]
    assert (image.spec, text.spec) == (FeatureSpec("image", "cnn", 3), FeatureSpec("text", "baby", 2))
    assert image.present.tolist() == [False, False, False, True, False, True, True]
    assert text.present.tolist() == [False, False, False, True, True, True, False]
    assert np.array_equal(image.values[3:].numpy(), IMAGE)
    assert np.array_equal(text.values[3:].numpy(), TEXT)
    assert {(r["user"], r["item"], r["split"], r["time"], r["rating"]) for r in split.table.to_pylist()} == {
        ("u/1", "0000031852", "train", 1390694400, 5.0),
        ("u/1", "c", "valid", 1390694401, 4.5),
        ("ü", "0000031852", "train", 1390694402, 1.0),
        ("ü", "b", "test", 1390694403, 3.0),
        ("u/1", "b", "train", 1390694404, 2.0),
    }
    assert split.settings == {
        "relation": "interacted",
        "user_type": "user",
        "item_type": "item",
        "attribute": "time",
        "file": "baby.inter",
        "sha256": file_digest(folder / "baby.inter"),
    }
    task = task_from_split("t", split)
    assert isinstance(task, RecommendationTask)
    assert task.interactions.num_rows == 2
    assert bundle.notes == (
        "image_feat.npy: 1 of 4 items lack image (1 rows of zeros)",
        "text_feat.npy: 1 of 4 items lack text (1 rows of zeros)",
        "baby.inter: 1 of 3 nodes of type 'user' have no interaction",
        "baby.inter: 1 of 4 nodes of type 'item' have no interaction",
    )


def test_numbers_of_mappings_count_not_their_lines(tmp_path: Path) -> None:
    folder = save(tmp_path, items="itemID,asin\n2,c\n0,a\n3,d\n1,b\n")  # with commas, other columns first
    graph = read_mmrec(folder).graph
    assert graph.node_ids.values[3:].tolist() == ["a", "b", "c", "d"]


def test_items_whose_image_was_filled_in(tmp_path: Path) -> None:
    image = IMAGE.copy()
    image[1] = IMAGE[[0, 2, 3]].mean(axis=0)  # what MMRec's preparation puts there
    folder = save(tmp_path / "f", image=image)
    bundle = read_mmrec(folder)
    assert bundle.graph.features["image"].present[3:].tolist() == [True] * 4
    note = "image_feat.npy: 1 rows are the mean of all, as if filled in; absent='mean' says that these items lack image"
    assert note in bundle.notes
    bundle = read_mmrec(folder, absent="mean")
    assert bundle.graph.features["image"].present[3:].tolist() == [True, False, True, True]
    assert "image_feat.npy: 1 of 4 items lack image (0 rows of zeros, 1 rows of the mean)" in bundle.notes
    (folder / "missed_img_itemIDs.csv").write_text("1\n")
    bundle = read_mmrec(folder)
    assert bundle.graph.features["image"].present[3:].tolist() == [True, False, True, True]
    assert "image_feat.npy: 1 of 4 items lack image (0 rows of zeros, 1 in missed_img_itemIDs.csv)" in bundle.notes
    (folder / "missed_img_itemIDs.csv").write_text("")
    assert read_mmrec(folder, absent="none").graph.features["image"].present[3:].all()


def test_options(tmp_path: Path) -> None:
    folder = save(
        tmp_path,
        users="user_id\tuserID\n7\t0\n8\t1\n9\t2\n",
        items="asin\titemID\n5\t0\n6\t1\n7\t2\n8\t3\n",
        second=INTER,
    )
    with pytest.raises(InputError, match="2 ids are those of a user and of an item: '7', '8'; pass ids='prefixed'"):
        read_mmrec(folder, inter="baby.inter")
    graph = read_mmrec(
        folder, name="n", inter="other.inter", ids="prefixed", relation="bought", user_type="person", item_type="film"
    ).graph
    assert graph.name == "n"
    assert graph.node_ids.values.tolist() == [
        "person:7",
        "person:8",
        "person:9",
        "film:5",
        "film:6",
        "film:7",
        "film:8",
    ]
    assert list(graph.relations) == ["bought"]
    assert graph.node_types == ("person", "film")
    save(tmp_path, users="user_id\tuserID\n17\t0\n18\t1\n19\t2\n", items="asin\titemID\n5\t0\n6\t1\n7\t2\n8\t3\n")
    assert read_mmrec(folder, inter="baby.inter", ids="integer").graph.node_ids.values.tolist() == [
        17,
        18,
        19,
        5,
        6,
        7,
        8,
    ]


def test_without_ratings_times_and_features(tmp_path: Path) -> None:
    inter = "userID\titemID\tx_label\n0\t0\t0\n1\t1\t2\n"
    bundle = read_mmrec(save(tmp_path, inter=inter, image=None, text=None))
    assert bundle.graph.features == {}
    assert bundle.graph.relations["interacted"].attributes == {}
    assert set(bundle.splits["official"].table.column_names) == {"user", "item", "split"}
    assert "there is no image_feat.npy: items have no image" in bundle.notes


def test_a_pair_that_is_asked_again_is_not_in_the_graph(tmp_path: Path) -> None:
    bundle = read_mmrec(save(tmp_path, inter=INTER + "0\t0\t5.0\t1390694409\t2\n"))
    assert bundle.graph.relations["interacted"].num_edges == 2
    assert any("1 training edges are not in the graph" in note for note in bundle.notes)


HEAD = "userID\titemID\trating\ttimestamp\tx_label\n"
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no mapping of items": ({"items": None}, {}, "{f}/i_id_mapping.csv: file not found; without it nobody knows what the "
        "numbers in 'itemID' and the rows of features stand for"),
    "no mapping of users": ({"users": None}, {}, "{f}/u_id_mapping.csv: file not found; without it nobody knows"),
    "no interactions": ({"inter": None}, {}, "{f}: expected <name>.inter, found none"),
    "two files": ({"second": INTER}, {},
        "{f}: expected one file of interactions, got 'baby.inter', 'other.inter'; choose one with inter=..."),
    "unknown file": ({}, {"inter": "x.inter"}, "unknown file of interactions in {f} 'x.inter'; choose from: baby.inter"),
    "absent": ({}, {"absent": "nan"}, "unknown value of absent 'nan'; choose from: "),
    "ids": ({}, {"ids": "text"}, "unknown kind of ids 'text'; choose from: "),
    "encoders": ({}, {"encoders": {"audio": "x"}}, "unknown modality of encoders 'audio'; choose from: image, text"),
    "columns": ({"inter": "userID\titemID\n0\t0\n"}, {},
        "{f}/baby.inter: missing columns 'x_label'; got 'userID', 'itemID'"),
    "label": ({"inter": HEAD + "0\t0\t1\t1\t0\n0\t1\t1\t1\t3\n"}, {},
        "{f}/baby.inter, column 'x_label': expected 0..2 (train, valid, test), got 3 in row 2"),
    "user": ({"inter": HEAD + "3\t0\t1\t1\t0\n"}, {},
        "{f}/baby.inter, column 'userID': expected 0..2, as in u_id_mapping.csv, got 3 in row 1"),
    "item": ({"inter": HEAD + "0\t-1\t1\t1\t0\n"}, {},
        "{f}/baby.inter, column 'itemID': expected 0..3, as in i_id_mapping.csv, got -1 in row 1"),
    "no number": ({"inter": HEAD + "a\t0\t1\t1\t0\n"}, {}, "{f}/baby.inter: cannot be read: "),
    "empty": ({"inter": ""}, {}, "{f}/baby.inter: cannot be read: "),
    "time": ({"inter": HEAD + "0\t0\t1\tlate\t0\n"}, {},
        "{f}/baby.inter, column 'timestamp': expected a number in each row, got string with 0 empty"),
    "no time": ({"inter": HEAD + "0\t0\t1\t\t0\n0\t1\t1\t5\t0\n"}, {},
        "{f}/baby.inter, column 'timestamp': expected a number in each row, got int64 with 1 empty"),
    "twice": ({"inter": HEAD + "0\t0\t1\t5\t0\n0\t0\t2\t5\t2\n"}, {},
        "{f}/baby.inter: interaction split 'official': {'user': 'u/1', 'item': '0000031852', 'time': 5} occurs more than"),
    "gap": ({"items": "asin\titemID\na\t0\nb\t1\nc\t3\n"}, {},
        "{f}/i_id_mapping.csv: expected the numbers 0..2 once each in 'itemID', number 2 is missing or there twice"),
    "number twice": ({"users": "user_id\tuserID\na\t0\nb\t1\nc\t1\n"}, {},
        "{f}/u_id_mapping.csv: expected the numbers 0..2 once each in 'userID', number 2 is missing or there twice"),
    "one column": ({"users": "userID\n0\n"}, {},
        "{f}/u_id_mapping.csv: expected two columns, 'user_id' and 'userID', got 'userID'"),
    "no column": ({"users": "user\tid\na\t0\n"}, {}, "{f}/u_id_mapping.csv: missing columns 'userID'; got 'user', 'id'"),
    "same id": ({"users": "user_id\tuserID\na\t0\na\t1\n"}, {}, "{f}/u_id_mapping.csv: 1 duplicate ids: 'a'"),
    "rows": ({"image": IMAGE[:3]}, {},
        "{f}/image_feat.npy: expected one row for each of the 4 items of i_id_mapping.csv, got 3 rows"),
    "shape": ({"text": TEXT.reshape(2, 2, 2)}, {},
        "{f}/text_feat.npy: expected floating point numbers [num_items, dim], got float32 [2, 2, 2]"),
    "pickle": ({"text": np.array([["a"], ["b"], ["c"], ["d"]], dtype=object)}, {},
        "{f}/text_feat.npy: expected an array, got: Object arrays cannot be loaded"),
    "not an array": ({"image": None, "image_feat.npy": "text"}, {}, "{f}/image_feat.npy: expected an array, got: "),
    "missed": ({"missed": "1\n4\n"}, {},
        "{f}/missed_img_itemIDs.csv, line 2: expected the number of an item, 0..3, got '4'"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input(tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_mmrec(save(tmp_path, **changes), **options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(message.replace("{f}", str(tmp_path)))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: folder not found"):
        read_mmrec(tmp_path / "nowhere")


def test_what_is_written_is_what_mmrec_reads(tmp_path: Path) -> None:
    write_mmrec(read_mmrec(save(tmp_path / "a")), tmp_path / "b")
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        *(path.name for path in (tmp_path / "a").iterdir()),
        "missed_img_itemIDs.csv",
    }
    for name in ("u_id_mapping.csv", "i_id_mapping.csv"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    assert sorted((tmp_path / "b" / "baby.inter").read_text().splitlines()) == sorted(INTER.splitlines())
    assert np.array_equal(np.load(tmp_path / "b" / "image_feat.npy"), IMAGE)
    assert (tmp_path / "b" / "missed_img_itemIDs.csv").read_text() == "1\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_mmrec(save(tmp_path / "in"), name="g")


def changed(bundle: Bundle, table: pa.Table | None = None, **graph: Any) -> Bundle:
    split = bundle.splits["official"]
    if table is not None:
        split = Split(split.kind, table, split.method, split.settings)
    return Bundle(replace(bundle.graph, **graph), {"official": split})


def refusal(bundle: Bundle, folder: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        write_mmrec(bundle, folder / "out", **options)
    assert not (folder / "out").exists()
    return str(error.value).removeprefix("graph 'g' cannot be written as MMRec: ")


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    graph, table = bundle.graph, bundle.splits["official"].table
    assert isinstance(graph, MultimodalGraph)
    relation, text = graph.relations["interacted"], graph.features["text"]
    columns = pa.table({"title": ["t"] * 7})
    assert "'column title'; leave them out with without=['columns']" in refusal(
        changed(bundle, columns=columns), tmp_path
    )
    weighted = replace(relation, attributes={"weight": torch.arange(3)})
    assert "'edge attribute weight'" in refusal(changed(bundle, relations={"interacted": weighted}), tmp_path)
    # Ratings of what is held out are nowhere but in the split.
    assert "'edge attribute rating'" in refusal(changed(bundle, table.drop_columns(["rating"])), tmp_path)
    assert "expected one relation, got 'interacted', 'x'" in refusal(
        changed(bundle, relations={"interacted": relation, "x": relation}), tmp_path
    )
    assert refusal(changed(bundle, relations={"x": relation}), tmp_path) == (
        "the interaction split 'official' must be about relation 'x' from 'user' (users) to 'item' (items), "
        "got ['interacted', 'user', 'item']"
    )
    assert "expected two node types" in refusal(changed(bundle, node_types=("user", "item", "brand")), tmp_path)
    everywhere = ModalityFeatures(text.spec, text.values + 1, torch.ones(7, dtype=torch.bool))
    assert refusal(changed(bundle, features={"text": everywhere}), tmp_path) == (
        "3 users have text features; only items may have some"
    )
    zero = ModalityFeatures(text.spec, text.values, torch.arange(7) > 2)
    assert "1 nodes have text features that are all zero, which this format reads as absent: 'd'" in refusal(
        changed(bundle, features={"text": zero}), tmp_path
    )
    short = ModalityFeatures(text.spec, text.values.bfloat16(), text.present)
    assert "torch.bfloat16, which numpy does not have" in refusal(changed(bundle, features={"text": short}), tmp_path)
    audio = ModalityFeatures(FeatureSpec("audio", "a", 2), text.values, text.present)
    assert "'modality audio'; leave them out with without=['modalities']" in refusal(
        changed(bundle, features={"audio": audio}), tmp_path
    )
    assert "its ids are strings; pass ids='string'" in refusal(bundle, tmp_path, ids="integer")
    assert "its ids are integers; pass ids='integer'" in refusal(changed(bundle, node_ids=NodeIds(range(7))), tmp_path)
    assert "expected ids that start with 'user:', got 'u/1'" in refusal(bundle, tmp_path, ids="prefixed")
    assert "'../x' cannot be the name of a file" in refusal(bundle, tmp_path, name="../x")
    assert "unknown kind of ids 'x'" in refusal(bundle, tmp_path, ids="x")
    rows = table.to_pylist()
    unused = pa.Table.from_pylist(
        [{**row, "split": "unused"} if row["split"] == "valid" else row for row in rows], schema=table.schema
    )
    assert "'1 unused rows of the split'; leave them out with without=['unused']" in refusal(
        changed(bundle, unused), tmp_path
    )
    write_mmrec(changed(bundle, unused), tmp_path / "without", without=["unused"])
    assert read_mmrec(tmp_path / "without").splits["official"].table.num_rows == len(rows) - 1
    swapped = table.rename_columns({"user": "item", "item": "user"})
    assert "of the interaction split 'official' is no 'user'" in refusal(changed(bundle, swapped), tmp_path)
    fewer = table.filter(pa.array([row["rating"] != 5.0 for row in rows]))
    assert "1 of its edges are no training rows" in refusal(changed(bundle, fewer), tmp_path)
    late = table.set_column(table.column_names.index("rating"), "rating", pa.array(["good"] * len(rows)))
    assert "rating of the interaction split 'official' must be numbers, got string" in refusal(
        changed(bundle, late), tmp_path
    )
    assert refusal(Bundle(graph), tmp_path) == "expected one split of kind interaction, got none"
    raw = RawGraph("g", graph.node_ids, graph.node_types, graph.node_type, graph.relations)
    assert refusal(Bundle(raw, bundle.splits), tmp_path) == "it holds raw content; encode it first"


@pytest.mark.parametrize("kind", ["integer", "prefixed"])
def test_other_kinds_of_ids_go_there_and_back(tmp_path: Path, bundle: Bundle, kind: str) -> None:
    new = {
        "integer": [30, 10, 20, 7, 5, 6, 4],
        "prefixed": ["user:1", "user:2", "user:3", "item:1", "item:2", "item:3", "item:"],
    }
    old = bundle.graph.node_ids.values.tolist()
    names = dict(zip(old, new[kind], strict=True))
    table = bundle.splits["official"].table
    for column in ("user", "item"):
        values = pa.array([names[value] for value in table[column].to_pylist()])
        table = table.set_column(table.column_names.index(column), column, values)
    renamed = changed(bundle, table, node_ids=NodeIds(new[kind]))
    write_mmrec(renamed, tmp_path / "out", ids=kind)
    assert "user:" not in (tmp_path / "out" / "u_id_mapping.csv").read_text()
    back = read_mmrec(tmp_path / "out", name="g", ids=kind)
    assert_same_graph(back.graph, renamed.graph, by_id=True)
    assert back.splits["official"].part("test").to_pylist() == renamed.splits["official"].part("test").to_pylist()
