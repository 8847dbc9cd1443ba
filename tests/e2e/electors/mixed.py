"""Elections among this package and its rivals: what their tests share."""

from __future__ import annotations

import time
from collections.abc import Callable

from controlplane.processes import wait_until

from electors.candidates import Candidate, ClientGo, Official, Ours, Rhythm, Setting
from electors.fleet import PATIENCE, Fleet

__all__ = ["KINDS", "RHYTHM", "Start", "takes_part", "wait_handed_over"]

RHYTHM = Rhythm(duration=5, interval=1, deadline=3, timeout=1)
"""client-go compares whole seconds, so nobody may renew more often than each second."""

KINDS = (Ours, ClientGo, Official)

Start = Callable[[Setting], Candidate]


def takes_part(candidate: Candidate) -> None:
    """Wait until a candidate has begun."""
    wait_until(
        lambda: bool(candidate.log().lines), within=PATIENCE, what=candidate.name
    )


def wait_handed_over(
    fleet: Fleet, start: Callable[[], Candidate], *, after: float
) -> Candidate:
    """
    Wait until a rival leads, and start another one if it does not.

    The Node package tries three times within one lease duration, and then never again
    unless the Lease is deleted.
    """
    deadline = time.monotonic() + PATIENCE
    started = [start()]
    while time.monotonic() < deadline:
        try:
            return fleet.wait_leader(*started, after=after, within=8)
        except TimeoutError:
            started.append(start())
    raise AssertionError("no rival took over")
