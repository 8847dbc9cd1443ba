"""A scope of asyncio and its term: work that runs only while this elector leads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from kubernetes_leader_election.errors import (
    LeadershipLostError,
    NotLeaderError,
)
from kubernetes_leader_election.lifecycle.asking import (
    OnStop,
)
from kubernetes_leader_election.lifecycle.base_lost import BaseLost
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
)
from kubernetes_leader_election.lifecycle.held_work import ThreadCall
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    refuse_what_needs_a_loop,
)
from kubernetes_leader_election.lifecycle.leftover_threads import (
    Beginning,
    keep_if_torn,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.preconditions import (
    entered_twice,
    refuse_unstarted,
)
from kubernetes_leader_election.lifecycle.taking import join
from kubernetes_leader_election.lifecycle.task_cancellation import (
    TaskCancellation,
    call_on_loop,
    way_to_ask,
)
from kubernetes_leader_election.lifecycle.task_waits import (
    is_present,
    let_signal_end,
    present_task,
    running_loop,
    wait_for,
)
from kubernetes_leader_election.lifecycle.term_work import WorkItem

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Leadership:
    """A scope whose body runs only while the elector leads; see ``leadership()``."""

    # Set on entering, and not before.
    _task: asyncio.Task[Any]
    """Which entered."""
    _term: Term
    """The term that was entered."""
    _beginning: Beginning
    """What there was when the body began."""
    _call_context: CallContext
    """Marks what the body runs as work of the term."""
    _end: TaskCancellation
    """Ends the task with the term."""

    def __init__(
        self,
        lifecycle: Lifecycle[Term],
        timeout: float | None,
        on_stop: OnStop | None = None,
    ) -> None:
        self._lifecycle = lifecycle
        """Of the elector."""
        self._timeout = timeout
        """Seconds to wait for a term; None: for ever."""
        self._on_stop = on_stop
        """Asks the body to end in a planned stop; None: it is cancelled."""
        self._hold: WorkItem | None = None
        """What holds the term; None: not entered, or left."""
        self._entered = threading.Lock()
        """Held from entering to leaving: one body at a time."""
        self.then_stop = False
        """Whether to stop the elector when the body is done. Whoever enters says so."""
        self.outside = False
        """Whether others cancelled the body, once it has ended."""

    async def __aenter__(self) -> Term:
        if not self._entered.acquire(blocking=False):
            raise entered_twice(self._lifecycle)
        try:
            return await self._enter()
        except BaseException:
            self._entered.release()
            raise

    async def _enter(self) -> Term:
        lifecycle, loop = self._lifecycle, running_loop()
        refuse_unstarted(lifecycle, "leadership()", to_lead=True)
        self._task = task = present_task()
        cancelling = task.cancelling()
        # A cancellation that was asked for and not met yet is met here: counted as an
        # old one, it could be taken for that of a loss, and be lost with it.
        await asyncio.sleep(0)
        hold = WorkItem(
            f"leadership() in task {task.get_name()!r}",
            cancel=partial(call_on_loop, loop, self._cancel),
            loop=loop,
            is_scope=True,
        )
        enter = partial(join, lifecycle, hold)
        current = await wait_for(lifecycle, enter, self._timeout, "leadership()")
        self._term, self._hold = current.term, hold
        self._beginning = Beginning()
        self._call_context = CallContext(lifecycle, work=current.work, is_scope=True)
        self._call_context.enter()
        ask = way_to_ask(lifecycle, self._on_stop)
        self._end = TaskCancellation(
            lifecycle, current.term, task, before=cancelling, ask=ask
        )
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
        self._call_context.leave()
        self._task.remove_done_callback(self._abandon)
        is_here = is_present(self._task)
        self.outside = self._end.end(error) and is_here
        lifecycle, term = self._lifecycle, self._term
        lost = term.is_lost
        if not lifecycle.forked:
            keep_if_torn(hold, self._beginning, error, lifecycle.waiters.wake)
        if self.then_stop and not lost:
            lifecycle.end_for_good(term.number)
        last = lifecycle.leave(hold)
        self._entered.release()
        if not is_here and not self._task.done():
            lifecycle.overdue_work.report_elsewhere(hold)
        ours = self._end.delivered and is_here
        loss = lost and self._end.is_loss(error, ours=ours, others=self.outside)
        if loss or isinstance(error, LeadershipLostError | NotLeaderError):
            await let_signal_end(lifecycle)
        if loss:
            raise term.loss() from error
        if last and (error is None or isinstance(error, Exception)):
            await self._wait_for_release(term.number)

    def _cancel(self) -> None:
        """Cancel the body. On its loop."""
        if self._hold is not None:
            self._end.begin()

    def _abandon(self, _task: asyncio.Task[Any]) -> None:
        """Tell that the task which entered has ended, and cannot be cancelled any more."""
        if self._hold is not None:
            self._lifecycle.overdue_work.report_abandoned(self._hold)

    async def _wait_for_release(self, number: int) -> None:
        lifecycle = self._lifecycle
        if lifecycle.call_context() is not None or lifecycle.forked:
            return  # something around this scope holds up the release
        try:
            await wait_for(
                lifecycle, lambda: lifecycle.is_over(number), lifecycle.stop_budget, ""
            )
        except TimeoutError:
            return  # stop() waits for as long as it takes


class Term(BaseTerm):
    """
    One uninterrupted leadership of one elector. It never comes back to life (G4).

    .. code-block:: python

        async with elector.leadership() as term:
            term.ensure(2.0)
            await write(row, fencing_token=term.fencing_token)
    """

    __slots__ = ("lost",)

    def __init__(
        self, lifecycle: Lifecycle[Any], *, number: int, fencing_token: int | None
    ) -> None:
        super().__init__(lifecycle, number=number, fencing_token=fencing_token)
        self.lost = Lost(lifecycle, self)
        """Set when the term ends."""

    async def to_thread(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """
        Call ``function`` in a thread, as work of the term until it has ended *there*.

        The Lease is not released before, also when whoever waits for it is cancelled or
        torn by a signal; it is renewed meanwhile. Nothing tells a thread to end but
        ``term.lost``. Context variables are carried. asyncio: on the default executor
        of the loop; threads: on a thread of its own, which the exit waits for.

        Args:
            function: What to call.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            What it returns.

        Raises:
            LeadershipLostError: the term is over or about to be, and it was not called.
            ConfigurationError: it is no callable, or a coroutine function.
            ProtocolMisuseError: in a child process.
            Exception: whatever it raises.

        """
        refuse_what_needs_a_loop(function, "to_thread()")
        call = ThreadCall(
            self._clock, self, partial(function, *args, **kwargs), function
        )
        try:
            return await running_loop().run_in_executor(None, call.run)
        finally:
            call.give_up()


class Lost(BaseLost):
    """
    Tell when a term has ended: an event that only the loss sets.

    It counts by the clock, too, so it is right with nothing else running.
    """

    __slots__ = ()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the term has ended, ``timeout`` seconds at most; tell if it has."""
        recheck_after = self._term.remaining
        try:
            return await wait_for(
                self._lifecycle, self.is_set, timeout, "", recheck_after=recheck_after
            )
        except TimeoutError:
            return self.is_set()
