"""Writing folders of MMRec."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import unknown_choice
from mmgraph.files import atomic_folder
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.limits import Limits
from mmgraph.formats.mmrec.contents import (
    ID_KINDS,
    ITEM,
    ITEMS,
    LABEL,
    MISSED_IMAGES,
    RATING,
    TIME,
    USER,
    USERS,
    IdKind,
    MappingFile,
)
from mmgraph.formats.mmrec.features import MODALITIES
from mmgraph.formats.zero_rows import with_zero_rows
from mmgraph.splits.base import TEST, TRAIN, VALID, Kind, Split

KINDS: tuple[Kind, ...] = ("interaction",)


def write_mmrec(
    bundle: Bundle,
    folder: Path | str,
    *,
    name: str | None = None,
    split: str | None = None,
    ids: IdKind = "string",
    without: Collection[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a folder of MMRec, whole or not at all; see `read_mmrec` for the files.

    Interactions, ratings and times are those of the split, whose training rows are the edges of the graph. Items
    without an image get a row of zeros and a line in `missed_img_itemIDs.csv`, items without a text a row of zeros.
    The names of encoders, relation and node types are not in the format; give them again when reading. The mean of
    features is not written: it is computed anew.

    Args:
        bundle: A graph of users and items with one relation between them, images and texts of items, and its splits.
        folder: The folder to create.
        name: Name of the `.inter` file, by default that of the graph.
        split: Name of the split of interactions, if there are several.
        ids: Kind of ids, as in `read_mmrec`; `prefixed` takes the prefix off.
        without: What may be lost: `columns` of nodes, `attributes` of edges, other `modalities`, further
            `split_columns`, `unused` rows.
        overwrite: Replace an existing folder.

    Raises:
        InputError: If the format cannot hold something, or the folder exists.
    """
    limits = Limits("MMRec", without)
    if ids not in ID_KINDS:
        raise unknown_choice("kind of ids", ids, ID_KINDS)
    graph = limits.graph(bundle)
    name = limits.file_name(graph.name, graph.name if name is None else name, "name")
    chosen = limits.split(bundle, KINDS, split)
    limits.rows(graph.name, chosen, ("time", "rating"), unused=False)
    held = limits.modalities(graph, MODALITIES)
    found = [column for column in ("time", "rating") if column in chosen.table.column_names]
    relation = _relation(limits, graph, chosen, found, held)
    types = (relation.source_type, relation.target_type)
    rows = [graph.nodes_of_type(kind).numpy(force=True) for kind in types]
    raw = [_raw_ids(limits, graph, kind, at, ids) for kind, at in zip(types, rows, strict=True)]
    number = np.empty(graph.num_nodes, dtype=np.int64)
    for at in rows:
        number[at] = np.arange(len(at))
    interactions = _interactions(limits, graph, chosen, relation, types, number)
    features = {
        modality: with_zero_rows(
            f"graph {graph.name!r}",
            entry.take(torch.from_numpy(rows[1]).to(graph.device)),
            graph.node_ids.take(rows[1]),
        )
        for modality, entry in held.items()
    }
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        for values, file in zip(raw, (USERS, ITEMS), strict=True):
            _write_mapping(temporary, values, file)
        _write_rows(
            temporary / f"{name}.inter", interactions.column_names, zip(*interactions.to_pydict().values(), strict=True)
        )
        for modality, matrix in features.items():
            np.save(temporary / f"{modality}_feat.npy", matrix.numpy(), allow_pickle=False)
        if "image" in features:
            missed = np.flatnonzero(~graph.features["image"].present.numpy(force=True)[rows[1]])
            (temporary / MISSED_IMAGES).write_text("".join(f"{row}\n" for row in missed.tolist()), encoding="utf-8")


