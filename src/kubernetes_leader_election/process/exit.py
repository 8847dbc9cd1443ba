"""
At normal interpreter exit: release what nobody stopped, within a short bound.

The exit handler makes no request itself: it asks the engine, whose daemon threads
still run then, and waits a moment (fault 16). Threads that are not daemons have ended
by that time, and so has the main thread's work.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from kubernetes_leader_election.process import limits, native
from kubernetes_leader_election.process.fork import PerProcess, Process, this_process
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.process.signals import shared_auto_close

PAUSE: Final = 0.05
"""Seconds between two looks whether threads have ended: nobody tells of that."""


class Leaving(Protocol):
    """An elector, as far as the exit of the interpreter is concerned."""

    def on_exit(self) -> bool:
        """Begin to stop; False if work still runs, which nothing waits for."""
        ...

    def threads_at_work(self) -> tuple[threading.Thread, ...]:
        """Return the threads that are no daemons and run work which holds the term."""
        ...

    @property
    def request_timeout(self) -> float:
        """Seconds that one request may take, that of the release as well."""
        ...

    def warn(self, text: str) -> None:
        """Log what people should know."""
        ...


class ExitHandler:
    """Know which electors nobody has stopped yet, and have the last lines logged."""

    def __init__(self) -> None:
        # No lock, as for timers: the engine's thread comes here.
        self._running: set[Leaving] = set()
        """Those that nobody has stopped yet. Any thread."""
        self._gone: queue.SimpleQueue[None] | None = None
        """Told of each elector that has stopped, once the exit has begun."""
        self._process: Process | None = None
        """The process whose exit is handled; None: no elector was started yet."""

    def watch(self, elector: Leaving) -> None:
        """See to it that ``elector`` is stopped at exit."""
        self._running.add(elector)
        if self._process is None:
            self._process = this_process()
            # Once, also where two threads start an elector each.
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)

    def forget(self, elector: Leaving) -> None:
        """Note that ``elector`` has stopped."""
        self._running.discard(elector)
        if self._gone is not None:
            self._gone.put(None)

    def _at_exit(self) -> None:
        if self._process is None or self._process.is_copy:
            return  # a child process that leaves by sys.exit()
        shared_auto_close().retire()
        gone: queue.SimpleQueue[None] = native.SimpleQueue()
        self._gone = gone
        leaving = tuple(self._running)
        waited_for = {elector for elector in leaving if elector.on_exit()}
        if _wait_for_threads(leaving):
            waited_for = {elector for elector in leaving if elector.on_exit()}
            waited_for -= {e for e in leaving if e.threads_at_work()}
        longest = max((e.request_timeout for e in waited_for), default=0.0)
        until = time.monotonic() + limits.of_exit(longest)
        # A further signal ends these waits, as it does that for threads.
        try:
            while waited_for & self._running and (left := until - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    gone.get(timeout=left)
            # Those of who has stopped just before, too: its last lines tell why.
            shared_log_thread().flush(max(limits.LAST_WORDS, until - time.monotonic()))
            # One that came just before a wait is met after it. Where a call into C
            # returns, as here; at the end of a `with` it would be a traceback.
            native.sleep(0)
        except (KeyboardInterrupt, SystemExit):
            pass  # it is what the signal asked for


def _wait_for_threads(leaving: tuple[Leaving, ...]) -> bool:
    """
    Wait for the threads that still run work of a term; False if there are none.

    The interpreter has waited for them before, but for those whose ``join()`` an
    exception of a signal interrupted. To return is to end them, in the middle of what
    they do; so a further signal alone ends this wait, and then nothing is released.
    """
    waited = False
    try:
        while threads := {t for elector in leaving for t in elector.threads_at_work()}:
            if not waited:
                _warn(
                    leaving,
                    "exiting waits for threads that still do the leader's work: "
                    + ", ".join(sorted(repr(thread.name) for thread in threads))
                    + ". The Lease is renewed until they have ended. A further signal "
                    "ends them",
                )
            waited = True
            native.sleep(PAUSE)
    except (KeyboardInterrupt, SystemExit):
        _warn(
            leaving,
            "a signal ended the wait for threads that still do the leader's work: "
            "the Lease is not released and will expire",
        )
    return waited


def _warn(leaving: tuple[Leaving, ...], text: str) -> None:
    for elector in leaving:
        if elector.threads_at_work():
            elector.warn(text)


class MainThreadEnd:
    """
    Tell when the main thread has ended, before the exit waits for other threads.

    The handlers of ``atexit`` come after that wait: a thread that is no daemon, and is
    asked to end by one of them only, would hold up the exit for ever.
    """

    def __init__(self) -> None:
        self._callbacks: set[Callable[[], object]] = set()
        """What to call. Any thread."""
        self._process: Process | None = None
        """The process whose main thread that is; None: nothing was to be called yet."""

    def watch(self, callback: Callable[[], object]) -> None:
        """
        Call this when the main thread has ended; never in a child process.

        Raises:
            RuntimeError: the interpreter exits already.

        """
        if self._process is None:
            # Private, and the only hook there is at that time: that of the standard
            # library's own pools of threads.
            threading._register_atexit(self._ended)  # type: ignore[attr-defined] # noqa: SLF001
            self._process = this_process()
        self._callbacks.add(callback)

    def forget(self, callback: Callable[[], object]) -> None:
        """Call it no more."""
        self._callbacks.discard(callback)

    def _ended(self) -> None:
        if self._process is not None and not self._process.is_copy:
            for callback in tuple(self._callbacks):
                callback()


shared_exit: Final = PerProcess(ExitHandler)
"""Return the one of this process."""
shared_main_thread_end: Final = PerProcess(MainThreadEnd)
"""Return the one of this process."""
