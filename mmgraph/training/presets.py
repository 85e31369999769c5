"""Named settings of pre-training."""

from __future__ import annotations

from dataclasses import replace

from mmgraph.data.sampling import SamplingConfig
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.objectives.masked_features import MaskedFeaturesConfig
from mmgraph.objectives.mix import ObjectivesConfig
from mmgraph.objectives.shortest_path import ShortestPathConfig
from mmgraph.training.config import PretrainConfig


def mmgraph() -> PretrainConfig:
    """Ours, the default: starts at smoothed features and learns from links, levels and views of less."""
    return PretrainConfig()


def unigraph2() -> PretrainConfig:
    """UniGraph2 [1]: masked features and shortest paths, a randomly initialised network.

    The paper's hyper-parameters are known only in part; gaps are filled as the docstrings of the parts say. Sizes are
    those of a laptop; `experiments/pretrain/unigraph2_full_size.yaml` has the ones of the official code.

    References:
        [1] He et al., 2025, UniGraph2: Learning a Unified Embedding Space to Bind Multimodal Graphs, arXiv:2502.00806.
    """
    off = ObjectivesConfig()
    return PretrainConfig(
        steps=500,
        encoder=EncoderConfig(
            dim=256, moe=MoEConfig(hidden_mult=1.0, zero_init=False), gnn=GNNConfig(conv="gat", zero_init=False)
        ),
        sampling=SamplingConfig(kind="ppr", batch_size=64),
        objectives=ObjectivesConfig(
            masked_features=MaskedFeaturesConfig(weight=1.0),
            shortest_path=ShortestPathConfig(weight=0.5),
            links=replace(off.links, weight=0.0),
            levels=replace(off.levels, weight=0.0),
            geometry=replace(off.geometry, weight=0.0),
            views=replace(off.views, weight=0.0),
            cross_modal=replace(off.cross_modal, weight=0.0),
        ),
    )


PRESETS = {"mmgraph": mmgraph, "unigraph2": unigraph2}
"""Presets by name."""
