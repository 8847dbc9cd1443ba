"""
The watchdog: a small process between ``run`` and the command it runs.

It starts the command, adopts whatever that leaves behind, and ends all of it in time by
a kernel timer of its own that each renewal sets anew: TERM at the renew deadline, KILL
at the hard limit of G2. So the command dies before another may start also when ``run``
itself is killed or frozen. It is forked before ``run`` starts any thread, needs the
standard library alone and never talks to the API server.

An order may be read late, since this process was frozen or the one that gave it. So
limits are instants on every clock (:mod:`.term_deadline`), compared when the order is
read and again just before the command is executed; an order that was called off, or
whose term is over, starts nothing.

What remains: whoever kills this process with -9 kills the command too (the kernel does
that), and ``run`` or the backstop (:mod:`.backstop`) ends the rest; whoever freezes it
leaves it to them. Whoever freezes all three, or the whole machine, has stopped the
hands that would act: then the first thing they do when they go on is to kill, and only
the fencing token, or ``check``, protects until then.

Messages, one JSON object a datagram. In: ``start``, ``extend`` (later times),
``signal``, ``end`` (a signal now, KILL at ``kill_at``). Out: ``started``, ``unstarted``
(why), ``failed`` (errno), ``stopped``, ``exited`` (wait status), ``overdue`` (ended by
the timer), ``refused`` (processes that may not be killed), ``empty`` (nothing is left).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from kubernetes_leader_election.cli.supervise.linux import (
    become_subreaper,
    boottime,
    descendants,
    die_with_parent,
    read_clocks,
    remove_folder,
    set_name,
    signal_all,
)
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.process.kernel_timers import (
    BoottimeTimer,
    WallClockAlarm,
)

LARGEST_MESSAGE: Final = 1 << 16
TOO_LATE: Final = 1 << 16
"""Beside the numbers of errors: the command was not executed, as its term is over."""
KILL_AGAIN: Final = 0.01
"""Seconds between two looks for descendants that are being killed."""
NAME: Final = b"leader-watchdog"

_PYTHON_IGNORES: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
_TERMINATORS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PASSING: Final = (
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the watchdog is told when it is forked; the rest comes in messages."""

    command: list[str]
    ignored: frozenset[int]
    """Signals that were ignored when ``run`` was started, as by nohup."""
    grace: float | None
    """Seconds for the command to stop when ``run`` is gone and no limit is set; no end."""
    scratch: str | None
    """A folder to remove when ``run`` did not come to it."""


