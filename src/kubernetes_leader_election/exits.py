"""
At normal interpreter exit: release what nobody stopped, within a short bound.

The exit handler makes no request itself: it asks the engine, whose daemon threads
still run then, and waits a moment (fault 16). Threads that are not daemons have ended
by that time, and so has the main thread's work.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import Final, Protocol

from kubernetes_leader_election.chores import shared_log_lines
from kubernetes_leader_election.fork import PerProcess, Process, this_process
from kubernetes_leader_election.signals import shared_auto_close

PATIENCE: Final = 1.0
"""Seconds that the exit may take longer for a release: many round trips."""


class Leaving(Protocol):
    """An elector, as far as the exit of the interpreter is concerned."""

    def on_exit(self) -> bool:
        """Begin to stop; False if work still runs, which nothing waits for."""
        ...


class Exits:
    """Know which electors nobody has stopped yet."""

    def __init__(self) -> None:
        # Entered itself, as a Condition enters it between bytecodes, where Ctrl-C could
        # come and leave it locked for ever. Reentrant: handlers of signals come here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._running: set[Leaving] = set()
        self._process: Process | None = None

    def watch(self, elector: Leaving) -> None:
        """See to it that ``elector`` is stopped at exit."""
        with self._lock:
            if self._process is None:
                self._process = this_process()
                atexit.register(self._at_exit)
            self._running.add(elector)

    def forget(self, elector: Leaving) -> None:
        """Note that ``elector`` has stopped."""
        with self._lock:
            self._running.discard(elector)
            self._changed.notify_all()

    def _at_exit(self) -> None:
        if self._process is None or self._process.is_copy:
            return  # a child process that leaves by sys.exit()
        shared_auto_close().retire()
        until = time.monotonic() + PATIENCE
        with self._lock:
            leaving = tuple(self._running)
        waited_for = {elector for elector in leaving if elector.on_exit()}
        with self._lock:
            self._changed.wait_for(
                lambda: not (waited_for & self._running),
                max(0.0, until - time.monotonic()),
            )
        if leaving:
            shared_log_lines().flush(max(0.0, until - time.monotonic()))


shared_exits: Final = PerProcess(Exits)
"""Return the one of this process."""
