"""Whatever happens to a file: a reader refuses it in one line, or reads it; nothing else is raised."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.testing.mutations import copied, mutate
from mmgraph.testing.readers import READERS, SUFFIXES, Reader

NATIVE = ("store lancedb", "store duckdb", "store usearch", "store faiss", "store faiss-ivfpq")
"""Their packages read files of their own, in compiled code."""
HEAVY = ("ogb arxiv", *NATIVE, "gexf")
"""Importing their packages takes seconds."""


@pytest.fixture(scope="module", autouse=True)
def _quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMGRAPH_CACHE", str(tmp_path_factory.mktemp("cache")))
        logging.disable(logging.WARNING)
        yield
        logging.disable(logging.NOTSET)


def valid(name: str, folder: Path) -> Path:
    path = folder / f"valid{SUFFIXES.get(name, '')}"
    READERS[name].make(path)
    if READERS[name].sign:
        READERS[name].sign(path)
    READERS[name].read(path)
    return path


def check(reader: Reader, source: Path, random: Random, *, reseal: bool) -> None:
    """Damage a copy, and read it; with `reseal`, four of five have the digest of what they became."""
    damaged = copied(source, source.with_name(f"damaged{source.suffix}"))
    done = [mutate(damaged, random, reader.names) for _ in range(random.choice((1, 1, 2, 3))) if damaged.exists()]
    if reader.sign and reseal and random.randrange(5):
        with contextlib.suppress(Exception):  # the damage may be such that there is nothing to sign
            reader.sign(damaged)
    try:
        reader.read(damaged)
    except InputError as error:
        refused = str(error)
    else:
        refused = ""
    assert len(refused.splitlines()) <= 1, (done, refused)


def fuzz(name: str, folder: Path, examples: int, *, reseal: bool) -> None:
    source = valid(name, folder)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def run(random: Random) -> None:
        check(READERS[name], source, random, reseal=reseal)

    run()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in READERS if name not in HEAVY])
def test_damaged_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    fuzz(name, tmp_path, 6, reseal=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    # A digest that is right leads into the packages of the stores, which trust their own files.
    fuzz(name, tmp_path, 100, reseal=name not in NATIVE)
