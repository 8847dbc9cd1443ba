"""
Run random worlds on all cores for as long as one likes: a soak.

.. code-block:: shell

    python -m kubernetes_leader_election.testing.simulation.soak --seconds 600

Progress is shown while it runs, a table and a summary line at the end. A world that
breaks a guarantee is shrunk, told and drawn, its seed is kept in the file of
regressions, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import queue
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.cores import MakeElection, Versions
from kubernetes_leader_election.testing.simulation.failures import (
    explain,
    keep_regression,
)
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Profile, Tally
from kubernetes_leader_election.testing.simulation.world import Outcome, run_plan

SHARES: Final[dict[Profile, float]] = {
    "default": 0.15,
    "long": 0.24,
    "storm": 0.07,
    "rivals": 0.06,
    "slow sends": 0.07,
    "words": 0.06,
    "mixed versions": 0.04,
    "hands": 0.055,
    "races": 0.055,
    "meddling": 0.04,
    "old news": 0.04,
    "endings": 0.04,
    "quiet": 0.02,
    "proofs": 0.03,
    "lies": 0.02,
    "answered lies": 0.01,
}
"""
Shares of the time of a soak: short and bad worlds find most, long ones make years.

Where no earlier version is given, the others share the time of "mixed versions".
"""

YEAR: Final = 365.25 * 86400.0
REPORT_EVERY: Final = 0.5
"""Seconds of worlds in one message of a worker."""
STORIES: Final = 5
"""Failing worlds that are shrunk and told; of the others the first line is enough."""
SHRINK_FOR: Final = 30.0
"""Seconds at most to shrink one."""
SEEDS_APART: Final = 10**6


@dataclass(slots=True, kw_only=True)
class Sum:
    """What a soak amounted to so far."""

    tally: Tally = field(default_factory=Tally)
    kinds: dict[Profile, Tally] = field(default_factory=dict)
    """The same for each profile."""
    three_replicas: float = 0.0
    """Simulated seconds of the worlds with three replicas."""
    failed: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    crashed: int = 0
    """Workers that ended by an error of their own."""

    @property
    def broken(self) -> bool:
        """Return whether anything speaks against the core, or nothing was run."""
        return bool(self.failed or self.crashed or not self.tally.worlds)

    def count(self, outcome: Outcome) -> None:
        """Add one world."""
        tally = outcome.tally
        self.tally.add(tally)
        self.kinds.setdefault(outcome.plan.profile, Tally()).add(tally)
        if len(outcome.plan.nodes) == 3:
            self.three_replicas += tally.simulated
        if outcome.violations:
            self.failed.append(outcome)

    def add(self, other: Sum) -> None:
        """Add what another process did meanwhile."""
        self.tally.add(other.tally)
        for profile, tally in other.kinds.items():
            self.kinds.setdefault(profile, Tally()).add(tally)
        self.three_replicas += other.three_replicas
        self.failed += other.failed

    def __str__(self) -> str:
        t = self.tally
        return (
            f"{t.worlds:,} worlds ({t.worlds / max(self.seconds, 1e-9):.0f} a second, "
            f"{t.invalid:,} too tame to count), "
            f"{self.three_replicas / YEAR:.3f} simulated years of three replicas "
            f"({t.simulated / 3600:,.0f} hours in all), {t.faults:,} faults, "
            f"{t.leader_changes:,} leader changes, {t.violations} violations"
        )

    def table(self) -> str:
        """Return one line for each kind of world."""
        lines = [
            (
                f"{'kind of world':13} {'worlds':>7} {'too tame':>8} {'hours':>8} "
                f"{'faults':>9} {'leader changes':>14}   one world"
            )
        ]
        for profile, t in self.kinds.items():
            lines.append(
                f"{profile:13} {t.worlds:7,} {t.invalid:8,} {t.simulated / 3600:8,.1f} "
                f"{t.faults:9,} {t.leader_changes:14,}   "
                f"{t.faults / t.worlds:.1f} faults, "
                f"{t.leader_changes / t.worlds:.1f} leader changes"
            )
        return "\n".join(lines)


class Schedule:
    """
    Say which world comes next: of the kind that is furthest behind its share of time.

    Each kind counts its seeds from ``first`` on, so only how many worlds of a kind
    are run depends on the machine.

    Args:
        first: the seed to begin with.
        make_election: makes the cores; without :class:`Versions` no worlds are run in
            which versions are mixed.

    """

    def __init__(self, first: int, make_election: MakeElection = Election) -> None:
        self._make_election = make_election
        mixed = isinstance(make_election, Versions)
        kinds = [kind for kind in SHARES if mixed or kind != "mixed versions"]
        self._next = dict.fromkeys(kinds, first)
        self._spent = dict.fromkeys(kinds, 0.0)

    def outcomes(self, seconds: float) -> Iterator[Outcome]:
        """Run worlds for so many seconds, at least one, and give what came of each."""
        ends = time.perf_counter() + seconds
        while True:
            profile = min(
                self._spent, key=lambda name: self._spent[name] / SHARES[name]
            )
            seed = self._next[profile]
            self._next[profile] += 1
            begun = time.process_time()
            plan = make_plan(seed, profile)
            yield run_plan(plan, make_election=self._make_election)
            self._spent[profile] += time.process_time() - begun
            if time.perf_counter() >= ends:
                return


def run_worlds(schedule: Schedule, seconds: float) -> Sum:
    """Run worlds for so many seconds, at least one, and give their sum."""
    done = Sum()
    begun = time.perf_counter()
    for outcome in schedule.outcomes(seconds):
        done.count(outcome)
    done.seconds = time.perf_counter() - begun
    return done


def cores(earlier: str | None) -> MakeElection:
    """
    Return what makes the cores of a soak.

    Args:
        earlier: a module that has ``VERSIONS``, see :class:`Versions`; None: this
            version alone.

    """
    if earlier is None:
        return Election
    versions: Versions = importlib.import_module(earlier).VERSIONS
    return versions


def _work(
    results: multiprocessing.Queue[Sum], ends: float, first: int, earlier: str | None
) -> None:
    schedule = Schedule(first, cores(earlier))
    while True:  # once at least, however long a worker took to start
        left = ends - time.time()  # noqa: TID251 - the same in all workers
        results.put(run_worlds(schedule, min(left, REPORT_EVERY)))
        if left <= REPORT_EVERY:
            return


def soak(
    seconds: float,
    *,
    workers: int,
    regressions: Path | None,
    out: TextIO,
    first: int | None = None,
    pictures: Path | None = None,
    earlier: str | None = None,
) -> Sum:
    """
    Run random worlds in ``workers`` processes and tell how it goes.

    Args:
        seconds: how long.
        workers: how many processes.
        regressions: failing seeds are added to this file; None: to none.
        out: where progress and the stories of failures are written.
        first: where the first worker begins, the others a million seeds apart;
            None: anywhere.
        pictures: where failing worlds are drawn; None: in a new temporary folder.
        earlier: a module with the cores of earlier versions, as for :func:`cores`.

    """
    make_election = cores(earlier)
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Sum] = context.Queue()
    begun = time.perf_counter()
    ends = time.time() + seconds  # noqa: TID251 - the same in all workers
    first = secrets.randbelow(10**15) if first is None else first
    out.write(f"Soaking in {workers} processes, from seed {first} on.\n")
    out.flush()
    processes = [
        context.Process(
            target=_work,
            args=(results, ends, first + number * SEEDS_APART, earlier),
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
        told = len(whole.failed)
        whole.add(part)
        whole.seconds = time.perf_counter() - begun
        for number, outcome in enumerate(part.failed, told):
            if pictures is None:
                pictures = Path(tempfile.mkdtemp(prefix="failing-worlds-"))
            _tell(
                outcome,
                regressions,
                pictures,
                out,
                story=number < STORIES,
                make_election=make_election,
            )
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


def _tell(
    outcome: Outcome,
    regressions: Path | None,
    pictures: Path,
    out: TextIO,
    *,
    story: bool,
    make_election: MakeElection = Election,
) -> None:
    plan = outcome.plan
    out.write(f"FAILED: seed {plan.seed}, profile {plan.profile}\n")
    if story:
        told = explain(
            plan,
            make_election=make_election,
            seconds=SHRINK_FOR,
            pictures=pictures,
        )
        out.write(f"{told}\n")
    else:
        out.write(f"{outcome.violations[0]}\n")
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
        "--pictures",
        type=Path,
        help="folder in which failing worlds are drawn; else a new temporary one",
    )
    parser.add_argument(
        "--first", type=int, help="the seed to begin with, for the same worlds again"
    )
    parser.add_argument(
        "--earlier",
        metavar="MODULE",
        help="module with VERSIONS: mix processes of earlier versions with those of this",
    )
    asked = parser.parse_args(arguments)
    whole = soak(
        asked.seconds,
        workers=asked.workers,
        regressions=asked.regressions,
        out=sys.stdout,
        first=asked.first,
        pictures=asked.pictures,
        earlier=asked.earlier,
    )
    if whole.crashed:
        sys.stdout.write(f"{whole.crashed} workers ended by an error\n")
    sys.stdout.write(f"{whole.table()}\n")
    sys.stdout.write(f"{'BROKEN' if whole.broken else 'All kept'}: {whole}\n")
    return 1 if whole.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
