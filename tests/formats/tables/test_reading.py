from __future__ import annotations

import csv
import gzip
import json
import logging
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.tables import read_tables, write_tables
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_raw_graph


def write_csv(path: Path, header: str, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def to_csv(folder: Path) -> None:
    """Turn the parquet tables of a folder into CSV, by the standard library's rules."""
    for stem in ("nodes", "edges"):
        table = pq.read_table(folder / f"{stem}.parquet")
        with open(folder / f"{stem}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, table.column_names)
            writer.writeheader()
            writer.writerows(table.to_pylist())
        (folder / f"{stem}.parquet").unlink()


def shuffle(folder: Path, seed: int) -> None:
    for stem in ("nodes", "edges"):
        path = folder / f"{stem}.parquet"
        table = pq.read_table(path)
        pq.write_table(table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows))), path)


@pytest.mark.parametrize("seed", range(3))
def test_round_trip(tmp_path: Path, seed: int) -> None:
    raw = make_raw_graph(tmp_path / "pictures", 30, 40, seed=seed)
    folder = write_tables(raw, tmp_path / "toy")
    again = read_tables(folder)
    assert_same_graph(again, raw)
    for path in again.content["image"]:
        assert path is None or path.is_relative_to(folder / "images")


def test_csv_and_parquet_give_the_same_graph(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path / "pictures", 30, 40)
    folder = write_tables(raw, tmp_path / "toy")
    to_csv(folder)
    again = read_tables(folder)
    for name, values in again.relations["likes"].attributes.items():  # CSV has no float32
        assert values.tolist() == raw.relations["likes"].attributes[name].tolist()
    ratings = again.relations["likes"].attributes["rating"].float()
    object.__setattr__(
        again.relations["likes"], "attributes", {**again.relations["likes"].attributes, "rating": ratings}
    )
    assert_same_graph(again, raw)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
TEXT_IDS = TEXTS.filter(lambda text: text == text.strip())  # what spreadsheets do to such ids is their business


@st.composite
def raw_graphs(draw: st.DrawFn) -> RawGraph:
    n = draw(st.integers(1, 6))
    kind = draw(st.sampled_from([TEXT_IDS, st.integers(-(2**63), 2**63 - 1)]))
    ids = draw(st.lists(kind, min_size=n, max_size=n, unique=True))
    names = draw(st.lists(st.sampled_from(["a", "b", "ü"]), min_size=n, max_size=n))
    node_types, node_type = encode_node_types(names)
    relations = {}
    for name in draw(st.lists(TEXTS, max_size=3, unique=True)):
        source, target = draw(st.sampled_from(node_types)), draw(st.sampled_from(node_types))
        left, right = ([i for i in range(n) if names[i] == t] for t in (source, target))
        pairs = draw(st.lists(st.tuples(st.sampled_from(left), st.sampled_from(right)), max_size=5))
        symmetric = draw(st.booleans())
        if symmetric:
            pairs = list({tuple(sorted(p)) if source == target else p: None for p in pairs})
        size = len(pairs)
        values = draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=size, max_size=size))
        counts = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=size, max_size=size))
        attributes = {"w": torch.tensor(values, dtype=torch.float64), "count": torch.tensor(counts, dtype=torch.int64)}
        relations[name] = Relation(
            torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous(),
            source,
            target,
            symmetric,
            attributes if size and draw(st.booleans()) else {},
        )
    texts = draw(st.lists(st.none() | TEXTS.filter(str.strip), min_size=n, max_size=n))
    columns = pa.table(
        {"price": pa.array(draw(st.lists(st.none() | st.integers(0, 9), min_size=n, max_size=n)), pa.int64())}
    )
    return RawGraph(draw(TEXTS), NodeIds(ids), node_types, node_type, relations, {"text": texts}, columns)


