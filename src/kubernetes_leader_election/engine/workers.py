"""
Threads that make requests: a bounded few for short ones, one for each open watch.

Plain daemon threads, on purpose: nothing joins them at interpreter exit, and none of
them is needed for the truth about leadership.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.lease_api.call import Call

LIMIT: Final = 8
"""Threads for short requests: a process has few Leases, and each one request at a time."""
HARD_LIMIT: Final = 64
"""The same when requests hang where nothing can end them, as in the resolver."""
IDLE: Final = 60.0
"""Seconds after which an idle thread ends."""

Job = Callable[[], None]


class Flight:
    """One request on its way: whether it came back before it was given up."""

    __slots__ = ("_lock", "_over", "_workers", "call")

    def __init__(self, call: Call, workers: Workers) -> None:
        self.call = call
        self._workers = workers
        self._lock = threading.Lock()
        self._over = False

    def land(self) -> bool:
        """Note that the request came back; False if it had been given up."""
        with self._lock:
            if not self._over:
                self._over = True
                return True
        self._workers.note_stuck(-1)
        return False

    def abandon(self) -> None:
        """Give the request up; its thread counts as stuck until it comes back."""
        with self._lock:
            if self._over:
                return
            self._over = True
        self._workers.note_stuck(1)
        self.call.abandon()


class Workers:
    """Run jobs off the engine's thread. Jobs never raise."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._threads = 0
        self._stuck = 0

    @property
    def threads(self) -> int:
        """Count the threads for short requests that live now."""
        return self._threads

    def submit(self, job: Job) -> bool:
        """Run a short job on an idle thread, or a new one; False if all are stuck."""
        with self._changed:
            if self._threads >= HARD_LIMIT and self._stuck >= HARD_LIMIT:
                return False
            self._jobs.append(job)
            if len(self._jobs) <= self._waiting:
                self._changed.notify()
            elif self._threads - self._stuck < LIMIT and self._threads < HARD_LIMIT:
                self._threads += 1
                threading.Thread(
                    target=self._work, name="leader-election-request", daemon=True
                ).start()
        return True

    def spawn(self, job: Job) -> None:
        """Run a long job (a watch) on a thread of its own."""
        threading.Thread(target=job, name="leader-election-watch", daemon=True).start()

    def note_stuck(self, change: int) -> None:
        """Count jobs that were given up but still run: others may take their place."""
        with self._changed:
            self._stuck += change

    def _work(self) -> None:
        while (job := self._take()) is not None:
            job()
            del job  # a closure would keep its last answer alive while idle

    def _take(self) -> Job | None:
        with self._changed:
            while not self._jobs:
                self._waiting += 1
                told = self._changed.wait(IDLE)
                self._waiting -= 1
                if not told and not self._jobs:
                    self._threads -= 1
                    return None
            return self._jobs.popleft()
