from __future__ import annotations

import codecs
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from mmgraph.errors import InputError
from mmgraph.formats.safe_pickle import load_pickle, load_pt


def content() -> dict[str, Any]:
    return {
        "train": {"source": np.arange(3), "few": np.int64(3), "weight": np.ones((2, 2), dtype=np.float32)},
        "empty": np.zeros((0, 2), dtype=np.int32),
        "mask": np.array([True, False]),
        "tensor": torch.tensor([1, 2]),
        "names": ["a", "b"],
        "words": np.array(["a", "bcd"]),
        "big end": np.array([1.5, 2.5], dtype=">f8"),
        "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "pair": (np.float32(0.5), [np.arange(2), None]),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_arrays_in_any_file_of_torch(tmp_path: Path, protocol: int, zipped: bool) -> None:
    path = tmp_path / "split.pt"
    torch.save(content(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found = load_pt(path)
    assert found["train"]["source"].tolist() == [0, 1, 2]
    assert found["train"]["few"] == 3
    assert found["train"]["weight"].dtype == np.float32
    assert found["empty"].shape == (0, 2)
    assert found["mask"].tolist() == [True, False]
    assert torch.equal(found["tensor"], torch.tensor([1, 2]))
    assert found["names"] == ["a", "b"]
    assert found["words"].tolist() == ["a", "bcd"]
    assert found["big end"].tolist() == [1.5, 2.5]
    assert found["columns first"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["pair"][0] == 0.5
    assert found["pair"][1][0].tolist() == [0, 1]
    arrays = [found["mask"], found["empty"], found["pair"][1][0], found["train"]["source"]]
    assert [type(array) for array in arrays] == [np.ndarray] * 4


def test_large_tensors_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "features.pt"
    torch.save(torch.arange(4.0), path)
    before = path.read_bytes()
    found = load_pt(path)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(path) in maps.read_text()
    found[0] = 7
    assert path.read_bytes() == before


def test_names_of_older_numpy(tmp_path: Path) -> None:
    # Under numpy 1 the same function lived in another module; the files of that time are still around.
    text = pickle.dumps(np.arange(3), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in text
    (tmp_path / "old").write_bytes(text)
    assert load_pickle(tmp_path / "old").tolist() == [0, 1, 2]


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "was-run"
    torch.save({"a": np.ones(2), "b": Harmful(proof)}, tmp_path / "bad.pt", pickle_protocol=protocol)
    (tmp_path / "bad.pickle").write_bytes(pickle.dumps(Harmful(proof), protocol=protocol))
    for load, name in ((load_pt, "bad.pt"), (load_pickle, "bad.pickle")):
        with pytest.raises(
            InputError, match=rf"{name}: expected arrays, .* only, but it asks for \S+; nothing"
        ) as error:
            load(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1
    assert not proof.exists()


class Reduced:
    """Pickles as whatever it is told."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return self.parts


RECONSTRUCT = np.zeros(1).__reduce__()[0]
POINTERS = Reduced(np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0))
FIELDS = Reduced(np.dtype, ("f8", False, True), (3, "<", None, ("a",), {"a": (np.dtype("f8"), 0)}, 8, 1, 0))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "content",
    [
        np.array([{}, None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
        np.datetime64("2020-01-01"),
        # Numpy itself would believe these bytes to be addresses of objects.
        Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), POINTERS, False, b"\x01" * 8)),
        Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), FIELDS, False, b"\x01" * 8)),
        Reduced(np.ndarray, ((1,), POINTERS, b"\x01" * 8)),
        Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), "f8", False, b"\x01" * 8)),
        Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (3,), np.dtype("f8"), False, b"\x01" * 8)),
    ],
    ids=["objects", "structures", "times", "pointers", "fields", "pointers at once", "no dtype", "too short"],
)
def test_arrays_of_anything_but_numbers_and_strings_are_refused(tmp_path: Path, protocol: int, content: Any) -> None:
    torch.save([content], tmp_path / "bad.pt", pickle_protocol=protocol)
    (tmp_path / "bad.pickle").write_bytes(pickle.dumps([content], protocol=protocol))
    for load, name in ((load_pt, "bad.pt"), (load_pickle, "bad.pickle")):
        with pytest.raises(InputError, match=f"{name}: ") as error:
            load(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1


def test_sparse_matrices_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    matrix.indices[0] = 10**6  # would be written to when it is made dense
    (tmp_path / "bad").write_bytes(pickle.dumps(matrix))
    with pytest.raises(InputError, match="bad: cannot be read as .*: .*indices"):
        load_pickle(tmp_path / "bad")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(pickle.dumps(Reduced(codecs.encode, ("a", "rot13")), protocol=2))
    with pytest.raises(InputError, match="bad: cannot be read as .*: bytes are given as latin1, got 'rot13'"):
        load_pickle(tmp_path / "bad")


def test_a_list_that_holds_itself_ends(tmp_path: Path) -> None:
    items: list[Any] = [np.arange(2)]
    items.append(items)
    (tmp_path / "a").write_bytes(pickle.dumps(items))
    found = load_pickle(tmp_path / "a")
    assert found[1] is found
    assert type(found[0]) is np.ndarray


def test_sparse_matrices_and_dictionaries(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    graph = collections.defaultdict(list, {0: [1, 2]})
    text = pickle.dumps([matrix, graph], protocol=2).replace(b"cscipy.sparse._csr\n", b"cscipy.sparse.csr\n")
    assert b"scipy.sparse.csr\n" in text  # as in files that were written long ago
    (tmp_path / "old").write_bytes(text)
    found = load_pickle(tmp_path / "old")
    assert np.array_equal(found[0].toarray(), np.eye(3))
    assert dict(found[1]) == {0: [1, 2]}


@pytest.mark.parametrize("load", [load_pt, load_pickle])
def test_bad_files(tmp_path: Path, load: Any) -> None:
    with pytest.raises(InputError, match="missing: file not found"):
        load(tmp_path / "missing")
    (tmp_path / "text").write_bytes(b"hello")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty"):
        with pytest.raises(
            InputError, match=f"{name}: cannot be read as pickled arrays and plain containers: "
        ) as error:
            load(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1
