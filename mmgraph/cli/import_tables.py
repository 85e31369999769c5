"""`mmgraph import`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import make_parser

# By hand, so that --help need not load pyarrow; a test compares them with the dataclasses of the mapping.
MAPPING_KEYS = """keys of a YAML mapping (import writes the one it used to mapping.yaml in the graph folder; lists in brackets):
  name, encoding, delimiter, max_megapixels, [symmetric], reverse {relation: relation},
  empty_relations {relation: [source type, target type]}, and lists of tables, of which only `file` is required:
  nodes: file, id, type or type_column, prefix, [text], image, image_folder, [labels], [columns],
      modalities {column: text or file}
  edges: file, source, target, relation or relation_column, weight, time, rating, [attributes],
      source_prefix, target_prefix
  interactions: file, user, item, time, rating, relation, user_type, user_prefix, item_prefix"""


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "import",
        "Turn a folder of tables (csv, tsv, jsonl, parquet) and images into a graph folder that encode, split and\n"
        "pretrain understand. Files and columns are recognised by their names; --dry-run shows how, and what is wrong\n"
        "with the data, and writes nothing. Flags and a YAML mapping say it where names do not.\n\n"
        f"{MAPPING_KEYS}",
        "import my_shop --dry-run",
        "import my_shop --out data/shop --on-defect quarantine",
        "import my_shop --out data/shop --nodes products.jsonl --id sku --text title description --image photo \\\n"
        "      --edges also_bought.tsv --source from --target to --relation also_bought",
        "import my_shop --out data/shop --mapping shop.yaml",
    )
    parser.add_argument("folder", type=Path, help="Folder with the tables.")
    parser.add_argument("--out", type=Path | None, help="Graph folder to create.")
    parser.add_argument("--dry-run", action="store_true", help="Read and report everything, write nothing.")
    parser.add_argument("--mapping", type=Path | None, help="YAML file that says which file and column holds what.")
    parser.add_argument("--name", type=str | None, help="Name of the graph, by default that of the folder.")
    parser.add_argument(
        "--on-defect",
        type=Literal["error", "quarantine"],
        default="error",
        help="What to do with rows and files that are wrong; broken images are set aside in any case.",
    )
    parser.add_argument(
        "--images", type=Literal["copy", "reference"], default="copy", help="Copy images, or leave them in place."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the graph folder that is there.")
    nodes = parser.add_argument_group("tables of nodes")
    nodes.add_argument("--nodes", type=str, nargs="+", help="Files.")
    nodes.add_argument("--id", type=str | None, help="Column of the ids.")
    nodes.add_argument("--type", type=str | None, help="Node type of all rows.")
    nodes.add_argument("--type-column", type=str | None, help="Column with the node type.")
    nodes.add_argument("--text", type=str, nargs="+", help="Columns that are joined to the text.")
    nodes.add_argument("--image", type=str | None, help="Column with paths or bytes of images.")
    nodes.add_argument("--image-folder", type=str | None, help="Folder of images; named by id without --image.")
    nodes.add_argument("--labels", type=str, nargs="+", help="Columns of labels; they stay out of the graph.")
    nodes.add_argument("--prefix", type=str | None, help="Put before the ids of nodes.")
    edges = parser.add_argument_group("tables of edges")
    edges.add_argument("--edges", type=str, nargs="+", help="Files.")
    edges.add_argument("--source", type=str | None, help="Column of the source.")
    edges.add_argument("--target", type=str | None, help="Column of the target.")
    edges.add_argument("--relation", type=str | None, help="Name of the relation of all rows.")
    edges.add_argument("--relation-column", type=str | None, help="Column with the relation.")
    edges.add_argument("--weight", type=str | None, help="Column with the weight.")
    edges.add_argument("--symmetric", type=str, nargs="+", help="Relations that read the same both ways.")
    edges.add_argument("--reverse", type=str, nargs="+", help="Pairs of relations, such as has_part=part_of.")
    interactions = parser.add_argument_group("tables of interactions")
    interactions.add_argument("--interactions", type=str, nargs="+", help="Files.")
    interactions.add_argument("--user", type=str | None, help="Column of the user.")
    interactions.add_argument("--item", type=str | None, help="Column of the item.")
    interactions.add_argument("--rating", type=str | None, help="Column with the rating.")
    interactions.add_argument("--user-type", type=str | None, help="Node type of the users, as their table has it.")
    interactions.add_argument("--user-prefix", type=str | None, help="Put before the ids of users.")
    interactions.add_argument("--item-prefix", type=str | None, help="Put before the ids of items.")
    files = parser.add_argument_group("edges, interactions and files")
    files.add_argument("--time", type=str | None, help="Column with the time.")
    files.add_argument("--encoding", type=str | None, help="Encoding of csv, tsv and jsonl; utf-8 by default.")
    files.add_argument("--delimiter", type=str | None, help="What separates columns in csv.")
    files.add_argument("--max-megapixels", type=float | None, help="Set larger images aside; 40 by default.")
    return parser


def run(args: Namespace) -> None:
    """Read, report and write."""
    from mmgraph.errors import InputError
    from mmgraph.formats.tables import import_tables
    from mmgraph.formats.tables.defects import Defects
    from mmgraph.report.data_report import report_on_import, text_tables

    if args.out is None and not args.dry_run:
        raise InputError("--out: expected a folder to create, got none; or look first with --dry-run")
    if args.out is not None and args.out.exists() and not (args.dry_run or args.overwrite):
        raise InputError(f"{args.out} already exists; give another --out or --overwrite")
    defects = Defects("quarantine" if args.dry_run else args.on_defect)
    try:
        mapping = _mapping(args, defects)
        found = import_tables(args.folder, mapping, name=args.name, defects=defects)
    except InputError as error:
        if len(defects) and not args.dry_run and args.on_defect == "error":
            raise InputError(f"{error} (--dry-run lists everything, --on-defect quarantine sets it aside)") from None
        raise
    report = report_on_import(found)
    for title, columns, rows in text_tables(report):
        write_table(columns, rows, title=title)
        write_line("")
    for line in (*report.defect_lines, *report.notes):
        note(line)
    if args.dry_run:
        note("nothing was written")
        return
    _write(args, found, report)
    write_line(str(args.out))


def _mapping(args: Namespace, defects: Any) -> Any:
    """The mapping from a file, or guessed; flags override both."""
    from mmgraph.formats.tables.guess import guess_mapping
    from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping, load_mapping

    named = args.nodes or args.edges or args.interactions
    if args.mapping is not None:
        mapping = load_mapping(args.mapping)
    elif named:
        mapping = TablesMapping()
    else:
        mapping = guess_mapping(args.folder, defects, encoding=args.encoding or "utf-8", delimiter=args.delimiter)
    kinds: dict[str, tuple[type[Any], tuple[str, ...]]] = {
        "nodes": (NodeTable, ("id", "type", "type_column", "text", "image", "image_folder", "labels", "prefix")),
        "edges": (EdgeTable, ("source", "target", "relation", "relation_column", "weight", "time")),
        "interactions": (
            InteractionTable,
            ("user", "item", "time", "rating", "user_type", "user_prefix", "item_prefix"),
        ),
    }
    changed: dict[str, Any] = {}
    for kind, (table_class, flags) in kinds.items():
        files = getattr(args, kind)
        tables = [table_class(file) for file in files] if files else getattr(mapping, kind)
        values = {name: getattr(args, name) for name in flags}
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}
        changed[kind] = tuple(_override(table, given) for table in tables)
    pairs = [pair.split("=", 1) for pair in args.reverse or ()]
    changed |= {"symmetric": tuple(args.symmetric)} if args.symmetric else {}
    changed |= {"reverse": _pairs(pairs)} if pairs else {}
    options = ("encoding", "delimiter", "max_megapixels")
    changed |= {name: getattr(args, name) for name in options if getattr(args, name) is not None}
    return replace(mapping, **changed)


def _override(table: Any, given: dict[str, Any]) -> Any:
    """A table with some of its columns replaced; a type that is given takes the place of a guessed column of types."""
    other = {"type": "type_column", "type_column": "type", "relation": "relation_column", "relation_column": "relation"}
    cleared = {other[name]: None for name in given if name in other and hasattr(table, other[name])}
    return replace(table, **(cleared | given))


def _pairs(pairs: list[list[str]]) -> dict[str, str]:
    from mmgraph.errors import InputError

    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise InputError(f"--reverse: expected relation=relation, got {'='.join(pair)!r}")
    return dict(map(tuple, pairs))  # type: ignore[arg-type]


def _write(args: Namespace, found: Any, report: Any) -> None:
    """Write everything into one new folder, whole or not at all."""
    import pyarrow.parquet as pq

    from mmgraph.config import save_yaml
    from mmgraph.files import atomic_folder, write_json
    from mmgraph.formats.tables import write_tables
    from mmgraph.formats.tables.writing import check_overwrite
    from mmgraph.report.data_report import write_data_report

    check_overwrite(args.out, found.raw) if args.overwrite else None
    with atomic_folder(args.out, overwrite=args.overwrite) as folder:
        write_tables(found.raw, folder, overwrite=True, copy_files=args.images == "copy")
        if found.labels is not None:
            pq.write_table(found.labels, folder / "labels.parquet")
        if len(found.defects):
            found.defects.write(folder / "quarantine.csv")
        save_yaml(found.mapping, folder / "mapping.yaml")
        write_json(folder / "statistics.json", report.to_dict())
        write_data_report(report, folder / "report.html")


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out or args.folder} is as before; run the same command again"
