"""A cluster that is there already, lent to the tests on the user's explicit word."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from controlplane.access import Cluster, RefusedError

__all__ = ["ExternalCluster"]


class ExternalCluster(Cluster):
    """
    A cluster reached by a kubeconfig; every user is a service account there.

    Nothing is touched but what the tests made themselves: namespaces of new names,
    and one ClusterRoleBinding. Both are removed by `close`.

    Args:
        kubeconfig: of somebody who may bind cluster-admin; its current context
            decides.
        kubectl: the program.

    """

    def __init__(self, kubeconfig: Path, *, kubectl: Path) -> None:
        self._owner = kubeconfig
        self._folder = Path(tempfile.mkdtemp(prefix="external-cluster-"))
        super().__init__(kubectl=kubectl, scratch=self._folder)
        self._own: list[str] = []
        self._tokens: dict[str, str] = {}
        view = ["config", "view", "--raw", "--minify", "--flatten", "--output=json"]
        cluster = json.loads(self._as_owner(view))["clusters"][0]["cluster"]
        if (
            cluster.get("insecure-skip-tls-verify")
            or "certificate-authority-data" not in cluster
        ):
            raise RefusedError(f"{kubeconfig} names no certificate authority.")
        self._server = str(cluster["server"]).rstrip("/")
        self.ca_file.write_bytes(
            base64.b64decode(cluster["certificate-authority-data"])
        )
        self._home = f"leader-election-e2e-{secrets.token_hex(4)}"

    @property
    def server_url(self) -> str:
        """Return the address of the API server."""
        return self._server

    @property
    def ca_file(self) -> Path:
        """Return a copy of the certificates the kubeconfig holds."""
        return self._folder / "ca.crt"

    def token(self, user: str) -> str:
        """Return a token of the service account that stands for a user."""
        if user not in self._tokens:
            home = f"--namespace={self._home}"
            self._as_owner(["create", "serviceaccount", user, home])
            create = ["create", "token", user, home, "--duration=24h"]
            self._tokens[user] = self._as_owner(create).strip()
        return self._tokens[user]

    def subject(self, user: str) -> dict[str, str]:
        """Return what a RoleBinding calls a user."""
        return {"kind": "ServiceAccount", "name": user, "namespace": self._home}

    def namespace(self, prefix: str = "test") -> str:
        """Make a namespace with a new name and return that; `close` removes it."""
        name = super().namespace(prefix)
        self._own.append(name)
        return name

    def close(self) -> None:
        """Remove what was made."""
        self._as_owner(
            ["delete", "clusterrolebinding", self._home, "--ignore-not-found"]
        )
        gone = [self._home, *self._own]
        self._as_owner(
            ["delete", "namespace", "--ignore-not-found", "--wait=false", *gone]
        )
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        """Make the namespace of the service accounts, and admin."""
        self._as_owner(["create", "namespace", self._home])
        bind = [
            "create",
            "clusterrolebinding",
            self._home,
            "--clusterrole=cluster-admin",
        ]
        self._as_owner([*bind, f"--serviceaccount={self._home}:admin"])
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _as_owner(self, arguments: Sequence[str]) -> str:
        done = subprocess.run(
            [str(self._kubectl), f"--kubeconfig={self._owner}", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RefusedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
