from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.formats.ogb.files import read_npz, read_parts


@pytest.mark.parametrize("kind", [None, "paper"])
def test_parts_from_one_file(tmp_path: Path, kind: str | None) -> None:
    parts: dict[str, Any] = {"train": np.array([2, 0]), "valid": torch.tensor([1]), "test": np.empty(0, dtype=int)}
    torch.save(
        parts if kind is None else {part: {kind: rows} for part, rows in parts.items()}, tmp_path / "split_dict.pt"
    )
    found = read_parts(tmp_path, kind)
    assert {part: rows.tolist() for part, rows in found.items()} == {"train": [2, 0], "valid": [1], "test": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dictionary with 'train', got list"),
        ({}, "expected a dictionary with 'train', got an empty one"),
        ({"train": {"author": [1]}}, "expected a dictionary with 'paper', got 'author'"),
    ],
)
def test_parts_that_are_missing(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "split_dict.pt")
    with pytest.raises(InputError, match=rf"split_dict\.pt: {message}"):
        read_parts(tmp_path, "paper")


def test_bad_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", labels=np.arange(2))
    assert read_npz(tmp_path / "a.npz")["labels"].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"a\.npz: missing 'node_label'; found: 'labels'"):
        read_npz(tmp_path / "a.npz", "node_label")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 and nothing more")
    np.savez(tmp_path / "c.npz", labels=np.array([{}], dtype=object))
    (tmp_path / "d.npz").write_bytes(b"")
    np.save(tmp_path / "e.npz.npy", np.arange(2))
    (tmp_path / "e.npz.npy").rename(tmp_path / "e.npz")
    for name in "bcde":
        with pytest.raises(InputError, match=rf"{name}\.npz: cannot be read as arrays: ") as error:
            read_npz(tmp_path / f"{name}.npz")
        assert len(str(error.value).splitlines()) == 1
