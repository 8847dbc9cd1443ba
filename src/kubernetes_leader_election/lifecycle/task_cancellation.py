"""
Cancel a task of asyncio when its term ends, and again when it goes on all the same.

The first cancellation is one like any other: ``finally: await close()`` runs under it
undisturbed. A task that has not left when its time for that is over is cancelled again,
wherever it waits, until it has left. In a planned stop the Lease is renewed meanwhile, so
that time is the grace; and work that has a way of its own to be asked (``on_stop``) is
asked first, and cancelled when the grace is over. Everything here runs by the loop's own timers: a
dead engine holds up none of it (fault 07).
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from kubernetes_leader_election.events import PLANNED, REASONS
from kubernetes_leader_election.lifecycle.asking import Asking, OnStop
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle

TURNS: Final = 16
"""
Turns of the loop in a row in which a task that goes on is cancelled again.

A retry loop waits a moment in its ``except``, and only a cancellation that comes right
after the one it caught meets it there. anyio cancels in each turn, for ever; that keeps
a processor busy for as long as a task waits for something that cannot be cancelled.
"""
FIRST_PAUSE: Final = 0.005
"""Seconds from one such row to the next; growing, so as not to keep step with a body."""
PAUSES: Final = 20
"""The longest pause, as a share of the stop budget: a dozen rows fit into its half."""
UNDONE: Final = 0.02
"""
Seconds between two looks whether a task that has its time took a cancellation back.

One of others may come after that, and the count alone does not tell it from ours.
"""

TASK_GROUPS_LEAK: Final = sys.version_info < (3, 13)
"""
Whether a count of cancellations may be too high.

Before Python 3.13 an ``asyncio.TaskGroup`` whose task fails while the group waits for
its end counts a cancellation of its parent task, and never takes it back.
"""
Ask = Callable[[Callable[[], None]], object]
"""Asks work to end, without waiting; is given what to call where that has failed."""

_OURS: Final = "leadership lost: "
_told: Final[WeakKeyDictionary[asyncio.Task[Any], BaseTerm]] = WeakKeyDictionary()
"""
Whose loss a task was cancelled for last, of the terms that it is still in.

