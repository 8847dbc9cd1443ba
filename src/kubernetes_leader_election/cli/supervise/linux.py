"""What Linux offers and the standard library of Python 3.11 does not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from typing import Final, NamedTuple

from kubernetes_leader_election.core.timing import Now

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_WNOTHREAD: Final = 0x2000_0000
"""Wait for children of the calling thread alone (wait(2), ``__WNOTHREAD``)."""

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"

_libc = ctypes.CDLL(None, use_errno=True)


def boottime() -> float:
    """Read CLOCK_BOOTTIME: it goes on in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_clocks() -> Now:
    """Read all clocks of rule 14: a leader counts the largest elapsed time."""
    return Now(boottime(), time.monotonic(), time.time_ns() // 1000)


def clock_origin() -> tuple[str, str]:
    """
    Return what this process counts CLOCK_BOOTTIME and CLOCK_MONOTONIC from.

    The boot of this machine, and the time namespace; empty where there is no /proc, or
    no such namespace (Linux before 5.6). Readings of two processes can be compared only
    if both have the same origin.
    """
    boot = namespace = ""
    with contextlib.suppress(OSError), open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123
        boot = file.read().strip()
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/time")  # noqa: PTH115
    return boot, namespace


def children_have_other_clocks() -> bool:
    """
    Return whether a forked process would get another time namespace than this one.

    So it is after `unshare --time` without --fork, on Linux before 6.3.
    """
    try:
        return os.readlink("/proc/self/ns/time") != os.readlink(  # noqa: PTH115
            "/proc/self/ns/time_for_children"
        )
    except OSError:
        return False


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that none escapes by forking twice."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def die_with_parent(number: int) -> None:
    """Take a signal when the thread of the parent that forked this process ends."""
    _prctl(_PR_SET_PDEATHSIG, number, "PR_SET_PDEATHSIG")


def set_name(name: bytes) -> None:
    """
    Be called so in lists of processes, with and without arguments.

    15 characters at most. The arguments are overwritten too, so that what is meant for
    the parent (`pkill -f`) does not hit this process along with it. For a forked
    process alone: Python itself does not read its arguments there again.
    """
    _prctl(_PR_SET_NAME, name, "PR_SET_NAME")
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            stat = file.read()
        fields = stat[stat.rindex(b")") + 2 :].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: proc(5)
    except (OSError, IndexError):
        return
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, name, min(len(name), end - start - 1))


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
    """Return the numbers of a process, from the namespace of /proc inwards."""
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


def remove_folder(name: str) -> None:
    """Remove a folder and the files in it, as far as that can be done."""
    with contextlib.suppress(OSError):
        for file in os.listdir(name):  # noqa: PTH208
            os.unlink(os.path.join(name, file))  # noqa: PTH108, PTH118
        os.rmdir(name)  # noqa: PTH106
