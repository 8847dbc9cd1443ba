"""Wait in a thread for news of an elector, or for the end of a signal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from kubernetes_leader_election.errors import (
    NotLeaderError,
)
from kubernetes_leader_election.lifecycle.call_context import (
    is_inside_work,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.preconditions import no_time_left
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import LONGEST_WAIT

_T = TypeVar("_T")


_GLANCE: Final = 0.05
"""Seconds after which a signal that came at the wrong instant is seen."""


def wait_for(
    lifecycle: Lifecycle[Any],
    check: Callable[[], _T | None],
    timeout: float | None,
    call: str,
    *,
    recheck_after: Callable[[], float] | None = None,
) -> _T:
    """
    Wait until ``check`` gives something true, and give that.

    It looks after every change, and after the seconds that ``recheck_after`` says.
    """
    wake_ups = native.wake_ups()
    until = None if timeout is None else time.monotonic() + timeout
    waiter = partial(wake_ups.put, None)
    lifecycle.waiters.add(waiter)
    try:
        while True:
            found = check()
            if found:
                return found
            pause = (
                LONGEST_WAIT
                if recheck_after is None
                else min(LONGEST_WAIT, recheck_after())
            )
            if until is not None:
                left = until - time.monotonic()
                if left <= 0.0:
                    raise no_time_left(
                        lifecycle, f"{call} did not return", timeout or 0.0
                    )
                pause = min(pause, left)
            wake_ups.wait(max(0.0, pause))
    except NotLeaderError as error:
        stopped = error
    finally:
        lifecycle.waiters.remove(waiter)
        wake_ups.close()
    let_signal_end()
    raise stopped


def _wait_for_signal(seconds: float) -> None:
    """
    Wait until a signal ends this thread, so many seconds at most.

    A little at a time: Python acts on a signal that comes when a thread is about to wait
    in the kernel only when that wait is over.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0.0:
        threading.Event().wait(min(left, _GLANCE))


def let_signal_end() -> None:
    """Let a signal that is to end this thread do so, rather than an error of the stop."""
    wait = 0.0 if is_inside_work() else shared_auto_close().longest_wait()
    if wait:
        _wait_for_signal(wait)  # ended by it


def end_with_signal() -> None:
    """Give signals back; let one that is about to end this thread do so here."""
    wait = shared_auto_close().longest_wait(stopped=True)
    if wait:
        _wait_for_signal(wait)
    shared_auto_close().take_back()
