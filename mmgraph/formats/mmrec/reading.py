"""Reading folders of MMRec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import file_digest
from mmgraph.formats.bundle import OFFICIAL, Bundle, held_out
from mmgraph.formats.choice import choose_one
from mmgraph.formats.mmrec.contents import (
    ABSENT,
    ID_KINDS,
    ITEM,
    ITEMS,
    LABEL,
    RATING,
    TIME,
    USER,
    USERS,
    Absent,
    IdKind,
    read_interactions,
    read_mapping,
)
from mmgraph.formats.mmrec.features import MODALITIES, read_features
from mmgraph.splits.base import TEST, TRAIN, VALID, Split
from mmgraph.untrusted import reads


def looks_like_mmrec(folder: Path) -> bool:
    """Whether the names of files are those of an MMRec folder."""
    return any(folder.glob("[!.]*.inter")) and any((folder / name).is_file() for name in (ITEMS.name, "image_feat.npy"))


@reads("files of MMRec")
def read_mmrec(
    folder: Path | str,
    *,
    name: str | None = None,
    inter: str | None = None,
    encoders: Mapping[str, str] | None = None,
    absent: Absent = "zero",
    ids: IdKind = "string",
    relation: str = "interacted",
    user_type: str = "user",
    item_type: str = "item",
) -> Bundle:
    """Read a folder of MMRec [1], as made of the Amazon reviews: users, items, and the official split.

    `<name>.inter` holds the interactions and says by `x_label` in which part each lies; `u_id_mapping.csv` and
    `i_id_mapping.csv` say which ids the numbers in it, and the rows of `image_feat.npy` and `text_feat.npy`, stand
    for. Users and items without any interaction are nodes, too. Training interactions are the edges of the graph.
    `rating` and `timestamp` become the attributes `rating` and `time`, and columns of the split.

    Args:
        folder: The folder.
        name: Name of the graph, by default that of the `.inter` file.
        inter: Name of the file of interactions. Needed if there are several.
        encoders: Encoder by modality, the name of the graph by default: graphs share a projection if they agree.
        absent: The format has no mask. `zero`: rows of zeros are items that lack the modality; `mean`: those, and rows
            that hold the mean of all, with which MMRec's preparation fills gaps; `none`: no row is. Items in
            `missed_img_itemIDs.csv`, which that preparation writes, lack the image in any case.
        ids: `string`, `integer`, or `prefixed` with the type of the node (`user:7`, `item:7`), where users and items
            have ids in common.
        relation: Name of the relation from users to items.
        user_type: Node type of the users.
        item_type: Node type of the items.

    Returns:
        The graph, the split `official`, and notes.

    Raises:
        InputError: If a file is missing or does not fit the others, or a user and an item have the same id.

    References:
        [1] Zhou, 2023, MMRec: Simplifying Multimodal Recommendation, arXiv:2302.03497.
    """
    folder = Path(folder)
    path = _choose_inter(folder, inter)
    name = name or path.stem
    for key in encoders or {}:
        if key not in MODALITIES:
            raise unknown_choice("modality of encoders", key, MODALITIES)
    if absent not in ABSENT:
        raise unknown_choice("value of absent", absent, ABSENT)
    users, items, node_ids = _ids(folder, ids, user_type, item_type)
    table = read_interactions(path, len(users), len(items))
    user, item = table[USER].to_numpy(), table[ITEM].to_numpy()
    split = _split(path, table, node_ids, len(users), (relation, user_type, item_type))
    trained = np.flatnonzero(table[LABEL].to_numpy() == 0)
    attributes = {
        key: torch.from_numpy(table[column].to_numpy()[trained])
        for key, column in (("rating", RATING), ("time", TIME))
        if column in table.column_names
    }
    ends = torch.from_numpy(np.stack([user, item + len(users)])[:, trained])
    features, notes = read_features(folder, name, len(users), len(items), encoders or {}, absent)
    graph = MultimodalGraph(
        name=name,
        node_ids=node_ids,
        node_types=(user_type, item_type),
        node_type=torch.arange(2).repeat_interleave(torch.tensor([len(users), len(items)])),
        relations={relation: Relation(ends, user_type, item_type, attributes=attributes)},
        features=features,
    )
    allowed, told = held_out(graph, split)
    if told:
        notes.append(
            f"{path.name}: {told:,} training edges are not in the graph, because valid or test ask the pair again"
        )
    for kind, number, count in ((user_type, user, len(users)), (item_type, item, len(items))):
        if idle := count - len(np.unique(number)):
            notes.append(f"{path.name}: {idle:,} of {count:,} nodes of type {kind!r} have no interaction")
    return Bundle(allowed, {OFFICIAL: split}, tuple(notes))


def _choose_inter(folder: Path, inter: str | None) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: folder not found")
    found = sorted(path.name for path in folder.glob("[!.]*.inter"))
    chosen = choose_one(folder, inter, found, kind="file of interactions", option="inter")
    if chosen is None:
        raise InputError(f"{folder}: expected <name>.inter, found none")
    return folder / chosen


def _ids(folder: Path, kind: IdKind, user_type: str, item_type: str) -> tuple[np.ndarray, np.ndarray, NodeIds]:
    if kind not in ID_KINDS:
        raise unknown_choice("kind of ids", kind, ID_KINDS)
    users, items = read_mapping(folder, USERS, kind), read_mapping(folder, ITEMS, kind)
    for values, file in ((users, USERS), (items, ITEMS)):
        NodeIds(values, where=str(folder / file.name))  # each file apart: which one is wrong?
    if kind == "prefixed":
        users, items = (
            np.array([f"{type_}:{item}" for item in values], dtype=object)
            for type_, values in ((user_type, users), (item_type, items))
        )
    both = np.concatenate([users, items])
    shared = sorted(set(users.tolist()) & set(items.tolist()))
    if shared:
        raise InputError(
            f"{folder}: {len(shared):,} ids are those of a user and of an item: {first_few(shared)}; pass ids='prefixed'"
        )
    return users, items, NodeIds(both, where=f"{folder}, ids of users and items")


def _split(path: Path, table: pa.Table, ids: NodeIds, num_users: int, about: tuple[str, str, str]) -> Split:
    columns = {
        "user": ids.arrow.take(table[USER].combine_chunks()),
        "item": ids.arrow.take(pa.array(table[ITEM].to_numpy() + num_users)),
        "split": pa.array([TRAIN, VALID, TEST]).take(table[LABEL].combine_chunks()),
        **{key: table[column] for key, column in (("time", TIME), ("rating", RATING)) if column in table.column_names},
    }
    settings = dict(zip(("relation", "user_type", "item_type"), about, strict=True))
    try:
        return Split(
            "interaction",
            pa.table(columns),
            OFFICIAL,
            {**settings, "attribute": "time", "file": path.name, "sha256": file_digest(path)},
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
