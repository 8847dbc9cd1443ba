"""
Wake the engine when a clock jumps: after a suspend, or because the wall clock is set.

A leader has to look at its clocks then (rule 14), and a timed wait stands still in
suspend. Linux tells of each jump, so a leader needs not wake up just to look. Whatever
makes CLOCK_BOOTTIME go ahead of CLOCK_MONOTONIC moves the wall clock by the same step.
"""

from __future__ import annotations

import contextlib
import select
import sys
from collections.abc import Callable
from typing import Final, Protocol

from kubernetes_leader_election.process import native

MOST_IN_A_ROW: Final = 100
"""Jumps without a pause that are told: a timer that is always ready tells nothing."""


class Alarm(Protocol):
    """What tells when a clock jumps; tests bring their own."""

    rings: bool
    """Whether a jump is told; else somebody has to look at the clocks often."""

    def start(self) -> None:
        """Begin to tell, if that can be had and was not begun. Never raises."""
        ...

    def drop_after_fork(self) -> None:
        """In a child: close the descriptor that is a copy of the parent's."""
        ...


class ClockAlarm:
    """
    An :class:`Alarm` on a thread that sleeps until the kernel tells of a jump.

    Args:
        on_jump: called on that thread after each; never blocks.

    """

    def __init__(self, on_jump: Callable[[], None]) -> None:
        self._on_jump = on_jump
        self._started = False
        self._fd: int | None = None
        self.rings = False
        """Whether a jump is told. By the thread of the alarm."""

    def start(self) -> None:
        """Begin to tell, if that can be had and was not begun. One thread calls this."""
        if self._started:
            return
        self._started = True
        if sys.platform != "linux":
            return
        # Nobody to start is no trouble: the clocks are looked at often, then.
        with contextlib.suppress(RuntimeError, MemoryError):
            native.start_thread(self._run, name="leader-election-clocks")

    def drop_after_fork(self) -> None:
        """In a child: close the descriptor that is a copy of the parent's."""
        self.rings = False
        descriptor, self._fd = self._fd, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                native.original("os", "close")(descriptor)

    # Its thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._tell()
        except (OSError, ImportError, AttributeError, RuntimeError):
            # A sandbox without such timers, or gevent has patched the locks of the import
            # (RuntimeError): the clocks are looked at often.
            pass
        finally:
            self.rings = False
            self._on_jump()  # or the wait that is under way would be a long one

    def _tell(self) -> None:
        from kubernetes_leader_election.process.kernel_timers import (  # noqa: PLC0415 - who leads pays for it, on this thread
            WallClockAlarm,
        )

        alarm = WallClockAlarm()
        self._fd = alarm.fd
        poll = native.original("select", "poll")()
        poll.register(alarm.fd, select.POLLIN)
        in_a_row = 0
        while alarm.tells and in_a_row < MOST_IN_A_ROW:
            self.rings = True
            in_a_row = in_a_row + 1 if poll.poll(0) else 0
            poll.poll()
            alarm.clear()
            self._on_jump()
