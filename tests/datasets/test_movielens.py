from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmgraph.audit.dataset import audit_dataset
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.movielens.build import build_movielens
from mmgraph.datasets.movielens.source import (
    WHEEL,
    MovieLens,
    age_band,
    parse_movies,
    parse_ratings,
    parse_users,
    readable_title,
)
from mmgraph.datasets.movielens.tasks import BY_TIME, COLD_ITEMS, PER_USER, genre_labels, split_ratings
from mmgraph.errors import InputError
from mmgraph.formats.tables import read_tables
from mmgraph.splits.base import load_splits
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.from_split import task_from_split
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
        (b"user_id:token\titem_id:token\n1\t2\n", r"toy\.inter: missing field 'rating'"),
        (ratings_file([(1, 2, 3.0, 4), (1, 2, 5.0, 6)]), r"toy\.inter, line 3: user 1 rated item 2 more than once"),
        (ratings_file([(1, 2, "five", 4)]), r"toy\.inter, line 2: expected a number as rating:float, got 'five'"),  # type: ignore[list-item]
        (b"user_id:token\xff\n", r"toy\.inter, line 1: expected UTF-8"),
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


USERS = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"


def many_users(num_users: int = 12) -> bytes:
    jobs = ("doctor", "other", "writer", "none")
    rows = [f"{n}\t{10 + 4 * n}\tF\t{jobs[n % 4]}\tZIP{n}" for n in range(1, num_users + 1)]
    return (USERS + "\n".join(rows) + "\n").encode()


def movielens() -> MovieLens:
    return MovieLens(parse_ratings(random_ratings()), parse_movies(many_movies()), parse_users(many_users()))


def build(
    folder: Path, *, name: str = PER_USER, holdout: bool = True, seed: int = 0, data: MovieLens | None = None
) -> Path:
    folder.mkdir()
    options = BuildOptions(name=name, seed=seed, holdout=holdout, cache=folder / "unused")
    build_movielens(folder, data or movielens(), options)
    return folder


def likes_in(folder: Path) -> set[tuple[str, str]]:
    raw = read_tables(folder)
    source, target = (raw.node_ids.values[row].tolist() for row in raw.relations["likes"].edge_index.numpy())
    return set(zip(source, target, strict=True))


