"""MovieLens 100K: users, movies and what they liked, from the example data inside the RecBole wheel."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.pip_files import Wheel, fetch_wheel, read_member
from mmgraph.errors import InputError, first_few
from mmgraph.formats.tables import write_tables
from mmgraph.seeding import generator
from mmgraph.splits.groups import NODE_SHARES, check_held_out, grouped_split
from mmgraph.tasks.base import Task, save_tasks
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask

WHEEL = Wheel(
    requirement="recbole==1.2.1",
    file="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
LIKED = 4.0
UNKNOWN_TITLE, UNKNOWN_GENRE = "unkonwn", "unknown"  # the first is spelled so in the source

NOTICE = """# movielens-100k

Built by `mmgraph datasets build movielens-100k`; the card is `datasets/movielens-100k/README.md` in the source of mmgraph.

F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on
Interactive Intelligent Systems 5, 4, Article 19. GroupLens asks for this citation, and allows neither commercial use
nor redistribution without permission: do not publish this folder.
"""


def build(folder: Path, options: BuildOptions) -> None:
    """Fill an empty folder with the graph and its tasks."""
    wheel = fetch_wheel(WHEEL, options.cache)
    ratings = parse_ratings(read_member(wheel, f"{FOLDER}.inter"), where=f"{FOLDER}.inter")
    movies = parse_movies(read_member(wheel, f"{FOLDER}.item"), where=f"{FOLDER}.item")
    build_movielens(folder, ratings, movies, options)


def build_movielens(folder: Path, ratings: pd.DataFrame, movies: pd.DataFrame, options: BuildOptions) -> None:
    """Fill an empty folder from parsed tables.

    Args:
        folder: Where to write.
        ratings: As `parse_ratings` gives them.
        movies: As `parse_movies` gives them.
        options: Seed and hold-out.
    """
    ratings = split_ratings(ratings, options.seed)
    likes = ratings[ratings["rating"] >= LIKED]
    tasks: list[Task] = [NodeClassificationTask("genres", genre_labels(movies, options.seed), multi_label=True)]
    if options.holdout:
        held_out = ratings[ratings["split"].isin(["seen", "valid", "test"])]
        likes = likes[likes["split"] == "train"]
        check_held_out(_pairs(held_out), _pairs(likes))
        table = pa.table({name: held_out[name].tolist() for name in ("user", "item", "split")})
        tasks.append(RecommendationTask("recommend", "likes", "user", "movie", table))
    users = sorted(ratings["user"].unique(), key=_number)
    write_tables(_raw_graph(users, movies, likes), folder, overwrite=True)
    save_tasks(tasks, folder)
    (folder / "README.md").write_text(NOTICE, encoding="utf-8")


def parse_atomic(data: bytes, columns: dict[str, str], *, where: str) -> pd.DataFrame:
    """Read a RecBole "atomic file": tab-separated, header `name:type`, no quoting.

    Args:
        data: Content of the file.
        columns: New name by name in the header (without its type).
        where: Named in errors.

    Raises:
        InputError: If a column is missing or the text is not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8, got: {error}") from None
    table = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    table = table.rename(columns=lambda name: name.split(":")[0])
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"{where}: missing columns {first_few(missing)}; got {first_few(list(table.columns))}")
    return table[list(columns)].rename(columns=columns)


def parse_ratings(data: bytes, *, where: str = "ratings") -> pd.DataFrame:
    """Ratings, sorted by user and item; columns `user`, `item` (ids of nodes), `rating`, `time` (seconds).

    Raises:
        InputError: If columns are missing, a value is no number, or a user rated an item twice.
    """
    names = {"user_id": "user", "item_id": "item", "rating": "rating", "timestamp": "time"}
    table = parse_atomic(data, names, where=where)
    try:
        table["rating"] = table["rating"].astype(np.float32)
        table["time"] = table["time"].astype(np.int64)
    except ValueError as error:
        raise InputError(f"{where}: expected numbers as rating and timestamp, got: {error}") from None
    twice = table[table.duplicated(["user", "item"])]
    if len(twice):
        raise InputError(f"{where}: user {twice['user'].iloc[0]} rated item {twice['item'].iloc[0]} more than once")
    table["user"], table["item"] = "user:" + table["user"], "movie:" + table["item"]
    return table.sort_values(["user", "item"], ignore_index=True)


