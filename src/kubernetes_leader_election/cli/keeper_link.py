"""The end of ``run`` on the link to its keeper: orders, and what the keeper says."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

from kubernetes_leader_election.cli.keeper import LARGEST_MESSAGE, Errand, Keeper
from kubernetes_leader_election.cli.kernel import descendants, signal_all

FAREWELL: Final = 2.0
"""Seconds that the keeper may take to end when it is not needed any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Until when a command may run, in CLOCK_BOOTTIME seconds; None: no limit."""

    term_at: float | None
    kill_at: float | None


class Link:
    """
    Give orders to the keeper. Never blocks: a keeper that is frozen misses orders.

    Whoever gives them sees by the answers whether they were followed.
    """

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._sock = sock
        self.pid = pid
        sock.setblocking(False)

    def fileno(self) -> int:
        """Give the descriptor to poll."""
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
        self._send(
            do="start",
            variables=variables,
            term_at=limits.term_at,
            limit=limits.kill_at,
            leftover_budget=leftover_budget,
            terminal=terminal,
        )

    def extend(self, limits: Limits) -> None:
        """Move the limits: leadership was renewed."""
        self._send(do="extend", term_at=limits.term_at, limit=limits.kill_at)

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        self._send(do="signal", number=number)

    def end(self, number: int, kill_at: float) -> None:
        """End the command: a signal now, KILL at ``kill_at`` (CLOCK_BOOTTIME)."""
        self._send(do="end", number=number, kill_at=kill_at)

    def receive(self) -> list[dict[str, Any]] | None:
        """Give what the keeper said; None when it is gone."""
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
        """End all below the keeper without it; True when nobody was left to kill."""
        everybody = descendants(self.pid)
        signal_all(everybody, signal.SIGKILL)
        return not everybody

    def close(self) -> None:
        """Let the keeper go, and wait until it has."""
        self._sock.close()
        until = time.monotonic() + FAREWELL
        while time.monotonic() < until:
            try:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                return
            time.sleep(0.005)

    def _send(self, **message: Any) -> None:
        try:
            self._sock.send(json.dumps(message).encode())
        except (BlockingIOError, ConnectionError):
            return  # frozen or gone: seen by what it does not say


def fork_keeper(errand: Errand) -> Link:
    """Fork the keeper. Call it while this process has only one thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Until the keeper has its own handlers, a signal would speak to the parent's loop.
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            ours.close()
            Keeper(theirs, errand, mask=earlier).run()
            code = 0
        except OSError as error:
            os.write(2, f"kle: the keeper cannot go on: {error}\n".encode())
        except BaseException:  # noqa: BLE001 - said below; nothing may lead back from here
            import traceback  # noqa: PLC0415 - a defect of ours, else never needed

            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
    theirs.close()
    return Link(ours, pid)
