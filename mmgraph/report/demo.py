"""The demo: two real graphs, one model for both and one for each, everything measured, one page."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mmgraph.config import config_digest
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.sampling import SamplingConfig
from mmgraph.datasets import available_datasets, build_dataset
from mmgraph.encoders.folder import encode_folder, load_encoded
from mmgraph.errors import InputError
from mmgraph.export.base import write_table
from mmgraph.files import read_json, write_json
from mmgraph.inference.embed import embed
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.report.demo_results import write_examples
from mmgraph.report.examples import presence_patterns
from mmgraph.report.html import write_report
from mmgraph.report.stopwatch import Stopwatch
from mmgraph.tasks.base import load_tasks
from mmgraph.training.config import DomainsConfig, PretrainConfig
from mmgraph.training.evaluate import CONTROLS, TRAINED, evaluate_run
from mmgraph.training.loading import load_model
from mmgraph.training.pretrain import pretrain
from mmgraph.versions import installed_version

JOINT, ALONE = "joint", "alone"


def demo_pretrain_config() -> PretrainConfig:
    """The default settings; as many batches of either graph, and few steps, so that three runs fit into minutes."""
    return PretrainConfig(domains=DomainsConfig(exponent=0.0))


@dataclass(frozen=True)
class DemoConfig:
    """What the demo does.

    Attributes:
        seed: Seed of everything random.
        datasets: Names of the graphs.
        pretrain: Settings of every run; seed, steps and device are set from this config.
        steps: Optimiser steps of every run.
        device: Where training runs.
        map_steps: Steps of t-SNE.
    """

    seed: int = 0
    datasets: tuple[str, ...] = ("openmoji", "movielens-100k")
    pretrain: PretrainConfig = field(default_factory=demo_pretrain_config)
    steps: int = 75
    device: str = "auto"
    map_steps: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"--steps must be at least 1, got {self.steps}")

    @classmethod
    def small(cls, seed: int = 0) -> DemoConfig:
        """A demo for tests: a narrow model, few steps, a rough map."""
        encoder = EncoderConfig(dim=32, moe=MoEConfig(num_experts=4), gnn=GNNConfig(conv="sign"))
        sampling = SamplingConfig(batch_size=32)
        return cls(seed=seed, pretrain=PretrainConfig(encoder=encoder, sampling=sampling), steps=4, map_steps=250)

    @property
    def run_config(self) -> PretrainConfig:
        """Settings of every run."""
        log_every = max(1, min(self.pretrain.log_every, self.steps // 20))
        return replace(self.pretrain, seed=self.seed, steps=self.steps, device=self.device, log_every=log_every)


def run_demo(
    out: Path | str, config: DemoConfig | None = None, *, note: Callable[[str], None] = lambda _: None
) -> Path:
    """Run the demo; what an earlier call has finished is used as it is.

    Args:
        out: Folder of everything that is written.
        config: Settings.
        note: Told what is being done.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: If the folder holds a demo with other settings.
    """
    config = config or DemoConfig()
    out = Path(out)
    _claim(out, config)
    watch = Stopwatch(out / "results" / "timings.json", note)
    folders = {name: out / "data" / name for name in config.datasets}
    graphs: list[dict[str, Any]] = []
    for name, folder in folders.items():
        with watch.step(f"build {name}"):
            if not folder.exists():
                build_dataset(name, folder, seed=config.seed)
        with watch.step(f"encode {name}"):
            # A finished encoding is kept: its report says what was encoded when it was done.
            graph, encoding = load_encoded(folder) or encode_folder(
                folder, encoders={"text": None, "image": None}, device="cpu"
            )
        graphs.append(describe_graph(graph, folder, encoding))
    write_json(out / "results" / "graphs.json", graphs)

    runs = {JOINT: list(folders)} | ({name: [name] for name in folders} if len(folders) > 1 else {})
    for run, names in runs.items():
        with watch.step(f"pre-train {run}"):
            pretrain([folders[name] for name in names], config.run_config, out=out / "runs" / run)

    records = []
    for run, names in runs.items():
        for name in names:
            with watch.step(f"evaluate {run} on {name}"):
                found = evaluate_run(
                    out / "runs" / run,
                    folders[name],
                    seed=config.seed,
                    controls=CONTROLS if run == JOINT else (),
                )
            label = JOINT if run == JOINT else ALONE
            records += [
                record.to_dict() | {"model": label if record.model == TRAINED else record.model} for record in found
            ]
    write_json(out / "results" / "evaluation.json", records)

    with watch.step("export"):
        encoder = load_model(out / "runs" / JOINT)
        for name, folder in folders.items():
            table = embed(encoder, load_graph_of(folder))
            write_table(table, out / "embeddings" / f"{name}.parquet", overwrite=True)
    with watch.step("map and examples"):
        write_examples(out, folders, encoder, seed=config.seed, map_steps=config.map_steps)
    write_json(out / "results" / "summary.json", summarise(config, list(runs), watch))
    note("report")
    return write_report(out)


def load_graph_of(folder: Path) -> MultimodalGraph:
    """The encoded graph of a dataset folder that `encode_folder` has finished."""
    found = load_encoded(folder)
    if found is None:
        raise InputError(f"{folder}: not encoded")
    return found[0]


def _claim(out: Path, config: DemoConfig) -> None:
    """Refuse to mix two demos in one folder."""
    path = out / "demo.json"
    claim = {"seed": config.seed, "datasets": list(config.datasets), "digest": config_digest(config)}
    if path.exists():
        there = read_json(path)
        if there != claim:
            raise InputError(f"{out}: holds a demo with other settings (seed {there.get('seed')}); give another --out")
    else:
        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out}: the folder is not empty and holds no demo; give another --out")
        write_json(path, claim)


def describe_graph(graph: MultimodalGraph, folder: Path, encoding: dict[str, Any]) -> dict[str, Any]:
    """What the report says about a graph: counts, presence, tasks, encoding."""
    return {
        "summary": graph.summary(),
        "description": available_datasets().get(graph.name, ""),
        "presence": {name: int(mask.sum()) for name, mask in presence_patterns(graph).items()},
        "tasks": [
            {"name": task.name, "kind": task.kind, "num_examples": task.num_examples("test")}
            for task in load_tasks(folder).values()
        ],
        "encoding": encoding,
    }


def summarise(config: DemoConfig, runs: list[str], watch: Stopwatch) -> dict[str, Any]:
    """What was asked for, where, with what, how long."""
    packages = ("mmgraph", "torch", "torch-geometric", "sentence-transformers", "timm", "numpy", "scikit-learn")
    return {
        "seed": config.seed,
        "steps": config.steps,
        "command": f"mmgraph {' '.join(sys.argv[1:])}" if sys.argv and "mmgraph" in sys.argv[0] else "run_demo(...)",
        "versions": {"python": platform.python_version()} | {name: installed_version(name) for name in packages},
        "machine": {
            "system": platform.platform(),
            "threads": torch.get_num_threads(),
            "device": "cuda" if config.device == "auto" and torch.cuda.is_available() else config.device,
            "peak_memory": peak_memory(),
        },
        "timings": watch.rows(),
        "runs": {run: f"runs/{run}" for run in runs},
    }


def peak_memory() -> str:
    """Largest resident memory of this process so far."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{used / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB"
