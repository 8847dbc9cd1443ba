"""A node that is up, as tests use it: from any process, by the folder of its files."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from controlplane.access import Cluster, RefusedError, Response
from controlplane.processes import wait_until

from node import cgroups
from node.inside import Inside, first_child

__all__ = ["NODE_NAME", "PATIENCE", "Facts", "Node"]

NODE_NAME = "node1"
SERVER = "https://10.0.0.1:443"
"""The address of the service `kubernetes`, which pods are told."""

PATIENCE = 90.0
"""Seconds for what takes a few on an idle machine."""

FACTS = "node.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What another process has to know of a node."""

    pid: int
    """Of its first process."""
    group: str
    """Of its control group."""
    kubectl: str
    token: str
    commands: dict[str, list[str]] = field(default_factory=dict)
    """Of its daemons, by name."""

    def write(self, folder: Path) -> None:
        """Write them where `Node` looks."""
        fresh = folder / f".{FACTS}"
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.rename(folder / FACTS)


class Daemon:
    """
    A program of the node that anybody may kill and start again.

    Args:
        name: of its log and of the file with its process id.
        command: to be run inside.
        folder: the node's.

    """

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._command = command

    @property
    def pid(self) -> int:
        """Return its process id, as it is numbered outside."""
        return int(self._pid_file.read_text(encoding="ascii"))

    @property
    def alive(self) -> bool:
        """Say whether it runs."""
        return Path(f"/proc/{self.pid}").exists()

    def start(self, inside: Inside) -> None:
        """Start it; return when it runs."""
        with self.log.open("ab") as output:
            started = subprocess.Popen(
                inside.command(*self._command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_file.write_text(str(first_child(started.pid)), encoding="ascii")
        # Its `nsenter` ends when it does; nobody else waits for that.
        started.returncode = 0

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it; return when it is gone."""
        os.kill(self.pid, number)
        wait_until(lambda: not self.alive, within=30, what=f"{self.name} has ended")


class Node(Cluster):
    """
    A cluster of one node, with all that tests do to it.

    Args:
        folder: of the node's files.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = Facts(**json.loads((folder / FACTS).read_text(encoding="utf-8")))
        self.inside = Inside(self.facts.pid)
        super().__init__(kubectl=Path(self.facts.kubectl), scratch=folder)
        self._config = self.kubeconfig("admin")
        self.daemons = {
            name: Daemon(name, command, folder)
            for name, command in self.facts.commands.items()
        }

    @property
    def server_url(self) -> str:
        """Return the address of the API server, inside."""
        return SERVER

    @property
    def ca_file(self) -> Path:
        """Return the authority's certificate."""
        return self.folder / "ca.crt"

    def token(self, user: str) -> str:
        """Return the token of the one user of the tests."""
        assert user == "admin", f"{user} is no user of a node's tests"
        return self.facts.token

    def subject(self, user: str) -> dict[str, str]:
        """Return what a RoleBinding calls a user."""
        return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}

    def request(self, *arguments: Any, **named: Any) -> Response:
        """Send one request from inside the node's network."""
        answer = self.inside.in_network(super().request, *arguments, **named)
        assert isinstance(answer, Response)
        return answer

    def kubectl(
        self, *arguments: str, user: str = "admin", text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl inside and return what it said; its code is not checked."""
        assert user == "admin", f"{user} is no user of a node's tests"
        config = f"--kubeconfig={self._config}"
        return self.inside.run(
            self.facts.kubectl, config, *arguments, text=text, within=300
        )

    def must(self, *arguments: str, text: str | None = None) -> str:
        """
        Run kubectl and return its output.

        Raises:
            RefusedError: it failed.

        """
        done = self.kubectl(*arguments, text=text)
        if done.returncode != 0:
            raise RefusedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, path: str) -> Any:
        """
        Return an object, or None where there is none.

        Raises:
            RefusedError: the server says something else.

        """
        answer = self.request("GET", path)
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status != http.client.OK:
            raise RefusedError(f"{path}: {answer.body.decode()}")
        return answer.json()

    def patch(self, path: str, change: Mapping[str, Any]) -> Any:
        """
        Merge a change into an object, and return that.

        Raises:
            RefusedError: the server did not take it.

        """
        kind = {"Content-Type": "application/merge-patch+json"}
        answer = self.request("PATCH", path, dict(change), headers=kind)
        if answer.status != http.client.OK:
            raise RefusedError(f"{path}: {answer.body.decode()}")
        return answer.json()

    def ready(self) -> bool:
        """Say whether the node counts as ready."""
        found = self.get(f"/api/v1/nodes/{NODE_NAME}") or {}
        conditions = found.get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def restart(self, name: str) -> None:
        """Kill a daemon with SIGKILL, and start it again."""
        self.daemons[name].kill()
        self.daemons[name].start(self.inside)

    def ctr(self, *words: object) -> str:
        """Run containerd's own client."""
        socket = self.folder / "containerd.sock"
        return self.inside.must("ctr", "-a", socket, "-n", "k8s.io", *words)

    def groups(self, container: str) -> dict[str, Path]:
        """Return the control groups of a container, by the name of the hierarchy."""
        found = {}
        for place in cgroups.places(self.facts.group):
            # It passes over groups that vanish meanwhile, of other pods.
            for above, names, _ in os.walk(place):
                for name in names:
                    if container in name:
                        found[place.parent.name] = Path(above, name)
        return found

    def wait(
        self, condition: Callable[[], object], what: str, *, within: float = PATIENCE
    ) -> None:
        """
        Return once a condition holds, looked at every 50 ms.

        Raises:
            TimeoutError: it did not come to hold.

        """
        # Each look is a request.
        wait_until(condition, within=within, what=what, every=0.05)
