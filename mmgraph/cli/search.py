"""`mmgraph search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_json_line, write_table
from mmgraph.cli.parser import make_parser
from mmgraph.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from mmgraph.export.store import Store
    from mmgraph.inference.query import QueryEncoder


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
        "search --embeddings stores/movielens --id user:196 --type movie --where 'year >= 1990'",
    )
    parser.add_argument(
        "--embeddings", type=Path | None, help="Exported embeddings in any format; computed from --run otherwise."
    )
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
    parser.add_argument(
        "--where",
        type=str | None,
        help="Search among the nodes that fit a filter only, as 'price < 20 and within 2 of \"p7\"'; within needs --graph.",
    )
    parser.add_argument("-k", type=int, default=10, help="Number of results.")
    parser.add_argument("--device", type=str, default="cpu", help="Where models run.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object per result.")
    return parser


def run(args: Namespace) -> None:
    """Search and print the results."""
    _check(args)
    from mmgraph.data.store import load_graph
    from mmgraph.export.filters import parse_filter
    from mmgraph.export.queries import id_from_text, open_embeddings, query_vector

    where = None if args.where is None else parse_filter(args.where)
    graph = load_graph(args.graph) if where is not None and where.needs_graph and args.graph is not None else None
    with open_embeddings(args.embeddings, run=args.run, graph=args.graph, device=args.device) as store:
        text = args.id if args.id is not None else args.like
        node = None if text is None else id_from_text(store, text, where="--id" if args.id is not None else "--like")
        own = -1 if node is None else int(store.node_ids.positions([node], where=str(store.path))[0])
        query = query_vector(
            store,
            [] if node is None else [node],
            text=args.text,
            image=args.image,
            without=args.without,
            weight=1.0 if args.weight is None else args.weight,
            without_weight=0.5 if args.without_weight is None else args.without_weight,
            encoder=_query_encoder(args, store) if _has_content(args) else None,
        )
        # One more, because a node finds itself.
        found = store.search(query, args.k + (own >= 0), node_type=args.type, where=where, graph=graph)
    hits = zip(found.positions[0].tolist(), found.scores[0].tolist(), strict=True)
    others = [(position, score) for position, score in hits if position not in (own, -1)][: args.k]
    rows = [_row(found.rows, rank, *hit) for rank, hit in enumerate(others, start=1)]
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


def _query_encoder(args: Namespace, store: Store) -> QueryEncoder:
    from mmgraph.export.queries import open_query_encoder

    if args.image is not None and not args.image.is_file():
        raise InputError(f"--image {args.image}: file not found")
    needed = ["text"] if args.text is not None or args.without is not None else []
    needed += ["image"] if args.image is not None else []
    return open_query_encoder(store, args.run, args.graph, needed, device=args.device)


def _row(rows: pa.Table, rank: int, position: int, score: float) -> dict[str, Any]:
    found = rows.slice(position, 1).to_pylist()[0]
    row: dict[str, Any] = {"rank": rank, "score": round(float(score), 6)}
    return {**row, **{name: value for name, value in found.items() if name not in row}}


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing to keep."""
    return "nothing was changed"
