"""Scripts of experiments as modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest


@pytest.fixture
def load(request: pytest.FixtureRequest) -> Iterator[Callable[[str], ModuleType]]:
    """Import scripts of the `FOLDER` of a test as they import each other, and forget them afterwards: their names are common."""
    folder = request.module.FOLDER
    names = {path.stem for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    sys.path.insert(0, str(folder))
    yield importlib.import_module
    sys.path.remove(str(folder))
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)
