"""Kill each phase at random moments, start it again, and compare the result with an undisturbed run."""

from __future__ import annotations

import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from children import Outcome
from phases import OUT, PHASES, Phase, content, leftovers

KILLS_PER_RUN = 3
"""A run is killed so many times at most before it may end."""


@dataclass
class KillResult:
    """What happened to one phase.

    Attributes:
        phase: Its name.
        kills: How often it was killed.
        restarts: How often it was started again.
        runs: Results that were compared.
        equal: Results that were the same bit for bit, with nothing half-written beside them.
        seconds: Of an undisturbed run.
        wrong: What was found instead, one line each.
    """

    phase: str
    kills: int = 0
    restarts: int = 0
    runs: int = 0
    equal: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def kill_phase(phase: Phase, base: Path, folder: Path, *, kills: int, seed: int) -> KillResult:
    """Kill a phase `kills` times in all.

    Half of the moments are uniform over the time of an undisturbed run, half are the n-th change of a file: the time
    between two writes is long, that within one is short.

    Args:
        phase: The phase.
        base: Inputs.
        folder: For all runs; removed at the end.
        kills: How often.
        seed: Decides when.
    """
    draw = random.Random(f"{seed} {phase.name}")
    phase.start(base, folder / "whole")
    whole = phase.run(base, folder / "whole")
    result = KillResult(phase.name, seconds=whole.seconds)
    if whole.code:
        result.wrong.append(f"the undisturbed run failed: {whole.err.strip()[-300:]}")
        return result
    expected, events = content(folder / "whole"), whole.events
    print(f"{phase.name}: {whole.seconds:.1f} s, {events} changes of files", flush=True)
    # A first run may pay for what the system caches; the second one says how long the killed ones will take.
    shutil.rmtree(folder / "whole")
    phase.start(base, folder / "whole")
    result.seconds = phase.run(base, folder / "whole").seconds
    for name in _differences(expected, content(folder / "whole")):
        result.wrong.append(f"two undisturbed runs differ in {name}")
    while result.kills < kills and not result.wrong:
        place = folder / f"run-{result.runs}"
        phase.start(base, place)
        wanted = min(draw.randint(1, KILLS_PER_RUN), kills - result.kills)
        moments = []
        for number in range(wanted):
            if phase.once and (place / OUT).exists():
                break
            if draw.random() < 0.5:
                moment: dict[str, float] = {"kill_after": draw.uniform(0, result.seconds)}
            else:
                moment = {"kill_at_event": draw.randint(1, max(1, events))}
            outcome = phase.run(base, place, again=number > 0, **moment)
            if outcome.code != -signal.SIGKILL:
                if outcome.code != 0:
                    result.wrong.append(f"run {result.runs}: exit code {outcome.code}: {outcome.err.strip()[-300:]}")
                break
            moments.append(moment)
            result.kills += 1
            result.restarts += 1
        if not moments and not result.wrong:  # it was done before it could be killed
            shutil.rmtree(place)
            continue
        if phase.once and (place / OUT).exists():
            last = Outcome(0, "", "", 0.0)
        else:
            last = phase.run(base, place, again=bool(moments))
        result.runs += 1
        differ = _differences(expected, content(place)) if last.code == 0 else []
        litter = leftovers(place)
        if last.code:
            result.wrong.append(f"killed at {moments}: exit code {last.code}: {last.err.strip()[-300:]}")
        elif differ:
            result.wrong.append(f"killed at {moments}: {', '.join(differ[:5])} differ")
        elif litter:
            result.wrong.append(f"killed at {moments}: left behind: {', '.join(litter[:5])}")
        else:
            result.equal += 1
            shutil.rmtree(place)
    if not result.wrong:
        shutil.rmtree(folder)
    return result


def kill_all(base: Path, folder: Path, *, kills: int, seed: int, only: list[str] | None = None) -> list[KillResult]:
    """Share kills evenly among the phases."""
    chosen = [phase for phase in PHASES if only is None or phase.name in only]
    results = []
    for number, phase in enumerate(chosen):
        share = kills // len(chosen) + (number < kills % len(chosen))
        results.append(kill_phase(phase, base, folder / phase.name.replace(" ", "-"), kills=share, seed=seed))
        print(f"{phase.name}: {results[-1].kills} kills, {results[-1].equal} of {results[-1].runs} equal", flush=True)
    return results


def _differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
