"""Filters: what they mean, what they refuse, and that pandas finds the same rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.export.filter_parser import MAX_CONDITIONS, MAX_DEPTH, MAX_LENGTH, Column, Comparison, Junction, Not, Value
from mmgraph.export.filters import Filter, parse_filter

BIG = 2**60 + 1
"""An integer that a float64 cannot hold."""
DAY = dt.date(2020, 2, 29)
ROWS = pa.table(
    {
        "id": ["a", "b", "it's", 'say "hi"', "\u6f22"],
        "type": ["film", "film", "user", "film", "user"],
        "year": [1990, None, 2000, BIG, -5],
        "price": pa.array([0.1, float("nan"), None, 2.5, -1.0], pa.float32()),
        "title": ["The End", "the end", None, "100% x_y", "An \u00e9 end"],
        "mood": pa.array(["sad", "glad", None, "sad", "glad"]).dictionary_encode(),
        "genres": [["drama", "war"], [], None, ["war", None], ["dramatic"]],
        "ratings": [[1, 5], [3], None, [], [5]],
        "seen": [True, False, None, True, False],
        "day": [DAY, None, dt.date(2021, 1, 1), dt.date(1969, 7, 20), DAY],
        "time": pa.array(
            [dt.datetime(2020, 2, 29, 12), None, None, dt.datetime(2021, 1, 1), None], pa.timestamp("ms", "UTC")
        ),
        "small": pa.array([1, 2, 3, 255, 0], pa.uint8()),
        "nothing": pa.nulls(5),
        "raw": [b"x", None, b"", b"y", b"z"],
        "the name": [1, 2, 3, 4, 5],
        "and": [1, 2, 3, 4, 5],
    }
)
"""Rows 0 to 4; missing values are in rows 1 and 2."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('id = "a"', [0]),
        ('id = \'it\'\'s\' or id = "say ""hi"""', [2, 3]),
        ('id in ("\u6f22", "a", "nobody")', [0, 4]),
        ('type = "user"', [2, 4]),
        ("year >= 1990", [0, 2, 3]),
        ("year != 1990", [2, 3, 4]),
        ("not year = 1990", [2, 3, 4]),
        ("not (year > 1990 or title = 'none')", [0, 4]),  # row 1: unknown, row 2: true
        ("year is null", [1]),
        ("year is not null and price is null", [2]),
        ("price is null", [1, 2]),  # NaN is missing
        ("price = 0.1", [0]),  # the float32 nearest to 0.1
        ("price > 0.1", [3]),
        ("price <= -1", [4]),
        ("price in (0.1, 2.5, 7)", [0, 3]),
        (f"year = {BIG}", [3]),
        (f"year = {BIG - 1}", []),  # no detour over floats
        (f"year > {BIG - 1}", [3]),
        (f"year in ({BIG - 1}, 1990)", [0]),
        ("year > 1999.5", [2, 3]),
        ("year < -4.5", [4]),
        ("year = 1999.5", []),
        ("year != 1999.5", [0, 2, 3, 4]),
        ("year in (1990.0, 2000.5)", [0]),
        ("year < 1e300 and year > -1e300", [0, 2, 3, 4]),
        ("small >= -1", [0, 1, 2, 3, 4]),
        ("small < -1 or small > 256", []),
        ("small in (-1, 255, 256)", [3]),
        ("not small in (255, 256)", [0, 1, 2, 4]),
        ("year between 1990 and 2000", [0, 2]),
        ("year not between 1990 and 2000", [3, 4]),
        ("year not in (1990)", [2, 3, 4]),
        ('title contains "end"', [1, 4]),  # upper and lower case are not the same
        ('title not contains "end"', [0, 3]),
        ('title contains "0%"', [3]),
        ('title contains "x.y"', []),  # no patterns
        ('title starts with "The"', [0]),
        ('title starts with ""', [0, 1, 3, 4]),
        ('title > "The"', [0, 1]),
        ('mood = "glad"', [1, 4]),
        ('mood in ("sad", "mad")', [0, 3]),
        ('genres contains "drama"', [0]),
        ('not genres contains "drama"', [1, 3, 4]),
        ("ratings contains 5", [0, 4]),
        ("genres is null", [2]),
        ("seen = true", [0, 3]),
        ("seen != TRUE", [1, 4]),
        ("seen in (false)", [1, 4]),
        ('day = "2020-02-29"', [0, 4]),
        ('day < "1970-01-01"', [3]),
        ('day in ("2021-01-01")', [2]),
        ('time > "2020-02-29"', [0, 3]),  # midnight, UTC
        ('time between "2020-02-29T12:00:00" and "2020-03-01"', [0]),
        ('time in ("2021-01-01")', [3]),
        ("nothing is null", [0, 1, 2, 3, 4]),
        ("nothing = 1 or nothing in (1) or nothing != 'x'", []),
        ("raw is null", [1]),
        ("`the name` = 2 or `and` = 3", [1, 2]),
        # "and" binds closer than "or", "not" closer than both
        ("small = 1 or small = 2 and year = 0", [0]),
        ("(small = 1 or small = 2) and year is null", [1]),
        ("not small = 1 and not small = 2", [2, 3, 4]),
        ("NOT small=1 AND\n\tsmall<>2", [2, 3, 4]),
        ("small == 1", [0]),
        # what is true whatever the missing value is
        ("year = 0 or seen = true", [0, 3]),
        ("not (year = 0 and small = 0)", [0, 1, 2, 3, 4]),
    ],
)
def test_meaning(text: str, expected: list[int]) -> None:
    assert parse_filter(text).mask(ROWS).tolist() == expected
    chunks = pa.concat_tables([ROWS.slice(0, 2), ROWS.slice(2, 0), ROWS.slice(2)], promote_options="none")
    assert parse_filter(text).mask(chunks).tolist() == expected
    later = [row - 1 for row in expected if row]
    assert parse_filter(text).mask(ROWS.slice(1)).tolist() == later


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "filter, position 1: expected a column, 'not', 'within' or '\\(', found the end"),
        (
            "year",
            "position 5: expected one of =, !=, <, <=, >, >=, in, between, contains, starts with, is, found the end",
        ),
        ("year =", "position 7: expected a text in quotes, a number, true or false, found the end"),
        ("year = null", "position 8: expected .* \\('is null' finds what is missing\\), found 'null'"),
        ("mood = sad", "position 8: expected a text in quotes, a number, true or false, found 'sad'"),
        ("year not 3", "position 10: expected in, between, contains or starts with, found '3'"),
        ("year is 3", "position 9: expected 'null', found '3'"),
        ("year in ()", "position 10: expected a text in quotes"),
        ("year in (1,)", "position 12: expected a text in quotes"),
        ("year between 1 or 2", "position 16: expected 'and', found 'or'"),
        ("title starts 'x'", "position 7: expected one of =.*, found 'starts'"),
        ("(year = 1", "position 10: expected '\\)', found the end"),
        ("year = 1)", "position 9: expected and, or, or the end of the filter, found '\\)'"),
        ("year = 1 year = 2", "position 10: expected and, or, or the end of the filter, found 'year'"),
        ("year = 1; drop table nodes", "position 9: unexpected character ';'"),
        ("year = 1 -- x", "position 10: unexpected character '-'"),
        ("and = 1", "position 1: expected a column"),
        ("title = 'x", "position 9: the quote ' is not closed"),
        ('id = "a\n', 'position 6: the quote " is not closed'),
        ("`` = 1", "position 1: the quote ` is not closed"),
        ("title = '\ud800'", "position 9: expected a text, found half of a character"),
        ("price < 1e999", "position 9: expected a finite number, found '1e999'"),
        ("price < " + 500 * "9", "position 9: expected a number of at most 400 digits, found 500"),
        ("price < " + 350 * "9", "position 9: column 'price' holds float; the number is too large"),
        ("yaer = 1", "position 1: unknown column 'yaer'; choose from: year, "),
        ("small = 1 and Year = 1", "position 15: unknown column 'Year'"),
        ("year = 'x'", "position 8: column 'year' holds numbers, got 'x'"),
        ("year = true", "position 8: column 'year' holds numbers, got True"),
        ("title = 3", "position 9: column 'title' holds texts, got 3"),
        ("title in ('x', 3)", "position 16: column 'title' holds texts, got 3"),
        ("title contains 3", "position 16: column 'title' holds texts, got 3"),
        ("year contains 'x'", "position 15: column 'year' holds numbers; 'contains' expects texts"),
        ("genres = 'war'", "position 10: column 'genres' holds lists; expected contains, got '='"),
        ("genres contains 3", "position 17: column 'genres' holds texts, got 3"),
        ("seen < true", "position 8: column 'seen' holds true and false; expected = or !=, got '<'"),
        ("seen = 1", "position 8: column 'seen' holds true and false, got 1"),
        ("day = 'today'", "position 7: column 'day' holds dates; expected a date as 2020-01-31, got 'today'"),
        ("day in ('2020-02-30')", "position 9: column 'day' holds dates; expected a date as"),
        ("time > 'noon'", "position 8: column 'time' holds dates; expected a time as"),
        ("day > 2020", "position 7: column 'day' holds dates, got 2020"),
        ("raw = 'x'", "position 7: column 'raw' holds values of type binary; expected 'is null', got '='"),
        ("within 2 of 'a'", "position 1: 'within' needs a graph, give --graph or graph="),
        ("within 2.5 of 'a'", "position 8: expected a whole number of hops from 0 to 10, found 2.5"),
        ("within 11 of 'a'", "position 8: expected a whole number of hops from 0 to 10, found 11"),
        ("within -1 of 'a'", "position 8: expected a whole number of hops from 0 to 10, found -1"),
        ("within 2 from 'a'", "position 10: expected 'of', found 'from'"),
        ("within 2 of a", "position 13: expected the id of a node, in quotes if it is a text, found 'a'"),
        ("within two of 'a'", "position 8: expected one of =.*, found 'two'"),
        (40 * "(" + "year = 1" + 40 * ")", f"position 34: expected at most {MAX_DEPTH} levels"),
        (40 * "not " + "year = 1", f"expected at most {MAX_DEPTH} levels of parentheses and 'not'"),
        (" or ".join(70 * ["year = 1"]), f"expected at most {MAX_CONDITIONS} conditions"),
        ("year = 1" + MAX_LENGTH * " ", "filter: expected at most 20,000 characters, got 20,008"),
    ],
)
def test_what_is_refused_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_filter(text).mask(ROWS)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_as_deep_and_as_long_as_allowed() -> None:
    for text in (
        MAX_DEPTH * "(" + "small = 1" + MAX_DEPTH * ")",
        MAX_DEPTH * "not " + "small = 1",
        " and ".join(MAX_CONDITIONS * ["small = 1"]),
        f"small in ({', '.join(str(i) for i in range(1, 3500))})",
    ):
        assert parse_filter(text).mask(ROWS)[0] == 0


