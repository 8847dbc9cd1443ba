"""How work enters a term: a scope waits for one, a hold or a guard needs one now."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.errors import LeadershipLostError, NotLeaderError
from kubernetes_leader_election.events import REASONS
from kubernetes_leader_election.lifecycle.preconditions import (
    refuse_child,
    refuse_unstarted,
    refuse_waiting,
)
from kubernetes_leader_election.lifecycle.status import CurrentTerm, Status, TermT
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem


def join(status: Status[TermT], hold: WorkItem) -> CurrentTerm[TermT] | None:
    """
    Enter the present term with this scope; None when there is none to enter yet.

    Raises:
        LeadershipLostError, NotLeaderError: see :func:`~.preconditions.refuse_waiting`.

    """
    current = _take(status, hold)
    if current is None:
        refuse_waiting(status, "leadership()")
    return current


def take_numbered(status: Status[Any], hold: WorkItem, number: int) -> TermWork:
    """
    Take a hold on the numbered term.

    Raises:
        LeadershipLostError: it is over, or about to be: no new work begins.
        ProtocolMisuseError: this is a child process.

    """
    refuse_child(status)
    current = status.current
    if (
        current is not None
        and current.term.number == number
        and status.current_leader()
        and current.work.take(hold)
    ):
        return current.work
    reason = status.term_reason(number)
    raise LeadershipLostError(
        f"{status.where}: {hold.what}: term {number} is over "
        f"({REASONS[reason] if reason else 'given up, or at its end'}), and no new work begins under it.",
        reason=reason,
        term=None if status.is_over(number) or current is None else current.term,
    )


def take_guard(status: Status[TermT], hold: WorkItem) -> CurrentTerm[TermT]:
    """
    Take a hold on the present term, for work that is not to wait for one.

    Raises:
        NotLeaderError: this elector does not lead.
        ProtocolMisuseError: a child process; never started; or it never leads.

    """
    if not status.was_started or status.settings.observe:
        refuse_unstarted(status, "guard()", to_lead=True)
    refuse_child(status)
    taken = _take(status, hold)
    if taken is not None:
        return taken
    current = status.current
    raise NotLeaderError(
        f"{status.where}: {hold.what}: this elector does not lead.",
        term=None if current is None else current.term,
    )


def _take(status: Status[TermT], hold: WorkItem) -> CurrentTerm[TermT] | None:
    """Take a hold on the present term if this elector leads."""
    current = status.current
    if current is not None and status.current_leader() and current.work.take(hold):
        return current
    return None
