"""Help, exit codes and one-line errors."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmgraph.cli import main as main_module
from mmgraph.cli.main import COMMANDS, main
from mmgraph.errors import MissingExtraError


def _one_line(capsys) -> str:
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("mmgraph: error: ")
    return lines[0]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_help_has_a_description_and_an_example(name: str, capsys) -> None:
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: mmgraph {name}") or name == "embed"
    assert re.search(r"examples?:\n  mmgraph \w+", text)
    description = text.split("\n\n")[1]
    assert description[0].isupper()
    assert "<class" not in text


def test_overview_names_every_command(capsys) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in out
        assert command.summary in out
    assert main([]) == 2
    assert main(["datasets", "--help"]) == 0
    assert "datasets build" in capsys.readouterr().out


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"mmgraph \d+\.\d+.*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("encod", "unknown command 'encod'; choose from: encode"),
        ("datasets lst", "unknown command 'datasets lst'; choose from: datasets list"),
        ("datasets build nope --out {tmp}/x", "unknown dataset 'nope'"),
        ("datasets build", "required: name, out"),
        ("encode", "required: graph"),
        ("encode --graph {tmp}/none", "none"),
        ("encode --graph {graph} --text nope", "unknown encoder 'nope'"),
        ("encode --graph {graph} --text none --image none", "nothing to encode"),
        ("encode --graph {graph} --on-unknown maybe", "--on-unknown: expected Literal['error', 'drop'], got maybe"),
        ("encode --graph {graph} --batch-size x", "--batch-size: expected int, got x"),
        ("pretrain --out {tmp}/r", "--graphs: expected at least one graph folder"),
        ("pretrain --graphs {graph}", "--out: expected a run folder"),
        ("pretrain --graphs {tmp}/none --out {tmp}/r", "none"),
        ("pretrain --graphs {graph} {graph} --out {tmp}/r", "twice"),
        ("pretrain --graphs {graph} --out {tmp}/r --steps 0", "steps must be at least 1, got 0"),
        ("pretrain --graphs {graph} --out {tmp}/r --optim.lr fast", "--optim.lr: expected float, got fast"),
        ("pretrain --graphs {graph} --out {tmp}/r --optim.lrr 3", "--optim.lrr"),
        ("pretrain --graphs {graph} --out {tmp}/r --device tpu9", "tpu9"),
        ("pretrain --config {tmp}/none.yaml", "none.yaml: file not found"),
        ("pretrain --config {bad}", "bad.yaml: group 'optim': unknown key 'lrr'; choose from: lr"),
        ("pretrain --graphs {graph} --out {graph}", "not empty"),
        ("resume --run {tmp}", "no run there"),
        ("evaluate --run {tmp} --graph {graph}", "no run there"),
        ("evaluate --run {run} --graph {graph} --task nope", "unknown task 'nope'; choose from: "),
        ("evaluate --run {run} --graph {tmp}", "{tmp}"),
        ("export --run {tmp} --graph {graph} --out {tmp}/t", "no run there"),
        (
            "export --run {run} --graph {graph} --out {tmp}/t --to sheet",
            "--to: expected Literal['parquet', 'npy', 'faiss'",
        ),
        ("search --id n0000", "expected --embeddings, or --run together with --graph"),
        ("search --embeddings {table}", "expected either --id, or --text and/or --image"),
        ("search --embeddings {table} --text red", "need --run and --graph"),
        ("search --embeddings {table} --id nobody", "'nobody'"),
        ("search --embeddings {table} --id n0000 -k 0", "-k must be at least 1, got 0"),
        ("search --embeddings {table} --id n0000 --type alien", "unknown node type 'alien'"),
        ("search --embeddings {tmp}/none --id n0000", "not found"),
        ("search --run {run} --graph {graph} --image {tmp}/none.png", "none.png: file not found"),
        ("search --run {run} --graph {graph} --image {bad}", "bad.yaml"),
        ("search --embeddings {table} --id n0000 --like n0001", "either --id or --like, got both"),
        ("search --embeddings {table} --id n0000 --not red", "to change a node's query give --like"),
        ("search --embeddings {table} --like n0000", "--like needs --text, --image or --not"),
        ("search --embeddings {table} --like n0000 --text red", "need --run and --graph"),
        ("search --run {run} --graph {graph} --not red", "--not alone says nothing to look for"),
        ("search --run {run} --graph {graph} --text red --not red", "'red' is asked for and excluded"),
        ("search --run {run} --graph {graph} --text red --weight 2", "--weight needs --like"),
        ("search --run {run} --graph {graph} --text red --not-weight 2", "--not-weight needs --not"),
        ("search --run {run} --graph {graph} --like n0000 --text red --weight 0", "weight must be above 0, got 0.0"),
        ("demo --steps 0", "--steps must be at least 1, got 0"),
        ("demo --out {graph}", "not empty and holds no demo"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(workspace, tmp_path, words: str, expected: str, capsys) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("optim: {lrr: 3}\n")
    places = {"tmp": tmp_path, "graph": workspace.graph, "run": workspace.run, "table": workspace.table, "bad": bad}
    assert main(words.format(**places).split()) == 2
    assert expected.format(**places) in _one_line(capsys)
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.yaml"}


def _fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("mmgraph.encoders.folder.encode_folder", fail)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/file"), "/full/file: no space left on the device"),
        (OSError(errno.EROFS, "Read-only file system", "/ro"), "/ro: the file system is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "/root/x: Permission denied"),
        (MissingExtraError('install it with: pip install "mmgraph[encoders]"'), 'pip install "mmgraph[encoders]"'),
    ],
)
def test_failures_of_the_machine_are_one_line(monkeypatch, error: BaseException, expected: str, capsys) -> None:
    _fails_with(monkeypatch, error)
    assert main(["encode", "--graph", "g"]) == 2
    assert expected in _one_line(capsys)


def test_a_bug_keeps_its_traceback(monkeypatch) -> None:
    _fails_with(monkeypatch, KeyError("bug"))
    with pytest.raises(KeyError):
        main(["encode", "--graph", "g"])


@pytest.mark.parametrize(
    ("words", "target", "expected"),
    [
        ("encode --graph g", "mmgraph.encoders.folder.encode_folder", "encodings so far are kept in the cache"),
        ("pretrain --graphs g --out {run}", "mmgraph.training.pretrain.pretrain", "mmgraph resume --run {run}"),
        ("pretrain --graphs g --out {tmp}", "mmgraph.training.pretrain.pretrain", "no checkpoint was written yet"),
        ("resume --run {run}", "mmgraph.training.pretrain.resume", "mmgraph resume --run {run}"),
        ("evaluate --run {run} --graph g", "mmgraph.training.evaluate.evaluate_run", "is as before"),
        ("export --run {run} --graph g --out {tmp}/t", "mmgraph.data.store.load_graph", "is as before"),
        ("search --run r --graph g --text x", "mmgraph.export.queries.open_embeddings", "nothing was changed"),
        ("datasets build openmoji --out {tmp}/d", "mmgraph.datasets.build_dataset", "was not written"),
        ("datasets list", "mmgraph.datasets.available_datasets", "nothing was changed"),
        ("demo --out {tmp}", "mmgraph.report.demo.run_demo", "go on with: mmgraph demo --out {tmp}"),
        ("doctor", "mmgraph.cli.doctor.write_line", "nothing was changed"),
    ],
)
def test_ctrl_c_says_what_is_kept(workspace, monkeypatch, tmp_path, words: str, target: str, expected: str, capsys):
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    places = {"tmp": tmp_path, "run": workspace.run}
    monkeypatch.setattr(target, interrupt)
    assert main(words.format(**places).split()) == 130
    captured = capsys.readouterr()
    assert captured.err.startswith("mmgraph: interrupted; ")
    assert captured.err.count("\n") == 1
    assert expected.format(**places) in captured.err


def test_ctrl_c_while_loading(monkeypatch, capsys) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module.importlib, "import_module", interrupt)
    assert main(["doctor"]) == 130
    assert "nothing was changed" in capsys.readouterr().err


STUBBORN = """
import signal, sys
from mmgraph.cli import doctor, main
def run(args):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("cleaning up", flush=True)
        if {twice}:
            signal.raise_signal(signal.SIGINT)
        print("cleaned up", flush=True)
        raise