def test_users_have_an_age_band_and_an_occupation_that_says_something() -> None:
    rows = "10\t17\tM\tnone\t1\n9\t18\tF\tdoctor\t2\n2\t56\tF\tother\t3\n"
    users = parse_users((USERS + rows).encode())
    assert users["id"].tolist() == ["user:2", "user:9", "user:10"]
    assert users["occupation"].isna().tolist() == [True, False, True]
    assert users["occupation"].iloc[1] == "doctor"
    assert users["age_band"].tolist() == ["56 and over", "18-24", "under 18"]
    assert [age_band(age) for age in (7, 24, 25, 34, 44, 45, 49, 50, 55, 73)] == [
        "under 18", "18-24", "25-34", "25-34", "35-44", "45-49", "45-49", "50-55", "50-55", "56 and over"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1\told\tF\tdoctor\t1", r"toy\.user, line 2: expected a number as age, got 'old'"),
        ("x\t20\tF\tdoctor\t1", r"toy\.user, line 2: expected a number as user_id, got 'x'"),
        ("1\t20\tF\tdoctor\t1\n1\t30\tM\twriter\t2", r"toy\.user: 1 duplicate ids: 'user:1'"),
    ],
)
def test_bad_users_are_named(row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_users((USERS + row + "\n").encode(), where="toy.user")


def test_a_rating_by_or_of_nobody_is_refused(tmp_path: Path) -> None:
    data = movielens()
    with pytest.raises(InputError, match="ratings, user: [0-9]+ unknown ids: 'user:1'"):
        build(tmp_path / "a", data=MovieLens(data.ratings, data.movies, data.users.iloc[1:]))
    with pytest.raises(InputError, match="ratings, item: [0-9]+ unknown ids: 'movie:1'"):
        build(tmp_path / "b", data=MovieLens(data.ratings, data.movies.iloc[1:], data.users))


def test_no_held_out_rating_is_in_the_graph(tmp_path: Path) -> None:
    folder = build(tmp_path / "a")
    raw, tasks = read_tables(folder), load_tasks(folder)
    assert isinstance(tasks["recommend"], RecommendationTask)
    assert isinstance(tasks["genres"], NodeClassificationTask)
    relation = raw.relations["likes"]
    in_graph = likes_in(folder)
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


def test_the_task_asks_what_the_ratings_say(tmp_path: Path) -> None:
    task = load_tasks(build(tmp_path / "a"))["recommend"]
    assert isinstance(task, RecommendationTask)
    table = split_ratings(parse_ratings(random_ratings()), 0)
    table = table[table["split"].isin(["seen", "valid", "test"])]
    assert task.interactions.to_pylist() == table[["user", "item", "split"]].to_dict("records")


@pytest.mark.parametrize("name", [PER_USER, BY_TIME, COLD_ITEMS])
def test_every_variant_saves_its_splits_and_leaks_nothing(tmp_path: Path, name: str) -> None:
    folder = build(tmp_path / "a", name=name)
    splits, tasks = load_splits(folder), load_tasks(folder)
    assert sorted(splits) == sorted(tasks) == ["genres", "recommend"]
    assert task_from_split("recommend", splits["recommend"]).digest == tasks["recommend"].digest
    assert read_tables(folder).name == name
    train = splits["recommend"].part("train").to_pylist()
    assert likes_in(folder) == {(row["user"], row["item"]) for row in train}
    assert audit_dataset(folder).findings == ()


def test_by_time_the_graph_is_older_than_what_is_asked(tmp_path: Path) -> None:
    split = load_splits(build(tmp_path / "a", name=BY_TIME))["recommend"]
    times = {part: split.part(part)["time"].to_pylist() for part in ("train", "valid", "test", "unused")}
    assert max(times["train"]) < min(times["valid"])
    assert max(times["valid"]) < min(times["test"])
    assert max(times["unused"]) < min(times["test"])
    ratings = movielens().ratings
    lower = ratings[(ratings["rating"] < 4) & (ratings["time"] < split.settings["first_test"])]
    seen = {(row["user"], row["item"]) for row in split.part("unused").to_pylist()}
    assert seen == set(zip(lower["user"], lower["item"], strict=True))


def test_cold_movies_have_no_like_and_copies_are_new_together(tmp_path: Path) -> None:
    movies = parse_movies(many_movies())
    copies = {f"movie:{n}": f"movie:{n - 1}" for n in range(2, 29, 2)}
    text = movies.set_index("id")["text"]
    movies["text"] = [text[copies.get(name, name)] for name in movies["id"]]
    data = MovieLens(movielens().ratings, movies, movielens().users)
    held_out = set()
    for seed in range(3):
        folder = build(tmp_path / str(seed), name=COLD_ITEMS, seed=seed, data=data)
        split = load_splits(folder)["recommend"]
        parts = {part: set(split.part(part)["item"].to_pylist()) for part in ("train", "valid", "test", "unused")}
        assert not parts["train"] & (parts["valid"] | parts["test"])
        assert parts["unused"] <= parts["train"]
        side = {item: part for part in ("train", "valid", "test") for item in parts[part]}
        pairs = [(one, other) for one, other in copies.items() if one in side and other in side]
        assert len(pairs) > 10
        assert all(side[one] == side[other] for one, other in pairs)
        held_out |= parts["valid"] | parts["test"]
    assert held_out & set(copies)  # they were not all in training, by whatever chance


def test_genres_and_personal_data_are_in_no_table_of_the_graph(tmp_path: Path) -> None:
    folder = build(tmp_path / "a")
    nodes = pq.read_table(folder / "nodes.parquet")
    assert nodes.column_names == ["id", "type", "text", "year", "age_band"]
    users = [row for row in nodes.to_pylist() if row["type"] == "user"]
    assert len(users) == 12
    assert all(row["text"] is None and row["year"] is None and row["age_band"] for row in users)
    text = " ".join(str(cell) for row in nodes.to_pylist() for cell in row.values())
    assert "Drama" not in text
    assert "ZIP" not in text
    assert pq.read_table(folder / "edges.parquet").column_names == ["source", "target", "relation", "rating", "time"]


def test_occupations_are_nodes_with_their_name_as_text(tmp_path: Path) -> None:
    raw = read_tables(build(tmp_path / "a"))
    texts: dict[str, Any] = dict(zip(raw.node_ids.values.tolist(), raw.content["text"], strict=True))
    assert {node: text for node, text in texts.items() if node.startswith("occ")} == {
        "occupation:doctor": "doctor",
        "occupation:writer": "writer",
    }
    source, target = (raw.node_ids.values[row].tolist() for row in raw.relations["has_occupation"].edge_index.numpy())
    assert dict(zip(source, target, strict=True)) == {
        **{f"user:{n}": "occupation:doctor" for n in (4, 8, 12)},
        **{f"user:{n}": "occupation:writer" for n in (2, 6, 10)},
    }


def test_without_holdout_all_likes_are_in_the_graph(tmp_path: Path) -> None:
    folder = build(tmp_path / "a", holdout=False)
    ratings = parse_ratings(random_ratings())
    assert read_tables(folder).relations["likes"].num_edges == int((ratings["rating"] >= 4).sum())
    assert list(load_tasks(folder)) == list(load_splits(folder)) == ["genres"]


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
