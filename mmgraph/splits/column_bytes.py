"""The content of a column as bytes, for digests that stay the same however Arrow or Parquet happens to lay it out."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def column_bytes(column: pa.ChunkedArray) -> list[bytes]:
    """Bytes of a column: whether each cell is there, and the cells.

    They depend neither on chunks and offsets nor on what lies beneath missing cells, nor on what Parquet changes in a
    type (a time of day in seconds comes back in milliseconds, a dictionary with other codes).
    """
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # without any chunk
        array = pa.array([], column.type)
    return _array_bytes(_plain(array))


def _plain(array: pa.Array) -> pa.Array:
    """The same cells in the type that stands for all that Parquet takes for the same."""
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary_decode())
    if str(kind) == "string_view":  # the oldest Arrow that we take has no test for views
        return array.cast(pa.large_string())
    if str(kind) == "binary_view" or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.large_binary())
    if pa.types.is_date64(kind):
        return array.cast(pa.date32())
    if pa.types.is_time(kind):
        return array.cast(pa.time64("ns"))
    if pa.types.is_map(kind):
        pair = pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)])
        return array.cast(pa.list_(pair))
    return array


def _array_bytes(array: pa.Array) -> list[bytes]:
    kind = array.type
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.uint8).tobytes()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = np.asarray(pc.list_value_length(array).fill_null(0), dtype=np.int64)
        return [present, lengths.tobytes(), *_array_bytes(_plain(array.flatten()))]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [present, *_texts(array.fill_null("").cast(pa.large_binary()))]
    # A tag tells the other types apart, because strings and lists have none.
    if pa.types.is_null(kind):
        return [present, b"null"]
    if pa.types.is_large_binary(kind):
        return [present, b"binary", *_texts(array.fill_null(b""))]
    if pa.types.is_decimal(kind):
        return [present, b"decimal", *_texts(array.cast(pa.large_string()).fill_null("").cast(pa.large_binary()))]
    if pa.types.is_fixed_size_list(kind):
        size = f"fixed_size_list[{kind.list_size}]".encode()
        return [present, size, *_array_bytes(_plain(array.drop_null().flatten()))]
    if pa.types.is_struct(kind):
        names = json.dumps([part.name for part in kind])
        fields = [part for values in array.flatten() for part in _array_bytes(_plain(values))]
        return [present, f"struct{names}".encode(), *fields]
    if pa.types.is_primitive(kind):
        if pa.types.is_time(kind):  # NumPy has no time of day
            array = array.cast(pa.int64())
        if array.null_count:
            zero = np.float16(0) if pa.types.is_float16(kind) else False if pa.types.is_boolean(kind) else 0
            array = array.fill_null(pa.scalar(zero, array.type))
        return [present, str(kind).encode(), np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).tobytes()]
    return [present, b"json", json.dumps(array.to_pylist(), default=repr).encode()]


def _texts(values: pa.LargeBinaryArray) -> list[bytes]:
    """Lengths of cells, and the cells side by side: a slice of the buffer, without an object for each cell."""
    lengths = np.asarray(pc.binary_length(values), dtype=np.int64)
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    cells = b"" if data is None or not len(ends) else bytes(memoryview(data)[int(ends[0]) : int(ends[-1])])
    return [lengths.tobytes(), cells]