@given(raw=raw_graphs(), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_shuffled_rows_change_nothing(tmp_path_factory: pytest.TempPathFactory, raw: RawGraph, seed: int) -> None:
    folder = write_tables(raw, tmp_path_factory.mktemp("tables") / "toy")
    first = read_tables(folder)
    assert_same_graph(first, raw, by_id=True)
    shuffle(folder, seed)
    assert_same_graph(read_tables(folder), first)


@given(raw=raw_graphs())
@settings(max_examples=25, deadline=None)
def test_csv_ids_and_texts_survive(tmp_path_factory: pytest.TempPathFactory, raw: RawGraph) -> None:
    folder = write_tables(raw, tmp_path_factory.mktemp("tables") / "toy")
    expected = read_tables(folder)
    to_csv(folder)
    again = read_tables(folder)
    if all(re.fullmatch(r"0|-?[1-9][0-9]*", str(i)) and abs(int(i)) < 2**62 for i in raw.node_ids.values):
        assert again.node_ids.values.dtype == np.int64
    text_of = dict(zip(map(str, again.node_ids.values), again.content["text"], strict=True))
    plain = {str(i): t for i, t in zip(expected.node_ids.values, expected.content["text"], strict=True)}
    assert text_of == plain


@pytest.mark.parametrize(
    ("ids", "ends", "expected"),
    [
        (["1", "2", "10"], ["1", "10"], [1, 2, 10]),
        (["0", "-5"], ["0", "0"], [-5, 0]),
        (["1", "02"], ["1", "1"], ["02", "1"]),
        (["1", "2", "x"], ["1", "2"], ["1", "2", "x"]),
        (["1", "2"], ["1", "02"], [1, 2]),  # an odd id in the edges is no node, whatever the others are
        (["+1", "2"], ["2", "2"], ["+1", "2"]),
        (["1.0", "2"], ["2", "2"], ["1.0", "2"]),
        (["1e3", "2"], ["2", "2"], ["1e3", "2"]),
        (["99999999999999999999", "2"], ["2", "2"], ["2", "99999999999999999999"]),
        (["9999999999999999999", "2"], ["2", "2"], ["2", "9999999999999999999"]),
        (["9223372036854775807", "2"], ["2", "2"], [2, 9223372036854775807]),
        (["NA", "null", "nan"], ["NA", "nan"], ["NA", "nan", "null"]),
        (["ä", "漢字", "😀"], ["ä", "😀"], ["ä", "漢字", "😀"]),
        (["a,b", 'c"d'], ["a,b", "a,b"], ["a,b", 'c"d']),
    ],
)
def test_ids_in_csv(tmp_path: Path, ids: list[str], ends: list[str], expected: list[Any]) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & set('",') else text

    write_csv(tmp_path / "nodes.csv", "id", *map(quote, ids))
    write_csv(tmp_path / "edges.csv", "source,target", ",".join(map(quote, ends)))
    raw = read_tables(tmp_path, on_unknown="drop")
    assert raw.node_ids.values.tolist() == expected


def test_ids_of_mixed_files_follow_the_typed_one(tmp_path: Path) -> None:
    write_csv(tmp_path / "edges.csv", "source,target", "1,2")
    pq.write_table(pa.table({"id": ["1", "2"]}), tmp_path / "nodes.parquet")
    assert read_tables(tmp_path).node_ids.values.tolist() == ["1", "2"]
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "nodes.parquet")
    assert read_tables(tmp_path).node_ids.values.tolist() == [1, 2]
    write_csv(tmp_path / "edges.csv", "source,target", "1,x")
    message = f"{tmp_path / 'edges.csv'}, row 1: column target: no node has the id 'x'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_tables(tmp_path)
    (tmp_path / "edges.csv").unlink()
    pq.write_table(pa.table({"source": ["1"], "target": ["2"]}), tmp_path / "edges.parquet")
    message = "column id: ids are integers here and strings elsewhere"
    with pytest.raises(InputError, match=message):
        read_tables(tmp_path)
    write_csv(tmp_path / "nodes.csv", "id", "1", "x")
    (tmp_path / "nodes.parquet").unlink()
    pq.write_table(pa.table({"source": [1], "target": [1]}), tmp_path / "edges.parquet")
    message = f"edges.parquet, column source: {tmp_path / 'nodes.csv'}, column id are strings, got integers (first: 1)"
    with pytest.raises(InputError, match=re.escape(message)):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    "kind",
    [pa.int32(), pa.uint8(), pa.uint64(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
)
def test_ids_in_parquet_of_any_width(tmp_path: Path, kind: pa.DataType) -> None:
    values = [1, 2] if pa.types.is_integer(kind) else ["1", "2"]
    ids = pa.array(values).cast(kind)
    pq.write_table(pa.table({"id": ids, "type": pa.array(["a", "b"]).dictionary_encode()}), tmp_path / "nodes.parquet")
    pq.write_table(pa.table({"source": ids[:1], "target": ids[1:]}), tmp_path / "edges.parquet")
    raw = read_tables(tmp_path)
    assert raw.node_ids.values.tolist() == values
    assert raw.relations["edge"].target_type == "b"


def test_everything_a_csv_can_say(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "nodes.csv",
        "id,type,text,image,price,code,size",
        "p2,product,NA,img/2.png,3,007,1.5",
        'p1,product,"two\nlines, ""quoted""",,12,012,2',
        "u1,user,   ,,,,",
    )
    write_csv(
        tmp_path / "edges.csv",
        "source,target,relation,stars,note,weight",
        "u1,p2,likes,5,good,",
        "u1,p1,likes,4,,",
        "p2,p1,near,,,0.5",
        "p1,p2,near,,,0.25",
        "p1,p2,near,,,0.5",
    )
    (tmp_path / "graph.json").write_text(json.dumps({"name": "shop", "symmetric": ["near"], "source": "by hand"}))
    raw = read_tables(tmp_path)
    assert raw.name == "shop"
    assert read_tables(tmp_path, name="other").name == "other"
    assert raw.node_ids.values.tolist() == ["p1", "p2", "u1"]
    assert raw.content["text"] == ['two\nlines, "quoted"', "NA", None]
    assert raw.content["image"] == [None, tmp_path / "img/2.png", None]
    assert raw.columns is not None
    assert raw.columns.to_pydict() == {
        "price": [12, 3, None],
        "code": ["012", "007", None],
        "size": [2.0, 1.5, None],
    }
    likes, near = raw.relations["likes"], raw.relations["near"]
    assert (likes.source_type, likes.target_type, likes.symmetric) == ("user", "product", False)
    assert likes.edge_index.tolist() == [[2, 2], [0, 1]]
    assert {k: v.tolist() for k, v in likes.attributes.items()} == {"stars": [4, 5]}
    assert likes.attributes["stars"].dtype == torch.int64
    assert near.symmetric
    # A pair that is named in both directions is one edge; with another weight it is another edge, and is not lost.
    assert near.edge_index.tolist() == [[0, 0], [1, 1]]
    assert near.attributes["weight"].tolist() == [0.25, 0.5]


def test_defaults(tmp_path: Path) -> None:
    write_csv(tmp_path / "shop" / "nodes.csv", "id", "a", "b")
    write_csv(tmp_path / "shop" / "edges.csv", "source,target", "a,b", "a,b", "a,a")
    raw = read_tables(tmp_path / "shop")
    assert (raw.name, raw.node_types, raw.content, raw.columns) == ("shop", ("node",), {}, None)
    assert list(raw.relations) == ["edge"]
    assert raw.relations["edge"].edge_index.tolist() == [[0, 0, 0], [0, 1, 1]]  # repeated edges are kept


def test_partly_missing_attributes_are_nan(tmp_path: Path) -> None:
    write_csv(tmp_path / "nodes.csv", "id", "a", "b")
    write_csv(tmp_path / "edges.csv", "source,target,w", "a,b,1", "b,a,")
    values = read_tables(tmp_path).relations["edge"].attributes["w"].tolist()
    assert values[0] == 1
    assert values[1] != values[1]


def test_attributes_of_every_type(tmp_path: Path) -> None:
    ends = torch.tensor([[0, 1], [1, 2]])
    attributes = {
        "flag": torch.tensor([True, False]),
        "small": torch.tensor([1, 2], dtype=torch.int16),
        "half": torch.tensor([0.5, 1.5], dtype=torch.float16),
        "wide": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    }
    node_types, node_type = encode_node_types(["n"] * 3)
    relations = {"r": Relation(ends, "n", "n", attributes=attributes), "s": Relation(ends, "n", "n")}
    raw = RawGraph("g", NodeIds([1, 2, 3]), node_types, node_type, relations)
    assert_same_graph(read_tables(write_tables(raw, tmp_path / "g")), raw)


def test_times_become_microseconds(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "nodes.parquet")
    time = pa.array([1_000], pa.timestamp("ms"))
    pq.write_table(pa.table({"source": ["a"], "target": ["a"], "time": time}), tmp_path / "edges.parquet")
    assert read_tables(tmp_path).relations["edge"].attributes["time"].tolist() == [1_000_000]


def test_unknown_ends_are_listed_or_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_csv(tmp_path / "nodes.csv", "id", "a", "b")
    unknown = [f"a,x{i}" for i in range(6)]
    write_csv(tmp_path / "edges.csv", "source,target,w", "a,b,7", *(f"{row},1" for row in [*unknown, "y,x0", "b,a"]))
    listed = "'x0', 'x1', 'x2', 'x3', 'x4' and 2 more (first in row 2)"
    message = f"{tmp_path / 'edges.csv'}: 7 edges name ids that are no nodes: {listed}"
    with pytest.raises(InputError) as error:
        read_tables(tmp_path)
    assert str(error.value) == message
    with caplog.at_level(logging.WARNING):
        raw = read_tables(tmp_path, on_unknown="drop")
    assert caplog.messages == [f"{message}; left out"]
    assert raw.relations["edge"].edge_index.tolist() == [[0, 1], [1, 0]]
    assert raw.relations["edge"].attributes["w"].tolist() == [7, 1]
    with pytest.raises(InputError, match="unknown on_unknown 'ignore'; choose from: "):
        read_tables(tmp_path, on_unknown="ignore")


GOOD = {"nodes.csv": "id\na\nb\n", "edges.csv": "source,target\na,b\n"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"nodes.csv": "name,kind\na,b\n"}, "{0}/nodes.csv: missing column 'id'; found columns: name, kind"),
        ({"edges.csv": "source,to\na,b\n"}, "{0}/edges.csv: missing column 'target'; found columns: source, to"),
        ({"nodes.csv": None}, "{0}: expected nodes.parquet, nodes.csv, nodes.tsv or nodes.jsonl, found 'edges.csv'"),
        ({"edges.csv": None}, "{0}: expected edges.parquet, edges.csv, edges.tsv or edges.jsonl, found 'nodes.csv'"),
        ({"nodes.parquet": ""}, "{0}: expected one table nodes, found 'nodes.parquet', 'nodes.csv'"),
        ({"nodes.csv": "id\n"}, "{0}/nodes.csv: expected at least one node, got none"),
        ({"nodes.csv": ""}, "{0}/nodes.csv: the file is empty"),
        ({"nodes.csv": None, "nodes.parquet": "x"}, "{0}/nodes.parquet: cannot be read: "),
        ({"nodes.csv": "id,text\na,b,c\n"}, "{0}/nodes.csv, row 1: expected 2 columns, got 3"),
        ({"nodes.csv": "id,x,x\na,b,c\n"}, "{0}/nodes.csv: duplicate columns 'x'"),
        (
            {"nodes.csv": "id\na\nb\na\n"},
            "{0}/nodes.csv, row 3: column id: duplicate id 'a'; the first row with it counts",
        ),
        ({"nodes.csv": "id,text\na,b\n,c\n"}, "{0}/nodes.csv, row 2: column id: expected an id, got nothing"),
        ({"edges.csv": "source,target\na,\n"}, "{0}/edges.csv, row 1: column target: expected an id, got nothing"),
        (
            {"nodes.csv": "id,type\na,x\nb,y\n", "edges.csv": "source,target\na,b\na,a\n"},
            "{0}/edges.csv: relation 'edge' joins several pairs of node types (x to x, x to y); "
            "give each pair its own relation",
        ),
        ({"graph.json": "{"}, "{0}/graph.json: expected JSON, got: "),
        ({"graph.json": "[]"}, "{0}/graph.json: expected an object, got list"),
        ({"graph.json": '{"name": 3}'}, "{0}/graph.json, name: expected str, got int"),
        ({"graph.json": '{"symmetric": "edge"}'}, "{0}/graph.json, symmetric: expected list, got str"),
        (
            {"graph.json": '{"symmetric": ["egde"]}'},
            "{0}/graph.json, symmetric: unknown relation 'egde'; choose from: edge",
        ),
        ({"graph.json": '{"format": "mmgraph.graph"}'}, "{0}: holds an encoded graph, expected tables"),
        ({"graph.json": '{"modalities": {"a": "b"}}'}, "{0}/graph.json, modalities, a: unknown kind 'b'"),
        (
            {"graph.json": '{"empty_relations": {"r": "x"}}'},
            "{0}/graph.json, empty_relations, r: expected [source type, target type] of the node table, got 'x'",
        ),
        (
            {"graph.json": '{"empty_relations": {"r": ["node", "x"]}}'},
            "{0}/graph.json, empty_relations, r: expected [source type, target type] of the node table, got ['node', 'x']",
        ),
    ],
)
def test_bad_folders_are_refused_in_one_line(tmp_path: Path, files: dict[str, str | None], message: str) -> None:
    for name, text in (GOOD | files).items():
        if text is not None:
            (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_tables(tmp_path)
    assert str(error.value).startswith(message.format(tmp_path))
    assert "\n" not in str(error.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a folder with tables, found nothing$"):
        read_tables(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"expected a folder with tables, found a file$"):
        read_tables(tmp_path / "file")


def test_invalid_utf8(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_bytes("id,text\na,caf\u00e9\n".encode("latin-1"))
    write_csv(tmp_path / "edges.csv", "source,target")
    with pytest.raises(
        InputError, match=rf"^{re.escape(str(tmp_path))}/nodes.csv, row 1: column text: expected UTF-8, got byte 0xe9$"
    ):
        read_tables(tmp_path)


def test_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_bytes("\ufeffid\r\na\r\n".encode())
    write_csv(tmp_path / "edges.csv", "source,target")
    assert read_tables(tmp_path).node_ids.values.tolist() == ["a"]


def test_a_missing_image_is_left_to_the_encoder(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path / "pictures")
    folder = write_tables(raw, tmp_path / "toy")
    path = read_tables(folder).content["image"][0]
    path.unlink()
    again = read_tables(folder)
    assert again.content["image"][0] == path
    copy = read_tables(write_tables(again, tmp_path / "copy"))
    assert copy.content["image"][0] == tmp_path / "copy" / "images" / path.name
    assert not copy.content["image"][0].exists()


def test_images_of_one_name_stay_apart(tmp_path: Path) -> None:
    files = [tmp_path / "x" / "a.png", tmp_path / "y" / "a.png", tmp_path / "y" / "A.png", tmp_path / "x" / "1-a.png"]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(path))
    paths = [files[3], *files[:3], files[0], None]
    node_types, node_type = encode_node_types(["n"] * 6)
    raw = RawGraph("g", NodeIds(range(6)), node_types, node_type, content={"image": paths})
    folder = write_tables(raw, tmp_path / "g")
    assert_same_graph(read_tables(folder), raw)
    assert len(list((folder / "images").iterdir())) == 4
    text_paths = RawGraph("g", raw.node_ids, node_types, node_type, content={"image": [p and str(p) for p in paths]})
    assert_same_graph(read_tables(write_tables(text_paths, tmp_path / "h")), raw)


def test_other_modalities(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"RIFF")
    node_types, node_type = encode_node_types(["n"] * 2)
    content = {"audio": [sound, None], "summary": [None, "short"]}
    raw = RawGraph("g", NodeIds([0, 1]), node_types, node_type, content=content)
    folder = write_tables(raw, tmp_path / "g")
    assert_same_graph(read_tables(folder), raw)
    assert (folder / "audio" / "a.wav").exists()
    bad = RawGraph("g", NodeIds([0, 1]), node_types, node_type, content={"audio": [None, 3]})
    with pytest.raises(InputError, match=r"^audio: tables hold texts or paths of files, got int \(row 1\)$"):
        write_tables(bad, tmp_path / "h")


def test_rewriting_a_dataset_in_place_keeps_its_images(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path / "pictures")
    folder = write_tables(raw, tmp_path / "toy")
    (folder / "tasks").mkdir()
    first = read_tables(folder)
    with pytest.raises(InputError, match="already exists"):
        write_tables(first, folder)
    write_tables(first, folder, overwrite=True)
    assert_same_graph(read_tables(folder), raw)
    assert not (folder / "tasks").exists()


def test_strange_folders_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="refusing to overwrite a folder that also holds 'thesis.tex'"):
        write_tables(make_raw_graph(tmp_path.parent / "pictures"), tmp_path, overwrite=True)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    raw = make_raw_graph(tmp_path / "pictures")
    monkeypatch.setattr("mmgraph.formats.tables.writing.write_json", fail)
    with pytest.raises(type(error)):
        write_tables(raw, tmp_path / "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.parametrize(
    ("columns", "attribute", "message"),
    [
        ("text", "w", "graph 'toy': a column cannot be named 'text'"),
        ("title", "target", "relation 'r': an edge attribute cannot be named 'target'"),
    ],
)
def test_clashing_names(tmp_path: Path, columns: str, attribute: str, message: str) -> None:
    node_types, node_type = encode_node_types(["n"])
    relation = Relation(torch.tensor([[0], [0]]), "n", "n", attributes={attribute: torch.ones(1)})
    table = pa.table({columns: ["x"]})
    raw = RawGraph("toy", NodeIds([0]), node_types, node_type, {"r": relation}, {"text": ["a"]}, table)
    with pytest.raises(InputError, match=f"^{message}$"):
        write_tables(raw, tmp_path / "toy")


def test_order_of_shuffled_parallel_edges_is_fixed_by_their_attributes(tmp_path: Path) -> None:
    write_csv(tmp_path / "nodes.csv", "id", "a", "b")
    rows = [f"a,b,{time},{time % 3}" for time in (2**53, 2**53 + 1, 5, 4)]
    seen = set()
    for seed in range(6):
        random.Random(seed).shuffle(rows)
        write_csv(tmp_path / "edges.csv", "source,target,time,w", *rows)
        seen.add(tuple(read_tables(tmp_path).relations["edge"].attributes["time"].tolist()))
    assert len(seen) == 1


def test_reverse_relations_are_kept_and_one_declaration_is_enough(tmp_path: Path) -> None:
    write_csv(tmp_path / "nodes.csv", "id", "a", "b")
    write_csv(tmp_path / "edges.csv", "source,target,relation", "a,b,part_of", "b,a,has_part")
    (tmp_path / "graph.json").write_text('{"reverse": {"has_part": "part_of"}}')
    raw = read_tables(tmp_path, name="toy")
    assert (raw.relations["part_of"].reverse, raw.relations["has_part"].reverse) == ("has_part", "part_of")
    assert_same_graph(read_tables(write_tables(raw, tmp_path / "again")), raw)
    (tmp_path / "graph.json").write_text('{"reverse": {"has_part": "prat_of"}}')
    with pytest.raises(InputError, match=r"graph\.json, reverse: unknown relation 'prat_of'; choose from: part_of"):
        read_tables(tmp_path)


def test_repeats_of_a_symmetric_edge_at_other_times_survive_writing_and_reading(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in" / "nodes.csv", "id", "a", "b", "c")
    rows = ["a,b,1", "b,a,5", "a,b,5", "a,b,9", "b,c,", "c,b,"]
    write_csv(tmp_path / "in" / "edges.csv", "source,target,time", *rows)
    (tmp_path / "in" / "graph.json").write_text(json.dumps({"name": "calls", "symmetric": ["edge"]}))
    raw = read_tables(tmp_path / "in")
    edge = raw.relations["edge"]
    assert edge.edge_index.tolist() == [[0, 0, 0, 1], [1, 1, 1, 2]]
    assert np.allclose(edge.attributes["time"].numpy(), [1, 5, 9, np.nan], equal_nan=True)
    write_tables(raw, tmp_path / "out")
    assert_same_graph(read_tables(tmp_path / "out"), raw)


def test_a_damaged_archive_has_its_message(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"id": "a", "text": "one"}\n' * 2000)
    (tmp_path / "nodes.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    write_csv(tmp_path / "edges.csv", "source,target", "a,a")
    with pytest.raises(InputError, match=r"nodes\.jsonl\.gz: .*end-of-stream"):
        read_tables(tmp_path)


def test_paths_from_a_folder_behind_a_link(tmp_path: Path) -> None:
    raw = make_raw_graph(tmp_path / "pictures", num_nodes=8, num_edges=8)
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    write_tables(raw, tmp_path / "link" / "graph", copy_files=False)
    found = read_tables(tmp_path / "link" / "graph").content["image"]
    assert any(path is not None for path in found)
    assert all(path is None or path.is_file() for path in found)
