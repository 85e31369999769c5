"""`mmgraph split`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import make_parser

if TYPE_CHECKING:
    from mmgraph.splits.base import Split
    from mmgraph.tasks.split_folder import SplitFolder


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "split",
        "Hold something out of a graph, to ask for it later: edges (which nodes belong together?), labels of nodes\n"
        "(what is this?), or interactions of users with items (what will they like?). Writes a new folder: the graph\n"
        "without what is held out, so that training cannot see it, the split in splits/NAME, and the task that\n"
        "mmgraph evaluate understands in tasks/NAME. The folder of the graph itself is not changed.\n\n"
        "What belongs together moves together: both directions of an edge, a relation and its declared reverse, repeats,\n"
        "and, for --nodes and cold items, nodes with the same text or picture. Validation (valid)\n"
        "is for choosing a model, test for the final number.\n\n"
        "Labels, and tasks and splits that the folder has already, come along if they stay true: always if they ask about\n"
        "nodes only, else unless edges that they rely on are held out now; the command says which are left out.",
        "split --graph data/debian --out data/debian-links --edges random --relations recommends suggests",
        "split --graph data/shop --out data/shop-category --nodes stratified --labels category",
        "split --graph data/shop --out data/shop-price --nodes random --labels price --regression",
        "split --graph data/shop --out data/shop-next --interactions leave-last-out --relation bought",
    )
    parser.add_argument("--graph", type=Path, required=True, help="Folder of the graph, as mmgraph import writes it.")
    parser.add_argument("--out", type=Path, required=True, help="Folder to create.")
    parser.add_argument(
        "--name",
        type=str | None,
        help="Name of the split and its task; by default links, recommend, or the column of labels.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the dataset that is at --out.")
    parser.add_argument(
        "--images", type=Literal["copy", "reference"], default="copy", help="Copy images, or leave them in place."
    )
    what = parser.add_argument_group("what to hold out (exactly one of these)")
    what.add_argument(
        "--edges",
        type=Literal["random", "time", "cold-node", "relation"],
        help="Edges: some at random; the latest; all of nodes that are to be new; whole relations.",
    )
    what.add_argument(
        "--nodes",
        type=Literal["random", "stratified", "few-shot", "time"],
        help="Labels of nodes: at random; the same mix of labels in each part; few of each to train on; the latest.",
    )
    what.add_argument(
        "--interactions",
        type=Literal["leave-last-out", "time", "cold-item", "cold-user"],
        help="Interactions: the last of each user; the latest of all; all of items, or of users, that are to be new.",
    )
    how = parser.add_argument_group("how much, and which")
    how.add_argument(
        "--shares",
        type=float,
        nargs="+",
        help="Shares of train, valid and test; by default 0.6 0.2 0.2 for nodes, 0.85 0.05 0.10 else.",
    )
    how.add_argument("--seed", type=int | None, help="Another seed, another split; 0 by default.")
    how.add_argument(
        "--time",
        type=str | None,
        help="Attribute of edges, or column of nodes, that holds the time; by default time.",
    )
    edges = parser.add_argument_group("for --edges")
    edges.add_argument("--relations", type=str, nargs="+", help="Relations to split; all by default.")
    edges.add_argument("--parts", type=str, nargs="+", help="For relation: which goes where, such as suggests=test.")
    edges.add_argument("--node-type", type=str | None, help="For cold-node: type of the nodes that are to be new.")
    edges.add_argument(
        "--negatives",
        type=int | None,
        help="Draw so many wrong targets for each edge once and for all, and rank among these only. By default an edge "
        "is ranked among all nodes, which is harder and compares models better.",
    )
    nodes = parser.add_argument_group("for --nodes")
    nodes.add_argument(
        "--labels",
        type=str | None,
        help="FILE:COLUMN, or only COLUMN of labels.parquet in the folder of the graph; the file has a column id too.",
    )
    nodes.add_argument(
        "--regression",
        action="store_true",
        help="For random and time: the labels are numbers, such as prices, to be predicted as such. By default they "
        "are classes, also where they look like numbers.",
    )
    nodes.add_argument("--train-per-label", type=int | None, help="For few-shot: nodes of each label to train on.")
    nodes.add_argument("--valid-per-label", type=int | None, help="For few-shot: nodes of each label to validate on.")
    nodes.add_argument(
        "--small-labels",
        type=Literal["error", "unused"],
        help="For few-shot: refuse labels with too few nodes (default), or leave their nodes out.",
    )
    nodes.add_argument(
        "--no-content-groups", action="store_true", help="Let nodes with the same text or picture lie on both sides."
    )
    nodes.add_argument(
        "--ignore-texts", type=str, nargs="+", help='Texts that say nothing, such as "n/a"; they make no copies.'
    )
    interactions = parser.add_argument_group("for --interactions")
    interactions.add_argument("--relation", type=str | None, help="Relation between users and items.")
    interactions.add_argument(
        "--user-type", type=str | None, help="Node type of the users; by default that of the sources."
    )
    interactions.add_argument(
        "--fold-in",
        type=float | None,
        help="For cold-user: share of a new user's first items that may be used as input when the user is asked.",
    )
    return parser


def run(args: Namespace) -> None:
    """Split, write the new folder and say what came out."""
    from mmgraph.cli.split_methods import chosen_method, default_name, make_splitter
    from mmgraph.tasks.split_folder import split_folder

    kind, method = chosen_method(args)
    name = args.name or default_name(args, kind)
    done = split_folder(
        args.graph,
        args.out,
        name,
        make_splitter(args, kind, method),
        regression=args.regression,
        copy_files=args.images == "copy",
        overwrite=args.overwrite,
    )
    _write_result(name, kind, done)
    for key in done.kept:
        note(f"{key} comes along")
    for key, reason in done.left_out.items():
        note(f"{key} is left out: {reason}")
    if kind != "nodes" and done.hidden_before:
        note(
            f"{', '.join(done.hidden_before)} took edges out of this graph before; the new task does not know them and may "
            "count them as wrong answers; to avoid that, start from a graph with all its edges"
        )
    if done.is_encoded and kind == "nodes":
        note("the graph is encoded and has no texts or pictures any more: copies were not looked for")
    if not done.is_encoded:
        note(f"next: mmgraph encode --graph {args.out}")
    write_line(str(args.out))


def _write_result(name: str, kind: str, done: SplitFolder) -> None:
    counts = done.split.counts
    total = max(sum(counts.values()), 1)
    write_line(f"{name}: {done.split.kind} split, {done.split.method}; {done.task!r}")
    write_table(["part", kind, "share"], [[part, count, f"{count / total:.1%}"] for part, count in counts.items()])
    write_line("")
    if kind != "nodes":
        edges = [[relation, old, old - new, new] for relation, (old, new) in done.edges.items()]
        write_table(["relation", "edges", "held out", "left in the graph"], edges)
        write_line("")
    for what, value in _facts(done.split):
        write_line(f"{what}: {value:,}" if isinstance(value, int) else f"{what}: {value}")
    write_line(f"digest of the split: {done.split.digest}")
    write_line("")


def _facts(split: Split) -> list[tuple[str, Any]]:
    """What the settings of a split count, in words."""
    found = split.settings
    lines: list[tuple[str, Any]] = []
    if split.kind == "edge":
        told, cold = found["told_by_other_relations"], found["cold_nodes"]
        lines = [
            ("pairs that are not asked, because another relation tells them", told),
            ("edges from a node to itself, which are not asked", found["self_loops"]),
            ("edges that are there more than once", found["repeated_edges"]),
            ("nodes that are asked about without a training edge of these relations", cold["in_these_relations"]),
            ("nodes that are asked about without any training edge", cold["in_all_relations"]),
        ]
    if split.kind == "interaction":
        lines = [
            ("repeats of an interaction, which are not used", found["repeats"]),
            ("held-out pairs that other relations told too, until now", found["told_by_other_relations"]),
        ]
        for side in ("users", "items"):
            cold = found[f"cold_{side}"]
            lines.append(
                (f"{side} without a training interaction (valid, test)", f"{cold['valid']:,}, {cold['test']:,}")
            )
    if "groups" in found:
        lines.append(("groups of nodes that share a text or a picture", found["groups"]))
    if "small_labels" in found:
        lines.append(("labels that are too small for all parts", found["small_labels"]))
    for part in ("valid", "test"):
        if f"first_{part}" in found:
            lines.append((f"first moment of {part}", str(found[f"first_{part}"])))
    if "negatives" in found:
        lines.append(("digest of the negatives", found["negatives"]["digest"]))
    return lines


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out} is as before; run the same command again"
