"""A codec: learnt once from the vectors of a table, kept with their codes, applied to every query."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmgraph.compression.form import Form
from mmgraph.compression.quantisers import QUANTISERS, Float16, Float32, Int8, Product, Quantiser
from mmgraph.compression.rotation import first_columns, principal_axes, random_rotation
from mmgraph.compression.signs import pack_signs
from mmgraph.errors import InputError
from mmgraph.inference.search import unit_rows

Codes = dict[str, Tensor]
"""`codes`, `[num_nodes, ...]`, and for binary forms `signs`, uint8 `[num_nodes, ceil(width / 8)]`."""
FORMAT, VERSION = "mmgraph.codec", 1
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class Codec:
    """Turns vectors into codes and back. Cosines of unit vectors are what it keeps; lengths are lost.

    Attributes:
        form: What it does.
        dim: Width of the vectors, and of queries.
        quantiser: Code of the numbers.
        projection: `[dim, width]`, orthonormal columns; `None` if all dimensions stay as they are.
        signs: `[width, width]`: rotation before signs are taken; `None` without them.
    """

    form: Form
    dim: int
    quantiser: Quantiser
    projection: Tensor | None = None
    signs: Tensor | None = None

    @classmethod
    def fit(cls, vectors: Tensor, form: Form, *, seed: int = 0) -> Codec:
        """Learn a codec.

        Args:
            vectors: `[num_nodes, dim]`, float32.
            form: What to do.
            seed: Seed of the rotation before signs and of the starts of product codes.

        Raises:
            InputError: If the form does not fit the width.
            MissingExtraError: If product codes are asked for and faiss is not installed.
        """
        dim = vectors.size(1)
        width = form.width(dim)
        unit = unit_rows(vectors)
        projection = None
        if form.dims is not None:
            projection = principal_axes(unit, width) if form.order == "dims" else first_columns(dim, width)
            projection = projection.to(vectors.device)
            unit = unit_rows(unit @ projection)
        quantiser: Quantiser
        if form.code == "pq":
            quantiser = Product.fit(unit, form.groups, seed=seed)
        elif form.code in ("int8", "binary"):
            quantiser = Int8.fit(unit)
        else:
            quantiser = Float16() if form.code == "float16" else Float32()
        signs = random_rotation(width, seed).to(vectors.device) if form.code == "binary" else None
        return cls(form, dim, quantiser, projection, signs)

    @property
    def width(self) -> int:
        """Number of dimensions that are kept."""
        return self.form.width(self.dim)

    @property
    def num_bytes(self) -> int:
        """Bytes of what was learnt, once per store."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors().values())

    def encode(self, vectors: Tensor) -> Codes:
        """Codes of vectors `[num_nodes, dim]`, on their device."""
        parts: list[Codes] = []
        for start in range(0, max(1, len(vectors)), ROWS_AT_ONCE):
            unit = self.project(vectors[start : start + ROWS_AT_ONCE])
            part = {"codes": self.quantiser.encode(unit)}
            if self.signs is not None:
                part["signs"] = pack_signs(unit @ self.signs.to(unit.device))
            parts.append(part)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def decode(self, codes: Tensor) -> Tensor:
        """Unit vectors in the kept dimensions, `[num_nodes, width]`, of the entry `codes` of the codes."""
        return torch.nn.functional.normalize(self.quantiser.decode(codes), dim=1)

    def restore(self, codes: Tensor) -> Tensor:
        """Approximations of unit length in the original dimensions, `[num_nodes, dim]`."""
        narrow = self.decode(codes)
        return narrow if self.projection is None else narrow @ self.projection.to(narrow.device).t()

    def project(self, vectors: Tensor) -> Tensor:
        """Unit vectors in the kept dimensions, `[num_rows, width]`, of vectors or queries `[num_rows, dim]`.

        A vector that has nothing in the kept dimensions becomes zero.
        """
        unit = unit_rows(vectors)
        return unit if self.projection is None else unit_rows(unit @ self.projection.to(unit.device))

    def save(self, path: Path) -> None:
        """Write what was learnt as safetensors; the metadata says which form it is."""
        about = {"format": FORMAT, "version": VERSION, "form": str(self.form), "dim": self.dim}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self._tensors().items()}
        # As bytes, so that a full disk is an OSError like everywhere else.
        path.write_bytes(save(tensors, metadata={"mmgraph": json.dumps(about)}))

    @classmethod
    def load(cls, path: Path) -> Codec:
        """Read what `save` wrote.

        Raises:
            InputError: If the file is missing, damaged, or no codec.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("mmgraph", "{}"))
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: expected a codec, got: {str(error).splitlines()[0]}") from None
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise InputError(f"{path}: expected format {FORMAT!r} version {VERSION}, got {about or 'no metadata'}")
        form = Form.parse(about["form"])
        try:
            quantiser = QUANTISERS[form.code].from_tensors(tensors)
        except KeyError as error:
            raise InputError(f"{path}: a codec of form {form} needs the tensor {error}") from None
        return cls(form, int(about["dim"]), quantiser, tensors.get("projection"), tensors.get("signs"))

    def _tensors(self) -> dict[str, Tensor]:
        mine = {"projection": self.projection, "signs": self.signs}
        kept = {name: tensor for name, tensor in mine.items() if tensor is not None}
        return {**kept, **self.quantiser.tensors()}


def bytes_per_vector(codes: Codes) -> int:
    """Bytes that one row takes."""
    return sum(part[0].numel() * part.element_size() for part in codes.values())
