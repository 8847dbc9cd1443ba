"""
Measure how many simulated worlds a core runs in a second, and what limits it.

.. code-block:: shell

    python benchmarks/simulation.py --worlds 300

Each seed is run several times and its best processor time counts, so that what else
the machine does matters little. Then the same worlds run once under the profiler.
To compare two versions on a busy machine, count bytecodes instead: ``--bytecodes``.
Compare only where the same happened: a version whose worlds break a guarantee ends them
early, which looks fast.

The first line is what is promised about: three replicas with the default options,
twenty lease durations, faults as often as in the default worlds, all checkers and
probes. The default worlds draw their settings, and some of them a foreign elector:
those that renew more often, or differ in their durations, take longer.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import kubernetes_leader_election
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Profile, Tally
from kubernetes_leader_election.testing.simulation.world import run_plan

PACKAGE = Path(kubernetes_leader_election.__file__).parent
SIMULATION = "testing/simulation/"
PARTS: dict[str, tuple[str, ...]] = {
    "the core": ("core/",),
    "the checkers": tuple(
        f"{SIMULATION}{name}"
        for name in ("assumptions", "checkers", "term_", "shown_", "writes", "witness")
    ),
    "probes of progress": (f"{SIMULATION}liveness",),
    "the Lease store": (f"{SIMULATION}store",),
    "the network": (f"{SIMULATION}network.",),
    "processes and clocks": (SIMULATION,),
    "values and errors": ("",),
}
"""What a function belongs to: the first that its path begins with."""


def measure(profile: Profile, worlds: int, rounds: int) -> tuple[float, Tally, float]:
    """
    Return the seconds of all worlds, each in its best round, and what happened.

    The last number is how many lease durations they lasted, of the longest in each.
    """
    best = [float("inf")] * worlds
    tally = Tally()
    durations = 0.0
    for number in range(rounds):
        for seed in range(worlds):
            begun = time.process_time()
            plan = make_plan(seed, profile)
            outcome = run_plan(plan)
            best[seed] = min(best[seed], time.process_time() - begun)
            if number == 0:
                tally.add(outcome.tally)
                durations += outcome.tally.simulated / plan.longest_duration
    return sum(best), tally, durations


def shares(worlds: int) -> dict[str, float]:
    """Return the share of time that each part of the simulator takes."""
    profiler = cProfile.Profile()
    profiler.enable()
    for seed in range(worlds):
        run_plan(make_plan(seed, "three"))
    profiler.disable()
    spent = dict.fromkeys([*PARTS, "Python's built-in functions"], 0.0)
    for (file, _, _), row in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]  # not in its stub
        path = file.removeprefix(f"{PACKAGE}/")
        part = next(
            (name for name, start in PARTS.items() if path.startswith(start)), ""
        )
        if path == file:
            part = "Python's built-in functions"
        spent[part] += row[2]
    whole = sum(spent.values())
    return {name: seconds / whole for name, seconds in spent.items()}


def bytecodes(profile: Profile, worlds: int) -> float:
    """Return how many bytecodes a world takes: the same whatever else the machine does."""
    count = 0

    def look(_frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        nonlocal count
        count += event == "opcode"
        return look

    def enter(frame: FrameType, _event: str, _: object) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return look

    for seed in range(worlds):
        plan = make_plan(seed, profile)
        sys.settrace(enter)
        try:
            run_plan(plan)
        finally:
            sys.settrace(None)
    return count / worlds


def main() -> None:
    """Print worlds a second for each profile, then the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytecodes", action="store_true", help="count those instead")
    asked = parser.parse_args()
    profiles: tuple[tuple[Profile, int], ...] = (
        ("three", 1),
        ("default", 1),
        ("storm", 10),
        ("long", 25),
    )
    for profile, fewer in profiles:
        worlds = max(1, asked.worlds // fewer)
        if asked.bytecodes:
            print(f"{profile}: {bytecodes(profile, worlds):,.0f} bytecodes a world")
            continue
        seconds, tally, durations = measure(profile, worlds, asked.rounds)
        print(
            f"{profile}: {worlds / seconds:.1f} worlds a second on one core; one world: "
            f"{durations / worlds:.1f} lease durations, "
            f"{tally.simulated / worlds:.0f} simulated seconds, "
            f"{tally.requests / worlds:.0f} requests, "
            f"{tally.faults / worlds:.1f} faults, "
            f"{tally.leader_changes / worlds:.1f} leader changes; "
            f"{tally.invalid} of {worlds} too tame to count, "
            f"{tally.violations} ended early, as they broke a guarantee; "
            f"{tally.simulated / seconds:.0f} simulated seconds a second"
        )
    if asked.bytecodes:
        return
    print("What limits it (share of the time under the profiler):")
    for name, share in sorted(shares(asked.worlds).items(), key=lambda p: -p[1]):
        print(f"  {share:5.1%} {name}")


if __name__ == "__main__":
    main()
