from __future__ import annotations

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
            InputError, match=rf"{name}: expected pickled arrays and plain containers, got: it asks for "
        ):
            load(tmp_path / name)
    assert not proof.exists()


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
        with pytest.raises(InputError, match=f"{name}: expected pickled arrays and plain containers, got: ") as error:
            load(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1
