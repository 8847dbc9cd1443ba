"""What the engine shows of one election: values that any thread may read."""

from __future__ import annotations

from typing import Protocol

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.messages import Event
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import Belief, Now
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.events import LossReason
from kubernetes_leader_election.values import Value


class View(Value):
    """
    One election after one step of the engine. Replaced as a whole, never changed.
    """

    state: State
    changed_at: Now
    """When ``state`` was entered."""
    life: int = 0
    """The newest life that a start was taken for; 0: none was."""
    running: bool = False
    """Whether no stop was taken for that life."""
    belief: Belief | None = None
    """How long the term may be believed in; None when not leading."""
    term_deadline: Belief | None = None
    """The same while draining, too."""
    last_deadline: Belief | None = None
    """The same for a term that is over, as long as its work may still run."""
    snapshot: Snapshot | None = None
    """The Lease as last seen; None when nothing is known or it is gone."""
    expires_in: float | None = None
    """
    Seconds, at the time of the step, until the record counts as expired.

    None where none is known, and while we hold the Lease.
    """
    last_error: LeaderElectionError | None = None
    """The newest error; kept when things go well again."""
    lost: tuple[int, LossReason] | None = None
    """The newest term that ended, and why: known as soon as the end is seen."""

    def is_renewal_of(self, before: View) -> bool:
        """Return whether all that differs is how long the Lease is held, and not less."""
        return (
            self.state is before.state
            and self.life == before.life
            and self.running is before.running
            and self.last_error is before.last_error
            and self.lost == before.lost
            and _holder(self.snapshot) == _holder(before.snapshot)
            and _lasts_as_long(self.term_deadline, before.term_deadline)
            and _lasts_as_long(self.last_deadline, before.last_deadline)
        )


def _holder(snapshot: Snapshot | None) -> tuple[str, int | None] | None:
    if snapshot is None:
        return None
    return snapshot.record.holder_identity, snapshot.record.lease_transitions


def _lasts_as_long(now: Belief | None, before: Belief | None) -> bool:
    if now is before:
        return True
    return (
        now is not None
        and before is not None
        and now.term == before.term
        and now.boottime_deadline >= before.boottime_deadline
        and now.monotonic_deadline >= before.monotonic_deadline
        and now.wall_deadline >= before.wall_deadline
    )


class Listener(Protocol):
    """
    Who hears of an election. Called on the engine's thread: never block, never raise.
    """

    def on_event(self, event: Event, view: View) -> None:
        """Take an event; ``view`` is the state after it."""
        ...

    def on_view(self, view: View) -> None:
        """
        Take a new view; called after the events of a step, when anything changed.

        Also after each word of the application, as that may know something new itself.
        """
        ...

    def note_is_good(self) -> bool:
        """
        Return whether the own note is still where it was left; asked at each step.

        As far as is known: another thread looks, since the disk may hang.
        """
        ...

    def on_no_proof(self, answer: m.ProofRefuted | m.ProofUnreadable) -> None:
        """Take it that the holder's end is never proved, or not to be read now, and why."""
        ...
