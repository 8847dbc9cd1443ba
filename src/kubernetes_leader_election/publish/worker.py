"""
A thread for what is best effort: its queue, its pauses, its own connection.

Nobody waits for it. What comes in goes into a queue without a lock, since the engine's
thread and handlers of signals come here; what fails is tried again after a pause that
grows; what it has to say goes to a log that does not wait either.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError
from kubernetes_leader_election.process import native

_WordT_contra = TypeVar("_WordT_contra", contravariant=True)

FIRST_PAUSE: Final = 0.2
"""Seconds after a first failure: a take-over is to be seen within half a second."""
LONGEST_PAUSE: Final = 60.0
"""Seconds at most between two tries, but for what a server asks for."""
ROOM: Final = 64
"""What may wait in the queue; what comes then is dropped, and counted."""
_END: Final = object()


class Says(Protocol):
    """Who hears how it goes. Any thread; never blocks."""

    def failed(self, error: LeaderElectionError) -> None:
        """Hear of a failure that is tried again; the same one comes again and again."""
        ...

    def went_well(self) -> None:
        """Hear that a request succeeded."""
        ...

    def noted(self, text: str) -> None:
        """Hear of what people should know; the same may come again and again."""
        ...


class Job(Protocol[_WordT_contra]):
    """What the thread does. Its methods are called on that thread alone, and may block."""

    def take(self, word: _WordT_contra) -> None:
        """Take what came in."""
        ...

    def work(self) -> float | None:
        """
        Do what there is to do.

        Returns the seconds after which to come again; None: when something comes in.

        Raises:
            LeaderElectionError: it failed, and is tried again after a pause.

        """
        ...

    def close(self) -> None:
        """Give back what is held. The last call."""
        ...


class Worker(Generic[_WordT_contra]):
    """
    Run one job on one thread.

    Args:
        job: what is done.
        says: hears how it goes.
        name: of the thread.

    """

    def __init__(self, job: Job[_WordT_contra], says: Says, *, name: str) -> None:
        self._job = job
        self._says = says
        self.name = name
        """Of the thread."""
        self._inbox: queue.SimpleQueue[Any] = native.SimpleQueue()
        """What came in, and the end of all. Any thread puts, this one takes."""
        self.dropped = 0
        """How many words found no room. By ``put``; read by people and tests."""
        self._failures = 0
        """How many tries failed in a row. The thread."""
        self._done = native.Gate()
        """Open when the thread has ended, or will never run. The thread, or ``start``."""

    def start(self) -> None:
        """
        Start the thread.

        Raises:
            RuntimeError, MemoryError: there is none to be had.

        """
        try:
            native.start_thread(self._run, name=self.name)
        except BaseException:
            self._done.open()
            raise

    def put(self, word: _WordT_contra) -> None:
        """Have it done soon. Any thread; never blocks, never raises."""
        if self._inbox.qsize() < ROOM:
            self._inbox.put(word)
        else:
            self.dropped += 1

    def end(self) -> None:
        """End the thread when it has tried once more what there is to do. Never blocks."""
        self._inbox.put(_END)

    def wait(self, timeout: float) -> bool:
        """Wait for its end, which was asked for before; False if that took longer."""
        return self._done.wait(timeout)

    # The thread -----------------------------------------------------------------

    def _run(self) -> None:
        pause: float | None = None
        ending = False
        try:
            while not ending:
                ending = not self._await(pause)
                pause = self._try()
            self._job.close()
        finally:
            self._done.open()

    def _await(self, pause: float | None) -> bool:
        """Wait for a word, or for so many seconds; take all there are. False: the end."""
        goes_on = True
        with contextlib.suppress(queue.Empty):
            word = self._inbox.get(timeout=pause)
            while True:
                if word is _END:
                    goes_on = False
                else:
                    self._guarded(lambda: self._job.take(word))  # noqa: B023 - called at once
                word = self._inbox.get_nowait()
        return goes_on

    def _try(self) -> float | None:
        """Do the job; return the seconds until it is done again, None: when told."""
        asked = 0.0
        try:
            pause = self._job.work()
        except LeaderElectionError as error:
            self._says.failed(error)
            if isinstance(error, LeaseApiError):
                asked = error.retry_after or 0.0
        except Exception as error:  # noqa: BLE001 - fault 07: told, and tried again
            self._unexpected(error)
        else:
            self._failures = 0
            return pause
        pause = pause_after(self._failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._failures += 1
        return max(pause, min(asked, LONGEST_PAUSE))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - fault 07: told, and left out
            self._unexpected(error)

    def _unexpected(self, error: Exception) -> None:
        # Of its kind only: the text may hold what was read, a token even (fault 50).
        kind = type(error).__name__
        self._says.failed(LeaderElectionError(f"unexpected {kind} in {self.name}"))


def now() -> float:
    """Return seconds for pauses and allowances, on a clock that never goes back."""
    return time.monotonic()
