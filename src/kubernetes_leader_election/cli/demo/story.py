"""The story of the demo: three real processes, one Lease, every kind of trouble."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from kubernetes_leader_election.cli.demo import worker
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.belief_log import (
    ReadLog,
    count_overlaps,
    read_log,
)
from kubernetes_leader_election.testing.faults import Fault, Hang

NAMES: Final = ("ada", "bob", "cyd")
PATIENCE: Final = 15.0
"""Seconds after which a step is called broken: several times what it should take."""
LEASE: Final = float(worker.LEASE_DURATION_SEC)
SHORT_OUTAGE: Final = 0.8
"""
Less than L - R - T = 1.7 s, so that it is ridden out (G8): half of it, since a busy
machine adds delays of its own.
"""
LONG_OUTAGE: Final = 3.5
"""More than the renew deadline: the leader has to stop."""

CONDITIONS: Final = {
    signal.SIGTERM: "ends",
    signal.SIGKILL: "killed",
    signal.SIGSTOP: "frozen",
    signal.SIGCONT: "runs",
}
"""What a process is after a signal."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table at the end."""

    what: str
    took: float | None
    """Seconds; None where there is nothing to time."""
    promise: str
    kept: bool


class BrokenPromiseError(Exception):
    """Say that the story did not go on as promised."""


class Crew:
    """The worker processes and their logs."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.conditions: dict[str, str] = dict.fromkeys(NAMES, "not started")
        """What was last done to each process, in a word or two, to be shown."""
        self.api = "answers"
        """How the API does."""

    def log_of(self, name: str) -> Path:
        """Return the file that a worker writes what it believes to."""
        return self._folder / f"{name}.log"

    def start(self, name: str) -> None:
        """Start, or start again, one worker."""
        error_log = (self._folder / f"{name}.stderr").open("ab")
        with error_log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own program
                [
                    sys.executable,
                    "-m",
                    "kubernetes_leader_election.cli.demo.worker",
                    f"--kubeconfig={self._kubeconfig}",
                    f"--identity={name}",
                    f"--log={self.log_of(name)}",
                ],
                stderr=error_log,
                stdin=subprocess.DEVNULL,
                # It may be packed into one file, which is only on the path here.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self.conditions[name] = "runs"

    def signal(self, name: str, number: signal.Signals) -> float:
        """Send a signal; give the instant just before."""
        before = time.monotonic()
        self._processes[name].send_signal(number)
        self.conditions[name] = CONDITIONS[number]
        return before

    def wait(self, name: str) -> int:
        """Wait for a worker to end; give its exit code."""
        code = self._processes[name].wait(timeout=PATIENCE)
        if self.conditions[name] == CONDITIONS[signal.SIGTERM]:
            self.conditions[name] = "ended"
        return code

    def logs(self) -> dict[str, ReadLog]:
        """Read all logs."""
        return {name: read_log(self.log_of(name)) for name in NAMES}

    def leader(self, *, after: float, but: str | None = None) -> tuple[str, float]:
        """Wait for one that believes after an instant; give its name and since when."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for name, log in self.logs().items():
                instants = [t for t in log.instants("belief") if t > after]
                if instants and name != but:
                    return name, instants[0]
            time.sleep(0.02)
        raise BrokenPromiseError(f"nobody led within {PATIENCE:.0f} s")

    def last_work(self, name: str) -> float:
        """Return the instant of the last look at the work of a worker."""
        lines = [x.instant for x in self.logs()[name].lines if x.what == "work"]
        return lines[-1] if lines else 0.0

    def close(self) -> None:
        """End all workers, by their process id."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.conditions = dict.fromkeys(NAMES, "ended")


def play(
    folder: Path, tell: Tell, introduce: Callable[[Crew], None] | None = None
) -> Iterator[Result]:
    """
    Play the story; yield a result for each step as it is known.

    ``introduce`` gets the crew before it starts, to be shown.
    """
    with LeaseServer() as server, contextlib.ExitStack() as stack:
        config = folder / "kubeconfig"
        server.kubeconfig(path=config)
        crew = Crew(folder, config)
        stack.callback(crew.close)
        if introduce is not None:
            introduce(crew)
        tell(f"a Lease API listens on {server.url}; the Lease lasts {LEASE:.0f} s")
        yield from _election(crew, tell)
        yield from _clean_stop(crew, tell)
        yield from _crash(crew, tell)
        yield from _freeze(crew, tell)
        yield from _outages(crew, server, tell)
        crew.close()
        yield from _verdict(crew)


def _election(crew: Crew, tell: Tell) -> Iterator[Result]:
    begin = time.monotonic()
    for name in NAMES:
        crew.start(name)
    leader, since = crew.leader(after=begin)
    tell(f"three processes start; {leader} leads")
    yield Result(
        "first leader, from process start", since - begin, "some leader", kept=True
    )


def _leader_later(crew: Crew, pause: float) -> str:
    """Return who leads after a pause: the story's rhythm, time to watch."""
    time.sleep(pause)
    return crew.leader(after=time.monotonic() - 0.1)[0]


