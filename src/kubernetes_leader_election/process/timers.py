"""
A daemon thread that runs callbacks when they are due.

The engine's thread must never wait for a log handler whose pipe is full, nor for a
callable of the application; and a log that stands still must hold up no timer, of a
release for one. Nothing here is needed for the truth about leadership.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import queue
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Final

from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.fork import PerProcess

Callback = Callable[[], object]

ROOM: Final = 1000
"""Callbacks that may wait; further ones that can be missed are dropped."""
LONGEST_WAIT: Final = 3600.0
"""Seconds: queues do not take an endless number."""


class Timer:
    """A callback that is due later."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback

    def cancel(self) -> None:
        """Forget the callback. Any thread; harmless when it has run."""
        self._callback = None

    def run(self) -> None:
        """Run the callback unless it was cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class TimerThread:
    """
    Run callbacks in order, and timers when they are due (CLOCK_MONOTONIC).

    **No lock: the engine's thread comes here, and must wait for nobody.** A handler of
    signals that calls ``stop()`` waits for the engine, while the thread that it
    interrupted keeps whatever lock it has.

    Args:
        name: of the thread.

    """

    def __init__(self, name: str = "leader-election-timers") -> None:
        self._name = name
        self._inbox: queue.SimpleQueue[tuple[float, Timer]] = native.SimpleQueue()
        """Timers on their way to the thread, each with its ``time.monotonic()``."""
        self._kept = 0
        """Timers that the thread has taken out of the inbox, and that are not due yet."""
        self._starting = native.RLock()
        """Held to start the thread, once."""
        self._thread: object = None
        """What runs all this; None: not started yet."""

    def start(self) -> None:
        """Start the thread, so that nobody else has to wait for its start."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is not None:
                return
            try:
                self._thread = native.start_thread(self._run, name=self._name)
            except RuntimeError:
                return  # the interpreter is exiting: nobody waits for callbacks any more

    def call(self, callback: Callback, *, may_drop: bool = False) -> None:
        """
        Run ``callback`` soon. Any thread; never blocks.

        Nor does it in a signal handler, once the thread was started.
        ``may_drop`` is for log lines: they are left out when too many wait.
        """
        if may_drop and self._inbox.qsize() + self._kept >= ROOM:
            return
        self._inbox.put((0.0, Timer(callback)))
        self.start()

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Run ``callback`` after ``delay`` seconds. Any thread; never blocks."""
        timer = Timer(callback)
        self._inbox.put((time.monotonic() + delay, timer))
        self.start()
        return timer

    def flush(self, timeout: float) -> bool:
        """Wait for what is due now; False if that took longer than ``timeout``."""
        if self._thread is None:
            return self._inbox.empty()
        done: queue.SimpleQueue[None] = native.SimpleQueue()
        self._inbox.put((time.monotonic(), Timer(partial(done.put, None))))
        try:
            done.get(timeout=timeout)
        except queue.Empty:
            return False
        return True

    def _run(self) -> None:
        due: list[tuple[float, int, Timer]] = []
        numbers = count()
        while True:
            self._receive(due, numbers)
            timer = heapq.heappop(due)[2]
            self._kept = len(due)
            try:
                timer.run()
            except BaseException:
                # A log handler of the application, or a defect of ours: say it where
                # it can be read, and go on for the others. That log may raise again.
                with contextlib.suppress(BaseException):
                    logging.getLogger("kubernetes_leader_election").exception(
                        "a callback of the leader election failed"
                    )
            del timer

    def _receive(
        self, due: list[tuple[float, int, Timer]], numbers: Iterator[int]
    ) -> None:
        """Take what has come, and wait until something is due."""
        while True:
            wait = LONGEST_WAIT
            if not self._inbox.empty():
                wait = 0.0
            elif due:
                wait = due[0][0] - time.monotonic()
                if wait <= 0.0:
                    return
            with contextlib.suppress(queue.Empty):
                at, timer = self._inbox.get(timeout=min(wait, LONGEST_WAIT))
                heapq.heappush(due, (at, next(numbers), timer))
                self._kept = len(due)


shared_timers: Final = PerProcess(TimerThread)
"""Return the timers of this process."""
