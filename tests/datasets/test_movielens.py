from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.movielens import (
    WHEEL,
    build_movielens,
    genre_labels,
    parse_movies,
    parse_ratings,
    readable_title,
    split_ratings,
)
from mmgraph.errors import InputError
from mmgraph.formats.tables import read_tables
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask

MOVIES = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "10\tNet, The\t1995\tSci-Fi Thriller\n"
    '2\tSay "Yes"\t1990\tComedy\n'
    "3\tunkonwn\tunkonwn\tunknown\n"
    "4\tFly Away Home\t1996\tAdventure Children's\n"
    "5\tFly Away Home\t1996\tAdventure Children's\n"
)


def ratings_file(rows: list[tuple[int, int, float, int]]) -> bytes:
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += ["\t".join(map(str, row)) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def random_ratings(num_users: int = 12, num_items: int = 30, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(1, num_users + 1):
        items = rng.permutation(num_items)[: int(rng.integers(8, 25))] + 1
        rows += [(user, int(item), float(rng.integers(1, 6)), int(rng.integers(0, 10))) for item in items]
    return ratings_file(rows)


def many_movies(num_items: int = 30) -> bytes:
    head = MOVIES.splitlines()[0]
    return "\n".join([head, *(f"{i}\tFilm {i}\t19{50 + i}\tDrama Comedy" for i in range(1, num_items + 1))]).encode()


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Usual Suspects, The", "The Usual Suspects"),
        ("Misérables, Les", "Les Misérables"),
        ("Postino, Il", "Il Postino"),
        ("Double vie de Véronique, La (Double Life of Veronique, The)", "La Double vie de Véronique (The Double Life of Veronique)"),
        ("To Wong Foo, Thanks for Everything! Julie Newmar", "To Wong Foo, Thanks for Everything! Julie Newmar"),
        ("Eat, Pray, Theme", "Eat, Pray, Theme"),
        ("Toy Story", "Toy Story"),
    ],
)  # fmt: skip
def test_articles_come_first(title: str, expected: str) -> None:
    assert readable_title(title) == expected


def test_movies_are_sorted_by_number_and_an_unknown_title_is_absent() -> None:
    movies = parse_movies(MOVIES.encode())
    assert movies["id"].tolist() == ["movie:2", "movie:3", "movie:4", "movie:5", "movie:10"]
    texts = [None if pd.isna(text) else text for text in movies["text"]]
    assert texts == ['Say "Yes" (1990)', None, "Fly Away Home (1996)", "Fly Away Home (1996)", "The Net (1995)"]
    assert movies["genres"].tolist()[1] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"user_id:token\titem_id:token\n1\t2\n", r"toy\.inter: missing columns 'rating', 'timestamp'"),
        (ratings_file([(1, 2, 3.0, 4), (1, 2, 5.0, 6)]), "user 1 rated item 2 more than once"),
        (ratings_file([(1, 2, "five", 4)]), "expected numbers as rating and timestamp"),  # type: ignore[list-item]
        (b"user_id:token\xff\n", r"toy\.inter: expected UTF-8"),
    ],
)
def test_bad_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_ratings(data, where="toy.inter")


def test_likes_are_split_by_time() -> None:
    rows = [(1, item, 5.0, 100 + item) for item in range(1, 21)]
    rows += [(1, 30, 1.0, 100), (1, 31, 3.0, 116), (1, 32, 2.0, 117), (1, 33, 2.0, 500)]
    rows += [(2, 1, 4.0, 7), (2, 2, 3.0, 6), (3, 1, 2.0, 1)]
    split = split_ratings(parse_ratings(ratings_file(rows)), seed=0).set_index(["user", "item"])["split"]
    first = [split["user:1", f"movie:{item}"] for item in range(1, 21)]
    assert first == ["train"] * 14 + ["valid"] * 2 + ["test"] * 4
    # The first test like is of second 117: a lower rating of that second or later is not known at that time.
    lower = [split["user:1", f"movie:{item}"] for item in (30, 31, 32, 33)]
    assert lower[:2] == ["seen", "seen"]
    assert pd.isna(lower[2:]).all()
    assert split["user:2", "movie:1"] == "test"  # a single like is the test
    assert split["user:2", "movie:2"] == "seen"
    assert pd.isna(split["user:3", "movie:1"])  # without a test like nothing is asked of a user


