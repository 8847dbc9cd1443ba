"""What a signal, or the exit of the interpreter, does to one elector."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.lifecycle.leftover_threads import (
    MOST_CAUSES,
    OURS,
    living,
    threads_of,
)
from kubernetes_leader_election.lifecycle.notifier import Notifier
from kubernetes_leader_election.lifecycle.status import Status
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem
from kubernetes_leader_election.process.asyncio_here import other_tasks
from kubernetes_leader_election.process.exit import shared_exit
from kubernetes_leader_election.process.signal_handlers import is_main_thread
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
        self._alone = False
        """Whether only the main thread may work, which that signal ends at once."""
        self._stop_called = False
        """Whether the main thread said since that nothing of it goes on."""
        self._wait: WorkItem | None = None
        """What holds the term after that signal."""
        self._threads: frozenset[int] = frozenset()
        """The native identifiers of the threads that ran when this life began."""
        self.exiting = False
        """Whether the interpreter exits, and is never to run again."""

    def begin(self) -> None:
        """Forget the signal that ended the last life."""
        self._signalled_at = self._wait = None
        self._alone = self._stop_called = False
        self._threads = _running_threads()

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
            self._notifier.event_log.say(
                "warning",
                "auto_close has no effect: only the main thread can catch signals, and "
                "no elector was started there. Call stop() when the program is to end, "
                "or pass auto_close=False.",
            )

    # A signal -----------------------------------------------------------------

    @property
    def grace(self) -> float:
        """Seconds that work may take to end in a planned stop; infinite: for ever."""
        return self._elector.grace

    @property
    def request_timeout(self) -> float:
        """Seconds that one request may take, that of the release as well."""
        return self._elector.settings.request_timeout_sec

    @property
    def signalled(self) -> bool:
        """Whether a signal ends, or has ended, this life."""
        return self._signalled_at is not None

    def on_signal(self, *, ends_main_thread: bool) -> None:
        """Begin to stop because of a signal. The thread of the signals."""
        self._signalled_at = time.monotonic()
        if ends_main_thread:
            count = self._notifier.handlers.count
            self._alone = (
                self._elector.give_up_untold()
                and not count(EVENTS.LEADERSHIP_ACQUIRED)
                and not count(EVENTS.LEADERSHIP_LOST)
                and not self._began_since()
            )
        text, grace = "%s: stopping because of a signal", self.grace
        if any(hold.is_work for hold in self._alive):
            given = "as long as it likes" if grace == float("inf") else f"{grace:g} s"
            text += f"; the work has {given} to end, and a second signal does not wait"
        self._notifier.event_log.say("info", text, self._elector.where)
        self._stop()

    def time_left(self) -> float:
        """Return the seconds until work is to be ended: never past what is held (G2)."""
        if self._signalled_at is None:
            return self.grace
        left = self.grace - (time.monotonic() - self._signalled_at)
        return min(left, self.time_held())

    def time_held(self) -> float:
        """Return the seconds until the term is lost (G2); infinite: there is none."""
        held = self._elector.current is not None
        return self._elector.remaining() if held else float("inf")

    def is_of_main_thread_alone(self) -> bool:
        """Return whether the signal may end the main thread at once: no other works."""
        # What has no thread of its own is in a coroutine. It ends by itself, also at a
        # loss, which cancels it.
        on_its_loop = any(h.is_work and h.thread is None for h in self._alive)
        return self._alone and not on_its_loop and not self.holds_main_thread()

    def _began_since(self) -> bool:
        """Return whether a thread runs that was started in this life, and is not ours."""
        main = threading.main_thread()
        return any(
            thread.native_id not in self._threads
            for thread in threading.enumerate()
            if thread is not main and not thread.name.startswith(OURS)
        )

    def hold_after_signal(self, work: TermWork) -> None:
        """Hold a term that a signal ended, for what may go on and nobody knows of."""
        if self._signalled_at is None or work.had_scope or self._elector.assumed:
            return
        if self.exiting or self._stop_called:
            return
        # Who uses events only may still be stopping what a handler began. And what the
        # signal ends in the main thread has the grace for that, until the exit.
        self._wait = wait = work.hold_late(
            "the stop budget after a signal", is_wait=True
        )
        self._end_after(wait, self.grace if self._alone else self._elector.stop_budget)
        if self._stop_called:
            wait.end()  # said meanwhile, in another thread than this one

    def _end_after(self, wait: WorkItem, seconds: float) -> None:
        """End a hold so many seconds after the signal."""
        assert self._signalled_at is not None  # noqa: S101 - nothing else makes one
        left = self._signalled_at + seconds - time.monotonic()
        if left != float("inf"):
            shared_timers().call_later(max(0.0, left), wait.end)

    def on_stop_called(self) -> None:
        """Note that the application calls ``stop()``: the main thread works no more."""
        if not self._alone:
            return
        untold = self._elector.is_untold
        if untold and is_main_thread() and not self._goes_on_beside():
            self._stop_called = True
            if self._wait is not None:
                self._wait.end()
        elif self._wait is not None:
            self._end_after(self._wait, self._elector.stop_budget)

    def _goes_on_beside(self) -> bool:
        """Return whether a thread or task goes on that the main thread may have begun."""
        main = threading.main_thread()
        return any(not name.startswith(OURS) for name in other_tasks()) or any(
            not thread.daemon and thread is not main for thread in living()
        )

    # Handlers of signals ------------------------------------------------------

    def look_at_signals(self) -> None:
        """Tell of signals that others handle now. The engine's thread."""
        if self._elector.settings.auto_close:
            for text in shared_auto_close().new_owners():
                self.warn(text)

    def works_in_main_thread(self) -> bool:
        """Return whether work runs in the main thread, outside any event loop."""
        return any(hold.is_work for hold in self._of_main_thread())

    def holds_main_thread(self) -> bool:
        """Return whether the main thread is in a guard or a hold, and the Lease held."""
        held = any(h.is_work and not h.is_scope for h in self._of_main_thread())
        return held and self.time_held() > 0.0

    def on_hold_ended(self) -> None:
        """Have a signal go its way that waits for the end of a guard or a hold."""
        if self.signalled:
            shared_auto_close().look_again()

    def _of_main_thread(self) -> list[WorkItem]:
        main = threading.main_thread().ident
        return [hold for hold in self._alive if hold.thread == main]

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
            alone = not _others_run()
            current.work.drop_if(lambda hold: _has_ended_at_exit(hold, alone))
        self._stop()
        return current is None or not any(h.is_work for h in current.work.alive)

    def threads_at_work(self) -> tuple[threading.Thread, ...]:
        """Return the threads that are no daemons and run work which holds the term."""
        return threads_of(self._alive)

    def warn(self, text: str) -> None:
        """Log what people should know."""
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


