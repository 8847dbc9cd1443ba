"""One server process: started, frozen, thawed, killed and looked at by its id."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

__all__ = ["Guard", "ServerProcess", "free_port", "freeze", "wait_until"]

PORTS = range(20000, 30000)
"""
Below the range the kernel takes outgoing ports from (32768 and up): a client that
calls a stopped server on a port of that range can be connected to itself.
"""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on just now."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No free port among 100 tried in {PORTS}.")


def wait_until(
    condition: Callable[[], object], *, within: float, what: str, every: float = 0.01
) -> None:
    """
    Return once a condition holds.

    Args:
        condition: looked at again and again.
        within: seconds of CLOCK_MONOTONIC.
        what: named in the error.
        every: seconds between two looks.

    Raises:
        TimeoutError: it did not come to hold.

    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:g} s")
        time.sleep(every)  # files, processes and servers of others do not call back


def freeze(pid: int, *, name: str) -> None:
    """Stop a process in its tracks (SIGSTOP); return when all of it stands still."""

    def stands_still() -> bool:
        states = (
            # The name before the state may hold blanks and brackets itself.
            (task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{pid}/task").iterdir()
        )
        return all(state == "T" for state in states)

    os.kill(pid, signal.SIGSTOP)
    wait_until(stands_still, within=10, what=f"{name} frozen")


class Guard:
    """
    A process that outlives this one just long enough to clean up after it.

    Args:
        folder: removed when this process dies without closing the guard.

    """

    def __init__(self, folder: Path) -> None:
        program = Path(__file__).with_name("guard.py")
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(program), str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Return the guard's own process id."""
        return self._process.pid

    def watch(self, pid: int) -> None:
        """Have a process killed when this one is gone."""
        self._tell(str(pid))

    def remove_group(self, group: Path) -> None:
        """Have a control group removed when this process is gone."""
        self._tell(str(group))

    def close(self) -> None:
        """Kill what is still watched, remove the folder, end the guard."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            # A child forked by a test may still hold the pipe open.
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


class ServerProcess:
    """
    A server with a fixed command line, whose output goes to a file.

    Args:
        name: for messages.
        command: program and arguments, the same at each start.
        log: gets both output streams; restarts append.
        guard: kills the process when the test run is killed.

    """

    def __init__(
        self, name: str, command: list[str], *, log: Path, guard: Guard
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return at once, before it is ready."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, not for servers
                cwd=self.log.parent,
            )
        self._guard.watch(self._process.pid)

    @property
    def pid(self) -> int:
        """Return the process id of the last start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it runs; a frozen process does."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """
        Raise if it ended by itself.

        Raises:
            RuntimeError: with its exit code and the end of its log.

        """
        if not self.alive:
            code = None if self._process is None else self._process.returncode
            raise RuntimeError(f"{self.name} ended with {code}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 40) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return "(no log)"
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP); return when all of it stands still."""
        freeze(self.pid, name=self.name)

    def thaw(self) -> None:
        """Let it go on (SIGCONT); harmless when it is not frozen."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it for the length of a with block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def kill(self) -> None:
        """End it without warning (SIGKILL) and reap it; harmless when it is gone."""
        self._end(signal.SIGKILL, within=10)

    def terminate(self, *, within: float) -> None:
        """End it in good order (SIGTERM), a frozen one too; kill it after a while."""
        if self.alive:
            self.thaw()
        self._end(signal.SIGTERM, within=within)

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        line = next(x for x in status.splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Kill it."""
        self.kill()

    def _end(self, number: signal.Signals, *, within: float) -> None:
        if self._process is None:
            return
        if self.alive:
            os.kill(self.pid, number)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait(10)
