"""`mmgraph serve` as a process, and what it refuses before it listens."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from mmgraph.cli.main import main

# Runs the command, and asks it from another thread of the same process, which may use the network.
SCRIPT = """
import json, os, re, signal, socket, sys, threading, time, urllib.request
from mmgraph.cli.main import main

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

def ask(path, key="secret"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.read()

def generation():
    return float(re.search(rb"^mmgraph_index_generation (.*)$", ask("/metrics"), re.MULTILINE)[1])

def drive():
    try:
        for _ in range(600):
            try:
                ask("/healthz")
                break
            except OSError:
                time.sleep(0.05)
        hits = json.loads(ask("/similar?id=n0003&k=2"))["hits"]
        before = generation()
        os.kill(os.getpid(), signal.SIGHUP)
        for _ in range(600):
            if generation() > before:
                break
            time.sleep(0.05)
        after = json.loads(ask("/similar?id=n0003&k=2"))["hits"]
        try:
            ask("/about", key="wrong")
        except OSError as error:
            refused = error.code
        print(json.dumps([len(hits), hits == after, generation() > before, refused]), flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=drive).start()
sys.exit(main(["serve", "--embeddings", sys.argv[1], "--port", str(port), "--reload-seconds", "0"]))
"""


def test_the_command_answers_reloads_and_ends(workspace, monkeypatch) -> None:
    monkeypatch.setenv("MMGRAPH_API_KEY", "secret")
    command = [sys.executable, "-c", SCRIPT, str(workspace.store)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout.strip() == "[2, true, true, 401]", ended.stderr
    assert "serving on http://127.0.0.1:" in ended.stderr
    assert "reloaded: generation" in ended.stderr
    assert ended.returncode in (0, 130)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --embeddings, or --run together with --graph"),
        (["--run", "{run}"], "expected --embeddings, or --run together with --graph"),
        (["--embeddings", "{store}", "--run", "{run}"], "--run needs --graph"),
        (["--embeddings", "{folder}/nothing"], "not found"),
        (["--embeddings", "{store}", "--port", "70000"], "--port: expected 0 to 65535, got 70000"),
        (["--embeddings", "{store}", "--max-k", "0"], "max_k must be above 0, got 0"),
        (["--embeddings", "{store}", "--timeout", "0"], "timeout must be above 0"),
        (["--embeddings", "{store}", "--graph", "{folder}"], "expected a graph"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(workspace, capsys, words, message) -> None:
    places = {"run": workspace.run, "store": workspace.store, "folder": workspace.folder}
    assert main(["serve", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(workspace, capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--embeddings", str(workspace.store), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"--port {port}: cannot listen there: address already in use" in error
