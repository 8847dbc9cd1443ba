"""
The optional liveness probe: an application that has been stuck does not renew.

Off by default. Work that blocks its event loop, or hangs, cannot be cancelled; to give
its Lease to another while it may still act breaks G2, unless the resource it works on
checks the fencing token, or the hard fence ends the process. So use it with either of
them, or where stuck work is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.timers import Timer, shared_timers

LOOKS: Final = 4
"""Questions asked within the time limit, so that one late answer is no verdict."""
LEAST_PAUSE: Final = 0.01
"""Seconds between questions at least."""


class Probe:
    """
    Ask an application again and again whether it is alive.

    Args:
        ask: starts one question; it calls what it is given, on any thread, once the
            application has proved to be alive. It never blocks.
        limit: seconds (CLOCK_MONOTONIC) without such a proof that make it stuck.
        report: told whenever the verdict changes; never blocks.

    """

    def __init__(
        self,
        ask: Callable[[Callable[[], None]], None],
        *,
        limit: float,
        report: Callable[[bool], None],
    ) -> None:
        self._ask = ask
        """Starts one question."""
        self._limit = limit
        """Seconds without a proof of life that make the application stuck."""
        self._report = report
        """Told whenever the verdict changes."""
        self._lock = native.Lock()
        """Held to change the verdict, and to tell it."""
        self._alive_at = time.monotonic()
        """When the application last proved to be alive. Under the lock."""
        self._alive = True
        """The verdict, as it was told last. Under the lock."""
        self._over = False
        """Whether nothing is asked any more. By ``stop``, without the lock."""
        self._timer: Timer | None = None
        """The next question. Under the lock."""

    def start(self) -> None:
        """Begin to ask, unless that is over; the application counts as alive so far."""
        with self._lock:
            self._alive = True
            self._alive_at = time.monotonic()
        self._look()

    def stop(self) -> None:
        """
        Ask no more, for ever. Never blocks: the engine's thread comes here.

        Also before :meth:`start`: a handler of signals that comes in the middle of the
        elector's ``start()`` can stop it there, and waits for the engine meanwhile.
        """
        self._over = True
        timer = self._timer
        if timer is not None:
            timer.cancel()

    @property
    def is_stuck(self) -> bool:
        """Whether the application has shown no sign of life for too long. Any thread."""
        return not self._alive

    def answered(self) -> None:
        """Note that the application is alive. Any thread."""
        with self._lock:
            self._alive_at = time.monotonic()
            revived = not self._over and not self._alive
            self._alive = True
            if revived:
                # Told under the lock, so that verdicts arrive in their order.
                self._report(True)

    def _look(self) -> None:
        with self._lock:
            if self._over:
                return
            stuck = time.monotonic() - self._alive_at >= self._limit
            if stuck and self._alive:
                self._alive = False
                self._report(False)
            pause = max(LEAST_PAUSE, self._limit / LOOKS)
            self._timer = shared_timers().call_later(pause, self._look)
        self._ask(self.answered)


class AskCallable:
    """Ask a callable of the application, on a thread of its own: it may hang."""

    def __init__(
        self, probe: Callable[[], object], *, failed: Callable[[Exception], None]
    ) -> None:
        self._probe = probe
        """The callable of the application."""
        self._failed = failed
        """Told what it raised."""
        self._asking = native.Lock()
        """Held while a question is open: one at a time."""

    def __call__(self, alive: Callable[[], None]) -> None:
        """Start one question, unless the last one is still open."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            native.start_thread(self._run, alive, name="leader-election-liveness")
        except RuntimeError:
            self._asking.release()  # no more threads: no answer, as from one stuck

    def _run(self, alive: Callable[[], None]) -> None:
        try:
            if self._probe():
                alive()
        except Exception as error:  # noqa: BLE001 - a probe that raises says: not alive
            self._failed(error)
        finally:
            self._asking.release()
