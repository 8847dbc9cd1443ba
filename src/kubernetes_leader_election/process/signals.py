"""
``auto_close``: stop the electors of this process on SIGINT and SIGTERM.

One handler for the process. It runs in the main thread between any two bytecodes, so
it takes no lock: it puts the signal into a queue, calls the Python handler that was
there before, and wakes the event loop. A thread reads the queue, asks the electors to
stop, and when they have stopped sends the signal once more, if its action was the
default one: a signal that comes while one is pending does not wait, it ends the main
thread, so that ``finally`` and exit handlers run (also as process 1, whom the kernel's
own default action does not end).

What ``asyncio.run()`` does at SIGINT counts as a default action, though it is a Python
handler: it cancels the main task and with it the loop, on which lost handlers and the
work of acquired handlers have yet to end. It comes after the stop, and only then.
"""

from __future__ import annotations

import functools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Protocol, TypeGuard

from kubernetes_leader_election.process.fork import (
    PerProcess,
    Process,
    on_child,
    this_process,
)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""Node package: SIGINT and SIGTERM."""

PATIENCE: Final = 1.0
"""Seconds that a thread waits for a signal that is about to end it."""

_Action = Callable[[int, FrameType | None], Any] | int | None


class Watched(Protocol):
    """An elector, as far as signals are concerned."""

    @property
    def stop_budget(self) -> float:
        """Seconds that work may need to stop."""
        ...

    def on_signal(self) -> None:
        """Begin to stop; called on a thread that may wait a little."""
        ...

    def works_in_main_thread(self) -> bool:
        """Return whether work runs in the main thread that an exception would end."""
        ...


class AutoClose:
    """Know who is to be stopped by a signal, and see to what the signal did before."""

    def __init__(self) -> None:
        # No lock, as for timers: the engine's thread comes here, and a handler from
        # before may call stop() in the middle of start(). Each step on a set is one.
        self._watched: set[Watched] = set()
        self._closing: set[Watched] = set()
        self._earlier: dict[int, _Action] = {}
        self._inbox: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._passing_on: set[int] = set()
        self._pending: int | None = None
        self._budget = 0.0
        self._loop: Any = None
        self._retired = False
        self.endings = 0
        """How often an exception of ours was raised in the main thread, to end it."""
        self._process = this_process()

    # Any thread ---------------------------------------------------------------

    def watch(self, elector: Watched) -> bool:
        """
        Stop ``elector`` on a signal.

        Returns False when signals are not caught: Python lets only the main thread
        ask for them, and another elector of the process has not done so.
        """
        self._watched.add(elector)
        if _is_main_thread():
            self._loop = _running_loop() or self._loop
            self._install()
        return bool(self._earlier)

    def forget(self, elector: Watched) -> None:
        """Note that ``elector`` has stopped."""
        self._watched.discard(elector)
        self._closing.discard(elector)
        self._inbox.put(None)

    def wake_main_thread(self) -> None:
        """
        Have the event loop there look for signals.

        Python sees a signal only between bytecodes: one that comes when the thread is
        about to wait in the kernel is seen when that wait ends, and not before.
        """
        _wake(self._loop)

    @property
    def ends_this_thread(self) -> bool:
        """Return whether this is the main thread, and a signal is about to end it."""
        due = self._pending is not None and not self._closing
        return due and _is_main_thread()

    @property
    def longest_wait(self) -> float:
        """Return the seconds until a signal ends this thread at most; 0.0 if it does not."""
        due = self._pending is not None and _is_main_thread()
        return self._budget + PATIENCE if due else 0.0

    # The main thread ----------------------------------------------------------

    def take_back(self) -> None:
        """Put the earlier handlers back where ours still stand and nobody needs them."""
        if not _is_main_thread():
            return
        if not self._watched and self._pending is None:
            self._uninstall()

    def retire(self) -> None:
        """Stop ending the main thread: the interpreter is exiting by itself."""
        self._retired = True

    def _install(self) -> None:
        for number in SIGNALS:
            earlier = signal.getsignal(number)
            if earlier is _end_process:
                earlier = signal.SIG_DFL  # which it stands for
            # Ignored on purpose by the parent (nohup, a shell's background job), or
            # set by C code that could not be called: not ours to change.
            if earlier in (self._on_signal, signal.SIG_IGN, None):
                continue
            if self._thread is None:
                thread = threading.Thread(
                    target=self._serve, name="leader-election-signals", daemon=True
                )
                thread.start()
                self._thread = thread  # not one that could not be started
            # First, as the signal may come at once.
            self._earlier[number] = earlier
            try:
                signal.signal(number, self._on_signal)
            except ValueError:
                del self._earlier[number]
                return  # a subinterpreter has a main thread, too, but no signals

    def _uninstall(self) -> None:
        for number, earlier in tuple(self._earlier.items()):
            if signal.getsignal(number) == self._on_signal:
                over = _is_of_asyncio(earlier) and not _can_cancel(earlier)
                # What asyncio itself puts back when its main task has ended.
                given = signal.default_int_handler if over else earlier
                signal.signal(number, given)
            self._earlier.pop(number, None)  # a handler of signals was here meanwhile

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._process.is_copy:
            # A child that Python was not told of: no thread of ours lives on in it.
            earlier = self._earlier.get(number, signal.SIG_DFL)
            self.undo_in_child()
            if callable(earlier):
                earlier(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        if number in self._passing_on:
            return  # the earlier handler calls the one before it, and that is ours
        earlier = self._earlier.get(number, signal.SIG_DFL)
        if (
            callable(earlier)
            and earlier is not signal.default_int_handler
            and not _is_of_asyncio(earlier)
        ):
            self._inbox.put(number)
            self._passing_on.add(number)
            try:
                earlier(number, frame)
            finally:
                self._passing_on.discard(number)
                _wake(_running_loop())
            return
        if self._retired:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            _end_process(number, frame)  # process 1, which that does not end
        elif self._pending is not None or not self._watched:
            self._end_main_thread(number, frame)
        else:
            self._pending = number
            self._inbox.put(number)
            _wake(_running_loop())

    def _end_main_thread(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal would have done without us, so that ``finally`` runs."""
        earlier = self._earlier.get(number)
        self._pending = None
        self._inbox.put(None)  # the next signal is another one
        self._uninstall()
        if number == signal.SIGTERM and os.getpid() == 1:
            # The kernel's default action does not end process 1, and the exit may wait
            # for threads that go on: a further signal ends it, as it does any other.
            signal.signal(number, _end_process)
        if _is_of_asyncio(earlier) and _can_cancel(earlier):
            earlier(number, frame)
            return  # the next one comes to asyncio itself, and is KeyboardInterrupt
        self.endings += 1
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    # A thread of its own ------------------------------------------------------

    def _serve(self) -> None:
        give_up_at: float | None = None
        asked = sent = False
        while True:
            wait = None
            if give_up_at is not None:
                wait = max(0.0, give_up_at - time.monotonic())
            try:
                number = self._inbox.get(timeout=wait)
            except queue.Empty:
                number = None
            if number is not None and (self._close_all() or give_up_at is None):
                give_up_at = time.monotonic() + self._budget
            if self._pending is None or number is not None:
                sent = False
            asked = self._pending is not None and (asked or number is not None)
            if self._pending is None:
                give_up_at = None
            elif not asked:
                continue  # an elector ended; the signal itself is still to be taken
            elif not self._closing or (
                give_up_at is not None and time.monotonic() >= give_up_at
            ):
                overdue_work, give_up_at = bool(self._closing), None
                # Once: a second one would come to what was there before ours.
                if not sent and (not overdue_work or self._is_main_thread_working()):
                    sent = True
                    self._send_again(self._pending)

    def _close_all(self) -> bool:
        """Ask all electors to stop that were not asked yet; tell whether there were any."""
        # Older ones may still be stopping: since an earlier signal, which the
        # program has met by going on.
        asked = tuple(self._watched - self._closing)
        self._closing = closing = set(self._watched)
        closing &= (
            self._watched
        )  # less those that ended since, and are not told of again
        self._budget = max((e.stop_budget for e in tuple(closing)), default=0.0)
        for elector in asked:
            elector.on_signal()
        return bool(asked)

    def _is_main_thread_working(self) -> bool:
        # Work in the main thread that does not look at `term.lost` is ended by the
        # exception itself, and only so.
        closing = tuple(self._closing)
        return any(elector.works_in_main_thread() for elector in closing)

    def _send_again(self, number: int) -> None:
        main = threading.main_thread()
        if self._retired or main.ident is None or not main.is_alive():
            return
        # To the main thread itself: that interrupts whatever it waits in.
        signal.pthread_kill(main.ident, number)
        self.wake_main_thread()  # or what it was just about to wait in

    # A child process ----------------------------------------------------------

    def undo_in_child(self) -> None:
        """Fault 15: in a child, signals do again what they did before."""
        if _is_main_thread():
            self._uninstall()


