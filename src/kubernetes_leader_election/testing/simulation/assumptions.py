"""
Broken guarantees are written down, unless an assumption of theirs is broken as well.

A world that breaks an assumption of a guarantee says so, which switches off exactly
that check, for exactly as long as the broken assumption can matter.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes_leader_election.testing.simulation.witness import Witness


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken guarantee."""

    time: float
    guarantee: str
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.time:.6f} {self.who} breaks {self.guarantee}: {self.text}"


class Assumptions:
    """
    Collect violations, and know which assumptions are broken.

    ``excuse_span`` is how long a broken assumption can matter, in seconds: the
    longest duration in the world on the slowest clock.
    """

    def __init__(
        self, *, excuse_span: float, report: Callable[[Violation], None]
    ) -> None:
        self.violations: list[Violation] = []
        self.leader_changes = 0
        self.terms = 0
        self._report = report
        self._span = excuse_span
        self._excused_until = -math.inf
        self._deletion_until = -math.inf
        self._deleted_uid = ""
        self._deleted_duration = 0
        self._restored_at = -math.inf
        self.restores = 0
        """How often the store went back to a backup."""
        self._restored_to = 0
        self.believers: list[Witness] = []
        """The processes that believe now."""
        self._workers: list[Witness] = []
        self._acquired_versions: list[int] = []
        self._acquirers: list[Witness] = []
        self._last_leader: Witness | None = None

    def broken(self, time: float, guarantee: str, who: str, text: str) -> None:
        """Record a violation."""
        violation = Violation(time, guarantee, who, text)
        self.violations.append(violation)
        self._report(violation)

    # Broken assumptions -------------------------------------------------------

    def excuse(self, time: float) -> None:
        """Somebody hand-wrote the Lease: beliefs may overlap for a while (G1, G2)."""
        self._excused_until = max(self._excused_until, time + self._span)

    def deleted(self, time: float, uid: str, duration: int | None = None) -> None:
        """
        The Lease was deleted: a process that never saw this one held may create it.

        Whoever saw it held waits in full (rule 4), so nothing is excused yet, unless
        what it saw was for less than the ``duration`` of the last holder.
        """
        self._deletion_until = max(self._deletion_until, time + self._span)
        self._deleted_uid = uid
        self._deleted_duration = duration or 0

    def restored(self, time: float, version: int) -> None:
        """
        The store went back in time: tokens may repeat, versions mean other things.

        Every process has to observe the record anew (rules 1 and 10).
        """
        self.excuse(time)
        self._restored_at = time
        self._restored_to = min(version, self._restored_to) or version
        self.restores += 1
        keep = bisect_right(self._acquired_versions, version)
        del self._acquired_versions[keep:], self._acquirers[keep:]

    def may_overlap(self, time: float) -> bool:
        """Return whether an assumption of G1 is broken now."""
        return time < self._excused_until
