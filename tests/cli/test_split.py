from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmgraph.cli.main import main
from mmgraph.cli.split_methods import METHODS
from mmgraph.data.store import save_graph
from mmgraph.formats.tables import read_tables
from mmgraph.splits.base import load_splits
from mmgraph.splits.edges import split_edges_random
from mmgraph.splits.message import message_graph
from mmgraph.splits.negatives import sample_negatives
from mmgraph.splits.recipe import _RECIPES
from mmgraph.tasks.base import Task, load_tasks
from mmgraph.testing.datasets import fake_encoders
from mmgraph.testing.factories import make_graph


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Twelve items with two copies among them, four users, likes with times, labels with a gap."""
    folder = tmp_path / "shop"
    folder.mkdir()
    nodes = [
        "id,type,text,born",
        *(f"i{n:02d},item,{'Red  Shoe' if n == 1 else f'red shoe {n}'},{n}" for n in range(12)),
    ]
    nodes[1] = "i00,item,red shoe,0"  # says the same as i01
    nodes += [f"u{n},user,,{n}" for n in range(4)]
    edges = ["source,target,relation,time"]
    edges += [f"i{n:02d},i{(n + 1) % 12:02d},near," for n in range(12)]
    edges += [f"i{n:02d},i{n + 6:02d},far," for n in range(6)]
    edges += [f"u{n},i{3 * n + k:02d},likes,{10 * k + n}" for n in range(4) for k in range(3)]
    edges += ["u0,i01,viewed,"]
    labels = ["id,kind,sold", *(f"i{n:02d},{'' if n == 11 else 'ab'[n % 2]},{2000 + n}" for n in range(12))]
    for name, lines in (("nodes", nodes), ("edges", edges), ("labels", labels)):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def run(shop: Path, *words: str) -> int:
    return main(["split", "--graph", str(shop), "--out", str(shop.parent / "out"), *words])


def test_edges(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--edges", "random", "--relations", "near", "likes", "--shares", "0.5", "0.25", "0.25", "--seed", "3"]
    assert run(shop, *words) == 0
    output, notes = capsys.readouterr()
    out = shop.parent / "out"
    split = load_splits(out)["links"]
    raw = read_tables(shop)
    expected = split_edges_random(raw, ["near", "likes"], shares={"train": 0.5, "valid": 0.25, "test": 0.25}, seed=3)
    assert split.digest == expected.digest
    assert load_tasks(out)["links"].num_examples("test") == split.counts["test"]
    assert output.startswith("links: edge split, random; LinkPredictionTask('links', test=6)\n")
    for part, count in split.counts.items():
        assert any(line.split()[:2] == [part, str(count)] for line in output.splitlines())
    assert "pairs that are not asked, because another relation tells them: 1\n" in output  # u0 viewed i01
    held = [int(line.split()[2]) for line in output.splitlines() if line.startswith(("near ", "likes "))]
    assert sum(held) == split.counts["valid"] + split.counts["test"] == 11
    cold = split.settings["cold_nodes"]
    assert f"without a training edge of these relations: {cold['in_these_relations']}\n" in output
    assert f"without any training edge: {cold['in_all_relations']}\n" in output
    assert f"digest of the split: {split.digest}\n" in output
    assert output.endswith(f"{out}\n")
    assert notes == f"next: mmgraph encode --graph {out}\n"


@pytest.mark.parametrize(
    ("words", "kind", "method"),
    [
        (["--edges", "time", "--relations", "likes"], "edge", "time"),
        (["--edges", "cold-node", "--node-type", "item", "--shares", "0.6", "0.2", "0.2"], "edge", "cold-node"),
        (["--edges", "relation", "--parts", "far=test", "likes=valid"], "edge", "relation"),
        (["--interactions", "leave-last-out", "--relation", "likes"], "interaction", "leave-last-out"),
        (["--interactions", "time", "--relation", "likes", "--shares", "0.5", "0.2", "0.3"], "interaction", "time"),
        (["--interactions", "cold-item", "--relation", "likes", "--user-type", "user"], "interaction", "cold-item"),
        (
            ["--interactions", "cold-user", "--relation", "likes", "--fold-in", "0.4", "--shares", "0.5", "0.2", "0.3"],
            "interaction",
            "cold-user",
        ),
        (["--nodes", "random", "--labels", "labels.csv:kind"], "node", "random"),
        (["--nodes", "stratified", "--labels", "labels.csv:kind", "--seed", "2"], "node", "stratified"),
        (["--nodes", "time", "--labels", "labels.csv:kind", "--time", "sold"], "node", "time"),
        (["--nodes", "random", "--labels", "labels.csv:sold", "--regression"], "node", "random"),
        (
            ["--nodes", "few-shot", "--labels", "labels.csv:kind", "--train-per-label", "1", "--valid-per-label", "1"],
            "node",
            "few-shot",
        ),
    ],
)
def test_every_method(shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], kind: str, method: str) -> None:
    assert run(shop, *words, "--name", "asked") == 0
    output = capsys.readouterr().out
    assert output.startswith(f"asked: {kind} split, {method}; ")
    out = shop.parent / "out"
    split = load_splits(out)["asked"]
    assert (split.kind, split.method) == (kind, method)
    assert split.digest in output
    rest = read_tables(out)
    again = message_graph(rest, split)
    assert {n: r.num_edges for n, r in rest.relations.items()} == {n: r.num_edges for n, r in again.relations.items()}
    with fake_encoders(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMGRAPH_CACHE", str(shop.parent / "cache"))
        assert main(["encode", "--graph", str(out)]) == 0
    assert list(load_tasks(out)) == ["asked"]


def test_the_command_knows_every_splitter_that_there_is() -> None:
    kinds = {"edges": "edge", "nodes": "node", "interactions": "interaction"}
    assert {kinds[kind]: set(methods) for kind, methods in METHODS.items()} == {
        kind: set(recipes) for kind, recipes in _RECIPES.items()
    }
    from mmgraph.cli.split import build_parser

    text = build_parser().format_help()
    for kind, methods in METHODS.items():
        assert f"--{kind} {{{','.join(methods)}}}" in text


def test_copies_stay_together_unless_told_otherwise(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--nodes", "random", "--labels", "labels.csv:kind", "--overwrite", "--shares", "0.5", "0", "0.5"]
    parts = {}
    for name, more in (
        ("groups", []),
        ("single", ["--no-content-groups"]),
        ("ignored", ["--ignore-texts", "RED shoe"]),
    ):
        parts[name] = []
        for seed in range(8):
            assert run(shop, *words, *more, "--seed", str(seed)) == 0
            rows = load_splits(shop.parent / "out")["kind"].table.to_pylist()
            assert len(rows) == 11  # i11 has no label
            parts[name].append({row["split"] for row in rows if row["id"] in ("i00", "i01")})
        output = capsys.readouterr().out
        assert ("groups of nodes that share a text or a picture: 1\n" in output) == (name == "groups")
    assert all(len(found) == 1 for found in parts["groups"])
    assert any(len(found) == 2 for found in parts["single"])
    assert any(len(found) == 2 for found in parts["ignored"])


def test_negatives(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shop, "--edges", "time", "--relations", "likes", "--negatives", "4", "--seed", "7") == 0
    split = load_splits(shop.parent / "out")["links"]
    assert f"digest of the negatives: {split.settings['negatives']['digest']}\n" in capsys.readouterr().out
    raw = read_tables(shop)
    from mmgraph.splits.edges import split_edges_by_time

    assert split.digest == sample_negatives(raw, split_edges_by_time(raw, ["likes"]), 4, seed=7).digest
    assert "fixed negatives" in load_tasks(shop.parent / "out")["links"].protocol


def test_labels_and_times_may_come_from_elsewhere(shop: Path, tmp_path: Path) -> None:
    (shop / "labels.csv").rename(tmp_path / "mine.csv")
    assert run(shop, "--nodes", "time", "--labels", f"{tmp_path}/mine.csv:kind", "--time", "born") == 0
    split = load_splits(tmp_path / "out")["kind"]
    assert {row["born"] for row in split.part("train").to_pylist()} == set(range(len(split.part("train"))))
    pq.write_table(split.table.select(["id", "label"]), shop / "labels.parquet")
    assert run(shop, "--nodes", "random", "--labels", "label", "--overwrite") == 0
    assert (tmp_path / "out" / "labels.parquet").is_file()


def test_numbers_are_classes_unless_told_otherwise(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--nodes", "random", "--labels", "labels.csv:sold", "--overwrite"]
    assert run(shop, *words) == 0
    classes = load_tasks(shop.parent / "out")["sold"]
    assert run(shop, *words, "--regression") == 0
    numbers = load_tasks(shop.parent / "out")["sold"]
    assert (classes.kind, numbers.kind) == ("node_classification", "node_regression")
    values = numbers.tables()["values"].to_pylist()
    assert {row["id"]: row["value"] for row in values} == {f"i{n:02d}": 2000.0 + n for n in range(12)}
    parts = [[row["split"] for row in table.to_pylist()] for table in (values_of(classes), values_of(numbers))]
    assert parts[0] == parts[1]  # the same seed draws the same parts
    assert "NodeRegressionTask('sold'" in capsys.readouterr().out


def values_of(task: Task) -> pa.Table:
    return next(iter(task.tables().values()))


def test_what_the_folder_has_already(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shop, "--edges", "random", "--relations", "near", "--shares", "0.5", "0", "0.5") == 0
    assert main(["split", "--graph", str(tmp_path / "out"), "--out", str(tmp_path / "two"), "--edges", "random"]) == 2
    assert "already has a task 'links'; give the new split another name" in capsys.readouterr().err
    again = ["--graph", str(tmp_path / "out"), "--out", str(tmp_path / "two"), "--interactions", "cold-item"]
    assert main(["split", *again, "--relation", "likes"]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes[:2] == ["tasks/links comes along", "splits/links comes along"]
    assert notes[2].startswith("tasks/links took edges out of this graph before; the new task does not know them")
    assert list(load_tasks(tmp_path / "two")) == ["links", "recommend"]
    third = ["--graph", str(tmp_path / "out"), "--out", str(tmp_path / "three"), "--edges", "random", "--name", "far"]
    assert main(["split", *third, "--relations", "far", "near"]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes[0] == "splits/links comes along"  # far edges are none of its rows, but links filters all relations
    assert notes[1].startswith("tasks/links is left out: ")
    assert notes[1].endswith(" pairs that it takes as known are now held out")


def test_an_encoded_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_graph(make_graph(), tmp_path / "in" / "encoded")
    (tmp_path / "labels.csv").write_text("id,kind\nn0000,a\nn0001,b\nn0002,a\nn0004,b\n")
    words = ["--nodes", "random", "--labels", f"{tmp_path}/labels.csv:kind"]
    assert run(tmp_path / "in", *words) == 0
    assert capsys.readouterr().err == (
        "the graph is encoded and has no texts or pictures any more: copies were not looked for\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected one of --edges, --nodes and --interactions, got none; see: mmgraph split --help"),
        (
            ["--edges", "random", "--nodes", "random"],
            "expected one of --edges, --nodes and --interactions, got --edges and",
        ),
        (["--edges", "randm"], "--edges: "),
        (["--edges", "random", "--relations", "nears"], "unknown relation 'nears'; choose from: near, "),
        (
            ["--edges", "random", "--shares", "0.5", "0.5"],
            "--shares: expected three numbers, those of train, valid and",
        ),
        (
            ["--edges", "random", "--shares", "0.5", "0.5", "0.5"],
            "--shares: expected three numbers that add up to 1, got 0",
        ),
        (["--edges", "random", "--shares", "1", "0", "0"], "has no rows in valid or test, so there is nothing to ask"),
        (
            ["--edges", "random", "--labels", "kind"],
            "--labels means nothing to --edges random, which uses: --negatives, ",
        ),
        (["--edges", "time", "--seed", "1"], "--seed means nothing to --edges time, which uses: "),
        (["--edges", "time", "--relations", "near"], "relation 'near': expected one number 'time' for every edge"),
        (["--edges", "time", "--relations", "likes", "--time", "when"], "expected one number 'when' for every edge"),
        (["--edges", "relation"], "--edges relation needs --parts; see: mmgraph split --help"),
        (["--edges", "relation", "--parts", "near"], "--parts: expected relation=part, each relation once, got 'near'"),
        (
            ["--edges", "relation", "--parts", "near=tset"],
            "unknown part in --parts near=tset 'tset'; choose from: test, ",
        ),
        (["--edges", "cold-node", "--node-type", "itm"], "unknown node type 'itm'; choose from: item, user"),
        (["--edges", "random", "--negatives", "50"], "50 negatives were asked for"),
        (["--edges", "random", "--name", "a/b"], "task name 'a/b': expected letters, digits"),
        (["--nodes", "random"], "--nodes random needs --labels; see: mmgraph split --help"),
        (["--nodes", "random", "--labels", "kind"], "shop/labels.parquet: file not found"),
        (
            ["--nodes", "random", "--labels", "labels.csv:knd"],
            "labels.csv: missing column 'knd'; found columns: id, kind",
        ),
        (
            ["--nodes", "time", "--labels", "labels.csv:kind"],
            "--time time: neither {0}/shop/labels.csv nor the nodes of graph 'shop' have a column 'time'",
        ),
        (
            ["--nodes", "few-shot", "--labels", "labels.csv:kind", "--train-per-label", "9"],
            "--nodes few-shot needs --valid-per-label",
        ),
        (
            ["--nodes", "few-shot", "--labels", "labels.csv:kind", "--train-per-label=9", "--valid-per-label=1"],
            "2 labels have fewer than 11 groups of nodes: 'a (6)', 'b (4)'",
        ),
        (
            ["--nodes", "stratified", "--labels", "labels.csv:sold", "--regression"],
            "--nodes stratified is about classes, and --regression about numbers; use --nodes random or time",
        ),
        (
            ["--nodes", "random", "--labels", "labels.csv:kind", "--regression"],
            "labels.csv, column kind: expected a finite number, got 'a' for id 'i00'",
        ),
        (["--edges", "random", "--regression"], "--regression means nothing to --edges random, which uses: "),
        (["--interactions", "cold-item"], "--interactions cold-item needs --relation; see: mmgraph split --help"),
        (["--interactions", "cold-item", "--relation", "near"], "expected users and items of two node types"),
        (
            ["--interactions", "cold-user", "--relation", "likes", "--fold-in", "1"],
            "fold_in must be at least 0 and below 1",
        ),
        (["--edges", "random", "--graph", "{0}/none"], "{0}/none: expected the folder of a graph, found nothing"),
    ],
)
def test_bad_input(shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    before = sorted(shop.parent.rglob("*"))
    assert run(shop, *(word.format(shop.parent) for word in words)) == 2
    output, error = capsys.readouterr()
    assert error.count("\n") == 1
    assert message.format(shop.parent) in error
    assert output == ""
    assert sorted(shop.parent.rglob("*")) == before


def test_existing_folders_are_kept(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop.parent / "out").mkdir()
    assert run(shop, "--edges", "random") == 2
    assert f"{shop.parent}/out already exists" in capsys.readouterr().err
    assert run(shop, "--edges", "random", "--overwrite") == 0


def test_copies_of_an_item_are_new_together(shop: Path) -> None:
    """The items i00 and i01 say the same."""
    for seed in range(8):
        out = shop.parent / f"cold{seed}"
        words = ["--interactions", "cold-item", "--relation", "likes", "--seed", str(seed), "--out", str(out)]
        assert main(["split", "--graph", str(shop), *words, "--shares", "0.4", "0.3", "0.3"]) == 0
        table = load_splits(out)["recommend"].table.to_pylist()
        parts = {item: {row["split"] for row in table if row["item"] == item} for item in ("i00", "i01")}
        assert parts["i00"] == parts["i01"]
