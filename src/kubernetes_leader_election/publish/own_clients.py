"""The connections of what is told to others: apart from the election's, closed in a child."""

from __future__ import annotations

import contextlib
import weakref
from typing import Final

from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.process.fork import PerProcess, Process, on_child

__all__ = ["own_client"]

_clients: Final[PerProcess[weakref.WeakSet[LeaseClient]]] = PerProcess(weakref.WeakSet)
"""Those of this process that somebody still has."""


def own_client(credentials: Credentials) -> LeaseClient:
    """Return a client with a connection of its own; any thread may call it."""
    client = LeaseClient(credentials, most_idle=1)
    _clients().add(client)
    return client


def _after_fork_in_child(parent: Process) -> None:
    """Close inherited descriptors without a word to anybody: the threads are gone."""
    for client in list(_clients.of(parent) or ()):
        with contextlib.suppress(OSError):  # closed already: nothing is left to do
            client.drop_after_fork()


on_child(_after_fork_in_child)
