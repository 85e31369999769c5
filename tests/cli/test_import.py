from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmgraph.cli.main import main
from mmgraph.formats.tables import read_tables
from mmgraph.formats.tables.mapping import load_mapping
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


def test_images_can_stay_in_place(tmp_path: Path) -> None:
    folder, out = make_shop(tmp_path / "shop"), tmp_path / "out"
    assert main(["import", str(folder), "--out", str(out), "--images", "reference"]) == 0
    assert not (out / "images").exists()
    assert read_tables(out).content["image"][0].resolve() == folder / "images" / "1.png"
    assert main(["import", str(folder), "--out", str(out), "--overwrite"]) == 0
    assert (out / "images" / "1.png").exists()
