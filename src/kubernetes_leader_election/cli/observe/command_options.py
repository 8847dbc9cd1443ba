"""The options that commands share which look at a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.options import (
    connection_options,
    lease_argument,
    namespace_option,
    seconds_option,
)
from kubernetes_leader_election.cli.output import output_option


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --namespace and the connection; pass what opens it as ``open_target``."""

    @functools.wraps(function)
    def gathered(*, namespace: str | None, connection: Connection, **more: Any) -> Any:
        opened = functools.partial(cluster.at, connection, namespace)
        return function(open_target=opened, **more)

    decorated: Callable[..., Any] = namespace_option(connection_options(gathered))
    return decorated


def handover_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what all commands take that ask a leader and wait: LEASE, --wait-sec, ..."""
    for add in (
        output_option,
        seconds_option(
            "--wait-sec",
            30.0,
            "How long to wait for another leader; then the request is taken back.",
            at_least=0.1,
        ),
        cluster_options,
        lease_argument(),
    ):
        function = add(function)
    return function
