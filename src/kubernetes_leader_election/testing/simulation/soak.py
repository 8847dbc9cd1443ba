"""
Run random worlds on all cores for as long as one likes: a soak.

.. code-block:: shell

    python -m kubernetes_leader_election.testing.simulation.soak --seconds 600

Progress is shown while it runs, a summary line at the end. A world that breaks a
guarantee is shrunk and told, its seed is kept in the file of regressions, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from kubernetes_leader_election.testing.simulation.failures import (
    explain,
    keep_regression,
)
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Profile, Tally
from kubernetes_leader_election.testing.simulation.world import (
    MakeElection,
    Outcome,
    run_plan,
)

MIX: Final[tuple[Profile, ...]] = (
    *("default",) * 70,
    *("rivals",) * 8,
    *("slow sends",) * 8,
    *("storm",) * 6,
    *("quiet",) * 2,
    *("long",) * 6,
)
"""What kinds of worlds a soak runs: most are short and bad, a few are long."""

YEAR: Final = 365.25 * 86400.0
REPORT_EVERY: Final = 0.5
"""Seconds of worlds in one message of a worker."""


@dataclass(slots=True, kw_only=True)
class Sum:
    """What a soak amounted to so far."""

    tally: Tally = field(default_factory=Tally)
    failed: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    crashed: int = 0
    """Workers that ended by an error of their own."""

    @property
    def broken(self) -> bool:
        """Tell whether anything speaks against the core, or nothing was run."""
        return bool(self.failed or self.crashed or not self.tally.worlds)

    def __str__(self) -> str:
        t = self.tally
        return (
            f"{t.worlds} worlds ({t.worlds / max(self.seconds, 1e-9):.0f} a second, "
            f"{t.invalid} too tame to count), {t.simulated / 3600:.0f} simulated hours "
            f"({t.simulated / YEAR:.3f} years), {t.faults} faults, "
            f"{t.leader_changes} leader changes, {t.violations} violations"
        )


def run_worlds(
    first: int, seconds: float, *, make_election: MakeElection | None = None
) -> Sum:
    """Run the worlds of seeds from ``first`` on for so many seconds, at least one."""
    done = Sum()
    # What is left out is the core itself, which a worker need not be sent.
    more: dict[str, Any] = {"make_election": make_election} if make_election else {}
    begun = time.perf_counter()
    seed = first
    while done.seconds < seconds or seed == first:
        outcome = run_plan(make_plan(seed, MIX[seed % len(MIX)]), **more)
        done.tally.add(outcome.tally)
        if outcome.violations:
            done.failed.append(outcome)
        seed += 1
        done.seconds = time.perf_counter() - begun
    return done


def _work(results: multiprocessing.Queue[Sum], ends: float, first: int | None) -> None:
    left = ends - time.time()  # noqa: TID251 - the same in all workers
    while True:  # once at least, however long a worker took to start
        first = secrets.randbelow(10**15)
        results.put(run_worlds(first, min(left, REPORT_EVERY)))
        left = ends - time.time()  # noqa: TID251 - the same in all workers
        if left <= 0:
            return


def soak(
    seconds: float,
    *,
    workers: int,
    regressions: Path | None,
    out: TextIO,
    first: int | None = None,
) -> Sum:
    """
    Run random worlds in ``workers`` processes and tell how it goes.

    Args:
        seconds: how long.
        workers: how many processes.
        regressions: failing seeds are added to this file; None: to none.
        out: where progress and the stories of failures are written.
        first: where each worker begins, a million seeds apart; None: anywhere.

    """
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Sum] = context.Queue()
    begun = time.perf_counter()
    ends = time.time() + seconds  # noqa: TID251 - the same in all workers
    processes = [
        context.Process(
            target=_work,
            args=(results, ends, None if first is None else first + number * 10**6),
            daemon=True,
        )
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    whole = Sum()
    shown = begun
    while any(process.is_alive() for process in processes) or not results.empty():
        try:
            part = results.get(timeout=0.2)
        except queue.Empty:
            continue
        whole.tally.add(part.tally)
        whole.failed += part.failed
        whole.seconds = time.perf_counter() - begun
        for outcome in part.failed:
            _tell(outcome, regressions, out)
        if time.perf_counter() - shown >= _interval(seconds):
            shown = time.perf_counter()
            out.write(f"{whole.seconds:6.0f} s: {whole}\n")
            out.flush()
    for process in processes:
        process.join()
        whole.crashed += process.exitcode != 0
    return whole


def _interval(seconds: float) -> float:
    return min(10.0, max(1.0, seconds / 20))


def _tell(outcome: Outcome, regressions: Path | None, out: TextIO) -> None:
    plan = outcome.plan
    out.write(f"FAILED: seed {plan.seed}, profile {plan.profile}\n{explain(plan)}\n")
    if regressions is not None and keep_regression(regressions, outcome):
        out.write(f"kept in {regressions}\n")
    out.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m kubernetes_leader_election.testing.simulation.soak",
        description="Run random simulated elections and check every guarantee.",
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes"
    )
    parser.add_argument(
        "--regressions", type=Path, help="file to which failing seeds are added"
    )
    parser.add_argument(
        "--first", type=int, help="the seed to begin with, for the same worlds again"
    )
    asked = parser.parse_args(arguments)
    whole = soak(
        asked.seconds,
        workers=asked.workers,
        regressions=asked.regressions,
        out=sys.stdout,
        first=asked.first,
    )
    if whole.crashed:
        sys.stdout.write(f"{whole.crashed} workers ended by an error\n")
    sys.stdout.write(f"{'BROKEN' if whole.broken else 'All kept'}: {whole}\n")
    return 1 if whole.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