def test_the_tree() -> None:
    found = parse_filter("not a = 1 and b >= 'x'")
    first, second = Comparison(Column("a", 5), "=", Value(1, 9)), Comparison(Column("b", 15), ">=", Value("x", 20))
    assert found == Filter("not a = 1 and b >= 'x'", Junction("and", (Not(first), second)))
    assert str(found) == found.text
    assert not found.needs_graph
    assert parse_filter('a = 1 or not (b = 2 and within 1 of "x")').needs_graph


def make_graph(ids: list[Any]) -> MultimodalGraph:
    """A path 0 - 1 - 2 - 3 of two relations, one of them backwards, and node 4 alone."""
    relations = {
        "next": Relation(torch.tensor([[0, 3], [1, 2]]), "x", "x"),
        "like": Relation(torch.tensor([[1], [2]]), "x", "x"),
    }
    return MultimodalGraph("path", NodeIds(ids), ("x",), torch.zeros(len(ids), dtype=torch.int64), relations)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('within 0 of "a"', ["a"]),
        ('within 1 of "a"', ["a", "b"]),
        ('within 2 of "a"', ["a", "b", "c"]),
        ('within 1 of ("a", "d")', ["a", "b", "c", "d"]),
        ('within 10 of "d"', ["a", "b", "c", "d"]),
        ('within 3 of "e"', ["e"]),
        ('not within 1 of "a"', ["c", "d", "e", "new"]),  # never unknown
        ('within 1 of "c" and within 1 of "a"', ["b"]),
    ],
)
def test_neighbourhoods_are_joined_by_id(text: str, expected: list[str]) -> None:
    # The table has another order, lacks nothing and knows a node that the graph lacks.
    rows = pa.table({"id": ["new", "e", "c", "a", "d", "b"], "type": 6 * ["x"]})
    found = parse_filter(text).mask(rows, graph=make_graph(["a", "b", "c", "d", "e"]))
    assert sorted(rows["id"].take(pa.array(found)).to_pylist()) == expected


