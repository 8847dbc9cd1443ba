"""
Where the API server is and how to log in to it.

.. code-block:: python

    from kubernetes_leader_election import Elector, credentials

    Elector(lease_name="my-lease", credentials=credentials.kubeconfig())

Each source is imported when it is used: a pod needs neither YAML nor subprocesses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.credentials.explicit_server import explicit
from kubernetes_leader_election.credentials.service_account import (
    SERVICE_ACCOUNT_DIRECTORY,
    in_cluster,
    is_mounted,
)
from kubernetes_leader_election.errors import CredentialsError

__all__ = [
    "Credentials",
    "discover",
    "explicit",
    "from_client",
    "in_cluster",
    "is_in_cluster",
    "kubeconfig",
]


def kubeconfig(
    path: str | os.PathLike[str] | None = None,
    context: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Credentials:
    """
    Return the credentials of a context of a kubeconfig.

    Args:
        path: The file; without it those of ``KUBECONFIG``, merged as kubectl does, or
            ``~/.kube/config``.
        context: The context; the current one unless given.
        environ: The variables; those of the process unless given.

    Raises:
        CredentialsError: a file cannot be read, the context is not there or not
            complete, or it asks for something that is not supported.
    """
    # fmt: off
    from kubernetes_leader_election.credentials import kubeconfig_file  # noqa: PLC0415 - PyYAML
    # fmt: on
    return kubeconfig_file.load(path, context, environ=environ)


def from_client(client: Any) -> Credentials:
    """
    Take the credentials of a Kubernetes client that is set up already.

    Known are ``kubernetes``, ``kubernetes.aio``, ``kubernetes_asyncio``, ``lightkube``
    and ``kr8s``: their client objects or their configurations. Credentials are taken,
    never connections: all requests go over this package's own transport. Tokens that
    the client renews are asked for again, never copied for good.

    Raises:
        CredentialsError: it is none of these, or uses something not supported.
    """
    # fmt: off
    from kubernetes_leader_election.credentials import client_adapters  # noqa: PLC0415 - rarely used
    # fmt: on
    return client_adapters.adapt(client)


def is_in_cluster(
    *,
    environ: Mapping[str, str] | None = None,
    directory: str = SERVICE_ACCOUNT_DIRECTORY,
) -> bool:
    """Return whether this program runs in a pod: by its variables, or what is mounted."""
    variables = os.environ if environ is None else environ
    return bool(variables.get("KUBERNETES_SERVICE_HOST")) or is_mounted(directory)


def discover(
    given: Any = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: str = SERVICE_ACCOUNT_DIRECTORY,
    **options: Any,
) -> Credentials | None:
    """
    Find credentials: what is given; in a cluster ``KUBECONFIG``, then the pod's own.

    ``KUBECONFIG`` alone does not put a program into an election: a laptop's shell often
    has one, for production. ``credentials=kubeconfig()`` does.

    Args:
        given: Credentials, or a client of :func:`from_client`.
        environ: The variables; those of the process unless given.
        directory: Where a service account is mounted.
        options: The parts that :func:`explicit` takes; None counts as not given.

    Returns:
        The credentials, or None if there is no cluster and leadership is assumed.

    Raises:
        CredentialsError: what is given does not fit together, or a cluster is there
            and no way to log in to it.
    """
    parts = {name: value for name, value in options.items() if value is not None}
    if given is not None and parts:
        raise CredentialsError(
            f"Give credentials or {', '.join(sorted(parts))}, not both.",
            source="the options given",
        )
    if given is not None:
        return given if isinstance(given, Credentials) else from_client(given)
    if parts:
        if "server" not in parts:
            raise CredentialsError(
                f"{', '.join(sorted(parts))} given, but no server to use it with.",
                source="the options given",
            )
        return explicit(**parts)
    variables = os.environ if environ is None else environ
    if not is_in_cluster(environ=variables, directory=directory):
        return None
    if variables.get("KUBECONFIG"):
        return kubeconfig(environ=variables)
    return _of_this_pod(
        directory,
        variables.get("KUBERNETES_SERVICE_HOST"),
        variables.get("KUBERNETES_SERVICE_PORT"),
    )


@lru_cache(maxsize=4)
def _of_this_pod(directory: str, host: str | None, port: str | None) -> Credentials:
    """Return the pod's credentials: one object, so that electors share connections."""
    variables = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    return in_cluster(
        environ={name: value for name, value in variables.items() if value},
        directory=directory,
    )
