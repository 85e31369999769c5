"""Change one byte of a file, or cut it off, and read it: it must be refused by name, or made again with a message."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from children import Outcome, cli, run_child
from phases import CACHE, OUT, Phase, compute_ppr, content
from readers import register

from mmgraph.files import is_temporary

REFUSED, AGAIN, HARMLESS, WRONG = "refused", "made again", "harmless", "wrong"
"""What may happen: exit code 2 and one line with the name of the file; the right result and a message with the name of the
file; the right result without a word, where the byte has no meaning; anything else."""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: Shown in the table.
        place: What is copied for each case, a file or folder of the made objects.
        files: Patterns of the files that are changed, below that place; `` for the place itself.
        read: Makes the work of a child from the copy.
        result: What must be equal afterwards, besides the standard output.
        without: Names of files that are left alone.
        older: If a message says so, what is read may be that of the checkpoint before the last.
    """

    name: str
    place: str
    files: tuple[str, ...]
    read: Callable[[Path], Callable[[], int]]
    result: Callable[[Path], object] = lambda _: None
    without: tuple[str, ...] = ()
    older: bool = False


@dataclass
class CorruptionResult:
    """What happened to one kind of file.

    Attributes:
        kind: Its name.
        files: How many files were changed.
        refused: How many were refused by name.
        again: How many were made again with a message.
        harmless: How many gave the right result because the byte has no meaning; which ones is in `unnoticed`.
        wrong: What else happened, one line each.
        unnoticed: File and damage of the harmless ones.
    """

    kind: str
    files: int = 0
    refused: int = 0
    again: int = 0
    harmless: int = 0
    wrong: list[str] = field(default_factory=list)
    unnoticed: list[str] = field(default_factory=list)


def reading(kind: str) -> Callable[[Path], Callable[[], int]]:
    """Read by `mmgraph faults-read`."""
    return lambda path: cli("faults-read", kind, path)


def _encode(path: Path) -> Callable[[], int]:
    words = ("encode", "--graph", str(path / OUT), "--batch-size", "8", "--cache", str(path / CACHE))
    work = Phase("", words).work(path)

    def quiet() -> int:
        # The table says how many vectors were in the cache, which is what differs.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return work()

    return quiet


def _resume(path: Path) -> Callable[[], int]:
    def work() -> int:
        from mmgraph.cli.main import main

        # The folder is printed, and it is another one in each case.
        return main(["resume", "--run", str(path)])

    return work


def _ppr(base: Path) -> Callable[[Path], Callable[[], int]]:
    def read(path: Path) -> Callable[[], int]:
        def work() -> int:
            import logging
            import sys

            logging.basicConfig(stream=sys.stderr)
            return compute_ppr(base, out=path)

        return work

    return read


STORES = ("faiss", "faiss-hnsw", "faiss-ivfpq", "usearch", "duckdb", "lancedb", "qdrant")
TABLES = ("npy", "safetensors", "projector")
FORMS = {"int8": (), "binary": (), "dims:8+int8": (), "dims:8": ("--format", "faiss")}


def make_kinds(base: Path) -> list[Kind]:
    """All kinds of files, see `prepare_objects` for where they lie."""
    anything = ("**/*",)
    vectors = [Kind("embeddings parquet", "vectors.parquet", ("",), reading("vectors"))]
    vectors += [Kind(f"embeddings {name}", f"stores/{name}", anything, reading("vectors")) for name in TABLES]
    vectors += [
        Kind(f"store {name}", f"stores/{name}", anything, reading("vectors"), without=(".lock",)) for name in STORES
    ]
    vectors += [
        Kind(f"codec and codes {form}", f"stores/compressed-{number}", anything, reading("vectors"))
        for number, form in enumerate(FORMS)
    ]
    return [
        Kind("graph", "graph", anything, reading("graph"), without=("encoding.json",)),
        Kind("synthetic graph", "planted", ("synthetic.json", "encoded/*", "tasks/*/*"), reading("truth")),
        Kind("tasks and splits", "tasks", ("tasks/*/*", "splits/*/*"), reading("tasks")),
        Kind("model", "run", ("model/*", "env.json"), reading("model")),
        Kind("run", "run", ("env.json", "config.yaml"), _resume),
        Kind("checkpoint", "run", ("last.pt",), reading("checkpoint"), older=True),
        Kind(
            "fine-tuning",
            "finetuned",
            ("last.pt", "best.safetensors", "validation.json", "finetune.json", "config.yaml"),
            _resume,
            result=lambda path: content_of(path, ("result.json", "model/model.safetensors", "predictions.parquet")),
        ),
        Kind("dataset", "cora", anything, lambda path: cli("datasets", "build", "cora", *_local(base), "--out", path)),
        Kind(
            "model card",
            "card",
            anything,
            lambda path: cli("pull", "--from", path, "--out", path.parent / "pulled"),
            without=("README.md",),
        ),
        Kind("PPR shards", "ppr", ("**/*.npy",), _ppr(base), result=lambda path: sorted(_names(path, ".npy"))),
        Kind("encoder cache", "encoded", (f"{CACHE}/**/*.safetensors",), _encode, result=content),
        *vectors,
    ]


