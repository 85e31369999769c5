"""Fuzz a reader of files, guided by coverage (atheris) or with random numbers only.

    pip install atheris
    python experiments/fuzzing/fuzz.py graph -max_total_time=60
    python experiments/fuzzing/fuzz.py all --seconds 60          # each reader in turn, without atheris

The bytes of the fuzzer are the choices of `mmgraph.testing.mutations.mutate`: which file, which damage, where. A crash is
any exception other than `InputError`, a message of more than one line, or the end of the process (a library in C). With
`--libraries` the native indexes of vector libraries are damaged too, which are left alone otherwise; set a limit on
memory first (`ulimit -v`).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError
from mmgraph.testing.mutations import copied, mutate
from mmgraph.testing.readers import READERS, SUFFIXES


class Choices(random.Random):
    """Random numbers that are the bytes of a fuzzer, and zeros when these are used up."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self.data, self.position = data, 0

    def getrandbits(self, k: int) -> int:
        """Next bits."""
        size = (k + 7) // 8
        piece = self.data[self.position : self.position + size]
        self.position += size
        return int.from_bytes(piece.ljust(size, b"\0"), "little") & ((1 << k) - 1)

    def random(self) -> float:
        """Next number from 0 to 1."""
        return self.getrandbits(32) / 2**32


class Target:
    """A reader with a valid folder, to be damaged again and again."""

    def __init__(self, name: str, folder: Path, *, libraries: bool = False) -> None:
        self.reader = replace(READERS[name], names=()) if libraries else READERS[name]
        self.source = folder / f"valid{SUFFIXES.get(name, '')}"
        self.damaged = folder / f"damaged{self.source.suffix}"
        self.reader.make(self.source)
        self.reader.read(self.source)

    def run(self, choices: random.Random) -> tuple[bool, list[str]]:
        """Damage a copy, and read it; whether it was good, and what was done."""
        copied(self.source, self.damaged)
        done = [
            mutate(self.damaged, choices, self.reader.names)
            for _ in range(1 + choices.randrange(3))
            if self.damaged.exists()
        ]
        if self.reader.sign and choices.randrange(5):
            with contextlib.suppress(Exception):
                self.reader.sign(self.damaged)
        try:
            with (
                open(os.devnull, "w") as nowhere,
                contextlib.redirect_stdout(nowhere),
                contextlib.redirect_stderr(nowhere),
            ):
                self.reader.read(self.damaged)
        except InputError as error:
            if len(str(error).splitlines()) > 1:
                raise AssertionError(f"more than one line: {error!r}") from error
            return False, done
        return True, done


def guided(name: str, arguments: list[str], *, libraries: bool) -> None:
    """Run atheris on a reader; ends the process."""
    import atheris

    with tempfile.TemporaryDirectory() as folder:
        target = Target(name, Path(folder), libraries=libraries)

        def one(data: bytes) -> None:
            target.run(Choices(data))

        package = [module for key, module in sys.modules.items() if key.startswith("mmgraph.") and "testing" not in key]
        for module in package:
            for key, value in list(vars(module).items()):
                if (
                    getattr(value, "__module__", None) == module.__name__
                    and callable(value)
                    and hasattr(value, "__code__")
                ):
                    setattr(module, key, atheris.instrument_func(value))
        atheris.Setup([sys.argv[0], "-max_len=256", "-rss_limit_mb=4096", "-timeout=60", *arguments], one)
        atheris.Fuzz()


def plain(name: str, seconds: float, seed: int, *, libraries: bool) -> int:
    """Run with random numbers; the number of failures, which are printed."""
    failures: Counter[str] = Counter()
    count = good = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        target = Target(name, Path(folder), libraries=libraries)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            try:
                good += target.run(random.Random(seed + count))[0]
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                key = f"{type(error).__name__} at {where.filename}:{where.lineno}"
                if key not in failures:
                    print(f"   seed {seed + count}: {key}: {str(error)[:200]}")
                failures[key] += 1
            count += 1
            slowest = max(slowest, time.monotonic() - start)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(
        f"{name:16} {count:7,} runs, {good:6,} read, {sum(failures.values()):4,} failures, "
        f"slowest {slowest:5.2f} s, memory +{grown:,} MB",
        flush=True,
    )
    return sum(failures.values())


def main() -> int:
    """Fuzz one reader, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", help=f"all, or one of: {', '.join(READERS)}")
    parser.add_argument("--seconds", type=float, default=0.0, help="without atheris, for so long")
    parser.add_argument("--seed", type=int, default=0, help="first seed, without atheris")
    parser.add_argument("--libraries", action="store_true", help="damage the files of vector libraries too")
    arguments, rest = parser.parse_known_args()
    if arguments.reader != "all" and arguments.reader not in READERS:
        parser.error(f"unknown reader {arguments.reader!r}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MMGRAPH_CACHE"] = cache
        options: dict[str, Any] = {"libraries": arguments.libraries}
        if arguments.reader == "all" or arguments.seconds:
            names = READERS if arguments.reader == "all" else [arguments.reader]
            seconds = arguments.seconds or 60.0
            return int(sum(plain(name, seconds, arguments.seed, **options) for name in names) > 0)
        guided(arguments.reader, rest, **options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