doctor.run = run
sys.exit(main.main(["doctor"]))
"""


@pytest.mark.parametrize("twice", [False, True])
def test_second_ctrl_c_ends_at_once(twice: bool) -> None:
    code = STUBBORN.format(twice=twice)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert result.stdout.split("\n")[:-1] == (["cleaning up"] if twice else ["cleaning up", "cleaned up"])
    told = "interrupted twice, ended at once" if twice else "interrupted"
    assert result.stderr == f"mmgraph: {told}; nothing was changed\n"


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("words", [["--help"], ["datasets", "list"], ["encode", "--help"], ["demo", "--help"]])
def test_what_needs_no_torch_does_not_load_it(words: list[str]) -> None:
    code = f"import sys; from mmgraph.cli.main import main; code = main({words}); print(code, 'torch' in sys.modules)"
    assert _run(code).stdout.splitlines()[-1] == "0 False"


def test_help_starts_quickly() -> None:
    """In processor time: wall time on a shared machine says more about the others."""
    before = os.times()
    _run("from mmgraph.cli.main import main; main(['--help'])")
    after = os.times()
    assert (after.children_user - before.children_user) + (after.children_system - before.children_system) < 1.0


def test_a_closed_pipe_is_quiet(workspace) -> None:
    command = [sys.executable, "-m", "mmgraph.cli.main", "search", "--embeddings", str(workspace.table)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*command, "--id", "n0000", "--json"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def test_a_folder_that_cannot_be_written(workspace, tmp_path, capsys) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    words = [
        "export",
        "--run",
        str(workspace.run),
        "--graph",
        str(workspace.graph),
        "--out",
        str(blocked / "t.parquet"),
    ]
    assert main(words) == 2
    assert str(Path("file")) in _one_line(capsys)
