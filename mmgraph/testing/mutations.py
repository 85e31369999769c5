"""Damage to valid files, drawn from any `random.Random`: of bytes, of JSON, of YAML, of tables, of arrays, of names.

Hypothesis gives such an object (`st.randoms(use_true_random=False)`), a coverage-guided fuzzer can imitate one, and
`random.Random(seed)` is one.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import tokenize
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from mmgraph.sealed import seal
from mmgraph.yaml_text import parse_yaml

Mutation = Callable[[Path, Random], None]

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "\x00", "../../x", "/etc/passwd", "a\nb", "\x1b[2J", "n0001", "train", "x" * 5000, "\ud800", "漢"),
    *([], {}, [[]], {"": None}, [None], ["a", 1], [1, 2, 3], {"a": 1}),
)
"""What may stand where something else is expected."""


def mutate(folder: Path, random: Random, names: tuple[str, ...] = ()) -> str:
    """Damage one file of a folder (or a file itself), in place.

    Args:
        folder: Folder or file, small.
        random: Makes all choices.
        names: Names of the files that may be damaged; all if there are none.

    Returns:
        What was done, for messages.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    files = [path for path in files if not names or path.name in names]
    if not files:
        return "nothing to damage"
    path = files[random.randrange(len(files))]
    kinds = [*_STRUCTURED.get(path.suffix, ()), *_STRUCTURED.get(path.suffix, ()), *_BYTES]
    if len(files) > 1:
        kinds.append(_swap_with(files))
    change = kinds[random.randrange(len(kinds))]
    try:
        change(path, random)
    except _NOT_APPLICABLE:  # the file is damaged already, or has no such structure
        flip_bits(path, random)
    return f"{change.__name__} {path.relative_to(folder.parent)}"


_NOT_APPLICABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, struct.error),
    *(RuntimeError, EOFError, pickle.PickleError),
    *(pa.ArrowException, yaml.YAMLError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError),
)


def flip_bits(path: Path, random: Random) -> None:
    """Flip one to four bits."""
    data = bytearray(path.read_bytes())
    for _ in range(random.randint(1, 4)):
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, random: Random) -> None:
    """Cut the end off, or everything."""
    data = path.read_bytes()
    path.write_bytes(data[: random.randrange(len(data) + 1)])


def insert(path: Path, random: Random) -> None:
    """Put bytes somewhere: any, or a piece of the file itself."""
    data = path.read_bytes()
    at, start = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    piece = (
        data[start : start + random.randint(1, 64)] if random.randrange(2) else random.randbytes(random.randint(1, 8))
    )
    path.write_bytes(data[:at] + piece + data[at:])


def cut_out(path: Path, random: Random) -> None:
    """Take a piece out of the middle."""
    data = path.read_bytes()
    at = random.randrange(len(data) + 1)
    path.write_bytes(data[:at] + data[at + random.randint(1, 64) :])


def overwrite(path: Path, random: Random) -> None:
    """Write extreme numbers of 1 to 8 bytes over what is there, where sizes may stand."""
    data = bytearray(path.read_bytes())
    piece = random.choice(
        [b"\x00", b"\xff", b"\x7f", b"\xff\xff\xff\xff", struct.pack("<q", 2**62), struct.pack("<q", -1), b"\x00" * 8]
    )
    at = random.randrange(len(data) + 1)
    data[at : at + len(piece)] = piece
    path.write_bytes(data)


def remove(path: Path, random: Random) -> None:
    """Take the file away, or put an empty folder in its place."""
    path.unlink()
    if random.randrange(2):
        path.mkdir()


_BYTES: tuple[Mutation, ...] = (flip_bits, truncate, insert, cut_out, overwrite, remove)


def _swap_with(files: list[Path]) -> Mutation:
    def swap_files(path: Path, random: Random) -> None:
        other = files[random.randrange(len(files))]
        mine, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        if random.randrange(2):
            other.write_bytes(mine)

    return swap_files


