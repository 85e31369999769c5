"""Builds the folder of the emoji graph."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.manifest import BuildRecord
from mmgraph.datasets.openmoji.paraphrases import paraphrases
from mmgraph.datasets.openmoji.pictures import picture_folder, rasterise
from mmgraph.datasets.openmoji.pinned import drawn_counts, expected_counts
from mmgraph.datasets.openmoji.sequences import SYMMETRIC_RELATIONS, Edges, emoji_relations, variant_groups
from mmgraph.datasets.openmoji.source import CATEGORIES, NAMES, PICTURES, Emoji, read_emoji
from mmgraph.datasets.openmoji.tasks import (
    HELD_OUT_RELATIONS,
    category_labels,
    foreign_names,
    image_queries,
    look_alikes,
    name_queries,
    split_edges,
)
from mmgraph.files import file_digest
from mmgraph.formats.tables import write_tables
from mmgraph.splits.groups import check_held_out
from mmgraph.tasks.base import Task, save_tasks
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

NOTICE = f"""# openmoji

Built by `mmgraph datasets build openmoji`; the card is `datasets/openmoji/README.md` in the source of mmgraph.

Pictures: all emojis designed by OpenMoji, the open-source emoji and icon project. Licence: CC BY-SA 4.0. They were
drawn from the SVGs of `{PICTURES.requirement}` and not changed otherwise. Names come from `{NAMES.requirement}` (New BSD),
categories from `{CATEGORIES.requirement}` (MIT); both go back to data of the Unicode Consortium.
"""


def build(folder: Path, options: BuildOptions) -> BuildRecord:
    """Fill an empty folder with the whole graph and its tasks."""
    options.refuse_local()
    build_openmoji(folder, options)
    sources = {
        f"{data.requirement}: {name}": digest
        for data in (PICTURES, NAMES, CATEGORIES)
        for name, digest in data.files.items()
    }
    return BuildRecord(
        sources=sources,
        pinned=sources,  # other data was refused already
        expected=expected_counts(holdout=options.holdout),
        drawn=drawn_counts(options.seed, holdout=options.holdout),
    )


def build_openmoji(folder: Path, options: BuildOptions, *, only: Collection[str] | None = None) -> None:
    """Fill an empty folder with the graph and its tasks.

    Args:
        folder: Where to write.
        options: Seed, hold-out and cache.
        only: Ids of the emoji to take; all by default.
    """
    emoji = read_emoji(only)
    pictures = rasterise([item.svg for item in emoji], picture_folder(options.cache))
    keys = [item.key for item in emoji]
    relations = emoji_relations(keys)
    groups = variant_groups(keys, relations)
    digests = [file_digest(path) for path in pictures]

    alike, names = look_alikes(emoji, groups, digests), name_queries(emoji, options.seed)
    tasks: list[Task] = [
        NodeClassificationTask("category", category_labels(emoji, alike, options.seed)),
        NodeRetrievalTask("name_queries", "text", names, folder),
        NodeRetrievalTask("paraphrases", "text", paraphrases(emoji, alike, names, options.seed), folder),
        NodeRetrievalTask("foreign_names", "text", foreign_names(emoji, options.seed), folder),
    ]
    withheld: set[str] = set()
    if options.holdout:
        links, relations = _hold_out(emoji, relations, groups, options.seed)
        queries, withheld = image_queries(emoji, groups, digests, options.seed)
        tasks += [LinkPredictionTask("links", links), NodeRetrievalTask("image_queries", "image", queries, folder)]

    write_tables(_raw_graph(emoji, pictures, relations, groups, withheld), folder, overwrite=True)
    for item, picture in zip(emoji, pictures, strict=True):
        if item.id in withheld:  # no node names it any more, but a query does
            shutil.copyfile(picture, folder / "images" / picture.name)
    save_tasks(tasks, folder)
    (folder / "README.md").write_text(NOTICE, encoding="utf-8")


def _hold_out(
    emoji: Sequence[Emoji], relations: Mapping[str, Edges], groups: Mapping[str, str], seed: int
) -> tuple[pa.Table, dict[str, Edges]]:
    """Table of held-out edges by id, and the relations that are left."""
    ids = {item.key: item.id for item in emoji}
    splits = split_edges(relations, groups, seed)
    kept = {name: list(edges) for name, edges in relations.items()}
    rows: list[dict[str, str]] = []
    for name in HELD_OUT_RELATIONS:
        edges = list(zip(relations[name], splits[name], strict=True))
        kept[name] = [edge for edge, split in edges if split == "train"]
        rows += [
            {"source": ids[source], "target": ids[target], "relation": name, "split": split}
            for (source, target), split in edges
            if split != "train"
        ]
    keys = {item.id: item.key for item in emoji}
    held_out = [(keys[row["source"]], keys[row["target"]]) for row in rows]
    check_held_out(held_out, (edge for edges in kept.values() for edge in edges))
    schema = pa.schema([(name, pa.string()) for name in ("source", "target", "relation", "split")])
    return pa.Table.from_pylist(rows, schema=schema), kept


def _raw_graph(
    emoji: Sequence[Emoji],
    pictures: Sequence[Path],
    relations: Mapping[str, Edges],
    groups: Mapping[str, str],
    withheld: Collection[str],
) -> RawGraph:
    position = {item.key: row for row, item in enumerate(emoji)}
    ids = {item.key: item.id for item in emoji}
    return RawGraph(
        name="openmoji",
        node_ids=NodeIds([item.id for item in emoji], where="openmoji"),
        node_types=("emoji",),
        node_type=torch.zeros(len(emoji), dtype=torch.int64),
        relations={
            name: Relation(
                torch.tensor([[position[a], position[b]] for a, b in edges], dtype=torch.int64)
                .reshape(-1, 2)
                .T.contiguous(),
                "emoji",
                "emoji",
                symmetric=name in SYMMETRIC_RELATIONS,
            )
            for name, edges in relations.items()
        },
        content={
            "text": [item.name for item in emoji],
            "image": [None if item.id in withheld else path for item, path in zip(emoji, pictures, strict=True)],
        },
        columns=pa.table(
            {
                "character": ["".join(chr(int(part, 16)) for part in item.id.split("-")) for item in emoji],
                "variants": [ids[groups[item.key]] for item in emoji],
            }
        ),
    )
