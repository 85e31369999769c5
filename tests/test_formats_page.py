"""Every example of docs/formats.md runs, on folders in the true formats."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

import mmgraph
from mmgraph.cli.main import main
from mmgraph.formats.registry import FORMATS
from mmgraph.splits.base import load_splits
from mmgraph.tasks.base import load_tasks
from mmgraph.testing import ogb_files

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHELL = re.findall(r"^mmgraph .*$", PAGE, re.MULTILINE)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that the examples name."""
    monkeypatch.chdir(tmp_path)
    sports = tmp_path / "data" / "sports-copurchase"
    sports.mkdir(parents=True)
    torch.save(torch.arange(48.0).reshape(8, 6) + 1, sports / "clip_feat.pt")
    torch.save(torch.arange(16.0).reshape(8, 2) + 1, sports / "t5vit_feat.pt")
    asked = [{"source_node": [i], "target_node": [i + 1], "target_node_neg": [[6, 7]]} for i in (3, 4)]
    train = {"source_node": [0, 1, 2], "target_node": [1, 2, 3]}
    torch.save({"train": train, "valid": asked[0], "test": asked[1]}, sports / "lp-edge-split.pt")
    torch.save({f"B00{i}": i for i in range(8)}, sports / "node_mapping.pt")
    baby = tmp_path / "data" / "baby"
    baby.mkdir()
    rows = ["0\t0\t5.0\t1\t0", "1\t1\t4.0\t2\t0", "0\t1\t3.0\t3\t1", "1\t2\t2.0\t4\t2"]
    (baby / "baby.inter").write_text("\n".join(["userID\titemID\trating\ttimestamp\tx_label", *rows]))
    (baby / "u_id_mapping.csv").write_text("user_id\tuserID\nA1\t0\nA2\t1\n")
    (baby / "i_id_mapping.csv").write_text("asin\titemID\nB1\t0\nB2\t1\nB3\t2\n")
    for name in ("text_feat.npy", "image_feat.npy"):
        np.save(baby / name, np.arange(1, 13, dtype=np.float32).reshape(3, 4))
    films = tmp_path / "data" / "ml-100k"
    films.mkdir()
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    for part, text in (("train", "1\t1\t4\t10\n2\t1\t5\t11\n"), ("valid", "1\t2\t4\t12\n"), ("test", "2\t2\t5\t13\n")):
        (films / f"ml-100k.{part}.inter").write_text(header + text)
    (films / "ml-100k.item").write_text("item_id:token\tmovie_title:token_seq\n1\tToy Story\n2\tGoldenEye\n")
    ogb_files.write_arxiv(tmp_path / "data" / "ogb")


def test_examples_in_python_run_in_their_order() -> None:
    assert len(PYTHON) == 8  # the start, and one for each section
    names = {"mg": mmgraph}
    for code in PYTHON:
        exec(code, names)
    for folder, split, tasks in [
        ("data/sports", "official", {"official"}),
        ("data/arxiv", "official", {"official"}),
        ("data/shop", "kind", {"kind"}),
    ]:
        assert list(load_splits(folder)) == [split]
        assert set(load_tasks(folder)) == tasks
    assert Path("out/sports/lp-edge-split-hard.pt").is_file()
    assert Path("out/baby/missed_img_itemIDs.csv").is_file()
    assert Path("out/ml-100k/ml-100k.train.inter").is_file()


def test_commands_run_in_their_order() -> None:
    assert len(SHELL) == 4
    for line in SHELL:
        program, *words = shlex.split(line)
        assert program == "mmgraph"
        assert main(words) == 0
    assert Path("data/sports/encoded").is_dir()
    assert Path("export/ml-100k/ml-100k.test.inter").is_file()


def test_the_page_names_what_there_is() -> None:
    names = set(re.findall(r"`((?:read|write|to|from|load|save|raw|split|bundle|task)_\w+)`", PAGE))
    assert {name for name in names if name not in mmgraph.__all__} == {"split_columns"}
    # Readers and writers that the page does not name would be found by nobody.
    public = {
        name for name in mmgraph.__all__ if re.search("pyg|ogb|networkx|mmrec|recbole|mm_graph|_bundle|_format", name)
    }
    assert {name for name in public if f"`{name}`" not in PAGE and f"mg.{name}" not in PAGE} == set()
    for name in FORMATS:
        assert f"`{name}`" in PAGE