def _clean_stop(crew: Crew, tell: Tell) -> Iterator[Result]:
    old = _leader_later(crew, 1.0)
    stopped = crew.signal(old, signal.SIGTERM)
    new, since = crew.leader(after=stopped, but=old)
    crew.wait(old)
    took = since - crew.last_work(old)
    tell(f"{old} gets SIGTERM, ends its work, releases; {new} leads")
    yield Result("clean hand-over", took, "under 1 s", kept=took < 1.0)
    crew.start(old)


def _crash(crew: Crew, tell: Tell) -> Iterator[Result]:
    old = _leader_later(crew, 1.5)
    killed = crew.signal(old, signal.SIGKILL)
    crew.wait(old)
    new, since = crew.leader(after=killed, but=old)
    took = since - killed
    tell(f"{old} gets kill -9; {new} leads when the Lease ran out")
    limit = LEASE + 0.5
    yield Result(
        "take-over after kill -9", took, f"at most {limit:.1f} s", kept=took <= limit
    )
    crew.start(old)


def _freeze(crew: Crew, tell: Tell) -> Iterator[Result]:
    old = _leader_later(crew, 1.5)
    frozen = crew.signal(old, signal.SIGSTOP)
    new, since = crew.leader(after=frozen + 0.05, but=old)
    tell(f"{old} is frozen; {new} leads")
    time.sleep(0.5)
    thawed = crew.signal(old, signal.SIGCONT)
    tell(f"{old} thaws in the middle of its work, and is not leader any more")
    time.sleep(1.0)
    log = crew.logs()[old]
    stale = [t for t in log.instants("belief") if t >= thawed]
    took = since - frozen
    yield Result(
        "take-over from a frozen leader",
        took,
        f"at most {LEASE + 0.5:.1f} s, no stale belief",
        kept=took <= LEASE + 0.5 and not stale,
    )


def _outages(crew: Crew, server: LeaseServer, tell: Tell) -> Iterator[Result]:
    old = _leader_later(crew, 1.0)
    with _outage(server, crew):
        tell(f"the API hangs for {SHORT_OUTAGE} s")
        time.sleep(SHORT_OUTAGE)
    healed = time.monotonic()
    time.sleep(1.5)
    terms = [x for x in crew.logs()[old].lines if x.what == "lost"]
    rode = crew.leader(after=healed)[0] == old and not any(
        x.instant > healed - SHORT_OUTAGE for x in terms
    )
    tell(f"{old} {'leads on' if rode else 'lost its term'}")
    yield Result("a short outage of the API", None, "ridden out", kept=rode)
    begin = time.monotonic()
    with _outage(server, crew):
        tell(f"the API hangs for {LONG_OUTAGE} s")
        time.sleep(LONG_OUTAGE)
        last = max(crew.logs()[old].instants("belief"), default=0.0)
    healed = time.monotonic()
    stopped = last - begin
    limit = worker.RENEW_DEADLINE_SEC + 0.1
    tell(f"{old} stopped by itself {stopped:.2f} s into the outage")
    yield Result(
        "leader stops by itself in a long outage",
        stopped,
        f"at most {limit:.1f} s",
        kept=stopped <= limit,
    )
    new, since = crew.leader(after=healed)
    tell(f"the API answers again; {new} leads")
    yield Result("a leader after the outage", since - healed, "some leader", kept=True)


@contextlib.contextmanager
def _outage(server: LeaseServer, crew: Crew) -> Iterator[None]:
    fault = server.faults.add(Fault(Hang(seconds=LONG_OUTAGE), times=None))
    crew.api = "hangs"
    try:
        yield
    finally:
        crew.api = "answers"
        server.faults.remove(fault)


def _verdict(crew: Crew) -> Iterator[Result]:
    logs = crew.logs()
    for what, words in (
        ("belief", "instants with two leaders"),
        ("work", "instants with two at work"),
    ):
        overlaps, total = count_overlaps(logs, what)
        yield Result(
            f"{words}: {overlaps} of {total:,}",
            None,
            "0",
            kept=overlaps == 0 and total > 0,
        )
    tokens = [
        (x.instant, int(x.detail))
        for log in logs.values()
        for x in log.lines
        if x.what == "acquired"
    ]
    ordered = [token for _, token in sorted(tokens)]
    growing = all(a < b for a, b in pairwise(ordered))
    yield Result(
        f"fencing tokens of {len(ordered)} terms", None, "always larger", kept=growing
    )
