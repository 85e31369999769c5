"""The names that `import mmgraph` offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mmgraph


@pytest.mark.parametrize("name", mmgraph.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(mmgraph, name).__name__ == name
    assert name in dir(mmgraph)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        _ = mmgraph.pretrian


def test_all_and_the_table_of_homes_agree() -> None:
    assert sorted(mmgraph.__all__) == sorted(mmgraph._HOME)


def test_import_is_light() -> None:
    code = "import sys, mmgraph; print([m for m in ('torch', 'transformers', 'PIL', 'timm', 'pandas') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
