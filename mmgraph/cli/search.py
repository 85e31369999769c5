"""`mmgraph search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_json_line, write_table
from mmgraph.cli.parser import make_parser
from mmgraph.errors import InputError

if TYPE_CHECKING:
    from mmgraph.inference.query import QueryEncoder
    from mmgraph.inference.table import EmbeddingTable


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "search",
        "Find the nodes nearest to a node, a text, an image, or a text and an image together; or like a node, but with\n"
        "a text or an image added (--like) or a text taken away (--not). A node needs embeddings only; a text or an\n"
        "image needs --run and --graph to be encoded like a node. With --type a node of one type finds those of another.",
        'search --run runs/joint --graph data/openmoji --text "laughing out loud" -k 5',
        "search --embeddings openmoji.parquet --id 1F600 --json",
        'search --run runs/joint --graph data/openmoji --like 1F697 --text "emergency" --not "taxi"',
        "search --embeddings movielens.parquet --id user:196 --type movie",
    )
    parser.add_argument("--embeddings", type=Path | None, help="Exported embeddings; computed from --run otherwise.")
    parser.add_argument("--run", type=Path | None, help="Run folder.")
    parser.add_argument("--graph", type=Path | None, help="Encoded graph folder.")
    parser.add_argument("--id", type=str | None, help="Id of a node; it is left out of its own result.")
    parser.add_argument(
        "--like", type=str | None, help="Id of a node that --text, --image or --not change; as --id else."
    )
    parser.add_argument("--text", type=str | None, help="Text of the query.")
    parser.add_argument("--image", type=Path | None, help="Image file of the query.")
    parser.add_argument("--not", dest="without", type=str | None, help="Text to stay away from.")
    parser.add_argument("--weight", type=float | None, help="Of --text and --image beside --like; 1 by default.")
    parser.add_argument("--not-weight", dest="without_weight", type=float | None, help="Of --not; 0.5 by default.")
    parser.add_argument("--type", type=str | None, help="Search among nodes of this type only.")
    parser.add_argument("-k", type=int, default=10, help="Number of results.")
    parser.add_argument("--device", type=str, default="cpu", help="Where models run.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object per result.")
    return parser


def run(args: Namespace) -> None:
    """Search and print the results."""
    _check(args)
    from mmgraph.inference.compose import compose_query

    table = _load_table(args)
    node = args.id if args.id is not None else args.like
    query = compose_query(
        table,
        like=None if node is None else _as_id(table, node),
        text=args.text,
        image=args.image,
        without=args.without,
        weight=1.0 if args.weight is None else args.weight,
        without_weight=0.5 if args.without_weight is None else args.without_weight,
        encoder=_query_encoder(args, table) if _has_content(args) else None,
    )
    found = table.search(query.vector, args.k, node_type=args.type, exclude=query.exclude)
    rows = [
        _row(table, rank, position, score)
        for rank, (position, score) in enumerate(
            zip(found.positions[0].tolist(), found.scores[0].tolist(), strict=True), start=1
        )
        if position >= 0
    ]
    if args.json:
        for row in rows:
            write_json_line(row)
        return
    columns = [
        "rank",
        "score",
        "id",
        "type",
        *[c for c in ("text", "title", "name") if any(row.get(c) for row in rows)],
    ]
    write_table(
        columns, [[row.get(column) if row.get(column) is not None else "" for column in columns] for row in rows]
    )


def _check(args: Namespace) -> None:
    changes = _has_content(args)
    if args.id is not None and args.like is not None:
        raise InputError("search: expected either --id or --like, got both")
    if args.id is not None and changes:
        raise InputError("search: expected either --id, or --text and/or --image; to change a node's query give --like")
    if args.like is not None and not changes:
        raise InputError("search: --like needs --text, --image or --not; for the neighbours of a node give --id")
    if args.id is None and args.like is None and args.text is None and args.image is None:
        alone = "; --not alone says nothing to look for" if args.without is not None else ""
        raise InputError(f"search: expected either --id, or --text and/or --image{alone}")
    if args.weight is not None and (args.like is None or (args.text is None and args.image is None)):
        raise InputError("search: --weight needs --like together with --text or --image")
    if args.without_weight is not None and args.without is None:
        raise InputError("search: --not-weight needs --not")
    if args.embeddings is None and (args.run is None or args.graph is None):
        raise InputError("search: expected --embeddings, or --run together with --graph")
    if changes and (args.run is None or args.graph is None):
        raise InputError(
            "search: --text, --image and --not need --run and --graph, to encode the query as the nodes were"
        )
    if args.k < 1:
        raise InputError(f"search: -k must be at least 1, got {args.k}")


def _has_content(args: Namespace) -> bool:
    return args.text is not None or args.image is not None or args.without is not None


def _load_table(args: Namespace) -> EmbeddingTable:
    if args.embeddings is not None:
        from mmgraph.export.base import read_table

        return read_table(args.embeddings)
    from mmgraph.data.store import load_graph
    from mmgraph.inference.embed import embed
    from mmgraph.training.evaluate import load_run_encoder

    graph = load_graph(args.graph)
    return embed(load_run_encoder(args.run, device=args.device, graph=graph), graph, device=args.device)


def _query_encoder(args: Namespace, table: EmbeddingTable) -> QueryEncoder:
    from mmgraph.data.store import load_graph
    from mmgraph.inference.embed import table_model
    from mmgraph.inference.levels import LEVELS
    from mmgraph.training.evaluate import load_run_encoder, query_encoder

    graph = load_graph(args.graph)
    encoder = load_run_encoder(args.run, device=args.device, graph=graph)
    level = next((level for level in LEVELS if table.model == table_model(encoder, level)), None)
    if level is None:
        raise InputError(f"{args.embeddings}: made by another model than {args.run}; export it again")
    if args.image is not None and not args.image.is_file():
        raise InputError(f"--image {args.image}: file not found")
    needed = ["text"] if args.text is not None or args.without is not None else []
    needed += ["image"] if args.image is not None else []
    return query_encoder(encoder, graph, needed, level=level, device=args.device)


def _as_id(table: EmbeddingTable, text: str) -> Any:
    if table.node_ids.values.dtype == object:
        return text
    if not text.lstrip("-").isdigit():
        raise InputError(f"--id: the ids of {table.graph!r} are integers, got {text!r}")
    return int(text)


def _row(table: EmbeddingTable, rank: int, position: int, score: float) -> dict[str, Any]:
    node_id = table.node_ids[position]
    row: dict[str, Any] = {
        "rank": rank,
        "score": round(float(score), 6),
        "id": node_id if isinstance(node_id, str) else int(node_id),
        "type": table.node_types[int(table.node_type[position])],
    }
    if table.columns is not None:
        shown = [name for name in table.columns.column_names if name not in row]
        row.update({name: table.columns.column(name)[position].as_py() for name in shown})
    return row


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing to keep."""
    return "nothing was changed"
