"""
What a sighting of the Lease means, whoever brought it: a read, a write or the watch.

A leader compares each sighting with the stamps of its own writes: its last confirmed
one, one whose outcome was open (then it is proved), or anything else (then the term
is lost). To a candidate a sighting is news of the Lease, or the proof that its own
acquire landed.
"""

from __future__ import annotations

from typing import Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.annotations import (
    asks_to_step_down,
    is_challenged,
)
from kubernetes_leader_election.core.cut_record import CutRecord
from kubernetes_leader_election.core.record import LeaseRecord, Snapshot, as_datetime
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.states import (
    ACQUIRING,
    CHALLENGING,
    CONTENDING,
    FENCED,
    FREE,
    HOLDING,
    LEADER,
    RELEASING,
    STANDING_BY,
    WAITING,
    WITHDRAWING,
    Fact,
)
from kubernetes_leader_election.core.term import Term, Try
from kubernetes_leader_election.core.timing import believe

_NOT_LED: Final = frozenset(
    {WAITING, CHALLENGING, CONTENDING, WITHDRAWING, STANDING_BY}
)
"""States in which an acquire that is seen begins no term that is led."""


class Observed:
    """Conclude from what stands in the Lease."""

    __slots__ = (
        "_challenge",
        "_cut_record",
        "_notices",
        "_observation",
        "_own_writes",
        "_retry",
        "_schedule",
        "_settings",
        "_standing",
    )

    def __init__(self, standing: Standing, cut_record: CutRecord) -> None:
        self._standing = standing
        # Parts by names of their own: they are asked at each input.
        self._settings = standing.settings
        self._observation = standing.observation
        self._own_writes = standing.own_writes
        self._retry = standing.retry
        self._schedule = standing.schedule
        self._challenge = standing.challenge
        self._cut_record = cut_record
        self._notices = standing.notices

    def take(self, snapshot: Snapshot) -> None:
        """Take what stands in the Lease now, and conclude."""
        standing = self._standing
        term = standing.term
        state = standing.state
        if term is not None and state in HOLDING:
            self._take_in_term(snapshot, term)
            return
        namesake = (
            snapshot.record.holder_identity == self._settings.identity
            and self._is_namesake(snapshot)
        )
        was_free = state is CONTENDING and self._observation.is_free
        before = self._observation.record
        changed = self.observe(snapshot)
        if changed and namesake:
            standing.tell_error(self._notices.tell_namesake(snapshot))
        if term is not None and state is FENCED:
            self._hurry_work(snapshot, term)
        if changed and self._retry.acquire_not_before():
            if self._cut_record.shows_that_one_can_lead(snapshot):
                self._retry.come_back()
        if changed and state in _NOT_LED:
            self._mind_late_try(snapshot, before)
        if state is CONTENDING:
            if snapshot.record.is_free and not was_free:
                # Rule 13: only from now on can others take it, or a named successor.
                standing.contend_after_delay(FREE)
        elif state is ACQUIRING:
            self._take_acquiring(snapshot)
        elif state is WITHDRAWING:
            self._take_withdrawing(snapshot)
        elif state is RELEASING:
            self._take_releasing(snapshot)

    def _take_in_term(self, snapshot: Snapshot, term: Term) -> None:
        standing = self._standing
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        changed = self.observe(snapshot)
        if proved is None:
            # Rule 11: first proof of loss ends the term at once.
            if snapshot.uid != term.uid:
                standing.lose("deleted", Fact.LOST, "another Lease has its name now")
            else:
                standing.lose(
                    "another_holder",
                    Fact.LOST,
                    "the record is not one that this elector wrote",
                )
            return
        if standing.state is LEADER and asks_to_step_down(
            snapshot, term.confirmed.stamp.acquire_time
        ):
            standing.step_down(None, "asked for by an annotation on the Lease")
        news = proved is not term.confirmed
        if news:
            term.confirm(proved, self._settings)
            self._own_writes.end_doubt()
            self._retry.renewed()
            standing.contending.renewed()
            self._schedule.write_next(
                proved.sent.boottime + self._settings.renew_interval
            )
            standing.change(Fact.RENEWED)
            standing.emit(
                m.LeaseRenewed(
                    **standing.settings.origin,
                    term=term.number,
                    token=term.token,
                    renew_time=as_datetime(proved.stamp.renew_time),
                )
            )
        edited_again = news and self._cut_record.write_landed()
        lasts = self._cut_record.cut_to(snapshot)
        if lasts is not None:
            if changed or news:  # what was like this already is no edit
                self._mind_duration(term, lasts, answered=news)
        elif news and not edited_again:
            self._cut_record.is_whole()
        if self._settings.crash_takeover and is_challenged(snapshot):
            # Rule 19: a candidate asks whether this process lives.
            self._schedule.write_by(max(standing.now.boottime, self._retry.not_before))

    def _take_acquiring(self, snapshot: Snapshot) -> None:
        standing = self._standing
        proved = self._own_writes.find_try(snapshot)
        if proved is None:
            return
        term = self._new_term(proved, snapshot)
        lasts = self._cut_record.cut_to(snapshot)
        self._cut_record.begin_term(lasts)
        if lasts is not None:
            if not self._cut_record.can_lead_with(lasts):
                if not self._own_writes.is_ruled_out(proved):
                    # Shown once more, as after a later try that failed, it is no news.
                    self._own_writes.rule_out(proved)
                    self._cannot_lead(lasts)
                return
            standing.report(self._cut_record.tell(lasts))
            term.cut_short(lasts, since=proved.sent, settings=self._settings)
        if not term.belief.holds(standing.now):
            # It landed so late that it is no proof any more (rule 5).
            self._own_writes.rule_out(proved)
        if self._own_writes.is_ruled_out(proved):
            return
        standing.begin_term(term)
        gap_sec, why = standing.notices.gap.end(
            standing.now, proved=bool(proved.crash_proof)
        )
        standing.emit(
            m.LeadershipAcquired(
                **standing.settings.origin,
                term=term.number,
                token_if_any=term.token,
                crash_proof=proved.crash_proof,
                no_proof=proved.no_proof,
                gap_sec=gap_sec,
                why=why,
            )
        )
        if term.token is None:
            standing.tell_error(self._notices.tell_odd_version(snapshot))

    def give_back_what_stands(self) -> None:
        """Release an acquire of ours that is known to stand there, if it is withdrawn."""
        snapshot = self._observation.snapshot
        if snapshot is not None and not self._observation.missing:
            self._take_withdrawing(snapshot)

    def _take_withdrawing(self, snapshot: Snapshot) -> None:
        proved = self._own_writes.find_try(snapshot)
        if proved is not None:
            # It landed, and no work ever began: give it back.
            self._standing.begin_term(self._new_term(proved, snapshot))

    def _take_releasing(self, snapshot: Snapshot) -> None:
        standing = self._standing
        term = standing.term
        assert term is not None
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        if proved is not None:
            term.confirm(proved, self._settings)
            # Fault 24: after an unknown outcome not in a hot loop either.
            self._schedule.write_next(
                max(self._retry.not_before, standing.now.boottime)
            )
        elif snapshot.record.is_free:
            standing.finish(Fact.RELEASE_OVER)
        else:
            standing.finish(Fact.LOST)

    def deleted(self, snapshot: Snapshot) -> None:
        """The watch brought a deletion, and what stood in the Lease until then."""
        standing = self._standing
        term = standing.term
        led = (
            standing.state is LEADER
            and term is not None
            and snapshot.uid == term.uid
            and term.find(snapshot.record) is not None
        )
        self.gone()
        if led:
            # Rule 4: nobody but this elector can have believed.
            standing.contending.lose_lease()

    def gone(self) -> None:
        """The Lease does not exist."""
        standing = self._standing
        self._challenge.void()
        self._challenge.hearing.distrust(self._observation, standing.now)
        standing.contending.wait_in_full()
        self._observation.see_missing(standing.now)
        standing.notices.gap.see_missing(standing.now)
        self._own_writes.forget_replacing()
        standing.emit(self._notices.tell_leader(None))
        if standing.state in HOLDING:
            standing.lose("deleted", Fact.LOST, "the Lease was deleted")
        elif standing.state is RELEASING:
            standing.finish(Fact.LOST)

    # Records that are cut short -----------------------------------------------

    def _mind_duration(self, term: Term, lasts: int, *, answered: bool) -> None:
        """
        Take it that rivals wait for less than we wrote, or meant to (G2, rule 14).

        ``answered``: it is seen on a write that was not known to be applied. Then
        the record may have been like this from the first, so it counts from when
        that write was sent, and whatever cut it will cut the next one, too.
        """
        standing = self._standing
        since = term.confirmed.sent if answered else standing.now
        term.cut_short(lasts, since=since, settings=self._settings)
        if answered and not self._cut_record.can_lead_with(lasts):
            self._cannot_lead(lasts)
            standing.lose(
                "renew_deadline", Fact.DEADLINE_PASSED, self._cut_record.describe(lasts)
            )
            return
        standing.report(self._cut_record.tell(lasts))
        left = term.belief.remaining(standing.now)
        if not answered:
            # Somebody edited it: the next renewal puts it right.
            pause = self._cut_record.pause_after_edit(left, self._retry.longest_asked())
            due = max(standing.now.boottime + pause, self._retry.not_before)
            if left <= 0.0:
                self._retry.stay_away(due)
            self._schedule.write_by(due)
        if left <= 0.0:
            standing.lose(
                "renew_deadline", Fact.DEADLINE_PASSED, self._cut_record.describe(lasts)
            )

    def _mind_late_try(self, snapshot: Snapshot, before: LeaseRecord | None) -> None:
        """
        Take it that an acquire landed, cut short, which is not to be led any more.

        Who saw it before, and whole, sees an edit now, which keeps nobody out.
        """
        proved = self._own_writes.find_try(snapshot)
        lasts = self._cut_record.cut_to(snapshot)
        if proved is None or lasts is None:
            return
        self._own_writes.rule_out(proved)
        edited = before is not None and proved.stamp.is_on(before)
        if not edited and not self._cut_record.can_lead_with(lasts):
            self._cannot_lead(lasts)
            if self._standing.state is CONTENDING:
                self._standing.contend_after_delay(FREE)

    def _hurry_work(self, snapshot: Snapshot, term: Term) -> None:
        """Take it that rivals wait for less for work that is to end already (G2)."""
        lasts = self._cut_record.cut_to(snapshot)
        own = snapshot.uid == term.uid and term.find(snapshot.record) is not None
        if own and lasts is not None:
            term.cut_short(lasts, since=self._standing.now, settings=self._settings)

    def _cannot_lead(self, lasts: int) -> None:
        """Let others, and time, go first: no renewal would be in time."""
        standing = self._standing
        pause = self._retry.longest_asked()
        self._retry.keep_out(standing.now.boottime + pause)
        standing.report(self._cut_record.tell(lasts, retried_every=pause))

    # Terms --------------------------------------------------------------------

    def _new_term(self, proved: Try, snapshot: Snapshot) -> Term:
        number = self._standing.terms + 1
        token = snapshot.version
        return Term(
            number=number,
            token=token,
            uid=snapshot.uid,
            confirmed=proved,
            belief=believe(
                term=number, token=token, sent=proved.sent, settings=self._settings
            ),
            pending=self._own_writes.later_than(proved),
        )

    # Observing ----------------------------------------------------------------

    def observe(self, snapshot: Snapshot) -> bool:
        """Take what is seen; tell whether the record changed."""
        before, standing = self._observation.snapshot, self._standing
        first = self._observation.since is None
        changed = self._observation.see(snapshot, standing.now)
        if self._settings.crash_takeover:
            self._mind_challenge(before, snapshot, changed=changed)
        own_writes = self._own_writes
        standing.notices.gap.see(
            changed=changed,
            first=first,
            is_free=snapshot.record.is_free,
            is_tried=changed and own_writes.is_former(snapshot),
            now=standing.now,
        )
        if own_writes.former or own_writes.tries:
            own_writes.forget_overtaken(snapshot)
        if changed:
            holder = snapshot.record.holder_identity
            if holder != self._notices.leader:
                self._standing.emit(self._notices.tell_leader(holder or None))
        return changed

    def _mind_challenge(
        self, before: Snapshot | None, snapshot: Snapshot, *, changed: bool
    ) -> None:
        """Take what is seen for what it says of a proof, and of what was asked."""
        standing, challenge = self._standing, self._challenge
        challenge.see(before, snapshot, changed=changed)
        if changed:
            challenge.hearing.see(before, snapshot, self._observation, standing.now)
        if standing.state is CHALLENGING:
            challenge.hear_question(snapshot, standing.now)

    def _is_own(self, snapshot: Snapshot) -> bool:
        """Return whether this elector wrote what is seen, in whichever term."""
        if self._own_writes.made(snapshot):
            return True
        # A renewal of this very term may be seen while the Lease is released.
        term = self._standing.term
        return term is not None and term.find(snapshot.record) is not None

    def _is_namesake(self, snapshot: Snapshot) -> bool:
        """Return whether another process renews under our name (rule 5)."""
        before, record = self._observation.record, snapshot.record
        return (
            before is not None
            and before != record
            and before.holder_identity == record.holder_identity
            and not self._is_own(snapshot)
        )
