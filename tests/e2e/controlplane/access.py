"""
A cluster as tests speak to it: plain requests, users, rights, namespaces, kubectl.

Shared by the control plane the tests start and by a cluster that is there already.
"""

from __future__ import annotations

import http.client
import itertools
import json
import secrets
import ssl
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from controlplane.processes import wait_until

__all__ = ["Cluster", "RefusedError", "Response", "lease_path"]

RBAC = "/apis/rbac.authorization.k8s.io/v1"

COLLECTIONS = {
    "ClusterRole": RBAC + "/clusterroles",
    "ClusterRoleBinding": RBAC + "/clusterrolebindings",
    "Role": RBAC + "/namespaces/{namespace}/roles",
    "RoleBinding": RBAC + "/namespaces/{namespace}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Namespace": "/api/v1/namespaces",
}


def lease_path(namespace: str, name: str = "") -> str:
    """Return the path of a Lease, or of all Leases of a namespace."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    return f"{path}/{name}" if name else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer of the API server, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)


class RefusedError(Exception):
    """Say that the API server refused what the set-up of a test needs."""


class Cluster(ABC):
    """
    What every cluster can do for a test.

    Args:
        kubectl: the program.
        scratch: folder for kubeconfig files.

    """

    def __init__(self, *, kubectl: Path, scratch: Path) -> None:
        self._kubectl = kubectl
        self._scratch = scratch
        self._numbers = itertools.count(1)

    @property
    @abstractmethod
    def server_url(self) -> str:
        """Return the address of the API server, without a path."""

    @property
    @abstractmethod
    def ca_file(self) -> Path:
        """Return the file with the certificates that vouch for the server."""

    @abstractmethod
    def token(self, user: str) -> str:
        """Return the bearer token of a user."""

    @abstractmethod
    def subject(self, user: str) -> dict[str, str]:
        """Return what a RoleBinding calls a user."""

    def kubeconfig(
        self,
        user: str = "admin",
        *,
        namespace: str = "default",
        server: str | None = None,
        server_name: str | None = None,
        token_file: Path | None = None,
    ) -> Path:
        """
        Write a kubeconfig of one user and return its path.

        Args:
            user: whose token is used.
            namespace: of the context.
            server: another address for the same server: that of a proxy.
            server_name: the name its certificate is checked for, if another one.
            token_file: where the token is read from, instead of the user's own.

        """
        credentials = (
            {"token": self.token(user)}
            if token_file is None
            else {"tokenFile": str(token_file)}
        )
        context = {"cluster": "tests", "user": user, "namespace": namespace}
        cluster = {
            "server": server or self.server_url,
            "certificate-authority": str(self.ca_file),
        }
        if server_name is not None:
            cluster["tls-server-name"] = server_name
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }
        path = self._scratch / f"{user}-{next(self._numbers)}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,
    ) -> Response:
        """
        Send one request on a connection of its own and return the answer.

        Args:
            method: GET, PUT and so on.
            path: with its query.
            body: sent as JSON, unless it is bytes already.
            user: who asks; None for nobody in particular.
            headers: more of them, or others.
            timeout: seconds for each step on the socket.

        Raises:
            OSError: no answer came, for whatever reason (TimeoutError among them).

        """
        address = urlsplit(self.server_url)
        connection = http.client.HTTPSConnection(
            address.hostname or "",
            address.port,
            timeout=timeout,
            context=ssl.create_default_context(cafile=str(self.ca_file)),
        )
        sent = {"Accept": "application/json"}
        if user is not None:
            sent["Authorization"] = f"Bearer {self.token(user)}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Response(
                status=answer.status, headers=dict(answer.headers), body=answer.read()
            )
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def kubectl(
        self, *arguments: str, user: str = "admin", text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run kubectl and return what it said; its exit code is not checked.

        Args:
            arguments: after ``kubectl``.
            user: who asks.
            text: its standard input, for ``-f -``.

        """
        config = self.kubeconfig(user)
        return subprocess.run(
            [str(self._kubectl), f"--kubeconfig={config}", *arguments],
            input=text or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"HOME": str(self._scratch), "PATH": "/usr/bin:/bin"},
        )

    def namespace(self, prefix: str = "test") -> str:
        """Make a namespace with a new name and return that."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self._apply({"kind": "Namespace", "metadata": {"name": name}})
        return name

    def grant(self, manifests: str, *, namespace: str = "default") -> None:
        """
        Create or replace roles, bindings, service accounts and namespaces.

        The authorizer learns of them a moment later: see `wait_allowed`.

        Args:
            manifests: YAML, one document or many.
            namespace: of those that name none.

        Raises:
            RefusedError: the server did not take one of them.

        """
        for document in yaml.safe_load_all(manifests):
            if document:
                self._apply(document, namespace=namespace)

    def allow(
        self,
        user: str,
        verbs: Iterable[str],
        *,
        namespace: str,
        name: str | None = None,
    ) -> Callable[[], None]:
        """
        Give a user rights on Leases; return once they work.

        Args:
            user: who gets them.
            verbs: get, create, update, watch, ...
            namespace: where.
            name: the one Lease, or None for all.

        Returns:
            a function that takes the rights back and returns once they are gone.

        """
        label = f"{user}-{secrets.token_hex(4)}"
        rule: dict[str, Any] = {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": list(verbs),
        }
        if name is not None:
            rule["resourceNames"] = [name]
        metadata = {"name": label, "namespace": namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": label}
        self._apply({"kind": "Role", "metadata": metadata, "rules": [rule]})
        self._apply(
            {
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": role,
                "subjects": [self.subject(user)],
            }
        )

        def settled(*, allowed: bool) -> None:
            for verb in rule["verbs"]:
                self.wait_allowed(
                    user, verb, namespace=namespace, name=name, allowed=allowed
                )

        def revoke() -> None:
            path = f"{RBAC}/namespaces/{namespace}/rolebindings/{label}"
            answer = self.request("DELETE", path)
            if answer.status != http.client.OK:
                raise RefusedError(answer.body.decode())
            settled(allowed=False)

        settled(allowed=True)
        return revoke

    def wait_allowed(
        self,
        user: str,
        verb: str,
        *,
        namespace: str,
        name: str | None = None,
        allowed: bool = True,
    ) -> None:
        """Return once the authorizer lets a user do this to Leases, or does not."""
        attributes = {
            "verb": verb,
            "group": "coordination.k8s.io",
            "resource": "leases",
            "namespace": namespace,
        }
        if name is not None:
            attributes["name"] = name
        subject = self.subject(user)
        asked = (
            f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
            if subject["kind"] == "ServiceAccount"
            else subject["name"]
        )
        review = {"spec": {"user": asked, "resourceAttributes": attributes}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

        def settled() -> bool:
            answer = self.request("POST", path, review)
            if answer.status != http.client.CREATED:
                raise RefusedError(answer.body.decode())
            return bool(answer.json()["status"].get("allowed")) is allowed

        may = "may" if allowed else "may not"
        wait_until(settled, within=10, what=f"{user} {may} {verb} Leases")

    def service_account_token(
        self, name: str, *, namespace: str, seconds: int = 600
    ) -> str:
        """
        Make a service account, if need be, and return a new token of it.

        Args:
            name: of the account; for rights it is
                ``system:serviceaccount:NAMESPACE:NAME``.
            namespace: of the account.
            seconds: how long the token is good; at least 600.

        """
        metadata = {"name": name, "namespace": namespace}
        self._apply({"kind": "ServiceAccount", "metadata": metadata})
        answer = self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {"spec": {"expirationSeconds": seconds}},
        )
        if answer.status != http.client.CREATED:
            raise RefusedError(answer.body.decode())
        return str(answer.json()["status"]["token"])

    def _apply(self, document: dict[str, Any], *, namespace: str = "default") -> None:
        kind = document["kind"]
        metadata = document["metadata"]
        path = COLLECTIONS[kind].format(namespace=metadata.get("namespace", namespace))
        group = "v1" if path.startswith("/api/") else "rbac.authorization.k8s.io/v1"
        body = {"apiVersion": group, **document}
        answer = self.request("POST", path, body)
        if answer.status == http.client.CONFLICT and path.startswith(RBAC):
            answer = self.request("PUT", f"{path}/{metadata['name']}", body)
        exists = answer.status == http.client.CONFLICT
        if answer.status not in {http.client.OK, http.client.CREATED} and not exists:
            raise RefusedError(f"{kind} {metadata['name']}: {answer.body.decode()}")
