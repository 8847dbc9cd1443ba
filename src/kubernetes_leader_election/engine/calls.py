"""
Threads that make requests: a bounded few for short ones, one for each open watch.

Plain daemon threads, on purpose: nothing joins them at interpreter exit, and none of
them is needed for the truth about leadership.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from kubernetes_leader_election.core.messages import Response
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.process import native

LIMIT: Final = 8
"""Threads for short requests: a process has few Leases, and each one request at a time."""
HARD_LIMIT: Final = 64
"""The same when requests hang where nothing can end them, as in the resolver."""
IDLE: Final = 60.0
"""Seconds after which an idle thread ends."""

Job = Callable[[], None]


class _Phase(enum.Enum):
    WAITING = "waiting"
    UNDER_WAY = "flying"
    OVER = "over"


class PendingCall:
    """
    One request on its way: whether it came back before it was given up.

    ``stuck`` hears of a thread (1) that goes on with a request nobody waits for any
    more, and of its end (-1).
    """

    __slots__ = ("_lock", "_phase", "_stuck", "call")

    def __init__(self, call: Call, *, stuck: Callable[[int], None]) -> None:
        self.call = call
        self._stuck = stuck
        self._lock = native.Lock()
        self._phase = _Phase.WAITING

    def begin(self) -> bool:
        """Note that a thread begins with it; False if it was given up before."""
        with self._lock:
            if self._phase is not _Phase.WAITING:
                return False
            self._phase = _Phase.UNDER_WAY
            return True

    def finish(self) -> bool:
        """Note that the request came back; False if it had been given up."""
        with self._lock:
            if self._phase is _Phase.UNDER_WAY:
                self._phase = _Phase.OVER
                return True
        self._stuck(-1)
        return False

    def abandon(self) -> None:
        """Give the request up; its thread counts as stuck until it comes back."""
        with self._lock:
            before, self._phase = self._phase, _Phase.OVER
        if before is _Phase.UNDER_WAY:
            self._stuck(1)
            self.call.abandon()


class Completed(NamedTuple):
    """An answer, with the request that it answers: numbers alone begin anew at times."""

    pending: PendingCall
    answer: Response


class Workers:
    """Run jobs off the engine's thread. Jobs never raise."""

    def __init__(self) -> None:
        self._changed = native.Condition()
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._threads = 0
        self._stuck = 0
        self._stuck_watches = 0

    @property
    def threads(self) -> int:
        """Count the threads for short requests that live now."""
        return self._threads

    def submit(self, job: Job) -> bool:
        """Run a short job on an idle thread, or a new one; False if there is none."""
        with self._changed:
            self._jobs.append(job)
            if len(self._jobs) <= self._waiting:
                self._changed.notify()
                return True
            self._grow()
            if self._threads > self._stuck:
                return True
            # Every thread hangs: whatever waits for one would wait in vain.
            self._jobs.pop()
            return False

    def spawn(self, job: Job) -> bool:
        """Run a long job (a watch) on a thread of its own; False if there is none."""
        if self._stuck_watches >= HARD_LIMIT:
            return False
        return _start(job, "leader-election-watch")

    def note_stuck(self, change: int) -> None:
        """Count jobs that were given up but still run: others may take their place."""
        with self._changed:
            self._stuck += change
            if self._jobs:
                self._grow()

    def note_stuck_watch(self, change: int) -> None:
        """Count watches that were given up and whose thread still runs."""
        with self._changed:
            self._stuck_watches += change

    def _grow(self) -> None:
        if self._threads - self._stuck < LIMIT and self._threads < HARD_LIMIT:
            self._threads += _start(self._work, "leader-election-request")

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


def _start(job: Job, name: str) -> bool:
    try:
        native.start_thread(job, name=name)
    except (RuntimeError, MemoryError):
        return False  # no thread to be had: a limit, or the interpreter is exiting
    return True
