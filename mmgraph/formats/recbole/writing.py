"""From a graph and its split to RecBole's atomic files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from mmgraph.files import atomic_folder
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.limits import Limits
from mmgraph.formats.recbole.atomic_out import format_atomic
from mmgraph.formats.recbole.interactions_out import interaction_tables
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes_out import check_graph, node_table, node_tokens
from mmgraph.formats.recbole.triples_out import knowledge_tables
from mmgraph.splits.base import TEST, TRAIN, VALID, Kind

KINDS: tuple[Kind, ...] = ("interaction",)


def write_recbole(
    bundle: Bundle,
    folder: Path | str,
    *,
    names: RecBoleNames | Mapping[str, str] | None = None,
    split: str | None = None,
    text_field: str | None = None,
    without: Collection[str] = (),
    overwrite: bool = False,
) -> None:
    """Write the atomic files that `read_recbole` reads, named after the graph, whole or not at all.

    RecBole finds them when the folder has the name of the graph. Numbers are written so that they are read back to the
    last digit; integers stay integers. Prefixes of ids are taken off where they are.

    Args:
        bundle: The graph, and a split of its interactions or none.
        folder: Where to write.
        names: As in `read_recbole`.
        split: Which split to write; needed if there are several.
        text_field: Field that takes the text of users and items.
        without: What may be lost: `columns` of entities and those of other types than numbers and strings, `attributes`
            of triples and those that are no single numbers, `modalities` (features, content other than texts, texts of
            entities), `split_columns` that are no numbers, `unused` rows.
        overwrite: Replace the folder.

    Raises:
        InputError: If the format cannot hold something: what `without` could name, other node types, relations of
            users other than the interactions, another kind of split, an empty id or one with a tab or line break, a
            blank in an element of a list.
    """
    names, limits = RecBoleNames.of(names), Limits("RecBole", without)
    graph = bundle.graph
    stem = limits.file_name(graph.name, graph.name)
    if stem.rpartition(".")[2] in (TRAIN, VALID, TEST):
        raise limits.refuse(stem, "readers would take its files for one part of a split")
    check_graph(limits, graph, names)
    chosen = limits.split(bundle, KINDS, split) if bundle.splits or split is not None else None
    tokens = node_tokens(limits, graph, names)
    links, triples = knowledge_tables(limits, graph, names, tokens)
    files = {
        "user": node_table(limits, graph, names.user_type, names, tokens, text_field),
        "item": node_table(limits, graph, names.item_type, names, tokens, text_field),
        **({"link": links} if links.num_rows else {}),
        **({"kg": triples} if triples.num_rows else {}),
        **interaction_tables(limits, graph, names, tokens, chosen),
    }
    with atomic_folder(folder, overwrite=overwrite) as new:
        for ending, table in files.items():
            (new / f"{stem}.{ending}").write_bytes(format_atomic(table, where=f"{stem}.{ending}"))
