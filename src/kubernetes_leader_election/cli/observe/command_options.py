"""The options that commands share which look at a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.options import (
    all_namespaces_option,
    connection_options,
    lease_argument,
    namespace_option,
    seconds_option,
    selector_option,
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


def several_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Add the same, and -A and -l, for commands that show several Leases or those named.

    ``open_target`` takes the names, and refuses what goes with no name.
    """

    @functools.wraps(function)
    def gathered(
        *,
        namespace: str | None,
        connection: Connection,
        all_namespaces: bool,
        selector: str,
        **more: Any,
    ) -> Any:
        def opened(*names: str) -> Any:
            _refuse_with_names(names, all_namespaces, selector)
            if all_namespaces and namespace is not None and _was_typed("namespace"):
                raise click.UsageError("-A is every namespace: leave out -n.")
            return cluster.at(
                connection,
                None if all_namespaces else namespace,
                everywhere=all_namespaces,
                selector=selector,
            )

        return function(open_target=opened, **more)

    decorated: Callable[..., Any] = namespace_option(
        all_namespaces_option(selector_option(connection_options(gathered)))
    )
    return decorated


def _refuse_with_names(
    names: tuple[str, ...],
    everywhere: bool,  # noqa: FBT001 - an option's value
    selector: str,
) -> None:
    """Refuse as kubectl does what would leave it open which Lease is meant."""
    if names and everywhere:
        raise click.UsageError(
            "-A shows the Leases of all namespaces; one that is named is in a namespace: "
            "name it with -n."
        )
    if names and selector:
        raise click.UsageError(
            "-l chooses Leases by their labels: leave it out where they are named."
        )


def _was_typed(name: str) -> bool:
    """Return whether an option stands on the command line, not in a variable."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


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
