from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data import graph_writer as module
from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.graph_writer import FeatureHeader, GraphHeader, GraphWriter, RelationHeader, graph_writer
from mmgraph.data.ids import NodeIds
from mmgraph.data.store import load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph


def header_of(graph: MultimodalGraph) -> GraphHeader:
    return GraphHeader(
        graph.name,
        graph.node_types,
        {
            name: RelationHeader(
                r.source_type, r.target_type, r.symmetric, {k: v.dtype for k, v in r.attributes.items()}, r.reverse
            )
            for name, r in graph.relations.items()
        },
        {name: FeatureHeader(f.spec, f.values.dtype) for name, f in graph.features.items()},
    )


def spans(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def write_in_blocks(graph: MultimodalGraph, folder: Path, step: int) -> None:
    with graph_writer(folder, header_of(graph)) as writer:
        for rows in spans(graph.num_nodes, step):
            writer.add_nodes(pa.array(graph.node_ids.values[rows]), graph.node_type[rows].numpy())
            for name, features in graph.features.items():
                writer.add_features(name, features.values[rows].numpy(), features.present[rows].numpy())
        for name, relation in graph.relations.items():
            for rows in spans(relation.num_edges, step):
                attributes = {key: values[rows].numpy() for key, values in relation.attributes.items()}
                writer.add_edges(name, relation.edge_index[:, rows].numpy(), attributes)


def with_block_means(graph: MultimodalGraph) -> MultimodalGraph:
    """The same graph with means that are summed in float64, as the writer does."""
    features = {
        name: dataclasses.replace(
            f,
            mean=f.values[f.present].double().mean(dim=0).float() if bool(f.present.any()) else torch.zeros(f.spec.dim),
        )
        for name, f in graph.features.items()
    }
    return dataclasses.replace(graph, features=features, columns=None)


@given(
    num_nodes=st.integers(3, 12),
    step=st.integers(1, 12),
    missing=st.sampled_from([0.0, 0.4, 1.0]),
    strings=st.booleans(),
    row_group=st.integers(1, 5),
)
@settings(max_examples=25, deadline=None)
def test_blocks_of_any_size_give_the_files_of_save_graph(
    tmp_path_factory: pytest.TempPathFactory, num_nodes: int, step: int, missing: float, strings: bool, row_group: int
) -> None:
    graph = with_block_means(make_graph(num_nodes, 3, missing=missing))
    if not strings:
        graph = dataclasses.replace(graph, node_ids=NodeIds(np.arange(num_nodes) * 7 - 3))
    folder = tmp_path_factory.mktemp("writer")
    save_graph(graph, folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROW_GROUP", row_group)
        write_in_blocks(graph, folder / "blocks", step)
    assert_same_graph(load_graph(folder / "blocks"), graph)
    names = {path.name for path in (folder / "whole").iterdir()}
    assert {path.name for path in (folder / "blocks").iterdir()} == names
    for name in names - {"nodes.parquet", "graph.json"}:  # with such small row groups, parquet differs
        content = (folder / "blocks" / name).read_bytes()
        # The sum of a mean may end in another last bit, depending on the blocks.
        assert name.endswith("mean.npy") or content == (folder / "whole" / name).read_bytes(), name


def test_one_block_gives_equal_folders(tmp_path: Path) -> None:
    graph = with_block_means(make_graph(50, 80))
    save_graph(graph, tmp_path / "whole")
    write_in_blocks(graph, tmp_path / "blocks", 1000)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "blocks" / path.name).read_bytes() == path.read_bytes(), path.name


def small_header() -> GraphHeader:
    return GraphHeader(
        "g",
        ("a",),
        {"r": RelationHeader("a", "a", attributes={"w": torch.float32})},
        {"text": FeatureHeader(FeatureSpec("text", "x", 2), torch.float16)},
    )


def test_graph_without_edges(tmp_path: Path) -> None:
    with graph_writer(tmp_path / "g", small_header()) as writer:
        writer.add_nodes(pa.array([5, 3]), np.zeros(2, dtype=np.int64))
        writer.add_features("text", np.ones((2, 2), dtype=np.float16), np.array([True, False]))
    graph = load_graph(tmp_path / "g")
    assert (graph.num_nodes, graph.num_edges) == (2, 0)
    assert graph.relations["r"].attributes["w"].dtype == torch.float32


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_write_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    save_graph(make_graph(), tmp_path / "g")

    def write() -> None:
        with graph_writer(tmp_path / "g", small_header(), overwrite=True) as writer:
            writer.add_nodes(pa.array([5, 3]), np.zeros(2, dtype=np.int64))
            raise error

    with pytest.raises(type(error)):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["g"]
    assert_same_graph(load_graph(tmp_path / "g"), make_graph())


def test_other_folders_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(InputError, match="refusing to overwrite a folder that holds no encoded graph"),
        graph_writer(tmp_path, small_header(), overwrite=True),
    ):
        pass
    with pytest.raises(InputError, match="already exists"), graph_writer(tmp_path, small_header()):
        pass


def feed(writer: GraphWriter, wrong: str) -> None:
    edges = np.zeros((2, 3), dtype=np.int64)
    if wrong == "width":
        writer.add_features("text", np.zeros((2, 3), dtype=np.float16), np.ones(2, dtype=bool))
    elif wrong == "attributes":
        writer.add_edges("r", edges, {})
    elif wrong == "length":
        writer.add_edges("r", edges, {"w": np.zeros(2, dtype=np.float32)})
    elif wrong == "lines":
        writer.add_edges("r", edges.T, {"w": np.zeros(2, dtype=np.float32)})
    writer.add_nodes(pa.array([5]), np.zeros(1, dtype=np.int64))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("width", r"features_0_text_values: expected a block \[2, 2\], got \[2, 3\]"),
        ("attributes", r"relation 'r': expected attributes \['w'\], got \[\]"),
        ("length", r"attribute 'w': expected 3 entries, got 2"),
        ("lines", r"relation_0_r: expected a block \[2, 2\], got \[3, 2\]"),
        ("rows", r"text features: expected 1 rows, got 0"),
    ],
)
def test_blocks_that_do_not_fit(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(ValueError, match=message), graph_writer(tmp_path / "g", small_header()) as writer:
        feed(writer, wrong)
    assert list(tmp_path.iterdir()) == []


def test_line_files_are_gone(tmp_path: Path) -> None:
    write_in_blocks(make_graph(), tmp_path / "g", 7)
    files = json.loads((tmp_path / "g" / "graph.json").read_text())["files"]
    assert {path.name for path in (tmp_path / "g").iterdir()} == {"graph.json", *files}
    assert not [name for name in files if "line" in name]
