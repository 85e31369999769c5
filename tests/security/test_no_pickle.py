"""No file is ever read in a way that could run what is in it. The whole source is searched."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("mmgraph", "experiments")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

NEVER = {
    "eval": "code from text",
    "exec": "code from text",
    "compile": "code from text",
    "__import__": "module by name",
    "os.system": "shell",
    "os.popen": "shell",
    "subprocess.getoutput": "shell",
    "subprocess.getstatusoutput": "shell",
    "pickle.load": "pickle",
    "pickle.loads": "pickle",
    "cPickle.load": "pickle",
    "dill.load": "pickle",
    "dill.loads": "pickle",
    "joblib.load": "pickle",
    "cloudpickle.load": "pickle",
    "marshal.load": "code",
    "marshal.loads": "code",
    "shelve.open": "pickle",
    "pd.read_pickle": "pickle",
    "pandas.read_pickle": "pickle",
    "torch.hub.load": "code from the web",
    "torch.jit.load": "code",
    "yaml.full_load": "YAML with types of Python",
    "yaml.unsafe_load": "YAML with types of Python",
    "yaml.safe_load": "no limits; use mmgraph.yaml_text.parse_yaml",
    "zipfile.ZipFile.extractall": "no limits; use mmgraph.archives",
    "shutil.unpack_archive": "no limits; use mmgraph.archives",
    "tempfile.mktemp": "a name that another process can take first",
}
"""Calls that are never made, and why."""

METHODS_NEVER = {"extractall": "use mmgraph.archives"}

ONLY_IN = {
    "yaml.load": {"mmgraph/yaml_text.py"},
    "zipfile.ZipFile": {"mmgraph/archives.py"},
    "tarfile.open": {"mmgraph/archives.py", "mmgraph/testing/archives.py"},
    "gzip.decompress": set(),
    "lzma.decompress": set(),
    "bz2.decompress": set(),
    "zlib.decompress": set(),
    "PIL.Image.open": {"mmgraph/data/image_files.py", "mmgraph/serve/uploads.py"},
    "Image.open": {"experiments/benchmarks/encoding.py"},
    "urllib.request.urlopen": {"mmgraph/datasets/web_files.py"},
    "json.load": set(),
}
"""Calls that are made in one place, where their limits are."""

ENGINES = {"mmgraph/engines/ray.py", "mmgraph/testing/engines.py"}
"""Take back what our own workers sent; no file is read, and Ray hands objects over in no other form. The second is its fake."""

UNPICKLER = "mmgraph/formats/safe_pickle.py"
"""The only file that knows an unpickler: one with a list of names that it knows, and the reader of published `.pt`."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names, else nothing."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *parts[::-1]]) if isinstance(node, ast.Name) else ""


def option(call: ast.Call, name: str) -> object:
    """Value of a keyword, `None` if it is not a constant or not there."""
    found = [word.value for word in call.keywords if word.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def unsafe_calls(tree: ast.AST, file: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from unsafe_imports(node, file)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        where = f"{file}:{node.lineno}: {name}"
        if name in NEVER and not (name == "pickle.loads" and file in ENGINES):
            yield f"{where}: {NEVER[name]}"
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS_NEVER:
            yield f"{where or node.func.attr}: {METHODS_NEVER[node.func.attr]}"
        if name in ONLY_IN and file not in ONLY_IN[name]:
            yield f"{where}: only in {sorted(ONLY_IN[name])}"
        if name == "torch.load" and option(node, "weights_only") is not True and file != UNPICKLER:
            yield f"{where}: without weights_only=True"
        if name in ("np.load", "numpy.load") and option(node, "allow_pickle") is not False:
            yield f"{where}: without allow_pickle=False"
        if name.startswith("subprocess.") and option(node, "shell") not in (None, False):
            yield f"{where}: through a shell"
        if any(word.arg == "shell" for word in node.keywords) and option(node, "shell") is not False:
            yield f"{where}: through a shell"
        if any(word.arg == "trust_remote_code" for word in node.keywords) and (
            option(node, "trust_remote_code") is not False
        ):
            yield f"{where}: trusts remote code"


def unsafe_imports(node: ast.Import | ast.ImportFrom, file: str) -> Iterator[str]:
    """Names that would hide a call from this search."""
    modules = {"pickle", "marshal", "yaml", "zipfile", "tarfile", "subprocess", "gzip", "lzma", "bz2", "shelve", "dill"}
    if isinstance(node, ast.ImportFrom) and node.module in modules:
        yield f"{file}:{node.lineno}: import {node.module} itself, so that its calls can be found"
    if isinstance(node, ast.Import):
        for name in node.names:
            if name.asname and name.name in {*modules, "torch"}:
                yield f"{file}:{node.lineno}: {name.name} under another name"


def test_the_source_is_there() -> None:
    assert len(FILES) > 200


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_unpickled_or_run(folder: str) -> None:
    found = [
        problem
        for path in FILES
        if path.is_relative_to(ROOT / folder)
        for problem in unsafe_calls(parsed(path), path.relative_to(ROOT).as_posix())
    ]
    assert found == []


def test_only_one_file_has_an_unpickler() -> None:
    with_unpickler = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr == "Unpickler"
    ]
    assert set(with_unpickler) == {UNPICKLER}


def test_every_model_of_others_is_loaded_by_one_set_of_options() -> None:
    """`from_pretrained` of transformers gets `_load_options`, which says no code and no pickles."""
    calls = [
        (path.relative_to(ROOT).as_posix(), node)
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"
    ]
    assert {file for file, _ in calls} == {"mmgraph/encoders/huggingface.py"}
    for _, call in calls:
        spread = [word.value for word in call.keywords if word.arg is None]
        assert [dotted(value.func) for value in spread if isinstance(value, ast.Call)] == ["_load_options"]


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import pickle\npickle.loads(data)",
        "from pickle import loads",
        "import pickle as p",
        "eval(text)",
        "archive.extractall(folder)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "model.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_should(code: str) -> None:
    assert list(unsafe_calls(ast.parse(code), "mmgraph/x.py"))
