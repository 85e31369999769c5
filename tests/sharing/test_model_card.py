from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import mmgraph as mg
from mmgraph.errors import InputError
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune
from mmgraph.nn.saving import encoder_digest
from mmgraph.sealed import sealed_json
from mmgraph.sharing.model_card import model_card, write_model_card
from mmgraph.sharing.run_facts import read_run_facts
from mmgraph.training.evaluate import evaluate_run
from mmgraph.training.loading import load_model


def front(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def section(card: str, head: str) -> str:
    return card.split(f"\n## {head}\n", 1)[1].split("\n## ", 1)[0]


def test_the_folder_has_what_the_hub_expects(places) -> None:
    assert sorted(path.name for path in places.card.iterdir()) == [
        *("README.md", "config.json", "manifest.json", "model.safetensors", "results.json")
    ]
    for name in ("config.json", "model.safetensors"):
        assert (places.card / name).read_bytes() == (places.run / "model" / name).read_bytes()
    values = front((places.card / "README.md").read_text())
    assert values["license"] == "apache-2.0"
    assert values["library_name"] == "mmgraph"
    assert values["datasets"] == ["toy"]
    assert {"text", "image"} <= set(values["tags"])
    assert "accuracy" in values["metrics"]


def test_the_hub_reads_the_card_and_its_numbers(places) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(places.card / "README.md").data
    read = {(one.task_name, one.metric_type): one.metric_value for one in data.eval_results}
    records = json.loads((places.run / "evaluation" / "toy.json").read_text())["records"]
    trained = [record for record in records if record["model"] == "trained"]
    assert len(trained) == 2
    assert read == {(r["task"], name): value for r in trained for name, value in r["metrics"].items()}


def test_numbers_of_every_model_stand_beside_each_other(places) -> None:
    card = (places.card / "README.md").read_text()
    records = json.loads((places.run / "evaluation" / "toy.json").read_text())["records"]
    results = section(card, "Results")
    for task in ("community", "links"):
        rows = results.split(f"### toy: {task}\n")[1].split("\n### ")[0]
        for record in (r for r in records if r["task"] == task):
            first = next(iter(record["metrics"].values()))
            assert f"| {record['model']} | {first:.4f} |" in rows
            assert record["digest"][:12] in rows
    assert re.findall(r"\| (\w[\w ]*) \| \d", results)[0] == "trained"
    assert "toy: descriptions, toy: recommend" in section(card, "Limits")


def test_training_graphs_have_counts_digests_and_notice(places) -> None:
    card = (places.card / "README.md").read_text()
    summary = mg.load_graph(places.graph).summary()
    graph = section(card, "Training graphs")
    for name, relation in summary["relations"].items():
        ends = f"`{relation['source']}` to `{relation['target']}`"
        assert f"| edges | `{name}`, {ends} | {relation['num_edges']} |" in graph
    assert json.loads((places.run / "env.json").read_text())["graphs"][0]["digest"] in graph
    assert "> Drawn for &lt;tests>. Licence: none." in graph
    assert str(places.folder) not in card


def test_limits_follow_from_what_was_measured(places) -> None:
    facts = read_run_facts(places.run)
    other = replace(facts.trained_on[0], name="other", digest="f" * 64)
    unseen = "Not measured: graphs that it was not trained on."
    joint = replace(facts, trained_on=[*facts.trained_on, other])
    limits = section(model_card(joint, "t", None), "Limits")
    assert unseen in limits
    assert "other: community" in limits  # a task of a graph without numbers
    elsewhere = {"asked": {"graph": "0" * 64}, "records": [dict(facts.records[0], graph="elsewhere")]}
    wider = replace(joint, evaluations=[*facts.evaluations, elsewhere])
    assert unseen not in section(model_card(wider, "t", None), "Limits")


def test_what_was_not_measured_is_called_so(places, tmp_path: Path) -> None:
    folder = write_model_card(places.plain, tmp_path / "card")
    card = (folder / "README.md").read_text()
    assert section(card, "Results").strip() == "Not measured."
    assert "Not measured: any task." in section(card, "Limits")
    assert "licence of the weights was not stated" in section(card, "Licence")
    assert front(card)["license"] == "other"
    assert "metrics" not in front(card)
    assert not (folder / "results.json").exists()
    numbers = set(re.findall(r"\d\.\d{4}", section(card, "Results")))
    assert numbers == set()


def test_a_run_whose_graph_is_gone_says_what_the_run_recorded(places, tmp_path: Path) -> None:
    run = Path(shutil.copytree(places.plain, tmp_path / "run"))
    record = json.loads((run / "env.json").read_text())
    record["graphs"][0]["folder"] = str(tmp_path / "gone")
    (run / "env.json").write_text(sealed_json(record))
    bare = (write_model_card(run, tmp_path / "bare") / "README.md").read_text()
    assert "Source and licence of the data: not stated." in bare
    assert "| edges | `likes`" in bare
    given = (write_model_card(run, tmp_path / "given", graphs=[places.graph]) / "README.md").read_text()
    assert "Drawn for" in given


def test_numbers_of_other_weights_are_refused(places, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Path(shutil.copytree(places.run, tmp_path / "run"))
    path = run / "evaluation" / "toy.json"
    content = json.loads(path.read_text())
    content["asked"]["model"] = "0" * 64
    path.write_text(sealed_json(content))
    card = (write_model_card(run, tmp_path / "card") / "README.md").read_text()
    assert section(card, "Results").strip() == "Not measured."
    assert "left out" in caplog.text
    moved = shutil.move(path, tmp_path / "numbers.json")
    with pytest.raises(InputError, match="numbers of another model"):
        write_model_card(run, tmp_path / "card", results=[moved], overwrite=True)
    assert (tmp_path / "card" / "README.md").read_text() == card


def test_the_code_of_the_card_runs(places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from mmgraph.testing.encoders import FakeTextEncoder

    shutil.copytree(places.card, tmp_path / "model")
    shutil.copytree(places.graph, tmp_path / "data" / "toy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mmgraph.encoders.registry.load_encoder_by_name", lambda name: FakeTextEncoder())
    usage = section((places.card / "README.md").read_text(), "How to use")
    code = re.search(r"```python\n(.*?)```", usage, re.DOTALL)
    assert code is not None
    exec(code[1], {})
    assert capsys.readouterr().out.count("score") == 2


def test_load_model_gives_equal_bits(places) -> None:
    graph = mg.load_graph(places.graph)
    before = mg.embed(load_model(places.run), graph)
    after = mg.embed(mg.load_model(places.card), graph)
    assert before.node_ids == after.node_ids
    assert torch.equal(before.vectors, after.vectors)
    assert before.model == after.model
    assert encoder_digest(load_model(places.card)) == before.model


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "results.json"])
def test_a_changed_file_is_noticed(model: Path, name: str) -> None:
    with open(model / name, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(InputError, match=f"{name}: the file is not the one"):
        mg.load_model(model)


def test_the_text_of_the_card_may_be_edited(model: Path) -> None:
    (model / "README.md").write_text("better words")
    assert mg.load_model(model).config.dim == 16


def test_sizes_that_no_weights_can_fill_cost_no_memory(model: Path) -> None:
    (model / "manifest.json").unlink()
    config = json.loads((model / "config.json").read_text())
    config["config"]["dim"] = 10**9
    (model / "config.json").write_text(sealed_json(config))
    with pytest.raises(InputError, match="expected sizes that fit"):
        mg.load_model(model)
    config["config"]["dim"] = 20_000
    (model / "config.json").write_text(sealed_json(config))
    with pytest.raises(InputError, match="weights do not fit"):
        mg.load_model(model)
    del config["relations"]
    (model / "config.json").write_text(sealed_json(config))
    with pytest.raises(InputError, match="expected the configuration"):
        mg.load_model(model)


def test_fine_tuned_runs_have_cards_too(places, tmp_path: Path) -> None:
    config = FinetuneConfig(mode="frozen", steps=2, eval_every=1, device="cpu")
    run = finetune(places.card, places.graph, "community", config, out=tmp_path / "tuned")
    card = (write_model_card(run.folder, tmp_path / "card") / "README.md").read_text()
    assert "fine-tuned for the task community" in card
    assert f"| test | {run.result['test']['accuracy']:.4f} |" in section(card, "Results")
    assert mg.load_graph(places.graph).name in section(card, "Training graphs")


def test_a_folder_that_exists_stays(places, tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    with pytest.raises(InputError, match="already exists"):
        write_model_card(places.run, tmp_path / "card")
    with pytest.raises(InputError, match="not finished|no run there|file not found"):
        write_model_card(tmp_path / "card", tmp_path / "other")
    with pytest.raises(InputError, match="expected a run folder"):
        write_model_card(places.card, tmp_path / "other")


def test_numbers_of_another_level_are_left_out(places, tmp_path: Path) -> None:
    run = Path(shutil.copytree(places.run, tmp_path / "run"))
    before = read_run_facts(run).evaluations
    evaluate_run(run, places.graph, tasks=["links"], controls=(), level="all")
    assert len(before) == 1
    assert read_run_facts(run).evaluations == before
    moved = shutil.move(run / "evaluation" / "toy-all.json", tmp_path / "numbers.json")
    with pytest.raises(InputError, match="expected numbers of the embedding, got those of level 'all'"):
        read_run_facts(run, results=[moved])
