from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import mmgraph as mg
from mmgraph.errors import InputError
from mmgraph.sharing.dataset_card import dataset_card, write_dataset_card
from mmgraph.sharing.graph_facts import read_graph_facts
from mmgraph.tasks.base import load_tasks


def test_counts_tasks_and_notice(places, tmp_path: Path) -> None:
    folder = write_dataset_card(places.graph, tmp_path / "card")
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    card = (folder / "README.md").read_text()
    summary = mg.load_graph(places.graph).summary()
    for name, number in summary["node_types"].items():
        assert f"| nodes | `{name}` | {number} |" in card
    for name, task in load_tasks(places.graph).items():
        row = next(line for line in card.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"test {task.num_examples('test'):,}" in row
        assert task.digest[:12] in row
    assert "> Drawn for" in card
    values = yaml.safe_load(card.split("---\n")[1])
    assert values["license"] == "other"
    assert values["size_categories"] == ["n<1K"]


def test_licences_come_from_the_manifest_and_not_from_the_name(places) -> None:
    facts = read_graph_facts(places.graph)
    named = replace(facts, name="openmoji")
    assert "cc-by-sa" not in dataset_card(named)
    options = {"seed": 3, "holdout": False, "local": []}
    built = replace(facts, dataset={"name": "openmoji", "options": options, "sources": {"a.zip": "0" * 64}})
    card = dataset_card(built)
    assert yaml.safe_load(card.split("---\n")[1])["license"] == ["cc-by-sa-4.0", "bsd-3-clause", "mit"]
    assert "mmgraph datasets build openmoji --out data/toy --seed 3 --no-holdout" in card
    assert "| `a.zip` |" in card
    assert "Nothing was held out of it." in card


def test_the_code_of_the_card_runs(places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "toy").symlink_to(places.graph)
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", dataset_card(read_graph_facts(places.graph)), re.DOTALL)
    assert code is not None
    exec(code[1], {})
    out = capsys.readouterr().out
    assert "MultimodalGraph('toy'" in out
    assert "community" in out


def test_a_folder_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a graph"):
        write_dataset_card(tmp_path, tmp_path / "card")
    assert not (tmp_path / "card").exists()
