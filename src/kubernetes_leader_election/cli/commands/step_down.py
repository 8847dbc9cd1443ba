"""``step-down``: ask the leader to let another one lead."""

from __future__ import annotations

import click

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.options import (
    Seconds,
    connection_options,
    lease_argument,
    namespace_option,
    option,
)
from kubernetes_leader_election.cli.output import output_option
from kubernetes_leader_election.rights import ASKING


@click.command("step-down")
@lease_argument()
@namespace_option
@connection_options
@option(
    "--wait-sec",
    type=Seconds(at_least=0.1),
    default=30.0,
    show_default=True,
    help="How long to wait for another leader; then the request is taken back.",
)
@output_option
def command(
    *,
    lease: str,
    namespace: str | None,
    connection: Connection,
    wait_sec: float,
    output: str,
) -> None:
    """
    Ask the holder of LEASE to step down; wait, and say who leads now.

    The wish is an annotation on the Lease that names the present term, so it never
    reaches a later one. Electors of this package end their work, release the Lease and
    stay out for one lease duration. Other libraries cannot be asked: where one holds
    the Lease, this is said and nothing is written.

    Needs the rights to get, watch and update LEASE. Exits with 0 when another one
    leads; with 1 when nobody was asked, answered or took over.

    \b
    kle step-down billing -n shop
    """
    from kubernetes_leader_election.cli.observe import handover  # noqa: PLC0415 - help is quick

    with cluster.at(connection, namespace, needs=ASKING) as target:
        answer = handover.ask(target, lease, successor=None, within=wait_sec)
    handover.show(answer, output)
