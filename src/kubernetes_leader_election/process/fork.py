"""
Am I the process that made this? Nothing of an election lives on after a fork.

The process id alone does not tell: a child in a PID namespace of its own may have the
number of its parent, 1 for one. Nor does a hook of Python's: a fork that is made in C
(a server such as uWSGI, ``libc.fork()`` by ctypes) runs none. So each process has a
page of memory that the kernel wipes in every child, however it is made
(MADV_WIPEONFORK, Linux 4.14), and a flag that the hook sets, where there is no such
page; the id is compared, too.

Nothing here takes a lock: a fork may have come while another thread had it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast

_T = TypeVar("_T")

_WIPE_ON_FORK: Final = 18
"""MADV_WIPEONFORK of ``<asm-generic/mman-common.h>``, which :mod:`mmap` does not name."""


class Process:
    """One process, told apart from every copy that a fork makes of this object."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        """Its number, in its own PID namespace."""
        self._page = _wiped_page()
        """Its first byte is 1 here and 0 in every child; None: no such page."""
        self._forked = False
        """Set by Python's own hook, in the child."""
        self._heirs: dict[None, Process] = {}
        """The process that this copy was found in: one at most, set once."""
        self._things: dict[object, object] = {}
        """What there is one of in each process, by what makes it."""

    @property
    def is_copy(self) -> bool:
        """Whether this object was made in a parent of the process that asks."""
        page = self._page
        return (
            self._forked
            or os.getpid() != self._pid
            or (page is not None and not page[0])
        )


class PerProcess(Generic[_T]):
    """
    Something that there is one of in each process: a child makes its own.

    Args:
        make: makes one. May be called twice by two threads; one is then dropped, so it
            starts nothing.

    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make

    def __call__(self) -> _T:
        """Return the one of this process."""
        things = this_process()._things  # noqa: SLF001 - one room
        found = things.get(self)
        if found is None:
            found = things.setdefault(self, self._make())
        return cast("_T", found)

    def of(self, process: Process) -> _T | None:
        """Return the one of a process, if it has made one."""
        return cast("_T | None", process._things.get(self))  # noqa: SLF001 - one room


def this_process() -> Process:
    """
    Return the object of the process that asks.

    In a child it finds out that it is one, and what :func:`on_child` was given is
    called then.
    """
    global _newest
    process = _newest
    while process.is_copy:
        heirs, fresh = process._heirs, Process()  # noqa: SLF001 - one room
        former, process = process, heirs.setdefault(None, fresh)
        _newest = process
        if process is fresh:
            for hook in _hooks:
                hook(former)
    return process


def on_child(hook: Callable[[Process], None]) -> None:
    """
    Call ``hook`` in every child process, with the parent's object; never twice.

    Right after the fork where Python hears of it, else when the child first asks for
    :func:`this_process`.
    """
    _hooks.append(hook)


def _wiped_page() -> Any:
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError, ValueError):  # an older kernel, or a sandbox
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
        page[0] = 1
        return page
    return None


def _after_fork_in_child() -> None:
    _newest._forked = True  # noqa: SLF001 - one room
    this_process()


_hooks: Final[list[Callable[[Process], None]]] = []
_newest = Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
