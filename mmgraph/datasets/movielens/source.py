"""The files inside the wheel, as tables with ids of nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmgraph.data.ids import NodeIds
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.pip_files import Wheel, fetch_wheel, read_member
from mmgraph.errors import InputError
from mmgraph.formats.recbole.atomic import AtomicFile, parse_atomic

WHEEL = Wheel(
    requirement="recbole==1.2.1",
    file="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
LIKED = 4.0
UNKNOWN_TITLE, UNKNOWN_GENRE = "unkonwn", "unknown"  # the first is spelled so in the source
NO_OCCUPATION = ("other", "none")
"""Answers that say nothing two users would have in common."""

AGE_BANDS = {17: "under 18", 24: "18-24", 34: "25-34", 44: "35-44", 49: "45-49", 55: "50-55"}
"""Last year of each band but that of the oldest; the bands of MovieLens 1M."""
OLDEST = "56 and over"


@dataclass(frozen=True, eq=False)
class MovieLens:
    """What is read.

    Attributes:
        ratings: Columns `user`, `item` (ids of nodes), `rating`, `time`; sorted by user and item.
        movies: Columns `id`, `text`, `title`, `year`, `genres`; sorted by number.
        users: Columns `id`, `occupation`, `age_band`; sorted by number.
    """

    ratings: pd.DataFrame
    movies: pd.DataFrame
    users: pd.DataFrame

    def check(self) -> None:
        """Refuse ratings of or by nobody.

        Raises:
            InputError: Counts the unknown ids and lists the first.
        """
        NodeIds(self.users["id"], where="users").positions(self.ratings["user"], where="ratings, user")
        NodeIds(self.movies["id"], where="movies").positions(self.ratings["item"], where="ratings, item")


def read_wheel(options: BuildOptions) -> MovieLens:
    """Read the wheel: a local one, or that of the cache, or one fetched through pip.

    Raises:
        InputError: If it cannot be had, or is not the pinned one.
    """
    path = fetch_wheel(WHEEL, options.cache)
    ratings, movies, users = (f"{FOLDER}.{ending}" for ending in ("inter", "item", "user"))
    return MovieLens(
        parse_ratings(read_member(path, ratings), where=ratings),
        parse_movies(read_member(path, movies), where=movies),
        parse_users(read_member(path, users), where=users),
    )


def parse_ratings(data: bytes, *, where: str = "ratings") -> pd.DataFrame:
    """Ratings, sorted by user and item; columns `user`, `item` (ids of nodes), `rating`, `time` (seconds).

    Raises:
        InputError: If fields are missing, a value is no number, or a user rated an item twice.
    """
    file = parse_atomic(data, where=where)
    table = pd.DataFrame(
        {
            "user": file.tokens("user_id").to_pylist(),
            "item": file.tokens("item_id").to_pylist(),
            "rating": file.numbers("rating").to_numpy().astype(np.float32),
            "time": file.numbers("timestamp").to_numpy().astype(np.int64),
        }
    )
    twice = table[table.duplicated(["user", "item"])]
    if len(twice):
        raise InputError(
            f"{file.line(int(twice.index[0]))}: user {twice['user'].iloc[0]} rated item {twice['item'].iloc[0]} "
            "more than once"
        )
    table["user"], table["item"] = "user:" + table["user"], "movie:" + table["item"]
    return table.sort_values(["user", "item"], ignore_index=True)


def parse_movies(data: bytes, *, where: str = "movies") -> pd.DataFrame:
    """Movies, sorted by number; columns `id`, `text` (title and year, or None), `title`, `year`, `genres` (list).

    Raises:
        InputError: If fields are missing, or a movie has no number or occurs twice.
    """
    file = parse_atomic(data, where=where)
    raw = [" ".join(words) for words in file.values("movie_title", "token_seq").to_pylist()]
    title = [None if name == UNKNOWN_TITLE else readable_title(name) for name in raw]
    year = pd.to_numeric(pd.Series(file.values("release_year", "token").to_pylist()), errors="coerce").astype("Int64")
    genres = file.values("class", "token_seq").to_pylist()
    table = pd.DataFrame(
        {
            "id": _numbered(file, "item_id", "movie"),
            "text": [
                name if name is None or pd.isna(when) else f"{name} ({when})"
                for name, when in zip(title, year, strict=True)
            ],
            "title": title,
            "year": year,
            "genres": [[genre for genre in row if genre != UNKNOWN_GENRE] for row in genres],
        }
    )
    return table.sort_values("id", key=lambda column: column.map(number_of), ignore_index=True)


def parse_users(data: bytes, *, where: str = "users") -> pd.DataFrame:
    """Users, sorted by number; columns `id`, `occupation` (None if it says nothing) and `age_band`.

    Postal code and gender are not read: with the exact age they would single out most users.

    Raises:
        InputError: If fields are missing, an age is no number, or a user has no number or occurs twice.
    """
    file = parse_atomic(data, where=where)
    ages = file.values("age", "token").to_pylist()
    for row, age in enumerate(ages):
        if not str(age).isdecimal():
            raise InputError(f"{file.line(row)}: expected a number as age, got {age!r}")
    occupations = file.values("occupation", "token").to_pylist()
    table = pd.DataFrame(
        {
            "id": _numbered(file, "user_id", "user"),
            "occupation": [None if job in NO_OCCUPATION else job for job in occupations],
            "age_band": [age_band(int(age)) for age in ages],
        }
    )
    return table.sort_values("id", key=lambda column: column.map(number_of), ignore_index=True)


def age_band(age: int) -> str:
    """The band that an age lies in."""
    return next((band for last, band in AGE_BANDS.items() if age <= last), OLDEST)


def readable_title(title: str) -> str:
    """Put the article first again: `Usual Suspects, The` -> `The Usual Suspects`, also inside parentheses."""
    articles = r"The|A|An|La|Le|Les|L'|Il|Lo|El|Los|Las|Der|Die|Das|Det|Den|O|Os|Une?"
    return re.sub(rf"([^()]+), ({articles})(?= ?[()]|$)", _article_first, title)


def _article_first(match: re.Match[str]) -> str:
    title, article = match.groups()
    space = "" if article.endswith("'") else " "
    return f"{article}{space}{title}"


def number_of(name: str) -> int:
    """The number in an id: `movie:12` -> 12."""
    return int(name.rpartition(":")[2])


def _numbered(file: AtomicFile, field: str, node_type: str) -> list[str]:
    tokens = file.tokens(field).to_pylist()
    for row, token in enumerate(tokens):
        if not token.isdecimal():
            raise InputError(f"{file.line(row)}: expected a number as {field}, got {token!r}")
    ids = [f"{node_type}:{token}" for token in tokens]
    NodeIds(ids, where=file.where)  # refuses repeats
    return ids