def _relation(
    limits: Limits,
    graph: MultimodalGraph,
    split: Split,
    attributes: Sequence[str],
    held: Mapping[str, ModalityFeatures],
) -> Relation:
    """The relation from users to items, once it is known that the rest of the graph has a place."""
    name, relation = limits.relation(graph, attributes)
    about = [split.settings.get(key) for key in ("relation", "user_type", "item_type")]
    if about != [name, relation.source_type, relation.target_type]:
        raise limits.refuse(
            graph.name,
            f"the {split.where} must be about relation {name!r} from {relation.source_type!r} (users) to "
            f"{relation.target_type!r} (items), got {about}",
        )
    if len(graph.node_types) != 2 or relation.source_type == relation.target_type:
        raise limits.refuse(graph.name, f"expected two node types, users and items, got {list(graph.node_types)}")
    users = graph.nodes_of_type(relation.source_type)
    for modality, features in held.items():
        if features.values.dtype == torch.bfloat16:
            raise limits.refuse(
                graph.name, f"{modality} features are {features.values.dtype}, which numpy does not have"
            )
        if count := int(features.present[users].sum()):
            raise limits.refuse(graph.name, f"{count:,} users have {modality} features; only items may have some")
    return relation


def _raw_ids(limits: Limits, graph: MultimodalGraph, kind: str, rows: np.ndarray, ids: IdKind) -> list[str]:
    values = graph.node_ids.values[rows].tolist()
    text = graph.node_ids.values.dtype == object
    if text == (ids == "integer"):
        got, other = ("strings", "string") if text else ("integers", "integer")
        raise limits.refuse(graph.name, f"its ids are {got}; pass ids={other!r} here and when reading")
    if ids != "prefixed":
        return [str(value) for value in values]
    wrong = [value for value in values if not value.startswith(f"{kind}:")]
    if wrong:
        raise limits.refuse(graph.name, f"expected ids that start with '{kind}:', got {wrong[0]!r}")
    return [value.removeprefix(f"{kind}:") for value in values]


def _interactions(
    limits: Limits,
    graph: MultimodalGraph,
    split: Split,
    relation: Relation,
    types: tuple[str, str],
    number: np.ndarray,
) -> pa.Table:
    table = split.part(TRAIN, VALID, TEST)
    columns, ends = {}, []
    for column, key, kind in ((USER, "user", types[0]), (ITEM, "item", types[1])):
        at = graph.node_ids.positions(table[key], where=f"{split.where}, column {key!r}")
        wrong = np.flatnonzero(graph.node_type.numpy(force=True)[at] != graph.node_types.index(kind))
        if len(wrong):
            raise limits.refuse(
                graph.name, f"{table[key][int(wrong[0])].as_py()!r} of the {split.where} is no {kind!r}"
            )
        ends.append(at)
        columns[column] = pa.array(number[at])
    for column, key in ((RATING, "rating"), (TIME, "time")):
        if key in table.column_names:
            if not (pa.types.is_integer(table[key].type) or pa.types.is_floating(table[key].type)):
                raise limits.refuse(graph.name, f"{key} of the {split.where} must be numbers, got {table[key].type}")
            columns[column] = table[key]
    columns[LABEL] = pc.index_in(table["split"], pa.array([TRAIN, VALID, TEST]))
    trained = columns[LABEL].to_numpy() == 0
    listed = ends[0][trained] * graph.num_nodes + ends[1][trained]
    source, target = relation.edge_index.numpy(force=True)
    extra = ~np.isin(source * graph.num_nodes + target, listed)
    if extra.any():
        raise limits.refuse(
            graph.name,
            f"{int(extra.sum()):,} of its edges are no training rows of the {split.where}; the format has no others",
        )
    return pa.table(columns)


def _write_mapping(folder: Path, values: list[str], file: MappingFile) -> None:
    # Python before 3.13 does not quote a carriage return by itself.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if any("\r" in value for value in values) else csv.QUOTE_MINIMAL
    _write_rows(folder / file.name, (file.raw, file.number), zip(values, range(len(values)), strict=True), quoting)


def _write_rows(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], quoting: Literal[0, 2] = csv.QUOTE_MINIMAL
) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=quoting)
        writer.writerow(header)
        writer.writerows(rows)
