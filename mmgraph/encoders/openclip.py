"""CLIP models of open_clip, both towers."""

from __future__ import annotations

import difflib
import json
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.base import EncodedItems, ModalityEncoder, freeze, versions_of, weights_digest
from mmgraph.encoders.images import ImageEncoder, load_rgb
from mmgraph.errors import InputError, require, unknown_choice
from mmgraph.files import content_digest


class OpenClipTextEncoder(ModalityEncoder):
    """The text tower of a CLIP model [1]; unit-norm vectors in the space shared with the images.

    Args:
        architecture: Name of an open_clip configuration, or `local-dir:<folder>` with configuration and weights.
        weights: Path of a checkpoint, or a pretrained tag where a hub is reachable; empty for a local folder.
        device: Where the network runs.

    Raises:
        InputError: If architecture or weights are unknown or do not belong together.
        MissingExtraError: If open_clip is missing.

    References:
        [1] Radford et al., 2021, Learning Transferable Visual Models From Natural Language Supervision,
        arXiv:2103.00020.
    """

    def __init__(self, architecture: str, weights: str = "", *, device: torch.device | str = "cpu") -> None:
        model, _, identity = _load(architecture, weights)
        open_clip = require("open_clip", extra="encoders")
        self.device = torch.device(device)
        self._model: Any = freeze(model, device)
        with _no_code_of_others():
            self._tokenizer: Any = open_clip.get_tokenizer(architecture)
        self._context_length: int = model.context_length
        # what the tokeniser writes after the end of a text
        self._pad_id = int(self._tokenizer([""], context_length=self._context_length + 1)[0, -1])
        inner = getattr(self._tokenizer, "tokenizer", None)
        identity |= {
            "tokenizer": type(self._tokenizer).__name__,
            "vocabulary": content_digest(inner.backend_tokenizer.to_str()) if inner is not None else "open_clip's own",
            "max_length": str(self._context_length),
            **versions_of(["torch", "open_clip_torch"]),
        }
        dim = self._embed(["x"]).size(1)
        super().__init__(FeatureSpec("text", _key(architecture, weights, identity), dim), identity)

    def content(self, item: Any) -> bytes:
        """The text in UTF-8."""
        if not isinstance(item, str):
            raise InputError(f"expected a text, got {type(item).__name__}")
        return item.encode()

    def encode(self, items: Sequence[str]) -> EncodedItems:
        """Encode texts."""
        if not items:
            return EncodedItems(torch.zeros(0, self.spec.dim, device=self.device))
        texts = list(items)
        return EncodedItems(self._embed(texts), truncated=self._truncated(texts))

    def _embed(self, texts: list[str]) -> Tensor:
        tokens = self._tokenizer(texts, context_length=self._context_length).to(self.device)
        with torch.inference_mode():
            vectors: Tensor = self._model.encode_text(tokens, normalize=True).float()
        return vectors.clone()

    def _truncated(self, texts: list[str]) -> tuple[int, ...]:
        """Texts that read differently with room for one more token."""
        length = self._context_length
        read = self._tokenizer(texts, context_length=length)
        longer = self._tokenizer(texts, context_length=length + 1)
        cut = (longer[:, :length] != read).any(dim=1) | (longer[:, length] != self._pad_id)
        return tuple(torch.nonzero(cut).flatten().tolist())


