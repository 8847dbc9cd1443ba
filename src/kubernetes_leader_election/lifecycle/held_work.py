"""
Work that is counted though no scope runs it: a hold by name, a call in a thread.

A scope that hands work on (to a thread, a pool, a subprocess) ends when its own body
does, and with its last scope the term is released. What was handed on has to hold the
term itself.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from kubernetes_leader_election.errors import ConfigurationError, ProtocolMisuseError
from kubernetes_leader_election.lifecycle.call_context import CallContext
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.leftover_threads import (
    Beginning,
    keep_if_torn,
)
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem
from kubernetes_leader_election.lifecycle.waiters import Waiters
from kubernetes_leader_election.process import native

_T = TypeVar("_T")


class WorkOwner(Protocol):
    """Whose terms are held: the life of an elector."""

    def take_hold(self, hold: WorkItem, number: int) -> TermWork:
        """
        Hold up the release of the numbered term.

        Raises:
            LeadershipLostError: it is over, or about to be: no new work begins.
            ProtocolMisuseError: this is a child process.

        """
        ...

    def end_hold(self, hold: WorkItem) -> None:
        """End a hold, unless this is a child process."""
        ...

    waiters: Waiters
    """Who waits for news of it."""


class Held(Protocol):
    """A term, as far as work that holds it is concerned."""

    number: int

    def check(self) -> None:
        """Raise LeadershipLostError if the term has ended."""
        ...


class Hold:
    """
    Keep a term from being released while the body of a ``with`` runs.

    Usable in any thread; it may be left in another one than it was entered in.

    Args:
        owner: whose term.
        what: what is held, for messages.

    """

    _beginning: Beginning
    """What there was when the body began. Set on entering."""

    def __init__(self, owner: WorkOwner, what: str) -> None:
        self._owner = owner
        self._what = what
        self._hold: WorkItem | None = None
        """What holds the term; None: not entered, or left."""
        self._call_context: CallContext | None = None
        """Marks what the body runs as work of the term."""
        self._entered = threading.Lock()
        """Held from entering to leaving: one body at a time."""

    def _take(self, hold: WorkItem) -> TermWork:
        """Take the hold; raises where no work may begin."""
        raise NotImplementedError

    def _begin(self) -> None:
        if not self._entered.acquire(blocking=False):
            raise ProtocolMisuseError(
                f"{self._what} has already been entered. Call "
                f"{self._what.partition('(')[0]}() once for each block."
            )
        what = f"{self._what} in thread {threading.current_thread().name!r}"
        self._hold = hold = WorkItem(what, is_work=True, may_work=False, block=self)
        if _is_on_loop():
            hold.thread = None  # no exception of a signal ends it alone
        try:
            work = self._take(hold)
            self._beginning = Beginning()
            self._call_context = CallContext(self._owner, work=work, is_scope=True)
            self._call_context.enter()
        except BaseException:
            self._leave(hold)  # Ctrl-C may come between any two calls
            self._entered.release()
            raise
        hold.may_work = True  # no call from here on, and so no Ctrl-C

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        hold = self._hold
        if hold is None:
            return
        hold.may_work = False  # before any call, and so before any Ctrl-C
        try:
            self._body_ended()
            self._keep(hold, error)
            self._leave(hold)
        except BaseException:
            self._keep(hold, error)
            self._leave(hold)  # once more, for what Ctrl-C has left undone
            raise
        self._hold = None
        self._entered.release()
        self._left(error)

    def _body_ended(self) -> None:
        """Look at what the end of the hold may change. May be torn, as any call here."""

    def _left(self, error: BaseException | None) -> None:
        """Raise what is to be raised in the place of the error of the body."""

    def _keep(self, hold: WorkItem, error: BaseException | None) -> None:
        """Hold the term for the threads that an interrupted body has left behind."""
        keep_if_torn(hold, self._beginning, error, self._owner.waiters.wake)

    def _leave(self, hold: WorkItem) -> None:
        if self._call_context is not None:
            self._call_context.leave()
        self._owner.end_hold(hold)


class TermHold(Hold):
    """Keep a term from being released while the body runs; see ``Term.hold()``."""

    def __init__(self, owner: WorkOwner, number: int, what: str) -> None:
        if not isinstance(what, str) or not what.strip():
            raise ConfigurationError(
                f"hold({what!r}): say in a word or two what is held, for messages.",
                option="what",
            )
        super().__init__(owner, f"hold({what!r})")
        self._number = number

    def __enter__(self) -> None:
        self._begin()

    def _take(self, hold: WorkItem) -> TermWork:
        return self._owner.take_hold(hold, self._number)


class ThreadCall(Generic[_T]):
    """
    A call that runs in a thread, and holds its term until it has ended *there*.

    Args:
        owner: whose term.
        term: which is held.
        call: what to call in the thread; context variables are those of the maker.
        function: its name stands in messages.

    """

    def __init__(
        self, owner: WorkOwner, term: Held, call: Callable[[], _T], function: object
    ) -> None:
        self._owner = owner
        self._term = term
        self._call = call
        self._hold = WorkItem(f"to_thread({name_of(function)})", is_work=True)
        """Keeps the term until the call has ended in its thread."""
        self._hold.thread = self._hold.entered_in = None
        self._context = contextvars.copy_context()
        """That of the maker, in which the call is made."""
        self._claimed = threading.Lock()
        """Taken once, by the thread or by who gives up first; never released."""
        self._work = owner.take_hold(self._hold, term.number)
        """That of the term, which the call is part of."""

    def run(self) -> _T:
        """Make the call. The thread's."""
        if not self._claimed.acquire(blocking=False):
            raise CancelledError  # nobody waits for it, nor for this error
        self._hold.thread = threading.get_ident()
        try:
            self._term.check()  # it may have waited long for a thread that was free
            return self._context.run(self._run_inside)
        finally:
            self._owner.end_hold(self._hold)

    def run_on_a_thread(self) -> _T:
        """Make the call on a thread of its own, which the exit waits for."""
        result: Future[_T] = Future()

        def run() -> None:
            try:
                result.set_result(self.run())
            except BaseException as error:  # noqa: BLE001 - raised again by the future
                result.set_exception(error)

        native.start_thread(run, name=self._hold.what, daemon=False)
        return result.result()

    def give_up(self) -> None:
        """End the hold if no thread has begun with the call, nor ever will."""
        if self._claimed.acquire(blocking=False):
            self._owner.end_hold(self._hold)

    def _run_inside(self) -> _T:
        call_context = CallContext(self._owner, work=self._work, is_scope=True)
        call_context.enter()
        try:
            return self._call()
        finally:
            call_context.leave()


def _is_on_loop() -> bool:
    running: Any = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running is not None and running() is not None
