"""Graph-aware multimodal representation learning.

The public names below are loaded on first use, so that `import mmgraph` is quick and needs no extra.

Example:
    >>> import mmgraph as mg
    >>> raw = mg.read_tables("my_shop/")  # doctest: +SKIP
    >>> graph = mg.encode(raw, text="minilm", image="efficientnet-lite0")  # doctest: +SKIP
    >>> run = mg.pretrain([graph], mg.PretrainConfig(steps=2000), out="runs/shop")  # doctest: +SKIP
    >>> table = mg.embed(run.encoder, graph)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mmgraph.audit import audit_dataset
    from mmgraph.baselines.fit import fit_baseline
    from mmgraph.cluster.clustering import Clustering, evaluate_clustering, write_clusters
    from mmgraph.cluster.kmeans import kmeans
    from mmgraph.cluster.leiden import leiden
    from mmgraph.cluster.naming import name_clusters
    from mmgraph.compression.measure import measure_forms
    from mmgraph.data.features import FeatureSpec, ModalityFeatures
    from mmgraph.data.graph import MultimodalGraph
    from mmgraph.data.raw import RawGraph
    from mmgraph.data.relation import Relation
    from mmgraph.data.store import load_graph, save_graph
    from mmgraph.datasets import available_datasets, build_dataset
    from mmgraph.encoders.by_name import encode
    from mmgraph.engines.registry import make_engine
    from mmgraph.errors import InputError, MissingExtraError
    from mmgraph.export.base import open_store, read_table, write_table
    from mmgraph.export.filters import Filter, parse_filter
    from mmgraph.finetuning.config import FinetuneConfig
    from mmgraph.finetuning.finetune import finetune, resume_finetune
    from mmgraph.formats.bundle import Bundle
    from mmgraph.formats.mm_graph import read_mm_graph, write_mm_graph
    from mmgraph.formats.mmrec import read_mmrec, write_mmrec
    from mmgraph.formats.networkx import from_networkx, raw_from_networkx, split_from_networkx, to_networkx
    from mmgraph.formats.ogb import bundle_from_ogb, from_ogb, load_ogb
    from mmgraph.formats.pyg import bundle_from_pyg, from_pyg, to_hetero_pyg, to_pyg
    from mmgraph.formats.recbole import read_recbole, write_recbole
    from mmgraph.formats.registry import read_format, write_format
    from mmgraph.formats.tables import import_tables, read_tables, write_tables
    from mmgraph.formats.tables.guess import guess_mapping
    from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping, load_mapping
    from mmgraph.inference.compose import compose_query
    from mmgraph.inference.embed import embed
    from mmgraph.inference.levels import Blend, Hybrid
    from mmgraph.inference.query import QueryEncoder
    from mmgraph.inference.table import EmbeddingTable
    from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
    from mmgraph.nn.saving import load_encoder, save_encoder
    from mmgraph.nn.sign import SignEncoder
    from mmgraph.report.figures import plot_curves, plot_map
    from mmgraph.sharing.dataset_card import write_dataset_card
    from mmgraph.sharing.model_card import write_model_card
    from mmgraph.sharing.transfer import pull_model, push_model
    from mmgraph.splits.base import Split, load_splits, save_splits
    from mmgraph.splits.content import content_groups
    from mmgraph.splits.edges import (
        split_edges_by_relation,
        split_edges_by_time,
        split_edges_cold_nodes,
        split_edges_random,
    )
    from mmgraph.splits.interactions import (
        split_cold_items,
        split_cold_users,
        split_interactions_by_time,
        split_leave_last_out,
    )
    from mmgraph.splits.message import message_graph
    from mmgraph.splits.negatives import sample_negatives
    from mmgraph.splits.nodes import (
        split_nodes_by_time,
        split_nodes_few_shot,
        split_nodes_random,
        split_nodes_stratified,
    )
    from mmgraph.splits.recipe import resplit
    from mmgraph.synthetic.planted import planted_graph
    from mmgraph.synthetic.user_item import user_item_graph
    from mmgraph.synthetic.writing import write_synthetic_graph
    from mmgraph.tasks.bundle_folder import read_bundle, write_bundle
    from mmgraph.tasks.few_shot import few_shot_accuracy
    from mmgraph.tasks.from_split import task_from_split
    from mmgraph.tasks.label_propagation import PropagationConfig, label_propagation_accuracy
    from mmgraph.tasks.node_regression import NodeRegressionTask
    from mmgraph.tasks.split_folder import split_folder
    from mmgraph.training.config import PretrainConfig
    from mmgraph.training.evaluate import evaluate_run
    from mmgraph.training.loading import load_model
    from mmgraph.training.pretrain import pretrain, resume

_HOME = {
    "Blend": "mmgraph.inference.levels",
    "Hybrid": "mmgraph.inference.levels",
    "Bundle": "mmgraph.formats.bundle",
    "Clustering": "mmgraph.cluster.clustering",
    "EdgeTable": "mmgraph.formats.tables.mapping",
    "EmbeddingTable": "mmgraph.inference.table",
    "EncoderConfig": "mmgraph.nn.encoder",
    "FeatureSpec": "mmgraph.data.features",
    "FinetuneConfig": "mmgraph.finetuning.config",
    "GraphEncoder": "mmgraph.nn.encoder",
    "InputError": "mmgraph.errors",
    "InteractionTable": "mmgraph.formats.tables.mapping",
    "MissingExtraError": "mmgraph.errors",
    "ModalityFeatures": "mmgraph.data.features",
    "MultimodalGraph": "mmgraph.data.graph",
    "NodeTable": "mmgraph.formats.tables.mapping",
    "NodeRegressionTask": "mmgraph.tasks.node_regression",
    "PretrainConfig": "mmgraph.training.config",
    "PropagationConfig": "mmgraph.tasks.label_propagation",
    "QueryEncoder": "mmgraph.inference.query",
    "RawGraph": "mmgraph.data.raw",
    "Relation": "mmgraph.data.relation",
    "SignEncoder": "mmgraph.nn.sign",
    "Split": "mmgraph.splits.base",
    "TablesMapping": "mmgraph.formats.tables.mapping",
    "audit_dataset": "mmgraph.audit",
    "available_datasets": "mmgraph.datasets",
    "build_dataset": "mmgraph.datasets",
    "bundle_from_ogb": "mmgraph.formats.ogb",
    "bundle_from_pyg": "mmgraph.formats.pyg",
    "compose_query": "mmgraph.inference.compose",
    "content_groups": "mmgraph.splits.content",
    "embed": "mmgraph.inference.embed",
    "encode": "mmgraph.encoders.by_name",
    "evaluate_clustering": "mmgraph.cluster.clustering",
    "evaluate_run": "mmgraph.training.evaluate",
    "few_shot_accuracy": "mmgraph.tasks.few_shot",
    "finetune": "mmgraph.finetuning.finetune",
    "fit_baseline": "mmgraph.baselines.fit",
    "from_networkx": "mmgraph.formats.networkx",
    "from_ogb": "mmgraph.formats.ogb",
    "from_pyg": "mmgraph.formats.pyg",
    "guess_mapping": "mmgraph.formats.tables.guess",
    "import_tables": "mmgraph.formats.tables",
    "kmeans": "mmgraph.cluster.kmeans",
    "label_propagation_accuracy": "mmgraph.tasks.label_propagation",
    "leiden": "mmgraph.cluster.leiden",
    "load_encoder": "mmgraph.nn.saving",
    "load_graph": "mmgraph.data.store",
    "load_mapping": "mmgraph.formats.tables.mapping",
    "load_model": "mmgraph.training.loading",
    "load_ogb": "mmgraph.formats.ogb",
    "load_splits": "mmgraph.splits.base",
    "message_graph": "mmgraph.splits.message",
    "make_engine": "mmgraph.engines.registry",
    "measure_forms": "mmgraph.compression.measure",
    "name_clusters": "mmgraph.cluster.naming",
    "planted_graph": "mmgraph.synthetic.planted",
    "pretrain": "mmgraph.training.pretrain",
    "plot_curves": "mmgraph.report.figures",
    "plot_map": "mmgraph.report.figures",
    "pull_model": "mmgraph.sharing.transfer",
    "push_model": "mmgraph.sharing.transfer",
    "raw_from_networkx": "mmgraph.formats.networkx",
    "read_bundle": "mmgraph.tasks.bundle_folder",
    "read_format": "mmgraph.formats.registry",
    "read_mm_graph": "mmgraph.formats.mm_graph",
    "read_mmrec": "mmgraph.formats.mmrec",
    "read_recbole": "mmgraph.formats.recbole",
    "Filter": "mmgraph.export.filters",
    "open_store": "mmgraph.export.base",
    "parse_filter": "mmgraph.export.filters",
    "read_table": "mmgraph.export.base",
    "read_tables": "mmgraph.formats.tables",
    "resplit": "mmgraph.splits.recipe",
    "resume_finetune": "mmgraph.finetuning.finetune",
    "resume": "mmgraph.training.pretrain",
    "sample_negatives": "mmgraph.splits.negatives",
    "save_encoder": "mmgraph.nn.saving",
    "save_graph": "mmgraph.data.store",
    "save_splits": "mmgraph.splits.base",
    "split_cold_items": "mmgraph.splits.interactions",
    "split_cold_users": "mmgraph.splits.interactions",
    "split_edges_by_relation": "mmgraph.splits.edges",
    "split_edges_by_time": "mmgraph.splits.edges",
    "split_edges_cold_nodes": "mmgraph.splits.edges",
    "split_edges_random": "mmgraph.splits.edges",
    "split_folder": "mmgraph.tasks.split_folder",
    "split_from_networkx": "mmgraph.formats.networkx",
    "split_interactions_by_time": "mmgraph.splits.interactions",
    "split_leave_last_out": "mmgraph.splits.interactions",
    "split_nodes_by_time": "mmgraph.splits.nodes",
    "split_nodes_few_shot": "mmgraph.splits.nodes",
    "split_nodes_random": "mmgraph.splits.nodes",
    "split_nodes_stratified": "mmgraph.splits.nodes",
    "task_from_split": "mmgraph.tasks.from_split",
    "to_hetero_pyg": "mmgraph.formats.pyg",
    "to_networkx": "mmgraph.formats.networkx",
    "to_pyg": "mmgraph.formats.pyg",
    "user_item_graph": "mmgraph.synthetic.user_item",
    "write_bundle": "mmgraph.tasks.bundle_folder",
    "write_clusters": "mmgraph.cluster.clustering",
    "write_dataset_card": "mmgraph.sharing.dataset_card",
    "write_format": "mmgraph.formats.registry",
    "write_mm_graph": "mmgraph.formats.mm_graph",
    "write_mmrec": "mmgraph.formats.mmrec",
    "write_model_card": "mmgraph.sharing.model_card",
    "write_recbole": "mmgraph.formats.recbole",
    "write_synthetic_graph": "mmgraph.synthetic.writing",
    "write_table": "mmgraph.export.base",
    "write_tables": "mmgraph.formats.tables",
}

__all__ = [  # noqa: RUF022  (by topic)
    # graphs
    "FeatureSpec",
    "ModalityFeatures",
    "MultimodalGraph",
    "RawGraph",
    "Relation",
    "encode",
    "load_graph",
    "save_graph",
    # where they come from
    "Bundle",
    "EdgeTable",
    "InteractionTable",
    "NodeTable",
    "TablesMapping",
    "available_datasets",
    "build_dataset",
    "bundle_from_ogb",
    "bundle_from_pyg",
    "from_networkx",
    "from_ogb",
    "from_pyg",
    "guess_mapping",
    "import_tables",
    "load_mapping",
    "load_ogb",
    "planted_graph",
    "raw_from_networkx",
    "read_format",
    "read_mm_graph",
    "read_mmrec",
    "read_recbole",
    "read_tables",
    "split_from_networkx",
    "to_hetero_pyg",
    "to_networkx",
    "to_pyg",
    "user_item_graph",
    "write_format",
    "write_mm_graph",
    "write_mmrec",
    "write_recbole",
    "write_synthetic_graph",
    "write_tables",
    # splits and tasks
    "NodeRegressionTask",
    "Split",
    "audit_dataset",
    "content_groups",
    "load_splits",
    "message_graph",
    "read_bundle",
    "resplit",
    "sample_negatives",
    "save_splits",
    "split_cold_items",
    "split_cold_users",
    "split_edges_by_relation",
    "split_edges_by_time",
    "split_edges_cold_nodes",
    "split_edges_random",
    "split_folder",
    "split_interactions_by_time",
    "split_leave_last_out",
    "split_nodes_by_time",
    "split_nodes_few_shot",
    "split_nodes_random",
    "split_nodes_stratified",
    "task_from_split",
    "write_bundle",
    # model and training
    "EncoderConfig",
    "GraphEncoder",
    "PretrainConfig",
    "PropagationConfig",
    "SignEncoder",
    "FinetuneConfig",
    "evaluate_run",
    "few_shot_accuracy",
    "finetune",
    "fit_baseline",
    "label_propagation_accuracy",
    "load_encoder",
    "load_model",
    "pretrain",
    "resume",
    "resume_finetune",
    "save_encoder",
    # use
    "Blend",
    "Hybrid",
    "Clustering",
    "EmbeddingTable",
    "InputError",
    "MissingExtraError",
    "QueryEncoder",
    "compose_query",
    "embed",
    "evaluate_clustering",
    "kmeans",
    "leiden",
    "make_engine",
    "measure_forms",
    "name_clusters",
    "Filter",
    "open_store",
    "plot_curves",
    "plot_map",
    "pull_model",
    "push_model",
    "parse_filter",
    "read_table",
    "write_clusters",
    "write_dataset_card",
    "write_model_card",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmgraph' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
