"""Text and image models of Hugging Face transformers, from a local folder or a hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.base import EncodedItems, ModalityEncoder, freeze, versions_of, weights_digest
from mmgraph.encoders.images import ImageEncoder, load_rgb
from mmgraph.errors import InputError, require, unknown_choice
from mmgraph.files import content_digest

Pooling = Literal["mean", "cls", "pooler"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "pooler")


class HuggingFaceTextEncoder(ModalityEncoder):
    """A transformer over tokens, pooled to one vector per text.

    Weights are read from safetensors only, and code that lies beside them is never run. A batch is padded to its longest text only. Tokens beyond `max_length` are dropped and the text is counted as
    truncated. The key of the feature space ends in the first digits of the weights' digest, so that two models
    never share a projection by their folder's name.

    Args:
        path: Local folder, or an id on the hub.
        key: Encoder key of the feature space; made from path, weights and options if not given.
        pooling: `mean` over tokens, the first token (`cls`), or the model's own `pooler`.
        normalize: Scale vectors to unit length.
        max_length: Longest text in tokens, special ones included; by default what the model allows.
        device: Where the network runs.
        download: Fetch from the hub what is not on this machine yet.

    Raises:
        InputError: If the model cannot be loaded or an option does not fit it.
        MissingExtraError: If transformers is missing.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        key: str | None = None,
        pooling: Pooling = "mean",
        normalize: bool = False,
        max_length: int | None = None,
        device: torch.device | str = "cpu",
        download: bool = True,
    ) -> None:
        check_pooling(path, pooling)
        transformers = require("transformers", extra="encoders")
        self._pooling, self._normalize, self.device = pooling, normalize, torch.device(device)
        with loading(path):
            model = transformers.AutoModel.from_pretrained(
                path, use_safetensors=True, **_load_options(path, download)
            ).float()
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **_load_options(path, download))
        self.max_length = _max_length(path, max_length, model.config, tokenizer)
        self._set_tokenizer(path, tokenizer)
        weights = weights_digest(model)
        self._model: Any = freeze(model, device)
        identity = {
            "weights": weights,
            "tokenizer": content_digest(self._tokenizer.to_str()),
            "pooling": pooling,
            "normalize": str(normalize),
            "max_length": str(self.max_length),
            "dtype": "float32",
            **versions_of(["torch", "transformers", "tokenizers"]),
        }
        dim = self._embed(["x"])[0].size(1)
        options = {"pooling": pooling, "normalize": normalize, "max_length": max_length}
        super().__init__(FeatureSpec("text", key or _key(path, weights, options), dim), identity)

    def _set_tokenizer(self, path: Path | str, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(f"encoder 'hf:{path}': its tokenizer has no fast form (tokenizer.json), which is needed")
        tokenizers = require("tokenizers", extra="encoders")
        # a copy of its own, whose truncation nobody else changes
        self._tokenizer: Any = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)
        self._pad_id = tokenizer.pad_token_id or 0
        self._uses_types = "token_type_ids" in tokenizer.model_input_names

    def content(self, item: Any) -> bytes:
        """The text in UTF-8."""
        if not isinstance(item, str):
            raise InputError(f"expected a text, got {type(item).__name__}")
        return item.encode()

    def sort_key(self, item: str) -> int:
        """Number of tokens that are read."""
        return len(self._tokenizer.encode(item).ids)

    def encode(self, items: Sequence[str]) -> EncodedItems:
        """Encode texts."""
        if not items:
            return EncodedItems(torch.zeros(0, self.spec.dim, device=self.device))
        vectors, truncated = self._embed(items)
        return EncodedItems(vectors, truncated=truncated)

    def _embed(self, texts: Sequence[str]) -> tuple[Tensor, tuple[int, ...]]:
        encodings = self._tokenizer.encode_batch(list(texts))
        length = max(1, *(len(encoding.ids) for encoding in encodings))
        tokens = torch.tensor([e.ids + [self._pad_id] * (length - len(e.ids)) for e in encodings], device=self.device)
        mask = torch.tensor([[1] * len(e.ids) + [0] * (length - len(e.ids)) for e in encodings], device=self.device)
        inputs = {"input_ids": tokens, "attention_mask": mask}
        if self._uses_types:
            inputs["token_type_ids"] = torch.zeros_like(tokens)
        with torch.inference_mode():
            output = self._model(**inputs)
            vectors = pool(output, self._pooling, mask)
            if self._normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors.clone(), tuple(row for row, e in enumerate(encodings) if e.overflowing)


