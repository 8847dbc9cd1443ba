"""The end of ``run`` on the link to its watchdog: orders, and what that says."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import Any, Final, NamedTuple, NoReturn

from kubernetes_leader_election.cli.supervise.backstop import (
    SharedLimit,
    fork_guards,
    last_words,
)
from kubernetes_leader_election.cli.supervise.linux import (
    boottime,
    children_have_other_clocks,
    descendants,
    signal_all,
)
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.cli.supervise.watchdog import (
    LARGEST_MESSAGE,
    Errand,
    Watchdog,
)
from kubernetes_leader_election.errors import ConfigurationError

FAREWELL: Final = 2.0
"""Seconds that the watchdog may take to end when it is not needed any more."""


class Limits(NamedTuple):
    """Until when a command may run; None: there is no limit."""

    begin: Deadline | None
    """The end of the term: no command begins after it."""
    term: Deadline | None
    kill: Deadline | None
    patience: float = 0.3
    """
    Seconds from the KILL to the last instant at which all has to be gone (G2).

    The watchdog kills at their beginning, ``run`` after a third of them, if something
    still lives, and the backstop after two thirds.
    """

    @property
    def kill_at(self) -> float | None:
        """The CLOCK_BOOTTIME of the KILL."""
        return None if self.kill is None else self.kill.boottime

    @property
    def run_waits(self) -> float:
        """Seconds from the KILL until ``run`` kills what still lives."""
        return self.patience / 3

    @property
    def backstop_at(self) -> float | None:
        """The CLOCK_BOOTTIME at which the backstop kills what still lives."""
        return None if self.kill is None else self.kill.boottime + 2 * self.run_waits


class Link:
    """
    Give orders to the watchdog. Never blocks: a watchdog that is frozen misses orders.

    Whoever gives them sees by the answers whether they were followed.
    """

    def __init__(
        self, sock: socket.socket, pid: int, *, backstop: int, limit: SharedLimit
    ) -> None:
        self._sock = sock
        self.pid = pid
        self._backstop = backstop
        self._limit = limit
        sock.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._sock.fileno()

    def start(
        self,
        variables: dict[str, str],
        limits: Limits,
        *,
        leftover_budget: float,
        terminal: int | None,
    ) -> None:
        """Start the command, with these variables beside those of this process."""
        self._limit.set(limits.backstop_at)
        self._send(
            do="start",
            sent=boottime(),
            variables=variables,
            limits=limits,
            leftover_budget=leftover_budget,
            terminal=terminal,
        )

    def extend(self, limits: Limits) -> None:
        """Move the limits: leadership was renewed."""
        self._limit.set(limits.backstop_at)
        self._send(do="extend", limits=limits)

    def rest(self) -> None:
        """Note that nothing of the command is left."""
        self._limit.set(None)

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        self._send(do="signal", number=number)

    def end(self, number: int, kill_at: float | None) -> None:
        """End the command: a signal now, KILL at ``kill_at`` (CLOCK_BOOTTIME), if ever."""
        self._send(do="end", number=number, kill_at=kill_at)

    def receive(self) -> list[dict[str, Any]] | None:
        """Return what the watchdog said; None when it is gone."""
        said: list[dict[str, Any]] = []
        while True:
            try:
                data = self._sock.recv(LARGEST_MESSAGE)
            except BlockingIOError:
                return said
            except ConnectionError:
                data = b""
            if not data:
                return said or None
            said.append(json.loads(data))

    def kill_everybody(self) -> bool:
        """End all below the watchdog without it; True when nobody was left to kill."""
        everybody = descendants(self.pid)
        signal_all(everybody, signal.SIGKILL)
        return not everybody

    def kill_leftovers(self) -> bool:
        """
        End all that a watchdog left which has died; True when nobody was left to kill.

        But for the backstop: it does the same, and is who removes the folder if this
        process is killed, too. It ends by itself when nobody is below it.
        """
        below = descendants(os.getpid())
        everybody = [process for process in below if process.pid != self._backstop]
        signal_all(everybody, signal.SIGKILL)
        return not everybody

    def close(self) -> None:
        """Let the watchdog go, and wait until it has."""
        self._sock.close()
        until = time.monotonic() + FAREWELL
        while time.monotonic() < until:
            try:
                if os.waitpid(self._backstop, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                return
            time.sleep(0.005)

    def _send(self, **message: Any) -> None:
        try:
            self._sock.send(json.dumps(message).encode())
        except (BlockingIOError, ConnectionError):
            return  # frozen or gone: seen by what it does not say


def fork_watchdog(errand: Errand) -> Link:
    """
    Fork the watchdog and its backstop. Call it while this process has only one thread.

    Raises:
        ConfigurationError: their clocks would be other ones than those of ``run``.
        OSError: the system gives no further process.

    """
    if children_have_other_clocks():
        raise ConfigurationError(
            "new processes get another time namespace than this one, so that the "
            "command could not be ended in time. Use `unshare --time --fork`."
        )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    limit = SharedLimit()
    # Until the guards have their own handlers, a signal would speak to `run`'s loop.
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def watch() -> NoReturn:
        with last_words("watchdog"):
            ours.close()
            Watchdog(theirs, errand, mask=earlier).run()
        os._exit(0)

    try:
        backstop, watchdog = fork_guards(watch, limit, (ours, theirs), errand.scratch)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        theirs.close()
    return Link(ours, watchdog, backstop=backstop, limit=limit)
