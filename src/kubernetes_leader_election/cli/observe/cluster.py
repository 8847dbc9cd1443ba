"""A client for the server that the options name, and the namespace to look in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.rights import READING

if TYPE_CHECKING:
    from kubernetes_leader_election.kube_api.client import LeaseClient

REQUEST_WITHIN: Final = 10.0
"""Seconds for one request of a command: people wait longer than electors."""
USER_AGENT: Final = "kle"
"""Not the electors' own: who renews a Lease is told by what stands in its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a command looks."""

    client: LeaseClient
    namespace: str
    why: str
    """Where the namespace comes from, in words."""
    needs: tuple[str, ...]
    """The rights that the command takes, to be advised where one is missing."""
    everywhere: bool = False
    """Whether it looks in all namespaces, so that keys of Leases name theirs."""
    selector: str = ""
    """The labels of the Leases that are looked at; empty: all."""

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self.client.credentials.server.url

    def describe(self, lease: str | None = None) -> str:
        """Say where this is, for the head of an answer."""
        labels = f" with {self.selector}" if self.selector else ""
        if self.everywhere:
            return f"Leases{labels} of all namespaces at {self.server}"
        what = f"Lease {self.namespace}/{lease}" if lease else f"Leases{labels}"
        where = "" if lease else f" of namespace {self.namespace}"
        return f"{what}{where} at {self.server} (namespace {self.why})"

    @property
    def scope(self) -> str | None:
        """The namespace to list and watch; None: all."""
        return None if self.everywhere else self.namespace

    def key_of(self, metadata: Mapping[str, Any]) -> str:
        """Return what a Lease is called here: its name, with -A after its namespace."""
        name = str(metadata["name"])
        return f"{metadata.get('namespace')}/{name}" if self.everywhere else name

    def place_of(self, key: str) -> tuple[str, str]:
        """Return namespace and name of a Lease that is called so here."""
        space, slash, name = key.rpartition("/")
        return (space, name) if slash else (self.namespace, name)

    def get(self, key: str) -> Any:
        """Read a Lease; give a result of :mod:`...kube_api.results`."""
        return self.client.get(*self.place_of(key), call=call(), needs=self.needs)


def call(within: float = REQUEST_WITHIN) -> Any:
    """Return the bounds of one request."""
    from kubernetes_leader_election.kube_api.call import Call, boottime  # noqa: PLC0415 - help is quick

    return Call(deadline=boottime() + within)


Opening = Callable[..., contextlib.AbstractContextManager[Target]]
"""What a command opens its :class:`Target` with: credentials are looked for only then."""


@contextlib.contextmanager
def at(
    connection: Connection,
    namespace: str | None,
    *,
    needs: tuple[str, ...] = READING,
    everywhere: bool = False,
    selector: str = "",
) -> Iterator[Target]:
    """
    Open a client, as kubectl would find the server and the namespace.

    ``needs`` are the rights that the command takes, those of a reader unless given;
    ``everywhere`` is in all namespaces, ``selector`` the labels of what is looked at.

    Raises:
        CredentialsError: no server is known, or no way to log in to it.
        ConfigurationError: that is no name of a namespace.

    """
    from kubernetes_leader_election.kube_api.client import LeaseClient  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.names import namespace_found  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.options import resolve_settings  # noqa: PLC0415 - help is quick

    if namespace is not None:
        resolve_settings(namespace=namespace)
    credentials = connection.as_kubectl()
    if namespace is not None:
        why = "as given"
    elif credentials.namespace:
        why = f"from {credentials.source}"
        namespace = namespace_found(credentials.namespace, f"The namespace {why}")
    else:
        namespace, why = "default", "by default"
    client = LeaseClient(credentials, user_agent=USER_AGENT)
    with contextlib.closing(client):
        yield Target(
            client=client,
            namespace=namespace,
            why=why,
            needs=needs,
            everywhere=everywhere,
            selector=selector,
        )
