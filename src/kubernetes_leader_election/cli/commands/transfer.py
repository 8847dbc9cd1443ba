"""``transfer``: ask the leader to hand over to a named candidate."""

from __future__ import annotations

import click

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.command_options import handover_options
from kubernetes_leader_election.cli.options import option
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.rights import ASKING


@click.command("transfer")
@option(
    "--to",
    "successor",
    required=True,
    metavar="IDENTITY",
    help="The identity of the waiting candidate that should lead.",
)
@handover_options
def command(
    *,
    lease: str,
    successor: str,
    open_target: cluster.Opening,
    wait_sec: float,
    output: str,
) -> None:
    """
    Ask the holder of LEASE to hand over to IDENTITY, wait, and show who leads now.

    Like `step-down`, but the other candidates let IDENTITY go first, for at most 5 s or half
    of the lease duration. If it does not take over in that time, another one does. Waiting
    candidates write nothing, so a misspelt identity is only noticed then. If nobody waits at
    all, nobody leads until the one that was asked comes back, one lease duration later.

    Needs the rights to get, watch and update LEASE. Exits with 0 if IDENTITY leads, with 1 if
    another one or nobody does.

    \b
    kle transfer billing --to billing-7d9c5-x2x4z -n shop
    """
    from kubernetes_leader_election.cli.observe import handover  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.names import MAX_IDENTITY  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.options import resolve_settings  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.text import shown  # noqa: PLC0415 - help is quick

    try:
        resolve_settings(identity=successor)
    except ConfigurationError as error:
        raise click.UsageError(
            f"--to={shown(successor)} is the identity of nobody: an identity is 1 to "
            f"{MAX_IDENTITY} characters that can be shown. `status` and the candidates' "
            "logs have theirs."
        ) from error
    with open_target(needs=ASKING) as target:
        answer = handover.ask(target, lease, successor=successor, within=wait_sec)
    handover.show(answer, output)
