"""What the footer of a Parquet file says of its column chunks, read without Arrow.

Arrow ends the process (`std::terminate`) when Python asks it for a column chunk whose statistics do not fit the schema:
pyarrow calls a function there that throws. A forged file could do so at will. Footers are structs of Thrift's compact
protocol, of which the few rules needed are here.

References:
    [1] https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
    [2] https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"PAR1"
DELTA_ENCODINGS = frozenset((5, 6, 7))
"""Encodings of values as differences, by their number in [1]."""
_ROW_GROUPS = 4  # of FileMetaData, as numbered in [1]
_COLUMNS = 1  # of RowGroup
_META_DATA = 3  # of ColumnChunk
_ENCODINGS, _NUM_VALUES, _UNCOMPRESSED = 2, 5, 6  # of ColumnMetaData
_LIST, _STRUCT = 9, 12  # of the protocol, as numbered in [2]
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column of one row group.

    Attributes:
        num_values: Number of values, those of lists one by one.
        uncompressed_bytes: Size of its pages.
        is_delta: Whether any values are kept as differences.
    """

    num_values: int
    uncompressed_bytes: int
    is_delta: bool


def read_chunks(path: Path) -> list[list[Chunk]]:
    """Column chunks of each row group, in the order of the file.

    Raises:
        ValueError, LookupError, TypeError: If the footer is damaged.
    """
    reader = _Reader(_footer(path))
    groups: list[list[Chunk]] = []
    for field, kind in reader.fields():
        if field == _ROW_GROUPS and kind == _LIST:
            groups += [list(_chunks(reader)) for _ in reader.items(_STRUCT)]
        else:
            reader.value(kind)
    return groups


def _footer(path: Path) -> bytes:
    with open(path, "rb") as file:
        end = file.seek(0, 2) - len(MAGIC) - 4
        file.seek(max(0, end))
        tail = file.read()
        size = int.from_bytes(tail[:4], "little")
        if tail[4:] != MAGIC or size > end:
            raise ValueError("no footer at its end")
        file.seek(end - size)
        return file.read(size)


def _chunks(reader: _Reader) -> Iterator[Chunk]:
    for field, kind in reader.fields():
        if field != _COLUMNS or kind != _LIST:
            reader.value(kind)
            continue
        for _ in reader.items(_STRUCT):
            said = reader.value(_STRUCT)[_META_DATA]
            values, size, encodings = said[_NUM_VALUES], said[_UNCOMPRESSED], said[_ENCODINGS]
            if min(values, size) < 0:
                raise ValueError("a column with a negative size")
            yield Chunk(values, size, not DELTA_ENCODINGS.isdisjoint(encodings))


class _Reader:
    """Values of Thrift's compact protocol one after the other; structs become dictionaries by number of field."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a struct; whoever asks reads the value before the next."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            yield number, head & 15

    def items(self, kind: int) -> Iterator[None]:
        """Once for each item of a list of this kind; whoever asks reads the item before the next."""
        size, found = self._list_head()
        if size and found != kind:
            raise ValueError(f"a list of kind {kind} is of kind {found}")
        for _ in range(size):
            yield

    def value(self, kind: int, depth: int = 0) -> Any:
        """The next value."""
        if depth > _DEEPEST:
            raise ValueError(f"values more than {_DEEPEST} deep")
        if kind in (1, 2):  # of a struct, where the kind is the value
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (7, 8, 13):  # double, text, UUID
            return self._bytes({7: 8, 13: 16}.get(kind) or self._varint())
        if kind in (_LIST, 10):
            size, inner = self._list_head()
            inner = 3 if inner in (1, 2) else inner
            return [self.value(inner, depth + 1) for _ in range(size)]
        if kind == 11:
            size = self._size(self._varint())
            kinds = self._byte() if size else 0
            return [(self.value(kinds >> 4, depth + 1), self.value(kinds & 15, depth + 1)) for _ in range(size)]
        if kind == _STRUCT:
            return {number: self.value(inner, depth + 1) for number, inner in self.fields()}
        raise ValueError(f"a value of unknown kind {kind}")

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        return self._size(head >> 4 if head >> 4 < 15 else self._varint()), head & 15

    def _size(self, size: int) -> int:
        if size > len(self.data) - self.at:  # each takes a byte or more
            raise ValueError("more values than bytes")
        return size

    def _bytes(self, size: int) -> bytes:
        start = self.at
        self.at += self._size(size)
        return self.data[start : self.at]

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _integer(self) -> int:
        zigzag = self._varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number of more than 64 bits")
