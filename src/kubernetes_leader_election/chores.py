"""
Two daemon threads for what has to wait: one for timers, one for log lines.

The engine's thread must never wait for a log handler whose pipe is full, nor for a
callable of the application; and a log that stands still must hold up no timer, of a
release for one. Nothing here is needed for the truth about leadership.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from kubernetes_leader_election.fork import PerProcess

Chore = Callable[[], object]

ROOM: Final = 1000
"""Chores that may wait; further ones that can be missed are dropped."""
LONGEST_WAIT: Final = 3600.0
"""Seconds: locks do not take an endless number."""


class Timer:
    """A chore that is due later."""

    __slots__ = ("_chore",)

    def __init__(self, chore: Chore) -> None:
        self._chore: Chore | None = chore

    def cancel(self) -> None:
        """Forget the chore. Any thread; harmless when it has run."""
        self._chore = None

    def run(self) -> None:
        """Run the chore unless it was cancelled."""
        chore, self._chore = self._chore, None
        if chore is not None:
            chore()


class Chores:
    """
    Run chores in order, and timers when they are due (CLOCK_MONOTONIC).

    Args:
        name: of the thread.

    """

    def __init__(self, name: str = "leader-election-chores") -> None:
        self._name = name
        # Entered itself, as a Condition enters it between bytecodes, where Ctrl-C could
        # come and leave it locked for ever. Reentrant: handlers of signals come here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._waiting = 0
        self._busy = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, so that nobody else has to wait for its start."""
        with self._lock:
            self._start()

    def call(self, chore: Chore, *, may_drop: bool = False) -> None:
        """
        Run ``chore`` soon. Any thread; never blocks.

        ``may_drop`` is for log lines: they are left out when too many wait.
        """
        with self._lock:
            if may_drop and self._waiting >= ROOM:
                return
            self._add(0.0, Timer(chore))

    def call_later(self, delay: float, chore: Chore) -> Timer:
        """Run ``chore`` after ``delay`` seconds. Any thread; never blocks."""
        timer = Timer(chore)
        with self._lock:
            self._add(time.monotonic() + delay, timer)
        return timer

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is due; False if that took longer than ``timeout``."""
        with self._lock:
            return self._changed.wait_for(self._is_idle, timeout)

    def _is_idle(self) -> bool:
        due = bool(self._due) and self._due[0][0] <= time.monotonic()
        return not self._busy and not due

    def _add(self, due: float, timer: Timer) -> None:
        heapq.heappush(self._due, (due, next(self._numbers), timer))
        self._waiting += 1
        self._changed.notify_all()
        self._start()

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the interpreter is exiting: nobody waits for chores any more
        self._thread = thread

    def _run(self) -> None:
        while True:
            timer = self._take()
            try:
                timer.run()
            except BaseException:
                # A log handler of the application, or a defect of ours: say it where
                # it can be read, and go on for the others. That log may raise again.
                with contextlib.suppress(BaseException):
                    logging.getLogger("kubernetes_leader_election").exception(
                        "a chore of the leader election failed"
                    )
            del timer

    def _take(self) -> Timer:
        with self._lock:
            self._busy = False
            self._changed.notify_all()
            while True:
                wait = LONGEST_WAIT
                if self._due:
                    wait = self._due[0][0] - time.monotonic()
                    if wait <= 0.0:
                        self._waiting -= 1
                        self._busy = True
                        return heapq.heappop(self._due)[2]
                self._changed.wait(min(wait, LONGEST_WAIT))


_LOG: Final = "leader-election-log"
shared_chores: Final = PerProcess(Chores)
"""Return the chores of this process."""
shared_log_lines: Final = PerProcess(lambda: Chores(_LOG))
"""Return the log lines of this process, which may stand still."""
