"""The clocks of this machine, read together."""

from __future__ import annotations

import time
from typing import Protocol

from kubernetes_leader_election.core.timing import Now

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """What tells the time; tests bring their own."""

    def now(self) -> Now:
        """Read all clocks."""
        ...


class SystemClock:
    """CLOCK_BOOTTIME (CLOCK_MONOTONIC where there is none), CLOCK_MONOTONIC, UTC."""

    __slots__ = ()

    def now(self) -> Now:
        """Read all clocks; boottime first, so that elapsed times err to the long side."""
        monotonic = time.monotonic()
        if _BOOTTIME is None:
            return Now(monotonic, monotonic, time.time_ns() // 1000)
        return Now(time.clock_gettime(_BOOTTIME), monotonic, time.time_ns() // 1000)
