"""A scope of threads and its term: work that runs only while this elector leads."""

from __future__ import annotations

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
    ask_on_a_thread,
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
from kubernetes_leader_election.lifecycle.term_work import WorkItem
from kubernetes_leader_election.lifecycle.thread_waits import (
    let_signal_end,
    wait_for,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Leadership:
    """A scope whose body runs only while the elector leads; see ``leadership()``."""

    # Set on entering, and not before.
    _term: Term
    """The term that was entered."""
    _beginning: Beginning
    """What there was when the body began."""

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
        self._ask = on_stop and partial(ask_on_a_thread, lifecycle, on_stop)
        """Asks the body to end in a planned stop; None: ``term.lost`` alone tells it."""
        self._hold: WorkItem | None = None
        """What holds the term; None: not entered yet."""
        self._call_context: CallContext | None = None
        """Marks what the body runs as work of the term."""
        self._entered = threading.Lock()
        """Held from entering to leaving: one body at a time."""
        self.then_stop = False
        """Whether to stop the elector when the body is done. Whoever enters says so."""

    def __enter__(self) -> Term:
        lifecycle = self._lifecycle
        if not self._entered.acquire(blocking=False):
            raise entered_twice(lifecycle)
        what = f"leadership() in thread {threading.current_thread().name!r}"
        self._hold = hold = WorkItem(
            what, cancel=self._ask, is_scope=True, may_work=False, block=self
        )
        try:
            refuse_unstarted(lifecycle, "leadership()", to_lead=True)
            enter = partial(join, lifecycle, hold)
            current = wait_for(lifecycle, enter, self._timeout, "leadership()")
            self._term, self._beginning = current.term, Beginning()
            self._call_context = CallContext(
                lifecycle, work=current.work, is_scope=True
            )
            self._call_context.enter()
        except BaseException:
            self._leave(hold)  # Ctrl-C may come between any two calls
            self._entered.release()
            raise
        hold.may_work = True  # no call from here on, and so no Ctrl-C
        return current.term

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        hold, term = self._hold, self._term
        assert hold is not None  # noqa: S101 - __enter__ came first
        hold.may_work = False  # before any call, and so before any Ctrl-C
        try:
            lost = term.is_lost
            self._keep(hold, error)
            if self.then_stop and not lost:
                self._lifecycle.end_for_good(term.number)
            last = self._leave(hold)
        except BaseException:
            self._keep(hold, error)
            self._leave(hold)  # once more, for what Ctrl-C has left undone
            raise
        self._entered.release()
        loss = lost and self._lifecycle.is_end_by_loss(error, term)
        if loss or isinstance(error, LeadershipLostError | NotLeaderError):
            let_signal_end()
        if loss:
            raise term.loss() from error
        if last and (error is None or isinstance(error, Exception)):
            self._wait_for_release(term.number)

    def _keep(self, hold: WorkItem, error: BaseException | None) -> None:
        """Hold the term for the threads that an interrupted body has left behind."""
        if not self._lifecycle.forked:
            keep_if_torn(hold, self._beginning, error, self._lifecycle.waiters.wake)

    def _leave(self, hold: WorkItem) -> bool:
        if self._call_context is not None:
            self._call_context.leave()
        return self._lifecycle.leave(hold)

    def _wait_for_release(self, number: int) -> None:
        lifecycle = self._lifecycle
        if lifecycle.call_context() is not None or lifecycle.forked:
            return  # something around this scope holds up the release
        try:
            wait_for(
                lifecycle, lambda: lifecycle.is_over(number), lifecycle.stop_budget, ""
            )
        except TimeoutError:
            return  # stop() waits for as long as it takes


class Term(BaseTerm):
    """
    One uninterrupted leadership of one elector. It never comes back to life (G4).

    .. code-block:: python

        with elector.leadership() as term:
            while not term.lost.wait(timeout=1.0):
                term.ensure(2.0)
                write(row, fencing_token=term.fencing_token)
    """

    __slots__ = ("lost",)

    def __init__(
        self, lifecycle: Lifecycle[Any], *, number: int, fencing_token: int | None
    ) -> None:
        super().__init__(lifecycle, number=number, fencing_token=fencing_token)
        self.lost = Lost(lifecycle, self)
        """Set when the term ends."""

    def to_thread(
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
            return call.run_on_a_thread()
        finally:
            call.give_up()


class Lost(BaseLost):
    """
    Tell when a term has ended: an event that only the loss sets.

    It counts by the clock, too, so it is right with nothing else running.
    """

    __slots__ = ()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the term has ended, ``timeout`` seconds at most; tell if it has."""
        recheck_after = self._term.remaining
        try:
            return wait_for(
                self._lifecycle, self.is_set, timeout, "", recheck_after=recheck_after
            )
        except TimeoutError:
            return self.is_set()
