"""Pre-training from graphs to a run folder, and back after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmgraph.data.sampling import SamplingConfig
from mmgraph.data.store import save_graph
from mmgraph.errors import InputError
from mmgraph.files import _temporary_name
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.nn.saving import load_encoder
from mmgraph.objectives.links import LinksConfig
from mmgraph.objectives.masked_features import MaskedFeaturesConfig
from mmgraph.objectives.mix import ObjectivesConfig
from mmgraph.objectives.shortest_path import ShortestPathConfig
from mmgraph.testing.factories import make_graph
from mmgraph.training.config import DomainsConfig, PretrainConfig
from mmgraph.training.pretrain import draw_schedule, pretrain, resolve_device, resume
from mmgraph.training.tracking import MEASURED, read_metrics

CONFIG = PretrainConfig(
    steps=12,
    save_every=4,
    log_every=1,
    device="cpu",
    encoder=EncoderConfig(
        dim=16, moe=MoEConfig(num_experts=4), gnn=GNNConfig(conv="gat", num_layers=2, heads=2, dropout=0.1)
    ),
    sampling=SamplingConfig(kind="ppr", batch_size=8),
)


SIGN = PretrainConfig(
    steps=12,
    save_every=4,
    log_every=1,
    device="cpu",
    encoder=EncoderConfig(dim=16, moe=MoEConfig(num_experts=4), gnn=GNNConfig(conv="sign")),
    sampling=SamplingConfig(kind="nodes", batch_size=16),
    objectives=ObjectivesConfig(
        masked_features=MaskedFeaturesConfig(weight=0.5),
        shortest_path=ShortestPathConfig(weight=0.5),
        links=LinksConfig(num_pairs=12, memory=40, hardness=0.5, dims=(4, 8)),
    ),
)
"""All objectives on, with everything that has a state of its own."""
CONFIGS = {"layers": CONFIG, "sign": SIGN}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> PretrainConfig:
    return CONFIGS[request.param]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def graphs(tmp_path: Path) -> list[Path]:
    """Two graphs on disk that share their text space, one without images."""
    save_graph(make_graph(name="shop", num_nodes=60, num_edges=150, seed=1), tmp_path / "shop")
    save_graph(
        make_graph(name="films", num_nodes=40, num_edges=90, modalities=(("text", 16),), seed=2), tmp_path / "films"
    )
    return [tmp_path / "shop", tmp_path / "films"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_encoder(folder / "model").state_dict()


def assert_equal_runs(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    rows = [[{k: v for k, v in row.items() if k not in MEASURED} for row in read_metrics(f)] for f in (first, second)]
    assert rows[0] == rows[1]


def test_same_seed_same_run_and_other_seed_another(graphs: list[Path], tmp_path: Path, config: PretrainConfig) -> None:
    for name in ("a", "b"):
        pretrain(graphs, config, out=tmp_path / name)
    pretrain(graphs, replace(config, seed=1), out=tmp_path / "c")
    assert_equal_runs(tmp_path / "a", tmp_path / "b")
    a, c = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert not any(torch.equal(a[key], c[key]) for key in a if key.endswith("_in.0.weight") or "weight_in" in key)


def test_the_run_folder_holds_everything(graphs: list[Path], tmp_path: Path) -> None:
    run = pretrain(graphs, CONFIG, out=tmp_path / "run")
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"config.yaml", "env.json", "metrics.jsonl", "tensorboard", "model", "last.pt", "previous.pt"}
    rows = read_metrics(run.folder)
    assert [row["step"] for row in rows] == list(range(12))
    keys = {key for row in rows for key in row}
    for graph in ("shop", "films"):
        for part in ("links", "levels", "views", "balance", "expert_load"):
            assert f"domain/{graph}/{part}" in keys
    assert not run.encoder.training


def test_every_block_learns(graphs: list[Path], tmp_path: Path) -> None:
    run = pretrain(graphs, CONFIG, out=tmp_path / "run")
    start = pretrain(graphs, replace(CONFIG, steps=1, optim=replace(CONFIG.optim, lr=1e-30)), out=tmp_path / "start")
    before, after = start.encoder.state_dict(), run.encoder.state_dict()
    blocks = {name.rsplit(".", 1)[0] for name in before}
    still = [b for b in blocks if all(torch.equal(before[n], after[n]) for n in before if n.rsplit(".", 1)[0] == b)]
    assert still == []


KILLED = """
    import os, sys
    from pathlib import Path
    from mmgraph.training import pretrain as module
    from tests_config import CONFIGS
    config = CONFIGS[sys.argv[4]]
    original = module.PretrainStep.__call__
    def call(self, step):
        if step == 9:
            Path(sys.argv[3]).touch()
            import time; time.sleep(60)
        return original(self, step)
    module.PretrainStep.__call__ = call
    module.pretrain(sys.argv[1].split(","), config, out=sys.argv[2])
