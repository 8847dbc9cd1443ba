"""
Compare the working core with that of a commit in many worlds, on all processors.

.. code-block:: shell

    make differential SEEDS=10000 SINCE=main

Each seed is a world of the simulator and a play of odd inputs. Progress is shown while
it runs, a summary at the end. The exit code is 1 where the cores differ.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kubernetes_leader_election.testing.simulation.failures import describe
from kubernetes_leader_election.testing.simulation.plan import Plan
from kubernetes_leader_election.testing.simulation.shrink import shrink
from tests.differential.direct import Play
from tests.differential.earlier import SINCE, sources
from tests.differential.pair import DifferenceError, Make, Pair
from tests.differential.worlds import (
    Compared,
    WorldsDifferError,
    run_seed,
    run_world,
)
from tests.versions.cores import mixed
from tests.versions.freeze import FreezeError, core_of, of_tree

CHUNK: Final = 25
"""Seeds that a process takes at a time."""
SHOWN: Final = 3
"""Differences that are shown; the others are counted."""
SHRINK_FOR: Final = 30.0


@dataclass(slots=True)
class Found:
    """What came of some seeds."""

    compared: Compared = field(default_factory=Compared)
    plays: int = 0
    differ: list[str] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    """Worlds in which the cores differ."""


def compare(first: int, count: int, working: Make | None = None) -> Found:
    """Run the worlds and plays of some seeds."""
    found = Found()
    for seed in range(first, first + count):
        try:
            found.compared.add(run_seed(seed, working=working))
        except WorldsDifferError as difference:
            found.differ.append(str(difference))
            found.plans.append(difference.plan)
        try:
            Play(seed, working).run()
        except DifferenceError as difference:
            found.differ.append(f"Play {seed}. {difference}")
        found.plays += 1
    return found


def smallest(plan: Plan, working: Make | None = None) -> str:
    """Tell the smallest world found in which the cores still differ."""
    make = mixed(partial(Pair, working=working))
    small = shrink(plan, make_election=make, seconds=SHRINK_FOR)
    try:
        run_world(small, working=working)
    except WorldsDifferError as difference:
        return f"As small as it gets:\n{describe(small)}\n{difference}"
    return "It could not be made smaller."


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, tell, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.differential",
        description=(__doc__ or "").split("\n\n")[0],
    )
    parser.add_argument("--seeds", type=int, default=10_000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes"
    )
    parser.add_argument(
        "--since",
        default="HEAD",
        help="the commit whose core is the other one; empty: the working tree itself",
    )
    asked = parser.parse_args(arguments)
    try:
        same = core_of(sources(asked.since)) == core_of(of_tree())
    except FreezeError as problem:
        parser.error(str(problem))
    os.environ[SINCE] = asked.since  # the processes of the pool read it
    sys.stdout.write(
        f"The working core beside that of {asked.since or 'the working tree'}"
        + (
            ", which is the same: name an earlier commit to see a change"
            if same
            else ""
        )
        + "\n"
    )
    begun = shown = time.perf_counter()
    whole = Found()
    context = multiprocessing.get_context("spawn")
    ends = asked.first + asked.seeds
    with ProcessPoolExecutor(asked.workers, mp_context=context) as pool:
        jobs: list[Future[Found]] = [
            pool.submit(compare, first, min(CHUNK, ends - first))
            for first in range(asked.first, ends, CHUNK)
        ]
        for job in as_completed(jobs):
            part = job.result()
            for text in part.differ[: max(0, SHOWN - len(whole.differ))]:
                sys.stdout.write(f"\n{text}\n")
            whole.compared.add(part.compared)
            whole.plays += part.plays
            whole.differ += part.differ
            whole.plans += part.plans
            if time.perf_counter() - shown > 5.0 or part.differ:
                shown = time.perf_counter()
                _progress(whole, shown - begun, asked.seeds)
    if whole.plans:
        sys.stdout.write(f"\n{smallest(whole.plans[0])}\n")
    compared = whole.compared
    profiles = ", ".join(f"{n} {p}" for p, n in sorted(compared.profiles.items()))
    sys.stdout.write(f"Worlds in which both do the same: {profiles}\n")
    sys.stdout.write(
        f"{'DIFFERENT' if whole.differ else 'The same'}: {asked.seeds:,} worlds and "
        f"{whole.plays:,} plays, {compared.inputs:,} inputs and "
        f"{compared.outputs:,} requests and events compared in the worlds, "
        f"{len(whole.differ)} differences, {time.perf_counter() - begun:.0f} s\n"
    )
    return 1 if whole.differ else 0


def _progress(whole: Found, seconds: float, seeds: int) -> None:
    sys.stdout.write(
        f"{seconds:5.0f} s: {whole.plays:,} of {seeds:,} seeds, "
        f"{len(whole.differ)} differences\n"
    )
    sys.stdout.flush()
