"""
A fresh kube-apiserver and etcd for tests, ready in seconds, gone without a trace.

::

    with ControlPlane() as control_plane:
        namespace = control_plane.namespace()
        control_plane.allow("alice", ["get", "create", "update"], namespace=namespace)
        elector = start_elector(kubeconfig=control_plane.kubeconfig("alice"))
        control_plane.etcd.freeze()
        ...

Real are: storage, admission, validation, watches, authentication by token, RBAC,
flow control. Left out: durability of etcd (no fsync), the ServiceAccount admission
plugin (nobody here makes its default accounts) and every other component of a
cluster: no controller, so a deleted namespace stays terminating.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from controlplane import binaries
from controlplane.access import Cluster
from controlplane.certificates import serving_certificate, write_key_pair
from controlplane.processes import Guard, ServerProcess, free_port, wait_until

__all__ = ["ControlPlane"]

USERS: Mapping[str, Sequence[str]] = {
    "admin": ["system:masters"],
    "alice": [],
    "bob": [],
    "carol": [],
    "nobody": [],
}
"""Users and their groups; all but admin may do nothing until a test grants it."""

READY_WITHIN = 60.0
"""Seconds: 4 are usual; a laden CI machine may need ten times that."""

TRIES = 3
"""Starts before giving up, each on other ports: one may be taken meanwhile."""


class ControlPlane(Cluster):
    """
    One etcd and one kube-apiserver on free ports of 127.0.0.1.

    Args:
        users: more users, each with its groups.
        apiserver_flags: more flags of kube-apiserver; a later flag wins.

    Raises:
        MissingProgramError: a program is not there; `binaries` says how to get it.

    """

    living: ClassVar[set[ControlPlane]] = set()
    """Those not closed yet: whose logs are shown when a test fails."""

    names: ClassVar[Sequence[str]] = ("localhost", "127.0.0.1", "::1")
    """Names and addresses that the serving certificate is good for."""

    def __init__(
        self,
        *,
        users: Mapping[str, Sequence[str]] | None = None,
        apiserver_flags: Sequence[str] = (),
    ) -> None:
        self._programs = binaries.find(("etcd", "kube-apiserver", "kubectl"))
        self.folder = Path(tempfile.mkdtemp(prefix="control-plane-"))
        super().__init__(kubectl=self._programs["kubectl"], scratch=self.folder)
        self._guard = Guard(self.folder)
        self._users = {**USERS, **(users or {})}
        self._tokens = {user: secrets.token_urlsafe(24) for user in self._users}
        self._apiserver_flags = tuple(apiserver_flags)
        self._closed = False
        self._write_files()
        self._assign_ports()
        self.living.add(self)

    @property
    def server_url(self) -> str:
        """Return the address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """Return the authority's certificate; rewritten by `rotate_authority`."""
        return self.folder / "ca.crt"

    def token(self, user: str) -> str:
        """Return the bearer token of a user of the token file."""
        return self._tokens[user]

    def subject(self, user: str) -> dict[str, str]:
        """Return what a RoleBinding calls a user."""
        group = "rbac.authorization.k8s.io"
        return {"apiGroup": group, "kind": "User", "name": user}

    def start(self) -> None:
        """
        Start both and return once the API server is ready.

        Raises:
            TimeoutError: it did not get ready; the logs are in the message.
            RuntimeError: one of the two ended; the end of its log is in the message.

        """
        for last in range(1, TRIES + 1):
            self.etcd.start()
            self.apiserver.start()
            try:
                self.wait_ready()
            except RuntimeError:
                taken = "address already in use"
                if last == TRIES or taken not in self.logs():
                    raise
                self._stop()
                self._assign_ports()
            else:
                return

    def wait_ready(self, *, within: float = READY_WITHIN) -> None:
        """Return once /readyz is well and the namespace ``default`` is there."""
        try:
            wait_until(self._is_ready, within=within, what="the API server is ready")
        except TimeoutError as error:
            error.add_note(self.logs())
            raise

    def restart_apiserver(self, *, graceful: bool = False) -> None:
        """Stop the API server, by SIGKILL or SIGTERM, start it, wait until ready."""
        self._restart(self.apiserver, graceful=graceful)

    def restart_etcd(self, *, graceful: bool = False) -> None:
        """Stop etcd, by SIGKILL or SIGTERM, start it again, wait until ready."""
        self._restart(self.etcd, graceful=graceful)

    def close(self) -> None:
        """End both processes and the guard, and remove every file; at most once."""
        if self._closed:
            return
        self._closed = True
        self.living.discard(self)
        self._stop()
        self._guard.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start; clean up if that fails."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def pids(self) -> list[int]:
        """Return the process ids of etcd, the API server and the guard."""
        return [self.etcd.pid, self.apiserver.pid, self._guard.pid]

    def logs(self, lines: int = 25) -> str:
        """Return the end of both logs."""
        return "\n".join(
            f"--- {server.name} ({server.log})\n{server.log_tail(lines)}"
            for server in (self.etcd, self.apiserver)
        )

    def compact(self) -> int:
        """Have etcd forget every revision before the present one; return that one."""
        answer = self._ask_etcd(
            "/v3/kv/range", {"key": base64.b64encode(b"/").decode()}
        )
        revision = int(answer["header"]["revision"])
        self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return revision

    def forget_history(self) -> None:
        """
        Make every resourceVersion so far too old, for lists and for watches.

        Etcd's compaction alone does not: the API server keeps a history of its own,
        which is empty after a restart.
        """
        self.compact()
        self.restart_apiserver()

    def backup(self) -> Path:
        """
        Stop etcd for a moment, copy its data, and return the copy.

        The API server stays, and is ready again when this returns.
        """
        copy = Path(tempfile.mkdtemp(prefix="backup-", dir=self.folder)) / "data"
        # Killed, it leaves every page it wrote with the kernel; a graceful stop
        # waits 5 s for the API server's connections.
        self.etcd.kill()
        shutil.copytree(self._data, copy)
        self.etcd.start()
        self.wait_ready()
        return copy

    def restore(self, backup: Path) -> None:
        """Put both back to a backup: resourceVersions go back with it."""
        self._stop()
        shutil.rmtree(self._data)
        shutil.copytree(backup, self._data)
        self.etcd.start()
        self.apiserver.start()
        self.wait_ready()

    def rotate_authority(self) -> None:
        """
        Have the server show a certificate of a new authority, without a restart.

        `ca_file` then holds the new authority alone. Returns once the server uses
        the new certificate; connections that are open stay.
        """
        self._write_certificates()
        wait_until(
            self._shows_our_certificate, within=90, what="the new certificate is used"
        )

    def _write_files(self) -> None:
        self._write_certificates()
        write_key_pair(self.folder / "accounts.key", self.folder / "accounts.pub")
        lines = [
            ",".join([self._tokens[user], user, f"uid-{user}", f'"{",".join(groups)}"'])
            for user, groups in self._users.items()
        ]
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _write_certificates(self) -> None:
        certificate, key, authority = serving_certificate("kube-apiserver", self.names)
        for name, content in (
            # Certificate and key come at once: the server takes no pair that does
            # not fit, and looks again.
            ("serving.key", key),
            ("serving.crt", certificate),
            ("ca.crt", authority),
        ):
            fresh = self.folder / f".{name}"
            fresh.write_bytes(content)
            fresh.rename(self.folder / name)

    def _assign_ports(self) -> None:
        self.port = self._choose_port()
        self.etcd_port = free_port()
        self.etcd = self._server("etcd", self._etcd_command())
        self.apiserver = self._server("kube-apiserver", self._apiserver_command())

    def _choose_port(self) -> int:
        """Return the port of the API server."""
        return free_port()

    def _server(self, name: str, command: list[str]) -> ServerProcess:
        """Return a server that is not started yet; its log is named after it."""
        log = self.folder / f"{name}.log"
        return ServerProcess(name, command, log=log, guard=self._guard)

    @property
    def _data(self) -> Path:
        return self.folder / "etcd"

    @property
    def _etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.etcd_port}"

    def _etcd_command(self) -> list[str]:
        peers = f"http://127.0.0.1:{free_port()}"
        return [
            str(self._programs["etcd"]),
            "--name=tests",
            f"--data-dir={self._data}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=tests={peers}",
            "--unsafe-no-fsync",
            # One member has nobody to wait for: quick to lead after a restart.
            "--heartbeat-interval=20",
            "--election-timeout=200",
            "--log-level=warn",
        ]

    def _apiserver_command(self) -> list[str]:
        return [
            str(self._programs["kube-apiserver"]),
            f"--etcd-servers={self._etcd_url}",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder}/serving.crt",
            f"--tls-private-key-file={self.folder}/serving.key",
            f"--cert-dir={self.folder}",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/accounts.pub",
            f"--service-account-signing-key-file={self.folder}/accounts.key",
            "--service-cluster-ip-range=10.0.0.0/24",
            *self._alone(),
            *self._apiserver_flags,
        ]

    def _alone(self) -> list[str]:
        """Return the flags of an API server without the rest of a cluster."""
        return [
            "--bind-address=127.0.0.1",
            # Else it looks for a default route, which an offline machine lacks.
            "--advertise-address=127.0.0.1",
            "--authorization-mode=RBAC",
            # Nobody here makes the accounts that it wants for pods.
            "--disable-admission-plugins=ServiceAccount",
            # There is no service to publish, and a loopback address is refused.
            "--endpoint-reconciler-type=none",
        ]

    def _is_ready(self) -> bool:
        self.etcd.check()
        self.apiserver.check()
        try:
            return all(
                self.request("GET", path, timeout=5).status == http.client.OK
                for path in ("/readyz", "/api/v1/namespaces/default")
            )
        except OSError:
            return False

    def _restart(self, server: ServerProcess, *, graceful: bool) -> None:
        if graceful:
            # Open watches hold a graceful stop up for a minute.
            server.terminate(within=75)
        else:
            server.kill()
        server.start()
        self.wait_ready()

    def _stop(self) -> None:
        # The API server first: nothing is lost, and it logs no lost connection.
        self.apiserver.kill()
        self.etcd.kill()

    def _ask_etcd(self, path: str, body: object) -> Any:
        request = urllib.request.Request(
            self._etcd_url + path, json.dumps(body).encode(), method="POST"
        )
        # No proxy of the environment may come between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def _shows_our_certificate(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        address = ("127.0.0.1", self.port)
        try:
            with (
                socket.create_connection(address, timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1"),
            ):
                return True
        except ssl.SSLCertVerificationError:
            return False
