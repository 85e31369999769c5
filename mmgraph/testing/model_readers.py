"""Readers of models, stores, settings, filters and images, with small valid files for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from mmgraph.errors import InputError
from mmgraph.files import file_digest, write_json
from mmgraph.inference.table import EmbeddingTable
from mmgraph.testing.factories import make_graph
from mmgraph.testing.reader import Reader, small_graph
from mmgraph.testing.resealing import reseal_model, reseal_parquet, reseal_store


def small_encoder(conv: str) -> Any:
    """An encoder of a handful of weights for `small_graph`."""
    from mmgraph.nn.build import build_encoder
    from mmgraph.nn.encoder import EncoderConfig
    from mmgraph.nn.gnn import GNNConfig
    from mmgraph.nn.moe import MoEConfig

    config = EncoderConfig(dim=8, moe=MoEConfig(num_experts=2, top_k=1), gnn=GNNConfig(conv=conv, heads=2))  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_encoder(config, [small_graph()])


def _make_model(conv: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        from mmgraph.nn.saving import save_encoder
        from mmgraph.training.loading import FORMAT, VERSION

        save_encoder(small_encoder(conv), path, extra={"graphs": ["toy"]})
        files = {
            item.name: {"bytes": item.stat().st_size, "sha256": file_digest(item)} for item in sorted(path.iterdir())
        }
        write_json(path / "manifest.json", {"format": FORMAT, "version": VERSION, "files": files})

    return make


def _read_model(path: Path) -> None:
    from mmgraph.nn.saving import load_extra
    from mmgraph.sharing.transfer import check_model
    from mmgraph.training.loading import load_model

    load_model(path)
    load_extra(path)
    check_model(path)


def _store(name: str) -> Reader:
    def make(path: Path) -> None:
        from mmgraph.export.base import write_table

        graph = make_graph(60, 100)
        random = torch.Generator().manual_seed(0)
        table = EmbeddingTable.for_graph(graph, torch.randn(60, 8, generator=random), model="0123abcd")
        write_table(table, path, format=name)

    def read(path: Path) -> None:
        from mmgraph.export.base import open_store, read_table

        with contextlib.suppress(InputError):
            read_table(path)
        with open_store(path) as store:
            store.search(torch.ones(1, store.dim), 3)
            store.ids()
            store.vectors(store.ids()[:2])

    native = name not in ("parquet", "npy", "safetensors", "projector", "compressed")
    sign = reseal_parquet if name == "parquet" else reseal_store
    return Reader(make, read, sign, names=("manifest.json", "ids.parquet") if native else ())


def _xml(name: str) -> Reader:
    def make(path: Path) -> None:
        from mmgraph.export.base import write_table

        graph = small_graph()
        write_table(EmbeddingTable.for_graph(graph, torch.ones(12, 2), model="m"), path, format=name, graph=graph)

    def read(path: Path) -> None:
        from mmgraph.export.base import read_table

        read_table(path)

    return Reader(make, read)


def _make_configs(path: Path) -> None:
    from mmgraph.config import save_yaml
    from mmgraph.finetuning.config import FinetuneConfig
    from mmgraph.training.config import PretrainConfig

    save_yaml(PretrainConfig(), path / "pretrain.yaml")
    save_yaml(FinetuneConfig(), path / "finetune.yaml")


def _read_configs(path: Path) -> None:
    from mmgraph.config import config_digest, load_yaml
    from mmgraph.finetuning.config import FinetuneConfig
    from mmgraph.training.config import PretrainConfig

    config_digest(load_yaml(path / "pretrain.yaml", PretrainConfig))
    config_digest(load_yaml(path / "finetune.yaml", FinetuneConfig))


def _make_filter(path: Path) -> None:
    path.write_text(
        "(community >= 1 and title contains 'x') or not type in ('item', \"user\") or within 2 of \"n0001\"\n"
        "community != 3 and not title is null and community < 1.5e2",
        encoding="utf-8",
    )


def _read_filter(path: Path) -> None:
    from mmgraph.export.filters import parse_filter

    graph = small_graph()
    assert graph.columns is not None
    rows = pa.table(
        {
            "id": graph.node_ids.values.tolist(),
            "type": [graph.node_types[code] for code in graph.node_type.tolist()],
            **_columns(graph.columns),
        }
    )
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        parse_filter(line).mask(rows, graph=graph)


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _make_images(path: Path) -> None:
    from PIL import Image

    path.mkdir()
    formats: dict[str, dict[str, Any]] = {
        "a.png": {},
        "b.jpg": {},
        "c.webp": {"lossless": True},
        "d.gif": {},
        "e.bmp": {},
        "f.tif": {"compression": "tiff_lzw"},
    }
    for name, options in formats.items():
        Image.radial_gradient("L").resize((9, 7)).convert("RGB").save(path / name, **options)
    Image.new("I;16", (5, 5), 40_000).save(path / "g.png")
    Image.new("RGBA", (5, 5), (1, 2, 3, 4)).save(path / "h.png")


def _read_images(path: Path) -> None:
    from mmgraph.data.image_files import image_size
    from mmgraph.encoders.images import load_rgb

    for file in sorted(path.iterdir()):
        with contextlib.suppress(InputError):
            image_size(file)
        with contextlib.suppress(InputError):
            load_rgb(file, size=4)


MODEL_READERS: dict[str, Reader] = {
    "model gat": Reader(_make_model("gat"), _read_model, reseal_model),
    "model sign": Reader(_make_model("sign"), _read_model, reseal_model),
    **{
        f"store {name}": _store(name)
        for name in (
            "parquet",
            "npy",
            "safetensors",
            "projector",
            "faiss",
            "faiss-ivfpq",
            "usearch",
            "lancedb",
            "duckdb",
            "compressed",
        )
    },
    "graphml": _xml("graphml"),
    "gexf": _xml("gexf"),
    "configs": Reader(_make_configs, _read_configs),
    "filters": Reader(_make_filter, _read_filter),
    "images": Reader(_make_images, _read_images),
}
