"""The fault harness: it tells right from wrong, and its short form finds nothing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "faults"


def test_it_tells_refusals_from_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    from children import Outcome
    from corruption import AGAIN, HARMLESS, REFUSED, damage, judge

    def verdict(code: int, err: str = "", *, equal: bool = False) -> str:
        return judge(Outcome(code, "", err, 0.0), "x.npy", equal, False)

    assert verdict(2, "mmgraph: error: a/x.npy: the file was changed") == REFUSED
    assert verdict(2, "mmgraph: error: something is wrong") == "refused without the name of the file"
    assert verdict(0, "mmgraph: a/x.npy is damaged and is made again", equal=True) == AGAIN
    assert verdict(0, equal=True) == HARMLESS
    assert verdict(0) == "used"
    assert verdict(0, "mmgraph: a/x.npy is damaged and is made again") == "used"
    assert verdict(70, "Traceback ... x.npy") == "crashed"
    assert verdict(-11) == "ended by signal 11"
    draw = random.Random(0)
    for data in (b"", b"a", bytes(range(256))):
        assert all(damage(data, draw)[0] != data for _ in range(200))


def test_a_child_is_killed_at_a_moment_and_at_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import time

    from children import run_child

    def work() -> int:
        for number in range(100):
            (tmp_path / str(number)).touch()
            time.sleep(0.02)
        return 3

    assert run_child(lambda: 3).code == 3
    assert run_child(work, kill_after=0.05).code == -9
    before = len(list(tmp_path.iterdir()))
    killed = run_child(work, watch=tmp_path / "new", kill_after=0.01)
    assert (killed.code, killed.events) == (-9, 0)
    for path in tmp_path.iterdir():
        path.unlink()
    killed = run_child(work, watch=tmp_path, kill_at_event=3)
    assert killed.code == -9
    assert 3 <= len(list(tmp_path.iterdir())) < 100
    assert before < 100
    crashed = run_child(lambda: 1 // 0)
    assert crashed.code == 70
    assert "ZeroDivisionError" in crashed.err


def test_results_of_parts_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    from run import merge_results

    path = tmp_path / "results.json"
    merge_results(path, {"files": [{"kind": "graph", "files": 3}, {"kind": "model", "files": 3}]})
    merge_results(path, {"kills": [{"phase": "encode", "kills": 5}]})
    merge_results(path, {"files": [{"kind": "model", "files": 9}], "kills": [{"phase": "embed", "kills": 2}]})
    assert json.loads(path.read_text()) == {
        "kills": [{"phase": "encode", "kills": 5}, {"phase": "embed", "kills": 2}],
        "files": [{"kind": "graph", "files": 3}, {"kind": "model", "files": 9}],
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_short_form_finds_nothing(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        Path(work).chmod(0o755)  # somebody else must reach the files in it; nobody gets into the folders of pytest
        words = ["--kills", "10", "--files", "52", "--shares", "0.5", "--work", str(Path(work, "work"))]
        found = subprocess.run(
            [sys.executable, str(FOLDER / "run.py"), *words, "--out", str(tmp_path / "found.json")],
            capture_output=True,
            text=True,
        )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-2000:]
    results = json.loads((tmp_path / "found.json").read_text())
    assert sum(result["kills"] for result in results["kills"]) == 10
    assert sum(result["files"] for result in results["files"]) == 52
