"""Random numbers that depend on names, not on the order of calls."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *keys: int | str) -> int:
    """Mix a seed with any keys into a new 63-bit seed, the same in every process.

    Example:
        >>> derive_seed(0, "sampler", 3) == derive_seed(0, "sampler", 3)
        True
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(key).__name__}:{key}" for key in keys)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a generator for one purpose, keyed for instance by `(seed, epoch, step, "mask")`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *keys))
