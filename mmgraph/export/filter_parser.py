"""The grammar of filters, from text to a tree. What conditions mean is in `filters.py`.

    filter    = all ("or" all)*
    all       = one ("and" one)*
    one       = "not" one | "(" filter ")" | condition
    condition = column ("=" | "!=" | "<" | "<=" | ">" | ">=") value
              | column ["not"] "in" "(" value ("," value)* ")"
              | column ["not"] "between" value "and" value
              | column ["not"] ("contains" | "starts" "with") value
              | column "is" ["not"] "null"
              | "within" number "of" (value | "(" value ("," value)* ")")

A column is a word, or any name in backticks; a value is a text in single or double quotes, a number, true or false.
Quotes and backticks are doubled inside. Nothing of a filter is ever executed: the tree has the nodes below and no others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from mmgraph.errors import InputError

MAX_LENGTH, MAX_DEPTH, MAX_CONDITIONS, MAX_HOPS, MAX_DIGITS = 20_000, 32, 64, 10, 400
"""Characters, levels of parentheses and `not`, conditions, hops, and digits of a number in one filter."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<text>"(?:[^"]|"")*" | '(?:[^']|'')*')
    | (?P<name>`(?:[^`]|``)+`)
    | (?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[^\W\d]\w*)
    | (?P<symbol><=|>=|!=|<>|==|[=<>(),])""",
    re.VERBOSE,
)
_SAME = {"==": "=", "<>": "!="}
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_AFTER_COLUMN = f"one of {', '.join(COMPARISONS)}, in, between, contains, starts with, is"


@dataclass(frozen=True)
class Column:
    """Name of a column, and where it stands (from 1)."""

    name: str
    position: int


@dataclass(frozen=True)
class Value:
    """A text, number or truth value, and where it stands (from 1)."""

    value: str | int | float | bool
    position: int


@dataclass(frozen=True)
class Comparison:
    """`column operator value`; the operator is one of `COMPARISONS`, "contains" or "starts with"."""

    column: Column
    operator: str
    value: Value


@dataclass(frozen=True)
class Membership:
    """`column in (values)`."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """`column is null`."""

    column: Column


@dataclass(frozen=True)
class Within:
    """At most so many edges away from the nearest of these nodes."""

    hops: int
    ids: tuple[Value, ...]
    position: int


@dataclass(frozen=True)
class Not:
    """What does not fit the condition."""

    condition: Condition


@dataclass(frozen=True)
class Junction:
    """Two or more conditions joined by "and" or "or"."""

    word: str
    conditions: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Membership | Missing | Within | Not | Junction


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int

    @property
    def word(self) -> str:
        """The word in lower case, or the symbol; empty for texts, names and numbers, which are never keywords."""
        return self.text.lower() if self.kind in ("word", "symbol") else ""


def fail(position: int, message: str) -> NoReturn:
    """Refuse a filter in one line.

    Raises:
        InputError: Always; it names the position, counted from 1.
    """
    raise InputError(f"filter, position {position}: {message}")


def parse(text: str) -> Condition:
    """Parse a filter.

    Raises:
        InputError: Names the position, what was expected there and what was found.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"filter: expected at most {MAX_LENGTH:,} characters, got {len(text):,}")
    parser = _Parser(_tokens(text))
    found = parser.any_of(0)
    if parser.token.kind != "end":
        parser.expected("and, or, or the end of the filter")
    return found


def _tokens(text: str) -> list[_Token]:
    found, start = [], 0
    while start < len(text):
        match = _TOKEN.match(text, start)
        if match is None:
            if text[start] in "\"'`":
                fail(start + 1, f"the quote {text[start]} is not closed")
            fail(start + 1, f"unexpected character {text[start]!r}")
        kind = str(match.lastgroup)
        if kind != "space":
            token = match.group()
            found.append(_Token(kind, _SAME.get(token, token), start + 1))
        start = match.end()
    return [*found, _Token("end", "", len(text) + 1)]


