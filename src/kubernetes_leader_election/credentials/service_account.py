"""Credentials of a pod: its service account, as Kubernetes mounts it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kubernetes_leader_election.credentials.base import Credentials, Server
from kubernetes_leader_election.credentials.tokens import TokenFile
from kubernetes_leader_election.credentials.trust import Trust, read_text
from kubernetes_leader_election.errors import CredentialsError

__all__ = ["SERVICE_ACCOUNT_DIRECTORY", "in_cluster", "is_mounted", "pod_namespace"]

SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where Kubernetes mounts the service account in every pod that has one."""

DEFAULT_HOST = "kubernetes.default.svc"
"""The API server's name in every cluster, and in its certificate."""


def is_mounted(directory: str = SERVICE_ACCOUNT_DIRECTORY) -> bool:
    """Return whether a service account's token is there."""
    return os.path.exists(os.path.join(directory, "token"))  # noqa: PTH110, PTH118 - spares an import


def pod_namespace(directory: str = SERVICE_ACCOUNT_DIRECTORY) -> str | None:
    """Return the namespace of this pod; None: no service account says it."""
    try:
        return _read_namespace(os.path.join(directory, "namespace"))  # noqa: PTH118 - spares an import
    except CredentialsError:
        return None


def in_cluster(
    *,
    environ: Mapping[str, str] | None = None,
    directory: str = SERVICE_ACCOUNT_DIRECTORY,
) -> Credentials:
    """
    Return the credentials of the pod this program runs in.

    Proxy variables are ignored: the API server of the own cluster is never behind one
    (fault 48). Without the variables that Kubernetes sets (cron, sudo, ``env -i``) the
    server's name in the cluster's own DNS is used.

    Args:
        environ: The variables; those of the process unless given.
        directory: Where the service account is mounted.

    Raises:
        CredentialsError: no service account is mounted, or it is not complete.
    """
    variables = os.environ if environ is None else environ
    token, ca, namespace = (
        os.path.join(directory, name)  # noqa: PTH118 - spares an import
        for name in ("token", "ca.crt", "namespace")
    )
    source = f"the service account of this pod ({directory})"
    for path in (token, ca):
        if not os.path.exists(path):  # noqa: PTH110 - spares an import
            raise CredentialsError(
                f"{path} is not there, so this pod cannot log in to its API server. "
                "Set automountServiceAccountToken: true on the pod or its service "
                "account, or give other credentials.",
                source=source,
            )
    host = variables.get("KUBERNETES_SERVICE_HOST") or DEFAULT_HOST
    port = variables.get("KUBERNETES_SERVICE_PORT") or "443"
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return Credentials(
        server=Server.parse(f"https://{host}:{port}", source=source),
        source=source,
        login=TokenFile(token),
        trust=Trust(ca_file=ca),
        namespace=_read_namespace(namespace),
    )


def _read_namespace(path: str) -> str | None:
    try:
        return read_text(path).strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialsError(
            f"The namespace of this pod cannot be read from {path}: {error}",
            source=path,
        ) from error