"""


@pytest.mark.parametrize("name", CONFIGS)
def test_resume_after_sigkill_is_exact(graphs: list[Path], tmp_path: Path, name: str) -> None:
    pretrain(graphs, CONFIGS[name], out=tmp_path / "whole")
    here = Path(__file__)
    (tmp_path / "tests_config.py").write_text(
        f"import importlib.util as u\ns = u.spec_from_file_location('t', {str(here)!r})\n"
        "m = u.module_from_spec(s)\ns.loader.exec_module(m)\nCONFIGS = m.CONFIGS\n"
    )
    reached = tmp_path / "reached"
    script = [
        sys.executable,
        "-c",
        textwrap.dedent(KILLED),
        ",".join(map(str, graphs)),
        str(tmp_path / "parts"),
        str(reached),
        name,
    ]
    process = subprocess.Popen(
        script,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    deadline = time.monotonic() + 120
    while not reached.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reached.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [row["step"] for row in read_metrics(tmp_path / "parts")] == list(range(9))
    resume(tmp_path / "parts")
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_ctrl_c_saves_the_step_and_resume_is_exact(
    graphs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: PretrainConfig
) -> None:
    from mmgraph.training import pretrain as module

    pretrain(graphs, config, out=tmp_path / "whole")
    original = module.PretrainStep.__call__

    def interrupted(self: module.PretrainStep, step: int) -> object:
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(module.PretrainStep, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(graphs, config, out=tmp_path / "parts")
    assert [row["step"] for row in read_metrics(tmp_path / "parts")] == list(range(7))
    resume(tmp_path / "parts")
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_run_is_returned_as_it_is(graphs: list[Path], tmp_path: Path) -> None:
    first = pretrain(graphs, CONFIG, out=tmp_path / "run")
    stamp = (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns
    again = pretrain(graphs, CONFIG, out=tmp_path / "run")
    assert (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns == stamp
    assert all(torch.equal(a, b) for a, b in zip(first.encoder.parameters(), again.encoder.parameters(), strict=True))


def test_intervals_of_saving_and_logging_may_change(graphs: list[Path], tmp_path: Path) -> None:
    first = pretrain(graphs, CONFIG, out=tmp_path / "run")
    again = pretrain(graphs, replace(CONFIG, save_every=3, log_every=5), out=tmp_path / "run")
    assert all(torch.equal(a, b) for a, b in zip(first.encoder.parameters(), again.encoder.parameters(), strict=True))


def test_other_settings_or_graphs_are_refused(graphs: list[Path], tmp_path: Path) -> None:
    pretrain(graphs, CONFIG, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"optim.lr is 0.001 there and 0.002 here"):
        pretrain(graphs, replace(CONFIG, optim=replace(CONFIG.optim, lr=2e-3)), out=tmp_path / "run")
    with pytest.raises(InputError, match="holds a run on other graphs: films differ"):
        pretrain(graphs[:1], CONFIG, out=tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(InputError, match="the folder is not empty and holds no run"):
        pretrain(graphs, CONFIG, out=tmp_path / "mine")


def test_bad_calls_are_told_apart(graphs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one graph"):
        pretrain([], CONFIG, out=tmp_path / "x")
    with pytest.raises(InputError, match="distinct names, got 'shop' twice"):
        pretrain([graphs[0], graphs[0]], CONFIG, out=tmp_path / "x")
    with pytest.raises(InputError, match="no run there"):
        resume(tmp_path / "nothing")
    pretrain([make_graph(name="memory")], replace(CONFIG, steps=1), out=tmp_path / "memory")
    with pytest.raises(InputError, match="'memory' was given in memory"):
        resume(tmp_path / "memory")
    with pytest.raises(InputError, match="expected auto, cpu or cuda"):
        resolve_device("gpu please")


def test_domains_are_drawn_by_weight_and_numbered_one_by_one() -> None:
    config = PretrainConfig(steps=1000, accumulate=2, domains=DomainsConfig(weights={"a": 3.0}))
    schedule = [entry for step in draw_schedule(config, {"a": 10, "b": 1000}) for entry in step]
    counts = Counter(name for name, _ in schedule)
    assert counts["a"] / 2000 == pytest.approx(0.75, abs=0.04)
    for name in ("a", "b"):
        assert [number for n, number in schedule if n == name] == list(range(counts[name]))


def test_domain_shares() -> None:
    assert DomainsConfig(exponent=0.5).shares({"a": 100, "b": 900}) == pytest.approx([0.25, 0.75])
    with pytest.raises(InputError, match="unknown graph in domains.weights 'shpo'; choose from: shop"):
        DomainsConfig(weights={"shpo": 1.0}).shares({"shop": 1})


def test_bf16_trains(graphs: list[Path], tmp_path: Path) -> None:
    pretrain(graphs, replace(CONFIG, precision="bf16", steps=3), out=tmp_path / "run")
    assert all(row["loss"] > 0 for row in read_metrics(tmp_path / "run"))


def test_gradients_of_several_graphs_are_compared(graphs: list[Path], tmp_path: Path) -> None:
    pretrain(graphs, replace(SIGN, accumulate=6, steps=4), out=tmp_path / "run")
    found = [row["conflict/films/shop"] for row in read_metrics(tmp_path / "run") if "conflict/films/shop" in row]
    assert found
    assert all(-1 <= value <= 1 for value in found)


def test_layers_need_subgraphs_and_sign_does_not() -> None:
    with pytest.raises(InputError, match=r"sampling.kind must be 'nodes' for encoder.gnn.conv 'sign', got 'ppr'"):
        PretrainConfig(sampling=SamplingConfig(kind="ppr"))
    with pytest.raises(InputError, match="sampling.kind must be 'ppr' or 'neighbor' for encoder.gnn.conv 'gat'"):
        PretrainConfig(encoder=EncoderConfig(gnn=GNNConfig(conv="gat")))


@pytest.mark.parametrize("left", [["config.yaml"], [".config.yaml.tmp"], ["config.yaml", ".env.json.tmp"]])
def test_a_run_killed_before_it_began_starts_again(
    graphs: list[Path], tmp_path: Path, config: PretrainConfig, left: list[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in left:
        real = _temporary_name(run / name[1:-4]).name if name.endswith(".tmp") else name
        (run / real).write_text("half")
    pretrain(graphs, replace(config, steps=1), out=run)
    assert (run / "model" / "config.json").exists()
    (run / "env.json").unlink()
    with pytest.raises(InputError, match="not empty and holds no run"):
        pretrain(graphs, replace(config, steps=1), out=run)


def test_settings_that_were_changed_on_the_disk_are_refused(
    graphs: list[Path], tmp_path: Path, config: PretrainConfig
) -> None:
    run = tmp_path / "run"
    pretrain(graphs, replace(config, steps=1), out=run)
    (run / "last.pt").unlink()
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("seed: 0", "seed: 1", 1))
    with pytest.raises(InputError, match=r"config.yaml: the file was changed: .*\(env.json\)"):
        resume(run)
    (run / "config.yaml").write_text(text)
    (run / "env.json").write_text((run / "env.json").read_text().replace("torch", "tarch", 1))
    with pytest.raises(InputError, match=r"env.json: the file was changed"):
        resume(run)
