"""Which flags of `mmgraph split` belong to which method, and the splitter that they make."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa

from mmgraph.errors import InputError, unknown_choice

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from mmgraph.splits.base import Split
    from mmgraph.splits.edge_rows import AnyGraph


class _Method(NamedTuple):
    """A splitter and the flags that it understands, by the name of its parameter."""

    module: str
    function: str
    flags: Mapping[str, str]


_SHARES, _SEED, _TIME = {"shares": "shares"}, {"seed": "seed"}, {"time": "attribute"}
_EDGES = {"relations": "relations"} | _SHARES | _TIME
_PAIRS = {"relation": "relation", "user_type": "user_type"} | _TIME

METHODS: dict[str, dict[str, _Method]] = {
    "edges": {
        "random": _Method("edges", "split_edges_random", _EDGES | _SEED),
        "time": _Method("edges", "split_edges_by_time", _EDGES),
        "cold-node": _Method("edges", "split_edges_cold_nodes", _EDGES | _SEED | {"node_type": "node_type"}),
        "relation": _Method("edges", "split_edges_by_relation", {"parts": "parts"} | _TIME),
    },
    "nodes": {
        "random": _Method("nodes", "split_nodes_random", _SHARES | _SEED),
        "stratified": _Method("nodes", "split_nodes_stratified", _SHARES | _SEED),
        "few-shot": _Method(
            "nodes",
            "split_nodes_few_shot",
            {name: name for name in ("train_per_label", "valid_per_label", "small_labels")} | _SEED,
        ),
        "time": _Method("nodes", "split_nodes_by_time", _SHARES | {"time": "column"}),
    },
    "interactions": {
        "leave-last-out": _Method("interactions", "split_leave_last_out", _PAIRS | _SEED),
        "time": _Method("interactions", "split_interactions_by_time", _PAIRS | _SHARES),
        "cold-item": _Method("interactions", "split_cold_items", _PAIRS | _SHARES | _SEED),
        "cold-user": _Method("interactions", "split_cold_users", _PAIRS | _SHARES | _SEED | {"fold_in": "fold_in"}),
    },
}
"""Splitters by what is split and how."""

_BESIDES: dict[str, tuple[str, ...]] = {
    "edges": ("negatives", "seed"),
    "nodes": ("labels", "regression", "no_content_groups", "ignore_texts"),
    "interactions": (),
}
"""Flags that every method of a kind understands, but no splitter."""

_OPTIONS = sorted(
    {flag for methods in METHODS.values() for method in methods.values() for flag in method.flags}
    | {flag for flags in _BESIDES.values() for flag in flags}
)


def chosen_method(args: Namespace) -> tuple[str, str]:
    """What is split and how, with the flags checked that can be checked before the graph is read.

    Raises:
        InputError: If none or several of `--edges`, `--nodes` and `--interactions` are given, a flag is given that the
            method does not use, or one is missing that it needs.
    """
    given = {kind: getattr(args, kind) for kind in METHODS if getattr(args, kind) is not None}
    if len(given) != 1:
        found = " and ".join(f"--{kind}" for kind in given) or "none"
        raise InputError(f"expected one of --edges, --nodes and --interactions, got {found}; see: mmgraph split --help")
    kind, method = next(iter(given.items()))
    used = {*METHODS[kind][method].flags, *_BESIDES[kind]}
    if kind == "edges" and args.negatives is None and "seed" not in METHODS[kind][method].flags:
        used.discard("seed")
    for option in _OPTIONS:
        if getattr(args, option) not in (None, False) and option not in used:
            raise InputError(f"{_flag(option)} means nothing to --{kind} {method}, which uses: {_list(used)}")
    if args.regression and method in ("stratified", "few-shot"):
        raise InputError(
            f"--nodes {method} is about classes, and --regression about numbers; use --nodes random or time"
        )
    needed = {
        "nodes": ("labels",) + (("train_per_label", "valid_per_label") if method == "few-shot" else ()),
        "interactions": ("relation",),
        "edges": ("parts",) if method == "relation" else (),
    }[kind]
    for option in needed:
        if getattr(args, option) is None:
            raise InputError(f"--{kind} {method} needs {_flag(option)}; see: mmgraph split --help")
    return kind, method


def make_splitter(args: Namespace, kind: str, method: str) -> Callable[[AnyGraph], Split]:
    """The function that splits a graph as the flags say."""
    chosen = METHODS[kind][method]
    function = getattr(importlib.import_module(f"mmgraph.splits.{chosen.module}"), chosen.function)
    told = {name: getattr(args, flag) for flag, name in chosen.flags.items() if getattr(args, flag) is not None}
    if "shares" in told:
        told["shares"] = _shares(told["shares"])
    if "parts" in told:
        told["parts"] = _parts(told["parts"])

    def split(graph: AnyGraph) -> Split:
        if kind == "nodes":
            nodes = _labelled_nodes(args, graph, time=args.time or "time" if method == "time" else None)
            return cast("Split", function(nodes, groups=_content_groups(args, graph), **told))
        if method == "cold-item":  # a copy of a known item is not new
            told["groups"] = _content_groups(args, graph)
        made = cast("Split", function(graph, **told))
        if kind == "edges" and args.negatives is not None:
            from mmgraph.splits.negatives import sample_negatives

            made = sample_negatives(graph, made, args.negatives, seed=args.seed or 0)
        return made

    return split


def default_name(args: Namespace, kind: str) -> str:
    """Name of the split and its task: `links`, `recommend`, or that of the column of labels."""
    if kind == "nodes":
        return label_file(args)[1]
    return {"edges": "links", "interactions": "recommend"}[kind]


def label_file(args: Namespace) -> tuple[Path, str]:
    """File and column of `--labels`; a file is looked for in the folder of the graph first."""
    file, _, column = args.labels.rpartition(":")
    inside = args.graph / (file or "labels.parquet")
    return inside if inside.is_file() or not Path(file).is_file() else Path(file), column


def _labelled_nodes(args: Namespace, graph: AnyGraph, *, time: str | None) -> pa.Table:
    """Columns `id`, `label` and, if asked for, the time, from the file of labels or from the nodes of the graph."""
    from mmgraph.formats.tables.label_file import read_labels

    path, column = label_file(args)
    others = () if time is None else (time,)
    table = read_labels(path, column, graph.node_ids, others=others, numbers=args.regression)
    if time is None or time in table.column_names:
        return table
    if graph.columns is None or time not in graph.columns.column_names:
        raise InputError(f"--time {time}: neither {path} nor the nodes of graph {graph.name!r} have a column {time!r}")
    rows = graph.node_ids.positions(table["id"], where=str(path))
    return table.append_column(time, graph.columns[time].take(pa.array(rows)))


def _content_groups(args: Namespace, graph: AnyGraph) -> dict[Any, Any] | None:
    from mmgraph.data.raw import RawGraph
    from mmgraph.splits.content import content_groups

    if args.no_content_groups or not isinstance(graph, RawGraph):  # an encoded graph has no content any more
        return None
    return content_groups(graph, ignore=args.ignore_texts or ())


def _shares(values: list[float]) -> dict[str, float]:
    if len(values) != 3:
        raise InputError(f"--shares: expected three numbers, those of train, valid and test, got {len(values)}")
    if not math.isclose(sum(values), 1.0, abs_tol=1e-6):
        raise InputError(f"--shares: expected three numbers that add up to 1, got {' '.join(map(str, values))}")
    return dict(zip(("train", "valid", "test"), values, strict=True))


def _parts(pairs: list[str]) -> dict[str, str]:
    parts: dict[str, str] = {}
    for pair in pairs:
        name, _, part = pair.rpartition("=")
        if not name or name in parts:
            raise InputError(f"--parts: expected relation=part, each relation once, got {pair!r}")
        if part not in ("train", "valid", "test", "unused"):
            raise unknown_choice(f"part in --parts {pair}", part, ("train", "valid", "test", "unused"))
        parts[name] = part
    return parts


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _list(options: set[str]) -> str:
    return ", ".join(_flag(option) for option in sorted(options))
