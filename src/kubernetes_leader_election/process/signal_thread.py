"""
The thread that asks the electors to stop, and sends the signal once more when they have.

It waits for nothing but its queue, which a handler of signals may enter at any time. The
way of a signal is that of the table in :mod:`.signal_table`; the main thread begins and
ends it, and this thread moves it on.

A signal may come to the main thread just before it waits, as in ``time.sleep()``: Python
notes it then, and calls the handler when the wait is over. So it is sent again and again
until it is met, but never once it is, when it would come to what was there before ours.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from typing import Any, Final, Protocol

from kubernetes_leader_election.process import limits, native
from kubernetes_leader_election.process.asyncio_here import wake
from kubernetes_leader_election.process.missed_signals import MISSED
from kubernetes_leader_election.process.signal_table import TABLE, Action, Fact, State
from kubernetes_leader_election.process.timers import LONGEST_WAIT

PAUSE: Final = 0.01
"""Seconds until a signal is sent once more whose exception was dropped."""


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
        """How far it is. Once it is on its way, by the thread of the signals alone."""
        self.look_after: float | None = None
        """Seconds after which to look again, if nothing is heard. That thread, too."""
        self.sent_at = 0.0
        """The ``time.monotonic()`` when it was sent last. That thread, too."""


class SignalThread:
    """
    See one signal through, from the handler that caught it to the end of the electors.

    Args:
        watched: the electors that run, and a signal stops. Any thread changes it.

    """

    def __init__(self, watched: set[Watched]) -> None:
        self._watched = watched
        """The electors that run. Changed by others alone."""
        self._closing: set[Watched] = set()
        """Those that were asked to stop and have not. The thread; any takes out its own."""
        self._inbox: queue.SimpleQueue[int | None] = native.SimpleQueue()
        """Signals for the thread. None: look again. Any thread."""
        self._thread: object = None
        """What reads that. The main thread."""
        self._main: int | None = None
        """The main thread, as the C library knows it: gevent gives it another number. By it."""
        self._loop: Any = None
        """The event loop of the main thread, if it had one in start(). The main thread."""
        self._delivery: Delivery | None = None
        """The signal that is on its way, if one is. The main thread."""
        self._grace = 0.0
        """Seconds: the longest grace of those that were asked last. The thread."""
        self._sending = native.Lock()
        """Held where a signal is sent, and where one is met. The main thread tries only."""
        self._exiting = False
        """Whether the interpreter exits by itself. The main thread."""

    # Any thread ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Return how far a signal is on its way."""
        if self._exiting:
            return State.EXITING
        delivery = self._delivery
        return State.AT_REST if delivery is None else delivery.state

    @property
    def has_delivery(self) -> bool:
        """Whether a signal is on its way, also while the interpreter exits."""
        return self._delivery is not None

    def look_again(self) -> None:
        """Have the thread look whether a time is over: of a Lease, or a hold."""
        self._inbox.put(None)

    def forget(self, elector: Watched) -> None:
        """Note that ``elector`` has stopped."""
        self._closing.discard(elector)
        self._inbox.put(None)

    def wake_loop(self) -> None:
        """Wake the event loop of the main thread, if it had one in start()."""
        wake(self._loop)

    def longest_wait(self, *, stopped: bool) -> float:
        """Return how long the main thread is to wait; see :class:`.signals.AutoClose`."""
        if self.state in {State.AT_REST, State.EXITING}:
            return 0.0
        if any(elector.holds_main_thread() for elector in tuple(self._closing)):
            return 0.0  # not before that has been left, which this is in
        if not stopped:
            return min(limits.after_signal(self._grace), LONGEST_WAIT)
        return 0.0 if self._closing else limits.MOMENT

    # The main thread ----------------------------------------------------------

    def begin(self) -> None:
        """Begin, to send signals to the calling thread; harmless when said twice."""
        self._main = native.get_ident()
        if self._thread is None:
            # Not kept if it could not be started.
            self._thread = native.start_thread(
                self._serve, name="leader-election-signals"
            )

    def wake_also(self, loop: Any) -> None:
        """Wake this event loop of the main thread, too, when a signal is sent."""
        self._loop = loop

    def catch(self, number: int) -> None:
        """Begin the way of a signal: ask the electors to stop, send it when they have."""
        self._delivery = Delivery(number)
        self._inbox.put(number)

    def ask(self, number: int) -> None:
        """Ask the electors to stop, and no more."""
        self._inbox.put(number)

    def end(self) -> bool:
        """End the way of a signal; False: it is being sent, which is the end of it."""
        if not self._sending.acquire(blocking=False):
            return False
        try:
            self._delivery = None
        finally:
            self._sending.release()
        self._inbox.put(None)  # the next signal is another one
        return True

    def send_soon(self, number: int) -> None:
        """
        Send a signal once more whose exception was dropped: as one that was not met.

        So what gives handlers back waits for it, and another signal that ends the main
        thread before is the end of this one: it would come to the default action.
        """
        delivery = Delivery(number)
        delivery.state = State.SENT
        # By then it may be in other code.
        delivery.sent_at = time.monotonic() - MISSED + PAUSE
        self._delivery = delivery
        self._inbox.put(None)

    def retire(self) -> None:
        """Send nothing any more: the interpreter is exiting by itself."""
        self._exiting = True  # from any state, as the table says

    # The thread itself --------------------------------------------------------

    def _serve(self) -> None:
        while True:
            number = self._next()
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
                # Else another one has ended the main thread.
                self._send(delivery.number)
        delivery.sent_at = time.monotonic()

    def _send(self, number: int) -> None:
        main = self._main
        if self._exiting or main is None or not threading.main_thread().is_alive():
            return
        # To the main thread itself: that interrupts whatever it waits in.
        signal.pthread_kill(main, number)
        self.wake_loop()  # or what it was just about to wait in