A scope in a scope shares its term: two cancellations, a turn apart, would cut cleanup.
"""
_asked: Final[WeakKeyDictionary[asyncio.Task[Any], BaseTerm]] = WeakKeyDictionary()
"""For whose end a task was asked by ``on_stop``: a scope in that scope waits as well."""


class TaskCancellation:
    """
    End one task with its term. On the task's event loop, unless said otherwise.

    Args:
        lifecycle: of the elector.
        term: whose end ends the task.
        task: the task.
        before: how many cancellations of others it has had before; they are not ours.
        ask: asks it to end where leadership is given up; None: it is cancelled.

    """

    def __init__(
        self,
        lifecycle: Lifecycle[Any],
        term: BaseTerm,
        task: asyncio.Task[Any],
        *,
        before: int,
        ask: Ask | None = None,
    ) -> None:
        self._lifecycle = lifecycle
        """Of the elector."""
        self._ask = ask
        """Asks the task to end where leadership is given up; None: it is cancelled."""
        self._term = term
        """Whose end ends the task."""
        self._task = task
        """What is ended."""
        self._before = before
        """How many cancellations of others the task has had before."""
        self._loop = task.get_loop()
        """On which all of this happens."""
        self._asked_at: float | None = None
        """When its end was begun: by asking, by others, or with a cancellation."""
        self._told_at: float | None = None
        """When it was cancelled from here, or by a scope in which it is as well."""
        self._delivered = False
        """Whether it was cancelled from here, once at least."""
        self._over = False
        """Whether the task has left: nothing is done to it any more."""
        self._ours = 0
        """How many cancellations from here the task counts still."""
        self._earlier = 0
        """How many of others it counted beside ``before`` at the first one from here."""
        self._turns = 0
        """In how many more turns of the loop it is cancelled, one after the other."""
        self._pause = FIRST_PAUSE
        """Seconds until the next turns of that kind."""
        self._timer: asyncio.Handle | None = None
        """What is scheduled next on the loop, one thing at a time."""
        self._look_later(term.remaining())

    @property
    def delivered(self) -> bool:
        """Whether the task was cancelled from here."""
        return self._delivered

    def begin(self) -> None:
        """End the task, as its term has ended. Harmless when said twice."""
        if self._over or self._asked_at is not None or self._task.done():
            return
        self._asked_at = self._loop.time()
        self._lifecycle.overdue_work.expect_end(self._term)
        if not self._is_held() or not (self._is_ending() or self._has_asked()):
            self._tell()
        self._wait()

    def _has_asked(self) -> bool:
        """Ask the task to end where there is a way to; tell whether it was asked."""
        if self._ask is None:
            return _asked.get(self._task) is self._term
        _asked[self._task] = self._term
        self._ask(self._asked_in_vain)
        return True

    def _asked_in_vain(self) -> None:
        """Cancel a task that could not be asked: it would wait for nothing."""
        if not self._over and self._told_at is None and not self._task.done():
            self._tell()
            self._wait()

    def _tell(self) -> None:
        """Cancel the task once, unless a scope in which it is as well has done so."""
        self._told_at = self._loop.time()
        if _told.get(self._task) is not self._term:
            _told[self._task] = self._term
            self._cancel()

    def end(self, error: BaseException | None = None) -> bool:
        """
        Take back every cancellation of ours; tell whether others cancelled the task, too.

        The task has left with ``error``, if any, or nothing that it does from here on
        is work of the term.
        """
        self._over = True
        self._cancel_timer()
        if self._delivered:
            _told.pop(self._task, None)
        if self._ask is not None:
            _asked.pop(self._task, None)
        self._forget_undone()
        for _ in range(self._ours):
            self._task.uncancel()
        self._ours = 0
        others = self._task.cancelling() - self._before
        if TASK_GROUPS_LEAK and (others <= self._earlier or not self._delivered):
            # From before ours: if it was a cancellation, it shows in how the task left.
            return others > 0 and _shows_others(error)
        return others > 0

    def is_loss(self, error: BaseException | None, *, ours: bool, others: bool) -> bool:
        """
        Return whether a block whose term is lost raises that, whatever its body did.

        Args:
            error: what the body was left with.
            ours: whether the body was cancelled from here, and is left by its own task.
            others: whether others cancelled it, too.

        """
        match error:
            case None:
                return not (ours and others)
            case asyncio.CancelledError():
                return ours and not others
            case BaseExceptionGroup() if not others:
                return is_of_loss(self._lifecycle, error, self._term)
            case _:
                return False

    def _look_later(self, left: float) -> None:
        if left != float("inf"):
            self._timer = self._loop.call_later(left, self._look)

    def _look(self) -> None:
        """Fault 07: cancel the task by the clock, should the engine be dead."""
        left = self._term.remaining()
        if left > 0.0:
            self._look_later(left)
        else:
            self.begin()

    def _is_ending(self) -> bool:
        """
        Return whether others cancelled the task, where leadership was given up.

        A second cancellation would cut its cleanup. If it goes on all the same, it is
        cancelled before its deadline (G2); the Lease is held until then.
        """
        return self._task.cancelling() > self._before

    def _is_held(self) -> bool:
        """Return whether leadership was given up, and the Lease is renewed meanwhile."""
        return self._term.reason in PLANNED and self._term.remaining() > 0.0

    def _cancel(self) -> None:
        self._forget_undone()
        if not self._delivered:
            self._earlier = self._task.cancelling() - self._before
        reason = self._term.reason
        why = "given up" if reason is None else REASONS[reason]
        if self._task.cancel(f"{_OURS}{why}"):
            self._ours += 1
            self._delivered = True

    def _forget_undone(self) -> None:
        """Count no cancellation as ours that the task has taken back itself."""
        counted = self._task.cancelling() - self._before
        self._ours = min(self._ours, max(0, counted))

    # Again ----------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait until the task has had its time, then cancel it, again and again."""
        left = self._time_left()
        if left > 0.0:
            self._forget_undone()
            self._cancel_timer()
            self._timer = self._loop.call_later(min(left, UNDONE), self._wait)
        elif self._told_at is None:
            self._tell()
            self._wait()
        else:
            self._repeat()

    def _time_left(self) -> float:
        """
        Return the seconds until the task is cancelled, or again; or until another look.

        While the Lease is held, the rest of the grace; never less for its cleanup than
        the stop budget. Where it is lost, at once, and again after half of the stop
        budget: the other half is for a task that resists.
        """
        assert self._asked_at is not None  # noqa: S101 - begin() came first
        now, budget = self._loop.time(), self._lifecycle.stop_budget
        if self._is_held():
            end = self._asked_at + self._lifecycle.grace
            if self._told_at is not None:
                end = max(end, self._told_at + budget)
            return min(end - now, self._term.remaining())
        return 0.0 if self._told_at is None else self._told_at + budget / 2 - now

    def _repeat(self) -> None:
        self._turns = TURNS
        self._cancel_in_each_turn()

    def _cancel_in_each_turn(self) -> None:
        if self._task.done():
            return  # and left its scope open: that is reported elsewhere
        self._cancel()
        self._turns -= 1
        self._cancel_timer()
        if self._turns:
            self._timer = self._loop.call_soon(self._cancel_in_each_turn)
        else:
            self._timer = self._loop.call_later(self._pause, self._repeat)
            longest = max(FIRST_PAUSE, self._lifecycle.stop_budget / PAUSES)
            self._pause = min(1.5 * self._pause, longest)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def ask_on_loop(
    lifecycle: Lifecycle[Any],
    on_stop: OnStop,
    context: contextvars.Context,
    failed: Callable[[], None],
) -> None:
    """
    Call ``on_stop`` in a task of its own, which is cancelled when its grace is over.

    Args:
        lifecycle: of the elector.
        on_stop: what asks the work of the present term to end.
        context: what it is called in.
        failed: called if it raises.

    """
    current = lifecycle.current
    if current is None:
        return  # nothing of the term runs any more
    loop = asyncio.get_running_loop()
    asking = Asking(lifecycle, current.work, on_stop, loop=loop)

    async def call() -> None:
        result = asking.call()
        if inspect.isawaitable(result):
            await result

    task = loop.create_task(call(), name=asking.name, context=context)
    # Asked by nothing: this is what asks.
    end = TaskCancellation(
        lifecycle, current.term, task, before=0, ask=lambda _failed: None
    )
    end.begin()

    def done(task: asyncio.Task[None]) -> None:
        end.end()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            failed()
        asking.end(error)

    task.add_done_callback(done)


