"""The audit finds every planted leak, names it rightly, and is silent on clean folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmgraph.audit.dataset import audit_dataset
from mmgraph.audit.findings import CHECKS
from mmgraph.cli.main import main
from mmgraph.data.store import save_graph
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.errors import InputError
from mmgraph.formats.tables import read_tables
from mmgraph.splits.base import Split
from mmgraph.splits.interactions import split_cold_items
from mmgraph.splits.message import message_graph
from mmgraph.tasks.base import save_tasks
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.testing.encoders import FakeTextEncoder

from .conftest import Planted


def found(folder: Path) -> dict[str, int]:
    """Number of things found by check."""
    counts: dict[str, int] = {}
    for finding in audit_dataset(folder).findings:
        counts[finding.check] = counts.get(finding.check, 0) + finding.count
        assert "\n" not in str(finding)
    return counts


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the rows of a table on disk, as a script of somebody's would."""
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


@pytest.mark.parametrize("cold", [False, True])
def test_a_clean_folder_has_no_findings(planted: Planted, cold: bool) -> None:
    if cold:
        planted.cold()
    report = audit_dataset(planted.write())
    assert report.findings == ()
    assert set(report.checks) == set(CHECKS) - {"canary"}
    assert "split 'links'" in report.audited


def test_a_held_out_edge(planted: Planted) -> None:
    row = planted.asked("links")
    planted.add_edge(row["relation"], row["source"], row["target"])
    folder = planted.write()
    # The split lists the row of the reverse relation too, and the edge tells that one as well.
    assert found(folder) == {"edge-in-graph": 1, "reverse-relation-in-graph": 1}
    finding = audit_dataset(folder).findings[0]
    assert finding.where == "split 'links', tables"
    assert f"'{row['source']} - {row['target']}'" in finding.detail


def test_a_held_out_edge_turned_round(planted: Planted) -> None:
    row = planted.asked("links")
    planted.add_edge(row["relation"], row["target"], row["source"])
    assert found(planted.write()) == {"reversed-edge-in-graph": 1, "reverse-relation-in-graph": 1}


@pytest.mark.parametrize("turned", [False, True])
def test_the_declared_reverse_relation(planted: Planted, turned: bool) -> None:
    rows = [r for r in planted.splits["links"].part("test").to_pylist() if r["relation"] == "cites"]
    ends = (rows[0]["source"], rows[0]["target"])
    planted.add_edge("cited_by", *(ends if turned else ends[::-1]))
    counts = found(planted.write())
    # The split lists the reverse rows as well: to them the same edge is their own relation.
    assert counts.pop("reverse-relation-in-graph") == 1
    assert counts == {"reversed-edge-in-graph" if turned else "edge-in-graph": 1}


def test_another_relation_between_the_same_nodes(planted: Planted) -> None:
    row = planted.asked("links")
    planted.add_edge("near", *sorted((row["source"], row["target"])))
    assert found(planted.write())["pair-in-other-relation"] >= 1


def test_a_pair_in_two_parts(planted: Planted) -> None:
    table = planted.splits["links"].table
    row = planted.asked("links")
    twin = {"source": row["target"], "target": row["source"], "relation": row["relation"], "split": "valid"}
    rows = pa.concat_tables([table, pa.Table.from_pylist([twin], schema=table.schema)])
    planted.splits["links"] = Split("edge", rows, "random", planted.splits["links"].settings)
    assert found(planted.write()) == {"pair-in-two-parts": 1}


def test_a_node_in_two_parts(planted: Planted) -> None:
    folder = planted.write()
    path = folder / "tasks" / "topic" / "labels.parquet"
    rewrite(path, lambda rows: [*rows, {**rows[0], "split": "test" if rows[0]["split"] == "train" else "train"}])
    counts = found(folder)
    assert counts["id-in-two-parts"] == 1
    assert counts["changed-file"] == 1  # nobody recomputed the digest


def test_a_query_in_two_parts(planted: Planted) -> None:
    folder = planted.write()
    rewrite(
        folder / "tasks" / "queries" / "queries.parquet",
        lambda rows: [*rows, {**rows[0], "id": "i39", "split": "valid"}],
    )
    assert found(folder)["id-in-two-parts"] == 1


def sides(planted: Planted) -> tuple[str, str]:
    """A training node and a test node."""
    return tuple(next(r["id"] for r in planted.labels if r["split"] == part) for part in ("train", "test"))  # type: ignore[return-value]


