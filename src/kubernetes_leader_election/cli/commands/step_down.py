"""``step-down``: ask the leader to let another one lead."""

from __future__ import annotations

import click

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.command_options import handover_options
from kubernetes_leader_election.rights import ASKING


@click.command("step-down")
@handover_options
def command(
    *, lease: str, open_target: cluster.Opening, wait_sec: float, output: str
) -> None:
    """
    Ask the holder of LEASE to step down, wait, and show who leads now.

    The request is an annotation on the Lease that names the present term, so it never
    affects a later one. Electors of this package end their work, release the Lease and stay
    out for one lease duration. Other libraries cannot be asked; if one of them holds the
    Lease, `step-down` says so and writes nothing.

    Waiting candidates write nothing, so they are not known. If there is none, nobody leads
    until the one that was asked comes back; `step-down` says so before and after.

    Needs the rights to get, watch and update LEASE. Exits with 0 if another candidate leads,
    with 1 if nobody was asked, answered or took over.

    \b
    kle step-down billing -n shop
    """
    from kubernetes_leader_election.cli.observe import handover  # noqa: PLC0415 - help is quick

    with open_target(needs=ASKING) as target:
        answer = handover.ask(target, lease, successor=None, within=wait_sec)
    handover.show(answer, output)
