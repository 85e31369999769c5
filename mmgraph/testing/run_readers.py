"""Readers of what runs leave behind: settings, checkpoints, looks at validation data, adjacencies, evaluations, truths."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import torch

from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.sealed import write_sealed_json
from mmgraph.testing.reader import Reader, sign_files, small_graph
from mmgraph.testing.resealing import reseal_bytes, reseal_model, reseal_run


def _make_checkpoint(path: Path) -> None:
    from mmgraph.training.checkpoint import Checkpoint

    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    Checkpoint.of(1, {"encoder": module}, optimizer, digest="d").save(path)


def _read_checkpoint(path: Path) -> None:
    """Read it, and go on for a step."""
    from mmgraph.training.checkpoint import Checkpoint

    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    with torch.random.fork_rng(devices=[]):
        Checkpoint.load(path, digest="d").restore({"encoder": module}, optimizer)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()


def _make_run(path: Path) -> None:
    from mmgraph.training.config import PretrainConfig
    from mmgraph.training.run import RunFolder

    graph = small_graph()
    RunFolder(path).open(PretrainConfig(steps=2), [graph], ["somewhere"], device=torch.device("cpu"))
    lines = [json.dumps({"step": step, "loss": 1.0 / (step + 1)}) for step in range(3)]
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read_run(path: Path) -> None:
    from mmgraph.training.run import RunFolder
    from mmgraph.training.tracking import read_metrics

    folder = RunFolder(path)
    folder.environment()
    with contextlib.suppress(InputError):
        folder.config()
    with contextlib.suppress(InputError):
        folder.graph_folders()
    read_metrics(path)


def _make_finetuned(path: Path) -> None:
    from mmgraph.config import save_yaml
    from mmgraph.finetuning.config import FinetuneConfig
    from mmgraph.finetuning.problem import Validation
    from mmgraph.finetuning.stopping import EarlyStopping

    path.mkdir()
    stopping = EarlyStopping(path, {"head": torch.nn.Linear(3, 2)}, patience=2)
    for step in (2, 4):
        stopping.add(step, Validation((0.5 + step / 10,), {"accuracy": 0.5}))
    save_yaml(FinetuneConfig(), path / "config.yaml")
    source = {"run": str(path / "no-run"), "graph": str(path / "no-graph"), "task": "labels"}
    asked = {"settings": {}, "model": "m", "graph": "g", "task": "t"}
    content = {"asked": asked, "source": source, "config.yaml": file_digest(path / "config.yaml")}
    write_sealed_json(path / "finetune.json", content)


def _read_finetuned(path: Path) -> None:
    from mmgraph.finetuning.finetune import resume_finetune
    from mmgraph.finetuning.stopping import EarlyStopping

    with contextlib.suppress(InputError):  # neither run nor graph are there
        resume_finetune(path)
    stopping = EarlyStopping(path, {"head": torch.nn.Linear(3, 2)}, patience=2)
    stopping.rewind(4)
    _ = stopping.is_done
    if stopping.history:
        stopping.restore_best()


def _make_adjacency(path: Path) -> None:
    from mmgraph.data.csr_file import build_csr

    build_csr(small_graph(), path)


def _read_adjacency(path: Path) -> None:
    """Open it, and walk over all rows as the kernels do."""
    from mmgraph.data.csr_file import open_csr

    csr = open_csr(path)
    nodes = torch.arange(len(csr.indptr) - 1)
    for node in nodes.tolist():
        nodes[csr.indices[csr.indptr[node] : csr.indptr[node + 1]].long()].sum()
    assert len(csr.edge_type) == len(csr.indices) == int(csr.indptr[-1])


def _make_card(path: Path) -> None:
    """A finished run with an evaluation."""
    from mmgraph.nn.saving import encoder_digest, save_encoder
    from mmgraph.testing.model_readers import small_encoder

    _make_run(path)
    encoder = small_encoder("sign")
    save_encoder(encoder, path / "model", extra={"graphs": ["toy"]})
    (path / "evaluation").mkdir()
    record = {
        "graph": "toy",
        "task": "labels",
        "kind": "node classification",
        "model": "trained",
        "split": "test",
        "metrics": {"accuracy": 0.5},
        "num_examples": 3,
        "seconds": 0.1,
        "seed": 0,
        "protocol": "linear probe",
        "digest": "d",
    }
    asked = {"model": encoder_digest(encoder), "graph": "g", "tasks": {}, "seed": 0, "controls": []}
    write_sealed_json(path / "evaluation" / "toy.json", {"asked": asked, "records": [record]})


def _sign_card(path: Path) -> None:
    reseal_run(path)
    reseal_model(path / "model")
    if (path / "evaluation").is_dir():
        reseal_run(path / "evaluation")


def _read_card(path: Path) -> None:
    from mmgraph.sharing.model_card import model_card
    from mmgraph.sharing.run_facts import read_run_facts

    model_card(read_run_facts(path), "toy", None)


def _make_dataset(path: Path) -> None:
    from mmgraph.datasets.manifest import FORMAT, VERSION
    from mmgraph.sealed import digests_of

    path.mkdir()
    (path / "nodes.csv").write_text("id\na\n", encoding="utf-8")
    kept = {"name": "toy", "options": {"core": 5}, "counts": {"nodes": {"node": 1}}, "files": {"nodes.csv": 5}}
    write_sealed_json(
        path / "dataset.json", {"format": FORMAT, "version": VERSION, **kept, "digests": digests_of(path)}
    )


def _read_dataset(path: Path) -> None:
    from mmgraph.datasets.manifest import check_replaceable, is_current

    with contextlib.suppress(InputError):
        check_replaceable(path)
    is_current(path, {"name": "toy", "core": 5})


def _make_truth(path: Path) -> None:
    from dataclasses import asdict

    from mmgraph.synthetic.planted_config import PlantedConfig
    from mmgraph.synthetic.writing import FORMAT, VERSION

    path.mkdir()
    header = {"format": FORMAT, "version": VERSION, "kind": "planted", "seed": 0, "best": {}}
    write_sealed_json(path / "synthetic.json", {**header, "config": asdict(PlantedConfig(num_nodes=20))})


def _read_truth(path: Path) -> None:
    from mmgraph.synthetic.writing import load_truth

    load_truth(path)


RUN_READERS: dict[str, Reader] = {
    "checkpoint": Reader(_make_checkpoint, _read_checkpoint, reseal_bytes),
    "run": Reader(_make_run, _read_run, reseal_run),
    "finetuned": Reader(_make_finetuned, _read_finetuned, reseal_run),
    "adjacency": Reader(_make_adjacency, _read_adjacency, sign_files("csr.json", "files")),
    "card": Reader(_make_card, _read_card, _sign_card),
    "dataset": Reader(_make_dataset, _read_dataset, sign_files("dataset.json", "digests")),
    "truth": Reader(_make_truth, _read_truth, sign_files("synthetic.json", "digests")),
}