class OpenClipImageEncoder(ImageEncoder):
    """The image tower of a CLIP model, with the preprocessing that its weights ask for.

    Args:
        architecture: As for `OpenClipTextEncoder`.
        weights: As for `OpenClipTextEncoder`.
        device: Where the network runs.

    Raises:
        InputError: If architecture or weights are unknown or do not belong together.
        MissingExtraError: If open_clip is missing.
    """

    def __init__(self, architecture: str, weights: str = "", *, device: torch.device | str = "cpu") -> None:
        model, self._preprocess, identity = _load(architecture, weights)
        self.device = torch.device(device)
        self._model: Any = freeze(model, device)
        size = model.visual.image_size
        self._size = max(size) if isinstance(size, (tuple, list)) else int(size)
        identity |= {
            "preprocessing": f"rgb on white, upright; {json.dumps(model.visual.preprocess_cfg, sort_keys=True)}",
            **versions_of(["torch", "torchvision", "open_clip_torch", "pillow"]),
        }
        with torch.inference_mode():
            dim = self.forward_pixels(torch.zeros(1, 3, self._size, self._size, device=self.device)).size(1)
        super().__init__(FeatureSpec("image", _key(architecture, weights, identity), dim), identity)

    def prepare(self, path: Path | str) -> Tensor:
        """Read an image as `[3, image_size, image_size]`."""
        pixels: Tensor = self._preprocess(load_rgb(path, size=self._size))
        return pixels

    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels `[n, 3, image_size, image_size]` to `[n, dim]`, unit norm."""
        vectors: Tensor = self._model.encode_image(pixels, normalize=True)
        return vectors


_LOADING = (
    *(RuntimeError, OSError, ValueError, LookupError, AssertionError, TypeError, AttributeError),
    *(SafetensorError, pickle.UnpicklingError),
)
"""What open_clip raises for a checkpoint that is damaged or belongs to another architecture."""


@contextmanager
def _no_code_of_others() -> Iterator[None]:
    """Let transformers refuse code beside a text tower, where it would ask on the terminal whether to run it.

    A configuration of open_clip may name any model of transformers as its text tower, and open_clip passes no option.
    """
    module: Any = require("transformers.dynamic_module_utils", extra="encoders")
    before, module.TIME_OUT_REMOTE_CODE = module.TIME_OUT_REMOTE_CODE, 0
    try:
        yield
    finally:
        module.TIME_OUT_REMOTE_CODE = before


def _load(architecture: str, weights: str) -> tuple[Any, Any, dict[str, str]]:
    open_clip = require("open_clip", extra="encoders")
    name = f"openclip:{architecture}" + (f"@{weights}" if weights else "")
    local = architecture.startswith(("local-dir:", "hf-hub:"))
    if not local:
        _check_choice(open_clip, name, architecture, weights)
    try:
        with _no_code_of_others():
            model, _, preprocess = open_clip.create_model_and_transforms(
                architecture, pretrained=weights or None, precision="fp32", weights_only=True, require_pretrained=True
            )
    except _LOADING as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"encoder {name!r}: cannot load it: {reason}") from error
    quick = (open_clip.get_model_config(architecture) or {}).get("quick_gelu", False) if not local else "see weights"
    identity = {
        "weights": weights_digest(model),
        "architecture": architecture.split(":")[0] if local else architecture,
        "quick_gelu": str(quick),
        "pooling": "the model's own, unit norm",
        "dtype": "float32",
    }
    return model, preprocess, identity


def _check_choice(open_clip: Any, name: str, architecture: str, weights: str) -> None:
    known = open_clip.list_models()
    if architecture not in known:
        close = difflib.get_close_matches(architecture, known, n=8, cutoff=0.3)
        raise unknown_choice("open_clip architecture", architecture, close or known)
    if not weights:
        raise InputError(f"encoder {name!r}: name its weights: {name}@<path of a checkpoint, or pretrained tag>")
    pretrained = open_clip.get_pretrained_cfg(architecture, weights)
    if not pretrained:
        if not Path(weights).is_file():
            tags = open_clip.list_pretrained_tags_by_model(architecture)
            raise InputError(
                f"encoder {name!r}: {weights!r} is neither a file nor a pretrained tag; tags: {', '.join(tags) or 'none'}"
            )
        return
    # The wrong activation gives plausible but worse vectors, without any error (open_clip issue 771).
    expected = bool(pretrained.get("quick_gelu", False))
    if expected != bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu", False)):
        other = f"{architecture}-quickgelu" if expected else architecture.removesuffix("-quickgelu")
        raise InputError(
            f"encoder {name!r}: these weights were trained {'with' if expected else 'without'} QuickGELU; "
            f"use openclip:{other}@{weights}"
        )


def _key(architecture: str, weights: str, identity: dict[str, str]) -> str:
    return f"openclip:{architecture}" + (f"@{weights}" if weights else "") + f"@{identity['weights'][:8]}"
