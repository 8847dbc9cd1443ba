"""
Records of our own that last less than we wrote: edited, or cut by a policy (rule 14).

Rivals go by the record, so the leader trusts itself for less as well (G2). An edit is
put right by the next write. Whoever edits again and again, as a controller does, would
have us write as fast as that goes (fault 24), so the pause before grows. Where each of
our writes comes out too short for any renewal to be in time, nobody can lead like that.
"""

from __future__ import annotations

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.core.record import ASSUMED_DURATION, Snapshot
from kubernetes_leader_election.core.timing import ElectionSettings, longest_deadline


class CutRecord:
    """Judge how long a record lasts, count edits, and word what is told of them."""

    __slots__ = ("_answers_edit", "_edits", "_settings", "_told")

    def __init__(self, settings: ElectionSettings) -> None:
        self._settings = settings
        self._told = False
        """Whether it was told that our records are cut short, since one was whole."""
        self.begin_life()

    def begin_life(self) -> None:
        """Forget the edits before a start."""
        self._edits = 0
        """Edits of our record that each came soon after a write of ours."""
        self._answers_edit = False
        """Whether the next write of ours that lands answers the last one of them."""

    # How long it lasts --------------------------------------------------------

    def cut_to(self, snapshot: Snapshot) -> int | None:
        """Return the seconds that a record of ours lasts if it lasts less than it should."""
        lasts = snapshot.record.lease_duration
        if lasts is None:
            # Ours take it for the larger of theirs and this, others at least for this.
            lasts = ASSUMED_DURATION
        return lasts if lasts < self._settings.lease_duration else None

    def can_lead_with(self, lasts: int) -> bool:
        """Return whether a renewal can be in time when each is cut to ``lasts``."""
        settings = self._settings
        needed = settings.renew_interval + settings.request_timeout
        return longest_deadline(lasts, settings) >= needed

    def shows_that_one_can_lead(self, snapshot: Snapshot) -> bool:
        """Return whether somebody's write got through: then so may ours, when it is time."""
        if not snapshot.record.holder_identity:
            return False
        lasts = self.cut_to(snapshot)
        return lasts is None or self.can_lead_with(lasts)

    # Edits --------------------------------------------------------------------

    def begin_term(self, lasts: int | None) -> None:
        """Take it that an acquire landed, cut to ``lasts`` or whole."""
        self._answers_edit = False
        if lasts is None and not self._edits:
            self._told = False  # edited before, it may be so again: told already

    def write_landed(self) -> bool:
        """Take it that a renewal landed; return whether it answers an edit."""
        answers, self._answers_edit = self._answers_edit, False
        if not answers:
            self._edits = 0  # it went well for a whole renew interval
        return answers

    def is_whole(self) -> None:
        """Take it that a record came out as it was written, and nobody edited it."""
        self._told = False

    def pause_after_edit(self, left: float, longest: float) -> float:
        """
        Return the seconds until a record that was edited is put right.

        None at first, then twice as many each time, up to ``longest``; but the term,
        which has ``left`` seconds, does not end by it.
        """
        if not self._answers_edit:
            self._answers_edit = True
            self._edits += 1
        if self._edits < 2:
            return 0.0
        first = self._settings.first_pause
        if left > 0.0:
            longest = min(self._settings.renew_interval, max(left / 2, first))
        return pause_after(self._edits - 2, first=first, longest=longest)

    # Telling ------------------------------------------------------------------

    def describe(self, lasts: int) -> str:
        """Return why a term ended by it."""
        return (
            f"the record was cut to {lasts} s, instead of "
            f"{self._settings.lease_duration} s"
        )

    def tell(self, lasts: int, *, retried_every: float | None = None) -> str | None:
        """
        Return what people are to know of it; None where they do.

        Args:
            lasts: seconds that the record lasts.
            retried_every: seconds between tries to lead, where nobody can like that.

        """
        if self._told:
            return None
        self._told = True
        what = (
            f"leaseDurationSeconds is {lasts} on our own record, and should be "
            f"{self._settings.lease_duration}: others may take over after {lasts} s, "
            "so leadership is trusted for less, too"
        )
        if retried_every is None:
            return what
        return (
            f"{what}. Nobody can lead like that: find what changes our writes, an "
            "admission policy for one, or use a shorter lease duration; tried again "
            f"every {retried_every:g} s"
        )
