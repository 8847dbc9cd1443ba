"""
For how long nobody led before a take-over, and why so long: for people, and no rule.

It is counted on the clocks of this candidate alone, from what it saw itself: the end of
the work, which is a release or a deletion, or else the last renewal that it saw applied.
What happened before it looked, or while it could not look, it does not know, and says so.
Nothing that is ordered depends on any of this.
"""

from __future__ import annotations

from kubernetes_leader_election.core.timing import Now, elapsed_for_candidate
from kubernetes_leader_election.events import GapReason


class Gap:
    """Remember when somebody led last, as seen from here. One elector's own."""

    __slots__ = (
        "_blind",
        "_ended_by",
        "_held_up",
        "_led_until",
        "_tried",
        "_unproved",
    )

    def __init__(self) -> None:
        self._unproved: tuple[str, str] = ("", "")
        """The nonce of the last note that will never be proved, and why, for people."""
        self.begin_life()

    def begin_life(self) -> None:
        """Forget what was seen before a start."""
        self._led_until: Now | None = None
        """The clocks when somebody was seen to lead last; None: that was not seen."""
        self._ended_by: GapReason | None = None
        """What the Lease says of it: "expiry" while it is held; None: nobody led."""
        self._blind = False
        """Whether something may have happened that was not seen, or seen late."""
        self._held_up = False
        """Whether a request has failed since the Lease could be taken over."""
        self._tried = False
        """Whether an acquire of our own stands there by which nobody leads."""

    def see(
        self, *, changed: bool, first: bool, is_free: bool, is_tried: bool, now: Now
    ) -> None:
        """
        Take what stands in the Lease.

        Args:
            changed: its record is another one than the last one seen.
            first: nothing was seen before.
            is_free: nobody holds it.
            is_tried: it is a write of our own outside a term, by which nobody leads.
            now: the clocks.

        """
        unknown, self._blind = first or self._blind, False
        if not changed:
            return
        before, self._tried = self._tried, is_tried
        if is_tried or (is_free and before):
            return  # nobody has led meanwhile
        if not is_free:
            self._led("expiry", None if unknown else now)
        elif self._ended_by == "expiry":
            self._led("release", None if unknown else now)

    def see_missing(self, now: Now) -> None:
        """Take it that there is no Lease."""
        unknown, self._blind = self._blind, False
        before, self._tried = self._tried, False
        if self._ended_by == "expiry" and not before:
            self._led("deletion", None if unknown else now)

    def lose_sight(self) -> None:
        """Take it that whatever changes from now on may be seen late, or not at all."""
        self._blind = True

    def hold_up(self) -> None:
        """Take it that a request failed while the Lease could be taken over."""
        self._held_up = True

    def unproved(self, nonce: str, why: str) -> None:
        """Take it that nothing will prove the end of the process that left this note."""
        self._unproved = nonce, why

    def why_unproved(self, nonce: str | None) -> str:
        """Say why nothing proves the end of who left this note; empty: that is not known."""
        noted, why = self._unproved
        return why if nonce == noted else ""

    def end(self, now: Now, *, proved: bool) -> tuple[float | None, GapReason | None]:
        """
        Take it that this elector leads from now on; return the gap, and why so long.

        ``proved``: the end of the holder was proved. Both are None where no holder was
        seen, and the gap alone where it was not seen to lead.
        """
        since, why = self._led_until, self._ended_by
        if why is not None and self._held_up:
            why = "outage"
        elif why == "expiry" and proved:
            why = "proof"
        self._tried = False
        self._led("expiry", now)
        return None if since is None else elapsed_for_candidate(since, now), why

    def _led(self, ended_by: GapReason, until: Now | None) -> None:
        self._ended_by, self._led_until, self._held_up = ended_by, until, False
