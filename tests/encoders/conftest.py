from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmgraph.encoders.efficientnet import EfficientNetEncoder
from mmgraph.encoders.minilm import MiniLMEncoder
from mmgraph.testing.tiny_models import make_tiny_bert, make_tiny_clip, make_tiny_vit


@pytest.fixture(scope="session")
def minilm() -> MiniLMEncoder:
    return MiniLMEncoder()


@pytest.fixture(scope="session")
def efficientnet() -> EfficientNetEncoder:
    return EfficientNetEncoder()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty different small images of odd sizes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    paths = []
    for i in range(20):
        coarse = random.integers(0, 255, (5, 7, 3), dtype=np.uint8)
        path = folder / (f"{i}.png" if i % 2 else f"{i}.jpg")
        Image.fromarray(coarse).resize((40 + i, 60)).save(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vit(tmp_path_factory.mktemp("tiny-vit"))


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Name of a tiny CLIP architecture and a checkpoint of random weights."""
    return "tiny-clip", make_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))
