"""
Timers of the Linux kernel that Python 3.11 has not: to be polled, or to send a signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any, Final

CLOCK_REALTIME: Final = 0
CLOCK_BOOTTIME: Final = 7
_TIMER_ABSTIME: Final = 1
_SIGEV_SIGNAL: Final = 0
_SIGEV_THREAD_ID: Final = 4
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


class _SignalEvent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("rest", ctypes.c_char * (64 - 12 - ctypes.sizeof(ctypes.c_void_p))),
    )


class BoottimeTimer:
    """A kernel timer on CLOCK_BOOTTIME, to be polled: right after a suspend, too."""

    def __init__(self) -> None:
        self.fd: int = _make_timer(CLOCK_BOOTTIME)

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
        self.fd: int = _make_timer(CLOCK_REALTIME)
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


class SignalTimer:
    """
    A kernel timer that sends this process a signal, whatever its threads do.

    It ends with the last reference to it, and is not there any more in a child or after
    an exec; so a child must neither set nor drop its copy, whose number may be that of
    a timer of its own: ``is_copy`` tells.

    Args:
        clock: which clock it goes by: :data:`CLOCK_BOOTTIME` also right after a suspend,
            :data:`CLOCK_REALTIME` also when that is set.
        number: of the signal.
        thread: the native identifier of the thread that is to get it; None: the kernel
            chooses one that does not block it.
        is_copy: tells whether this is the copy that a child inherited.

    Raises:
        OSError: the system knows no such timers, or has no more (they count among the
            pending signals of the user: RLIMIT_SIGPENDING).

    """

    __slots__ = ("_id", "_is_copy", "_libc")

    def __init__(
        self,
        clock: int,
        number: int,
        *,
        thread: int | None = None,
        is_copy: Callable[[], bool],
    ) -> None:
        self._is_copy = is_copy
        self._libc: Any = None
        libc = _library_of_timers()
        self._id = ctypes.c_void_p()
        event = _SignalEvent(signal=number, notify=_SIGEV_SIGNAL)
        if thread is not None:
            event.notify, event.thread = _SIGEV_THREAD_ID, thread
        if libc.timer_create(clock, ctypes.byref(event), ctypes.byref(self._id)) != 0:
            raise error_of("timer_create")
        self._libc = libc

    def arm(self, at: float | None) -> None:
        """Send the signal at this time of the clock, at once if it is over; or never."""
        at = 0.0 if at is None else max(at, 1e-9)
        value = _TimeSpec(int(at), int(at % 1 * 1e9))
        spec = _TimerSpec(_TimeSpec(0, 0), value)
        if self._is_copy():
            return
        if self._libc.timer_settime(self._id, _TIMER_ABSTIME, ctypes.byref(spec), None):
            raise error_of("timer_settime")

    def __del__(self) -> None:
        """Give it back."""
        if self._libc is not None and not self._is_copy():
            self._libc.timer_delete(self._id)


def error_of(call: str) -> OSError:
    """Return the error of a call of the C library that has failed just now."""
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")


def _library_of_timers() -> Any:
    if hasattr(_libc, "timer_create"):
        return _libc
    return ctypes.CDLL("librt.so.1", use_errno=True)  # glibc before 2.34


def _make_timer(clock: int) -> int:
    fd: int = _libc.timerfd_create(clock, _TFD_NONBLOCK_CLOEXEC)
    if fd < 0:
        raise error_of("timerfd_create")
    return fd


def _set_timer(fd: int, at: float, flags: int) -> None:
    value = _TimeSpec(int(at), int(at % 1 * 1e9))
    spec = _TimerSpec(_TimeSpec(0, 0), value)
    if _libc.timerfd_settime(fd, flags, ctypes.byref(spec), None) != 0:
        raise error_of("timerfd_settime")
