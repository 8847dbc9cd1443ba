"""
Threads that work left behind when an exception of a signal tore it.

Ctrl-C, or the end that SIGTERM brings, comes in the main thread wherever that stands:
in the ``join()`` of a thread, or in the exit of a pool that waits for its jobs. The body
of the scope is over then, and what it waited for is not. So its term is held for as long
as such threads live: until they have ended, or until the interpreter exits, which waits
for those that are not daemons.

A daemon thread counts if it was started since the work began. Nobody waits for it: it
ends with the process, and until then the Lease is not released.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem
from kubernetes_leader_election.process.exit import PAUSE
from kubernetes_leader_election.process.signal_handlers import is_main_thread
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import shared_timers

OURS: Final = "leader-election"
"""What the names of our own threads and tasks begin with."""
MOST_CAUSES: Final = 100
"""Errors of a chain that are looked at: one may lead back to itself."""
BEGINS_WITHIN: Final = 1.0
"""Seconds that a thread has to begin: one whose start was interrupted never does."""


class Beginning:
    """What there was when a piece of work began, in the main thread or elsewhere."""

    __slots__ = ("_endings", "_looked_at", "_threads")

    def __init__(self) -> None:
        self._endings = shared_auto_close().endings
        """How often a signal had ended the main thread."""
        self._threads: Collection[threading.Thread] = ()
        """What ran in the process; empty where another thread than the main one asked."""
        self._looked_at: float | None = None
        """The ``time.monotonic()`` of the first look at what it left; None: none yet."""
        if is_main_thread():
            self._threads = frozenset(threading.enumerate())

    def is_torn(self, error: BaseException | None) -> bool:
        """Return whether a signal, or an exit, has interrupted what began here."""
        return is_main_thread() and (
            _is_of_exit(error) or shared_auto_close().endings != self._endings
        )

    def left(self) -> tuple[threading.Thread, ...]:
        """Return the threads that may still do what was begun since then."""
        now = time.monotonic()
        if self._looked_at is None:
            self._looked_at = now
        # Ctrl-C may come where the start of a thread waits for its first step.
        starting = [t for t in threading.enumerate() if t.ident is None]
        if now - self._looked_at > BEGINS_WITHIN:
            starting = []
        return tuple(
            thread
            for thread in dict.fromkeys((*starting, *living()))
            if thread is not threading.main_thread()
            and not thread.name.startswith(OURS)
            and (not thread.daemon or thread not in self._threads)
        )


def keep_if_torn(
    hold: WorkItem,
    beginning: Beginning,
    error: BaseException | None,
    looked: Callable[[], None],
) -> WorkItem | None:
    """
    Hold up the release for what an interrupted piece of work left behind.

    Args:
        hold: the one of the work, not ended yet.
        beginning: what there was when the work began.
        error: with which it ended.
        looked: called at each look whether the threads have ended.

    Returns:
        The new hold; None if the work was not interrupted, or has left nothing.

    """
    work = hold.work
    if work is None or not beginning.is_torn(error) or not (left := beginning.left()):
        return None
    named = ", ".join(repr(thread.name) for thread in left)
    kept = work.hold_late(
        f"what an interruption of {hold.what} left in the threads {named}"
    )
    kept.left = beginning.left
    _look_later(work, kept, looked)
    return kept


def _look_later(work: TermWork, kept: WorkItem, looked: Callable[[], None]) -> None:
    def look() -> None:
        if kept.left is not None and kept.left():
            _look_later(work, kept, looked)
        else:
            work.end(kept)
        looked()

    shared_timers().call_later(PAUSE, look)


def living() -> list[threading.Thread]:
    """
    Return the threads that run now.

    Not by ``is_alive()``: up to Python 3.12 that is false of a thread whose ``join()``
    was interrupted.
    """
    running = sys._current_frames()  # noqa: SLF001 - documented, and nothing else tells
    return [thread for thread in threading.enumerate() if thread.ident in running]


def threads_of(holds: Collection[WorkItem]) -> tuple[threading.Thread, ...]:
    """Return the threads that are no daemons and run what these holds are for."""
    idents = {hold.thread for hold in holds if hold.is_work}
    found = {thread for thread in living() if thread.ident in idents}
    for hold in holds:
        found.update(() if hold.left is None else hold.left())
    found.discard(threading.main_thread())
    return tuple(thread for thread in found if not thread.daemon)


def main_thread() -> int | None:
    """Return the identifier of the thread that signals come to."""
    return threading.main_thread().ident


def _is_of_exit(error: BaseException | None) -> bool:
    for _ in range(MOST_CAUSES):
        if error is None:
            break
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return True
        error = error.__cause__ or error.__context__
    return False