@pytest.mark.parametrize("seed", [0, 1])
def test_no_like_in_the_graph_is_later_than_a_held_out_one(seed: int) -> None:
    table = split_ratings(parse_ratings(random_ratings(seed=seed)), seed=seed)
    liked = table[table["rating"] >= 4]
    assert liked["split"].notna().all()
    for _, rows in liked.groupby("user"):
        times = {split: part["time"] for split, part in rows.groupby("split")}
        latest = max((times[s].max() for s in ("train", "valid") if s in times), default=-1)
        assert latest <= times["test"].min()
        assert len(times["test"]) == max(1, len(rows) // 5)


def test_the_order_of_rows_does_not_matter() -> None:
    header, *lines = random_ratings().decode().splitlines()
    backwards = "\n".join([header, *reversed(lines)]).encode()
    pd.testing.assert_frame_equal(
        split_ratings(parse_ratings(random_ratings()), 0), split_ratings(parse_ratings(backwards), 0)
    )


def test_copies_of_a_movie_share_a_split_and_movies_without_genre_are_left_out() -> None:
    for seed in range(5):
        rows = {row["id"]: row for row in genre_labels(parse_movies(MOVIES.encode()), seed).to_pylist()}
        assert set(rows) == {"movie:2", "movie:4", "movie:5", "movie:10"}
        assert rows["movie:4"]["split"] == rows["movie:5"]["split"]
        assert rows["movie:10"]["label"] == ["Sci-Fi", "Thriller"]


def build(folder: Path, *, holdout: bool = True, seed: int = 0) -> Path:
    folder.mkdir()
    options = BuildOptions(name="movielens-100k", seed=seed, holdout=holdout, cache=folder / "unused")
    build_movielens(folder, parse_ratings(random_ratings()), parse_movies(many_movies()), options)
    return folder


def test_no_held_out_rating_is_in_the_graph(tmp_path: Path) -> None:
    folder = build(tmp_path / "a")
    raw, tasks = read_tables(folder), load_tasks(folder)
    assert isinstance(tasks["recommend"], RecommendationTask)
    assert isinstance(tasks["genres"], NodeClassificationTask)
    relation = raw.relations["likes"]
    source, target = (raw.node_ids.values[row] for row in relation.edge_index.numpy())
    in_graph = set(zip(source.tolist(), target.tolist(), strict=True))
    asked = {(row["user"], row["item"]) for row in tasks["recommend"].interactions.to_pylist()}
    assert in_graph
    assert asked
    assert not in_graph & asked
    ratings = parse_ratings(random_ratings())
    likes = {(r.user, r.item) for r in ratings[ratings["rating"] >= 4].itertuples()}
    assert in_graph < likes
    held_out = {(r["user"], r["item"]) for r in tasks["recommend"].interactions.to_pylist() if r["split"] != "seen"}
    assert in_graph | held_out == likes
    assert set(relation.attributes) == {"rating", "time"}
    assert float(relation.attributes["rating"].min()) >= 4


def test_genres_and_personal_data_are_in_no_table_of_the_graph(tmp_path: Path) -> None:
    folder = build(tmp_path / "a")
    nodes = pq.read_table(folder / "nodes.parquet")
    assert nodes.column_names == ["id", "type", "text", "year"]
    users = [row for row in nodes.to_pylist() if row["type"] == "user"]
    assert len(users) == 12
    assert all(row["text"] is None and row["year"] is None for row in users)
    assert not any("Drama" in (text or "") for text in nodes["text"].to_pylist())
    assert pq.read_table(folder / "edges.parquet").column_names == ["source", "target", "relation", "rating", "time"]


def test_without_holdout_all_likes_are_in_the_graph(tmp_path: Path) -> None:
    folder = build(tmp_path / "a", holdout=False)
    ratings = parse_ratings(random_ratings())
    assert read_tables(folder).relations["likes"].num_edges == int((ratings["rating"] >= 4).sum())
    assert list(load_tasks(folder)) == ["genres"]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two, other = (build(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) >= 7
    assert [(one / f).read_bytes() for f in files] == [(two / f).read_bytes() for f in files]
    recommend = Path("tasks/recommend/interactions.parquet")
    assert (one / recommend).read_bytes() != (other / recommend).read_bytes()


def test_the_pin_is_a_full_digest() -> None:
    assert len(WHEEL.sha256) == 64
    assert WHEEL.requirement == "recbole==1.2.1"
