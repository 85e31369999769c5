"""GraphMAE2: several random re-masks before decoding, and a teacher's latents as a second target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.baselines.augment import choose_nodes, drop_edges
from mmgraph.baselines.base import check_at_least, check_share
from mmgraph.baselines.graphmae import GraphMAEConfig, MaskedFeatures
from mmgraph.baselines.losses import scaled_cosine_error
from mmgraph.baselines.teacher import follow, make_teacher
from mmgraph.errors import InputError


@dataclass(frozen=True)
class GraphMAE2Config(GraphMAEConfig):
    """Settings of GraphMAE2; subgraphs have half the seeds, as three decodings make a step twice as dear.

    Attributes:
        remask: `random`: `num_remasks` decodings, each with other nodes replaced by a token. `fixed`: one decoding
            with the hidden nodes set to zero, as GraphMAE; the authors' setting for Cora and CiteSeer.
        num_remasks: Decodings if `random`.
        remask_share: Share of the nodes replaced in each.
        latent_weight: Factor of the error of the predicted latents.
        momentum: Of the teacher; 0 makes it the student of the step before.
        bottleneck: Hidden width of the projector.
    """

    replace: float = 0.0
    batch_size: int = 128
    remask: Literal["random", "fixed"] = "random"
    num_remasks: int = 3
    remask_share: float = 0.5
    latent_weight: float = 1.0
    momentum: float = 0.996
    bottleneck: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.remask not in ("random", "fixed"):
            raise InputError(f"remask must be 'random' or 'fixed', got {self.remask!r}")
        check_at_least("num_remasks", self.num_remasks, 1)
        check_at_least("bottleneck", self.bottleneck, 1)
        check_at_least("latent_weight", self.latent_weight, 0)
        check_share("remask_share", self.remask_share)
        check_share("momentum", self.momentum)


class GraphMAE2(MaskedFeatures):
    """Decoding-enhanced masked graph autoencoder [1].

    The latents of visible nodes must also match those of a teacher that sees the whole graph without noise.

    Args:
        in_dim: Width of the features.
        config: Settings.

    References:
        [1] Hou et al., 2023, GraphMAE2: A Decoding-Enhanced Masked Self-Supervised Graph Learner, arXiv:2304.04779.
    """

    def __init__(self, in_dim: int, config: GraphMAE2Config) -> None:
        super().__init__(in_dim, config)
        self.config = config
        dim = config.dim
        self.decoder_token = nn.Parameter(torch.zeros(dim))
        self.projector = nn.Sequential(nn.Linear(dim, config.bottleneck), nn.PReLU(), nn.Linear(config.bottleneck, dim))
        self.predictor = nn.Sequential(nn.PReLU(), nn.Linear(dim, dim))
        self.teacher = make_teacher(self.encoder)
        self.teacher_projector = make_teacher(self.projector)

    def loss(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Errors of the hidden features, summed over the decodings, plus that of the latents (equations 3 to 6)."""
        holes, hidden, visible = self.hide(x)
        vectors = self.encoder(holes, drop_edges(edge_index, self.config.drop_edges))
        latent = self.predictor(self.projector(vectors[visible]))
        with torch.no_grad():
            self.teacher.eval()  # `train` has switched its dropout on
            target = self.teacher_projector(self.teacher(x, edge_index)[visible])
        error = self.config.latent_weight * scaled_cosine_error(latent, target, 1.0)
        vectors = self.to_decoder(vectors)
        for remasked in self._remasked(vectors, hidden):
            error = error + scaled_cosine_error(self.decode(remasked, edge_index, hidden), x[hidden], self.config.power)
        return error

    def after_step(self, share: float) -> None:
        """Let the teacher follow."""
        del share
        follow(self.teacher, self.encoder, self.config.momentum)
        follow(self.teacher_projector, self.projector, self.config.momentum)

    def _remasked(self, vectors: Tensor, hidden: Tensor) -> list[Tensor]:
        if self.config.remask == "fixed":
            return [vectors.index_fill(0, hidden, 0.0)]
        views = []
        for _ in range(self.config.num_remasks):
            chosen, _ = choose_nodes(vectors.size(0), self.config.remask_share, vectors.device)
            views.append(vectors.index_copy(0, chosen, self.decoder_token.expand(chosen.numel(), -1)))
        return views
