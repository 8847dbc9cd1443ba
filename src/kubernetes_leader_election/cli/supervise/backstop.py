"""
The backstop: a third process, which acts only where the other two cannot.

It stands between ``run`` and its watchdog (:mod:`.watchdog`) and adopts what the watchdog
leaves behind. Two things make it act. The watchdog has died: then nothing below may go
on, and if ``run`` was killed along with it nobody else is left to see to that. Or the
hard limit of G2 has passed and something still lives: then both the others are frozen,
or one is and the other is dead.

Otherwise it sleeps. It has a name of its own, as the watchdog has, so that what is
meant for ``run`` does not hit all three. What remains: all three killed at once. Then
the kernel kills the command itself (PR_SET_PDEATHSIG), but nothing that it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NoReturn

from kubernetes_leader_election.cli.supervise.linux import (
    become_subreaper,
    boottime,
    descendants,
    remove_folder,
    set_name,
    signal_all,
)
from kubernetes_leader_election.process.kernel_timers import BoottimeTimer

NAME: Final = b"leader-backstop"
LOOK_AGAIN: Final = 0.01
"""Seconds between two looks for descendants that are being killed."""
GONE_LOOKS: Final = 500
GONE_PAUSE: Final = 0.01
"""Looks, and seconds between two, whether ``run`` removes its folder, or is gone."""
_KEPT: Final = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD)


class SharedLimit:
    """
    When the backstop is to kill the command in progress, in memory that is shared.

    ``run`` writes it, and needs nobody who reads: so it can be frozen or killed at any
    instant. One aligned number, which is written and read as a whole.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        """The page that is shared."""
        self._number = ctypes.c_double.from_buffer(self._memory)
        """The limit in it, CLOCK_BOOTTIME; 0.0: there is none. `run` alone writes it."""
        self._number.value = 0.0
        self._changed = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Can be read when there is a limit where there was none."""

    def fileno(self) -> int:
        """Return the descriptor to poll for a limit where there was none."""
        return self._changed

    @property
    def at(self) -> float | None:
        """The CLOCK_BOOTTIME by which everything has ended; None: there is no limit."""
        return self._number.value or None

    def set(self, at: float | None) -> None:
        """Move it; never blocks."""
        before, self._number.value = self._number.value, at or 0.0
        if at and not before:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self._changed, 1)

    def clear(self) -> None:
        """Take note that there is one."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._changed)


class Backstop:
    """Look after one watchdog until it has ended."""

    def __init__(self, limit: SharedLimit, watchdog: int) -> None:
        self._limit = limit
        """When everything has ended."""
        self._watchdog = watchdog
        """Its process id."""
        self._timer = BoottimeTimer()
        """Wakes the loop at the limit."""
        self._died = False
        """Whether the watchdog ended otherwise than in good order."""

    def run(self) -> None:
        """Return when the watchdog has ended and nothing of it is left."""
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        poll = select.poll()
        for fd in (woken, self._limit.fileno(), self._timer.fd):
            poll.register(fd, select.POLLIN)
        while not self._is_over():
            killing = self._enforce()
            poll.poll(LOOK_AGAIN * 1000 if killing else None)
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            self._limit.clear()
            self._timer.clear()

    def _is_over(self) -> bool:
        """Reap; tell whether the watchdog ended in good order, or all after it."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True  # nobody is below this process any more
            if pid == 0:
                return False
            if pid == self._watchdog:
                if status == 0:
                    return True
                self._died = True

    def _enforce(self) -> bool:
        """Kill where the others did not; True: look again soon."""
        if self._died:
            signal_all(descendants(os.getpid()), signal.SIGKILL)
            return True
        due = self._limit.at
        if due is None or boottime() < due:
            self._timer.arm(due)
            return False
        # Not the watchdog: it has to tell `run` what has become of the command.
        left = descendants(self._watchdog)
        signal_all(left, signal.SIGKILL)
        self._timer.arm(None if left else boottime() + 1.0)
        return bool(left)


def _is_left(folder: str, parent: int) -> bool:
    """
    Return whether the parent has ended without removing its folder.

    It does that before it lets go of this process. One that is killed soon after the
    watchdog is waited for: on a busy machine there may be a second between the two.
    """
    for _ in range(GONE_LOOKS):
        if not os.path.exists(folder):  # noqa: PTH110 - no import between fork and exit
            return False
        if os.getppid() != parent:
            return True
        time.sleep(GONE_PAUSE)
    return False


@contextlib.contextmanager
def last_words(name: str) -> Iterator[None]:
    """Say what is wrong where a guard cannot go on, and end its process with 70."""
    try:
        yield
    except OSError as error:
        _end_with(f"kle: the {name} cannot go on: {error}\n")
    except BaseException:  # noqa: BLE001 - said below; nothing may lead back from here
        import traceback  # noqa: PLC0415 - a defect of ours, else never needed

        _end_with(traceback.format_exc())


def _end_with(text: str) -> NoReturn:
    try:
        os.write(2, text.encode())
    finally:
        os._exit(70)


def fork_guards(
    watch: Callable[[], NoReturn],
    limit: SharedLimit,
    link: Iterable[socket.socket],
    scratch: str | None,
) -> tuple[int, int]:
    """
    Fork the backstop, and the watchdog below it; return the process ids of both.

    Call it while this process has only one thread, and all signals are blocked: they
    would speak to its own loop. ``link`` is between ``run`` and the watchdog: the
    backstop does not keep it open, so that each sees the other's end. ``scratch`` is a
    folder to remove when nobody else can.

    Raises:
        OSError: the system gives no further process.

    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    run = os.getpid()
    try:
        backstop = os.fork()
    except OSError:
        os.close(told)
        os.close(tell)
        raise
    if backstop == 0:
        os.close(told)
        _be_backstop(watch, limit, link, tell)
        if scratch is not None and _is_left(scratch, run):
            remove_folder(scratch)  # the watchdog did so already, unless it was killed
        os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as answer:
        kind, _, number = answer.read().partition(b" ")
    if kind != b"pid":
        os.waitpid(backstop, 0)
        code = int(number or errno.ECHILD)  # it has said itself what is wrong
        raise OSError(code, os.strerror(code))
    return backstop, int(number)


def _be_backstop(
    watch: Callable[[], NoReturn],
    limit: SharedLimit,
    link: Iterable[socket.socket],
    tell: int,
) -> None:
    """Be the backstop until nothing is left; only the end of the process if it fails."""
    with last_words("backstop"):
        become_subreaper()
        try:
            watchdog = os.fork()
        except OSError as error:
            os.write(tell, b"errno %d" % (error.errno or 0))
            raise
        if watchdog == 0:
            os.close(tell)
            watch()
        for end in link:
            end.close()
        os.setpgid(0, 0)
        set_name(NAME)
        for number in signal.valid_signals():
            if number not in _KEPT:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_IGN)
        os.write(tell, b"pid %d" % watchdog)
        os.close(tell)
        Backstop(limit, watchdog).run()
