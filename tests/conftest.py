"""Every test is seeded, and offline."""

from __future__ import annotations

import signal
import socket
from typing import Any

import numpy as np
import pytest
import torch


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell does so to what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--run-slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs --run-slow"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries that still use the global generator)


@pytest.fixture(autouse=True)
def _unflushed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test loses its power, and thousands of flushes of 4 ms are long; `flushed` brings them back."""
    if "flushed" not in request.fixturenames:
        monkeypatch.setattr("mmgraph.files.flush", lambda path: None)
        monkeypatch.setattr("mmgraph.files._sync_file_system", lambda folder: True)


@pytest.fixture
def flushed() -> None:
    """Leave flushes as they are."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"a test tried to reach the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
