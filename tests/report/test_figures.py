from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, MissingExtraError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.report.figures import COLOURS, OTHER, plot_curves, plot_map

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _no_window():
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


def make_table(count: int = 60) -> EmbeddingTable:
    """Two far groups, `a` and `b`, in alternating rows."""
    random = np.random.default_rng(0)
    centres = np.where(np.arange(count)[:, None] % 2, 5.0, -5.0) * np.array([[1, -1, 1, -1]])
    vectors = torch.from_numpy((centres + random.normal(size=(count, 4))).astype(np.float32))
    ids = np.array([f"n{i}" for i in range(count)], dtype=object)
    columns = pa.table(
        {
            "group": ["ab"[i % 2] for i in range(count)],
            "year": pa.array([None if i % 10 == 0 else 1900 + i for i in range(count)]),
            "many": [f"c{i % 12}" for i in range(count)],
            "tags": [["x"]] * count,
        }
    )
    kinds = torch.tensor([0] * (count - 5) + [1] * 5)
    return EmbeddingTable(NodeIds(ids), vectors, ("item", "user"), kinds, "toy", "m", columns)


def drawn(ax) -> dict[str, np.ndarray]:
    return {layer.get_label().rsplit(" (", 1)[0]: np.asarray(layer.get_offsets()) for layer in ax.collections}


def test_groups_are_drawn_apart_and_counted() -> None:
    ax = plot_map(make_table(), "group")
    layers = drawn(ax)
    assert {name: len(points) for name, points in layers.items()} == {"a": 30, "b": 30}
    apart = np.linalg.norm(layers["a"].mean(axis=0) - layers["b"].mean(axis=0))
    assert apart > 2 * max(layers["a"].std(axis=0).max(), layers["b"].std(axis=0).max())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a (30)", "b (30)"]


def test_values_are_joined_by_id_whatever_their_order() -> None:
    table = make_table()
    labels = {node: "ab"[i % 2] for i, node in enumerate(table.node_ids.values.tolist())}
    backwards = dict(reversed(labels.items()))
    by_column, by_id = drawn(plot_map(table, "group")), drawn(plot_map(table, backwards))
    assert all(np.array_equal(by_column[name], by_id[name]) for name in by_column)
    few = drawn(plot_map(table, {"n0": "a", "n1": "b"}))
    assert {name: len(points) for name, points in few.items()} == {"a": 1, "b": 1, "none": 58}
    with pytest.raises(InputError, match="'nobody'"):
        plot_map(table, {"nobody": "a"})


def test_type_is_the_default_and_rare_values_share_a_colour() -> None:
    assert {name: len(p) for name, p in drawn(plot_map(make_table())).items()} == {"item": 55, "user": 5}
    ax = plot_map(make_table(), "many")
    assert len(drawn(ax)) == len(COLOURS)
    assert len(drawn(ax)["5 others"]) == 25
    greys = [layer for layer in ax.collections if layer.get_label().startswith("5 others")]
    assert matplotlib.colors.to_hex(greys[0].get_facecolor()[0]) == OTHER


def test_numbers_get_a_scale_without_the_absent() -> None:
    ax = plot_map(make_table(), "year")
    absent, present = ax.collections
    assert len(absent.get_offsets()) == 6
    assert present.get_array().tolist() == [1900 + i for i in range(60) if i % 10]
    assert len(ax.figure.axes) == 2


def test_a_sample_is_the_same_twice_and_fits_into_given_axes() -> None:
    axes = matplotlib.pyplot.subplots(1, 2)[1]
    first, second = (drawn(plot_map(make_table(), "group", limit=20, seed=3, ax=ax)) for ax in axes)
    assert sum(map(len, first.values())) == 20
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_wrong_questions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown column 'yaer'; choose from: year"):
        plot_map(make_table(), "yaer")
    with pytest.raises(InputError, match="expected one value per node"):
        plot_map(make_table(), "tags")
    with pytest.raises(InputError, match="limit must be at least 1"):
        plot_map(make_table(), limit=0)
    with pytest.raises(InputError, match="is .* a run folder"):
        plot_curves(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match="nothing was logged"):
        plot_curves(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        plot_curves(tmp_path)


def test_curves_have_a_panel_per_objective_and_a_line_per_graph(tmp_path: Path) -> None:
    lines = [
        {
            "step": i,
            "loss": 3.0 - i,
            "lr": 0.1,
            "domain/a/links": 1.0 * i,
            "domain/b/links": 2.0 * i,
            "domain/a/load": [1],
        }
        for i in range(3)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    loss, links = plot_curves(tmp_path)
    assert [ax.get_title() for ax in (loss, links)] == ["loss", "links"]
    faint = [line for line in links.get_lines() if line.get_alpha()]
    assert [line.get_ydata().tolist() for line in faint] == [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]]
    assert faint[0].get_xdata().tolist() == [1, 2, 3]
    assert [text.get_text() for text in links.get_legend().get_texts()] == ["a", "b"]


def test_fine_tuning_shows_the_valid_metrics(tmp_path: Path) -> None:
    (tmp_path / "finetune.json").write_text("{}")
    looks = [{"step": 10 * i, "score": [0.1 * i], "metrics": {"mrr": 0.1 * i, "hits@10": 0.2}} for i in range(3)]
    (tmp_path / "validation.json").write_text(json.dumps(looks))
    axes = plot_curves(tmp_path)
    assert [ax.get_title() for ax in axes] == ["valid mrr", "valid hits@10"]
    assert axes[0].get_lines()[0].get_xdata().tolist() == [0, 10, 20]