def is_of_loss(lifecycle: Lifecycle[Any], error: BaseException, term: BaseTerm) -> bool:
    """Return whether work failed for nothing but the loss of its term."""
    # Where nobody else cancelled the task, which is asked elsewhere, a task of the
    # body that was cancelled is one more that the loss has ended.
    ended = (asyncio.CancelledError,) if term.is_lost else ()
    return lifecycle.is_of_loss(error, term, ended=ended)


def way_to_ask(lifecycle: Lifecycle[Any], on_stop: OnStop | None) -> Ask | None:
    """Return what asks the work of this task by ``on_stop``, where there is one."""
    if on_stop is None:
        return None
    return partial(ask_on_loop, lifecycle, on_stop, contextvars.copy_context())


def _shows_others(error: BaseException | None) -> bool:
    """Return whether an error is, or came in the cleanup after, a cancellation not ours."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        ours = bool(error.args) and str(error.args[0]).startswith(_OURS)
        if isinstance(error, asyncio.CancelledError) and not ours:
            return True
        # Also where that is not to be shown, as in the group that a TaskGroup raises.
        error = error.__cause__ or error.__context__
    return False


def call_on_loop(
    loop: asyncio.AbstractEventLoop,
    callback: Callable[[], object],
    *,
    context: contextvars.Context | None = None,
) -> bool:
    """Call something on a loop, from any thread; False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(callback, context=context)
    except RuntimeError:
        return False
    return True
