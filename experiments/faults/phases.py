"""The phases of the whole job on tiny graphs: what each reads, how it is started again, what must come out."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from children import Outcome, cli, run_child

from mmgraph.files import is_temporary
from mmgraph.training.tracking import MEASURED

OUT, CACHE = "out", "cache"
"""Names of what a phase writes, in its own folder."""
SMALL = ["--device", "cpu", "--save_every", "2", "--log_every", "1"]
TINY = ["--encoder.dim", "16"]


@dataclass(frozen=True)
class Phase:
    """One command.

    Attributes:
        name: Shown in the table.
        words: The command; `{base}` stands for the folder of the inputs. It runs in a folder of its own.
        again: What is added to the command when it is run again; what is finished by then may be replaced.
        copies: A folder of the inputs that is copied to `out` first, because the command writes into it.
        once: The command refuses to run again once its result is there.
    """

    name: str
    words: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    copies: str = ""
    once: bool = False

    def work(self, base: Path, *, again: bool = False) -> Callable[[], int]:
        """What a child does, in the folder of the phase."""
        words = [word.format(base=base) for word in (*self.words, *(self.again if again else ()))]

        def run() -> int:
            from readers import register

            from mmgraph.testing.datasets import fake_encoders

            register()
            with fake_encoders():
                return cli(*words)()

        return run

    def start(self, base: Path, folder: Path) -> None:
        """Make the folder in which the command runs."""
        folder.mkdir(parents=True)
        if self.copies:
            shutil.copytree(base / self.copies, folder / OUT)

    def run(self, base: Path, folder: Path, *, again: bool = False, **options: object) -> Outcome:
        """Run the command in its folder."""
        environment = {"MMGRAPH_CACHE": str(folder / CACHE), "CUDA_VISIBLE_DEVICES": ""}
        return run_child(
            self.work(base, again=again),
            environment=environment,
            folder=folder,
            watch=folder,
            **options,  # type: ignore[arg-type]
        )


def compute_ppr(base: Path, out: Path = Path(OUT)) -> int:
    """Fill a cache of PPR neighbourhoods, 16 seeds per shard."""
    from mmgraph.data.csr import CSR
    from mmgraph.data.ppr import PPRConfig, PPRTable
    from mmgraph.data.store import load_graph

    graph = load_graph(base / "planted")
    relation = next(iter(graph.relations.values()))
    csr = CSR.from_edges(relation.edge_index, graph.num_nodes)
    PPRTable(csr, PPRConfig(epsilon=1e-5), cache=out, shard_size=16).prepare(progress=False)
    return 0


PRETRAIN = ("pretrain", "--graphs", "{base}/toy", "--out", OUT, *SMALL, *TINY)
PHASES = [
    Phase("datasets build", ("datasets", "build", "cora", "--local", "{base}/planetoid", "--out", OUT)),
    Phase("import", ("import", "{base}/shop", "--out", OUT), again=("--overwrite",)),
    Phase("synthetic", ("synthetic", "--nodes", "2000", "--edges", "8000", "--out", OUT), once=True),
    Phase("encode", ("encode", "--graph", OUT, "--batch-size", "2", "--cache", CACHE), copies="tables"),
    Phase("ppr", ("faults-read", "ppr", "{base}")),
    Phase("pretrain", (*PRETRAIN, "--steps", "16", "--sampling.batch_size", "32")),
    Phase(
        "finetune",
        ("finetune", "--run", "{base}/run", "--graph", "{base}/toy", "--task", "community", "--out", OUT)
        + ("--device", "cpu", "--steps", "24", "--eval_every", "2", "--patience", "100"),
    ),
    Phase(
        "embed",
        ("embed", "--run", "{base}/run", "--graph", "{base}/toy", "--out", OUT, "--to", "parquet"),
        again=("--overwrite",),
    ),
    Phase(
        "export",
        ("export", "--run", "{base}/run", "--graph", "{base}/toy", "--out", OUT, "--to", "faiss"),
        again=("--overwrite",),
    ),
    Phase(
        "compress",
        ("compress", "--embeddings", "{base}/vectors.parquet", "--to", "int8", "--out", OUT),
        again=("--overwrite",),
    ),
]


def prepare(base: Path) -> None:
    """Write the inputs of all phases; in children, so that the parent never computes.

    Raises:
        RuntimeError: If a command fails.
    """
    from mmgraph.testing.datasets import make_dataset
    from mmgraph.testing.planetoid_files import write_planetoid
    from mmgraph.testing.shops import make_shop

    def write() -> int:
        make_shop(base / "shop")
        make_dataset(base / "tables", num_nodes=60)
        write_planetoid(base / "planetoid")
        return 0

    base.mkdir(parents=True, exist_ok=True)
    environment = {"MMGRAPH_CACHE": str(base / CACHE), "CUDA_VISIBLE_DEVICES": ""}
    pretrain = ("pretrain", "--graphs", base / "toy", "--out", base / "run", "--steps", "6", *SMALL, *TINY)
    steps: list[Callable[[], int]] = [
        write,
        lambda: Phase("", ("encode", "--graph", str(base / "toy"))).work(base)(),
        cli("synthetic", "--nodes", "2000", "--edges", "8000", "--out", base / "planted"),
        cli(*pretrain, "--sampling.batch_size", "32"),
        cli("export", "--run", base / "run", "--graph", base / "toy", "--out", base / "vectors.parquet"),
    ]
    for number, step in enumerate(steps):
        if number == 1:
            shutil.copytree(base / "tables", base / "toy")
        outcome = run_child(step, environment=environment)
        if outcome.code:
            raise RuntimeError(f"step {number} of the inputs failed: {outcome.err}")


def content(folder: Path) -> dict[str, str]:
    """Digest of every file that a phase wrote, without times and what counts how often it was started."""
    out = folder / OUT
    if out.is_file():
        return {OUT: _digest(out.read_bytes())}
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not name.startswith("tensorboard/"):
            found[name] = _digest(_without_times(path))
    return found


def leftovers(folder: Path) -> list[str]:
    """Half-written files and folders, the caches among them."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if is_temporary(path)]


def _without_times(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in data.splitlines()]
        return json.dumps([{key: line[key] for key in line if key not in MEASURED} for line in lines]).encode()
    if path.name == "env.json":  # somebody may commit while it runs
        record = json.loads(data)
        return json.dumps({key: record[key] for key in record if key not in ("commit", "sha256")}).encode()
    if path.suffix == ".pt":  # what pickle writes depends on which equal objects are the same one
        return checkpoint_content(path)
    if path.name == "encoding.json":
        report = json.loads(data)
        del report["sha256"]
        kept = ("items", "quarantined", "truncated", "encoder")
        return json.dumps({name: {key: part[key] for key in kept} for name, part in report.items()}).encode()
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checkpoint_content(path: Path) -> bytes:
    """Digest of step, weights, optimiser and random state of a checkpoint."""
    state = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    digest = hashlib.sha256()
    update(digest, state)
    return digest.digest()


def update(digest: hashlib._Hash, value: object) -> None:
    """Add tensors, numbers and texts, and what dicts and lists hold."""
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{list(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key, item in value.items():
            digest.update(str(key).encode())
            update(digest, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            update(digest, item)
    else:
        digest.update(repr(value).encode())
