"""
Cancel a task of asyncio when its term ends, and again when it goes on all the same.

The first cancellation is one like any other: ``finally: await close()`` runs under it
undisturbed. A task that has not left when its time for that is over is cancelled again,
wherever it waits, until it has left. Everything here runs by the loop's own timers: a
dead engine holds up none of it (fault 07).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.events import PLANNED
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
_OURS: Final = "leadership lost: "
_told: Final[WeakKeyDictionary[asyncio.Task[Any], BaseTerm]] = WeakKeyDictionary()
"""
Whose loss a task was cancelled for last, of the terms that it is still in.

A scope in a scope shares its term: two cancellations, a turn apart, would cut cleanup.
"""


class TaskCancellation:
    """
    End one task with its term. On the task's event loop, unless said otherwise.

    Args:
        lifecycle: of the elector.
        term: whose end ends the task.
        task: the task.
        before: how many cancellations of others it has had before; they are not ours.

    """

    def __init__(
        self,
        lifecycle: Lifecycle[Any],
        term: BaseTerm,
        task: asyncio.Task[Any],
        *,
        before: int,
    ) -> None:
        self._lifecycle = lifecycle
        self._term = term
        self._task = task
        self._before = before
        self._loop = task.get_loop()
        self._asked_at: float | None = None
        self._delivered = False
        self._over = False
        self._ours = 0
        self._earlier = 0
        self._turns = 0
        self._pause = FIRST_PAUSE
        self._timer: asyncio.Handle | None = None
        self._look_later(term.remaining())

    @property
    def delivered(self) -> bool:
        """Whether the task was cancelled from here."""
        return self._delivered

    def begin(self) -> None:
        """Cancel the task, as its term has ended. Harmless when said twice."""
        if self._over or self._asked_at is not None or self._task.done():
            return
        self._asked_at = self._loop.time()
        self._lifecycle.overdue_work.expect_end(self._term)
        if not self._is_ending() and _told.get(self._task) is not self._term:
            _told[self._task] = self._term
            self._cancel()
        self._wait()

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
        self._forget_undone()
        for _ in range(self._ours):
            self._task.uncancel()
        self._ours = 0
        others = self._task.cancelling() - self._before
        if TASK_GROUPS_LEAK and (others <= self._earlier or not self._delivered):
            # From before ours: if it was a cancellation, it shows in how the task left.
            return others > 0 and _shows_others(error)
        return others > 0

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
        Return whether others cancelled the task, and leadership was given up.

        A second cancellation would cut its cleanup. If it goes on all the same, it is
        cancelled before its deadline (G2); the Lease is held until then.
        """
        return self._task.cancelling() > self._before and self._is_planned()

    def _is_planned(self) -> bool:
        return self._term.reason in PLANNED

    def _cancel(self) -> None:
        self._forget_undone()
        if not self._delivered:
            self._earlier = self._task.cancelling() - self._before
        if self._task.cancel(f"{_OURS}{self._term.reason}"):
            self._ours += 1
            self._delivered = True

    def _forget_undone(self) -> None:
        """Count no cancellation as ours that the task has taken back itself."""
        counted = self._task.cancelling() - self._before
        self._ours = min(self._ours, max(0, counted))

    # Again ----------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait until the task has had its time, then cancel it again and again."""
        left = self._time_left()
        if left > 0.0:
            self._forget_undone()
            self._cancel_timer()
            self._timer = self._loop.call_later(min(left, UNDONE), self._wait)
        else:
            self._repeat()

    def _time_left(self) -> float:
        """
        Return the seconds until the task is cancelled again; or until another look.

        Half of the stop budget: the other half is for a task that resists. In a planned
        stop all of it, for the Lease is held meanwhile, unless it is lost after all.
        """
        assert self._asked_at is not None  # noqa: S101 - begin() came first
        passed = self._loop.time() - self._asked_at
        budget = self._lifecycle.stop_budget
        held = self._term.remaining()
        if self._is_planned() and held > 0.0:
            return min(budget - passed, held)
        told = self._delivered or _told.get(self._task) is self._term
        return budget / 2 - passed if told else 0.0

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


def present_task() -> asyncio.Task[Any]:
    """
    Return the task that runs here, which a loss cancels.

    Raises:
        ProtocolMisuseError: none does, as under trio.

    """
    task = None
    with contextlib.suppress(RuntimeError):  # no loop of asyncio runs here
        task = asyncio.current_task()
    if task is None:
        raise ProtocolMisuseError(
            "this Elector is the one for asyncio, and no task of asyncio runs here. "
            "Elsewhere, as under trio, use kubernetes_leader_election.sync.Elector in "
            "threads, such as those of trio.to_thread.run_sync: its calls block."
        )
    return task


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
