from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from mmgraph.process import own_memory

HOLES = """
import numpy as np
from mmgraph.process import give_back_memory, own_memory
large = np.ones(2**21)
del large  # from now on the C library keeps blocks of up to 16 MiB
blocks = [np.ones(2**15) for _ in range(400)]  # 100 MiB
kept = blocks[::8]
del blocks
before = own_memory()
give_back_memory()
print((before - own_memory()) / 2**20)
"""


def test_freed_memory_between_what_is_in_use_is_given_back() -> None:
    if own_memory() is None or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("the C library is not glibc")
    run = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, timeout=60, check=True)
    assert float(run.stdout) > 60
