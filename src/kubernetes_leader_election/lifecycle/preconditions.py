"""Calls that are refused, with their errors: too early, too late, or in a child process."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.errors import NotLeaderError, ProtocolMisuseError
from kubernetes_leader_election.lifecycle.status import Status
from kubernetes_leader_election.lifecycle.term_work import Phase, WorkItem


def refuse_child(status: Status[Any]) -> None:
    """
    Refuse to act in a child process (fault 15).

    Raises:
        ProtocolMisuseError: this elector was inherited from the parent.

    """
    if status.forked:
        raise ProtocolMisuseError(
            f"{status.where}: this elector belongs to the parent process, of which "
            "this one is a fork. Make a new elector here."
        )


def refuse_unstarted(status: Status[Any], call: str, *, to_lead: bool) -> None:
    """
    Refuse a call that could never come to an end.

    Where a signal has ended the life, it is left to the call: that lets the signal end
    the main thread first, which is about to happen.

    Raises:
        ProtocolMisuseError: a child process; not started; or it never leads.

    """
    refuse_child(status)
    if not status.running and not status.ended_by_signal:
        raise ProtocolMisuseError(
            f"{status.where}: {call} needs a running elector: call "
            "start() first, or use the elector as a context manager."
        )
    if to_lead and status.settings.observe:
        raise ProtocolMisuseError(
            f"{status.where}: {call} needs an elector that contends, and "
            "observe=True keeps this one from it."
        )


def refuse_running(status: Status[Any]) -> None:
    """
    Refuse to start what has been started.

    Raises:
        ProtocolMisuseError: it runs, or is still stopping; or a child process.

    """
    refuse_child(status)
    if status.running:
        raise ProtocolMisuseError(
            f"{status.where}: the elector "
            + (
                "is still stopping: wait for stop() first."
                if status.stopping
                else "runs already. run() starts the elector itself, and so do "
                "`with` and start(): use one of the three. In a `with` block, "
                "or after start(), work in leadership() instead of run()."
            )
        )


def refuse_started(status: Status[Any], call: str) -> None:
    """
    Refuse a call that starts the elector, where that has been started.

    Raises:
        ProtocolMisuseError: it runs, or is still stopping; or a child process.

    """
    refuse_child(status)
    if status.running:
        raise ProtocolMisuseError(
            f"{status.where}: {call} starts the elector itself, which "
            + ("is still stopping" if status.stopping else "runs already")
            + ": leave start(), or the `with` around it, out. Work beside that has "
            "leadership()."
        )


def refuse_waiting(status: Status[Any], call: str) -> None:
    """
    Refuse to wait for a term where none can begin.

    Raises:
        LeadershipLostError: the caller is part of the work of a lost term, and a
            new one only begins when that has ended.
        NotLeaderError: the elector is stopped, or is about to be.

    """
    call_context = status.call_context()
    current = status.current
    if (
        call_context is not None
        and call_context.work is not None
        and current is not None
        and current.work is call_context.work
        and current.work.phase is not Phase.OPEN
    ):
        raise current.term.loss()
    if status.stopping:
        raise NotLeaderError(
            f"{status.where}: the elector was stopped: {call} would wait forever."
        )


def entered_twice(status: Status[Any]) -> ProtocolMisuseError:
    """Return the error to raise where one scope object is entered twice at once."""
    return ProtocolMisuseError(
        f"{status.where}: this leadership() has already been entered, by another task or "
        "thread or further out. Call leadership() once for each block."
    )


def no_time_left(status: Status[Any], what: str, timeout: float) -> TimeoutError:
    """Return the error to raise when waiting took too long, with its cause."""
    error = TimeoutError(f"{status.where}: {what} after {timeout:g} s.")
    error.__cause__ = status.last_error()
    return error


def still_alive(status: Status[Any], timeout: float) -> TimeoutError:
    """Return the error to raise when a stop takes longer than ``timeout``."""
    current = status.current
    alive = () if current is None else current.work.alive
    if not alive:
        return no_time_left(status, "the Lease was not released", timeout)
    return no_time_left(
        status,
        f"still running: {names(alive)}. The Lease is not released before that "
        "has ended; the stop goes on. Not ended",
        timeout,
    )


def names(alive: tuple[WorkItem, ...]) -> str:
    """Name pieces of work, for messages."""
    return ", ".join(hold.what for hold in alive)