def test_neighbourhoods_of_integer_ids_and_what_is_refused() -> None:
    rows, graph = pa.table({"id": [7, 30, 20], "type": 3 * ["x"]}), make_graph([10, 20, 30, 40, 50])
    assert parse_filter("within 1 of 20").mask(rows, graph=graph).tolist() == [1, 2]
    for text, message in {
        "within 1 of 21": "filter, position 13: graph 'path': 1 unknown ids: 21",
        "within 1 of '20'": "filter, position 13: the ids of graph 'path' are integers, got '20'",
        "within 1 of true": "the ids of graph 'path' are integers, got True",
        "within 1 of 20.0": "the ids of graph 'path' are integers, got 20.0",
    }.items():
        with pytest.raises(InputError, match=message):
            parse_filter(text).mask(rows, graph=graph)
    with pytest.raises(InputError, match="the ids of graph 'path' are integers, those of the table string"):
        parse_filter("within 1 of 20").mask(ROWS, graph=graph)


def test_a_column_called_within_or_in() -> None:
    rows = pa.table({"id": ["a", "b"], "within": [1, 2], "in": [3, 4], "is": [5, 6]})
    assert parse_filter("within = 2 and in in (4) and is is not null").mask(rows).tolist() == [1]


# Any text is a filter or is refused in one line.

