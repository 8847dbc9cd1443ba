"""
Jobs that run only while this elector leads: a guard around them, and ways to skip them.

A job joins the running term, holds up its release, and never ends it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from kubernetes_leader_election.errors import NotLeaderError
from kubernetes_leader_election.leadership import NOT_LEADER, Skipped
from kubernetes_leader_election.lifecycle.held_work import Hold
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    refuse_awaitable,
    refuse_what_needs_a_loop,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.status import TermT
from kubernetes_leader_election.lifecycle.taking import take_guard
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Guard(Hold, Generic[TermT]):
    """A block that runs only while the elector leads; see ``guard()``."""

    _term: TermT
    """The term that was joined. Set on entering."""
    _is_lost: bool
    """Whether the term was lost before the end of the body. Set on leaving."""

    def __init__(self, lifecycle: Lifecycle[TermT]) -> None:
        super().__init__(lifecycle, "guard()")
        self._lifecycle = lifecycle
        self.refusal: NotLeaderError | None = None
        """What entering raised, where the elector did not lead."""

    def __enter__(self) -> TermT:
        self._begin()
        return self._term

    def _body_ended(self) -> None:
        # Before the end of the hold, and so of the term.
        self._is_lost = self._term.remaining() <= 0.0

    def _left(self, error: BaseException | None) -> None:
        if self._is_lost and self._lifecycle.is_end_by_loss(error, self._term):
            raise self._term.loss() from error

    def _take(self, hold: WorkItem) -> TermWork:
        try:
            self._term, work = take_guard(self._lifecycle, hold)
        except NotLeaderError as error:
            self.refusal = error
            raise
        return work


class Jobs(Generic[TermT]):
    """What an elector for threads has for jobs."""

    _lifecycle: Lifecycle[TermT]

    def guard(self) -> Guard[TermT]:
        """
        Return a guard whose body runs only if this elector leads, as work of its term.

        Entering joins the present term and does not wait: for jobs that come by the
        clock, or from outside, on every replica. The Lease is not released before the
        body has ended (G5), and the term goes on after it. A planned stop lets the body
        come to its end, however long that takes, and renews the Lease meanwhile;
        ``term.lost`` is set. When the Lease is lost, asyncio cancels the body; a thread
        sees ``term.lost``. In a scope, the scope's own cancellation comes as ever.
        Each block needs a guard of its own.

        Raises:
            NotLeaderError: on entering, if it does not lead: the body does not run.
            LeadershipLostError: on leaving, if the Lease was lost before the end of the
                body.
            ProtocolMisuseError: on entering: never started, inherited by a child
                process, or the same guard is entered already.

        """
        return Guard(self._lifecycle)

    def call_if_leading(
        self, job: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | Skipped:
        """
        Call ``job`` under a guard if this elector leads; else return ``NOT_LEADER``.

        With asyncio, a plain function is called in a thread.

        Args:
            job: What to call.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            What it returns, or ``NOT_LEADER``, which is false.

        Raises:
            LeadershipLostError: the Lease was lost before the job had ended.
            ConfigurationError: it is no callable, or needs an event loop.
            ProtocolMisuseError: never started, or inherited by a child process.
            Exception: whatever it raises.

        """
        refuse_what_needs_a_loop(job, "call_if_leading()")
        return guarded(self._lifecycle, job)(*args, **kwargs)

    def only_while_leading(self, job: Callable[_P, _T]) -> Callable[_P, _T | Skipped]:
        """
        Make ``job`` one that is skipped where this elector does not lead: a decorator.

        Each call is one of ``call_if_leading()``; it may come from any thread. With
        asyncio, a coroutine function stays one, and a plain function is called where
        the call comes from.

        Args:
            job: What to call.

        Returns:
            What takes the arguments of ``job``, and returns what it returns, or
            ``NOT_LEADER``.

        Raises:
            ConfigurationError: it is no callable, or needs an event loop.

        """
        refuse_what_needs_a_loop(job, "only_while_leading")
        return guarded(self._lifecycle, job)


def guarded(
    lifecycle: Lifecycle[TermT], job: Callable[_P, _T]
) -> Callable[_P, _T | Skipped]:
    """Return a function that calls a plain job under a guard, or skips it."""

    @functools.wraps(job)
    def only_while_leading(*args: _P.args, **kwargs: _P.kwargs) -> _T | Skipped:
        guard = Guard(lifecycle)
        try:
            with guard:
                result = job(*args, **kwargs)
                refuse_awaitable(result, job, "a job")
                return result
        except NotLeaderError as error:
            if error is not guard.refusal:
                raise  # the job's own
            return NOT_LEADER

    return only_while_leading
