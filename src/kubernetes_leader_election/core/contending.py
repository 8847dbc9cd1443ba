"""
When a candidate writes on a Lease that is free or expired (rule 13).

A thousand candidates see a release, or the end of a record, at the same instant. Each
waits a random while before it writes; the first write wakes the others by their watch.
This is the one home of how long that is: what a choice of times promises is computed
from here (:mod:`..settings.promises`). The simulator's checkers, which know no core, have
limits of their own (``writes.py`` in ``testing/simulation/``, and ``liveness.py`` for what
follows an expiry), which follow by hand. Those of a release and of a named successor are
also the least that somebody waits, and worlds fail after a change of them; those of an
expiry are most alone, and no world fails where one is too wide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.core.annotations import names_another
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.states import EXPIRED, FREE, Fact
from kubernetes_leader_election.core.timing import ElectionSettings

AFTER_RELEASE: Final = 0.025
"""Seconds at most before writing on a released Lease; one watch delivery or so."""
AFTER_EXPIRY: Final = 0.4
"""Seconds at most before writing on an expired one."""
AFTER_EXPIRY_SHARE: Final = 0.05
"""Share of D at most before writing on an expired one: short leases stay fast."""
YIELD_AT_MOST: Final = 5.0
"""Seconds at most that others let a named successor go first."""
YIELD_SHARE: Final = 0.5
"""Share of D at most that they do: nobody waits for one that is gone as for a holder."""


def longest_after_expiry(duration: float) -> float:
    """Return the seconds at most before writing on a Lease that has expired."""
    return min(AFTER_EXPIRY, AFTER_EXPIRY_SHARE * duration)


class Contending:
    """Draw the delay before each write that would acquire. One elector, one life."""

    __slots__ = (
        "_draw",
        "_looked",
        "_recreated",
        "_settings",
        "_yields_first",
        "at",
        "recreates",
    )

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._draw = draw
        self.begin_life()

    def begin_life(self) -> None:
        """Forget what was seen before a start."""
        self.at = 0.0
        """The CLOCK_BOOTTIME at which the delay is over."""
        self._looked = False
        """Whether the Lease was seen, so that a free one is news to others as well."""
        self._yields_first = False
        """Its work just ended, and nobody has led or been contended with since."""
        self.recreates = False
        """Its Lease was deleted while it led, and nothing was seen since (rule 4)."""
        self._recreated = False
        """It last sought a term in that way, and no renewal has landed since."""

    def look(self, verdict: Fact) -> None:
        """Take it that the Lease was judged for the first time, or again."""
        if verdict is not FREE:
            # Only a Lease that is free at the very first look is nobody else's news.
            self._looked = True

    def let_others_go_first(self) -> None:
        """Wait longer the next time: the work that led ended by itself."""
        self._yields_first = True

    def stop_yielding(self) -> None:
        """Take it that another one leads, or that the write of this one leaves."""
        self._yields_first = False

    def lose_lease(self) -> None:
        """Take it that the Lease was deleted as the term that is led had written it."""
        # Fault 24: whoever deletes each one at once is not answered as fast as that.
        self.recreates = not self._recreated

    def wait_in_full(self) -> None:
        """Take it that a missing Lease is no longer known to be nobody else's."""
        self.recreates = False

    def seek(self) -> None:
        """Take it that an acquire is ordered: the right to create at once is used up."""
        if self.recreates:
            self.recreates, self._recreated = False, True

    def renewed(self) -> None:
        """Take it that a renewal landed."""
        self._recreated = False

    def begin_delay(
        self,
        fact: Fact,
        snapshot: Snapshot | None,
        *,
        is_own: bool,
        now: float,
        not_before: float,
    ) -> None:
        """
        Draw a delay from ``now`` on.

        Args:
            fact: FREE or EXPIRED.
            snapshot: the Lease as it is known.
            is_own: the record on it is of a term of this elector that is over.
            now: CLOCK_BOOTTIME seconds.
            not_before: when a pause after failures is over.

        """
        delay = self._delay(fact, snapshot, is_own=is_own)
        self.at = max(now + delay, not_before)

    def _delay(self, fact: Fact, snapshot: Snapshot | None, *, is_own: bool) -> float:
        first, self._looked = not self._looked, True
        duration = self._settings.lease_duration
        if fact is EXPIRED:
            return self._draw() * longest_after_expiry(duration)
        wait = 0.0
        if snapshot is not None and snapshot.record.is_free:
            if names_another(snapshot, self._settings.identity):
                wait = min(YIELD_AT_MOST, YIELD_SHARE * duration)
        if first and not is_own:
            # Nobody was woken by it, so there is no crowd to spread.
            return wait
        # Whoever just ended its own work waits until all others have had their turn.
        share = self._draw() + (1.0 if self._yields_first else 0.0)
        return wait + AFTER_RELEASE * share
