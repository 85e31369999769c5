"""Encoders by name, as configuration files and the command line write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from mmgraph.encoders.base import ModalityEncoder
from mmgraph.errors import InputError, unknown_choice

ENCODERS: dict[str, str] = {
    "minilm": "English sentences, 384-d, all-MiniLM-L6-v2 from a pip package",
    "efficientnet-lite0": "images, 1280-d, from a pip package; option image_size (128)",
    "openclip:<arch>[@path or tag]": "texts or images by a CLIP model of open_clip",
    "hf:<path or id>": "texts or images through transformers; options pooling (mean, cls, pooler), max_length, normalize",
}
"""What `load_encoder_by_name` understands, with one line each."""

_OPTIONS: dict[str, tuple[str, ...]] = {
    "minilm": (),
    "efficientnet-lite0": ("image_size",),
    "openclip": (),
    "hf text": ("pooling", "max_length", "normalize"),
    "hf image": ("pooling",),
}


def load_encoder_by_name(
    name: str, *, modality: str | None = None, device: torch.device | str = "cpu", download: bool = True
) -> ModalityEncoder:
    """Load a frozen encoder.

    Options follow a question mark: `efficientnet-lite0?image_size=224`, `hf:my/bert?pooling=cls&max_length=64`. The
    `encoder` of any `FeatureSpec` made by these encoders is such a name too; where it ends in `@` and eight hex
    digits, weights with another digest are refused.

    Args:
        name: One of `ENCODERS`.
        modality: `text` or `image`, where the model has both or does not say.
        device: Where the network runs.
        download: Fetch from a hub what is not on this machine yet. False where the name comes from a file, not from the
            user: whoever made the file must not choose what is fetched.

    Raises:
        InputError: If the name, an option or the modality is wrong, or the weights cannot be loaded.
        MissingExtraError: If a package of the extra `encoders` is missing.
    """
    base, _, query = name.partition("?")
    kind, _, rest = base.partition(":")
    pinned = re.fullmatch(r"(.+)@([0-9a-f]{8})", rest)
    target = pinned[1] if pinned else rest
    if kind == "minilm" and not rest:
        encoder = _minilm(name, query, device)
    elif kind == "efficientnet-lite0" and not rest:
        encoder = _efficientnet(name, query, device)
    elif kind == "openclip" and rest:
        encoder = _openclip(name, query, target, modality, device, download)
    elif kind == "hf" and rest:
        encoder = _huggingface(name, query, target, modality, device, download)
    else:
        raise unknown_choice("encoder", name, ENCODERS)
    if modality is not None and encoder.spec.modality != modality:
        raise InputError(f"encoder {name!r} is for {encoder.spec.modality}, not for {modality}")
    if pinned and not encoder.identity["weights"].startswith(pinned[2]):
        raise InputError(
            f"encoder {name!r}: the weights have changed: expected a digest of {pinned[2]}..., "
            f"got {encoder.identity['weights'][:8]}..."
        )
    return encoder


def _minilm(name: str, query: str, device: torch.device | str) -> ModalityEncoder:
    _parse_options(name, query, "minilm")
    from mmgraph.encoders.minilm import MiniLMEncoder

    return MiniLMEncoder(device=device)


def _efficientnet(name: str, query: str, device: torch.device | str) -> ModalityEncoder:
    options = _parse_options(name, query, "efficientnet-lite0")
    from mmgraph.encoders.efficientnet import EfficientNetEncoder

    return EfficientNetEncoder(**options, device=device)


def _openclip(
    name: str, query: str, target: str, modality: str | None, device: torch.device | str, download: bool
) -> ModalityEncoder:
    _parse_options(name, query, "openclip")
    from mmgraph.encoders.openclip import OpenClipImageEncoder, OpenClipTextEncoder

    architecture, _, weights = target.partition("@")
    if not download and architecture.startswith("hf-hub:"):
        raise InputError(
            f"encoder {name!r}: it is named by a file and lies on a hub; fetch it yourself and name its folder"
        )
    if modality == "text":
        return OpenClipTextEncoder(architecture, weights, device=device)
    if modality == "image":
        return OpenClipImageEncoder(architecture, weights, device=device)
    raise InputError(f"encoder {name!r}: say which modality, text or image; got {modality}")


def _huggingface(
    name: str, query: str, target: str, modality: str | None, device: torch.device | str, download: bool
) -> ModalityEncoder:
    from mmgraph.encoders.huggingface import HuggingFaceImageEncoder, HuggingFaceTextEncoder

    if modality is None:
        modality = "image" if (Path(target) / "preprocessor_config.json").is_file() else "text"
    if modality == "text":
        return HuggingFaceTextEncoder(
            target, **_parse_options(name, query, "hf text"), device=device, download=download
        )
    if modality == "image":
        return HuggingFaceImageEncoder(
            target, **_parse_options(name, query, "hf image"), device=device, download=download
        )
    raise InputError(f"encoder {name!r}: modality must be text or image, got {modality!r}")


def _parse_options(name: str, query: str, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        option, _, value = part.partition("=")
        if option not in _OPTIONS[kind]:
            raise unknown_choice(f"option of {name!r}", option, _OPTIONS[kind])
        options[option] = _parse_value(name, option, value)
    return options


def _parse_value(name: str, option: str, value: str) -> str | int | bool:
    if option == "pooling":
        return value
    if option == "normalize":
        if value not in ("true", "false"):
            raise InputError(f"encoder {name!r}: normalize must be true or false, got {value!r}")
        return value == "true"
    if not value.isdecimal():
        raise InputError(f"encoder {name!r}: {option} must be a whole number, got {value!r}")
    return int(value)
