"""From a graph and its split to RecBole's atomic files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import atomic_folder
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.recbole.atomic import field_type, format_atomic
from mmgraph.formats.recbole.interactions_out import interaction_tables
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes_out import check_graph, node_table, node_tokens
from mmgraph.formats.recbole.triples_out import knowledge_tables
from mmgraph.splits.base import Split


def write_recbole(
    bundle: Bundle,
    folder: Path | str,
    *,
    names: RecBoleNames | None = None,
    split: str | None = None,
    text_field: str | None = None,
    drop_unused: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the atomic files that `read_recbole` reads, named after the graph, whole or not at all.

    RecBole finds them when the folder has the name of the graph. Numbers are written so that they are read back to the
    last digit; integers stay integers. Prefixes of ids are taken off where they are.

    Args:
        bundle: The graph, and a split of its interactions or none.
        folder: Where to write.
        names: Types of users, items and entities, the relation of interactions, and names of fields.
        split: Which split to write; needed if there are several.
        text_field: Field that takes the text of users and items.
        drop_unused: Leave out the rows of a split that are `unused`; otherwise they are refused.
        overwrite: Replace the folder.

    Raises:
        InputError: If the format cannot hold something: features, other modalities than text, other node types,
            relations of users other than the interactions, edge attributes of triples, another kind of split, `unused`
            rows, a tab or line break in a token, a blank in an element of a list.
    """
    names = names or RecBoleNames()
    graph = bundle.graph
    check_graph(graph, names)
    tokens = node_tokens(graph, names)
    links, triples = knowledge_tables(graph, names, tokens)
    files = {
        "user": node_table(graph, names.user_type, names, tokens, text_field),
        "item": node_table(graph, names.item_type, names, tokens, text_field),
        **({"link": links} if links.num_rows else {}),
        **({"kg": triples} if triples.num_rows else {}),
        **interaction_tables(graph, names, tokens, _chosen(bundle, split), drop_unused=drop_unused),
    }
    with atomic_folder(folder, overwrite=overwrite) as new:
        for ending, table in files.items():
            types = _types(table, f"{graph.name}.{ending}")
            (new / f"{graph.name}.{ending}").write_bytes(format_atomic(table, types, where=f"{graph.name}.{ending}"))


def _chosen(bundle: Bundle, name: str | None) -> Split | None:
    if name is None:
        if len(bundle.splits) > 1:
            raise InputError(f"RecBole holds one split, got {first_few(sorted(bundle.splits))}; choose one")
        name = next(iter(bundle.splits), None)
    if name is None:
        return None
    if name not in bundle.splits:
        raise unknown_choice("split", name, bundle.splits)
    split = bundle.splits[name]
    if split.kind != "interaction":
        raise InputError(f"RecBole holds splits of interactions, got a split of {split.kind}s: {name!r}")
    return split


def _types(table: pa.Table, where: str) -> dict[str, str]:
    types = {}
    for name in table.column_names:
        kind = field_type(table[name].type)
        if kind is None:
            raise InputError(f"{where}, field {name!r}: RecBole holds no {table[name].type}")
        types[name] = kind
    return types
