"""Named settings of pre-training."""

from __future__ import annotations

from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.objectives.mix import ObjectivesConfig
from mmgraph.objectives.views import ViewsConfig
from mmgraph.training.config import PretrainConfig


def mmgraph() -> PretrainConfig:
    """Ours, the default: starts at the features, and a node seen with less must land near its full self."""
    return PretrainConfig()


def unigraph2() -> PretrainConfig:
    """UniGraph2 [1]: masked features and shortest paths, a randomly initialised network.

    The paper's hyper-parameters are known only in part; gaps are filled as the docstrings of the parts say. Sizes are
    those of a laptop; `experiments/pretrain/unigraph2_full_size.yaml` has the ones of the official code.

    References:
        [1] He et al., 2025, UniGraph2: Learning a Unified Embedding Space to Bind Multimodal Graphs, arXiv:2502.00806.
    """
    return PretrainConfig(
        encoder=EncoderConfig(moe=MoEConfig(zero_init=False), gnn=GNNConfig(zero_init=False)),
        objectives=ObjectivesConfig(views=ViewsConfig(weight=0.0)),
    )


PRESETS = {"mmgraph": mmgraph, "unigraph2": unigraph2}
"""Presets by name."""
