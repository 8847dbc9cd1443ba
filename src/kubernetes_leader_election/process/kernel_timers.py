"""Timers of the Linux kernel that can be polled: Python 3.11 has none."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import Final

_CLOCK_REALTIME: Final = 0
_CLOCK_BOOTTIME: Final = 7
_TFD_TIMER_ABSTIME: Final = 1
_TFD_TIMER_CANCEL_ON_SET: Final = 2
_TFD_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC

_NEVER: Final = 2.0**33
"""A time of the wall clock that will not come: the year 2242."""

_libc = ctypes.CDLL(None, use_errno=True)


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class BoottimeTimer:
    """A kernel timer on CLOCK_BOOTTIME, to be polled: right after a suspend, too."""

    def __init__(self) -> None:
        self.fd: int = _make_timer(_CLOCK_BOOTTIME)

    def arm(self, at: float | None) -> None:
        """Fire at a CLOCK_BOOTTIME, or never."""
        _set_timer(self.fd, 0.0 if at is None else max(at, 1e-9), _TFD_TIMER_ABSTIME)

    def clear(self) -> None:
        """Take note that it fired."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)


class WallClockAlarm:
    """
    Something to be polled that fires when the wall clock is set, by whomever.

    After a suspend, too: then the kernel sets it. Never where the system does not tell
    (gVisor).

    Raises:
        OSError: the system knows no such timers.
    """

    def __init__(self) -> None:
        self.fd: int = _make_timer(_CLOCK_REALTIME)
        self.tells = False
        """Whether the system tells when the clock is set."""
        self.clear()

    def clear(self) -> None:
        """Take note that it fired, and wait for the next time."""
        with contextlib.suppress(OSError):  # ECANCELED: that is how it fires
            os.read(self.fd, 8)
        try:
            flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
            _set_timer(self.fd, _NEVER, flags)
        except OSError as error:
            # Set once more in between: whoever cleared it looks at the clocks now.
            self.tells = error.errno == errno.ECANCELED
        else:
            self.tells = True


def _make_timer(clock: int) -> int:
    fd: int = _libc.timerfd_create(clock, _TFD_NONBLOCK_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return fd


def _set_timer(fd: int, at: float, flags: int) -> None:
    value = _TimeSpec(int(at), int(at % 1 * 1e9))
    spec = _TimerSpec(_TimeSpec(0, 0), value)
    if _libc.timerfd_settime(fd, flags, ctypes.byref(spec), None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")
