"""A trained model from wherever it lies: the folder of a run, or a model folder that somebody shared."""

from __future__ import annotations

import warnings
from pathlib import Path

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.nn.build import Encoder
from mmgraph.nn.saving import load_encoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.sealed import read_sealed_json
from mmgraph.training.run import RunFolder
from mmgraph.untrusted import reads

MANIFEST = "manifest.json"
FORMAT, VERSION = "mmgraph.model", 1


def is_model_folder(folder: Path | str) -> bool:
    """Whether a folder is itself a model, not a run that has one in `model/`."""
    folder = Path(folder)
    return (folder / "config.json").is_file() and not (folder / "env.json").exists()


@reads("a model")
def load_model(path: Path | str, *, device: str = "cpu", graph: MultimodalGraph | None = None) -> Encoder:
    """The trained encoder of a run, or of a model folder made by `mmgraph card` or `mmgraph pull`.

    It is read from JSON and safetensors: no code of whoever made the folder runs. If the folder has a `manifest.json`,
    the digests in it are compared first.

    Args:
        path: Run folder of `pretrain` or `finetune`, or model folder.
        device: Where the model goes.
        graph: What it will embed. Feature spaces that a `SignEncoder` was not trained on are aligned by their principal
            axes, with a warning; other models refuse them.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        InputError: If the folder holds neither, the run is not finished, or a file is damaged or changed.
    """
    path = Path(path)
    if is_model_folder(path):
        if (path / MANIFEST).exists():
            check_files(path, read_model_manifest(path))
        encoder = load_encoder(path, device=device)
    else:
        folder = RunFolder(path)
        folder.environment()
        if not folder.finished:
            raise InputError(f"{path}: the run is not finished; go on with: mmgraph resume --run {path}")
        encoder = load_encoder(folder.model, device=device)
    if graph is not None and isinstance(encoder, SignEncoder):
        unknown = [item for item in graph.features.values() if item.spec not in encoder.specs]
        if unknown:
            keys = ", ".join(item.spec.key for item in unknown)
            warnings.warn(
                f"{path} was not trained on the features {keys} of graph {graph.name!r}; "
                "they are aligned by their principal axes",
                stacklevel=2,
            )
            encoder.adopt(unknown)
    return encoder.eval()


@reads("a model")
def read_model_manifest(folder: Path) -> dict[str, dict[str, int | str]]:
    """Size and SHA-256 by file, from the `manifest.json` of a model folder.

    Returns:
        `{"config.json": {"bytes": ..., "sha256": ...}, ...}`.

    Raises:
        InputError: If it is missing, or not what `mmgraph card` writes.
    """
    path = folder / MANIFEST
    manifest = read_sealed_json(path)
    if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{path}: expected format {FORMAT!r} version {VERSION}")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(
        isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
        for entry in files.values()
    ):
        raise InputError(f"{path}: expected files with bytes and sha256")
    return files


def check_files(folder: Path, files: dict[str, dict[str, int | str]]) -> None:
    """Compare sizes and digests of the files of a folder.

    Raises:
        InputError: Names the first file that is missing, a link, or has changed.
    """
    for name, entry in files.items():
        path = folder / name
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            raise InputError(f"{path}: expected a file, as {folder / MANIFEST} says")
        if path.stat().st_size != entry["bytes"] or file_digest(path) != entry["sha256"]:
            raise InputError(f"{path}: the file is not the one that {MANIFEST} describes (size or SHA-256 differs)")
