"""What is in a graph of tables, and what is wrong with it: as text, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.data.raw import RawGraph
from mmgraph.data.statistics import GraphStatistics, Spread, graph_statistics
from mmgraph.files import atomic_path
from mmgraph.formats.tables import ImportedTables
from mmgraph.formats.tables.defects import KINDS
from mmgraph.formats.tables.mapping import TablesMapping
from mmgraph.report.page import render

Row = list[object]


@dataclass(frozen=True)
class DataReport:
    """A look at a graph before anything is trained on it.

    Attributes:
        statistics: Counts and spreads.
        tables: How each table was understood: file, what it holds, its columns.
        labels: By column of labels, how many nodes have one, the number of classes, and the largest class.
        image_size: Spread of width, height and megapixels of the images that were looked at.
        defects: Number of defects by kind.
        defect_lines: One line per kind of defect and file.
        notes: Further remarks.
    """

    statistics: GraphStatistics
    tables: tuple[tuple[str, str, str], ...] = ()
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    image_size: dict[str, Spread] = field(default_factory=dict)
    defects: dict[str, int] = field(default_factory=dict)
    defect_lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def report_on_import(found: ImportedTables) -> DataReport:
    """Report on tables that were just read."""
    notes = ["Pillow is not installed: images were not looked into"] if found.images_unchecked else []
    odd = odd_ids(found.raw)
    if odd:
        notes.append(f"{odd:,} ids hold slashes, line breaks or other control characters; they are kept as they are")
    return DataReport(
        statistics=graph_statistics(found.raw),
        tables=understood(found.mapping),
        labels={} if found.labels is None else describe_labels(found.labels),
        image_size=describe_sizes(found.image_sizes),
        defects=found.defects.by_kind(),
        defect_lines=tuple(found.defects.lines()),
        notes=tuple(notes),
    )


def odd_ids(raw: RawGraph) -> int:
    """Number of ids that would not do as the name of a file."""
    if raw.node_ids.values.dtype != object:
        return 0
    import pyarrow.compute as pc

    return int(pc.sum(pc.match_substring_regex(raw.node_ids.arrow, r"[/\\]|\pC")).as_py() or 0)


def describe_labels(labels: pa.Table) -> dict[str, dict[str, Any]]:
    """By column, how many nodes have a label, the number of classes, and the largest class."""
    import pyarrow.compute as pc

    found = {}
    for name in labels.column_names[1:]:
        column = labels[name]
        values = pc.list_flatten(column) if pa.types.is_list(column.type) else column.drop_null()
        counts = sorted(values.value_counts().to_pylist(), key=lambda entry: (-entry["counts"], str(entry["values"])))
        found[name] = {
            "labelled": len(column) - column.null_count,
            "classes": len(counts),
            "largest": f"{counts[0]['values']} ({counts[0]['counts']:,})" if counts else "",
        }
    return found


def describe_sizes(sizes: Sequence[tuple[int, int]]) -> dict[str, Spread]:
    """Spread of width, height and megapixels."""
    if not sizes:
        return {}
    width, height = np.asarray(sizes, dtype=np.float64).T
    return {
        "width": Spread.of(width),
        "height": Spread.of(height),
        "megapixels": Spread.of(width * height / 1e6),
    }


def understood(mapping: TablesMapping) -> tuple[tuple[str, str, str], ...]:
    """File, what it holds, and which column says what, for every table of a mapping."""
    rows = []
    for table in mapping.nodes:
        kind = f"types in {table.type_column}" if table.type_column else table.type or "node"
        roles = [f"{column} = {role}" for column, role in table.roles.items()]
        roles += [f"images in {table.image_folder}/"] if table.image_folder else []
        roles += [f"ids with {table.prefix!r} before them"] if table.prefix else []
        rows.append((table.file, f"nodes: {kind}", ", ".join(roles)))
    for edge in mapping.edges:
        kind = f"relations in {edge.relation_column}" if edge.relation_column else edge.relation or "edge"
        rows.append((edge.file, f"edges: {kind}", ", ".join(f"{c} = {role}" for c, role in edge.roles.items())))
    for table_ in mapping.interactions:
        roles = [f"{column} = {role}" for column, role in table_.roles.items()]
        rows.append((table_.file, f"interactions: {table_.relation}", ", ".join(roles)))
    return tuple(rows)


def text_tables(report: DataReport) -> Iterable[tuple[str, list[str], list[Row]]]:
    """Title, columns and rows of the report's tables, for the terminal."""
    statistics = report.statistics
    if report.tables:
        yield "tables", ["file", "holds", "columns"], [list(row) for row in report.tables]
    yield (
        "nodes",
        ["type", "nodes", "isolated", "degree: median", "p99", "largest"],
        [
            [kind, row["nodes"], row["isolated"], *(round(row["degree"][key]) for key in ("median", "p99", "maximum"))]
            for kind, row in statistics.node_types.items()
        ],
    )
    yield (
        "relations",
        ["relation", "from", "to", "edges", "repeated", "self-loops", "attributes"],
        [
            [
                *(name, row["source"], row["target"], row["edges"], row["repeated"], row["self_loops"]),
                ", ".join([*row["attributes"], *(["symmetric"] if row["symmetric"] else [])]),
            ]
            for name, row in statistics.relations.items()
        ],
    )
    found = statistics.components
    yield "components", ["components", "nodes of the largest", "single nodes"], [list(found.values())]
    if statistics.modalities:
        yield (
            "modalities",
            ["modality", "present", "missing"],
            [[name, row["present"], row["missing"]] for name, row in statistics.modalities.items()],
        )
    for name, row in statistics.text.items():
        spread = [round(row["words"][key]) for key in ("median", "p90", "p99", "maximum")]
        yield f"words per {name}", ["median", "p90", "p99", "longest", "same as another"], [[*spread, row["repeated"]]]
    if report.image_size:
        yield (
            "images",
            ["", "smallest", "median", "largest"],
            [
                [name, *(value if name == "megapixels" else round(value) for value in (s.minimum, s.median, s.maximum))]
                for name, s in report.image_size.items()
            ],
        )
    if report.labels:
        yield (
            "labels, kept apart from the graph",
            ["column", "labelled nodes", "classes", "largest class"],
            [[name, *row.values()] for name, row in report.labels.items()],
        )
    if report.defects:
        yield "set aside", ["what", "number"], [[KINDS[kind], count] for kind, count in report.defects.items()]


def write_data_report(report: DataReport, path: Path | str) -> Path:
    """Write the report as one self-contained page."""
    page = render("data_report.html", {"report": report, "statistics": report.statistics, "kinds": KINDS})
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)
