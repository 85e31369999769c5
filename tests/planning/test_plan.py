"""Plans: sizes and costs by hand, engines by memory, the command over costs that are given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmgraph.cli.main import main
from mmgraph.errors import InputError
from mmgraph.files import write_json
from mmgraph.planning import sizes
from mmgraph.planning.advice import advise
from mmgraph.planning.calibration import FLAT, SIZE_OF, Calibration, calibration_path
from mmgraph.planning.costs import CostCurve
from mmgraph.planning.gathers import JUMPS, KINDS, GatherCurve, measure_gathers
from mmgraph.planning.machine import GiB, Machine
from mmgraph.planning.phases import plan_phases, training_rounds
from mmgraph.planning.workload import FeatureShape, Workload, parse_bytes, parse_count

JOB = Workload(1000, 5000, (FeatureShape("text", 8, "fp16"), FeatureShape("image", 4)), dim=16, index="none")
MACHINE = Machine(cores=4, memory=64 * GiB, disk=10**12)


def linear_costs(job: Workload, per_unit: float = 1e-6) -> Calibration:
    """Every phase costs so many processor seconds per unit, and twice that on the wall; a step costs one second."""
    small = replace(job, nodes=100, edges=round(100 * job.edges_per_node))
    large = replace(job, nodes=200, edges=round(200 * job.edges_per_node))

    def curve(name: str, factor: float) -> CostCurve:
        points = [(SIZE_OF[name](some), factor * per_unit * SIZE_OF[name](some)) for some in (small, large)]
        return CostCurve.of(points) if name not in FLAT else CostCurve.of([(200, factor)], flat=True)

    cpu, wall = ({name: curve(name, factor) for name in SIZE_OF} for factor in (1.0, 2.0))
    facts = {"processor": "p", "nodes": [100, 200], "date": "d", "load_average": 0.0}
    gathers = {kind: GatherCurve.of([(2**20, 1e-9)]) for kind in KINDS}
    return Calibration(facts, cpu, wall, {"text": (0.01, 0.02)}, gathers)


@pytest.mark.parametrize(
    ("text", "expected"), [("20000", 20_000), ("1e9", 10**9), ("2.5M", 2_500_000), ("3B", 3 * 10**9), ("2_000", 2000)]
)
def test_counts(text: str, expected: int) -> None:
    assert parse_count(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("64GiB", 64 * 2**30), ("500 MB", 500 * 10**6), ("1e9", 10**9)])
def test_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "many", "-3", "1e", "nan", "1e999"])
def test_no_numbers(text: str) -> None:
    for parse in (parse_count, parse_bytes):
        with pytest.raises(InputError, match="expected a"):
            parse(text)


@pytest.mark.parametrize("text", ["text", "text:x", ":3", "text:0", "text:3:fp8", "a:1:fp16:2"])
def test_wrong_features(text: str) -> None:
    with pytest.raises(InputError, match="features"):
        FeatureShape.parse(text)


def test_sizes_by_hand() -> None:
    assert sizes.graph_bytes(JOB) == 1000 * 24 + 5000 * 16 + 1000 * (8 * 2 + 4 * 4)
    assert sizes.csr_bytes(JOB) == 8 * 1001 + 16 * 10_000
    assert sizes.matrix_bytes(JOB) == 64_000
    assert sizes.index_bytes(replace(JOB, index="faiss-hnsw")) == 64_000 + 256_000


def test_curve_between_below_and_beyond() -> None:
    curve = CostCurve.of([(40, 5.0), (10, 2.0), (20, 3.0)])
    assert curve.seconds(15) == pytest.approx(2.5)
    assert curve.seconds(30) == pytest.approx(4.0)
    assert curve.seconds(5) == pytest.approx(1.5)
    # The slope of 0.1 is at least 0.8 of the mean cost of the last point, 0.125.
    assert curve.seconds(140) == pytest.approx(5.0 + 100 * 0.1)
    steep = CostCurve.of([(10, 1.0), (20, 100.0)])
    assert steep.seconds(120) == pytest.approx(100.0 + 100 * 1.4 * 5.0)
    assert CostCurve.of([(10, 3.0), (90, 4.0)], flat=True).seconds(1e9) == 4.0


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_of_a_power(power: float) -> None:
    curve = CostCurve.of([(x, 3 * x**power) for x in (1.0, 10.0, 100.0)])
    assert curve.exponent == pytest.approx(power)
    assert CostCurve.of([(1.0, 1.0)]).exponent is None


def test_linear_costs_are_extrapolated_exactly() -> None:
    job = replace(JOB, nodes=10**6, edges=5 * 10**6, texts=100, steps=50)
    phases = {phase.name: phase for phase in plan_phases(job, linear_costs(JOB), MACHINE)}
    assert phases["CSR"].cpu == pytest.approx(1e-6 * 10**7)
    assert phases["CSR"].factor == pytest.approx(5000)
    assert phases["training: steps"].cpu == pytest.approx(50)
    assert training_rounds(job) == 5
    assert phases["training: rounds"].cpu == pytest.approx(5 * 10)
    assert phases["encode texts"].cpu == pytest.approx(1.0)
    assert phases["encode texts"].seconds == pytest.approx(0.25)
    fast = {p.name: p for p in plan_phases(job, linear_costs(JOB), replace(MACHINE, speed=2.0), clock="wall")}
    assert fast["CSR"].cpu == pytest.approx(phases["CSR"].cpu)


def test_gathers_between_and_beyond() -> None:
    curve = GatherCurve.of([(64, 9.0), (4, 1.0), (16, 10.0), (1, 2.0)])
    assert curve.points == ((1, 1.0), (4, 1.0), (16, 9.0), (64, 9.0))  # what is dearer than at a larger size is noise
    assert [curve.seconds(size) for size in (0.1, 8, 1e9)] == pytest.approx([1.0, 5.0, 9.0])


def test_phases_that_jump_cost_more_beyond_the_caches() -> None:
    costs, job = linear_costs(JOB), replace(JOB, nodes=1600, edges=8000)
    # 200 nodes were measured: 27,200 bytes of adjacency and state, then eight times as much.
    assert JUMPS["ppr"].working_set(job) == 8 * 16_000 + 56 * 1600 == 8 * 27_200
    grown = replace(costs, gathers={**costs.gathers, "words": GatherCurve.of([(27_200, 1.0), (8 * 27_200, 3.0)])})
    assert costs.seconds("ppr", job) == pytest.approx(1e-6 * 1600)
    assert grown.seconds("ppr", job) == pytest.approx(1e-6 * 1600 * (1 + JUMPS["ppr"].share * 2))
    assert grown.seconds("ppr", replace(JOB, nodes=150, edges=750)) == pytest.approx(1e-6 * 150)
    assert grown.seconds("csr", job) == costs.seconds("csr", job)


def test_gathers_are_measured() -> None:
    found = measure_gathers([2**12, 2**14])
    assert set(found) == set(KINDS)
    for curve in found.values():
        assert [size for size, _ in curve.points] == [2**12, 2**14]
        assert 0 < curve.points[0][1] <= curve.points[1][1] < 1e-4


def test_slow_disks_bound_the_time() -> None:
    job = replace(JOB, nodes=10**6, edges=5 * 10**6)
    build = next(
        p for p in plan_phases(job, linear_costs(JOB), replace(MACHINE, disk_bandwidth=1e3)) if p.name == "build"
    )
    assert build.seconds == pytest.approx((build.read + build.written) / 1e3)


@pytest.mark.parametrize(
    ("memory", "engine"), [(64 * GiB, "in memory"), (200 * 10**6, "memory-mapped"), (10**7, "partition")]
)
def test_engine_follows_memory(memory: int, engine: str) -> None:
    job = replace(JOB, nodes=10**6, edges=5 * 10**6)
    machine = replace(MACHINE, memory=memory)
    advice = advise(job, plan_phases(job, linear_costs(JOB), machine), machine)
    assert advice.engine == engine
    assert any("--model layers" in note for note in advice.notes) == (engine == "memory-mapped")


def test_machines_follow_the_limit_of_time() -> None:
    job = replace(JOB, texts=10**7)  # 100,000 processor seconds, 25,000 on four cores
    phases = plan_phases(job, linear_costs(JOB), MACHINE)
    advice = advise(job, phases, MACHINE, hours=1.0)
    assert (advice.machines, advice.encoding) == (7, "ray")
    assert advise(job, phases, MACHINE, hours=8.0).encoding == "this process"


def test_unknown_encoders_are_named() -> None:
    job = replace(JOB, images=10)
    phases = plan_phases(job, linear_costs(JOB), MACHINE)
    assert next(p for p in phases if p.name == "encode images").cpu is None
    assert any("encode images" in note for note in advise(job, phases, MACHINE).notes)


def test_costs_on_disk(tmp_path: Path) -> None:
    costs = linear_costs(JOB)
    write_json(tmp_path / "c.json", costs.to_json())
    assert Calibration.read(tmp_path / "c.json") == costs
    for wrong in ({}, [], {"format": "mmgraph.calibration", "version": 2, "cpu": 3}):
        write_json(tmp_path / "w.json", wrong)
        with pytest.raises(InputError, match="w.json"):
            Calibration.read(tmp_path / "w.json")


def test_machine_files(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", {"cores": 8, "memory": 2**30, "disk": 10**12})
    assert Machine.read(tmp_path / "m.json").cores == 8
    for wrong in ({"cores": 8}, {"cores": 8, "memory": 1, "disk": 1, "gpu": 1}, {"cores": "8", "memory": 1, "disk": 1}):
        write_json(tmp_path / "m.json", wrong)
        with pytest.raises(InputError, match="cores"):
            Machine.read(tmp_path / "m.json")


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))
    job = Workload(10**9, 2 * 10**10, (FeatureShape("text", 384, "fp16"),), index="none")
    path = calibration_path(job, tmp_path / "planning")
    path.parent.mkdir()
    write_json(path, linear_costs(replace(JOB, features=job.features, dim=384)).to_json())
    words = ["plan", "--nodes", "1e9", "--edges", "2e10", "--features", "text:384:fp16", "--memory", "64GiB"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "engine: memory-mapped" in shown
    assert "training: rounds" in shown
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["advice"]["engine"] == "memory-mapped"
    assert main([*words, "--hours", "0"]) == 2
    assert main([*words[:4], "many"]) == 2