def _running_threads() -> frozenset[int]:
    """
    Return the native identifiers of the threads of this process; empty: not known.

    Not by ``threading.enumerate()``, which takes a lock: a handler of signals that stops
    an elector in there waits for the engine, and that for the lock to start a thread.
    """
    with suppress(OSError):  # no Linux, or no /proc
        return frozenset(int(name) for name in os.listdir("/proc/self/task"))  # noqa: PTH208 - pathlib costs each pod 2 ms
    return frozenset()


def _others_run() -> bool:
    """Return whether a thread runs beside the main one and those of electors."""
    main, before = threading.main_thread(), threading.enumerate()
    running = sys._current_frames().keys()  # noqa: SLF001 - documented, and also those that were started without `threading`
    seen = (*before, *threading.enumerate())  # one may begin or end meanwhile
    return not running <= {
        t.ident for t in seen if t is main or t.name.startswith(OURS)
    }


def _has_ended_at_exit(hold: WorkItem, alone: bool) -> bool:  # noqa: FBT001 - a private helper's
    idle = hold.loop is not None and not hold.loop.is_running()
    of_main_thread = hold.thread == threading.main_thread().ident
    # Between the calls that enter and leave a scope, Ctrl-C ended the main thread. One
    # that it entered and never left may still be that of other threads, if there are
    # any, or of who leaves it later, as another handler of `atexit` (G5). If neither,
    # Ctrl-C came after the body, before the first step of leaving.
    never_left = alone and not _can_be_left(hold)
    cut = of_main_thread and (never_left or not hold.may_work)
    return idle or cut or hold.is_wait


def _can_be_left(hold: WorkItem) -> bool:
    """Return whether somebody still has the block of a hold, and so may leave it."""
    block = None if hold.block is None else hold.block()
    if block is None:
        return hold.block is None  # of that nothing is known
    # Python keeps the frames of the exception that ended the main thread.
    error = getattr(sys, "last_value", None)
    for _ in range(MOST_CAUSES):
        if error is None:
            break
        for frame, _line in traceback.walk_tb(error.__traceback__):
            if (
                frame.f_code.co_name == "__exit__"
                and frame.f_locals.get("self") is block
            ):
                return False
        error = error.__context__
    return True
