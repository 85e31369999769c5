"""From a relation, and a split of it, to files of interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmgraph.errors import first_few
from mmgraph.formats.limits import Limits
from mmgraph.formats.recbole.atomic_out import field_type
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes_out import AnyGraph
from mmgraph.splits.base import TEST, TRAIN, VALID, Split

_NO_NUMBERS = (torch.bool, torch.bfloat16)
"""Types of attributes that are no numbers of numpy."""


def interaction_tables(
    limits: Limits, graph: AnyGraph, names: RecBoleNames, tokens: np.ndarray, split: Split | None
) -> dict[str, pa.Table]:
    """Fields of `.inter`, or of one file for each part of a split, by ending of the file.

    Raises:
        InputError: If a row, a time or another attribute would be lost.
    """
    relation = graph.relations[names.relation]
    single = {key: values for key, values in relation.attributes.items() if values.dim() == 1}
    attributes: dict[str, Any] = {key: v.numpy(force=True) for key, v in single.items() if v.dtype not in _NO_NUMBERS}
    others = (f"{k} {v.dtype} {list(v.shape)}" for k, v in relation.attributes.items() if k not in attributes)
    limits.leave_out(graph.name, "attributes", (f"edge attribute {told}" for told in others))
    if split is None:
        user, item = (tokens[end] for end in relation.edge_index.numpy(force=True))
        return {"inter": _table(limits, graph, names, user, item, attributes)}

    numbers = [field.name for field in split.table.schema if field_type(field.type) == "float"]
    limits.rows(graph.name, split, numbers, unused=False)
    _check_split(limits, graph, split, names)
    table = split.part(TRAIN, VALID, TEST)
    ends = np.stack([graph.node_ids.positions(table[side], where=split.where) for side in ("user", "item")])
    found = {name: table[name].to_numpy() for name in numbers}
    found |= _attributes_of(limits, graph, names, split, ends, {n: v for n, v in attributes.items() if n not in found})
    parts = np.asarray(table["split"].to_pylist(), dtype=object)
    return {
        f"{part}.inter": _table(
            limits,
            graph,
            names,
            tokens[ends[0, parts == part]],
            tokens[ends[1, parts == part]],
            {name: values[parts == part] for name, values in found.items()},
        )
        for part in (TRAIN, VALID, TEST)
    }


def _check_split(limits: Limits, graph: AnyGraph, split: Split, names: RecBoleNames) -> None:
    for key, expected in {"relation": names.relation, "user_type": names.user_type}.items():
        if split.settings.get(key) != expected:
            told = split.settings.get(key)
            raise limits.refuse(graph.name, f"the {split.where} must be about {key} {expected!r}, got {told!r}")


def _attributes_of(
    limits: Limits,
    graph: AnyGraph,
    names: RecBoleNames,
    split: Split,
    ends: np.ndarray,
    wanted: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Attributes that the split does not have, from the edges that the graph has.

    Raises:
        InputError: If the graph has edges that are in no row, or there are attributes, which may not be left out, and it
            lacks an edge and with it its attributes, or has several for a row.
    """
    source, target = graph.relations[names.relation].edge_index.numpy(force=True)
    edge = source * graph.num_nodes + target
    everything = [graph.node_ids.positions(split.table[side], where=split.where) for side in ("user", "item")]
    strange = np.flatnonzero(~np.isin(edge, everything[0] * graph.num_nodes + everything[1]))
    if len(strange):
        pair = tuple(graph.node_ids.values[[source[strange[0]], target[strange[0]]]].tolist())
        raise limits.refuse(
            graph.name, f"{len(strange):,} of its edges are in no row of the {split.where}, for example {pair}"
        )
    if not wanted:
        return {}
    row = ends[0] * graph.num_nodes + ends[1]
    known, first = np.unique(edge, return_index=True)
    place = np.searchsorted(known, row).clip(max=max(len(known) - 1, 0))
    lost = np.ones(len(row), dtype=bool) if not len(known) else known[place] != row
    several = len(known) < len(edge) or len(np.unique(row)) < len(row)
    if lost.any() or several:
        if "attributes" in limits.without:
            return {}
        how = "several edges join a pair" if several else f"the graph lacks the edges of {int(lost.sum()):,} rows"
        raise limits.refuse(
            graph.name,
            f"the edges have {first_few(sorted(wanted))}, the rows of the {split.where} have not, and {how}; give a split "
            "with these columns, or leave them out with without=['attributes']",
        )
    return {name: values[first[place]] for name, values in wanted.items()}


def _table(
    limits: Limits,
    graph: AnyGraph,
    names: RecBoleNames,
    user: np.ndarray,
    item: np.ndarray,
    attributes: dict[str, np.ndarray],
) -> pa.Table:
    fields: dict[str, Any] = {names.user_id: pa.array(user, pa.string()), names.item_id: pa.array(item, pa.string())}
    for name, values in attributes.items():
        field = names.field(name)
        if field in fields:
            raise limits.refuse(graph.name, f"two edge attributes would become the field {field!r}")
        fields[field] = pa.array(values)
    return pa.table(fields)
