"""`mmgraph cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import make_parser
from mmgraph.errors import InputError, unknown_choice

if TYPE_CHECKING:
    from mmgraph.cluster.clustering import Clustering
    from mmgraph.tasks.node_classification import NodeClassificationTask

SHOWN = 30
"""Clusters that are printed; the file has all."""


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "cluster",
        "Group the nodes, by their embeddings (kmeans) or by the edges of a graph (leiden), name each group by the words\n"
        "that set it apart, and write id, cluster and name as parquet. --task compares the groups with labels.",
        "cluster --embeddings openmoji.parquet --graph data/openmoji --k 10 --task category --out clusters.parquet",
        "cluster --graph data/openmoji --method leiden --resolution 0.5 --out communities.parquet",
    )
    parser.add_argument("--embeddings", type=Path | None, help="Exported embeddings; kmeans needs them.")
    parser.add_argument("--graph", type=Path | None, help="Encoded graph folder; leiden and --task need it.")
    parser.add_argument("--method", type=Literal["kmeans", "leiden"], default="kmeans", help="How to group.")
    parser.add_argument("--k", type=int, default=10, help="Number of groups of kmeans.")
    parser.add_argument("--resolution", type=float, default=1.0, help="Of leiden; higher gives more, smaller groups.")
    parser.add_argument("--type", type=str | None, help="Group the nodes of this type only; for kmeans.")
    parser.add_argument("--task", type=str | None, help="Compare with the labels of this task of the graph, all parts.")
    parser.add_argument("--seed", type=int, default=0, help="Seed.")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write.")
    parser.add_argument("--overwrite", action="store_true", help="Replace what is there.")
    return parser


def run(args: Namespace) -> None:
    """Cluster, compare, write and print the largest groups."""
    _check(args)
    from mmgraph.cluster.clustering import write_clusters

    task = None if args.task is None else _task(args)
    clustering = _cluster(args)
    metrics = {}
    if task is not None:
        from mmgraph.cluster.clustering import evaluate_clustering

        metrics = evaluate_clustering(clustering, task)
    write_clusters(clustering, args.out, overwrite=args.overwrite)
    sizes, names = clustering.sizes.tolist(), clustering.names or ("",) * clustering.num_clusters
    write_line(repr(clustering))
    write_table(["cluster", "nodes", "name"], [list(row) for row in zip(range(SHOWN), sizes, names, strict=False)])
    if len(sizes) > SHOWN:
        note(f"and {len(sizes) - SHOWN:,} smaller clusters, see {args.out}")
    if metrics:
        write_table(
            ["metric", "value"], [[name, value] for name, value in metrics.items()], title=f"labels of {args.task}"
        )
    write_line(str(args.out))


def _check(args: Namespace) -> None:
    if args.out.is_dir():
        raise InputError(f"{args.out}: expected the name of a file, got a folder")
    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} already exists; give another --out or --overwrite")
    if args.method == "kmeans" and args.embeddings is None:
        raise InputError("cluster: --method kmeans needs --embeddings, made by: mmgraph export")
    if args.method == "leiden" and args.graph is None:
        raise InputError("cluster: --method leiden needs --graph")
    if args.method == "leiden" and args.type is not None:
        raise InputError("cluster: --type is for kmeans; leiden follows edges through nodes of all types")
    if args.task is not None and args.graph is None:
        raise InputError("cluster: --task needs --graph, the folder that has the task")


def _task(args: Namespace) -> NodeClassificationTask:
    from mmgraph.tasks.base import load_tasks
    from mmgraph.tasks.node_classification import NodeClassificationTask as Labels

    tasks = {name: t for name, t in load_tasks(args.graph).items() if isinstance(t, Labels)}
    if args.task not in tasks:
        raise unknown_choice("task with labels", args.task, tasks)
    return tasks[args.task]


def _cluster(args: Namespace) -> Clustering:
    from mmgraph.cluster.naming import name_clusters, texts_by_id

    if args.method == "leiden":
        from mmgraph.cluster.leiden import leiden
        from mmgraph.data.store import load_graph

        graph = load_graph(args.graph)
        found = leiden(graph, resolution=args.resolution, seed=args.seed)
        return name_clusters(found, texts_by_id(graph.node_ids, graph.columns))
    from mmgraph.cluster.kmeans import kmeans
    from mmgraph.export.base import read_table

    table = read_table(args.embeddings)
    table = table if args.type is None else table.take(table.nodes_of_type(args.type))
    found = kmeans(table, args.k, seed=args.seed)
    texts = texts_by_id(table.node_ids, table.columns)
    if not texts and args.graph is not None:
        import pyarrow as pa

        from mmgraph.data.store import load_graph

        graph = load_graph(args.graph)
        position = graph.node_ids.positions(table.node_ids.values, where=f"{args.embeddings}, nodes of {args.graph}")
        columns = None if graph.columns is None else graph.columns.take(pa.array(position))
        texts = texts_by_id(table.node_ids, columns)
    return name_clusters(found, texts)


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out} is as before; run the same command again"
