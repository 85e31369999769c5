"""`mmgraph convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import make_parser

OWN = "mmgraph"
"""Name of the graph folders that all other commands read."""


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "convert",
        "Read a graph in a public format into a graph folder, or write a graph folder in a public format. Ids, features,\n"
        "the official split and its fixed negatives come along, and the split becomes a task for mmgraph evaluate.\n"
        "Edges that the split holds out are not in the graph. --list shows the formats and their options.",
        "convert --list",
        "convert sports-copurchase --out data/sports --option features=clip",
        "convert ml-100k --from recbole --out data/ml-100k",
        "convert data/ml-100k --to recbole --out export/ml-100k",
    )
    parser.add_argument("folder", type=Path | None, nargs="?", help="Folder to read.")
    parser.add_argument("--out", type=Path | None, help="Folder to create.")
    parser.add_argument("--from", dest="source", type=str | None, help="Format to read; by default found by the files.")
    parser.add_argument(
        "--to", dest="target", type=str, default=OWN, help="Format to write; a graph folder by default."
    )
    parser.add_argument("--name", type=str | None, help="Name of the graph, by default that of the folder.")
    parser.add_argument(
        "--option", type=str, nargs="+", default=[], help="Options of the format, such as features=clip; see --list."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace what is at --out.")
    parser.add_argument("--list", action="store_true", help="List formats and options.")
    return parser


def run(args: Namespace) -> None:
    """Read one format and write the other."""
    from mmgraph.errors import InputError

    if args.list:
        _list_formats()
        return
    for flag, value in (("the folder to read", args.folder), ("--out", args.out)):
        if value is None:
            raise InputError(f"{flag}: expected a folder, got none (see: mmgraph convert --help)")
    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} already exists; give another --out or --overwrite")
    options = dict(_option(text) for text in args.option)
    if args.target == OWN:
        _import(args, options)
    else:
        _export(args, options)
    write_line(str(args.out))


def _import(args: Namespace, options: dict[str, Any]) -> None:
    from mmgraph.formats.registry import read_format
    from mmgraph.tasks.bundle_folder import write_bundle

    bundle = read_format(args.folder, args.source, name=args.name, **options)
    written = write_bundle(bundle, args.out, overwrite=args.overwrite)
    for line in bundle.notes:
        note(line)
    for name, reason in written.without_task.items():
        note(f"split {name}: no task, {reason}")
    write_line(repr(bundle.graph))
    for name, split in bundle.splits.items():
        write_line(f"{name}: {split!r}")


def _export(args: Namespace, options: dict[str, Any]) -> None:
    from mmgraph.errors import InputError, unknown_choice
    from mmgraph.formats.registry import FORMATS, write_format
    from mmgraph.tasks.bundle_folder import read_bundle

    if args.source not in (None, OWN):
        raise InputError(f"--to {args.target}: reads graph folders only; convert {args.source} to a graph folder first")
    if args.name is not None:
        raise InputError("--name: belongs to reading; written graphs keep their name")
    if args.target not in FORMATS:
        raise unknown_choice("format", args.target, [*FORMATS, OWN])
    bundle = read_bundle(args.folder, holds=FORMATS[args.target].holds)
    write_format(bundle, args.out, args.target, overwrite=args.overwrite, **options)


def _list_formats() -> None:
    from mmgraph.formats.registry import FORMATS

    rows = [
        [name, entry.summary, _shown(entry.options("read")), _shown(entry.options("write"))]
        for name, entry in FORMATS.items()
    ]
    write_table(["format", "what", "options to read it", "options to write it"], rows)


def _shown(options: dict[str, Any]) -> str:
    import json

    return ", ".join(f"{name}={json.dumps(default, default=str)}" for name, default in options.items())


def _option(text: str) -> tuple[str, Any]:
    """Name and value of `features=clip`; numbers, true, false and lists are read as in YAML."""
    from mmgraph.errors import InputError
    from mmgraph.yaml_text import parse_yaml

    name, found, value = text.partition("=")
    if not (name and found):
        raise InputError(f"--option: expected name=value, got {text!r}")
    try:
        return name.replace("-", "_"), parse_yaml(value, where=f"--option {name}")
    except InputError:
        return name.replace("-", "_"), value


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out or args.folder} is as before; run the same command again"