def change_value(value: Any, random: Random) -> Any:
    """Change one value inside of lists and dictionaries: another type, another size, gone, renamed, twice.

    Args:
        value: Anything that JSON has.
        random: Makes all choices.
    """
    places: list[tuple[Any, Any]] = []
    _collect(value, places)
    if not places or random.randrange(20) == 0:
        return ODD_VALUES[random.randrange(len(ODD_VALUES))]
    parent, key = places[random.randrange(len(places))]
    action = random.randrange(6)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, dict):
        parent[f"{key}x" if random.randrange(2) else ""] = parent.pop(key)
    elif action == 2 and isinstance(parent, list):
        parent.insert(random.randrange(len(parent) + 1), parent[key])
    elif action == 3:
        other_parent, other_key = places[random.randrange(len(places))]
        if key in parent if isinstance(parent, dict) else key < len(parent):
            parent[key] = json.loads(json.dumps(other_parent[other_key], default=str))
    elif action == 4 and isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
        parent[key] = random.choice(
            [-parent[key], parent[key] + 1, parent[key] * 1000, parent[key] / 2, str(parent[key])]
        )
    else:
        parent[key] = ODD_VALUES[random.randrange(len(ODD_VALUES))]
    return value


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        places.append((value, key))
        _collect(item, places)


def change_json(path: Path, random: Random) -> None:
    """Change values of a JSON file, or of a line of a file of JSON lines."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    at = random.randrange(len(lines)) if lines else 0
    if not lines:
        return
    value = json.loads(lines[at])
    for _ in range(random.randint(1, 2)):
        value = change_value(value, random)
    lines[at] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def change_yaml(path: Path, random: Random) -> None:
    """Change values of a YAML file."""
    value = change_value(parse_yaml(path.read_text(encoding="utf-8"), where=path), random)  # our own file
    try:
        path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    except (yaml.YAMLError, UnicodeError):
        path.write_text(json.dumps(value), encoding="utf-8")


def change_lines(path: Path, random: Random) -> None:
    """Drop, repeat or swap lines and fields of a text file."""
    lines = path.read_bytes().split(b"\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    action = random.randrange(5)
    if action == 0:
        del lines[at]
    elif action == 1:
        lines.insert(other, lines[at])
    elif action == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        separator = b"\t" if b"\t" in lines[at] else b","
        fields = lines[at].split(separator)
        odd = str(ODD_VALUES[random.randrange(len(ODD_VALUES))]).encode("utf-8", errors="replace")
        fields[random.randrange(len(fields))] = odd if action == 3 else odd + separator + b'"'
        lines[at] = separator.join(fields)
    path.write_bytes(b"\n".join(lines))


def change_table(path: Path, random: Random) -> None:
    """Change a Parquet file: columns away, of other types, with nulls, rows twice, none or in another order."""
    table = pq.read_table(path, partitioning=None)
    names = table.column_names
    if not names:
        return
    at = random.randrange(len(names))
    metadata: dict[bytes, bytes] = dict(table.schema.metadata or {})
    action = random.randrange(10 if metadata else 9)
    if action == 9:
        key = sorted(metadata)[random.randrange(len(metadata))]
        metadata[key] = json.dumps(change_value(json.loads(metadata[key]), random)).encode()
        table = table.replace_schema_metadata(metadata)
    elif action == 0:
        table = table.remove_column(at)
    elif action == 1:
        table = table.rename_columns([*names[:at], f"{names[at]}x", *names[at + 1 :]])
    elif action == 2:
        table = table.append_column(names[at], table.column(at))
    elif action == 3:
        table = table.slice(0, random.randrange(table.num_rows + 1))
    elif action == 4:
        table = pa.concat_tables([table, table.slice(0, 1)])
    elif action == 5:
        table = table.set_column(at, names[at], pa.nulls(table.num_rows))
    elif action == 6:
        cells = table.column(at).to_pylist()
        if cells:
            cells[random.randrange(len(cells))] = None
        table = table.set_column(at, names[at], pa.array(cells, table.column(at).type))
    elif action == 7:
        other: list[Any] = [
            pa.array(range(table.num_rows)),
            pa.array([f"\x1b{i}" for i in range(table.num_rows)]),
            pa.array([float("nan")] * table.num_rows),
            pa.array([[1]] * table.num_rows, pa.list_(pa.int64())),
            pa.array([b"\xff"] * table.num_rows, pa.binary()),
            pa.array([True] * table.num_rows),
            pa.array([{"a": 1}] * table.num_rows, pa.struct({"a": pa.int64()})),
            pa.array([2**63 - 1] * table.num_rows),
        ]
        table = table.set_column(at, names[at], random.choice(other))
    else:
        order = list(range(table.num_rows))
        random.shuffle(order)
        table = table.set_column(at, names[at], table.column(at).take(pa.array(order, pa.int64())))
    pq.write_table(table, path)


def change_array(path: Path, random: Random) -> None:
    """Change a `.npy` file: another shape or type in the header, or other values."""
    array = np.load(path, allow_pickle=False)
    action = random.randrange(4)
    if action == 0:
        data = path.read_bytes()
        shape = random.choice(
            ["(99999999999,)", "(3,)", "()", "(-1,)", "(2, 99999999)", "(0,)", "(4611686018427387904, 4)"]
        )
        header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
        path.write_bytes(data[:6] + b"\x01\x00" + struct.pack("<H", len(header)) + header + array.tobytes())
    elif action == 1:
        np.save(path, array.astype(random.choice(["f4", "i8", "i4", "u1", "U3", "c8", "M8[s]"])), allow_pickle=False)
    elif action == 2:
        np.save(path, array[: len(array) // 2] if array.ndim else array, allow_pickle=False)
    else:
        array = np.array(array)
        if array.size and array.dtype.kind in "iuf":
            extreme = float("nan") if array.dtype.kind == "f" else np.iinfo(array.dtype).max
            array.flat[random.randrange(array.size)] = random.choice([extreme, array.dtype.type(0)])
        np.save(path, array, allow_pickle=False)


def change_safetensors(path: Path, random: Random) -> None:
    """Change the header of a safetensors file: types, shapes, places, names."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.dumps(change_value(json.loads(data[8 : 8 + size]), random)).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + size :])


