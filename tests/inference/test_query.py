from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.errors import InputError
from mmgraph.inference.embed import embed
from mmgraph.inference.query import QueryEncoder
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.seeding import generator
from mmgraph.testing.factories import randomise


class ContentEncoder(ModalityEncoder):
    """A vector drawn from the bytes of the item; files that do not exist fail. Remembers its batches."""

    def __init__(self, modality: str, dim: int, *, name: str = "content") -> None:
        super().__init__(FeatureSpec(modality, name, dim), {})
        self.batches: list[list[Any]] = []

    def encode(self, items: Sequence[Any]) -> EncodedItems:
        self.batches.append(list(items))
        rows, failed = [], []
        for i, item in enumerate(items):
            try:
                content = self.content(item).hex()
            except OSError as error:
                failed.append((i, type(error).__name__))
                content = ""
            rows.append(1.0 + torch.randn(self.spec.dim, generator=generator(0, content)))
        return EncodedItems(torch.stack(rows), failed=tuple(failed))

    def sort_key(self, item: Any) -> int:
        return len(str(item))


@pytest.fixture
def encoders() -> dict[str, ModalityEncoder]:
    return {"text": ContentEncoder("text", 12), "image": ContentEncoder("image", 20)}


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]))
    return paths


def make_isolated_graph(
    encoders: dict[str, ModalityEncoder], text: list[str | None], image: list[Path | None]
) -> MultimodalGraph:
    """Nodes without edges that have this content."""

    def features(modality: str, items: Sequence[Any]) -> ModalityFeatures:
        encoder = encoders[modality]
        present = torch.tensor([item is not None for item in items])
        values = torch.full((len(items), encoder.spec.dim), torch.nan)
        values[present] = encoder.encode([item for item in items if item is not None]).vectors
        return ModalityFeatures(encoder.spec, values, present)

    return MultimodalGraph(
        name="toy",
        node_ids=NodeIds([f"n{i}" for i in range(len(text))]),
        node_types=("node",),
        node_type=torch.zeros(len(text), dtype=torch.int64),
        features={"text": features("text", text), "image": features("image", image)},
    )


@pytest.fixture
def graph(encoders: dict[str, ModalityEncoder], images: list[Path]) -> MultimodalGraph:
    return make_isolated_graph(
        encoders, ["red shoe", "hat", None, "blue", None], [images[0], None, images[1], images[2], None]
    )


def make_model(graph: MultimodalGraph, conv: str = "gat") -> GraphEncoder:
    torch.manual_seed(3)
    config = EncoderConfig(
        dim=16, moe=MoEConfig(num_experts=4, top_k=2), gnn=GNNConfig(conv=conv, num_layers=2, heads=2)
    )  # type: ignore[arg-type]
    return randomise(GraphEncoder(config, [item.spec for item in graph.features.values()]))


@pytest.mark.parametrize("level", ["last", "blend", "hybrid", "all"])
@pytest.mark.parametrize("conv", ["gat", "sage"])
def test_query_equals_an_isolated_node_with_the_same_content(
    encoders: dict[str, ModalityEncoder], graph: MultimodalGraph, images: list[Path], conv: str, level: Any
) -> None:
    model = make_model(graph, conv)
    table = embed(model, graph, level=level)
    query = QueryEncoder(model, graph, encoders, level=level)

    def close(found: Tensor, ids: list[str]) -> None:
        torch.testing.assert_close(found, table.vectors_of(ids), rtol=1e-6, atol=1e-6)

    close(query.encode(["red shoe", "blue"], [images[0], images[2]]), ["n0", "n3"])  # both
    close(query.encode(["hat"]), ["n1"])  # text only
    close(query.encode(image=[images[1]]), ["n2"])  # image only
    close(query.encode(image=[str(images[1])]), ["n2"])
    mixed = query.encode(["blue", None, "hat"], [images[2], images[1], None])
    close(mixed, ["n3", "n2", "n1"])
    assert table.search(mixed, 1).ids() == [["n3"], ["n2"], ["n1"]]


def test_both_modalities_count(
    encoders: dict[str, ModalityEncoder], graph: MultimodalGraph, images: list[Path]
) -> None:
    query = QueryEncoder(make_model(graph), graph, encoders)
    vectors = [query.encode(["hat"]), query.encode(image=images[:1]), query.encode(["hat"], images[:1])]
    for i in range(3):
        for j in range(i):
            assert (vectors[i] - vectors[j]).abs().max() > 0.1


