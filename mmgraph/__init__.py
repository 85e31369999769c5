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
    from mmgraph.data.features import FeatureSpec, ModalityFeatures
    from mmgraph.data.graph import MultimodalGraph
    from mmgraph.data.raw import RawGraph
    from mmgraph.data.relation import Relation
    from mmgraph.data.store import load_graph, save_graph
    from mmgraph.datasets import available_datasets, build_dataset
    from mmgraph.encoders.by_name import encode
    from mmgraph.errors import InputError, MissingExtraError
    from mmgraph.export.base import read_table, write_table
    from mmgraph.formats.networkx import from_networkx, to_networkx
    from mmgraph.formats.pyg import from_pyg, to_pyg
    from mmgraph.formats.tables import read_tables
    from mmgraph.formats.tables.writing import write_tables
    from mmgraph.inference.embed import embed
    from mmgraph.inference.query import QueryEncoder
    from mmgraph.inference.table import EmbeddingTable
    from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
    from mmgraph.nn.saving import load_encoder, save_encoder
    from mmgraph.training.config import PretrainConfig
    from mmgraph.training.evaluate import evaluate_run
    from mmgraph.training.pretrain import pretrain, resume

_HOME = {
    "EmbeddingTable": "mmgraph.inference.table",
    "EncoderConfig": "mmgraph.nn.encoder",
    "FeatureSpec": "mmgraph.data.features",
    "GraphEncoder": "mmgraph.nn.encoder",
    "InputError": "mmgraph.errors",
    "MissingExtraError": "mmgraph.errors",
    "ModalityFeatures": "mmgraph.data.features",
    "MultimodalGraph": "mmgraph.data.graph",
    "PretrainConfig": "mmgraph.training.config",
    "QueryEncoder": "mmgraph.inference.query",
    "RawGraph": "mmgraph.data.raw",
    "Relation": "mmgraph.data.relation",
    "available_datasets": "mmgraph.datasets",
    "build_dataset": "mmgraph.datasets",
    "embed": "mmgraph.inference.embed",
    "encode": "mmgraph.encoders.by_name",
    "evaluate_run": "mmgraph.training.evaluate",
    "from_networkx": "mmgraph.formats.networkx",
    "from_pyg": "mmgraph.formats.pyg",
    "load_encoder": "mmgraph.nn.saving",
    "load_graph": "mmgraph.data.store",
    "pretrain": "mmgraph.training.pretrain",
    "read_table": "mmgraph.export.base",
    "read_tables": "mmgraph.formats.tables",
    "resume": "mmgraph.training.pretrain",
    "save_encoder": "mmgraph.nn.saving",
    "save_graph": "mmgraph.data.store",
    "to_networkx": "mmgraph.formats.networkx",
    "to_pyg": "mmgraph.formats.pyg",
    "write_table": "mmgraph.export.base",
    "write_tables": "mmgraph.formats.tables.writing",
}

__all__ = [  # noqa: RUF022  (by topic: data, model, training, use, errors)
    "FeatureSpec",
    "ModalityFeatures",
    "MultimodalGraph",
    "RawGraph",
    "Relation",
    "available_datasets",
    "build_dataset",
    "encode",
    "from_networkx",
    "from_pyg",
    "load_graph",
    "read_tables",
    "save_graph",
    "to_networkx",
    "to_pyg",
    "write_tables",
    "EncoderConfig",
    "GraphEncoder",
    "load_encoder",
    "save_encoder",
    "PretrainConfig",
    "evaluate_run",
    "pretrain",
    "resume",
    "EmbeddingTable",
    "QueryEncoder",
    "embed",
    "read_table",
    "write_table",
    "InputError",
    "MissingExtraError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmgraph' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