def _end_process(number: int, _frame: FrameType | None) -> None:
    """End the process at once, as the default action of a signal does."""
    os._exit(128 + number)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_of_asyncio(action: _Action) -> TypeGuard[functools.partial[Any]]:
    """
    Return whether this is what ``asyncio.run()``, or a Runner, does at SIGINT.

    The name is private: in a Python that knows it no more, such a handler is taken for
    one like any other, and called at once.
    """
    runners = sys.modules.get("asyncio.runners")
    own = getattr(getattr(runners, "Runner", None), "_on_sigint", None)
    return (
        own is not None
        and isinstance(action, functools.partial)
        and getattr(action.func, "__func__", None) is own
        and "main_task" in action.keywords
    )


def _can_cancel(action: functools.partial[Any]) -> bool:
    """Return whether asyncio's main task is there to be cancelled, or has ended."""
    task = action.keywords["main_task"]
    return not task.done() and task.get_loop().is_running()


def _running_loop() -> Any:
    """Return the event loop that runs in this thread, if any."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wake(loop: Any) -> None:
    """
    Wake an event loop: a Python handler does not do that.

    After the handler, the loop waits on in ``select`` for the rest of its time, with
    whatever the handler scheduled still undone.
    """
    if loop is not None and loop.is_running():
        with suppress(RuntimeError):  # closed meanwhile
            loop.call_soon_threadsafe(_nothing)


def _nothing() -> None:
    """Be called."""


shared_auto_close: Final = PerProcess(AutoClose)
"""Return the one of this process."""


def _after_fork_in_child(parent: Process) -> None:
    inherited = shared_auto_close.of(parent)
    if inherited is not None:
        inherited.undo_in_child()


on_child(_after_fork_in_child)
