"""The folder of a run: what was asked for, with which data, on which machine."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from mmgraph.config import dump_yaml, load_yaml
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest
from mmgraph.errors import InputError
from mmgraph.files import atomic_path, content_digest, file_digest, is_temporary, remove_leftovers
from mmgraph.sealed import check_digest, read_sealed_json, write_sealed_json
from mmgraph.training.config import PretrainConfig
from mmgraph.untrusted import reading
from mmgraph.versions import installed_version


class RunFolder:
    """Paths and bookkeeping of a run: `config.yaml`, `env.json`, `model/`.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def model(self) -> Path:
        """Folder of the trained encoder."""
        return self.path / "model"

    @property
    def finished(self) -> bool:
        """Whether the trained encoder is there."""
        return (self.model / "config.json").exists()

    def open(
        self,
        config: PretrainConfig,
        graphs: Sequence[MultimodalGraph],
        sources: Sequence[str | None],
        *,
        device: torch.device,
    ) -> str:
        """Create the folder, or check that it holds a run with the same settings and graphs.

        Returns:
            Digest of settings and graphs.

        Raises:
            InputError: Names the settings or graphs that differ.
        """
        digests = {graph.name: graph_digest(graph) for graph in graphs}
        text = dump_yaml(config)
        digest = content_digest(
            dump_yaml(_results_only(config)), *(f"{name}={value}" for name, value in digests.items())
        )
        if (self.path / "env.json").exists():
            self._check_same(config, digests)
            return digest
        check_new(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path / "config.yaml") as temporary:
            temporary.write_text(text, encoding="utf-8")
        described = [
            {"name": graph.name, "folder": source, "digest": digests[graph.name], "summary": graph.summary()}
            for graph, source in zip(graphs, sources, strict=True)
        ]
        # Written last: a folder with an env.json is a whole run folder.
        config_digest = file_digest(self.path / "config.yaml")
        content = {"digest": digest, "graphs": described, **environment(device), "config.yaml": config_digest}
        write_sealed_json(self.path / "env.json", content)
        return digest

    def _check_same(self, config: PretrainConfig, digests: dict[str, str]) -> None:
        before, now = (_flatten(asdict(_results_only(c))) for c in (self.config(), config))
        differ = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        if differ:
            key = differ[0]
            raise InputError(
                f"{self.path} holds a run with other settings: {key} is {before.get(key)} there and {now.get(key)} here"
                + (f" ({len(differ) - 1} more differ)" if len(differ) > 1 else "")
                + "; give another --out"
            )
        there = {graph["name"]: graph["digest"] for graph in self.environment()["graphs"]}
        if there != digests:
            changed = sorted({n for n in {*there, *digests} if there.get(n) != digests.get(n)})
            raise InputError(
                f"{self.path} holds a run on other graphs: {', '.join(changed)} differ; give another --out"
            )

    def environment(self) -> dict[str, Any]:
        """Content of `env.json`.

        Raises:
            InputError: If the folder holds no run, or the file was changed.
        """
        if not (self.path / "env.json").exists():
            raise InputError(f"{self.path}: no run there (env.json is missing)")
        with reading(self.path / "env.json", "the record of a run"):
            return dict(read_sealed_json(self.path / "env.json"))

    def config(self) -> PretrainConfig:
        """The configuration that the run was started with."""
        environment = self.environment()
        if "config.yaml" in environment:
            check_digest(self.path / "config.yaml", environment["config.yaml"], source=self.path / "env.json")
        return load_yaml(self.path / "config.yaml", PretrainConfig)

    def graph_folders(self) -> list[str]:
        """Folders of the graphs that the run was started with.

        Raises:
            InputError: If a graph was given in memory.
        """
        with reading(self.path / "env.json", "the graphs of a run"):
            graphs = self.environment()["graphs"]
            for graph in graphs:
                if graph["folder"] is None:
                    raise InputError(
                        f"{self.path}: graph {graph['name']!r} was given in memory; call pretrain() with the same graphs"
                    )
            return [str(graph["folder"]) for graph in graphs]


def check_new(folder: Path) -> None:
    """Refuse a folder for a new run that holds other things; what a run that was killed at once left is replaced.

    Raises:
        InputError: If it does.
    """
    if folder.exists():
        remove_leftovers(folder)
        if any(item.name not in ("config.yaml", "env.json") and not is_temporary(item) for item in folder.iterdir()):
            raise InputError(f"{folder}: the folder is not empty and holds no run; give another --out")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine and commit, for the record."""
    packages = ["mmgraph", "torch", "torch-geometric", "numpy", "pyarrow", "numba"]
    return {
        "versions": {"python": platform.python_version(), **{name: installed_version(name) for name in packages}},
        "machine": {"system": platform.platform(), "threads": torch.get_num_threads(), "device": str(device)},
        "commit": _commit(),
    }


def _commit() -> str | None:
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _results_only(config: PretrainConfig) -> PretrainConfig:
    """The configuration without what changes no result, so that a run can go on with another interval or device."""
    plain = PretrainConfig()
    sampling = replace(config.sampling, workers=plain.sampling.workers)
    return replace(
        config, device=plain.device, save_every=plain.save_every, log_every=plain.log_every, sampling=sampling
    )


def _flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat.update(_flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = item
    return flat
