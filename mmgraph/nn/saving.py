"""A model on disk: a folder with `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError, first_few
from mmgraph.files import atomic_folder, content_digest, file_digest
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.nn.sign import SignEncoder
from mmgraph.sealed import check_digest, read_sealed_json, write_sealed_json
from mmgraph.untrusted import reads

FORMAT, WEIGHTS = "mmgraph.encoder", "model.safetensors"
VERSION = 2


def encoder_digest(encoder: Encoder) -> str:
    """SHA-256 of configuration, feature spaces and weights; the same on every device."""
    parts: list[bytes | str] = [json.dumps(_describe(encoder), sort_keys=True)]
    for name, tensor in sorted(encoder.state_dict().items()):
        data = tensor.detach().cpu().contiguous()
        parts += [f"{name} {data.dtype} {list(data.shape)}", data.flatten().view(torch.uint8).numpy().tobytes()]
    return content_digest(*parts)


def save_encoder(
    encoder: Encoder, folder: Path | str, *, extra: Mapping[str, Any] | None = None, overwrite: bool = False
) -> Path:
    """Write a model folder atomically; `config.json` has the digests of the weights and of itself.

    Args:
        encoder: The model.
        folder: Where to write.
        extra: Anything JSON that should travel with the model; `load_extra` reads it back.
        overwrite: Replace a folder that exists.

    Raises:
        InputError: If the folder exists and `overwrite` is false.
    """
    folder = Path(folder)
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        # Weights that share memory with others, or that are views, are refused by safetensors.
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
        # As bytes, so that a full disk is an OSError like everywhere else.
        (temporary / WEIGHTS).write_bytes(save(weights))
        config = {
            "format": FORMAT,
            "version": VERSION,
            **_describe(encoder),
            "digest": encoder_digest(encoder),
            "extra": dict(extra or {}),
            "weights": file_digest(temporary / WEIGHTS),
        }
        write_sealed_json(temporary / "config.json", config)
    return folder


@reads("a model")
def load_encoder(folder: Path | str, *, device: torch.device | str = "cpu") -> Encoder:
    """Read a model folder; the model is in evaluation mode.

    Raises:
        InputError: If files are missing, changed or of another format, or if weights do not fit the configuration.
    """
    folder = Path(folder)
    described = _read_config(folder)
    try:
        config = EncoderConfig(
            dim=described["config"]["dim"],
            moe=MoEConfig(**described["config"]["moe"]),
            gnn=GNNConfig(**_with_tuple(described["config"]["gnn"])),
        )
        specs = [FeatureSpec(**spec) for spec in described["specs"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'config.json'}: expected the configuration of an encoder, got: {error}") from None
    path = folder / WEIGHTS
    if "weights" in described and path.is_file():
        check_digest(path, described["weights"], source=folder / "config.json")
    found = _shapes_in_file(path)
    _check_numbers(folder / "config.json", described, sum(math.prod(shape) for shape in found.values()))
    with torch.random.fork_rng(devices=[]):  # drawing weights that are replaced must not move the global generator
        # Without memory first: a configuration that does not belong to the weights must not cost any.
        try:
            with torch.device("meta"):
                empty = _build(config, specs, described)
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder / 'config.json'}: expected the configuration of an encoder, got: {error}"
            ) from None
        shapes = {name: list(tensor.shape) for name, tensor in empty.state_dict().items()}
        if wrong := sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name)):
            raise InputError(f"{path}: weights do not fit config.json in {first_few(wrong)}")
        encoder = _build(config, specs, described)
    encoder.load_state_dict(load_file(path))
    return encoder.to(device).eval()


def _build(config: EncoderConfig, specs: Sequence[FeatureSpec], described: Mapping[str, Any]) -> Encoder:
    if config.gnn.conv != "sign":
        return GraphEncoder(config, specs)
    return SignEncoder(config, specs, described["relations"], described["graphs"], modalities=described["modalities"])


def _shapes_in_file(path: Path) -> dict[str, list[int]]:
    """Shape of every tensor, from the header of the file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: file not found") from None
    except SafetensorError as error:
        raise InputError(f"{path}: expected safetensors, got: {error}") from None


def _check_numbers(path: Path, value: Any, limit: int) -> None:
    """Refuse sizes that no weights of the file can fill; building such a network could take all memory."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("extra", "version"):
                _check_numbers(path, item, limit)
    elif isinstance(value, list):
        for item in value:
            _check_numbers(path, item, limit)
    elif isinstance(value, (int, float)) and not abs(value) <= max(limit, 2**16):
        raise InputError(f"{path}: expected sizes that fit {limit:,} weights, got {value}")


@reads("a model")
def load_extra(folder: Path | str) -> dict[str, Any]:
    """What was given to `save_encoder` as `extra`.

    Raises:
        InputError: If the folder holds no model.
    """
    extra: dict[str, Any] = _read_config(Path(folder)).get("extra", {})
    return extra


def _describe(encoder: Encoder) -> dict[str, Any]:
    described: dict[str, Any] = {"config": asdict(encoder.config), "specs": [asdict(spec) for spec in encoder.specs]}
    if isinstance(encoder, SignEncoder):
        described |= {"relations": list(encoder.relations), "modalities": list(encoder.modalities)}
        described["graphs"] = list(encoder.graphs)
    return described


def _with_tuple(gnn: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {**gnn, "level_weights": tuple(gnn["level_weights"])}


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    config = read_sealed_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path}: expected a model of format {FORMAT!r}")
    if config.get("version") != VERSION:
        raise InputError(f"{path}: expected version {VERSION}, got {config.get('version')!r}")
    return config
