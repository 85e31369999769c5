"""Randomly initialised models of a few kilobytes in the formats that real ones come in, for tests without a hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmgraph.errors import require

WORDS = ("red", "blue", "cat", "dog", "sun", "moon", *"abcdefghij")


def make_tiny_bert(folder: Path | str, words: Sequence[str] = WORDS) -> Path:
    """Save a BERT of width 16 that knows `words` and reads 12 tokens, two of which mark start and end.

    Returns:
        The folder, for `hf:<folder>`.
    """
    transformers = require("transformers", extra="encoders")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=12).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return folder


def make_tiny_vit(folder: Path | str) -> Path:
    """Save a vision transformer of width 16 for images of 32 pixels.

    Returns:
        The folder, for `hf:<folder>`.
    """
    transformers = require("transformers", extra="encoders")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTModel(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return Path(folder)


def make_tiny_clip(folder: Path | str) -> Path:
    """Save a CLIP model of width 16 for images of 32 pixels and texts of 16 tokens.

    It is registered as the architecture `tiny-clip`; the folder also works as `local-dir:<folder>`.

    Returns:
        The checkpoint, for `openclip:tiny-clip@<checkpoint>`.
    """
    open_clip = require("open_clip", extra="encoders")
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "tiny-clip.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {}}), encoding="utf-8"
    )
    open_clip.add_model_config(folder / "tiny-clip.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("tiny-clip")
    checkpoint = folder / "open_clip_model.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, checkpoint)
    return checkpoint
