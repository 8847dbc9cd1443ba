"""
An instant at which the kernel ends this whole process, whatever that does meanwhile.

No Python runs for it and no thread of ours has to: C code may keep the GIL, a loop may
be blocked, the process be stopped or frozen; then it ends as the first thing when it
goes on.

An ordinary process is ended by SIGKILL, which nothing blocks or catches. Process 1 of a
PID namespace, as the program of a container usually is, ignores a SIGKILL from inside.
There it is a real-time signal whose handler is the C library's ``_exit`` itself: its
argument is the number of the signal, and so that is the exit code, 64 as a rule.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import signal
import sys
from typing import Final

from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.fork import (
    PerProcess,
    Process,
    on_child,
    this_process,
)
from kubernetes_leader_election.process.kernel_timers import (
    CLOCK_BOOTTIME,
    CLOCK_REALTIME,
    SignalTimer,
    error_of,
)

_DEFAULT: Final = 0
_IGNORED: Final = 1
_ROOM: Final = 64
"""Pointers that a ``struct sigaction`` takes at most, with much to spare."""

_libc = ctypes.CDLL(None, use_errno=True)


class ProcessEnd:
    """The signal that ends this process. One for all electors of the process."""

    def __init__(self) -> None:
        self.number = 0
        """Of the signal; 0: none was chosen yet."""
        self.thread: int | None = None
        """The thread that looked last, and lets the signal through; None: SIGKILL."""
        self._users: dict[object, None] = {}
        """Who needs it now: as long as there is any, its handler stays."""

    def __str__(self) -> str:
        """Say how the process ends, for people."""
        if self.number == signal.SIGKILL:
            return "SIGKILL"
        return f"exit code {self.number}"

    def begin(self, user: object) -> None:
        """
        See to it that such a timer can be had and ends this process.

        Raises:
            OSError: the system has no such timers, or every signal is in use.

        """
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "only Linux has such timers")
        self._users[user] = None
        try:
            self._see_to_handler()
            EndTimer(self)
        except BaseException:
            self.end(user)
            raise

    def end(self, user: object) -> None:
        """Note that this user needs it no more: the last one gives the signal back."""
        self._users.pop(user, None)
        if not self._users:
            self._give_back()
            if self._users:  # another one has come meanwhile
                self._see_to_handler()

    def look(self) -> str:
        """
        See to it that the signal still ends this process, and reaches this thread.

        Others may have put another handler there, or blocked it. Called in a thread that
        lives as long as the timers, and at each look.

        Returns:
            What others have done to it, and what was done about that; empty: nothing.

        Raises:
            OSError: others took it, and every other signal is in use.

        """
        meddling = self._see_to_handler()
        if self.number != signal.SIGKILL:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (self.number,))
            self.thread = native.get_native_id()
        return meddling

    def _see_to_handler(self) -> str:
        if not _is_first_process():
            self.number = signal.SIGKILL
            return ""
        former = number = self.number
        handler = _handler_of(number) if number else None
        if handler == _exit_of_libc():
            return ""
        if handler not in (_DEFAULT, _IGNORED):
            number = _free_signal()
        _set_handler(number, _exit_of_libc())
        self.number = number
        if not former:
            return ""
        if number != former:
            return f"others handle signal {former} now: {number} is taken in its place"
        return f"others took away the handler of signal {number}: it is put back"

    def drop_after_fork(self) -> None:
        """In a child, which inherited the handler: take it away."""
        self._give_back()

    def _give_back(self) -> None:
        number = self.number
        if number in (0, signal.SIGKILL) or _handler_of(number) != _exit_of_libc():
            return
        _set_handler(number, _DEFAULT)


class EndTimer:
    """
    When the kernel ends this process; it can be moved, and called off. Any thread.

    In a child process it does nothing: timers are not inherited.

    Args:
        end: the signal.

    Raises:
        OSError: the system has no more timers.

    """

    __slots__ = ("_by_boottime", "_by_wall", "number")

    def __init__(self, end: ProcessEnd) -> None:
        process = this_process()
        self.number = number = end.number
        """The signal that it sends."""

        def is_copy() -> bool:
            return process.is_copy

        def make(clock: int) -> list[SignalTimer]:
            # Whichever thread works now takes it at once, unless it is one that waits for
            # all signals, or in the kernel for a disk: then the one that looks takes it.
            timers = [SignalTimer(clock, number, is_copy=is_copy)]
            if end.thread is not None:
                thread = end.thread
                timers.append(
                    SignalTimer(clock, number, thread=thread, is_copy=is_copy)
                )
            return timers

        self._by_boottime = make(CLOCK_BOOTTIME)
        # A guest that was paused sees only this one go on: when the host sets it.
        self._by_wall = make(CLOCK_REALTIME)

    def arm(self, *, boottime: float, wall: float) -> None:
        """
        End the process at the first of two instants; at once where one is over.

        Args:
            boottime: seconds of CLOCK_BOOTTIME.
            wall: seconds since 1970, UTC; also when that clock is set past it.

        """
        for timer in self._by_boottime:
            timer.arm(boottime)
        for timer in self._by_wall:
            timer.arm(wall)

    def call_off(self) -> None:
        """End nothing until it is armed again."""
        for timer in (*self._by_boottime, *self._by_wall):
            timer.arm(None)


shared_process_end: Final = PerProcess(ProcessEnd)
"""Return the one of this process."""


def _is_first_process() -> bool:
    """Return whether this is process 1 of its PID namespace, which SIGKILL spares."""
    return os.getpid() == 1


def _free_signal() -> int:
    """Return a real-time signal that nobody uses, as far as can be seen."""
    if os.uname().machine.startswith("mips"):
        raise OSError(errno.ENOSYS, "its struct sigaction is another one on MIPS")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    free = [n for n in _real_time_signals() if _handler_of(n) == _DEFAULT]
    # Who blocks one may be waiting for it (sigwait, signalfd); who blocks all may not.
    for number in (*(n for n in free if n not in blocked), *free):
        return number
    raise OSError(errno.EBUSY, "every real-time signal has a handler or is ignored")


def _real_time_signals() -> range:
    """Return those that the C library leaves to programs, the least used ones first."""
    return range(signal.SIGRTMAX, signal.SIGRTMIN - 1, -1)


def _exit_of_libc() -> int:
    found = ctypes.cast(_libc._exit, ctypes.c_void_p).value  # noqa: SLF001 - its name in C
    assert found is not None  # noqa: S101 - for the type checker
    return found


def _handler_of(number: int) -> int:
    """Return the address of its handler, as the kernel has it: Python is told of none."""
    found = (ctypes.c_void_p * _ROOM)()
    if _libc.sigaction(number, None, found) != 0:
        raise error_of("sigaction")
    return found[0] or _DEFAULT


def _set_handler(number: int, handler: int) -> None:
    # By signal(), whose arguments are the same in every C library; a sigaction is not.
    call = _libc.signal
    call.argtypes, call.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    failed = ctypes.c_void_p(-1).value
    if call(number, handler) == failed:
        raise error_of("signal")


def _after_fork_in_child(parent: Process) -> None:
    end = shared_process_end.of(parent)
    if end is not None:
        try:
            end.drop_after_fork()
        except OSError:
            logging.getLogger("kubernetes_leader_election").exception(
                "signal %d keeps the handler of the hard fence in a child process",
                end.number,
            )


on_child(_after_fork_in_child)
