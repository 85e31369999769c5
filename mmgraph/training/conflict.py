"""Do the graphs of a run pull the model in the same direction?"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn

from mmgraph.distributed import LOCAL, Ranks


class GradientConflict:
    """Cosine between the gradients that several graphs give to one model, within one accumulated step.

    A value below 0 means that a step for one graph is a step back for the other [1].

    Args:
        model: The shared model; parameters that a graph does not use count as zero.
        ranks: Whose gradients are added up.

    References:
        [1] Yu et al., 2020, Gradient Surgery for Multi-Task Learning, arXiv:2001.06782.
    """

    def __init__(self, model: nn.Module, ranks: Ranks = LOCAL) -> None:
        self.ranks = ranks
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._before = self._flat()
        self._gradients: dict[str, Tensor] = {}

    def after(self, name: str) -> None:
        """Call after the backward pass of a batch of this graph."""
        now = self._flat()
        gradient = now - self._before
        self._gradients[name] = self._gradients[name] + gradient if name in self._gradients else gradient
        self._before = now

    def logs(self) -> dict[str, float]:
        """Cosine of each pair of graphs that were in the step."""
        pairs = combinations(sorted(self._gradients), 2)
        cosine = torch.nn.functional.cosine_similarity
        return {
            f"conflict/{a}/{b}": round(float(cosine(self._gradients[a], self._gradients[b], dim=0)), 5)
            for a, b in pairs
        }

    def _flat(self) -> Tensor:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return self.ranks.total(torch.cat([gradient.flatten() for gradient in gradients]))
