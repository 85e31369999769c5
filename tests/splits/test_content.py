from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError
from mmgraph.splits.content import content_groups
from mmgraph.testing.multigraphs import shuffled


def raw_graph(**content: list[Any]) -> RawGraph:
    count = len(next(iter(content.values())))
    ids = NodeIds([f"n{i}" for i in range(count)])
    return RawGraph("g", ids, ("node",), torch.zeros(count, dtype=torch.int64), {}, content)


def together(groups: dict[str, str]) -> list[str]:
    """Groups of several nodes as text, `n0 n2`."""
    members: dict[str, list[str]] = {}
    for node, group in sorted(groups.items()):
        members.setdefault(group, []).append(node)
    assert all(group == nodes[0] for group, nodes in members.items())
    return [" ".join(nodes) for nodes in members.values() if len(nodes) > 1]


def test_text_is_compared_without_case_and_white_space() -> None:
    texts = ["Red  Shoe", "red\tshoe\n", "RED SHOE", "redshoe", None, None, "  ", "", "Straße", "STRASSE"]
    assert together(content_groups(raw_graph(text=texts))) == ["n0 n1 n2", "n8 n9"]


def test_content_links_through_other_nodes_and_modalities(tmp_path: Path) -> None:
    for name, data in {"a": b"same", "b": b"same", "c": b"othr", "d": b"long one", "empty": b"", "void": b""}.items():
        (tmp_path / name).write_bytes(data)
    images = [tmp_path / name for name in ("a", "b", "c", "d", "empty", "void", "gone", "gone")]
    texts = ["x", "y", "y", "z", "u", "v", "q", "r"]
    raw = raw_graph(text=texts, image=images)
    assert together(content_groups(raw)) == ["n0 n1 n2"]
    assert together(content_groups(raw, modalities=["image"])) == ["n0 n1"]
    assert together(content_groups(raw, modalities=["text"])) == ["n1 n2"]
    assert together(content_groups(raw, ignore=[" Y"])) == ["n0 n1"]
    assert together(content_groups(raw, modalities=[])) == []
    assert content_groups(shuffled(raw, 3)) == content_groups(raw)
    with pytest.raises(InputError, match="unknown modality 'sound'; choose from: "):
        content_groups(raw, modalities=["sound"])


def test_paths_may_be_text_shared_or_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one of a size")
    path = str(tmp_path / "a")
    assert together(content_groups(raw_graph(image=[path, None, path]))) == ["n0 n2"]
    assert together(content_groups(raw_graph(image=[b"p", b"q", b"p", b""]))) == ["n0 n2"]


def test_only_files_of_equal_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, data in enumerate([b"1", b"22", b"22", b"333"]):
        (tmp_path / f"f{i}").write_bytes(data)
    opened, real = [], builtins.open

    def spy(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(Path(path).name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", spy)
    groups = content_groups(raw_graph(image=[tmp_path / f"f{i}" for i in range(4)]))
    assert together(groups) == ["n1 n2"]
    assert [name for name in opened if name.startswith("f")] == ["f1", "f2"]


def test_integer_ids() -> None:
    raw = RawGraph("g", NodeIds([7, 3, 5]), ("n",), torch.zeros(3, dtype=torch.int64), {}, {"text": ["a", "b", "A"]})
    assert content_groups(raw) == {7: 5, 3: 3, 5: 5}