def _local(base: Path) -> tuple[str, str]:
    return "--local", str(base / "planetoid")


def _names(path: Path, ending: str) -> set[str]:
    return {item.name for item in path.rglob(f"*{ending}")}


def content_of(path: Path, names: tuple[str, ...]) -> list[bytes]:
    """Bytes of some files of a folder; empty for one that is not there."""
    return [(path / name).read_bytes() if (path / name).is_file() else b"" for name in names]


def prepare_objects(base: Path, folder: Path) -> None:
    """Make one object of each kind, in children.

    Raises:
        RuntimeError: If a command fails.
    """
    folder.mkdir(parents=True)
    environment = {"MMGRAPH_CACHE": str(folder / "caches"), "CUDA_VISIBLE_DEVICES": ""}
    for source, target in (("toy/encoded", "graph"), ("planted", "planted"), ("run", "run"), ("vectors.parquet",) * 2):
        copy = shutil.copytree if (base / source).is_dir() else shutil.copyfile
        copy(base / source, folder / target)
    shutil.copytree(base / "toy" / "tasks", folder / "tasks" / "tasks")
    shutil.copytree(base / "tables", folder / "encoded" / OUT)
    (folder / "ppr").mkdir()
    table = base / "vectors.parquet"
    steps: list[Callable[[], int]] = [
        _encode(folder / "encoded"),
        lambda: compute_ppr(base, out=folder / "ppr"),
        cli("datasets", "build", "cora", *_local(base), "--out", folder / "cora"),
        cli("card", "--run", base / "run", "--out", folder / "card"),
        cli(*_finetune(base, folder)),
        lambda: _write_stores(table, folder / "stores"),
        *(
            cli("compress", "--embeddings", table, "--to", form, "--out", folder / "stores" / f"compressed-{n}", *more)
            for n, (form, more) in enumerate(FORMS.items())
        ),
    ]
    for number, step in enumerate(steps):
        outcome = run_child(step, environment=environment)
        if outcome.code:
            raise RuntimeError(f"step {number} of the objects failed: {outcome.err}")
    if (folder / "cora" / "splits").is_dir():
        shutil.copytree(folder / "cora" / "splits", folder / "tasks" / "splits")
    # As if it had been killed after its last step: all that is left to do is read.
    (folder / "finetuned" / "result.json").unlink()
    shutil.rmtree(folder / "finetuned" / "model")


def _finetune(base: Path, folder: Path) -> tuple[object, ...]:
    words = ("finetune", "--run", base / "run", "--graph", base / "toy", "--task", "community", "--device", "cpu")
    return (*words, "--steps", "4", "--eval_every", "2", "--out", folder / "finetuned")


def _write_stores(table: Path, folder: Path) -> int:
    from mmgraph.export.base import read_table, write_table

    vectors = read_table(table)
    for name in (*TABLES, *STORES):
        write_table(vectors, folder / name, format=name)
    return 0


def corrupt_all(
    base: Path, folder: Path, *, files: int, seed: int, only: list[str] | None = None
) -> list[CorruptionResult]:
    """Share changed files evenly among the kinds."""
    register()
    if not (folder / "objects").exists():
        prepare_objects(base, folder / "objects")
    kinds = [kind for kind in make_kinds(base) if only is None or kind.name in only]
    results = []
    for number, kind in enumerate(kinds):
        count = files // len(kinds) + (number < files % len(kinds))
        results.append(corrupt_kind(kind, folder / "objects", folder / "case", count=count, seed=seed))
        done = results[-1]
        print(f"{kind.name}: {done.files} files, {len(done.wrong)} wrong", flush=True)
    return results


