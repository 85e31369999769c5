"""From RecBole's atomic files to a graph, and apart from it the split of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few
from mmgraph.formats.bundle import OFFICIAL, Bundle, held_out
from mmgraph.formats.recbole.atomic import AtomicFile, parse_atomic
from mmgraph.formats.recbole.columns import node_columns, take_text, with_links
from mmgraph.formats.recbole.interactions import InteractionTable, join_files, official_split
from mmgraph.formats.recbole.knowledge import (
    EntityIds,
    Fact,
    knowledge_relations,
    read_links,
    read_triples,
    reverse_pairs,
)
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes import TokenNodes
from mmgraph.splits.base import TEST, TRAIN, VALID
from mmgraph.untrusted import reads

_BENCHMARK = (TRAIN, VALID, TEST)


def looks_like_recbole(folder: Path) -> bool:
    """Whether a folder holds a file `*.inter` whose header names types, as in `user_id:token`."""
    return folder.is_dir() and any(_has_typed_header(path) for path in folder.glob("*.inter"))


def _has_typed_header(path: Path) -> bool:
    with path.open("rb") as file:
        return b":" in file.readline(1 << 16)


@reads("files of RecBole")
def read_recbole(
    folder: Path | str,
    *,
    name: str | None = None,
    names: RecBoleNames | Mapping[str, str] | None = None,
    text_field: str | None = None,
) -> Bundle:
    """Read a folder of atomic files.

    Users and items are nodes, with the fields of `.user` and `.item` as columns; interactions are one relation with
    the attributes `rating`, `time` and whatever other numbers there are. Triples of `.kg` are relations by their name
    between items (where `.link` says which entity an item is) and nodes of the type `entity`. A relation that joins
    several pairs of node types becomes several, named `<source type>__<relation>__<target type>`. Of two relations
    where one holds exactly the triples of the other turned round, each is declared the reverse of the other.

    With `<name>.train.inter`, `<name>.valid.inter` and `<name>.test.inter` there is a split `official`, and the graph
    has only those edges that training may see.

    Args:
        folder: Folder with `<name>.inter` and the other files.
        name: Name of the files; by default that of the only `.inter`.
        names: Fields in the files, types and prefixes in the graph; or only some of them, as in {"relation": "sees"}.
        text_field: Field of `.item` or `.user` that becomes the text of its nodes, instead of a column.

    Raises:
        InputError: If a file is missing or damaged, a user or item is unknown, a node or link occurs twice; names file
            and line.

    References:
        RecBole's documentation, "Atomic Files" and `benchmark_filename`; version 1.2.1.
    """
    folder, names = Path(folder), RecBoleNames.of(names)
    name = name or _only_name(folder)
    notes: list[str] = []
    files = {part: _read(path) for part, path in _interaction_files(folder, name, notes).items()}
    extra = {end: _read(path) for end in ("user", "item", "link", "kg") if (path := folder / f"{name}.{end}").is_file()}

    users = _nodes(extra.get("user"), names.user_id, names.user_type, list(files.values()))
    linked = [extra["link"]] if "link" in extra else []
    items = _nodes(extra.get("item"), names.item_id, names.item_type, [*files.values(), *linked])
    rows = join_files(files, users, items, names, notes)
    entities = EntityIds(read_links(extra["link"], items, names) if linked else {}, names)
    facts, repeats = read_triples(extra["kg"], names) if "kg" in extra else ([], 0)
    if repeats:
        notes.append(f"{extra['kg'].where}: {repeats:,} triples occur more than once and were taken once")

    raw = _graph(name, rows, (users, items), entities, facts, text_field)
    if list(files) == [""]:
        return Bundle(raw, notes=tuple(notes))
    split = official_split(raw, rows, names)
    allowed, removed = held_out(raw, split)
    if again := removed - split.counts[VALID] - split.counts[TEST]:
        notes.append(
            f"{folder}: {again:,} training edges are not in the graph, because valid or test ask the pair again"
        )
    return Bundle(allowed, {OFFICIAL: split}, tuple(notes))


def _only_name(folder: Path) -> str:
    stems = set()
    for path in sorted(folder.glob("*.inter")):
        stem, _, part = path.stem.rpartition(".")
        stems.add(stem if stem and part in _BENCHMARK else path.stem)
    if len(stems) != 1:
        found = f"those of {first_few(sorted(stems))}; give a name" if stems else "none"
        raise InputError(f"{folder}: expected the .inter files of one dataset, found {found}")
    return stems.pop()


def _interaction_files(folder: Path, name: str, notes: list[str]) -> dict[str, Path]:
    """Files of interactions by part; the part of a file without parts is empty."""
    whole = folder / f"{name}.inter"
    parts = {part: path for part in _BENCHMARK if (path := folder / f"{name}.{part}.inter").is_file()}
    if not parts:
        if not whole.is_file():
            raise InputError(f"{whole}: file not found")
        return {"": whole}
    if TRAIN not in parts or len(parts) == 1:
        missing = [f"{name}.{part}.inter" for part in _BENCHMARK if part not in parts]
        raise InputError(f"{folder}: found {first_few([p.name for p in parts.values()])}, but not {first_few(missing)}")
    if whole.is_file():
        notes.append(f"{whole}: not read, the split is in {', '.join(path.name for path in parts.values())}")
    return parts


def _read(path: Path) -> AtomicFile:
    return parse_atomic(path.read_bytes(), where=str(path))


def _nodes(file: AtomicFile | None, key: str, node_type: str, mentions: Sequence[AtomicFile]) -> TokenNodes:
    if file is not None:
        return TokenNodes.listed(file, key, node_type)
    return TokenNodes.seen([mention.tokens(key) for mention in mentions], node_type)


def _graph(
    name: str,
    rows: InteractionTable,
    nodes: tuple[TokenNodes, TokenNodes],
    entities: EntityIds,
    facts: list[Fact],
    text_field: str | None,
) -> RawGraph:
    """The graph with all its edges."""
    (users, items), names = nodes, entities.names
    others = sorted({end for head, _, tail in facts for end in (head, tail)} - set(entities.item_of))
    tokens = {
        users.node_type: users.tokens.values.tolist(),
        items.node_type: items.tokens.values.tolist(),
        names.entity_type: others,
    }
    ids = [names.prefix(kind) + token for kind, group in tokens.items() for token in group]
    node_ids = NodeIds(pa.array(ids, pa.string()), where=f"graph {name!r}, node ids")
    node_types, node_type = encode_node_types([kind for kind, group in tokens.items() for _ in group])
    told = knowledge_relations(facts, entities, node_ids)
    reverse = reverse_pairs(told)
    told = {key: replace(relation, reverse=reverse.get(key)) for key, relation in told.items()}
    if names.relation in told:
        raise InputError(f"graph {name!r}: interactions and triples have a relation {names.relation!r}; name one anew")
    interactions = Relation(
        torch.from_numpy(np.stack([rows.user, rows.item + len(users.tokens)])),
        users.node_type,
        items.node_type,
        attributes={key: torch.from_numpy(values) for key, values in rows.attributes.items()},
    )
    fields = with_links(items, entities.item_of, names.entity_id)
    columns = node_columns(users.fields, fields, (len(users.tokens), len(items.tokens), len(others)))
    content = {} if text_field is None else {"text": take_text(columns, text_field)}
    return RawGraph(
        name=name,
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations={names.relation: interactions, **told},
        content=content,
        columns=pa.table(columns) if columns else None,
    )
