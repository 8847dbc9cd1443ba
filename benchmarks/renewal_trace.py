"""
Trace what one renewal touches: ``python -m benchmarks.renewal_trace``.

An elector leads on the embedded Lease API of this process, and nobody listens to its
events. Every call of a function of the package is counted over some renewals, on every
thread; the testing kit is left out. So this says how far a reader has to go to follow a
renewal, and, with ``--calls``, which way it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import kubernetes_leader_election
from kubernetes_leader_election import Elector as LoopElector
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer

PACKAGE = f"{Path(kubernetes_leader_election.__file__).parent}{os.sep}"
KIT = f"{PACKAGE}testing{os.sep}"
RENEW_INTERVAL_MS = 400
PATIENCE = 30.0
"""Seconds to wait for a renewal before this is given up."""

Code = tuple[str, str]
"""A file below the package, and a function in it."""


@dataclass
class Trace:
    """Count calls of the package's functions, while ``counting``."""

    counting: bool = False
    calls: Counter[Code] = field(default_factory=Counter)
    crossings: Counter[tuple[Code, Code]] = field(default_factory=Counter)
    """Calls from one file into another, by caller and callee."""
    threads: set[str] = field(default_factory=set)

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Take note of a call; for :func:`sys.setprofile`."""
        if not self.counting or event != "call":
            return
        called = _code(frame)
        if called is None:
            return
        self.calls[called] += 1
        name = threading.current_thread().name
        self.threads.add(re.sub(r"[-_ ]*\d.*$", "", name))
        caller, back = None, frame.f_back
        while back is not None and caller is None:
            caller, back = _code(back), back.f_back
        if caller is not None and caller[0] != called[0]:
            self.crossings[caller, called] += 1


def _code(frame: FrameType) -> Code | None:
    """Return where a frame is, if it is the package's own."""
    code = frame.f_code
    file = code.co_filename
    if not file.startswith(PACKAGE) or file.startswith(KIT):
        return None
    return file.removeprefix(PACKAGE), code.co_qualname


def _renewals(server: LeaseServer) -> int:
    return sum(request.verb == "update" for request in server.requests)


def _wait_for(server: LeaseServer, count: int) -> None:
    """Wait for so many writes, without a call of the package."""
    until = time.monotonic() + PATIENCE
    while _renewals(server) < count:
        if time.monotonic() > until:
            raise SystemExit("no renewal: is this machine very busy?")
        time.sleep(0.01)


def _options(server: LeaseServer) -> dict[str, Any]:
    return {
        "lease_name": "traced",
        "credentials": explicit(server=server.url),
        "auto_close": False,
        "renew_interval_ms": RENEW_INTERVAL_MS,
        "lease_duration_sec": 4,
    }


def _count(server: LeaseServer, trace: Trace, renewals: int) -> None:
    """Count over so many renewals, from the middle between two."""
    # The first ones are about the take-over: its note of the token, its events.
    begin = _renewals(server) + 3
    _wait_for(server, begin)
    time.sleep(RENEW_INTERVAL_MS / 2000)
    trace.counting = True
    _wait_for(server, begin + renewals)
    time.sleep(RENEW_INTERVAL_MS / 2000)
    trace.counting = False


def on_threads(server: LeaseServer, trace: Trace, renewals: int) -> None:
    """Trace the elector for threads."""
    with Elector(**_options(server)) as elector:
        elector.wait_until_leading(PATIENCE)
        _count(server, trace, renewals)


def on_a_loop(server: LeaseServer, trace: Trace, renewals: int) -> None:
    """Trace the elector for asyncio, while a scope's body waits."""

    async def lead() -> None:
        async with LoopElector(**_options(server)) as elector, elector.leadership():
            await asyncio.to_thread(_count, server, trace, renewals)

    asyncio.run(lead())


FRONTS: dict[str, Callable[[LeaseServer, Trace, int], None]] = {
    "threads": on_threads,
    "asyncio": on_a_loop,
}


TRACE = Trace()
"""One for all fronts: the engine's threads outlive an elector, and keep theirs."""


def measure(front: str, renewals: int) -> Trace:
    """Return the calls of so many renewals of one front."""
    trace = TRACE
    trace.calls.clear()
    trace.crossings.clear()
    trace.threads.clear()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        with LeaseServer() as server:
            FRONTS[front](server, trace, renewals)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return trace


def report(trace: Trace, renewals: int) -> dict[str, float]:
    """Return the numbers of one renewal."""
    return {
        "files": len({file for file, _ in trace.calls}),
        "functions": len(trace.calls),
        "calls": trace.calls.total() / renewals,
        "calls into another file": trace.crossings.total() / renewals,
        "kinds of thread": len(trace.threads),
    }


def main() -> None:
    """Print what one renewal touches, for each front."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--renewals", type=int, default=10, help="how many to count")
    parser.add_argument("--front", choices=FRONTS, action="append")
    parser.add_argument("--calls", action="store_true", help="list the calls, too")
    asked = parser.parse_args()
    for front in asked.front or FRONTS:
        trace = measure(front, asked.renewals)
        print(f"{front}: {', '.join(sorted(trace.threads))}")
        for what, value in report(trace, asked.renewals).items():
            print(f"  {what:<24} {value:8.1f}")
        if asked.calls:
            for (file, name), times in trace.calls.most_common():
                print(f"    {times / asked.renewals:6.1f}  {file}: {name}")


if __name__ == "__main__":
    main()