class HuggingFaceImageEncoder(ImageEncoder):
    """A vision model with its own image processor, pooled to one vector per image.

    Args:
        path: Local folder, or an id on the hub.
        pooling: The first token (`cls`), `mean` over tokens or places, or the model's own `pooler`.
        device: Where the network runs.
        download: Fetch from the hub what is not on this machine yet.

    Raises:
        InputError: If the model cannot be loaded or the pooling does not fit it.
        MissingExtraError: If transformers or Pillow is missing.
    """

    def __init__(
        self, path: Path | str, *, pooling: Pooling = "cls", device: torch.device | str = "cpu", download: bool = True
    ) -> None:
        check_pooling(path, pooling)
        for module in ("PIL", "torchvision"):
            require(module, extra="encoders")
        transformers = require("transformers", extra="encoders")
        self._pooling, self.device = pooling, torch.device(device)
        with loading(path):
            model = transformers.AutoModel.from_pretrained(
                path, use_safetensors=True, **_load_options(path, download)
            ).float()
            self._processor: Any = transformers.AutoImageProcessor.from_pretrained(
                path, **_load_options(path, download)
            )
        weights = weights_digest(model)
        self._model: Any = freeze(model, device)
        identity = {
            "weights": weights,
            "preprocessing": f"rgb on white, upright; {self._processor.to_json_string()}",
            "pooling": pooling,
            "dtype": "float32",
            **versions_of(["torch", "torchvision", "transformers", "pillow"]),
        }
        from PIL.Image import new

        with torch.inference_mode():
            dim = self.forward_pixels(self._process(new("RGB", (64, 64)))[None].to(device)).size(1)
        super().__init__(FeatureSpec("image", _key(path, weights, {"pooling": pooling}, default="cls"), dim), identity)

    def prepare(self, path: Path | str) -> Tensor:
        """Read an image as the model's input `[3, height, width]`."""
        return self._process(load_rgb(path))

    def _process(self, image: Any) -> Tensor:
        pixels: Tensor = self._processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels `[n, 3, height, width]` to `[n, dim]`."""
        return pool(self._model(pixel_values=pixels), self._pooling)


def pool(output: Any, pooling: Pooling, mask: Tensor | None = None) -> Tensor:
    """Pool a model's output to `[n, dim]`.

    Args:
        output: With `last_hidden_state` `[n, length, dim]` or `[n, dim, height, width]`.
        pooling: How.
        mask: `[n, length]`: 1 for tokens that count, all if not given.

    Raises:
        InputError: If the model has nothing of the kind.
    """
    if pooling == "pooler":
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise InputError("pooling 'pooler': the model has no pooler; choose from: mean, cls")
        return torch.as_tensor(pooled).flatten(1)
    hidden: Tensor = output.last_hidden_state
    if hidden.dim() == 4:
        if pooling == "cls":
            raise InputError("pooling 'cls': a convolutional model has no first token; choose from: mean, pooler")
        return hidden.mean(dim=(2, 3))
    if pooling == "cls":
        return hidden[:, 0]
    if mask is None:
        return hidden.mean(dim=1)
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def check_pooling(path: Path | str, pooling: str) -> None:
    """Check the name of a pooling.

    Raises:
        InputError: If it is unknown.
    """
    if pooling not in POOLINGS:
        raise unknown_choice(f"pooling of 'hf:{path}'", pooling, POOLINGS)


@contextmanager
def loading(path: Path | str) -> Iterator[None]:
    """Load quietly, and turn what transformers raises for a missing file or hub into one line."""
    from transformers.utils import logging

    text = str(path)
    if text.startswith((".", "/", "~")) and not Path(path).is_dir():
        raise InputError(f"encoder 'hf:{path}': folder not found")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"encoder 'hf:{path}': cannot load it: {reason}") from error
    finally:
        if shown:
            logging.enable_progress_bar()


def _load_options(path: Path | str, download: bool) -> dict[str, Any]:
    """Options of every `from_pretrained`: code beside the weights is never run, and transformers does not ask to."""
    return {"trust_remote_code": False, "local_files_only": not download or Path(path).is_dir()}


def _max_length(path: Path | str, wanted: int | None, config: Any, tokenizer: Any) -> int:
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    limit = min((int(x) for x in limits if x is not None and 0 < x < 1_000_000), default=512)
    if wanted is None:
        return limit
    if not 3 <= wanted <= limit:
        raise InputError(f"encoder 'hf:{path}': max_length must lie in 3..{limit}, got {wanted}")
    return wanted


def _key(path: Path | str, weights: str, options: Mapping[str, Any], *, default: str = "mean") -> str:
    changed = {k: v for k, v in options.items() if v not in (None, False, default)}
    query = "&".join(f"{name}={str(value).lower()}" for name, value in sorted(changed.items()))
    return f"hf:{path}@{weights[:8]}" + (f"?{query}" if query else "")
