"""
Where what is known leads: the states that time or knowledge ends, and not only a word.
"""

from __future__ import annotations

from kubernetes_leader_election.core.lease_writes import LeaseWrites
from kubernetes_leader_election.core.messages import PodNote
from kubernetes_leader_election.core.observed import Observed
from kubernetes_leader_election.core.outcomes import WRITE_DECIDES
from kubernetes_leader_election.core.schedule import NEVER
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.states import (
    ACQUIRING,
    CHALLENGING,
    CONTENDING,
    HELD,
    LOOKING,
    STANDING_BY,
    WAITING,
    WITHDRAWING,
    Fact,
)


class Conclusions:
    """Draw the conclusions after each input, for one elector."""

    __slots__ = (
        "_challenge",
        "_contending",
        "_in_flight",
        "_lease_writes",
        "_observation",
        "_observed",
        "_own_writes",
        "_participation",
        "_retry",
        "_settings",
        "_standing",
    )

    def __init__(
        self, standing: Standing, observed: Observed, lease_writes: LeaseWrites
    ) -> None:
        self._standing = standing
        self._observed = observed
        self._lease_writes = lease_writes
        # Parts by names of their own: they are asked at each input.
        self._challenge = standing.challenge
        self._contending = standing.contending
        self._in_flight = standing.in_flight
        self._observation = standing.observation
        self._own_writes = standing.own_writes
        self._participation = standing.participation
        self._retry = standing.retry
        self._settings = standing.settings

    def draw(self) -> None:
        """Go on to the state that what is known leads to."""
        standing = self._standing
        # Each of these states leads on to another at most once.
        if standing.state in WRITE_DECIDES and self._in_flight.write is None:
            self._conclude_write()
        if standing.state is STANDING_BY:
            self._stand_by()
        if standing.state is LOOKING:
            verdict = standing.verdict()
            if verdict is not None:
                if not self._participation.may_contend():
                    standing.change(Fact.NOT_ALIVE)
                else:
                    self._contending.look(verdict)
                    standing.change(verdict)
        if standing.state is WAITING or standing.state is CONTENDING:
            verdict = standing.verdict()
            if verdict is None:
                verdict = Fact.HELD
            if (verdict is Fact.HELD) != (standing.state is WAITING):
                standing.change(verdict)
        if self._settings.crash_takeover:
            self._conclude_challenge()
        if (
            standing.state is CONTENDING
            and standing.now.boottime >= self._contending.at
            and self._in_flight.write is None
        ):
            standing.change(Fact.DELAY_OVER)
            self._lease_writes.acquire()

    def _conclude_write(self) -> None:
        """Go on from a write that is over and did not make us leader."""
        standing = self._standing
        if standing.state is ACQUIRING:
            verdict = standing.verdict() or Fact.FREE
            if verdict is Fact.HELD or not self._own_writes.in_doubt:
                standing.change(verdict)
        elif standing.state is WITHDRAWING and not self._own_writes.in_doubt:
            # The watch may have shown it before the stop, cut short, and so no proof.
            self._observed.give_back_what_stands()
            if standing.state is WITHDRAWING:
                standing.change(Fact.WITHDRAWN)

    # A holder whose end is proved ----------------------------------------------

    def _conclude_challenge(self) -> None:
        """Seek the proof of the holder's end, ask it, and see what it answered."""
        standing = self._standing
        if standing.state is WAITING:
            self._seek()
            if self._stands() and standing.now.boottime >= self._not_before():
                standing.change(Fact.END_PROVED)
        elif standing.state is CHALLENGING:
            self._seek()
        if standing.state is CHALLENGING:
            verdict = standing.verdict()
            if self._challenge.is_unanswered(
                self._observation.snapshot, self._in_flight.watch_id, standing.now
            ):
                standing.change(Fact.UNANSWERED)
            elif verdict is not None and verdict is not HELD:
                # Also where the proof is void by that: it is free, or ran out.
                standing.change(verdict)
            elif not self._stands():
                standing.change(HELD)
            elif self._ask_at() <= standing.now.boottime:
                self._lease_writes.challenge()

    def _stands(self) -> bool:
        """Return whether the end of the holder is proved, and this one may take over."""
        return self._participation.may_contend() and self._challenge.stands(
            self._observation.snapshot, self._in_flight.watch_id, self._standing.now
        )

    def _seek(self) -> None:
        """Watch the pod of the holder while it can prove the holder's end."""
        challenge, orders = self._challenge, self._in_flight
        now, snapshot = self._standing.now, self._observation.snapshot
        note, sought = self._noted(), challenge.sought
        another = note is not None and note != sought
        if sought is not None and (another or not challenge.is_sought_of(snapshot)):
            orders.abandon_proof()
            challenge.seek_no_more()
        if note is None or orders.proof_id is not None:
            return
        if challenge.sought is None or now.boottime >= challenge.seek_at:
            challenge.seek(note, snapshot, now.boottime)
            orders.order_proof(note)

    def _noted(self) -> PodNote | None:
        """Return the note of a holder whose end is worth to be sought; None: of nobody."""
        if not self._participation.may_contend():
            return None
        return self._challenge.to_be_sought(
            self._observation.snapshot, self._in_flight.watch_id, self._standing.now
        )

    def _not_before(self) -> float:
        """Return the CLOCK_BOOTTIME before which nothing is asked or acquired."""
        return self._retry.acquire_not_before()

    def _ask_at(self) -> float:
        """Return when to ask the holder; NEVER: it was asked, or is being."""
        busy = self._in_flight.write is not None or self._own_writes.in_doubt
        if busy or self._challenge.asked:
            return NEVER
        return max(self._challenge.ask_at, self._not_before())

    def left(self) -> float:
        """Return the seconds until something of this is due; NEVER: nothing is."""
        standing, challenge = self._standing, self._challenge
        now = standing.now.boottime
        due = NEVER
        if challenge.sought is not None and self._in_flight.proof_id is None:
            if self._noted() is not None:
                due = challenge.seek_at
        if standing.state is CHALLENGING:
            return min(due - now, self._ask_at() - now, challenge.left(standing.now))
        if challenge.proved is not None and self._not_before() > now:
            due = min(due, self._not_before())
        return due - now

    def _stand_by(self) -> None:
        standing = self._standing
        until = self._participation.stay_out_until
        if until is not None:
            if standing.now.boottime >= until:
                self._participation.come_back()
            elif self._observation.holder not in ("", self._settings.identity):
                self._participation.see_another()
        if self._participation.may_contend():
            standing.change(Fact.MAY_CONTEND)
