"""
``auto_close``: stop the electors of this process on SIGINT and SIGTERM.

Theory of operation
-------------------
One handler for the process, and one table of states for the signal that is on its way.
A signal whose action was the default one is CAUGHT; a thread asks the electors to stop
(STOPPING), and when they have stopped it is SENT once more, so that it ends the main
thread. When the stop budget is over first, it is SENT where work in the main thread is
what does not end, as only the exception ends that; else it is OVERDUE, and waits. A
signal that comes while one is on its way does not wait: it ends the main thread, by an
exception, so that ``finally`` and exit handlers run (also as process 1, whom the
kernel's own default action does not end). EXITING: the interpreter exits by itself.

A Python handler from before is called at once, in every state; it decides about the
end, and the electors stop beside it. Such a one stands also for what a program added by
``loop.add_signal_handler()``: itself it does nothing, as the loop hears of the signal by
a descriptor. What ``asyncio.run()`` does at SIGINT counts as a
default action, though it is a Python handler: it cancels the main task and with it the
loop, on which lost handlers and the work of acquired handlers have yet to end. It
comes after the stop, and only then.

Python drops an exception that comes up in a callback of a weak reference, as imports
have them, or in ``__del__``. One of ours that is dropped there is not the end of it:
the signal is sent once more, a moment later, until it ends the thread.

**No lock.** The handler runs in the main thread between any two bytecodes, also in the
middle of what is here. So each field has one writer, or is a set whose single steps
are atomic, and the handler tells the thread by a queue that may be entered anew.
"""

from __future__ import annotations

import enum
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol

