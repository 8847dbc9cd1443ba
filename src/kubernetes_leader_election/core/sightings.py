"""
What a sighting of the Lease means, whoever brought it: a read, a write or the watch.

A leader compares each sighting with the stamps of its own writes: its last confirmed
one, one whose outcome was open (then it is proved), or anything else (then the term
is lost). To a candidate a sighting is news of the Lease, or the proof that its own
acquire landed.
"""

from __future__ import annotations

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.life import Life
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.states import (
    ACQUIRING,
    HOLDING,
    LEADER,
    RELEASING,
    WITHDRAWING,
    Fact,
)
from kubernetes_leader_election.core.term import Term, Try, find_try
from kubernetes_leader_election.core.timing import believe
from kubernetes_leader_election.core.wishes import asks_to_step_down
from kubernetes_leader_election.errors import LeaderElectionError


class Sightings(Life):
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
        changed = self._observe(snapshot)
        if changed and namesake:
            self._report_namesake(snapshot)
        if state is ACQUIRING:
            self._take_acquiring(snapshot)
        elif state is WITHDRAWING:
            self._take_withdrawing(snapshot)
        elif state is RELEASING:
            self._take_releasing(snapshot)

    def _take_in_term(self, snapshot: Snapshot, term: Term) -> None:
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        self._observe(snapshot, own=proved is not None)
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
        if proved is term.confirmed:
            return
        term.confirm(proved, self.settings)
        self._doubt = False
        self._write_failures = 0
        self._write_at = proved.sent.boottime + self.settings.renew_interval
        self._change(Fact.RENEWED)
        self._emit(m.LeaseRenewed(term=term.number, renew_time=proved.stamp.renew_time))

    def _take_acquiring(self, snapshot: Snapshot) -> None:
        proved = find_try(self._tries, snapshot.record)
        if proved is None:
            return
        term = self._new_term(proved, snapshot)
        if not term.belief.holds(self._now):
            return  # it landed so late that it is no proof any more (rule 5)
        self._terms = term.number
        self._begin_term(term)
        self._emit(m.LeadershipAcquired(term=term.number, token=term.token))

    def _take_withdrawing(self, snapshot: Snapshot) -> None:
        proved = find_try(self._tries, snapshot.record)
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
        self._announce_leader(None)
        if self.state in HOLDING:
            self._lose("deleted", Fact.LOST, "the Lease was deleted")
        elif self.state is RELEASING:
            self._finish(Fact.LOST)

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

    def _begin_term(self, term: Term) -> None:
        self._term = term
        self._tries = []
        self._former = []
        self._rival_version = float("-inf")
        self._doubt = False
        self._failures = self._write_failures = 0
        self._retry_at = 0.0
        self._change(Fact.ACQUIRE_PROVED)
        if self.state is LEADER:
            sent = term.confirmed.sent.boottime
            self._write_at = sent + self.settings.renew_interval

    # Observing ----------------------------------------------------------------

    def _observe(self, snapshot: Snapshot, *, own: bool = False) -> bool:
        """Take what is seen; ``own``: this elector is known to have written it."""
        changed = self._observation.see(snapshot, self._now)
        holder = snapshot.record.holder_identity
        if holder and (
            # Each stamp of ours names us; most sightings are of another's.
            holder != self.settings.identity or not (own or self._is_own(snapshot))
        ):
            version = float("inf") if snapshot.version is None else snapshot.version
            if version > self._rival_version:
                self._rival_version = version
        if changed and holder != self._announced:
            self._announce_leader(holder or None)
        return changed

    def _is_own(self, snapshot: Snapshot) -> bool:
        """Tell whether this elector wrote what is seen, in whichever term."""
        record = snapshot.record
        return (
            # A renewal of this very term may be seen while the Lease is released.
            (self._term is not None and self._term.find(record) is not None)
            or self._is_of_former(snapshot)
            or find_try(self._tries, record) is not None
        )

    def _is_namesake(self, snapshot: Snapshot) -> bool:
        """Tell whether another process renews under our name (rule 5)."""
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
                    f"{self.settings.identity!r}; give each replica its own, such as "
                    "the name of its pod"
                )
            )
        )