def test_the_same_text_on_both_sides(planted: Planted) -> None:
    train, test = sides(planted)
    planted.set_content("text", train, "A red  Shoe")
    planted.set_content("text", test, "a red shoe\n")
    assert found(planted.write()) == {"same-text-in-two-parts": 1}


def test_the_same_image_on_both_sides(planted: Planted) -> None:
    train, test = sides(planted)
    copy = planted.folder / "drawn" / "copy.png"
    copy.write_bytes(planted.graph.content["image"][int(planted.graph.node_ids.positions([train])[0])].read_bytes())
    planted.set_content("image", test, copy)
    assert found(planted.write()) == {"same-image-in-two-parts": 1}


def test_copies_of_new_items(planted: Planted) -> None:
    split = split_cold_items(planted.whole, "buys", shares={"train": 0.6, "valid": 0.2, "test": 0.2})
    planted.splits, planted.graph = {"new": split}, message_graph(planted.whole, split)
    train, test = (split.part(part)["item"][0].as_py() for part in ("train", "test"))
    planted.labels = planted.labels[:2]
    planted.set_content("text", train, "a red shoe")
    planted.set_content("text", test, "A red shoe")
    assert found(planted.write()) == {"same-text-in-two-parts": 1}


def test_a_query_that_is_the_text_of_its_node(planted: Planted) -> None:
    planted.queries[3]["query"] = "Item  NUMBER 3"
    assert found(planted.write()) == {"query-in-graph": 1}


def test_features_that_are_declared_to_come_from_the_test(planted: Planted) -> None:
    folder = planted.write()
    digest = planted.splits["future"].digest
    good = {"popularity": {"parts": ["train"], "split": "future"}, "mean_price": {"parts": ["train"], "split": digest}}
    (folder / "derived.json").write_text(json.dumps(good))
    assert found(folder) == {}
    bad = {"popularity": {"parts": ["train", "test"]}, "mean_price": {"parts": ["train"], "split": "older"}}
    (folder / "derived.json").write_text(json.dumps(bad))
    assert found(folder) == {"features-from-held-out": 2}
    for wrong in ([], {"a": {}}, {"a": {"parts": ["trian"]}}):
        (folder / "derived.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"derived\.json.*: expected "):
            audit_dataset(folder)


@pytest.mark.parametrize("honest", [True, False])
def test_a_column_that_counts_held_out_edges(planted: Planted, honest: bool) -> None:
    edges = (planted.graph if honest else planted.whole).relations["buys"].edge_index[1]
    counts = [int((edges == k).sum()) for k in range(40)] + [None] * 20
    from dataclasses import replace

    assert planted.graph.columns is not None
    planted.graph = replace(planted.graph, columns=planted.graph.columns.append_column("sold", pa.array(counts)))
    assert found(planted.write()) == ({} if honest else {"column-counts-held-out": 1})


def test_the_future_in_training(planted: Planted) -> None:
    split = planted.splits["future"]
    late = max(split.part("test")["time"].to_pylist())
    train = split.part("train").to_pylist()[0]
    rows = [{**r, "time": late + 1} if r == train else r for r in split.table.to_pylist()]
    planted.splits["future"] = Split(
        "edge", pa.Table.from_pylist(rows, schema=split.table.schema), "time", split.settings
    )
    assert found(planted.write()) == {"future-in-training": 1}


def test_a_late_edge_in_the_graph(planted: Planted) -> None:
    known = {(r["source"], r["target"]) for r in planted.splits["future"].table.to_pylist()}
    user, item = next(
        (f"u{u:02d}", f"i{i:02d}") for u in range(20) for i in range(40) if (f"u{u:02d}", f"i{i:02d}") not in known
    )
    planted.add_edge("buys", user, item, time=10**6)
    assert found(planted.write()) == {"future-in-training": 1}


def test_a_new_node_that_is_not_new(planted: Planted) -> None:
    planted.cold()
    split = planted.splits["links"]
    rows = split.part("test").to_pylist()
    warm = {r[side] for r in split.part("train").to_pylist() for side in ("source", "target")}
    new = next(r[side] for r in rows for side in ("source", "target") if r[side] not in warm)
    partners = {
        r[side] for r in split.table.to_pylist() for side in ("source", "target") if new in (r["source"], r["target"])
    }
    planted.add_edge("cites", new, next(node for node in sorted(warm) if node not in partners))
    assert found(planted.write())["new-node-with-edges"] >= 1


def test_a_negative_that_is_a_positive(planted: Planted) -> None:
    split = planted.splits["links"]
    rows = split.table.to_pylist()
    for row in rows:
        known = {r[b] for r in rows for a, b in (("source", "target"), ("target", "source")) if r[a] == row["source"]}
        free = [f"i{k:02d}" for k in range(40) if f"i{k:02d}" not in known | {row["source"]}]
        row["negatives"] = free[-3:] if row["split"] in ("valid", "test") else None
    near = planted.graph.relations["near"].edge_index.T.tolist()
    linked = {frozenset((f"i{a:02d}", f"i{b:02d}")) for a, b in near}
    for row in rows:
        if row["negatives"]:
            row["negatives"] = [n for n in row["negatives"] if frozenset((row["source"], n)) not in linked]
    schema = split.table.schema.append(pa.field("negatives", pa.list_(pa.string())))

    def planted_with(changed: list[dict[str, Any]]) -> Split:
        return Split("edge", pa.Table.from_pylist(changed, schema=schema), "random", split.settings)

    planted.splits["links"] = planted_with(rows)
    folder = planted.write()
    assert found(folder) == {}
    asked = next(row for row in rows if row["negatives"])
    asked["negatives"] = [*asked["negatives"], asked["target"], asked["source"]]
    planted_with(rows).save(folder / "splits" / "links", overwrite=True)
    assert found(folder) == {"negative-is-positive": 2}


def test_a_split_that_was_edited(planted: Planted) -> None:
    folder = planted.write()
    rewrite(folder / "splits" / "links" / "split.parquet", lambda rows: rows[1:])
    counts = found(folder)
    assert counts.pop("changed-file") == 1


def test_ids_that_are_no_nodes(planted: Planted) -> None:
    split = planted.splits["links"]
    rows = [{**r, "target": "gone"} if r == planted.asked("links") else r for r in split.table.to_pylist()]
    planted.splits["links"] = Split(
        "edge", pa.Table.from_pylist(rows, schema=split.table.schema), "random", split.settings
    )
    assert found(planted.write())["unknown-id"] == 1


def test_an_encoded_graph_from_before_the_split(planted: Planted) -> None:
    folder = planted.write()
    encoded, _ = encode_graph(planted.whole, {"text": FakeTextEncoder()}, cache=False, progress=False)
    save_graph(encoded, folder / "encoded")
    report = audit_dataset(folder)
    assert {(f.check, f.where.split(", ")[1]) for f in report.findings} == {
        ("edge-in-graph", "encoded"),
        ("future-in-training", "encoded"),
    }


def test_folders_that_cannot_be_audited(tmp_path: Path, planted: Planted) -> None:
    with pytest.raises(InputError, match="expected a dataset folder, found nothing"):
        audit_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"expected nodes\.\* or encoded/, found neither"):
        audit_dataset(tmp_path / "drawn")
    folder = planted.write()
    import shutil

    shutil.rmtree(folder / "splits")
    shutil.rmtree(folder / "tasks")
    with pytest.raises(InputError, match="expected tasks/ or splits/ to audit, found neither"):
        audit_dataset(folder)


