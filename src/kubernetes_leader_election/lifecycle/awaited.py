"""What a call that waits for news looks for, after every change."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.leadership import ElectorState
from kubernetes_leader_election.lifecycle.preconditions import (
    refuse_child,
    refuse_waiting,
)
from kubernetes_leader_election.lifecycle.status import Status, TermT
from kubernetes_leader_election.values import replace


def leading(status: Status[TermT], call: str) -> TermT | None:
    """
    Return the present term if this elector leads.

    Raises:
        LeadershipLostError, NotLeaderError: none can begin, see
            :func:`~.preconditions.refuse_waiting`.

    """
    current = status.current
    if current is not None and status.current_leader():
        status.hand_out()
        if status.current_leader():
            return current.term
    refuse_waiting(status, call)
    return None


def fresh_state(status: Status[Any], seen: ElectorState | None) -> ElectorState | None:
    """
    Return the state if it differs from ``seen`` in more than its deadline.

    Raises:
        ProtocolMisuseError: this is a child process.

    """
    refuse_child(status)
    status.tell_leader()
    state = status.state()
    if seen is not None and replace(seen, deadline=None) == (
        replace(state, deadline=None)
    ):
        return None
    return state
