"""What a signal, or the exit of the interpreter, does to one elector."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.lifecycle.leftover_threads import (
    is_main_thread,
    threads_of,
)
from kubernetes_leader_election.lifecycle.notifier import Notifier
from kubernetes_leader_election.lifecycle.overdue_work import AFTER_SIGNAL
from kubernetes_leader_election.lifecycle.status import Status
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem
from kubernetes_leader_election.process.exit import shared_exit
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import shared_timers


class Shutdown:
    """
    Stop an elector that nobody else stops, as far as its work allows.

    Args:
        elector: which one.
        notifier: sends its events.
        stop: begins to stop it.

    """

    def __init__(
        self, elector: Status[Any], notifier: Notifier, *, stop: Callable[[], None]
    ) -> None:
        self._elector = elector
        self._notifier = notifier
        self._stop = stop
        self._signalled_at: float | None = None
        """The ``time.monotonic()`` of the signal that ends this life, or the last one."""
        self.exiting = False
        """Whether the interpreter exits, and is never to run again."""

    def begin(self) -> None:
        """Forget the signal that ended the last life."""
        self._signalled_at = None

    def watch(self) -> bool:
        """Stop the elector at a signal and at exit; False if no signals can be caught."""
        shared_exit().watch(self)
        return not self._elector.settings.auto_close or shared_auto_close().watch(self)

    def unwatch(self) -> None:
        """Note that the elector has stopped."""
        shared_auto_close().forget(self)
        shared_exit().forget(self)

    def warn_of_no_signals(self) -> None:
        """Say once a process that ``auto_close`` can do nothing here."""
        global _said_no_signals
        if not _said_no_signals:
            _said_no_signals = True
            self._notifier.event_log.logger.warning(
                "auto_close has no effect: only the main thread can catch signals, and "
                "no elector was started there. Call stop() when the program is to end, "
                "or pass auto_close=False."
            )

    # A signal -----------------------------------------------------------------

    @property
    def stop_budget(self) -> float:
        """Seconds that work may need to stop."""
        return self._elector.stop_budget

    @property
    def signalled(self) -> bool:
        """Whether a signal ends, or has ended, this life."""
        return self._signalled_at is not None

    def on_signal(self) -> None:
        """Begin to stop because of a signal. The thread of the signals."""
        self._signalled_at = time.monotonic()
        where = self._elector.where
        self._notifier.event_log.say("info", "%s: stopping because of a signal", where)
        self._stop()

    def hold_after_signal(self, work: TermWork) -> None:
        """Hold a term that a signal ended for the rest of the stop budget, if need be."""
        if self._signalled_at is None or work.had_scope or self._elector.assumed:
            return
        # Who uses events only may still be stopping what a handler began.
        wait = work.hold_late(AFTER_SIGNAL)
        left = self._signalled_at + self.stop_budget - time.monotonic()
        if self.exiting:
            left = 0.0
        shared_timers().call_later(max(0.0, left), wait.end)

    def works_in_main_thread(self) -> bool:
        """Return whether a scope runs in the main thread, outside any event loop."""
        main = threading.main_thread().ident
        return any(hold.is_work and hold.thread == main for hold in self._alive)

    # The exit of the interpreter ----------------------------------------------

    def on_exit(self) -> bool:
        """Begin to stop because the interpreter exits; False if work still runs."""
        # What may run on after a signal has ended by now, as without one.
        self.exiting = True
        notifier, current = self._notifier, self._elector.current
        dispatcher, loop = notifier.dispatcher, notifier.loop
        if dispatcher is not None and loop is not None and not loop.is_running():
            notifier.detach(dispatcher)
            notifier.dispatcher = None  # handlers can be called no more
        if current is not None:
            current.work.drop_if(_has_ended_at_exit)
        self._stop()
        return current is None or not any(h.is_work for h in current.work.alive)

    def threads_at_work(self) -> tuple[threading.Thread, ...]:
        """Return the threads that are no daemons and run work which holds the term."""
        return threads_of(self._alive)

    def warn(self, text: str) -> None:
        """Log what people should know of the exit."""
        self._notifier.event_log.say("warning", "%s: %s", self._elector.where, text)

    def is_left_to_exit(self) -> bool:
        """
        Return whether the main thread asks, and only what it left behind is still alive.

        It does not wait for that in ``stop()``: threads of a pool may only end at the
        exit of the interpreter, which that wait would put off for ever.
        """
        alive = self._alive if is_main_thread() else ()
        return bool(alive) and all(hold.left is not None for hold in alive)

    @property
    def _alive(self) -> tuple[WorkItem, ...]:
        current = self._elector.current
        return () if current is None else current.work.alive


_said_no_signals = False


def _has_ended_at_exit(hold: WorkItem) -> bool:
    idle = hold.loop is not None and not hold.loop.is_running()
    # Between the calls that enter and leave a scope, Ctrl-C ended the main thread. A
    # scope that it did enter and never left may still be that of other threads (G5).
    cut = not hold.may_work and hold.thread == threading.main_thread().ident
    return idle or cut or hold.what == AFTER_SIGNAL
