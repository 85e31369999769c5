"""`mmgraph card`, `push` and `pull`, and what a pulled model is good for."""

from __future__ import annotations

import pytest

from mmgraph.cli.main import main


@pytest.fixture(scope="module")
def card(workspace):
    folder = workspace.folder / "card"
    assert main(["card", "--run", str(workspace.run), "--out", str(folder), "--licence", "mit", "--name", "Toy"]) == 0
    return folder


def test_card_push_pull_search(workspace, card, tmp_path, capsys) -> None:
    assert (card / "README.md").read_text().startswith("---\nlicense: mit\n")
    assert "# Toy" in (card / "README.md").read_text()
    assert main(["push", "--model", str(card), "--to", str(tmp_path / "share")]) == 0
    assert main(["pull", "--from", str(tmp_path / "share"), "--out", str(tmp_path / "model")]) == 0
    capsys.readouterr()
    found = []
    for run in (workspace.run, tmp_path / "model"):
        assert (
            main(["search", "--run", str(run), "--graph", str(workspace.graph), "--text", "a red square", "--json"])
            == 0
        )
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] != ""


def test_card_of_a_graph(workspace, tmp_path, capsys) -> None:
    assert main(["card", "--graph", str(workspace.graph), "--out", str(tmp_path / "card")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "card")
    assert "# toy" in (tmp_path / "card" / "README.md").read_text()


def test_the_default_place_of_a_card_is_in_the_run(workspace, tmp_path, capsys) -> None:
    assert main(["card", "--run", str(workspace.run)]) == 0
    assert (workspace.run / "card" / "manifest.json").is_file()
    assert main(["card", "--run", str(workspace.run)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["card", "--run", str(workspace.run), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["card"], "expected --run, or one --graph together with --out"),
        (["card", "--graph", "x", "--out", "y", "--name", "z"], "--results and --name need --run"),
        (["card", "--run", "nowhere"], "no run there"),
        (["push", "--model", "nowhere", "--to", "x"], "expected a model folder"),
        (["push", "--model", "nowhere", "--to", "ftp://x"], "expected a folder, hf://owner/name"),
        (["pull", "--from", "nowhere", "--out", "x"], "found nothing"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