from kubernetes_leader_election.process import limits
from kubernetes_leader_election.process.asyncio_here import (
    SignalWakeUps,
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

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""Node package: SIGINT and SIGTERM."""

PAUSE: Final = 0.01
"""Seconds until a signal is sent once more whose exception was dropped."""

_MARK: Final = "_ends_main_thread"
"""Where an exception of ours says which one it is."""

_Action = Callable[[int, FrameType | None], Any] | int | None


class State(enum.Enum):
    """How far a signal is on its way; one at a time in a process."""

    AT_REST = "at rest"
    CAUGHT = "caught"
    STOPPING = "stopping"
    OVERDUE = "overdue"
    SENT = "sent once more"
    EXITING = "exiting"


class Fact(enum.Enum):
    """What has happened."""

    SIGNAL = "signal"
    SIGNAL_FOR_NOBODY = "signal while no elector runs"
    SIGNAL_WITH_EARLIER_HANDLER = "signal with a Python handler from before"
    ASKED = "electors were asked"
    STOPPED = "electors have stopped"
    MAIN_THREAD_LATE = "stop budget over in the main thread"
    OTHERS_LATE = "stop budget over elsewhere"
    EXIT = "the interpreter exits"


class Action(enum.Enum):
    """What is done about it."""

    NONE = ""
    ASK = "ask the electors to stop"
    HAND_ON = "ask the electors to stop and call that handler"
    END_MAIN_THREAD = "end the main thread"
    SEND = "send it once more"
    END_PROCESS = "end the process"


S, F, A = State, Fact, Action

_CHANGES: Final[dict[tuple[State, Fact], tuple[State, Action]]] = {
    (S.AT_REST, F.SIGNAL): (S.CAUGHT, A.ASK),
    (S.AT_REST, F.SIGNAL_FOR_NOBODY): (S.AT_REST, A.END_MAIN_THREAD),
    # Before this, the end of one elector could be taken for the end of all.
    (S.CAUGHT, F.ASKED): (S.STOPPING, A.NONE),
    (S.STOPPING, F.STOPPED): (S.SENT, A.SEND),
    # Work there that does not look at `term.lost` is ended by the exception alone.
    (S.STOPPING, F.MAIN_THREAD_LATE): (S.SENT, A.SEND),
    (S.STOPPING, F.OTHERS_LATE): (S.OVERDUE, A.NONE),
    (S.OVERDUE, F.ASKED): (S.STOPPING, A.NONE),
    (S.OVERDUE, F.STOPPED): (S.SENT, A.SEND),
    (S.EXITING, F.SIGNAL): (S.EXITING, A.END_PROCESS),
    (S.EXITING, F.SIGNAL_FOR_NOBODY): (S.EXITING, A.END_PROCESS),
    # The one that was sent once more, or another: neither waits.
    **{
        (state, fact): (S.AT_REST, A.END_MAIN_THREAD)
        for state in (S.CAUGHT, S.STOPPING, S.OVERDUE, S.SENT)
        for fact in (F.SIGNAL, F.SIGNAL_FOR_NOBODY)
    },
}

_STAYS: Final[dict[tuple[State, Fact], tuple[State, Action]]] = {
    # By a signal with a handler from before, which comes beside this one.
    (S.STOPPING, F.ASKED): (S.STOPPING, A.NONE),
    # Not once more again: that would come to what was there before our handler.
    (S.SENT, F.ASKED): (S.SENT, A.NONE),
}

TABLE: Final[dict[tuple[State, Fact], tuple[State, Action]]] = {
    **_CHANGES,
    **_STAYS,
    # What the program installed itself is never kept from it.
    **{(state, F.SIGNAL_WITH_EARLIER_HANDLER): (state, A.HAND_ON) for state in S},
    **{(state, F.EXIT): (S.EXITING, A.NONE) for state in S},
}
"""What follows, and what is done; a pair that is not here cannot be met."""


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


class Delivery:
    """A signal on its way: made and dropped in the main thread, moved on by another."""

    __slots__ = ("give_up_at", "number", "state")

    def __init__(self, number: int) -> None:
        self.number = number
        """Which signal. Never changes."""
        self.state = State.CAUGHT
        """How far it is. Written by the thread of the signals alone."""
        self.give_up_at = 0.0
        """When the stop budget is over (CLOCK_MONOTONIC). That thread, too."""


class Ending(NamedTuple):
    """An exception by which a signal ends the main thread."""

    number: int
    """Of the signal."""
    earlier: _Action
    """What the signal did before our handler."""


class AutoClose:
    """Know who is to be stopped by a signal, and see to what the signal did before."""

    def __init__(self) -> None:
        # No lock, as for timers: the engine's thread comes here, and a handler from
        # before may call stop() in the middle of start(). Each step on a set is one.
        self._watched: set[Watched] = set()
        """The electors that run, and a signal stops. Any thread."""
        self._closing: set[Watched] = set()
        """Those that were asked to stop and have not. The thread; any takes out its own."""
        self._earlier: dict[int, _Action] = {}
        """What each signal did before our handler. The main thread."""
        self._inbox: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        """
        Signals for the thread; one less than 0 is to be sent once more. None: look again.
        Any thread.
        """
        self._thread: threading.Thread | None = None
        """What reads that. The main thread."""
        self._handing_on: set[int] = set()
        """Signals whose handler from before is being called. The main thread."""
        self._delivery: Delivery | None = None
        """The signal that is on its way, if one is. The main thread."""
        self._budget = 0.0
        """Seconds: the longest stop budget of those that were asked last. The thread."""
        self._loop: Any = None
        """The event loop of the main thread, if it had one in start(). The main thread."""
        self._wake_ups = SignalWakeUps()
        """What has that loop see a signal at once. The main thread."""
        self._exiting = False
        """Whether the interpreter exits by itself. The main thread."""
        self.endings = 0
        """How often an exception of ours has ended the main thread. The main thread."""
        self._ending: Ending | None = None
        """The newest of them. The main thread."""
        self._earlier_hook: Callable[[sys.UnraisableHookArgs], Any] | None = None
        """What heard of dropped exceptions before us. The main thread."""
        self._process = this_process()
        """The process that this was made in. Never changes."""

    @property
    def state(self) -> State:
        """Return how far a signal is on its way."""
        if self._exiting:
            return State.EXITING
        delivery = self._delivery
        return State.AT_REST if delivery is None else delivery.state

    # Any thread ---------------------------------------------------------------

    def watch(self, elector: Watched) -> bool:
        """
        Stop ``elector`` on a signal.

        Returns False when signals are not caught: Python lets only the main thread
        ask for them, and another elector of the process has not done so.
        """
        self._watched.add(elector)
        if _is_main_thread():
            self._install()
            loop = running_loop()
            if loop is not None:
                self._loop = loop
                if self._earlier:
                    self._wake_ups.begin(loop)
        return bool(self._earlier)

    def forget(self, elector: Watched) -> None:
        """Note that ``elector`` has stopped."""
        self._watched.discard(elector)
        self._closing.discard(elector)
        self._inbox.put(None)

    def longest_wait(self, *, stopped: bool = False) -> float:
        """
        Return how long to wait here for a signal that is about to end this thread.

        Args:
            stopped: whether this is asked after a stop. The signal is then about to come
                if all electors have stopped, and within a moment.

        Returns:
            Seconds at most: the stop budget and a moment; 0.0: no signal ends this thread.

        """
        on_its_way = self.state not in {State.AT_REST, State.EXITING}
        if not on_its_way or not _is_main_thread():
            return 0.0
        if not stopped:
            return limits.after_signal(self._budget)
        return 0.0 if self._closing else limits.MOMENT

    # The main thread ----------------------------------------------------------

    def take_back(self) -> None:
        """Put the earlier handlers back where ours still stand and nobody needs them."""
        if not _is_main_thread():
            return
        if not self._watched and self._delivery is None:
            self._uninstall()

    def retire(self) -> None:
        """Stop ending the main thread: the interpreter is exiting by itself."""
        self._exiting = True  # from any state, as the table says

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
        self._wake_ups.end()
        for number, earlier in tuple(self._earlier.items()):
            if signal.getsignal(number) == self._on_signal:
                over = is_of_asyncio(earlier) and not can_cancel(earlier)
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
        if number in self._handing_on:
            return  # the earlier handler calls the one before it, and that is ours
        earlier = self._earlier.get(number, signal.SIG_DFL)
        if (
            callable(earlier)
            and earlier is not signal.default_int_handler
            and not is_of_asyncio(earlier)
        ):
            fact = Fact.SIGNAL_WITH_EARLIER_HANDLER
        else:
            fact = Fact.SIGNAL if self._watched else Fact.SIGNAL_FOR_NOBODY
        match TABLE[self.state, fact][1]:
            case Action.ASK:
                self._delivery = Delivery(number)
                self._inbox.put(number)
                wake(running_loop())
            case Action.HAND_ON:
                assert callable(earlier)  # noqa: S101 - as was asked above
                self._hand_on(number, frame, earlier)
            case Action.END_MAIN_THREAD:
                self._end_main_thread(number, frame)
            case Action.END_PROCESS:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
                _end_process(number, frame)  # process 1, which that does not end

    def _hand_on(
        self,
        number: int,
        frame: FrameType | None,
        earlier: Callable[[int, FrameType | None], Any],
    ) -> None:
        """Have the electors stop beside what the program does about its signal."""
        self._inbox.put(number)
        self._handing_on.add(number)
        try:
            earlier(number, frame)
        finally:
            self._handing_on.discard(number)
            wake(running_loop())

    def _end_main_thread(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal would have done without us, so that ``finally`` runs."""
        earlier = self._earlier.get(number)
        self._delivery = None
        self._inbox.put(None)  # the next signal is another one
        self._uninstall()
        if number == signal.SIGTERM and os.getpid() == 1:
            # The kernel's default action does not end process 1, and the exit may wait
            # for threads that go on: a further signal ends it, as it does any other.
            signal.signal(number, _end_process)
        if is_of_asyncio(earlier) and can_cancel(earlier):
            earlier(number, frame)
            return  # the next one comes to asyncio itself, and is KeyboardInterrupt
        self.endings += 1
        self._ending = Ending(number, earlier)
        if self._earlier_hook is None:
            # For good: whoever hooks in after us may count on ours.
            self._earlier_hook = sys.unraisablehook
            sys.unraisablehook = self._on_dropped
        interrupts = number == signal.SIGINT
        error = KeyboardInterrupt() if interrupts else SystemExit(128 + number)
        error.__dict__[_MARK] = self._ending
        raise error

    def _on_dropped(self, dropped: sys.UnraisableHookArgs) -> None:
        """Have a signal sent once more whose exception was dropped; pass on all others."""
        ending = self._ending
        marks = getattr(dropped.exc_value, "__dict__", {})
        is_ours = _is_main_thread() and _MARK in marks and marks[_MARK] is ending
        if ending is None or not is_ours:
            assert self._earlier_hook is not None  # noqa: S101 - set with this one
            self._earlier_hook(dropped)
            return
        self._ending = None
        self._earlier[ending.number] = ending.earlier
        signal.signal(ending.number, self._on_signal)
        self._inbox.put(-ending.number)

    # A thread of its own ------------------------------------------------------

    def _serve(self) -> None:
        while True:
            number = self._next()
            if number is not None and number < 0:
                time.sleep(PAUSE)  # by then it may be in other code
                self._send(-number)
                continue
            delivery = self._delivery
            if number is not None:
                anew = self._close_all()
                if delivery is not None:
                    if anew or delivery.state is not State.STOPPING:
                        delivery.give_up_at = time.monotonic() + self._budget
                    self._move(delivery, Fact.ASKED)
            if delivery is None:
                continue
            fact = self._look(delivery)
            if fact is not None and self._move(delivery, fact) is Action.SEND:
                self._send_again(delivery)

    def _next(self) -> int | None:
        """Wait for a signal, or for a reason to look again."""
        delivery, wait = self._delivery, None
        if delivery is not None and delivery.state is State.STOPPING:
            wait = max(0.0, delivery.give_up_at - time.monotonic())
        try:
            return self._inbox.get(timeout=wait)
        except queue.Empty:
            return None

    def _look(self, delivery: Delivery) -> Fact | None:
        """Return what the electors do about a signal that they were asked by, if new."""
        if delivery.state not in {State.STOPPING, State.OVERDUE}:
            return None
        if not self._closing:
            return Fact.STOPPED
        if delivery.state is State.OVERDUE or time.monotonic() < delivery.give_up_at:
            return None
        working = self._is_main_thread_working()
        return Fact.MAIN_THREAD_LATE if working else Fact.OTHERS_LATE

    @staticmethod
    def _move(delivery: Delivery, fact: Fact) -> Action:
        delivery.state, action = TABLE[delivery.state, fact]
        return action

    def _close_all(self) -> bool:
        """Ask all electors to stop that were not asked yet; tell whether there were any."""
        # Older ones may still be stopping: since an earlier signal, which the
        # program has met by going on.
        asked = tuple(self._watched - self._closing)
        self._closing = closing = set(self._watched)
        # Less those that ended since, and will not say so again.
        closing &= self._watched
        self._budget = max((e.stop_budget for e in tuple(closing)), default=0.0)
        for elector in asked:
            elector.on_signal()
        return bool(asked)

    def _is_main_thread_working(self) -> bool:
        closing = tuple(self._closing)
        return any(elector.works_in_main_thread() for elector in closing)

    def _send_again(self, delivery: Delivery) -> None:
        if self._delivery is delivery:
            self._send(delivery.number)  # else another one has ended the main thread

    def _send(self, number: int) -> None:
        main = threading.main_thread()
        if self._exiting or main.ident is None or not main.is_alive():
            return
        # To the main thread itself: that interrupts whatever it waits in.
        signal.pthread_kill(main.ident, number)
        wake(self._loop)  # or what it was just about to wait in

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


shared_auto_close: Final = PerProcess(AutoClose)
"""Return the one of this process."""


def _after_fork_in_child(parent: Process) -> None:
    inherited = shared_auto_close.of(parent)
    if inherited is not None:
        inherited.undo_in_child()


on_child(_after_fork_in_child)
