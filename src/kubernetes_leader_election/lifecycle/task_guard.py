"""
Jobs of asyncio that run only while this elector leads.

A planned stop lets the body of a guard end; a loss cancels its task.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from kubernetes_leader_election.errors import NotLeaderError, ProtocolMisuseError
from kubernetes_leader_election.events import PLANNED
from kubernetes_leader_election.leadership import NOT_LEADER, Skipped
from kubernetes_leader_election.lifecycle.call_context import CallContext
from kubernetes_leader_election.lifecycle.guard import Guard as PlainGuard
from kubernetes_leader_election.lifecycle.guard import guarded
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    is_coroutine_function,
    refuse_no_awaitable,
    refuse_what_is_no_job,
)
from kubernetes_leader_election.lifecycle.leftover_threads import (
    Beginning,
    keep_if_torn,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.status import TermT
from kubernetes_leader_election.lifecycle.taking import take_guard
from kubernetes_leader_election.lifecycle.task_cancellation import (
    TaskCancellation,
    call_on_loop,
)
from kubernetes_leader_election.lifecycle.task_waits import present_task
from kubernetes_leader_election.lifecycle.term_work import WorkItem

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Guard(Generic[TermT]):
    """A block that runs only while the elector leads; see ``guard()``."""

    # Set on entering by a task, and not before.
    _task: asyncio.Task[Any]
    """Which entered."""
    _loop: asyncio.AbstractEventLoop
    """On which it runs."""
    _term: TermT
    """The term that was joined."""
    _beginning: Beginning
    """What there was when the body began."""
    _call_context: CallContext
    """Marks what the body runs as work of the term."""
    _end: TaskCancellation
    """Ends the task with the term."""

    def __init__(self, lifecycle: Lifecycle[TermT]) -> None:
        self._lifecycle = lifecycle
        """Of the elector."""
        self._plain = PlainGuard(lifecycle)
        """For a block in a thread."""
        self._hold: WorkItem | None = None
        """What holds the term; None: not entered by a task, or left."""
        self._entered = threading.Lock()
        """Held from entering to leaving: one body at a time."""
        self.refusal: NotLeaderError | None = None
        """What entering raised, where the elector did not lead."""

    async def __aenter__(self) -> TermT:
        task = present_task()
        if not self._entered.acquire(blocking=False):
            raise ProtocolMisuseError(
                "guard() has already been entered. Call guard() once for each block."
            )
        try:
            before = task.cancelling()
            # A cancellation that was asked for and not met yet is met here: counted as
            # an old one, it could be taken for that of a loss, and be lost with it.
            await asyncio.sleep(0)
            return self._enter(task, before)
        except BaseException:
            self._entered.release()
            raise

    def _enter(self, task: asyncio.Task[Any], before: int) -> TermT:
        lifecycle, loop = self._lifecycle, task.get_loop()
        hold = WorkItem(
            f"guard() in task {task.get_name()!r}",
            cancel=partial(call_on_loop, loop, self._term_ended),
            loop=loop,
            is_work=True,
        )
        try:
            current = take_guard(lifecycle, hold)
        except NotLeaderError as error:
            self.refusal = error
            raise
        self._term, self._task, self._loop = current.term, task, loop
        self._beginning = Beginning()
        self._call_context = CallContext(lifecycle, work=current.work, is_scope=True)
        self._call_context.enter()
        # It looks at the clock by itself, whatever the reason of the end.
        self._end = TaskCancellation(lifecycle, current.term, task, before=before)
        self._hold = hold
        task.add_done_callback(self._abandon)
        return current.term

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        hold, self._hold = self._hold, None
        assert hold is not None  # noqa: S101 - __aenter__ came first
        lifecycle, term = self._lifecycle, self._term
        lifecycle.waiters.remove(self._changed)
        self._call_context.leave()
        self._task.remove_done_callback(self._abandon)
        others = self._end.end(error)
        lost = term.remaining() <= 0.0  # before the end of the hold, and so the release
        if not lifecycle.forked:
            keep_if_torn(hold, self._beginning, error, lifecycle.waiters.wake)
        lifecycle.end_hold(hold)
        self._entered.release()
        ours = self._end.delivered
        if lost and self._end.is_loss(error, ours=ours, others=others):
            raise term.loss() from error

    # A plain block in a thread ------------------------------------------------

    def __enter__(self) -> TermT:
        if _is_in_task():
            raise ProtocolMisuseError(
                "with guard(): in a task, write `async with`, so that the loss of the "
                "Lease can cancel it."
            )
        return self._plain.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._plain.__exit__(kind, error, trace)

    # On the loop --------------------------------------------------------------

    def _term_ended(self) -> None:
        """Cancel the body, or wait for it as long as the Lease is held."""
        if self._hold is None:
            return
        if self._term.reason in PLANNED:
            self._lifecycle.overdue_work.expect_end(self._term)
            self._lifecycle.waiters.add(self._changed)
        self._look()

    def _changed(self) -> None:
        call_on_loop(self._loop, self._look)

    def _look(self) -> None:
        planned = self._term.reason in PLANNED
        if self._hold is not None and not (planned and self._term.remaining() > 0.0):
            self._end.begin()

    def _abandon(self, _task: asyncio.Task[Any]) -> None:
        """Tell that the task which entered has ended, and cannot be cancelled any more."""
        if self._hold is not None:
            self._lifecycle.overdue_work.report_abandoned(self._hold)


class TaskJobs(Generic[TermT]):
    """What an elector for asyncio has for jobs."""

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

    @overload
    async def call_if_leading(
        self,
        job: Callable[_P, Coroutine[Any, Any, _T]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T | Skipped: ...
    @overload
    async def call_if_leading(
        self, job: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | Skipped: ...
    async def call_if_leading(
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
        refuse_what_is_no_job(job, "call_if_leading()")
        if is_coroutine_function(job):
            work: Callable[_P, Awaitable[Any]] = job  # type: ignore[assignment]  # it is one
            return await _await_guarded(self._lifecycle, work, *args, **kwargs)
        plain = guarded(self._lifecycle, job)
        return await asyncio.to_thread(plain, *args, **kwargs)

    @overload
    def only_while_leading(
        self, job: Callable[_P, Coroutine[Any, Any, _T]]
    ) -> Callable[_P, Coroutine[Any, Any, _T | Skipped]]: ...
    @overload
    def only_while_leading(
        self, job: Callable[_P, _T]
    ) -> Callable[_P, _T | Skipped]: ...
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
        refuse_what_is_no_job(job, "only_while_leading")
        if not is_coroutine_function(job):
            return guarded(self._lifecycle, job)
        work: Callable[_P, Awaitable[Any]] = job  # type: ignore[assignment]  # it is one

        @functools.wraps(job)
        async def only_while_leading(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return await _await_guarded(self._lifecycle, work, *args, **kwargs)

        return only_while_leading  # type: ignore[return-value]  # as the overload says


async def _await_guarded(
    lifecycle: Lifecycle[TermT],
    job: Callable[_P, Awaitable[_T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T | Skipped:
    guard = Guard(lifecycle)
    try:
        async with guard:
            result = job(*args, **kwargs)
            refuse_no_awaitable(result, job, "a job")
            return await result
    except NotLeaderError as error:
        if error is not guard.refusal:
            raise  # the job's own
        return NOT_LEADER


def _is_in_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False  # no loop runs in this thread
