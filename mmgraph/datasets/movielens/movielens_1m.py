"""The list of movies of MovieLens 1M, and which of them a movie of MovieLens 100K is."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmgraph.datasets.movielens.source import readable_title
from mmgraph.errors import InputError

FILE = "movies.dat"
_LINE = re.compile(r"(\d+)::(.+?)\s*\((\d{4})\)\s*::(.*)")
_INSIDE = re.compile(r"\(([^()]*)\)")
_YEAR_AT_END = re.compile(r"\s*\((\d{4})\)$")

Movie = tuple[str, int]
"""Title, with or without its article first, and year."""


def find_movies_file(name: str, local: Sequence[Path]) -> Path:
    """The file `movies.dat`: given itself, or in a folder.

    Args:
        name: Name of the dataset, for errors.
        local: Files or folders of the user.

    Raises:
        InputError: Says what is needed, from where and why, or what was found instead.
    """
    if not local:
        raise InputError(
            f"{name}: needs {FILE} of MovieLens 1M, because the links of the knowledge graph go by its numbers and its "
            "terms do not allow to pass it on; fetch ml-1m.zip from https://grouplens.org/datasets/movielens/1m, "
            f"unpack it, and add --local ml-1m/{FILE}"
        )
    if len(local) > 1:
        raise InputError(f"{name}: expected one file or folder in --local, got {len(local)}")
    path = local[0]
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise InputError(f"{path}: file not found; {name} needs {FILE} of MovieLens 1M")
    return path


def parse_movies_1m(data: bytes, *, where: str = FILE) -> dict[int, Movie]:
    """Title and year by number, from lines `number::Title (year)::genres`; genres are not read.

    The file is in Latin-1; copies that were turned into UTF-8 are read as well.

    Raises:
        InputError: If a line has another form or a number occurs twice; names the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    movies: dict[int, Movie] = {}
    # Not splitlines, which takes the control characters of Latin-1 for ends of lines.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        match = _LINE.fullmatch(line.removesuffix("\r"))
        if match is None:
            raise InputError(f"{where}, line {number}: expected number::Title (year)::genres, got {line[:60]!r}")
        if int(match[1]) in movies:
            raise InputError(f"{where}, line {number}: movie {match[1]} occurs twice")
        movies[int(match[1])] = match[2], int(match[3])
    return movies


@dataclass(frozen=True)
class Join:
    """Which movie of MovieLens 1M a movie of MovieLens 100K is.

    Attributes:
        numbers: Number there by id here.
        how: Number of movies by the step that found them, and of those that none found.
        unmatched: Ids of movies for which there is none.
        ambiguous: Ids of movies for which a step found several.
    """

    numbers: Mapping[str, int]
    how: Mapping[str, int]
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]


def join_movies(movies: pd.DataFrame, others: Mapping[int, Movie]) -> Join:
    """Join movies by title and year, in steps from strict to lax; a movie takes the first step that finds anything.

    1. The same title (see `title_key`) and year.
    2. A name in common, and the year: names are the title, the title without what is in parentheses, and what is in
       parentheses (`Il Postino` and `Postino, Il (The Postman)`).
    3. A part of a name in common, and the year: parts stand at either side of a colon or dash (`Star Wars` and
       `Star Wars: Episode IV - A New Hope`).
    4. The same title, and a year before or after.

    A step that finds several leaves the movie without a link. Several movies may be one: MovieLens 100K has copies.

    Args:
        movies: As `parse_movies` gives them. A movie without a year may have it in its title.
        others: Title and year by number.
    """
    steps: dict[str, tuple[Callable[[str], set[str]], tuple[int, ...]]] = {
        "same title and year": (lambda title: {title_key(title)}, (0,)),
        "another name, same year": (_names, (0,)),
        "part of a name, same year": (_parts, (0,)),
        "same title, next year": (lambda title: {title_key(title)}, (-1, 1)),
    }
    asked = {name: _movie(title, year) for name, title, year in movies[["id", "title", "year"]].itertuples(index=False)}
    left = {name: movie for name, movie in asked.items() if movie is not None}
    numbers: dict[str, int] = {}
    ambiguous: list[str] = []
    how = {}
    for step, (keys, shifts) in steps.items():
        index: dict[tuple[str, int], set[int]] = defaultdict(set)
        for number, (title, year) in others.items():
            for key in keys(title):
                index[key, year].add(number)
        before = len(numbers)
        for name, (title, year) in list(left.items()):
            found = {n for key in keys(title) for shift in shifts for n in index.get((key, year + shift), ())}
            if found:
                del left[name]
            if len(found) == 1:
                numbers[name] = found.pop()
            elif found:
                ambiguous.append(name)
        how[step] = len(numbers) - before
    unmatched = [name for name in asked if name not in numbers and name not in ambiguous]
    return Join(
        {name: numbers[name] for name in asked if name in numbers},
        how | {"ambiguous": len(ambiguous), "not found": len(unmatched)},
        tuple(unmatched),
        tuple(ambiguous),
    )


def title_key(title: str) -> str:
    """What is compared of a title: letters and digits, article first, without accents and case, `&` read as `and`."""
    plain = unicodedata.normalize("NFKD", readable_title(title.strip())).casefold().replace("&", "and")
    return "".join(char for char in plain if char.isalnum())


def _movie(title: Any, year: Any) -> Movie | None:
    if not isinstance(title, str):
        return None
    if not pd.isna(year):
        return title, int(year)
    at_end = _YEAR_AT_END.search(title)
    return (title[: at_end.start()], int(at_end[1])) if at_end else None


def _names(title: str) -> set[str]:
    return {key for key in map(title_key, [title, *_readings(title)]) if key}


def _parts(title: str) -> set[str]:
    parts = [part for name in _readings(title) for part in re.split(r": | - ", name)]
    return _names(title) | {key for key in map(title_key, parts) if key}


def _readings(title: str) -> list[str]:
    """The title without what is in parentheses, and what is in them."""
    inside = [re.sub(r"^a\.?k\.?a\.? ", "", text) for text in _INSIDE.findall(title)]
    return [re.sub(r"\s*\([^()]*\)", "", title), *inside]