@dataclass(slots=True, kw_only=True)
class Command:
    """One command, from the order to start it until nothing of it is left."""

    leftover_budget: float = 1.0
    """Seconds that what it leaves behind may need to stop."""
    begin: Deadline | None = None
    """The end of the term as of its last renewal: after it the command cannot begin."""
    term: Deadline | None = None
    """When TERM is due."""
    limit: Deadline | None = None
    """When KILL is due, of the term."""
    kill_at: float | None = None
    """When it is due besides, of an order or of what was left behind: CLOCK_BOOTTIME."""
    child: int | None = None
    """Its process, from the fork until that is reaped."""
    told: int | None = None
    """Where the child says that it could not be executed; None: it is known."""
    group: int | None = None
    """Its process group, when its process is over: others may be left in it."""
    ending: bool = False
    """It was told to end, or is over and what it left behind was told."""
    killing: bool = False
    """KILL was due once."""
    refused: list[int] = field(default_factory=list)
    """The processes that could not be killed when that was said last."""

    def take_limits(self, message: dict[str, Any]) -> None:
        """Move the limits to those of an order."""
        limits = message["limits"][:3]
        found = (None if clocks is None else Deadline(*clocks) for clocks in limits)
        self.begin, self.term, self.limit = found

    def is_too_late(self) -> bool:
        """G2: tell whether the term is over, by any clock, as far as is known here."""
        return self.begin is not None and self.begin.left(read_clocks()) <= 0.0

    def is_overdue(self) -> bool:
        """Return whether TERM is due: at its time, at once where a guest was paused."""
        now = read_clocks()
        if self.term is None or self.begin is None:
            return False
        return self.term.left(now) <= 0.0 or self.begin.shows_pause(now)

    def left(self) -> float | None:
        """Return the seconds until the KILL; None: nobody has set a time for it."""
        times = []
        if self.limit is not None:
            times.append(self.limit.left(read_clocks()))
        if self.kill_at is not None:
            times.append(self.kill_at - boottime())
        return min(times, default=None)

    def next_due(self) -> float | None:
        """Return the seconds until TERM or KILL; None: there is no limit."""
        times = [self.left()]
        if not self.ending and self.term is not None:
            times.append(self.term.left(read_clocks()))
        return min((x for x in times if x is not None), default=None)

    def forward(self, number: int) -> None:
        """Send a signal to its process group, while its process is there."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child, number)


class Watchdog:
    """The watchdog's loop. One command at a time, any number one after the other."""

    def __init__(
        self, link: socket.socket, errand: Errand, *, mask: Iterable[int]
    ) -> None:
        self._link = link
        """To `run`."""
        self._mask = mask
        """Signals to block again, which were blocked before the fork."""
        self._errand = errand
        """What to do, for all commands."""
        self._timer = BoottimeTimer()
        """Wakes the loop when something is due."""
        self._wall = WallClockAlarm()
        """Wakes it when the wall clock is set."""
        self._poll = select.poll()
        """What the loop waits in."""
        self._unsaid: deque[bytes] = deque()
        """Messages that wait for a place on the link."""
        self._parent_lives = True
        """Whether `run` still has its end of the link."""
        self._command: Command | None = None
        """The command in progress."""

    def run(self) -> None:
        """Serve until the parent is gone and nothing is left to end."""
        # A group of its own: what is sent to that of `run`, by a terminal or by a
        # shell, is not meant for the one who has to see to the end.
        os.setpgid(0, 0)
        become_subreaper()
        set_name(NAME)
        for number in (*_TERMINATORS, *_PASSING, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._link.setblocking(False)
        for fd in (self._link.fileno(), woken, self._timer.fd, self._wall.fd):
            self._poll.register(fd, select.POLLIN)
        while self._parent_lives or self._command is not None:
            killing = self._command is not None and self._command.killing
            for fd, _ in self._poll.poll(KILL_AGAIN * 1000 if killing else None):
                if fd == self._timer.fd:
                    self._timer.clear()
                elif fd == self._wall.fd:
                    self._wall.clear()
                elif fd == woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                elif fd == self._link.fileno():
                    self._receive()
                elif self._command is not None and fd == self._command.told:
                    self._learn_start(self._command)
            self._reap()
            self._enforce()
            self._flush()
        if self._errand.scratch is not None:  # a parent that was killed could not
            remove_folder(self._errand.scratch)

    # Messages -----------------------------------------------------------------

    def _receive(self) -> None:
        """Take all orders that wait: after a freeze the later ones change the first."""
        orders: list[dict[str, Any]] = []
        gone = False
        while not gone:
            try:
                data = self._link.recv(LARGEST_MESSAGE)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            gone = not data
            if data:
                orders.append(json.loads(data))
        for index, order in enumerate(orders):
            later = orders[index + 1 :]
            if order["do"] == "start" and _take_back(order, later, gone=gone):
                self._command = Command()  # nothing to end: the next look says so
                self._say({"unstarted": "it was called off before it could be"})
            else:
                self._obey(order)
        if not gone:
            return
        # The parent is gone: end in good order what time allows.
        self._parent_lives = False
        self._poll.unregister(self._link.fileno())
        if self._command is not None:
            grace = self._errand.grace
            kill_at = None if grace is None else boottime() + grace
            self._end(self._command, signal.SIGTERM, kill_at)

    def _obey(self, message: dict[str, Any]) -> None:
        command = self._command
        if message["do"] == "start":
            self._start(message)
        elif command is None:
            return  # its last word and this order have crossed
        elif message["do"] == "extend":
            command.take_limits(message)
            self._rearm(command)
        elif message["do"] == "signal":
            command.forward(message["number"])
        elif message["do"] == "end":
            self._end(command, message["number"], message["kill_at"])

    def _say(self, message: dict[str, Any]) -> None:
        self._unsaid.append(json.dumps(message).encode())

    def _flush(self) -> None:
        """Send what is unsaid; a parent that is frozen reads it later."""
        while self._unsaid and self._parent_lives:
            try:
                self._link.send(self._unsaid[0])
            except BlockingIOError:
                self._poll.modify(self._link.fileno(), select.POLLIN | select.POLLOUT)
                return
            except ConnectionError:
                break  # the next look at the link says that the parent is gone
            self._unsaid.popleft()
        if self._parent_lives:
            self._poll.modify(self._link.fileno(), select.POLLIN)

    # Starting -----------------------------------------------------------------

    def _start(self, message: dict[str, Any]) -> None:
        command = Command(leftover_budget=message["leftover_budget"])
        command.take_limits(message)
        self._command = command
        self._rearm(command)
        # The order may be old: this process was frozen, or the one that sent it.
        if command.is_too_late():
            self._say({"unstarted": "the term was over before it could be"})
            return
        if boottime() < message["sent"]:
            self._say({"unstarted": "the watchdog reads other clocks than `run`"})
            return
        try:
            told, tell = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            self._say({"failed": error.errno or errno.EMFILE})
            return
        # No signal may get lost between the fork and the command's own handlers.
        everything = signal.valid_signals()
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
        watchdog = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(told)
            self._say({"failed": error.errno or errno.EAGAIN})
            return
        else:
            if pid == 0:
                self._become(command, message, tell, watchdog=watchdog, mask=earlier)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
            os.close(tell)
        command.told = told
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the child does so, too: whoever comes first
        command.child = pid
        self._poll.register(told, select.POLLIN)

    def _become(
        self,
        command: Command,
        message: dict[str, Any],
        tell: int,
        *,
        watchdog: int,
        mask: Iterable[int],
    ) -> NoReturn:
        """Be the command; only exec or the exit code lead out of here."""
        code = errno.ENOEXEC
        try:
            # Follows the watchdog's only thread, so it fires when the watchdog dies.
            die_with_parent(signal.SIGKILL)
            os.setpgid(0, 0)
            if message["terminal"] is not None:
                # SIGTTOU is blocked here: this does not stop a background process.
                with contextlib.suppress(OSError):
                    os.tcsetpgrp(message["terminal"], os.getpid())
            signal.set_wakeup_fd(-1)
            kept = self._errand.ignored - _PYTHON_IGNORES
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                action = signal.SIG_IGN if number in kept else signal.SIG_DFL
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, action)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if os.getppid() != watchdog:
                os._exit(127)
            code = self._execute(command, {**os.environ, **message["variables"]})
        except OSError as error:
            code = error.errno or code
        finally:
            os.write(tell, str(code).encode())
            os._exit(127)
        raise AssertionError

    def _execute(self, command: Command, variables: dict[str, str]) -> int:
        """Try each place where the command may be; return what stood in the way."""
        words, problem = self._errand.command, errno.ENOENT
        places = [words[0]]
        if "/" not in words[0]:
            path = os.get_exec_path(variables)
            places = [os.path.join(x, words[0]) for x in path]  # noqa: PTH118
        for target in places:
            # G2: this process may have been frozen on its way; at the last instant.
            if command.is_too_late():
                return TOO_LATE
            try:
                os.execve(target, words, variables)  # noqa: S606 - running it is what was asked for
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                # As execvp(3): the first that is there and cannot be run is the reason.
                if problem == errno.ENOENT:
                    problem = error.errno or errno.ENOEXEC
        return problem

    def _learn_start(self, command: Command) -> None:
        """Read whether the command could be executed: nothing means that it was."""
        if command.told is None:
            return
        failure = os.read(command.told, 64)
        self._poll.unregister(command.told)
        os.close(command.told)
        command.told = None
        if failure:
            command.child = None
            if int(failure) == TOO_LATE:
                self._say({"unstarted": "the term was over before it could be"})
            else:
                self._say({"failed": int(failure)})
        else:
            self._say({"started": command.child})

    # Ending -------------------------------------------------------------------

    def _end(self, command: Command, number: int, kill_at: float | None) -> None:
        """Send a signal to the group now, KILL to whoever is left at ``kill_at``."""
        if kill_at is not None:
            command.kill_at = min(kill_at, command.kill_at or kill_at)
        if not command.ending:
            command.ending = True
            command.forward(number)
            # A stopped process takes its signal only when it goes on.
            command.forward(signal.SIGCONT)
        self._rearm(command)

    def _end_leftovers(self, command: Command) -> None:
        """The command is over: what it left behind goes too, before any release."""
        told = None
        if command.ending:
            told = command.group  # these have been asked to end already
        else:
            command.ending = True
            command.kill_at = boottime() + command.leftover_budget
        left = [p for p in descendants(os.getpid()) if p.group != told]
        signal_all(left, signal.SIGTERM)
        signal_all(left, signal.SIGCONT)
        self._rearm(command)

    def _reap(self) -> None:
        command, nobody = self._command, False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                nobody = True
                break
            if pid == 0:
                break
            if os.WIFCONTINUED(status) or command is None or pid != command.child:
                continue
            if os.WIFSTOPPED(status):
                self._say({"stopped": os.WSTOPSIG(status)})
                continue
            self._learn_start(command)
            if pid == command.child:  # else it could not be executed
                command.group, command.child = pid, None
                self._say({"exited": status})
                self._end_leftovers(command)
        # Every descendant is below a child of this process, a subreaper: when there
        # is no child, there is nobody.
        if nobody and command is not None:
            self._learn_start(command)
            self._command = None
            self._timer.arm(None)
            self._say({"empty": True})

    def _rearm(self, command: Command) -> None:
        wait = command.next_due()
        self._timer.arm(None if wait is None else boottime() + wait)

    def _enforce(self) -> None:
        """G2: everything ends in time, whatever it is doing."""
        command = self._command
        if command is None:
            return
        left = command.left()
        # Once due it stays due: a clock that steps back revives nothing (rule 14).
        if command.killing or (left is not None and left <= 0.0):
            command.killing = command.ending = True
            self._kill(command)
        elif not command.ending and command.is_overdue():
            self._say({"overdue": True})
            self._end(command, signal.SIGTERM, None)
        else:
            self._rearm(command)  # the wall clock was set, or outruns the timer's

    def _kill(self, command: Command) -> None:
        everybody = descendants(os.getpid())
        command.forward(signal.SIGKILL)  # where there is no /proc, this has to do
        refused = signal_all(everybody, signal.SIGKILL)
        if refused and refused != command.refused:
            command.refused = refused
            self._say({"refused": refused})


def _take_back(
    start: dict[str, Any], later: list[dict[str, Any]], *, gone: bool
) -> bool:
    """Bring an order that waited up to date; True if nothing is to be started."""
    for order in later:
        if order["do"] == "extend":
            start["limits"] = order["limits"]
        elif order["do"] == "end":
            return True
    return gone
