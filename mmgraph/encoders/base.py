"""What every frozen encoder of raw content offers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError
from mmgraph.files import content_digest


@dataclass(frozen=True, eq=False)
class EncodedItems:
    """What an encoder made of a list of items.

    Attributes:
        vectors: `[num_items, dim]`, float32, on the encoder's device; rows of failed items are zero.
        truncated: Positions of items that were longer than the encoder reads.
        failed: Position and reason of each item that could not be read.
    """

    vectors: Tensor
    truncated: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()

    @property
    def num_truncated(self) -> int:
        """Number of items that were longer than the encoder reads."""
        return len(self.truncated)


class ModalityEncoder(ABC):
    """A frozen encoder from raw items of one modality to vectors: eval mode, no gradients, float32.

    Args:
        spec: The feature space of the vectors.
        identity: Everything that decides the values, by name: weights, preprocessing, pooling, maximal length,
            dtype, versions of libraries. A change in any part is another `fingerprint`, so a miss in the cache.
    """

    def __init__(self, spec: FeatureSpec, identity: Mapping[str, str]) -> None:
        self.spec = spec
        self.identity: dict[str, str] = dict(identity)

    @property
    def fingerprint(self) -> str:
        """Digest of the feature space and of `identity`, 64 hex characters."""
        return content_digest(json.dumps({"spec": asdict(self.spec), "identity": self.identity}, sort_keys=True))

    @abstractmethod
    def encode(self, items: Sequence[Any]) -> EncodedItems:
        """Encode items in one batch. Broken items are reported as failed, they never raise.

        Args:
            items: Raw items of the modality; none is missing; the list may be empty.
        """

    def sort_key(self, item: Any) -> int:
        """Length of an item as the encoder counts it; items of equal length share a batch. 0 if it does not matter."""
        del item
        return 0

    def content(self, item: Any) -> bytes:
        """The bytes that decide an item's vector: a text itself, the bytes of the file that a path names.

        Raises:
            InputError: If the item is of a type that the encoder does not take.
            OSError: If a file cannot be read.
            UnicodeError: If a text is not valid Unicode.
        """
        if isinstance(item, str):
            return item.encode()
        if isinstance(item, bytes):
            return item
        if isinstance(item, Path):
            return item.read_bytes()
        raise InputError(f"expected a text, bytes or a path, got {type(item).__name__}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.encoder!r}, {self.spec.modality}, dim={self.spec.dim})"


def freeze(module: nn.Module, device: torch.device | str) -> nn.Module:
    """Put a module in eval mode on a device, without gradients."""
    return module.eval().requires_grad_(False).to(device)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of all floating point weights and buffers, whatever their names and order.

    Names and integer buffers come and go between versions of libraries, the values do not.
    """
    digests = (
        content_digest(str(list(tensor.shape)), tensor.detach().cpu().contiguous().numpy().tobytes())
        for tensor in module.state_dict().values()
        if tensor.is_floating_point()
    )
    return content_digest(*sorted(digests))


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Versions of installed packages, as parts of an identity."""
    from importlib.metadata import version

    return {f"version of {package}": version(package) for package in packages}


def check_canary(name: str, got: Tensor, expected: Sequence[float], *, tolerance: float = 1e-3) -> None:
    """Compare the first values of a known item's vector with the ones it must have.

    It catches what no digest of the weights can see: a changed tokeniser, activation or preprocessing.

    Raises:
        InputError: If a value is off by more than `tolerance`.
    """
    head = got[: len(expected)].float().cpu()
    error = float((head - torch.tensor(expected)).abs().max())
    if not error <= tolerance:
        raise InputError(
            f"encoder {name!r} fails its self-check: the known item's vector is off by {error:.3g} "
            f"(at most {tolerance} is normal); its weights or libraries are damaged, reinstall them"
        )