def parse_movies(data: bytes, *, where: str = "movies") -> pd.DataFrame:
    """Movies, sorted by number; columns `id`, `text` (title and year, or None), `title`, `year`, `genres` (list)."""
    names = {"item_id": "id", "movie_title": "title", "release_year": "year", "class": "genres"}
    table = parse_atomic(data, names, where=where)
    known = table["title"] != UNKNOWN_TITLE
    table["title"] = table["title"].map(readable_title).where(known, None)
    table["year"] = pd.to_numeric(table["year"], errors="coerce").astype("Int64")
    table["text"] = [
        None if title is None else title if pd.isna(year) else f"{title} ({year})"
        for title, year in zip(table["title"].where(known, None).tolist(), table["year"], strict=True)
    ]
    table["genres"] = [[genre for genre in row.split() if genre != UNKNOWN_GENRE] for row in table["genres"]]
    table["id"] = "movie:" + table["id"]
    return table.sort_values("id", key=lambda column: column.map(_number), ignore_index=True)


def readable_title(title: str) -> str:
    """Put the article first again: `Usual Suspects, The` -> `The Usual Suspects`, also inside parentheses."""
    articles = r"The|A|An|La|Le|Les|L'|Il|Lo|El|Los|Las|Der|Die|Das|Det|Den|O|Os|Une?"
    return re.sub(rf"([^()]+), ({articles})(?= ?[()]|$)", _article_first, title)


def _article_first(match: re.Match[str]) -> str:
    title, article = match.groups()
    space = "" if article.endswith("'") else " "
    return f"{article}{space}{title}"


def split_ratings(ratings: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Split every user's likes by time: the last fifth (at least one) `test`, the tenth before `valid`, else `train`.

    Likes of the same second come in an order drawn from the seed. Lower ratings are `seen` if they are older than the
    user's first test like, else they have no split: at the time of the test nobody knows them.

    Args:
        ratings: As `parse_ratings` gives them.
        seed: Seed of the order among equal times.

    Returns:
        The ratings with a column `split` (None where there is none).
    """
    order = torch.randperm(len(ratings), generator=generator(seed, "movielens", "ties")).numpy()
    table = ratings.assign(split=None, order=order)
    liked = table[table["rating"] >= LIKED].sort_values(["user", "time", "order"])
    users = liked.groupby("user")
    rank, count = users.cumcount(), users["time"].transform("size")
    num_test = (count // 5).clip(lower=1)
    is_test = rank >= count - num_test
    is_valid = ~is_test & (rank >= count - num_test - count // 10)
    table.loc[liked.index, "split"] = np.where(is_test, "test", np.where(is_valid, "valid", "train"))
    first_test = liked[is_test].groupby("user")["time"].min()
    lower = table["rating"] < LIKED
    table.loc[lower & (table["time"] < table["user"].map(first_test)), "split"] = "seen"
    return table.drop(columns="order")


def genre_labels(movies: pd.DataFrame, seed: int) -> pa.Table:
    """Labels of the genre task. Movies that occur twice under the same title and year lie in one split."""
    labelled = movies[movies["genres"].map(len) > 0]
    splits = grouped_split(
        [text or name for text, name in zip(labelled["text"], labelled["id"], strict=True)],
        NODE_SHARES,
        generator(seed, "movielens", "genres"),
    )
    genres = pa.array(labelled["genres"].tolist(), pa.list_(pa.string()))
    return pa.table({"id": labelled["id"].tolist(), "label": genres, "split": splits})


def _number(name: str) -> int:
    return int(name.rpartition(":")[2])


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["user"], table["item"], strict=True))


def _raw_graph(users: list[str], movies: pd.DataFrame, likes: pd.DataFrame) -> RawGraph:
    node_ids = NodeIds([*users, *movies["id"]], where="movielens-100k")
    node_types, node_type = encode_node_types(["user"] * len(users) + ["movie"] * len(movies))
    ends = [node_ids.positions(likes[name].tolist(), where=f"ratings, {name}") for name in ("user", "item")]
    nothing: list[None] = [None] * len(users)
    likes_relation = Relation(
        torch.from_numpy(np.stack(ends)),
        "user",
        "movie",
        attributes={
            "rating": torch.tensor(likes["rating"].to_numpy(copy=True)),
            "time": torch.tensor(likes["time"].to_numpy(copy=True)),
        },
    )
    years = [None if pd.isna(year) else int(year) for year in movies["year"]]
    return RawGraph(
        name="movielens-100k",
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations={"likes": likes_relation},
        content={"text": nothing + [text if isinstance(text, str) else None for text in movies["text"]]},
        columns=pa.table({"year": pa.array(nothing + years, pa.int64())}),
    )
