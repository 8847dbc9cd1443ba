"""
What the application says: begin, stop, step down, the work has ended.
"""

from __future__ import annotations

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.cut_record import CutRecord
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.states import HOLDING, LEADER, RELEASING, Fact
from kubernetes_leader_election.errors import LeaderElectionError, ProtocolMisuseError


class Commands:
    """Carry out the words of the application, for one elector."""

    __slots__ = ("_cut_record", "_standing")

    def __init__(self, standing: Standing, cut_record: CutRecord) -> None:
        self._standing = standing
        self._cut_record = cut_record

    def on_start(self) -> None:
        """Begin a life, and look at the Lease first."""
        standing = self._standing
        standing.change(Fact.START_ASKED)
        standing.begin_life()
        self._cut_record.begin_life()
        standing.want_read(0.0)

    def on_stop(self) -> None:
        """End the term, if there is one, and the life with it."""
        standing = self._standing
        standing.participation.stop()
        if standing.state is LEADER:
            standing.announce_loss("stopped")
        standing.change(Fact.STOP_ASKED)

    def on_end(self, word: m.EndAsked) -> None:
        """End the term because its work returned; then others go first (rule 13)."""
        standing, failure = self._standing, word.failure
        if not standing.is_in_term(word.term):
            return  # the work ended of a term that is over, and said so too late
        if standing.state is LEADER:
            standing.contending.let_others_go_first()
            if failure is None:
                standing.announce_loss("work_ended", word.detail)
            else:
                standing.announce_loss("work_failed", failure.detail)
        standing.change(Fact.END_ASKED)
        if failure is not None:
            until = standing.now.boottime + failure.stay_out
            standing.participation.stay_out(until, whoever_leads=True)

    def on_work_ended(self, number: int) -> None:
        """
        Release the Lease, or forget the term: nothing of its work runs (G5).

        Raises:
            ProtocolMisuseError: no such term is ending.

        """
        standing = self._standing
        term = standing.term
        if term is None or term.number != number:
            raise ProtocolMisuseError(
                f"the work of term {number} was reported as ended, but "
                f"{'none is' if term is None else f'{term.number} is'} "
                "under way: it is said once for each term."
            )
        standing.change(Fact.WORK_ENDED)
        if standing.state is not RELEASING:
            standing.end_term()

    def on_liveness(self, *, alive: bool) -> None:
        """Seek and renew while the application is alive, and only then."""
        standing = self._standing
        if alive == standing.participation.alive:
            return
        standing.participation.live(alive=alive)
        standing.contending.wait_in_full()
        standing.change(Fact.ALIVE if alive else Fact.NOT_ALIVE)

    def on_own_note(self, note: m.PodNote | None) -> None:
        """Leave this note with each renewal that may carry one, or none any more."""
        self._standing.challenge.hearing.own(note)

    def on_loss_seen(self, number: int) -> None:
        """End the term: somebody saw by a clock that it is over (rule 14)."""
        standing = self._standing
        if standing.state in HOLDING and standing.is_in_term(number):
            standing.lose("renew_deadline", Fact.DEADLINE_PASSED)

    def on_driver_failed(self, error: LeaderElectionError) -> None:
        """End the term, if there is one: nobody knows what became of its requests."""
        standing = self._standing
        standing.tell_error(error)
        standing.in_flight.abandon_all()
        standing.contending.wait_in_full()
        if standing.state in HOLDING:
            standing.lose("failed", Fact.DRIVER_FAILED)
        elif standing.state is RELEASING:
            standing.finish(Fact.DRIVER_FAILED)
        else:
            standing.change(Fact.DRIVER_FAILED)
        standing.own_writes.end_doubt()
        standing.retry.count_failure(standing.now.boottime)
        standing.put_writes_off()
        standing.watch_policy.close()
        standing.want_read(standing.backoff(standing.retry.failures))
