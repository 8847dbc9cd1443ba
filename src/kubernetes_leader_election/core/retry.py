"""
How long to wait after a failure, and when a write may be tried again.

Pauses double, with chance in them, up to a cap that depends on what is at stake: a
leader may not miss its deadline by them, a candidate has time. What a server asks to
wait is honoured, but never past the renew deadline, nor for longer than 30 s or D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.core.states import HOLDING, State
from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.errors import LeaseApiError

LONGEST_ASKED: Final = 30.0
"""Seconds, or D where that is longer, that a server may ask to wait (fault 32)."""
LONGEST_PAUSE: Final = 5.0
"""Seconds at most between two tries of a candidate, unless the server asks for more."""
THINNING: Final = 0.25
"""Share of an outage that candidates pause between tries once it outlasts D."""
MANY_CONFLICTS: Final = 3
"""Conflicts of a leader's writes in a row that are worth an error."""

_ENDING: Final = frozenset({State.RELEASING, State.WITHDRAWING})
"""States that are given up after a while."""
_BOUNDED: Final = HOLDING | _ENDING
"""States that are over in bounded time, whatever the server does."""
_URGENT: Final = _BOUNDED | {State.ACQUIRING}


class Retry:
    """Count failures in a row, and say what pause they call for. One elector's own."""

    __slots__ = (
        "_conflict_at",
        "_draw",
        "_failing_since",
        "_kept_out_until",
        "_settings",
        "conflicts",
        "failures",
        "not_before",
        "write_failures",
    )

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._draw = draw
        self.begin_life()

    def begin_life(self) -> None:
        """Forget what failed before a start."""
        self.failures = 0
        """Requests in a row that failed, reads and writes together."""
        self._failing_since = 0.0
        """The CLOCK_BOOTTIME of the first of them."""
        self.conflicts = 0
        """Writes in a row that met a conflict, each within D of the one before."""
        self._conflict_at = 0.0
        """The CLOCK_BOOTTIME of the last of them."""
        self.write_failures = 0
        """Writes that failed since one of the term was proved."""
        self.not_before = 0.0
        """The CLOCK_BOOTTIME before which nothing is acquired or released again."""
        self._kept_out_until = 0.0
        """The one before which nothing is acquired, as nobody can lead here (rule 14)."""

    # Counting -----------------------------------------------------------------

    def answered(self) -> None:
        """Take it that the server answered a read."""
        self.failures = 0

    def written(self) -> None:
        """Take it that the server applied a write, or says so."""
        self.failures = self.conflicts = 0

    def renewed(self) -> None:
        """Take it that a write of the term is proved."""
        self.write_failures = 0

    def begin_term(self) -> None:
        """
        Take it that an acquire is proved: whatever failed is over.

        Not so the pause of who cannot lead: what landed may be given back at once.
        """
        self.failures = self.write_failures = self.conflicts = 0
        self.not_before = 0.0

    def count_failure(self, now: float) -> None:
        """Count a request that failed, at ``now`` on CLOCK_BOOTTIME."""
        if self.failures == 0:
            self._failing_since = now
        self.failures += 1

    def count_conflict(self, now: float) -> bool:
        """
        Count a conflict, at ``now`` on CLOCK_BOOTTIME; return whether it is to be told.

        Who contends now and then, and loses, has no row of them: a leader tries again
        within D, and so does a candidate in one contest.
        """
        if now - self._conflict_at > self._settings.lease_duration:
            self.conflicts = 0
        self.conflicts, self._conflict_at = self.conflicts + 1, now
        return self.conflicts == MANY_CONFLICTS

    def count_write_failure(self) -> None:
        """Count a write that failed; apart from other requests, which may work."""
        self.write_failures += 1

    def stay_away(self, until: float) -> None:
        """Put the next acquire or release off until then, if it is not put off more."""
        self.not_before = max(self.not_before, until)

    def keep_out(self, until: float) -> None:
        """Put the next acquire off until then, but no release."""
        self._kept_out_until = max(self._kept_out_until, until)

    def acquire_not_before(self) -> float:
        """Return the CLOCK_BOOTTIME before which nothing is acquired; 0: at any time."""
        return max(self.not_before, self._kept_out_until)

    def come_back(self) -> None:
        """Let the next acquire be tried whenever it is due."""
        self.not_before = self._kept_out_until = 0.0

    # Pauses -------------------------------------------------------------------

    def pause(
        self,
        failures: int,
        error: LeaseApiError | None,
        *,
        state: State,
        now: float,
        left: float,
    ) -> float:
        """
        Return the seconds to wait after so many failures in a row.

        Args:
            failures: of the kind that is tried again; none: no pause of our own.
            error: what the server said, which may ask for a pause.
            state: of the elector.
            now: CLOCK_BOOTTIME seconds.
            left: seconds until the term, or the try to end it, is over.

        """
        first = self._settings.first_pause
        wait = 0.0
        if failures > 0:
            longest = self._longest_pause(state, now)
            wait = pause_after(failures, first=first, longest=longest)
            wait *= 0.5 + 0.5 * self._draw()
        asked = 0.0 if error is None else self._asked(error, state=state, left=left)
        if state in HOLDING:
            # Fault 32: honoured, but never past the renew deadline; and the last tries
            # of a term come closer together, but never as a burst (fault 24).
            wait = min(wait, max(left / 2, first))
            asked = min(asked, left - self._settings.request_timeout)
        return max(wait, asked)

    def _asked(self, error: LeaseApiError, *, state: State, left: float) -> float:
        """Return the seconds that the server asked to wait, as far as we honour it."""
        asked = error.retry_after
        if asked is None or not asked > 0.0:  # not a number, too
            return 0.0
        asked = min(asked, self.longest_asked())
        if state in _ENDING:
            # Room for a last try before it is given up.
            asked = max(0.0, min(asked, left - self._settings.request_timeout))
        return asked

    def longest_asked(self) -> float:
        """Return how long nobody may come to lead because a server asked for it."""
        return max(LONGEST_ASKED, float(self._settings.lease_duration))

    def _longest_pause(self, state: State, now: float) -> float:
        """Return the seconds that failures may come to cost between two tries."""
        settings = self._settings
        if state in _URGENT:
            cap = min(settings.request_timeout / 2, 1.0)
        else:
            cap = min(LONGEST_PAUSE, settings.renew_interval / 2)
        if self.failures and state not in _BOUNDED:
            # Fault 44: a server that is slower than T is not kept so by its candidates.
            # After D nobody believes any more, so all that this delays is the first
            # take-over afterwards.
            lasted = now - self._failing_since
            thinned = THINNING * (lasted - settings.lease_duration)
            cap = max(cap, min(LONGEST_PAUSE, thinned))
        return cap
