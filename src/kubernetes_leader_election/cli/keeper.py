"""
The keeper: a small process between ``run`` and the command it runs.

It starts the command, adopts whatever that leaves behind, and ends all of it at the
hard limit of G2, by a kernel timer of its own: also when ``run`` itself is killed or
frozen. It is forked before ``run`` starts any thread, needs the standard library alone
and never talks to the API server.

What remains: whoever kills the keeper itself with -9 kills the command too (the kernel
does that), and ``run`` ends the grandchildren it then inherits; whoever freezes both
processes has stopped the hands that would act, and only the fencing token helps.

Messages, one JSON object a datagram. In: ``start``, ``extend`` (a later limit),
``signal``, ``end`` (TERM now, KILL at ``kill_at``). Out: ``started``, ``failed``
(errno), ``exited`` (wait status), ``empty``.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any, Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CLOCK_BOOTTIME: Final = 7
_TFD_TIMER_ABSTIME: Final = 1
_TFD_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
LARGEST_MESSAGE: Final = 1 << 20
POLL_LEFTOVERS: Final = 0.02
"""Seconds between two looks for descendants that are being ended."""

_libc = ctypes.CDLL(None, use_errno=True)


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def boottime() -> float:
    """Read CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that none escapes by forking twice."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def descendants(root: int) -> list[int]:
    """List all living processes below ``root``, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue  # it ended while we looked
        state, parent = stat[stat.rindex(")") + 2 :].split(" ", 2)[:2]
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(entry.name))
    found, below = [], list(children.get(root, ()))
    while below:
        pid = below.pop(0)
        found.append(pid)
        below.extend(children.get(pid, ()))
    return found


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class _Timer:
    """A kernel timer on CLOCK_BOOTTIME: it goes on in suspend."""

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


class Keeper:
    """The keeper's loop. One command at a time, any number one after the other."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._timer = _Timer()
        self._limit: float | None = None
        self._child: int | None = None
        self._own_group = True
        self._ending = False
        self._parent_lives = True

    def run(self) -> NoReturn:
        """Serve until the parent is gone and nothing is left to end."""
        become_subreaper()
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGTSTP,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGPIPE,
        ):
            signal.signal(number, signal.SIG_IGN)
        woken, wake = os.pipe2(_TFD_NONBLOCK_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        for fd in (self._link.fileno(), woken, self._timer.fd):
            poll.register(fd, select.POLLIN)
        while self._parent_lives or self._busy():
            wait = POLL_LEFTOVERS * 1000 if self._ending else None
            for fd, _ in poll.poll(wait):
                if fd == self._timer.fd:
                    self._timer.clear()
                elif fd == woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                elif not self._receive():
                    poll.unregister(fd)
            self._reap()
            self._enforce()
        os._exit(0)

    def _busy(self) -> bool:
        return self._child is not None or self._ending

    def _receive(self) -> bool:
        try:
            data = self._link.recv(LARGEST_MESSAGE)
        except ConnectionError:
            data = b""
        if not data:
            # The parent is gone: end in good order what time allows.
            self._parent_lives = False
            if self._busy():
                self._end(self._limit)
            return False
        message: dict[str, Any] = json.loads(data)
        match message["do"]:
            case "start":
                self._start(message)
            case "extend":
                if not self._ending:
                    self._set_limit(message["limit"])
            case "signal":
                self._forward(message["number"])
            case "end":
                self._end(message["kill_at"])
        return True

    def _set_limit(self, limit: float | None) -> None:
        self._limit = limit
        self._timer.arm(limit)

    def _start(self, message: dict[str, Any]) -> None:
        self._own_group = message["own_group"]
        self._ending = False
        self._set_limit(message["limit"])
        told, tell = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            os.close(told)
            self._become(message, tell)
        os.close(tell)
        with os.fdopen(told, "rb") as pipe:
            failure = pipe.read()
        if failure:
            os.waitpid(pid, 0)
            self._set_limit(None)
            self._say({"failed": int(failure)})
            return
        self._child = pid
        self._say({"started": pid})

    def _become(self, message: dict[str, Any], tell: int) -> NoReturn:
        """Be the command; only exec or the exit code lead out of here."""
        code = errno.ENOEXEC
        try:
            # Follows this process's only thread, so it fires when the keeper dies.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if self._own_group:
                os.setpgid(0, 0)
            for number in range(1, signal.NSIG):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            os.execvpe(message["command"][0], message["command"], message["env"])  # noqa: S606 - running it is what was asked for
        except OSError as error:
            code = error.errno or code
        finally:
            os.write(tell, str(code).encode())
            os._exit(127)
        raise AssertionError

    def _forward(self, number: int) -> None:
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._own_group:
                os.killpg(self._child, number)
            else:
                os.kill(self._child, number)

    def _end(self, kill_at: float | None) -> None:
        """TERM to everybody now, KILL to whoever is left at ``kill_at``."""
        if not self._ending:
            self._ending = True
            everybody = descendants(os.getpid())
            signal_all(everybody, signal.SIGTERM)
            # A stopped process takes its TERM only when it goes on.
            signal_all(everybody, signal.SIGCONT)
        limits = [x for x in (kill_at, self._limit) if x is not None]
        self._set_limit(min(limits, default=None))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._child:
                self._child = None
                self._say({"exited": status})
                # What it left behind goes too: released only after all are gone.
                self._end(self._limit)
        if self._ending and self._child is None and not descendants(os.getpid()):
            self._ending = False
            self._set_limit(None)
            self._say({"empty": True})

    def _enforce(self) -> None:
        """G2: at the limit everything ends, whatever it is doing."""
        if self._limit is None or not self._busy() or boottime() < self._limit:
            return
        self._ending = True
        signal_all(descendants(os.getpid()), signal.SIGKILL)

    def _say(self, message: dict[str, Any]) -> None:
        if self._parent_lives:
            with contextlib.suppress(ConnectionError):
                self._link.send(json.dumps(message).encode())


class Link:
    """The parent's end: orders to the keeper, and what it says."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._sock = sock
        self.pid = pid

    def start(
        self,
        command: list[str],
        env: dict[str, str],
        *,
        limit: float | None,
        own_group: bool,
    ) -> None:
        """Start a command that has to be gone at ``limit`` (CLOCK_BOOTTIME)."""
        self._send(
            {
                "do": "start",
                "command": command,
                "env": env,
                "limit": limit,
                "own_group": own_group,
            }
        )

    def extend(self, limit: float | None) -> None:
        """Move the limit: leadership was renewed."""
        self._send({"do": "extend", "limit": limit})

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        self._send({"do": "signal", "number": number})

    def end(self, kill_at: float | None) -> None:
        """End the command: TERM now, KILL at ``kill_at`` (CLOCK_BOOTTIME)."""
        self._send({"do": "end", "kill_at": kill_at})

    def receive(self) -> dict[str, Any] | None:
        """Wait for the keeper to say something; None when it is gone."""
        try:
            data = self._sock.recv(LARGEST_MESSAGE)
        except ConnectionError:
            return None
        return json.loads(data) if data else None

    def _send(self, message: dict[str, Any]) -> None:
        # A keeper that is gone is heard of by `receive`.
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            self._sock.send(json.dumps(message).encode())


def fork_keeper() -> Link:
    """Fork the keeper. Call it while this process has only one thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            Keeper(theirs).run()
        finally:
            os._exit(70)
    theirs.close()
    return Link(ours, pid)
