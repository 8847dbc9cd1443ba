"""
A watchdog and its orders, without `run`: what it says, as JSON, a line a message.

A program of its own, since forking a process that has threads is no test of anything.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes_leader_election.cli.supervise import linux, watchdog, watchdog_link
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.cli.supervise.watchdog import Errand
from kubernetes_leader_election.cli.supervise.watchdog_link import (
    Limits,
    Link,
    fork_watchdog,
)
from kubernetes_leader_election.core.timing import Now

FAR = 60.0


def _limits(begin: float, term: float = FAR, kill: float = FAR) -> Limits:
    now = linux.read_clocks()
    wall = now.wall / 1e6
    start = Deadline(now.boottime, now.monotonic, wall, wall - now.boottime + 1.0)
    return Limits(
        start._replace(
            boottime=start.boottime + begin,
            monotonic=start.monotonic + begin,
            wall=start.wall + begin,
        ),
        start.later(term),
        start.later(kill),
    )


def _listen(link: Link, last: str) -> None:
    """Print what is said until the last word."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    while True:
        poll.poll()
        said = link.receive()
        if said is None:
            _print({"gone": True})
            return
        for message in said:
            _print(message)
            if last in message:
                return


def _print(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _start(link: Link, limits: Limits) -> None:
    link.start({}, limits, leftover_budget=1.0, terminal=None)


def _end_soon(link: Link) -> None:
    link.end(signal.SIGTERM, linux.boottime() + FAR)


def _frozen(link: Link, orders: Callable[[], object]) -> None:
    """Give orders while the watchdog is frozen."""
    os.kill(link.pid, signal.SIGSTOP)
    stat = Path(f"/proc/{link.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)
    orders()
    os.kill(link.pid, signal.SIGCONT)


def _freeze_after_fork() -> None:
    """Let the clocks go on by a minute between the fork and the exec."""
    readers: list[int] = []

    def read() -> Now:
        now = linux.read_clocks()
        if not readers:
            readers.append(os.getpid())
        late = 0.0 if readers[0] == os.getpid() else FAR
        return Now(now.boottime + late, now.monotonic + late, now.wall)

    watchdog.read_clocks = read


def _refuse() -> int:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _patch_system(**functions: Callable[[], int]) -> None:
    """Let some functions of `os` be others for the watchdog, and nobody else."""

    class System:
        """The module, but for these."""

        def __getattr__(self, name: str) -> object:
            return functions.get(name) or getattr(os, name)

    watchdog.os = System()


def _send_by_other_clocks() -> None:
    """Let the orders be sent by a clock that is ahead of the watchdog's."""
    watchdog_link.boottime = lambda: linux.boottime() + 1000.0


def main(scenario: str, *command: str) -> None:
    """Play one scenario."""
    if scenario == "frozen between fork and exec":
        _freeze_after_fork()
    if scenario == "no process is left":
        _patch_system(fork=_refuse)
    if scenario == "orphaned at once":
        _patch_system(getppid=lambda: 1)
    errand = Errand(command=list(command), ignored=frozenset(), grace=1.0, scratch=None)
    link = fork_watchdog(errand)
    match scenario:
        case "in time" | "no process is left" | "orphaned at once":
            _start(link, _limits(FAR))
        case "between L and the hard limit":
            _start(link, _limits(-0.001))
        case "after the hard limit":
            _start(link, _limits(-2.0, -1.5, -1.0))
        case "after a pause of the guest":
            limits = _limits(FAR)
            assert limits.begin is not None
            _start(link, limits._replace(begin=limits.begin._replace(ahead=-1e12)))
        case "by other clocks":
            _send_by_other_clocks()
            _start(link, _limits(FAR))
        case "frozen between fork and exec":
            _start(link, _limits(FAR / 2))
        case "no limit":
            _start(link, Limits(None, None, None))
        case "called off while it was frozen":
            _frozen(link, lambda: (_start(link, _limits(FAR)), _end_soon(link)))
        case "extended while it was frozen":
            over, renewed = _limits(-0.001), _limits(FAR)
            _frozen(link, lambda: (_start(link, over), link.extend(renewed)))
        case "extended too late":
            _start(link, _limits(FAR))
            _listen(link, "started")
            link.extend(_limits(-2.0, -1.5, -1.0))
        case "jump of the wall clock":
            limits = _limits(FAR)
            assert limits.begin is not None
            _start(link, limits)
            _listen(link, "started")
            link.extend(limits._replace(begin=limits.begin._replace(ahead=-1e12)))
        case "jump of the wall clock behind the limit":
            limits = _limits(FAR)
            assert limits.kill is not None
            _start(link, limits)
            _listen(link, "started")
            link.extend(limits._replace(kill=limits.kill._replace(wall=1.0)))
        case "an end of long ago":
            _start(link, _limits(FAR))
            _listen(link, "started")
            link.end(signal.SIGCONT, linux.boottime() - 1.0)
    _listen(link, "empty")
    link.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