KEYWORDS = ["and", "or", "not", "in", "is", "null", "true", "between", "contains", "starts", "with", "within", "of"]
SYMBOLS = ["(", ")", ",", "=", "!=", "<", "<=", ">", ">=", "<>", "==", "'", "`", "\n", ";"]
PIECES = st.sampled_from(
    [*KEYWORDS, *SYMBOLS, "year", "title", "`the name`", "genres", "'x'", '"a"', "3", "-2.5", "1e5"]
)


def refuse_or_answer(text: str) -> None:
    message = "filter"
    try:
        assert len(parse_filter(text).mask(ROWS)) <= 5
    except InputError as error:
        message = str(error)
    assert message.startswith("filter")
    assert len(message.splitlines()) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=14).map(" ".join))
@example("not " * 5000)
@example("(" * 19_000)
@example("'" * 19_999)
@example("year = " + "9" * 19_000)
def test_any_words_are_a_filter_or_an_error(text: str) -> None:
    refuse_or_answer(text)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=40))
@example("year = \u0663")
@example("year = 1e\u0663")
@example("\u2028 = 1")
@example("'\u2028' = 1 \u2028")
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    refuse_or_answer(text)


# Random filters against pandas, whose nullable types have Kleene's logic too.

FRAME = ROWS.select(["id", "year", "price", "title", "small"]).to_pandas(
    types_mapper={pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype(), pa.uint8(): pd.Int64Dtype()}.get
)
FRAME["price"] = FRAME["price"].astype(pd.Float32Dtype()).mask(FRAME["price"].isna())
VALUES = {
    "year": st.sampled_from([1990, 2000, BIG, -5, 0]),
    "small": st.integers(0, 4) | st.just(255),
    "price": st.sampled_from([-1.0, 0.5, 2.5, 0.0]),
    "title": st.sampled_from(["The End", "the end", "An \u00e9 end", "", "T", "it's"]),
    "id": st.sampled_from(["a", "b", "it's", 'say "hi"', "zzz"]),
}
Case = tuple[str, Callable[[pd.DataFrame], "pd.Series[bool]"]]
ORDER = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def written(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def boolean(found: Any) -> Any:
    return found.astype("boolean")


@st.composite
def conditions(draw: st.DrawFn) -> Case:
    column = draw(st.sampled_from(list(VALUES)))
    kind = draw(st.sampled_from(["compare", "in", "null", "between", *(["text"] if column in ("title", "id") else [])]))
    if kind == "null":
        return f"{column} is null", lambda frame: boolean(frame[column].isna())
    if kind == "in":
        few = draw(st.lists(VALUES[column], min_size=1, max_size=3))
        known = f"{column} in ({', '.join(map(written, few))})"
        return known, lambda frame: boolean(frame[column].isin(few)).mask(frame[column].isna())
    if kind == "between":
        low, high = draw(VALUES[column]), draw(VALUES[column])
        text = f"{column} between {written(low)} and {written(high)}"
        return text, lambda frame: boolean(frame[column].ge(low)) & boolean(frame[column].le(high))
    value = draw(VALUES[column])
    if kind == "text":
        word, method = draw(st.sampled_from([("contains", "contains"), ("starts with", "startswith")]))
        options = {"regex": False} if method == "contains" else {}
        text = f"{column} {word} {written(value)}"
        return text, lambda frame: boolean(getattr(frame[column].str, method)(value, **options))
    operator = draw(st.sampled_from(list(ORDER)))
    text = f"{column} {operator} {written(value)}"
    return text, lambda frame: boolean(getattr(frame[column], ORDER[operator])(value))


def joined(parts: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    def both(pair: tuple[Case, Case, bool]) -> Case:
        (left, first), (right, second), together = pair
        if together:
            return f"({left}) and ({right})", lambda frame: first(frame) & second(frame)
        return f"({left}) or ({right})", lambda frame: first(frame) | second(frame)

    negated = parts.map(lambda part: (f"not ({part[0]})", lambda frame: ~part[1](frame)))
    return negated | st.tuples(parts, parts, st.booleans()).map(both)


@settings(max_examples=150, deadline=None)
@given(st.recursive(conditions(), joined, max_leaves=6))
def test_pandas_finds_the_same_rows(case: Case) -> None:
    text, ask = case
    expected = np.flatnonzero(ask(FRAME).fillna(False).to_numpy(dtype=bool))
    assert parse_filter(text).mask(ROWS).tolist() == expected.tolist(), text
