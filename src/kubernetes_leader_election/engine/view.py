"""What the engine shows of one election: values that any thread may read."""

from __future__ import annotations

from typing import Protocol

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
    """Seconds, at the time of the step, until the record counts as expired."""
    last_error: LeaderElectionError | None = None
    """The newest error; kept when things go well again."""
    lost: tuple[int, LossReason] | None = None
    """The newest term that ended, and why: known as soon as the end is seen."""


class Listener(Protocol):
    """
    Who hears of an election. Called on the engine's thread: never block, never raise.
    """

    def on_event(self, event: Event, view: View) -> None:
        """Take an event; ``view`` is the state after it."""
        ...

    def on_view(self, view: View) -> None:
        """Take a new view; called after the events of a step, when anything changed."""
        ...
