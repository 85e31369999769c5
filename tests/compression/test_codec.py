"""Codes by hand, round trips, and what must hold for every form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmgraph.compression.codec import Codec, bytes_per_vector
from mmgraph.compression.form import Form, default_forms
from mmgraph.compression.quantisers import Int8, Product
from mmgraph.compression.rotation import first_columns, principal_axes, random_rotation
from mmgraph.compression.scan import CodeIndex
from mmgraph.compression.signs import pack_signs, unpack_signs
from mmgraph.errors import InputError
from mmgraph.inference.search import unit_rows

FORMS = {  # bytes of a vector of 16 dimensions
    "float32": 64,
    "float16": 32,
    "int8": 16,
    "binary": 18,
    "pq:4": 4,
    "dims:8": 32,
    "dims:8+int8": 8,
    "dims:9+binary": 11,
    "first:4": 16,
    "first:4+pq:2": 2,
}


def spread_vectors(count: int = 300, dim: int = 16, seed: int = 0) -> torch.Tensor:
    """Vectors that differ along few directions: a decaying spectrum, turned at random."""
    random = torch.Generator().manual_seed(seed)
    scale = 0.7 ** torch.arange(dim)
    return 5 * (torch.randn(count, dim, generator=random) * scale) @ random_rotation(dim, seed)


@pytest.mark.parametrize("text", [*FORMS, "dims:128+float16"])
def test_a_form_is_read_and_written(text: str) -> None:
    assert str(Form.parse(text)) == text


def test_float32_of_few_dimensions_is_the_short_name() -> None:
    assert str(Form.parse("dims:8+float32")) == "dims:8"


@pytest.mark.parametrize(
    "text",
    ["", "int4", "dims", "dims:", "dims:0", "dims:-3", "dims:x", "pq", "pq:0", "int8:3", "int8+int8", "pq:8+dims:4"],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="unknown form") as error:
        Form.parse(text)
    assert "\n" not in str(error.value)


def test_a_form_must_fit_the_width() -> None:
    with pytest.raises(InputError, match="expected at most 16 dimensions"):
        Form.parse("dims:17").width(16)
    with pytest.raises(InputError, match="5 groups do not divide 16 dimensions"):
        Codec.fit(spread_vectors(), Form.parse("pq:5"))
    assert [str(form) for form in default_forms(48)] == [
        *("float32", "float16", "int8", "binary", "dims:32", "dims:32+int8", "first:32", "pq:24", "pq:12", "pq:6")
    ]


def test_int8_by_hand() -> None:
    codec = Int8(torch.tensor([0.1, 2.0]))
    vectors = torch.tensor([[0.26, -3.9], [-0.24, 5.0], [100.0, -1000.0], [0.0, 0.9]])
    codes = codec.encode(vectors)
    assert codes.dtype == torch.int8
    # 5.0 / 2 = 2.5 goes to the even 2; what is too large stops at 127 on both sides.
    assert codes.tolist() == [[3, -2], [-2, 2], [127, -127], [0, 0]]
    expected = torch.tensor([[0.3, -4.0], [-0.2, 4.0], [12.7, -254.0], [0.0, 0.0]])
    torch.testing.assert_close(codec.decode(codes), expected)
    assert torch.equal(codec.encode(-vectors), -codes)


def test_int8_steps_are_chosen_for_each_dimension_and_cut_outliers_off() -> None:
    values = torch.linspace(-1, 1, 255)
    same = Int8.fit(torch.stack([values, 10 * values], dim=1))
    torch.testing.assert_close(same.step, torch.tensor([1 / 127, 10 / 127]))  # evenly spread: nothing is cut
    random = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    random[0] = 6.0
    fitted, largest = Int8.fit(random), Int8(random.abs().amax(0) / 127)
    errors = [(codec.decode(codec.encode(random)) - random).square().mean() for codec in (fitted, largest)]
    assert errors[0] < 0.85 * errors[1]
    assert Int8.fit(torch.zeros(3, 2)).encode(torch.zeros(3, 2)).tolist() == [[0, 0]] * 3


def test_signs_by_hand() -> None:
    vectors = torch.tensor([[1.0, -1, 2, -2, 0, 3, -0.1, 0.1, 5, -5], [-1.0] * 10])
    codes = pack_signs(vectors)
    # Bits 0, 2, 5, 7 of the first byte and bit 0 of the second; zero counts as negative.
    assert codes.tolist() == [[1 + 4 + 32 + 128, 1], [0, 0]]
    assert unpack_signs(codes, 10).tolist() == [[1, -1, 1, -1, -1, 1, -1, 1, 1, -1], [-1] * 10]


def test_product_codes_by_hand() -> None:
    codec = Product(torch.tensor([[[0.0, 0.0], [4.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]]))
    vectors = torch.tensor([[1.0, 1.0, 0.9, 0.2], [3.0, 3.0, -1.0, 0.0]])
    assert codec.encode(vectors).tolist() == [[0, 0], [1, 1]]
    assert codec.decode(codec.encode(vectors)).tolist() == [[0, 0, 1, 0], [4, 4, 0, 1]]


def test_product_codes_agree_with_faiss() -> None:
    faiss = pytest.importorskip("faiss")
    vectors = spread_vectors(400)
    mine = Product.fit(vectors, 4, seed=1)
    theirs = faiss.ProductQuantizer(16, 4, 8)
    faiss.copy_array_to_vector(mine.centroids.numpy().ravel(), theirs.centroids)
    assert mine.centroids.shape == (4, 256, 4)
    same = torch.from_numpy(theirs.compute_codes(vectors.numpy())) == mine.encode(vectors)
    assert same.double().mean() > 0.999  # ties by rounding


def test_principal_axes_are_those_of_the_singular_values() -> None:
    unit = unit_rows(spread_vectors())
    axes = principal_axes(unit, 5)
    _, values, expected = torch.linalg.svd(unit.double(), full_matrices=False)
    assert ((axes.double() * expected[:5].t()).sum(dim=0).abs() > 0.9999).all()
    torch.testing.assert_close(axes.t() @ axes, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close((unit @ axes).norm(dim=0).double(), values[:5], atol=1e-4, rtol=1e-4)
    assert (axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)) > 0).all()
    assert first_columns(4, 2).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_random_rotations_are_orthogonal_and_follow_the_seed() -> None:
    one = random_rotation(12, 3)
    torch.testing.assert_close(one @ one.t(), torch.eye(12), atol=1e-6, rtol=0)
    assert torch.equal(one, random_rotation(12, 3))
    assert not torch.equal(one, random_rotation(12, 4))


@pytest.mark.parametrize("text", FORMS)
def test_every_form(text: str, tmp_path: Path) -> None:
    vectors = spread_vectors()
    codec = Codec.fit(vectors, Form.parse(text), seed=2)
    codes = codec.encode(vectors)
    assert bytes_per_vector(codes) == FORMS[text]
    # Lengths are lost, directions stay; a row's codes do not depend on the other rows.
    scaled = codec.encode(vectors * torch.linspace(0.5, 9, len(vectors)).unsqueeze(1))
    some = codec.encode(vectors[[7, 3]])
    for name, part in codes.items():
        assert torch.isclose(part.double(), scaled[name].double(), rtol=2e-3).double().mean() > 0.99
        assert torch.isclose(part[[7, 3]].double(), some[name].double(), rtol=2e-3).double().mean() > 0.99
    back = codec.restore(codes["codes"])
    assert back.shape == vectors.shape
    torch.testing.assert_close(back.norm(dim=1), torch.ones(len(back)), atol=1e-4, rtol=0)
    # Cosines in the kept dimensions are those in the original width.
    narrow = codec.decode(codes["codes"])
    torch.testing.assert_close(narrow @ narrow[:5].t(), back @ back[:5].t(), atol=1e-5, rtol=0)
    codec.save(tmp_path / "codec")
    again = Codec.load(tmp_path / "codec")
    assert (again.form, again.dim, again.num_bytes) == (codec.form, codec.dim, codec.num_bytes)
    for name, part in again.encode(vectors).items():
        assert torch.equal(part, codes[name])
    assert torch.equal(again.restore(codes["codes"]), back)
    repeated = Codec.fit(vectors, Form.parse(text), seed=2).encode(vectors)
    assert all(torch.equal(part, codes[name]) for name, part in repeated.items())


def test_more_dimensions_and_finer_codes_lose_less() -> None:
    vectors = spread_vectors(2000)
    unit = unit_rows(vectors)

    def kept(text: str) -> float:
        codec = Codec.fit(vectors, Form.parse(text))
        return float((codec.restore(codec.encode(vectors)["codes"]) * unit).sum(dim=1).mean())

    for ladder in (
        ["dims:1", "dims:2", "dims:4", "dims:8", "dims:16"],
        ["first:8", "dims:8"],
        ["pq:2", "pq:4", "pq:8", "int8", "float16", "float32"],
    ):
        values = [kept(text) for text in ladder]
        assert values == sorted(values)
        assert values[0] < values[-1]
    assert kept("float32") == pytest.approx(1, abs=1e-6)
    assert kept("dims:16") == pytest.approx(1, abs=1e-5)


def test_a_search_is_that_of_the_decoded_vectors() -> None:
    vectors, queries = spread_vectors(500), spread_vectors(7, seed=5)
    among = torch.arange(0, 500, 3)
    for text in ("float32", "float16", "int8", "dims:8", "dims:8+int8", "first:4", "pq:4"):
        codec = Codec.fit(vectors, Form.parse(text))
        codes = codec.encode(vectors)
        exact = unit_rows(queries) @ codec.restore(codes["codes"]).t()
        if codec.projection is not None:  # the query is brought to unit length in the kept dimensions
            exact = exact / (unit_rows(queries) @ codec.projection).norm(dim=1, keepdim=True)
        scores, rows = CodeIndex(codec, codes).search(queries, 9)
        torch.testing.assert_close(scores, exact.topk(9, dim=1).values, atol=1e-5, rtol=0)
        torch.testing.assert_close(exact.gather(1, rows), scores, atol=1e-5, rtol=0)
        scores, rows = CodeIndex(codec, codes).search(queries, 9, among=among)
        assert (rows % 3 == 0).all()
        torch.testing.assert_close(scores, exact[:, among].topk(9, dim=1).values, atol=1e-5, rtol=0)


def test_chunks_change_nothing_and_ties_go_to_the_lower_row(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [3.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    codec = Codec.fit(vectors, Form.parse("float32"))
    codes = codec.encode(vectors)
    for chunk in (1, 2, 4, 100):
        monkeypatch.setattr("mmgraph.compression.scan.ROWS_PER_CHUNK", chunk)
        monkeypatch.setattr("mmgraph.compression.scan.QUERIES_PER_CHUNK", chunk)
        scores, rows = CodeIndex(codec, codes).search(torch.tensor([[5.0, 0.0], [0.0, 5.0]]), 5)
        assert rows.tolist() == [[0, 2, 3, 5, 1], [1, 4, 5, 0, 2]]
        torch.testing.assert_close(scores[0], torch.tensor([1, 1, 1, 0.5**0.5, 0]), atol=1e-6, rtol=0)


def test_binary_finds_candidates_by_sign_and_scores_them_by_int8() -> None:
    vectors = spread_vectors(3000)
    codec = Codec.fit(vectors, Form.parse("binary"), seed=1)
    codes = codec.encode(vectors)
    queries = spread_vectors(20, seed=8)
    scores, rows = CodeIndex(codec, codes).search(queries, 10)
    assert codec.signs is not None
    by_sign = (unit_rows(queries) @ codec.signs) @ unpack_signs(codes["signs"], 16).t()
    by_int8 = unit_rows(queries) @ codec.decode(codes["codes"]).t()
    for query in range(20):
        candidates = by_sign[query].sort(descending=True, stable=True).indices[:100]
        expected = candidates[by_int8[query, candidates].topk(10).indices]
        assert rows[query].tolist() == expected.tolist()
        torch.testing.assert_close(scores[query], by_int8[query, expected], atol=1e-6, rtol=0)


def test_a_codec_must_be_one(tmp_path: Path) -> None:
    for content in (None, b"words", b""):
        if content is not None:
            (tmp_path / "codec").write_bytes(content)
        with pytest.raises(InputError, match="codec: expected a codec") as error:
            Codec.load(tmp_path / "codec")
        assert "\n" not in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("text", FORMS)
def test_tensors_stay_on_their_device(text: str) -> None:
    vectors = spread_vectors().cuda()
    codec = Codec.fit(vectors, Form.parse(text))
    codes = codec.encode(vectors)
    scores, rows = CodeIndex(codec, codes).search(vectors[:3], 5)
    for tensor in (*codes.values(), codec.restore(codes["codes"]), scores, rows):
        assert tensor.is_cuda
