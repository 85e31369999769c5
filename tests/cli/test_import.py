from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmgraph.cli.import_tables import MAPPING_KEYS, build_parser
from mmgraph.cli.main import main
from mmgraph.formats.tables import read_tables
from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping, load_mapping
from mmgraph.testing.datasets import fake_encoders
from mmgraph.testing.shops import DEFECTS, make_shop


def test_a_dry_run_shows_everything_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_shop(tmp_path / "shop", defects=DEFECTS)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert main(["import", str(folder), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "sku = id, title = text, description = text, photo = image, category = label" in out
    assert "from = source, to = target, count = weight" in out
    assert "duplicate ids" in out
    assert "products.csv, row 8: column sku: duplicate id 'p1'" in err
    assert err.endswith("nothing was written\n")
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_import_then_encode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = make_shop(tmp_path / "shop", defects=DEFECTS), tmp_path / "graph"
    assert main(["import", str(folder), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "(--dry-run lists everything, --on-defect quarantine sets it aside)" in error
    assert not out.exists()
    assert main(["import", str(folder), "--out", str(out), "--on-defect", "quarantine", "--name", "my shop"]) == 0
    assert capsys.readouterr().out.endswith(f"{out}\n")
    names = ["edges.parquet", "graph.json", "images", "labels.parquet", "mapping.yaml", "nodes.parquet"]
    assert sorted(path.name for path in out.iterdir()) == [*names, "quarantine.csv", "report.html", "statistics.json"]
    assert read_tables(out).name == "my shop"
    assert pq.read_table(out / "labels.parquet").column_names == ["id", "category"]
    assert len((out / "quarantine.csv").read_text(encoding="utf-8").splitlines()) == 1 + 11
    with fake_encoders(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
        assert main(["encode", "--graph", str(out)]) == 0
    assert "16" in capsys.readouterr().out


def test_the_mapping_that_is_written_gives_the_same_graph(tmp_path: Path) -> None:
    folder = make_shop(tmp_path / "shop")
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["import", str(folder), "--out", str(one)]) == 0
    assert main(["import", str(folder), "--out", str(two), "--mapping", str(one / "mapping.yaml")]) == 0
    for name in ("nodes.parquet", "edges.parquet", "labels.parquet", "mapping.yaml"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_flags_say_what_names_do_not(tmp_path: Path) -> None:
    (tmp_path / "stuff.csv").write_text("k,words,g\na,hello,x\nb,,y\n")
    (tmp_path / "pairs.csv").write_text("l,r,n\na,b,3\n")
    flags = ["--nodes", "stuff.csv", "--id", "k", "--type", "thing", "--text", "words", "--labels", "g"]
    flags += ["--edges", "pairs.csv", "--source", "l", "--target", "r", "--weight", "n", "--relation", "near"]
    out = tmp_path / "out"
    assert main(["import", str(tmp_path), *flags, "--symmetric", "near", "--out", str(out)]) == 0
    raw = read_tables(out)
    assert raw.node_types == ("thing",)
    assert raw.content["text"] == ["hello", None]
    assert raw.relations["near"].symmetric
    assert raw.relations["near"].attributes["weight"].tolist() == [3]
    table = load_mapping(out / "mapping.yaml").nodes[0]
    assert (table.id, table.labels) == ("k", ("g",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--out: expected a folder to create, got none; or look first with --dry-run"),
        (["--out", "{0}/shop"], "{0}/shop already exists; give another --out or --overwrite"),
        (["--out", "{0}/o", "--id", "key"], "{0}/shop/products.csv: missing column 'key'; found columns: sku, title"),
        (["--out", "{0}/o", "--reverse", "a"], "--reverse: expected relation=relation, got 'a'"),
        (["--out", "{0}/o", "--mapping", "{0}/none.yaml"], "{0}/none.yaml: file not found"),
        (["--out", "{0}/o", "--nodes", "x.csv"], "{0}/shop/x.csv: file not found"),
        (["--out", "{0}/o", "--symmetric", "boughts"], "mapping, symmetric: unknown relation 'boughts'; choose from: "),
        (["--out", "{0}/shop", "--overwrite"], "{0}/shop: refusing to overwrite a folder that also holds "),
    ],
)
def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    folder = make_shop(tmp_path / "shop")
    before = sorted(tmp_path.rglob("*"))
    assert main(["import", str(folder), *(word.format(tmp_path) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"mmgraph: error: {message.format(tmp_path)}")
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_users_of_another_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, out = tmp_path / "shop", tmp_path / "out"
    shop.mkdir()
    (shop / "products.csv").write_text("product_id,title\np1,one\n")
    (shop / "members.csv").write_text("id,country\nc1,NL\n")
    (shop / "purchases.csv").write_text("customer_id,product_id\nc1,p1\n")
    assert main(["import", str(shop), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "'c1' should be a 'user', but a table of nodes has it as 'member'; " in error
    assert "give user_type 'member' (--user-type member), else give one of them a prefix" in error
    assert main(["import", str(shop), "--out", str(out), "--user-type", "member"]) == 0
    raw = read_tables(out)
    assert (raw.node_types, raw.node_ids.values.tolist()) == (("member", "product"), ["c1", "p1"])
    assert (raw.relations["purchases"].source_type, raw.relations["purchases"].target_type) == ("member", "product")
    assert load_mapping(out / "mapping.yaml").interactions[0].user_type == "member"


@pytest.mark.parametrize("policy", ["error", "quarantine"])
@pytest.mark.parametrize("stem", ["customers", "z_customers"])  # whichever table comes first
def test_customers_numbered_like_products(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str, stem: str
) -> None:
    shop, out, kind = tmp_path / "shop", tmp_path / "out", stem.removesuffix("s")
    shop.mkdir()
    (shop / "products.csv").write_text("product_id,title\n1,one\n2,two\n")
    (shop / f"{stem}.csv").write_text("customer_id,country\n1,NL\n2,DE\n3,FR\n")
    (shop / "purchases.csv").write_text("customer_id,product_id\n1,2\n3,1\n")
    assert main(["import", str(shop), "--out", str(out), "--on-defect", policy]) == 2
    assert f"column customer_id: 1 is a {kind!r} and a 'product' in the tables of nodes; " in capsys.readouterr().err
    assert not out.exists()
    path = tmp_path / "mapping.yaml"
    path.write_text(
        "nodes:\n- {file: products.csv, id: product_id, type: product}\n"
        f"- {{file: {stem}.csv, id: customer_id, type: customer, prefix: 'customer:'}}\n"
        "interactions:\n- {file: purchases.csv, user: customer_id, item: product_id, user_type: customer, "
        "user_prefix: 'customer:'}\n"
    )
    assert main(["import", str(shop), "--out", str(out), "--mapping", str(path)]) == 0
    raw = read_tables(out)
    ids = raw.node_ids.values.tolist()
    assert ids == ["1", "2", "customer:1", "customer:2", "customer:3"]
    ends = [[ids[row] for row in side] for side in raw.relations["interacts"].edge_index.tolist()]
    assert ends == [["customer:1", "customer:3"], ["2", "1"]]


def test_encoding_and_delimiter_help_to_guess(tmp_path: Path) -> None:
    shop, out = tmp_path / "shop", tmp_path / "out"
    shop.mkdir()
    (shop / "items.csv").write_bytes("id|title\na|caf\u00e9\n".encode("utf-16"))
    assert main(["import", str(shop), "--out", str(out), "--delimiter", "|"]) == 2
    assert main(["import", str(shop), "--out", str(out), "--delimiter", "|", "--encoding", "utf-16"]) == 0
    assert read_tables(out).content["text"] == ["caf\u00e9"]


def test_help_names_the_keys_of_a_mapping(tmp_path: Path) -> None:
    assert MAPPING_KEYS in build_parser().format_help()
    top, *tables = re.split(r"^  (nodes|edges|interactions): ", MAPPING_KEYS.split(":\n", 1)[1], flags=re.MULTILINE)
    top = re.sub(r"and lists of tables.*", "", top, flags=re.DOTALL)
    named = {"": top} | dict(zip(tables[::2], tables[1::2], strict=True))
    classes = {"": TablesMapping, "nodes": NodeTable, "edges": EdgeTable, "interactions": InteractionTable}
    path = tmp_path / "mapping.yaml"
    for kind, text in named.items():
        keys = {word.strip(" []") for word in re.split(r",\s|\sor\s|\n", re.sub(r"\{[^}]*\}", "", text))} - {""}
        fields = {field.name for field in dataclasses.fields(classes[kind])}
        assert keys == fields - ({"nodes", "edges", "interactions"} if kind == "" else set())
    path.write_text(
        "symmetric: [near]\nreverse: {has: of}\nempty_relations: {sees: [user, item]}\n"
        "nodes: [{file: a.csv, text: [t], labels: [c], columns: [d], modalities: {sound: file}}]\n"
        "edges: [{file: b.csv, attributes: [n]}]\ninteractions: [{file: c.csv, user_type: member}]\n"
    )
    mapping = load_mapping(path)
    assert mapping.nodes[0].modalities == {"sound": "file"}
    assert mapping.empty_relations == {"sees": ("user", "item")}
    assert mapping.interactions == (InteractionTable("c.csv", user_type="member"),)


def test_images_can_stay_in_place(tmp_path: Path) -> None:
    folder, out = make_shop(tmp_path / "shop"), tmp_path / "out"
    assert main(["import", str(folder), "--out", str(out), "--images", "reference"]) == 0
    assert not (out / "images").exists()
    assert read_tables(out).content["image"][0].resolve() == folder / "images" / "1.png"
    assert main(["import", str(folder), "--out", str(out), "--overwrite"]) == 0
    assert (out / "images" / "1.png").exists()