def test_the_command_says_so_by_its_exit_code(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    folder = planted.write()
    assert read_tables(folder).num_nodes == 60
    assert main(["audit-split", "--graph", str(folder), "--no-canary"]) == 0
    assert "0 leaks in 16 checks" in capsys.readouterr().out
    rewrite(
        folder / "tasks" / "topic" / "labels.parquet",
        lambda rows: [*rows, {**rows[0], "split": "test"}, {**rows[0], "split": "valid"}],
    )
    out = folder.parent / "audit.json"
    assert main(["audit-split", "--graph", str(folder), "--no-canary", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "leak: id-in-two-parts: task 'topic': 1 nodes lie in two parts, for example " in printed
    assert len(json.loads(out.read_text())["findings"]) == 2
    assert main(["audit-split", "--graph", str(folder / "nowhere")]) == 2


def test_values_of_nodes_are_audited_as_labels_are(planted: Planted) -> None:
    folder = planted.write()
    rows = [row | {"value": float(number)} for number, row in enumerate(planted.labels)]
    save_tasks([NodeRegressionTask("price", pa.Table.from_pylist(rows))], folder)
    report = audit_dataset(folder)
    assert "task 'price'" in report.audited
    assert report.findings == ()
    path = folder / "tasks" / "price" / "values.parquet"
    other = {"train": "test", "valid": "test", "test": "train"}[rows[0]["split"]]
    rewrite(path, lambda before: [*before, before[0] | {"split": other}])
    assert found(folder) == {"changed-file": 1, "id-in-two-parts": 1}