def change_checkpoint(path: Path, random: Random) -> None:
    """Change the state in a checkpoint: numbers, names, and tensors of other types and shapes."""
    content = path.read_bytes().rpartition(seal(b"")[:-64])  # without the SHA-256 at the end, if there is one
    state = torch.load(io.BytesIO(content[0] or content[2]), map_location="cpu", weights_only=True)
    places: list[tuple[Any, Any]] = []
    _collect(state, places)
    parent, key = places[random.randrange(len(places))]
    tensor = parent[key]
    if isinstance(tensor, torch.Tensor):
        parent[key] = random.choice(
            [tensor[:0], tensor.double(), tensor.to(torch.int8), tensor[None], tensor.flatten()[:1], tensor * torch.nan]
        )
    else:
        change_value(state, random)
    torch.save(state, path)


_STRUCTURED: dict[str, tuple[Mutation, ...]] = {
    ".json": (change_json,) * 5,
    ".jsonl": (change_json, change_lines) * 2,
    ".yaml": (change_yaml, change_lines) * 3,
    ".parquet": (change_table,) * 4,
    ".npy": (change_array,) * 4,
    ".pt": (change_checkpoint,) * 3,
    ".safetensors": (change_safetensors,) * 4,
    **dict.fromkeys((".csv", ".tsv", ".inter", ".item", ".user", ".kg", ".link", ".index"), (change_lines,) * 4),
}


def copied(source: Path, target: Path) -> Path:
    """A fresh copy of a folder or file, to be damaged."""
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return target
