"""Names of the forms that vectors can be kept in, for example `int8` or `dims:128+int8`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from mmgraph.errors import InputError

Code = Literal["float32", "float16", "int8", "binary", "pq"]
Order = Literal["dims", "first"]
CODES: tuple[Code, ...] = ("float32", "float16", "int8", "binary", "pq")
DIMS = (32, 64, 128, 256)
"""Widths that `default_forms` tries."""


@dataclass(frozen=True)
class Form:
    """How a vector is kept: which dimensions, and how each number is coded.

    Attributes:
        code: `float32`, `float16`, `int8` (one step per dimension), `binary` (a sign per dimension to find candidates,
            and `int8` to score them) or `pq` (product codes).
        dims: Number of dimensions that are kept; `None` keeps all, without a rotation.
        order: Which dimensions: `dims` takes the first principal axes, `first` the first columns as they are, for
            models trained with Matryoshka dimensions.
        groups: Number of product codes, one byte each; 0 for other codes.
    """

    code: Code
    dims: int | None = None
    order: Order = "dims"
    groups: int = 0

    @classmethod
    def parse(cls, text: str) -> Form:
        """Read a form: `CODE`, `dims:K`, `first:K`, or `dims:K+CODE`; `pq:G` has `G` bytes.

        Raises:
            InputError: If it is none of these.

        Example:
            >>> Form.parse("dims:128+int8").dims
            128
        """
        dims: int | None = None
        order: Order = "dims"
        parts = text.split("+")
        head, _, number = parts[0].partition(":")
        if head in ("dims", "first"):
            order, dims = cast(Order, head), _positive(number, text)
            parts = parts[1:]
        if len(parts) > 1:
            raise _bad(text)
        code, _, number = (parts[0] if parts else "float32").partition(":")
        if code not in CODES or (code != "pq" and number):
            raise _bad(text)
        return cls(code, dims, order, _positive(number, text) if code == "pq" else 0)

    def __str__(self) -> str:
        code = f"pq:{self.groups}" if self.code == "pq" else self.code
        if self.dims is None:
            return code
        return f"{self.order}:{self.dims}" + ("" if code == "float32" else f"+{code}")

    def width(self, dim: int) -> int:
        """Number of dimensions that are kept of `dim`.

        Raises:
            InputError: If there are fewer, or the groups of product codes do not divide them.
        """
        if self.dims is not None and self.dims > dim:
            raise InputError(f"form {str(self)!r}: expected at most {dim} dimensions, the width of the vectors")
        width = dim if self.dims is None else self.dims
        if self.groups and width % self.groups:
            raise InputError(f"form {str(self)!r}: {self.groups} groups do not divide {width} dimensions")
        return width


def default_forms(dim: int) -> list[Form]:
    """The forms that are worth a look for vectors of this width, the largest first of each kind."""
    widths = [width for width in reversed(DIMS) if width < dim]
    names = ["float32", "float16", "int8", "binary"]
    names += [f"dims:{width}" for width in widths]
    names += [f"dims:{width}+int8" for width in widths]
    names += [f"first:{width}" for width in widths]
    names += [f"pq:{dim // size}" for size in (2, 4, 8) if dim % size == 0 and dim > size]
    return [Form.parse(name) for name in names]


def _positive(number: str, text: str) -> int:
    if not (number.isascii() and number.isdigit()) or int(number) < 1:
        raise _bad(text)
    return int(number)


def _bad(text: str) -> InputError:
    return InputError(
        f"unknown form {text!r}; expected float32, float16, int8, binary, pq:G, dims:K or first:K, "
        "or two of them: dims:K+int8"
    )
