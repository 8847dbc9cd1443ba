"""What Linux offers and the standard library of Python 3.11 does not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from typing import Final, NamedTuple

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_CLOCK_BOOTTIME: Final = 7
_TFD_TIMER_ABSTIME: Final = 1
_TFD_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
_WNOTHREAD: Final = 0x2000_0000
"""Wait for children of the calling thread alone (wait(2), ``__WNOTHREAD``)."""

_libc = ctypes.CDLL(None, use_errno=True)


def boottime() -> float:
    """Read CLOCK_BOOTTIME: it goes on in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that none escapes by forking twice."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def die_with_parent(number: int) -> None:
    """Take a signal when the thread of the parent that forked this process ends."""
    _prctl(_PR_SET_PDEATHSIG, number, "PR_SET_PDEATHSIG")


def set_name(name: bytes) -> None:
    """Be called so in lists of processes: 15 characters at most."""
    _prctl(_PR_SET_NAME, name, "PR_SET_NAME")


def _prctl(option: int, value: int | bytes, what: str) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), what)


def reap_adopted() -> list[int]:
    """
    Reap the ended children of this thread; give their process ids.

    Those of other threads are left alone: `subprocess` waits for them there, and would
    take a child that somebody else has reaped for one that ended well.
    """
    reaped: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG | _WNOTHREAD)
        except ChildProcessError:
            return reaped
        if pid == 0:
            return reaped
        reaped.append(pid)


class Process(NamedTuple):
    """A living process."""

    pid: int
    group: int
    """Its process group, as /proc numbers it."""
    listed: int
    """Its number in /proc."""


def descendants(root: int) -> list[Process]:
    """
    List all living processes below ``root``, parents before children.

    ``root`` is this process or one below it. Gives none where there is no /proc: then
    only the process group can be reached.
    """
    try:
        entries = [x for x in os.listdir("/proc") if x.isdigit()]  # noqa: PTH208 - looked at often, in a hurry
        own = int(os.readlink("/proc/self"))  # noqa: PTH115
        # After `unshare --pid` alone, /proc still numbers as the parent does.
        depth = len(_namespace_pids("self")) if own != os.getpid() else 0
    except OSError:
        return []
    children: dict[int, list[Process]] = {}
    for entry in entries:
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                stat = file.read()
            pids = _namespace_pids(entry) if depth else [int(entry)]
        except OSError:
            continue  # it ended while we looked
        if len(pids) < depth:
            continue  # outside of our namespace
        state, parent, group = stat[stat.rindex(b")") + 2 :].split(b" ", 3)[:3]
        if state not in b"ZX":
            process = Process(pids[depth - 1], int(group), int(entry))
            children.setdefault(int(parent), []).append(process)
    # From this process on, since other namespaces have the same numbers.
    below = _below(own, children)
    if root == os.getpid():
        return below
    top = next((process for process in below if process.pid == root), None)
    return [] if top is None else _below(top.listed, children)


def _below(listed: int, children: dict[int, list[Process]]) -> list[Process]:
    found, next_ones = [], list(children.get(listed, ()))
    while next_ones:
        process = next_ones.pop(0)
        found.append(process)
        next_ones.extend(children.get(process.listed, ()))
    return found


def _namespace_pids(entry: str) -> list[int]:
    """Give the numbers of a process, from the namespace of /proc inwards."""
    with open(f"/proc/{entry}/status", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"NSpid:"):
                return [int(x) for x in line.split()[1:]]
    return []


def signal_all(processes: list[Process], number: int) -> list[int]:
    """Send a signal to each that still lives; give those that may not be sent one."""
    refused: list[int] = []
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            refused.append(process.pid)
    return refused


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class BoottimeTimer:
    """A kernel timer on CLOCK_BOOTTIME, to be polled: right after a suspend, too."""

    def __init__(self) -> None:
        self.fd: int = _libc.timerfd_create(_CLOCK_BOOTTIME, _TFD_NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def arm(self, at: float | None) -> None:
        """Fire at a CLOCK_BOOTTIME, or never."""
        at = 0.0 if at is None else max(at, 1e-9)
        value = _TimeSpec(int(at), int(at % 1 * 1e9))
        spec = _TimerSpec(_TimeSpec(0, 0), value)
        flags = _TFD_TIMER_ABSTIME
        if _libc.timerfd_settime(self.fd, flags, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Take note that it fired."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)
