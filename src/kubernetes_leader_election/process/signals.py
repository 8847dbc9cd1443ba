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

A signal may come to the main thread just before it waits, as in ``time.sleep()``: Python
notes it then, and calls the handler when the wait is over. So it is sent again and again
until it is met, but never once it is, when it would come to what was there before ours.

Python drops an exception that comes up in a callback of a weak reference, as imports
have them, or in ``__del__``. One of ours that is dropped there is not the end of it:
the signal is sent once more, a moment later, until it ends the thread.

**No lock is waited for.** The handler runs in the main thread between any two bytecodes, also in the
middle of what is here. So each field has one writer, or is a set whose single steps
are atomic, and the handler tells the thread by a queue that may be entered anew.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol, TypeGuard

from kubernetes_leader_election.process import limits, native
from kubernetes_leader_election.process.asyncio_here import (
    SignalWakeUps,
    can_cancel,
    is_of_asyncio,
    owner_of,
    remove_from_loop,
    running_loop,
    wake,
)
from kubernetes_leader_election.process.fork import (
    PerProcess,
    Process,
    on_child,
    this_process,
)
from kubernetes_leader_election.process.signal_table import (
    TABLE,
    Action,
    Fact,
    State,
)
from kubernetes_leader_election.process.timers import LONGEST_WAIT

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""Node package: SIGINT and SIGTERM."""

PAUSE: Final = 0.01
"""Seconds until a signal is sent once more whose exception was dropped."""

MISSED: Final = 0.1
"""Seconds until a signal is sent once more that the main thread has not met."""

_MARK: Final = "_ends_main_thread"
"""Where an exception of ours says which one it is."""

_Action = Callable[[int, FrameType | None], Any] | int | None


class Watched(Protocol):
    """An elector, as far as signals are concerned."""

    @property
    def grace(self) -> float:
        """Seconds that work may take to end in a planned stop; infinite: for ever."""
        ...

    def on_signal(self, *, ends_main_thread: bool) -> None:
        """
        Begin to stop; called on a thread that may wait a little.

        ``ends_main_thread``: this signal does so in the end, and nothing else decides.
        """
        ...

    def time_left(self) -> float:
        """Return the seconds until its work is to be ended; what is not held is late."""
        ...

    def time_held(self) -> float:
        """Return the seconds until it leads no more, whatever the grace says."""
        ...

    def is_of_main_thread_alone(self) -> bool:
        """Return whether the signal may end the main thread at once: no other works."""
        ...

    def warn(self, text: str) -> None:
        """Log what people should know."""
        ...

    def works_in_main_thread(self) -> bool:
        """Return whether work runs in the main thread that an exception would end."""
        ...

    def holds_main_thread(self) -> bool:
        """Return whether the main thread is in a guard or a hold, and the Lease held."""
        ...


class Delivery:
    """A signal on its way: made and dropped in the main thread, moved on by another."""

    __slots__ = ("look_after", "number", "sent_at", "state")

    def __init__(self, number: int) -> None:
        self.number = number
        """Which signal. Never changes."""
        self.state = State.CAUGHT
        """How far it is. Written by the thread of the signals alone."""
        self.look_after: float | None = None
        """Seconds after which to look again, if nothing is heard. That thread, too."""
        self.sent_at = 0.0
        """The ``time.monotonic()`` when it was sent last. That thread, too."""


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
        self._inbox: queue.SimpleQueue[int | None] = native.SimpleQueue()
        """
        Signals for the thread; one less than 0 is to be sent once more. None: look again.
        Any thread.
        """
        self._thread: object = None
        """What reads that. The main thread."""
        self._main: int | None = None
        """The number by which signals are sent to it: gevent gives it another one."""
        self._handing_on: set[int] = set()
        """Signals whose handler from before is being called. The main thread."""
        self._delivery: Delivery | None = None
        """The signal that is on its way, if one is. The main thread."""
        self._grace = 0.0
        """Seconds: the longest grace of those that were asked last. The thread."""
        self._owners: dict[int, str] = {}
        """Who has the signals that others took, as was told. The engine's thread."""
        self._loop: Any = None
        """The event loop of the main thread, if it had one in start(). The main thread."""
        self._wake_ups = SignalWakeUps()
        """What has that loop see a signal at once. The main thread."""
        self._sending = native.Lock()
        """Held where a signal is sent, and where one is met. The main thread tries only."""
        self._exiting = False
        """Whether the interpreter exits by itself. The main thread."""
        self._giving_back = False
        """Whether ours are being replaced by the earlier ones. The main thread."""
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

    def look_again(self) -> None:
        """Have the thread look whether a time is over: of a Lease, or a hold."""
        self._inbox.put(None)

    def new_owners(self) -> list[str]:
        """Say which of the signals others own that were ours, as far as that is news."""
        news = []
        for number in tuple(self._earlier):
            action = signal.getsignal(number)
            owner = "" if action == self._on_signal else owner_of(action)
            if owner and owner != self._owners.get(number):
                news.append(
                    f"{signal.Signals(number).name} is handled by {owner} now, and not "
                    "by the leader election any more: it does not stop the elector. "
                    "Call stop() there, or start the elector after that"
                )
            self._owners[number] = owner
        return [] if self._giving_back or not self._earlier else news

    def longest_wait(self, *, stopped: bool = False) -> float:
        """
        Return how long to wait here for a signal that is about to end this thread.

        Args:
            stopped: whether this is asked after a stop. The signal is then about to come
                if all electors have stopped, and within a moment.

        Returns:
            Seconds at most: the grace and a moment; 0.0: no signal ends this thread.

        """
        on_its_way = self.state not in {State.AT_REST, State.EXITING}
        if not on_its_way or not _is_main_thread():
            return 0.0
        if any(elector.holds_main_thread() for elector in tuple(self._closing)):
            return 0.0  # not before that has been left, which this is in
        if not stopped:
            return min(limits.after_signal(self._grace), LONGEST_WAIT)
        return 0.0 if self._closing else limits.MOMENT

    # The main thread ----------------------------------------------------------

    def take_back(self) -> None:
        """Put the earlier handlers back where ours still stand and nobody needs them."""
        if not _is_main_thread():
            return
        if not self._watched and self._delivery is None:
            self._uninstall()

    @contextmanager
    def handlers_kept(self) -> Iterator[None]:
        """
        Put our handlers back after work that replaced them, as programs of others do.

        Without effect outside the main thread, and where ours did not stand before.
        """
        numbers = tuple(self._earlier) if _is_main_thread() else ()
        stood = [n for n in numbers if signal.getsignal(n) == self._on_signal]
        try:
            yield
        finally:
            for number in stood:
                self._put_back(number)

    def _put_back(self, number: int) -> None:
        if (
            number not in self._earlier  # nobody needs ours any more
            or self._process.is_copy
            or signal.getsignal(number) == self._on_signal
        ):
            return
        # Between two handlers a signal would end the process with the Lease held.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        try:
            if not _is_of_the_program(self._earlier[number]):
                remove_from_loop(number)  # else it holds what was there before
            signal.signal(number, self._on_signal)
            if (loop := running_loop()) is not None:
                self._wake_ups.begin(loop)  # its place was taken, and is free now
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def retire(self) -> None:
        """Stop ending the main thread: the interpreter is exiting by itself."""
        self._exiting = True  # from any state, as the table says

    def _install(self) -> None:
        self._main = native.get_ident()
        for number in SIGNALS:
            earlier = signal.getsignal(number)
            if earlier is _end_process:
                earlier = signal.SIG_DFL  # which it stands for
            # Ignored on purpose by the parent (nohup, a shell's background job), or
            # set by C code that could not be called: not ours to change.
            if earlier in (self._on_signal, signal.SIG_IGN, None):
                continue
            if self._thread is None:
                # Not kept if it could not be started.
                self._thread = native.start_thread(
                    self._serve, name="leader-election-signals"
                )
            # First, as the signal may come at once.
            self._earlier[number] = earlier
            try:
                signal.signal(number, self._on_signal)
            except ValueError:
                del self._earlier[number]
                return  # a subinterpreter has a main thread, too, but no signals

    def _uninstall(self) -> None:
        self._giving_back = True
        self._wake_ups.end()
        try:
            self._give_back()
        finally:
            self._giving_back = False

    def _give_back(self) -> None:
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
        if _is_of_the_program(earlier):
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
        if not self._sending.acquire(blocking=False):
            return  # one more is being sent, and this is the end of it
        try:
            self._delivery = None
        finally:
            self._sending.release()
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
        # Who gave Python's own handler up expects no KeyboardInterrupt: the master of
        # gunicorn, of which a worker with uvicorn is a copy, takes it for its own end.
        interrupts = number == signal.SIGINT and earlier != signal.SIG_DFL
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
                native.sleep(PAUSE)  # by then it may be in other code
                self._send(-number)
                continue
            delivery = self._delivery
            if number is not None:
                self._close_all(ends_main_thread=delivery is not None)
                if delivery is not None:
                    self._move(delivery, Fact.ASKED)
            if delivery is None:
                continue
            since = time.monotonic() - delivery.sent_at
            missed = delivery.state is State.SENT and since >= MISSED
            fact = self._look(delivery)
            if fact is not None:
                missed = self._move(delivery, fact) is Action.SEND
            if missed:
                self._send_again(delivery)

    def _next(self) -> int | None:
        """Wait for a signal, or for a reason to look again."""
        delivery, wait = self._delivery, None
        if delivery is not None and delivery.state is State.STOPPING:
            wait = delivery.look_after
        elif delivery is not None and delivery.state is State.SENT:
            wait = max(0.0, delivery.sent_at + MISSED - time.monotonic())
        try:
            return self._inbox.get(timeout=wait)
        except queue.Empty:
            return None

    def _look(self, delivery: Delivery) -> Fact | None:
        """Return what the electors do about a signal that they were asked by, if new."""
        if delivery.state not in {State.STOPPING, State.OVERDUE}:
            return None
        closing = tuple(self._closing)
        if not closing:
            return Fact.STOPPED
        if delivery.state is State.OVERDUE:
            return None
        if all(elector.is_of_main_thread_alone() for elector in closing):
            return Fact.MAIN_THREAD_ALONE
        # The grace ends no guard and no hold, and so no scope around one.
        held = any(elector.holds_main_thread() for elector in closing)
        left = {e: e.time_held() if held else e.time_left() for e in closing}
        if any(left[e] <= 0.0 and e.works_in_main_thread() for e in closing):
            return Fact.MAIN_THREAD_LATE
        later = [seconds for seconds in left.values() if seconds > 0.0]
        if not later:
            return Fact.OTHERS_LATE
        delivery.look_after = min(*later, LONGEST_WAIT)
        return None

    @staticmethod
    def _move(delivery: Delivery, fact: Fact) -> Action:
        delivery.state, action = TABLE[delivery.state, fact]
        return action

    def _close_all(self, *, ends_main_thread: bool) -> None:
        """Ask all electors to stop that were not asked yet."""
        # Older ones may still be stopping: since an earlier signal, which the
        # program has met by going on.
        asked = tuple(self._watched - self._closing)
        self._closing = closing = set(self._watched)
        # Less those that ended since, and will not say so again.
        closing &= self._watched
        self._grace = max((e.grace for e in tuple(closing)), default=0.0)
        for elector in asked:
            elector.on_signal(ends_main_thread=ends_main_thread)

    def _send_again(self, delivery: Delivery) -> None:
        with self._sending:
            if self._delivery is delivery:
                self._send(
                    delivery.number
                )  # else another one has ended the main thread
        delivery.sent_at = time.monotonic()

    def _send(self, number: int) -> None:
        main = self._main
        if self._exiting or main is None or not threading.main_thread().is_alive():
            return
        # To the main thread itself: that interrupts whatever it waits in.
        signal.pthread_kill(main, number)
        wake(self._loop)  # or what it was just about to wait in

    # A child process ----------------------------------------------------------

    def undo_in_child(self) -> None:
        """Fault 15: in a child, signals do again what they did before."""
        if _is_main_thread():
            self._uninstall()


def _is_of_the_program(action: Any) -> TypeGuard[Callable[..., Any]]:
    """Return whether this is a Python handler that the program itself installed."""
    return (
        callable(action)
        and action is not signal.default_int_handler
        and not is_of_asyncio(action)
    )


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
