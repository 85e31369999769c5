"""The notebooks: short, without outputs, and, with --run-slow, executed with few steps."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import mmgraph as mg

nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "experiments" / "notebooks").glob("*.ipynb"))
GRAPHS = {"debian_packages": "debian", "movie_recommendation": "movielens-100k", "openmoji_search": "openmoji"}


def code_of(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_all_are_known() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(GRAPHS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_short_valid_and_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert 5 <= len(notebook.cells) < 15
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert max(map(len, cell.source.splitlines())) <= 140


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_name_of_the_library_exists(path: Path) -> None:
    tree = ast.parse("\n".join(code_of(path)))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mg"
    }
    assert {"build_dataset", "embed", "load_graph", "plot_map", "pretrain"} <= used <= set(mg.__all__)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmgraph"):
            module = __import__(str(node.module), fromlist=["_"])
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On $MMGRAPH_DATA, or on graphs that are built first; debian, which takes ten minutes to encode, only from there."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    data = Path(os.environ.get("MMGRAPH_DATA") or tmp_path / "data").resolve()
    name = GRAPHS[path.stem]
    if name == "debian" and not (data / name / "encoded").is_dir():
        pytest.skip("no encoded debian in $MMGRAPH_DATA")
    mg.build_dataset(name, data / name)
    for variable, value in {"MMGRAPH_DATA": data, "MMGRAPH_STEPS": 3, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": 1}.items():
        monkeypatch.setenv(variable, str(value))
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=1500, kernel_name="python3", resources=place).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    shown = [output.get("data", {}) for cell in cells for output in cell.outputs]
    assert any("image/png" in data for data in shown)
    numbers = [data["text/plain"] for data in shown if "smoothed features" in data.get("text/plain", "")]
    assert len(numbers) == 1
    assert "NaN" not in numbers[0]
    assert list(tmp_path.glob("runs/notebooks/*/model/model.safetensors"))
