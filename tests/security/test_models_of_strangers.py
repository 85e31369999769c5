"""A model folder is data: what would run if its code ran never does."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgraph.encoders.huggingface import HuggingFaceImageEncoder, HuggingFaceTextEncoder
from mmgraph.encoders.openclip import OpenClipTextEncoder
from mmgraph.encoders.registry import load_encoder_by_name
from mmgraph.errors import InputError
from mmgraph.testing.tiny_models import make_tiny_bert, make_tiny_clip, make_tiny_vit


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def add_code(folder: Path, file: str, proof: Path, auto_map: dict[str, str]) -> None:
    """Code beside the weights, and a configuration that asks for it, as on hubs."""
    code = f"from pathlib import Path\nPath({str(proof)!r}).touch()\n"
    classes = "\n".join(f"class {name.split('.')[1]}:\n    pass" for name in auto_map.values())
    (folder / "code_of_others.py").write_text(code + classes, encoding="utf-8")
    config = json.loads((folder / file).read_text())
    if "model_type" in config:
        config["model_type"] = "model-of-others"
    (folder / file).write_text(json.dumps({**config, "auto_map": auto_map}))


AUTO_MAP = {"AutoConfig": "code_of_others.OtherConfig", "AutoModel": "code_of_others.OtherModel"}


@pytest.mark.parametrize(
    ("make", "load"),
    [(make_tiny_bert, HuggingFaceTextEncoder), (make_tiny_vit, HuggingFaceImageEncoder)],
    ids=["text", "image"],
)
def test_code_beside_the_weights_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder, proof = make(tmp_path / "model"), tmp_path / "was-run"
    add_code(folder, "config.json", proof, AUTO_MAP)
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # what a user in a hurry would answer
    with pytest.raises(InputError, match="cannot load it") as error:
        load(folder)
    assert len(str(error.value).splitlines()) == 1
    assert not proof.exists()


def test_code_of_a_tokenizer_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, proof = make_tiny_bert(tmp_path / "model"), tmp_path / "was-run"
    auto_map = {"AutoTokenizer": "code_of_others.OtherTokenizer"}
    add_code(folder, "tokenizer_config.json", proof, auto_map)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with contextlib.suppress(InputError):  # a class that transformers knows is taken, or nothing
        HuggingFaceTextEncoder(folder)
    assert not proof.exists()


def test_a_text_tower_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_clip(tmp_path / "clip")
    tower, proof = make_tiny_bert(tmp_path / "tower"), tmp_path / "was-run"
    add_code(tower, "config.json", proof, AUTO_MAP)
    path = tmp_path / "clip" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"] = {"hf_model_name": str(tower), "hf_tokenizer_name": str(tower)}
    path.write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(InputError, match="cannot load it"):
        OpenClipTextEncoder(f"local-dir:{tmp_path / 'clip'}")
    assert not proof.exists()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder, proof = make_tiny_bert(tmp_path / "model"), tmp_path / "was-run"
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Harmful(proof)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot load it"):
        HuggingFaceTextEncoder(folder)
    assert not proof.exists()


@pytest.mark.parametrize("ending", ["pt", "bin", "npz", "npy"])
def test_pickled_clip_weights_are_refused(tmp_path: Path, ending: str) -> None:
    make_tiny_clip(tmp_path)
    proof, path = tmp_path / "was-run", tmp_path / f"weights.{ending}"
    path.write_bytes(pickle.dumps({"a": Harmful(proof)}))
    if ending in ("pt", "bin"):
        torch.save({"state_dict": Harmful(proof)}, path)
    with pytest.raises(InputError, match="cannot load it"):
        OpenClipTextEncoder("tiny-clip", str(path))
    assert not proof.exists()


@pytest.mark.parametrize("name", ["hf:somebody/something", "openclip:hf-hub:somebody/something"])
def test_a_name_from_a_file_fetches_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> Any:
        raise AssertionError("asked for an address")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(InputError, match="encoder "):
        load_encoder_by_name(name, modality="text", download=False)
