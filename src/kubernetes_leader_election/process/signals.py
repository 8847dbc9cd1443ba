"""
``auto_close``: stop the electors of this process on SIGINT and SIGTERM.

Theory of operation
-------------------
One handler for the process, and one table of states for the signal that is on its way.
A signal whose action was the default one is CAUGHT; a thread asks the electors to stop
(STOPPING), and when they have stopped it is SENT once more, so that it ends the main
thread. It is SENT at once where nobody but the main thread may work: the exception is
what ends that. When the grace is over first, or the Lease is lost, it is SENT where work
in the main thread is what does not end; else it is OVERDUE, and waits. The grace does not
end a guard or a hold in the main thread, nor a scope around one: only a loss does. A signal that
comes while one is on its way does not wait: it ends the main thread, by an exception, so
that ``finally`` and exit handlers run (also as process 1, whom the kernel's own default
action does not end). EXITING: the interpreter exits by itself.

A Python handler from before is called at once, in every state; it decides about the
end, and the electors stop beside it. Such a one stands also for what a program added by
``loop.add_signal_handler()``: itself it does nothing, as the loop hears of the signal by
a descriptor. What ``asyncio.run()`` does at SIGINT counts as a
default action, though it is a Python handler: it cancels the main task and with it the
loop, on which lost handlers and the work of acquired handlers have yet to end. It
comes after the stop, and only then.

**No lock is waited for.** The handler runs in the main thread between any two bytecodes,
also in the middle of what is here. So each field has one writer, or is a set whose single
steps are atomic, and the handler tells the thread by a queue that may be entered anew.

What handlers stand is known in :mod:`.signal_handlers`; what becomes of a signal that the
main thread does not meet by itself, in :mod:`.missed_signals`; who asks and sends is
:mod:`.signal_thread`; what ends the main thread is made in :mod:`.signal_exceptions`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, Final

from kubernetes_leader_election.process.asyncio_here import (
    can_cancel,
    is_of_asyncio,
    running_loop,
    wake,
)
from kubernetes_leader_election.process.fork import (
    PerProcess,
    Process,
    on_child,
    this_process,
)
from kubernetes_leader_election.process.signal_exceptions import (
    Ending,
    SignalExceptions,
)
from kubernetes_leader_election.process.signal_handlers import (
    SignalHandlers,
    end_process,
    is_main_thread,
    is_of_the_program,
)
from kubernetes_leader_election.process.signal_table import (
    TABLE,
    Action,
    Fact,
    State,
)
from kubernetes_leader_election.process.signal_thread import SignalThread, Watched


class AutoClose:
    """Know who is to be stopped by a signal, and decide what each one does."""

    def __init__(self) -> None:
        # No lock, as for timers: the engine's thread comes here, and a handler from
        # before may call stop() in the middle of start(). Each step on a set is one.
        self._watched: set[Watched] = set()
        """The electors that run, and a signal stops. Any thread."""
        self._thread = SignalThread(self._watched)
        """What asks the electors to stop, and sends a signal once more."""
        self._handlers = SignalHandlers(self._on_signal, wake=self._thread.wake_loop)
        """Where ours stand, and what was there before."""
        self._exceptions = SignalExceptions(dropped=self._on_dropped)
        """What ends the main thread."""
        self._handing_on: set[int] = set()
        """Signals whose handler from before is being called. The main thread."""
        self._process = this_process()
        """The process that this was made in. Never changes."""

    @property
    def state(self) -> State:
        """Return how far a signal is on its way."""
        return self._thread.state

    @property
    def endings(self) -> int:
        """How often an exception of ours has ended the main thread."""
        return self._exceptions.raised

    # Any thread ---------------------------------------------------------------

    def watch(self, elector: Watched) -> bool:
        """
        Stop ``elector`` on a signal.

        Returns False when signals are not caught: Python lets only the main thread
        ask for them, and another elector of the process has not done so.
        """
        self._watched.add(elector)
        if is_main_thread():
            self._handlers.install(before=self._thread.begin)
            loop = running_loop()
            if loop is not None:
                self._thread.wake_also(loop)
        return self._handlers.any_installed

    def forget(self, elector: Watched) -> None:
        """Note that ``elector`` has stopped."""
        self._watched.discard(elector)
        self._thread.forget(elector)

    def look_again(self) -> None:
        """Have the thread look whether a time is over: of a Lease, or a hold."""
        self._thread.look_again()

    def new_owners(self) -> list[str]:
        """Say which of the signals others own that were ours, as far as that is news."""
        return self._handlers.new_owners()

    def longest_wait(self, *, stopped: bool = False) -> float:
        """
        Return how long to wait here for a signal that is about to end this thread.

        Args:
            stopped: whether this is asked after a stop. The signal is then about to come
                if all electors have stopped, and within a moment.

        Returns:
            Seconds at most: the grace and a moment; 0.0: no signal ends this thread.

        """
        return self._thread.longest_wait(stopped=stopped) if is_main_thread() else 0.0

    # The main thread ----------------------------------------------------------

    def take_back(self) -> None:
        """Put the earlier handlers back where ours still stand and nobody needs them."""
        if is_main_thread() and not self._watched and not self._thread.has_delivery:
            self._handlers.give_back()

    def handlers_kept(self) -> AbstractContextManager[None]:
        """Put our handlers back after work that replaced them."""
        return self._handlers.kept()

    def retire(self) -> None:
        """Stop ending the main thread: the interpreter is exiting by itself."""
        self._thread.retire()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        earlier = self._handlers.earlier(number)
        if self._process.is_copy:
            # A child that Python was not told of: no thread of ours lives on in it.
            self.undo_in_child()
            if callable(earlier):
                earlier(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        self._handlers.met()  # not in a child: what is met is told through a pipe
        if number in self._handing_on:
            return  # the earlier handler calls the one before it, and that is ours
        if is_of_the_program(earlier):
            fact = Fact.SIGNAL_WITH_EARLIER_HANDLER
        else:
            fact = Fact.SIGNAL if self._watched else Fact.SIGNAL_FOR_NOBODY
        match TABLE[self.state, fact][1]:
            case Action.ASK:
                self._thread.catch(number)
                wake(running_loop())
            case Action.HAND_ON:
                assert callable(earlier)  # noqa: S101 - as was asked above
                self._hand_on(number, frame, earlier)
            case Action.END_MAIN_THREAD:
                self._end_main_thread(number, frame)
            case Action.END_PROCESS:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
                end_process(number, frame)  # process 1, which that does not end

    def _hand_on(
        self,
        number: int,
        frame: FrameType | None,
        earlier: Callable[[int, FrameType | None], Any],
    ) -> None:
        """Have the electors stop beside what the program does about its signal."""
        self._thread.ask(number)
        self._handing_on.add(number)
        try:
            earlier(number, frame)
        finally:
            self._handing_on.discard(number)
            wake(running_loop())

    def _end_main_thread(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal would have done without us, so that ``finally`` runs."""
        earlier = self._handlers.earlier(number)
        if not self._thread.end():
            return  # one more is being sent, and this is the end of it
        self._handlers.give_back()
        if number == signal.SIGTERM and os.getpid() == 1:
            # The kernel's default action does not end process 1, and the exit may wait
            # for threads that go on: a further signal ends it, as it does any other.
            signal.signal(number, end_process)
        if is_of_asyncio(earlier) and can_cancel(earlier):
            earlier(number, frame)
            return  # the next one comes to asyncio itself, and is KeyboardInterrupt
        self._exceptions.end_main_thread(number, earlier)

    def _on_dropped(self, ending: Ending) -> None:
        """Have a signal sent once more whose exception was dropped."""
        self._handlers.install_again(ending.number, ending.earlier)
        self._thread.send_soon(ending.number)

    # A child process ----------------------------------------------------------

    def undo_in_child(self) -> None:
        """Fault 15: in a child, signals do again what they did before."""
        if is_main_thread():
            self._handlers.give_back()


shared_auto_close: Final = PerProcess(AutoClose)
"""Return the one of this process."""


def _after_fork_in_child(parent: Process) -> None:
    inherited = shared_auto_close.of(parent)
    if inherited is not None:
        inherited.undo_in_child()


on_child(_after_fork_in_child)
