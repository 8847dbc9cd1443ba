"""
An instant on every clock of rule 14: what processes tell each other of a term.

It is computed once, from the last proven write, and passed on as it is. Whoever gets it
late, since it was frozen or its machine was, compares it with the clocks on reading it;
seconds "from now" would begin to count at the wrong end.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

from kubernetes_leader_election.core.timing import MICROSECONDS, Belief, Now


class Deadline(NamedTuple):
    """When something ends, on each clock: the first one that shows it decides."""

    boottime: float
    """CLOCK_BOOTTIME seconds."""
    monotonic: float
    """CLOCK_MONOTONIC seconds."""
    wall: float
    """Seconds since 1970, UTC: it can only shorten."""
    ahead: float
    """Largest wall minus boottime, in seconds, that is no sign of a paused guest."""

    @classmethod
    def of(cls, belief: Belief) -> Self:
        """Return the deadline of a belief."""
        return cls(
            belief.boottime_deadline,
            belief.monotonic_deadline,
            belief.wall_deadline / MICROSECONDS,
            belief.wall_ahead_limit,
        )

    def later(self, seconds: float) -> Self:
        """
        Return a time that is so much later on every clock.

        The sign of a paused guest stays with the deadline itself: it tells that a term
        is over, not since when.
        """
        return type(self)(
            self.boottime + seconds,
            self.monotonic + seconds,
            self.wall + seconds,
            math.inf,
        )

    def left(self, now: Now) -> float:
        """Return the seconds left on the clock that shows the fewest; 0.0: it is over."""
        if self.shows_pause(now):
            return 0.0
        boottime, monotonic, wall = now.boottime, now.monotonic, now.wall / MICROSECONDS
        left = (self.boottime - boottime, self.monotonic - monotonic, self.wall - wall)
        return max(0.0, min(left))

    def shows_pause(self, now: Now) -> bool:
        """Return whether the wall clock jumped, as it does after a guest was paused."""
        return now.wall / MICROSECONDS - now.boottime > self.ahead