def corrupt_kind(kind: Kind, objects: Path, case: Path, *, count: int, seed: int) -> CorruptionResult:
    """Change files of one kind, one at a time."""
    draw = random.Random(f"{seed} {kind.name}")
    result = CorruptionResult(kind.name)
    whole, expected = _read(kind, objects, case)
    older = _older(kind, objects, case)
    if whole.code or whole.err.strip().startswith("mmgraph"):
        result.wrong.append(f"the whole files cannot be read: {whole.err.strip()[-300:]}")
        return result
    candidates = _candidates(kind, objects / kind.place)
    if not candidates:
        result.wrong.append("there are no such files")
    for _ in range(count if candidates else 0):
        name = draw.choice(candidates)
        source = objects / kind.place / name if name else objects / kind.place
        data, how = damage(source.read_bytes(), draw)
        outcome, found = _read(kind, objects, case, name, data)
        result.files += 1
        verdict = judge(outcome, source.name, outcome.out == whole.out and found == expected, outcome.out in older)
        if verdict == REFUSED:
            result.refused += 1
        elif verdict == AGAIN:
            result.again += 1
        elif verdict == HARMLESS:
            result.harmless += 1
            result.unnoticed.append(f"{name or source.name}, {how}")
        else:
            result.wrong.append(f"{name or source.name}, {how}: {verdict}: {outcome.code} {outcome.err.strip()[-400:]}")
    return result


def damage(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Other bytes, and what was done to them: six times in ten one bit, else one byte, a cut or a byte too many."""
    place, way = draw.randrange(max(1, len(data))), draw.random()
    if data and way < 0.6:
        bit = 1 << draw.randrange(8)
        return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :], f"bit {bit} of byte {place} changed"
    if data and way < 0.75:
        other = (data[place] + draw.randrange(1, 256)) % 256
        return data[:place] + bytes([other]) + data[place + 1 :], f"byte {place} changed to {other}"
    if data and way < 0.95:
        return data[:place], f"cut off after {place} of {len(data)} bytes"
    return data + bytes([draw.randrange(256)]), "one byte appended"


def judge(outcome: Outcome, name: str, is_equal: bool, is_older: bool) -> str:
    """One of the four constants, or what is wrong."""
    lines = outcome.err.strip().splitlines()
    if outcome.code == 2 and lines and lines[-1].startswith("mmgraph: error: "):
        return REFUSED if name in lines[-1] else "refused without the name of the file"
    if outcome.code < 0:
        return f"ended by signal {-outcome.code}"
    if outcome.code != 0:
        return "crashed"
    if name in outcome.err and (is_equal or is_older):
        return AGAIN
    if is_equal:
        return HARMLESS
    return "used"


def count_verdicts(results: list[CorruptionResult]) -> Counter[str]:
    """Sums over all kinds."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(files=result.files, refused=result.refused, again=result.again, harmless=result.harmless)
        total.update(wrong=len(result.wrong))
    return total


def _candidates(kind: Kind, place: Path) -> list[str]:
    if kind.files == ("",):
        return [""]
    found = {
        path for pattern in kind.files for path in place.glob(pattern) if path.is_file() and not is_temporary(path)
    }
    return sorted(path.relative_to(place).as_posix() for path in found if path.name not in kind.without)


def _read(kind: Kind, objects: Path, case: Path, name: str | None = None, data: bytes = b"") -> tuple[Outcome, object]:
    """Copy, change, read."""
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir(parents=True)
    place = case / kind.place.split("/")[-1]
    if (objects / kind.place).is_dir():
        shutil.copytree(objects / kind.place, place)
    else:
        shutil.copyfile(objects / kind.place, place)
    if name is not None:
        (place / name if name else place).write_bytes(data)
    environment = {"MMGRAPH_CACHE": str(case / "caches"), "CUDA_VISIBLE_DEVICES": ""}
    outcome = run_child(kind.read(place), environment=environment, folder=case)
    return outcome, kind.result(place) if outcome.code == 0 else None


def _older(kind: Kind, objects: Path, case: Path) -> set[str]:
    """What is read from the checkpoint before the last."""
    if not kind.older:
        return set()
    outcome, _ = _read(kind, objects, case, "last.pt", b"")
    return {outcome.out}
