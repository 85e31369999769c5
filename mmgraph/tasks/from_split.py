"""The task that a split makes: its validation and test rows become the question."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.errors import InputError, first_few
from mmgraph.splits.base import KEYS, TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.tasks.base import Task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask


def task_from_split(name: str, split: Split, *, label: str = "label", regression: bool = False) -> Task:
    """Make a task from a split; evaluate it on `message_graph(graph, split)`, which has nothing held out.

    - Nodes become a `NodeClassificationTask`: a column of lists makes it multi-label, other labels become strings.
      Nodes that are `unused` or have no label (null, NaN, or a list of nothing else) are left out. With `regression`
      they become a `NodeRegressionTask` of the numbers in that column; without it, numbers are classes.
    - Edges become a `LinkPredictionTask` of the validation and test rows. Repeats at other times are asked once. A
      column `negatives` makes them what targets are ranked against.
    - Interactions become a `RecommendationTask`: validation and test rows are asked, each pair once. Pairs that are
      `unused` only, fold-in items among them, are `seen`: the user knows them, so they are never recommended nor
      counted. Training pairs are masked because the graph has them.

    Args:
        name: Name of the task.
        split: The split, made by a splitter or read from a benchmark.
        label: Column of the labels; for a split of nodes.
        regression: The labels are numbers to be predicted as such; for a split of nodes.

    Raises:
        InputError: If nothing is held out, the labels are missing, or no finite numbers where these are asked for, the
            settings of a split of interactions do not say what it is about, or a split of edges moved relations apart.
    """
    if not (split.counts[VALID] or split.counts[TEST]):
        raise InputError(
            f"task {name!r}: the {split.where} has no rows in {VALID} or {TEST}, so there is nothing to ask"
        )
    if regression and split.kind != "node":
        raise InputError(f"task {name!r}: regression needs a split of nodes, got the {split.where}")
    make = {"node": _regression if regression else _classification, "edge": _links, "interaction": _recommendation}
    return make[split.kind](name, split, label)


def _labelled(name: str, split: Split, label: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """Rows that training may use or that are asked, and their labels."""
    table = split.part(TRAIN, VALID, TEST)
    if label not in table.column_names:
        others = [column for column in table.column_names if column not in ("id", "split")]
        raise InputError(
            f"task {name!r}: the {split.where} has no column of labels {label!r}; "
            f"its other columns: {first_few(others, 10) or '(none)'}"
        )
    return table, table[label]


def _regression(name: str, split: Split, label: str) -> NodeRegressionTask:
    table, values = _labelled(name, split, label)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        raise InputError(f"task {name!r}: expected numbers in column {label!r} of the {split.where}, got {values.type}")
    known = pc.invert(_missing(values))
    table, values = table.filter(known), values.filter(known)
    if not table.num_rows:
        raise InputError(f"task {name!r}: no node of the {split.where} has a value in column {label!r}")
    return NodeRegressionTask(name, pa.table({"id": table["id"], "value": values, "split": table["split"]}))


def _classification(name: str, split: Split, label: str) -> NodeClassificationTask:
    table, labels = _labelled(name, split, label)
    multi_label = pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type)
    if multi_label:
        labels = _without_missing(labels)
    known = pc.invert(_missing(labels))
    if multi_label:
        known = pc.fill_null(pc.greater(pc.list_value_length(labels), 0), False)
    table, labels = table.filter(known), labels.filter(known)
    if not table.num_rows:
        raise InputError(f"task {name!r}: no node of the {split.where} has a label in column {label!r}")
    labels = labels.cast(pa.list_(pa.string()) if multi_label else pa.string())
    return NodeClassificationTask(
        name, pa.table({"id": table["id"], "label": labels, "split": table["split"]}), multi_label=multi_label
    )


def _missing(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Which values are null or NaN, `[num_values]`, bool."""
    return pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))


def _without_missing(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists without the values in them that are null or NaN."""
    missing = _missing(pc.list_flatten(lists))
    if not pc.any(missing).as_py():
        return lists
    flags = iter(missing.to_pylist())
    kept = [None if some is None else [value for value in some if not next(flags)] for some in lists.to_pylist()]
    return pa.chunked_array([pa.array(kept, lists.type)])


def _links(name: str, split: Split, label: str) -> LinkPredictionTask:
    del label
    if split.settings.get("together", "pair") != "pair":
        raise InputError(
            f"task {name!r}: the {split.where} moved relations apart (together={split.settings['together']!r}), but "
            "link prediction by cosine knows no relations; split with together='pair'"
        )
    table = split.part(VALID, TEST)
    # Sorted by these columns, so repeats at other times follow each other; their negatives are the same.
    columns = [*KEYS["edge"], "split", *(["negatives"] if "negatives" in table.column_names else [])]
    return LinkPredictionTask(name, table.filter(_first_of_each(table, KEYS["edge"])).select(columns))


def _recommendation(name: str, split: Split, label: str) -> RecommendationTask:
    del label
    about = {key: split.settings.get(key) for key in ("relation", "user_type", "item_type")}
    unsaid = [key for key, value in about.items() if not isinstance(value, str)]
    if unsaid:
        raise InputError(
            f"task {name!r}: the settings of the {split.where} do not say {first_few(unsaid)}; "
            f"they hold: {first_few(sorted(split.settings), 10) or '(nothing)'}"
        )
    keys = KEYS["interaction"]
    # Of several rows of a pair the one counts that says most: known to training, then asked, then only seen.
    order = pc.index_in(split.table["split"], pa.array([TRAIN, VALID, TEST, UNUSED]))
    table = split.table.select([*keys, "split"]).append_column("order", order)
    table = table.sort_by([(key, "ascending") for key in (*keys, "order")])
    table = table.filter(_first_of_each(table, keys)).drop_columns(["order"])
    table = table.filter(pc.not_equal(table["split"], TRAIN))
    seen = pc.if_else(pc.equal(table["split"], UNUSED), "seen", table["split"])
    table = table.set_column(table.column_names.index("split"), "split", seen)
    return RecommendationTask(name, str(about["relation"]), str(about["user_type"]), str(about["item_type"]), table)


def _first_of_each(table: pa.Table, keys: tuple[str, ...]) -> pa.Array:
    """Which rows differ from the one before them in a table that is sorted by these columns, `[num_rows]`, bool."""
    new = np.zeros(max(table.num_rows - 1, 0), dtype=bool)
    for key in keys:
        new |= pc.not_equal(table[key].slice(1), table[key].slice(0, len(new))).to_numpy()
    return pa.array(np.append(True, new)[: table.num_rows])
