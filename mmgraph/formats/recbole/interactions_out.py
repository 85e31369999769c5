"""From a relation, and a split of it, to files of interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.errors import InputError, first_few
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes_out import AnyGraph
from mmgraph.splits.base import TEST, TRAIN, UNUSED, VALID, Split


def interaction_tables(
    graph: AnyGraph, names: RecBoleNames, tokens: np.ndarray, split: Split | None, *, drop_unused: bool
) -> dict[str, pa.Table]:
    """Fields of `.inter`, or of one file for each part of a split, by ending of the file.

    Raises:
        InputError: If a row, a time or another attribute would be lost.
    """
    relation = graph.relations[names.relation]
    where = f"graph {graph.name!r}, relation {names.relation!r}"
    attributes: dict[str, Any] = {}
    for name, values in relation.attributes.items():
        if values.dim() != 1:
            raise InputError(f"{where}: RecBole holds one number per edge, got {name!r} {list(values.shape)}")
        attributes[name] = values.numpy(force=True)
    if split is None:
        user, item = (tokens[end] for end in relation.edge_index.numpy(force=True))
        return {"inter": _table(names, user, item, attributes)}

    _check_split(split, names, drop_unused=drop_unused)
    table = split.part(TRAIN, VALID, TEST)
    ends = np.stack([graph.node_ids.positions(table[side], where=split.where) for side in ("user", "item")])
    found = {
        name: table[name].to_numpy() for name in table.column_names if name not in ("user", "item", "split", "fold_in")
    }
    strings = [name for name, values in found.items() if values.dtype.kind not in "iuf"]
    if strings:
        raise InputError(f"{split.where}: edges carry numbers only, got the columns {first_few(strings)}")
    found |= _attributes_of(graph, names, split, ends, {n: v for n, v in attributes.items() if n not in found})
    parts = np.asarray(table["split"].to_pylist(), dtype=object)
    return {
        f"{part}.inter": _table(
            names,
            tokens[ends[0, parts == part]],
            tokens[ends[1, parts == part]],
            {name: values[parts == part] for name, values in found.items()},
        )
        for part in (TRAIN, VALID, TEST)
    }


def _check_split(split: Split, names: RecBoleNames, *, drop_unused: bool) -> None:
    about = {"relation": names.relation, "user_type": names.user_type}
    for key, expected in about.items():
        if split.settings.get(key) != expected:
            raise InputError(f"{split.where}: expected {key} {expected!r}, got {split.settings.get(key)!r}")
    if split.counts[UNUSED] and not drop_unused:
        raise InputError(
            f"{split.where}: RecBole has no file for {split.counts[UNUSED]:,} rows that are {UNUSED}; "
            "leave them out with drop_unused"
        )


def _attributes_of(
    graph: AnyGraph, names: RecBoleNames, split: Split, ends: np.ndarray, wanted: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Attributes that the split does not have, from the edges that the graph has.

    Raises:
        InputError: If the graph lacks an edge and with it its attributes, has several for a row, or has edges that are
            in no row.
    """
    source, target = graph.relations[names.relation].edge_index.numpy(force=True)
    edge = source * graph.num_nodes + target
    everything = [graph.node_ids.positions(split.table[side], where=split.where) for side in ("user", "item")]
    strange = np.flatnonzero(~np.isin(edge, everything[0] * graph.num_nodes + everything[1]))
    if len(strange):
        pair = tuple(graph.node_ids.values[[source[strange[0]], target[strange[0]]]].tolist())
        raise InputError(f"{split.where}: {len(strange):,} edges of the graph are in no row, for example {pair}")
    if not wanted:
        return {}
    row = ends[0] * graph.num_nodes + ends[1]
    known, first = np.unique(edge, return_index=True)
    place = np.searchsorted(known, row).clip(max=max(len(known) - 1, 0))
    lost = np.ones(len(row), dtype=bool) if not len(known) else known[place] != row
    several = len(known) < len(edge) or len(np.unique(row)) < len(row)
    if lost.any() or several:
        how = "several edges join a pair" if several else f"the graph lacks the edges of {int(lost.sum()):,} rows"
        raise InputError(
            f"{split.where}: the edges have {first_few(sorted(wanted))}, the rows have not, and {how}; "
            "give a split with these columns"
        )
    return {name: values[first[place]] for name, values in wanted.items()}


def _table(names: RecBoleNames, user: np.ndarray, item: np.ndarray, attributes: dict[str, np.ndarray]) -> pa.Table:
    fields: dict[str, Any] = {names.user_id: pa.array(user, pa.string()), names.item_id: pa.array(item, pa.string())}
    for name, values in attributes.items():
        field = names.field(name)
        if field in fields:
            raise InputError(f"two edge attributes would become the field {field!r}")
        fields[field] = pa.array(values)
    return pa.table(fields)
