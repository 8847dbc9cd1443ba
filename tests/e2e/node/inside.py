"""
The namespaces that a node lives in: network, mounts and processes of its own.

One process holds them. When it ends the kernel ends every process inside, pods
included, and with them the mounts and the network: nothing is left to clean up but
control groups and files.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from controlplane.processes import Guard, ServerProcess, wait_until

__all__ = ["Holder", "Inside", "InsideProcess", "first_child"]

HIDDEN = ("/run", "/var/lib", "/var/log")
"""Folders that node programs write to by themselves: each is empty inside."""


def first_child(pid: int) -> int:
    """Return the child of `unshare` or `nsenter`: the program that it has started."""
    found: list[int] = []

    def started() -> bool:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        found[:] = [int(x) for x in children.split()]
        return bool(found)

    wait_until(started, within=10, what=f"process {pid} has started its program")
    return found[0]


class Inside:
    """
    Ways into the namespaces of a process.

    Args:
        pid: of the first process inside, as it is numbered outside.

    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # A thread of its own is in the network: where a process is, each thread says.
        self._threads = ThreadPoolExecutor(8, initializer=self._enter_network)

    def command(self, *words: object) -> list[str]:
        """Return the command line that runs a command inside."""
        ways = [f"--{kind}=/proc/{self.pid}/ns/{kind[:3]}" for kind in ("net", "pid")]
        ways.append(f"--mount=/proc/{self.pid}/ns/mnt")
        return ["nsenter", *ways, "--", *map(str, words)]

    def run(
        self, *words: object, text: str | None = None, within: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return what it said; its code is not checked."""
        return subprocess.run(
            self.command(*words),
            input=text or "",
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def must(self, *words: object, text: str | None = None, within: float = 60) -> str:
        """
        Run a command inside and return its output.

        Raises:
            RuntimeError: it failed; what it said is in the message.

        """
        done = self.run(*words, text=text, within=within)
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}".strip()
            raise RuntimeError(f"{' '.join(map(str, words))}: {said}")
        return done.stdout

    def in_network(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Call a function in a thread whose sockets are those of the network inside."""
        return self._threads.submit(function, *arguments, **named).result()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _enter_network(self) -> None:
        network = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            clone_newnet = 0x40000000
            if ctypes.CDLL(None, use_errno=True).setns(network, clone_newnet) != 0:
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error), "setns")
        finally:
            os.close(network)


class Holder:
    """
    The process that holds the namespaces.

    Args:
        pause: a program that does nothing and reaps orphans.
        guard: ends it, and all inside with it, when the test run is killed.

    """

    def __init__(self, pause: Path, guard: Guard) -> None:
        spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child"]
        private = ["--mount-proc", "--propagation=private"]
        self._process = subprocess.Popen(
            ["unshare", *spaces, *private, "--", str(pause)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        guard.watch(self._process.pid)
        self.inside = Inside(first_child(self._process.pid))
        wait_until(self._mounted, within=10, what="the namespaces are set up")
        for folder in HIDDEN:
            self.inside.must("mount", "-t", "tmpfs", "none", folder)

    def close(self) -> None:
        """End every process inside, and wait until they are gone."""
        self.inside.close()
        # A first process that ends takes all others of its namespace with it, and is
        # gone itself only after the last of them.
        self._process.kill()
        self._process.wait(60)
        gone = Path(f"/proc/{self.inside.pid}")
        wait_until(lambda: not gone.exists(), within=60, what="the node has ended")

    def _mounted(self) -> bool:
        """Say whether `unshare` has done all, /proc included, and become the program."""
        return Path(f"/proc/{self.inside.pid}/exe").readlink().name == "pause"


class InsideProcess(ServerProcess):
    """A server inside; signals go to itself, not to the `nsenter` that waits for it."""

    @property
    def pid(self) -> int:
        """Return the process id of the last start, as it is numbered outside."""
        return first_child(super().pid)
