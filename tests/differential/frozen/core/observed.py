"""
What a sighting of the Lease means, whoever brought it: a read, a write or the watch.

A leader compares each sighting with the stamps of its own writes: its last confirmed
one, one whose outcome was open (then it is proved), or anything else (then the term
is lost). To a candidate a sighting is news of the Lease, or the proof that its own
acquire landed.
"""

from __future__ import annotations

from tests.differential.frozen.core import messages as m
from tests.differential.frozen.core.annotations import asks_to_step_down
from tests.differential.frozen.core.election_state import ElectionState
from tests.differential.frozen.core.record import ASSUMED_DURATION, Snapshot
from tests.differential.frozen.core.states import (
    ACQUIRING,
    CONTENDING,
    FENCED,
    FREE,
    HOLDING,
    LEADER,
    RELEASING,
    WITHDRAWING,
    Fact,
)
from tests.differential.frozen.core.term import Term, Try, find_try
from tests.differential.frozen.core.timing import believe, longest_deadline
from tests.differential.frozen.errors import LeaderElectionError


class Observed(ElectionState):
    """Conclude from what stands in the Lease."""

    __slots__ = ()

    def _take(self, snapshot: Snapshot) -> None:
        """Take what stands in the Lease now, and conclude."""
        term = self._term
        state = self.state
        if term is not None and state in HOLDING:
            self._take_in_term(snapshot, term)
            return
        namesake = (
            snapshot.record.holder_identity == self.settings.identity
            and self._is_namesake(snapshot)
        )
        was_free = state is CONTENDING and self._observation.is_free
        changed = self._observe(snapshot)
        if changed and namesake:
            self._report_namesake(snapshot)
        if term is not None and state is FENCED:
            self._hurry_work(snapshot, term)
        if changed and self._retry_at and self._shows_that_one_can_lead(snapshot):
            self._retry_at = 0.0
        if state is CONTENDING:
            if snapshot.record.is_free and not was_free:
                # Rule 13: only from now on can others take it, or a named successor.
                self._contend_after_delay(FREE)
        elif state is ACQUIRING:
            self._take_acquiring(snapshot)
        elif state is WITHDRAWING:
            self._take_withdrawing(snapshot)
        elif state is RELEASING:
            self._take_releasing(snapshot)

    def _take_in_term(self, snapshot: Snapshot, term: Term) -> None:
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        changed = self._observe(snapshot)
        if proved is None:
            # Rule 11: first proof of loss ends the term at once.
            if snapshot.uid != term.uid:
                self._lose("deleted", Fact.LOST, "another Lease has its name now")
            else:
                self._lose(
                    "another_holder",
                    Fact.LOST,
                    "the record is not one that this elector wrote",
                )
            return
        if self.state is LEADER and asks_to_step_down(
            snapshot, term.confirmed.stamp.acquire_time
        ):
            self._step_down(None, "asked for by an annotation on the Lease")
        news = proved is not term.confirmed
        if news:
            term.confirm(proved, self.settings)
            self._doubt = False
            self._write_failures = 0
            self._write_at = proved.sent.boottime + self.settings.renew_interval
            self._change(Fact.RENEWED)
            self._emit(
                m.LeaseRenewed(term=term.number, renew_time=proved.stamp.renew_time)
            )
        edited_again = news and self._is_edited_again()
        lasts = self._cut_to(snapshot)
        if lasts is not None:
            if changed or news:  # what was like this already is no edit
                self._mind_duration(term, lasts, answered=news)
        elif news and not edited_again:
            self._told_short = False

    def _take_acquiring(self, snapshot: Snapshot) -> None:
        proved = self._find_own_try(snapshot)
        if proved is None:
            return
        term = self._new_term(proved, snapshot)
        lasts = self._cut_to(snapshot)
        self._marred = False
        if lasts is None:
            self._told_short = self._told_short and self._edits > 0  # else whole again
        else:
            if not self._can_lead_with(lasts):
                self._cannot_lead(lasts)
                return
            self._tell_short(lasts)
            term.cut_short(lasts, since=proved.sent, settings=self.settings)
        if not term.belief.holds(self._now):
            return  # it landed so late that it is no proof any more (rule 5)
        self._terms = term.number
        self._begin_term(term)
        self._emit(m.LeadershipAcquired(term=term.number, token=term.token))
        if term.token is None:
            self._tell_odd_version(snapshot)

    def _take_withdrawing(self, snapshot: Snapshot) -> None:
        proved = self._find_own_try(snapshot)
        if proved is not None:
            # It landed, and no work ever began: give it back.
            self._begin_term(self._new_term(proved, snapshot))

    def _take_releasing(self, snapshot: Snapshot) -> None:
        term = self._term
        assert term is not None
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        if proved is not None:
            term.confirm(proved, self.settings)
            # Fault 24: after an unknown outcome not in a hot loop either.
            self._write_at = max(self._retry_at, self._now.boottime)
        elif snapshot.record.is_free:
            self._finish(Fact.RELEASE_OVER)
        else:
            self._finish(Fact.LOST)

    def _gone(self) -> None:
        """The Lease does not exist."""
        self._observation.see_missing(self._now)
        self._forget_replacing()
        self._announce_leader(None)
        if self.state in HOLDING:
            self._lose("deleted", Fact.LOST, "the Lease was deleted")
        elif self.state is RELEASING:
            self._finish(Fact.LOST)

    # Records that are cut short -----------------------------------------------

    def _cut_to(self, snapshot: Snapshot) -> int | None:
        """Return the seconds that a record of ours lasts if it lasts less than it should."""
        lasts = snapshot.record.lease_duration
        if lasts is None:
            # Ours take it for the larger of theirs and this, others at least for this.
            lasts = ASSUMED_DURATION
        return lasts if lasts < self.settings.lease_duration else None

    def _can_lead_with(self, lasts: int) -> bool:
        """Return whether a renewal can be in time when each is cut to ``lasts``."""
        settings = self.settings
        needed = settings.renew_interval + settings.request_timeout
        return longest_deadline(lasts, settings) >= needed

    def _shows_that_one_can_lead(self, snapshot: Snapshot) -> bool:
        """Return whether somebody's write got through: then so may ours, when it is time."""
        if not snapshot.record.holder_identity:
            return False
        lasts = self._cut_to(snapshot)
        return lasts is None or self._can_lead_with(lasts)

    def _mind_duration(self, term: Term, lasts: int, *, answered: bool) -> None:
        """
        Take it that rivals wait for less than we wrote, or meant to (G2, rule 14).

        ``answered``: it is seen on a write that was not known to be applied. Then
        the record may have been like this from the first, so it counts from when
        that write was sent, and whatever cut it will cut the next one, too.
        """
        since = term.confirmed.sent if answered else self._now
        term.cut_short(lasts, since=since, settings=self.settings)
        if answered and not self._can_lead_with(lasts):
            self._cannot_lead(lasts)
            self._lose("renew_deadline", Fact.DEADLINE_PASSED, self._short(lasts))
            return
        self._tell_short(lasts)
        left = term.belief.remaining(self._now)
        if not answered:
            # Somebody edited it: the next renewal puts it right.
            due = self._now.boottime + self._pause_after_edit(left)
            due = max(due, self._retry_at)
            if left <= 0.0:
                self._retry_at = due
            self._write_at = min(self._write_at, due)
        if left <= 0.0:
            self._lose("renew_deadline", Fact.DEADLINE_PASSED, self._short(lasts))

    def _pause_after_edit(self, left: float) -> float:
        """
        Return the seconds until a record that was edited is put right.

        None at first. Whoever edits it again after each write of ours would have us
        write as fast as that goes (fault 24), so the pause grows; but the term, which
        has ``left`` seconds, does not end by it.
        """
        if not self._marred:
            self._marred = True
            self._edits += 1
        if self._edits < 2:
            return 0.0
        first = min(0.1, self.settings.request_timeout / 8)
        pause = first * 2.0 ** min(self._edits - 2, 16)
        if left <= 0.0:
            return min(pause, self._longest_asked())
        return min(pause, self.settings.renew_interval, max(left / 2, first))

    def _is_edited_again(self) -> bool:
        """Return whether the renewal that landed answers an edit, not the one before it."""
        answers, self._marred = self._marred, False
        if not answers:
            self._edits = 0  # it went well for a whole renew interval
        return answers

    def _hurry_work(self, snapshot: Snapshot, term: Term) -> None:
        """Take it that rivals wait for less for work that is to end already (G2)."""
        lasts = self._cut_to(snapshot)
        own = snapshot.uid == term.uid and term.find(snapshot.record) is not None
        if own and lasts is not None:
            term.cut_short(lasts, since=self._now, settings=self.settings)

    def _short(self, lasts: int) -> str:
        return (
            f"the record was cut to {lasts} s, instead of "
            f"{self.settings.lease_duration} s"
        )

    def _tell_short(self, lasts: int, more: str = "") -> None:
        if self._told_short:
            return
        self._told_short = True
        what = (
            f"leaseDurationSeconds is {lasts} on our own record, and should be "
            f"{self.settings.lease_duration}: others may take over after {lasts} s, so "
            "leadership is trusted for less, too"
        )
        self._emit(m.ErrorOccurred(error=self._error(f"{what}{more}")))

    def _cannot_lead(self, lasts: int) -> None:
        """Let others, and time, go first: no renewal would be in time."""
        pause = self._longest_asked()
        self._retry_at = self._now.boottime + pause
        self._tell_short(
            lasts,
            ". Nobody can lead like that: find what changes our writes, an admission "
            "policy for one, or use a shorter lease duration; tried again every "
            f"{pause:g} s",
        )

    # Terms --------------------------------------------------------------------

    def _new_term(self, proved: Try, snapshot: Snapshot) -> Term:
        number = self._terms + 1
        token = snapshot.version
        later = [t for t in self._tries if t.sent.boottime > proved.sent.boottime]
        return Term(
            number=number,
            token=token,
            uid=snapshot.uid,
            confirmed=proved,
            belief=believe(
                term=number, token=token, sent=proved.sent, settings=self.settings
            ),
            pending=later,
        )

    def _tell_odd_version(self, snapshot: Snapshot) -> None:
        if self._told_odd_version:
            return
        self._told_odd_version = True
        self._emit(
            m.ErrorOccurred(
                error=self._error(
                    f"the server's resourceVersion {snapshot.resource_version[:80]!r} "
                    "is not a number, so this term has no fencing token"
                )
            )
        )

    def _begin_term(self, term: Term) -> None:
        self._term = term
        self._tries = []
        self._former = []
        self._doubt = False
        self._failures = self._write_failures = 0
        self._retry_at = 0.0
        self._change(Fact.ACQUIRE_PROVED)
        if self.state is LEADER:
            sent = term.confirmed.sent.boottime
            self._write_at = sent + self.settings.renew_interval

    # Observing ----------------------------------------------------------------

    def _observe(self, snapshot: Snapshot) -> bool:
        """Take what is seen; tell whether the record changed."""
        changed = self._observation.see(snapshot, self._now)
        holder = snapshot.record.holder_identity
        if self._former or self._tries:
            self._forget_overtaken(snapshot)
        if changed and holder != self._announced:
            self._announce_leader(holder or None)
        return changed

    def _is_own(self, snapshot: Snapshot) -> bool:
        """Return whether this elector wrote what is seen, in whichever term."""
        record = snapshot.record
        return (
            # A renewal of this very term may be seen while the Lease is released.
            (self._term is not None and self._term.find(record) is not None)
            or self._is_of_former(snapshot)
            or find_try(self._tries, record) is not None
        )

    def _is_namesake(self, snapshot: Snapshot) -> bool:
        """Return whether another process renews under our name (rule 5)."""
        before, record = self._observation.record, snapshot.record
        return (
            before is not None
            and before != record
            and before.holder_identity == record.holder_identity
            and not self._is_own(snapshot)
        )

    def _report_namesake(self, snapshot: Snapshot) -> None:
        if self._reported_namesake == snapshot.record.acquire_time:
            return
        self._reported_namesake = snapshot.record.acquire_time
        self._emit(
            m.ErrorOccurred(
                error=LeaderElectionError(
                    f"another process holds {self._where()} under the same identity "
                    f"{self.settings.identity!r}; give each process its own, such as the "
                    "name of its pod with its process id"
                )
            )
        )