class _Parser:
    """Recursive descent over the tokens; `depth` bounds the recursion."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens, self.place, self.conditions = tokens, 0, 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        token = self.token
        self.place += token.kind != "end"
        return token

    def accept(self, *words: str) -> bool:
        """Step over these words if they are next."""
        found = [token.word for token in self.tokens[self.place : self.place + len(words)]] == list(words)
        self.place += len(words) * found
        return found

    def expect(self, word: str) -> None:
        if not self.accept(word):
            self.expected(repr(word))

    def expected(self, what: str) -> NoReturn:
        token = self.token
        shown = token.text if len(token.text) <= 30 else token.text[:29] + "\u2026"
        fail(token.position, f"expected {what}, found {'the end' if token.kind == 'end' else repr(shown)}")

    def any_of(self, depth: int) -> Condition:
        return self._joined("or", lambda: self._joined("and", lambda: self.one(depth)))

    def _joined(self, word: str, part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self.accept(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def one(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            fail(self.token.position, f"expected at most {MAX_DEPTH} levels of parentheses and 'not'")
        if self.accept("not"):
            return Not(self.one(depth + 1))
        if self.accept("("):
            inner = self.any_of(depth + 1)
            self.expect(")")
            return inner
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            fail(self.token.position, f"expected at most {MAX_CONDITIONS} conditions")
        if self.token.word == "within" and self.tokens[self.place + 1].kind == "number":
            return self.within()
        return self.about_column()

    def within(self) -> Within:
        position = self.take().position
        hops = self.value("a number of hops")
        if not isinstance(hops.value, int) or not 0 <= hops.value <= MAX_HOPS:
            fail(hops.position, f"expected a whole number of hops from 0 to {MAX_HOPS}, found {hops.value!r}")
        self.expect("of")
        ids = self.values() if self.token.word == "(" else (self.value("the id of a node, in quotes if it is a text"),)
        return Within(hops.value, ids, position)

    def about_column(self) -> Condition:
        token = self.token
        if token.kind not in ("word", "name") or token.word in ("and", "or", "not"):
            self.expected("a column, 'not', 'within' or '('")
        self.take()
        name = token.text[1:-1].replace("``", "`") if token.kind == "name" else token.text
        column = Column(name, token.position)
        if self.token.word in COMPARISONS:
            return Comparison(column, self.take().word, self.value())
        if self.accept("is", "not", "null"):
            return Not(Missing(column))
        if self.accept("is"):
            self.expect("null")
            return Missing(column)
        negated = self.accept("not")
        found: Condition
        if self.accept("in"):
            found = Membership(column, self.values())
        elif self.accept("between"):
            low = Comparison(column, ">=", self.value())
            self.expect("and")
            found = Junction("and", (low, Comparison(column, "<=", self.value())))
        elif self.accept("contains"):
            found = Comparison(column, "contains", self.value())
        elif self.accept("starts", "with"):
            found = Comparison(column, "starts with", self.value())
        else:
            self.expected("in, between, contains or starts with" if negated else _AFTER_COLUMN)
        return Not(found) if negated else found

    def values(self) -> tuple[Value, ...]:
        self.expect("(")
        values = [self.value()]
        while self.accept(","):
            values.append(self.value())
        self.expect(")")
        return tuple(values)

    def value(self, what: str = "a text in quotes, a number, true or false") -> Value:
        token = self.token
        if token.word == "null":
            self.expected(f"{what} ('is null' finds what is missing)")
        if token.kind not in ("text", "number") and token.word not in ("true", "false"):
            self.expected(what)
        self.take()
        if token.kind == "number":
            return Value(_number(token), token.position)
        if token.kind == "word":
            return Value(token.word == "true", token.position)
        quote = token.text[0]
        text = token.text[1:-1].replace(2 * quote, quote)
        if any("\ud800" <= character <= "\udfff" for character in text):
            fail(token.position, "expected a text, found half of a character (a lone surrogate)")
        return Value(text, token.position)


def _number(token: _Token) -> int | float:
    if len(token.text) > MAX_DIGITS:
        fail(token.position, f"expected a number of at most {MAX_DIGITS} digits, found {len(token.text)}")
    if token.text.lstrip("+-").isdigit():
        return int(token.text)
    value = float(token.text)
    if not math.isfinite(value):
        fail(token.position, f"expected a finite number, found {token.text!r}")
    return value
