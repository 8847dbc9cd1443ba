"""
The clocks of one simulated machine, as straight lines between changes.

Everything a machine can do to its clocks is a change of slope or a step, so the
instant at which a belief ends can be computed instead of looked for.
"""

from __future__ import annotations

import math

from kubernetes_leader_election.core.timing import MICROSECONDS, Belief, Now

NEVER = math.inf

_make = tuple.__new__
"""Makes a reading without the detour through Python of a named tuple."""


class NodeClocks:
    """
    Three clocks with one rate (as the kernel steers them) and steps of their own.

    ``real`` is the time of the simulated world, in seconds; nothing in it can read it.
    """

    __slots__ = (
        "_boot",
        "_mono",
        "_mono_runs",
        "_real",
        "_runs",
        "_wall",
        "last",
        "last_at",
        "rate",
    )

    def __init__(self, *, boottime: float, wall: int, rate: float) -> None:
        self._real = 0.0
        self._boot = boottime
        self._mono = boottime
        self._wall = wall
        self._runs = True
        self._mono_runs = True
        self.rate = rate
        self.last_at = -1.0
        self.last = Now(boottime, boottime, wall)

    def read(self, real: float) -> Now:
        """Read all three clocks at an instant that is not before the last change."""
        if real == self.last_at:
            return self.last  # most instants are read several times
        if not self._runs:
            return Now(self._boot, self._mono, self._wall)
        gone = (real - self._real) * self.rate
        self.last_at = real
        self.last = now = _make(
            Now,
            (
                self._boot + gone,
                self._mono + gone if self._mono_runs else self._mono,
                self._wall + int(gone * MICROSECONDS),
            ),
        )
        return now

    def boottime(self, real: float) -> float:
        """Read CLOCK_BOOTTIME alone."""
        return (
            self._boot + (real - self._real) * self.rate if self._runs else self._boot
        )

    def _rebase(self, real: float) -> None:
        self._boot, self._mono, self._wall = self.read(real)
        self._real = real
        self.last_at = -1.0  # what follows changes what this instant shows

    def set_rate(self, real: float, rate: float) -> None:
        """Let all clocks run at another rate from now on."""
        self._rebase(real)
        self.rate = rate

    def step_wall(self, real: float, seconds: float) -> None:
        """Step the wall clock; the other two never step."""
        self._rebase(real)
        self._wall += int(seconds * MICROSECONDS)

    def suspend(self, real: float) -> None:
        """Let CLOCK_MONOTONIC stand still, as in a suspended machine."""
        self._rebase(real)
        self._mono_runs = False

    def pause(self, real: float) -> None:
        """Let every clock stand still, as in a guest whose host paused it."""
        self._rebase(real)
        self._runs = False

    def run_on(self, real: float) -> None:
        """End a suspension or a pause."""
        self._rebase(real)
        self._runs = self._mono_runs = True

    def when_boottime(self, boottime: float) -> float:
        """Tell the real instant at which CLOCK_BOOTTIME shows ``boottime``."""
        if not self._runs:
            return NEVER
        return self._real + (boottime - self._boot) / self.rate

    def when_belief_ends(self, belief: Belief, real: float) -> float:
        """
        Tell the real instant from which ``belief`` holds no more.

        ``real`` itself when it does not hold now; exact as long as nothing happens
        to the clocks.
        """
        left = belief.remaining(now := self.read(real))
        if left <= 0.0:
            return real
        if not self._runs:
            return NEVER
        if not self._mono_runs:
            left = belief.boottime_deadline - now.boottime
            left = min(left, (belief.wall_deadline - now.wall) / MICROSECONDS)
        return real + left / self.rate
