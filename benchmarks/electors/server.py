"""The embedded Lease API in a process of its own, and questions to it."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess as Process
from pathlib import Path
from typing import Any

from kubernetes_leader_election.testing import LeaseServer, User

SPAWN = multiprocessing.get_context("spawn")
"""No process of a benchmark inherits the threads of another one."""

LEADER, CANDIDATE = "leader", "candidate"


def begin(
    target: Callable[..., None], *arguments: object
) -> tuple[Process, Connection]:
    """
    Start a process, and give it with our end of its pipe.

    Its end is closed here: when it dies, who waits for its word is told so, by an
    EOFError, and does not wait for ever.
    """
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How a process reaches the server."""

    url: str
    ca_file: str
    tokens: dict[str, str]

    def options(self, user: str) -> dict[str, Any]:
        """Return the options of an elector of ``user``."""
        return {
            "server": self.url,
            "token": self.tokens[user],
            "ca_file": self.ca_file,
            "namespace": "default",
            "auto_close": False,
        }


class Questions:
    """Ask the server's process; times are CLOCK_MONOTONIC, the same everywhere."""

    def __init__(self, pipe: Connection, address: Address) -> None:
        self._pipe = pipe
        self.address = address

    def requests(self) -> list[tuple[float, str, str, str, int | None]]:
        """Return (answered, user, verb, lease, status) of every request so far."""
        self._pipe.send("requests")
        return self._pipe.recv()

    def forget(self) -> None:
        """Forget the requests so far."""
        self._pipe.send("forget")
        self._pipe.recv()

    def watches(self) -> int:
        """Count the open watches."""
        self._pipe.send("watches")
        return self._pipe.recv()


def _serve(pipe: Connection, folder: str) -> None:
    admins = ("system:masters",)
    users = [
        User(name, token=f"{name}-token-0123456789", groups=admins)
        for name in (LEADER, CANDIDATE)
    ]
    with LeaseServer(tls=True, users=users) as server:
        ca_file = Path(folder) / "ca.crt"
        ca_file.write_text(server.ca or "")
        tokens = {user.name: user.token for user in users}
        pipe.send(Address(url=server.url, ca_file=str(ca_file), tokens=tokens))
        while (question := pipe.recv()) != "stop":
            if question == "requests":
                pipe.send(
                    [
                        (r.answered or r.time, r.user, r.verb, r.name, r.status)
                        for r in server.requests.all()
                    ]
                )
            elif question == "forget":
                server.requests.clear()
                pipe.send(None)
            else:
                pipe.send(server.open_watches)


@contextlib.contextmanager
def lease_server() -> Iterator[Questions]:
    """Run the server over TLS for the length of a block."""
    with tempfile.TemporaryDirectory() as folder:
        process, ours = begin(_serve, folder)
        try:
            yield Questions(ours, ours.recv())
        finally:
            ours.send("stop")
            process.join()