def test_queries_are_centred_by_the_mean_of_the_graph(
    encoders: dict[str, ModalityEncoder], graph: MultimodalGraph
) -> None:
    model = make_model(graph)
    mean = graph.features["text"].mean
    moved = replace(graph, features={**graph.features, "text": replace(graph.features["text"], mean=mean + 1.0)})
    one, other = (QueryEncoder(model, g, encoders).encode(["hat"]) for g in (graph, moved))
    assert (one - other).abs().max() > 1e-3
    torch.testing.assert_close(other, embed(model, moved).vectors_of(["n1"]), rtol=0, atol=1e-6)


def test_a_query_does_not_depend_on_its_company(encoders: dict[str, ModalityEncoder], graph: MultimodalGraph) -> None:
    query = QueryEncoder(make_model(graph), graph, encoders)
    texts = [f"word {'x' * (i % 7)} {i}" for i in range(150)]
    together = query.encode(texts)
    sizes = [len(batch) for batch in encoders["text"].batches[1:]]  # type: ignore[attr-defined]
    assert sizes == [64, 64, 22]
    lengths = [len(item) for batch in encoders["text"].batches[1:] for item in batch]  # type: ignore[attr-defined]
    assert lengths == sorted(lengths)
    for i in (0, 77, 149):
        torch.testing.assert_close(together[i : i + 1], query.encode([texts[i]]), rtol=0, atol=1e-5)


def test_mode_is_restored_and_no_gradient(encoders: dict[str, ModalityEncoder], graph: MultimodalGraph) -> None:
    model = make_model(graph).train()
    vectors = QueryEncoder(model, graph, encoders).encode(["hat"])
    assert model.training
    assert not vectors.requires_grad


def test_only_the_needed_encoders(encoders: dict[str, ModalityEncoder], graph: MultimodalGraph) -> None:
    model = make_model(graph)
    both = QueryEncoder(model, graph, encoders).encode(["hat"])
    assert torch.equal(QueryEncoder(model, graph, {"text": encoders["text"]}).encode(["hat"]), both)


def test_features_of_the_graph_are_not_kept(encoders: dict[str, ModalityEncoder], graph: MultimodalGraph) -> None:
    query = QueryEncoder(make_model(graph), graph, encoders)
    kept = [item.values.untyped_storage().nbytes() for item in query._features.values()]
    assert kept == [12 * 4, 20 * 4]


@pytest.mark.parametrize(
    ("text", "image", "message"),
    [
        (None, None, "expected at least one text or image, got nothing"),
        ([], None, "expected at least one text or image, got {'text': 0}"),
        (["a", "b"], [Path("x.png")], "must be as many, got {'text': 2, 'image': 1}"),
        (["a", None], None, "query 1: expected a text or an image, got nothing"),
        (["a", "  "], None, r"query 1: expected a text or an image, got \['  '\]"),
        (None, ["missing.png"], "query 0: image 'missing.png' cannot be read: FileNotFoundError"),
    ],
)
def test_bad_queries(
    encoders: dict[str, ModalityEncoder], graph: MultimodalGraph, text: Any, image: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        QueryEncoder(make_model(graph), graph, encoders).encode(text, image)


def test_failed_item_is_named_by_its_query(
    encoders: dict[str, ModalityEncoder], graph: MultimodalGraph, images: list[Path]
) -> None:
    paths = [None, images[0], images[0].parent / "gone-with-a-long-name.png", images[1]]
    with pytest.raises(InputError, match=r"query 2: image '.*gone-with-a-long-name.png' cannot be read"):
        QueryEncoder(make_model(graph), graph, encoders).encode(["hat", None, None, None], paths)


def test_what_the_graph_or_the_encoders_lack(encoders: dict[str, ModalityEncoder], graph: MultimodalGraph) -> None:
    model = make_model(graph)
    text_only = replace(graph, features={"text": graph.features["text"]})
    with pytest.raises(InputError, match="graph 'toy' has no image features; it has: 'text'"):
        QueryEncoder(model, text_only, encoders).encode(image=["x.png"])
    with pytest.raises(InputError, match="no encoder for text; there are: 'image'"):
        QueryEncoder(model, graph, {"image": encoders["image"]}).encode(["hat"])
    with pytest.raises(InputError, match="has text features 'text__content__12', but queries would be encoded as"):
        QueryEncoder(model, graph, {"text": ContentEncoder("text", 12, name="other")})
