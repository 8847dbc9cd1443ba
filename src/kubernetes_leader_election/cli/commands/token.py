"""``token``: print the fencing token."""

from __future__ import annotations

import click

from kubernetes_leader_election.cli.output import emit, output_option
from kubernetes_leader_election.errors import NoFencingTokenError, NotLeaderError


@click.command("token")
@output_option
def command(*, output: str) -> None:
    """
    Print, inside a program started by `run`, the fencing token of its term.

    Pass it to whatever the program writes to, and have that refuse a token smaller than the
    largest one it has seen. There is no token outside a cluster, nor where the server's
    resourceVersions are not numbers; `token` then exits with 1.
    """
    from kubernetes_leader_election.cli.supervise import term_file  # noqa: PLC0415 - --help is fast

    facts = term_file.read()
    if facts.assumed:
        raise NotLeaderError("leadership is assumed off-cluster: there is no token.")
    if facts.token is None and facts.remaining() <= 0.0:
        raise NotLeaderError("the term is over, and it had no token.")
    if facts.token is None:
        raise NoFencingTokenError.of(f"Lease {facts.namespace}/{facts.lease}")
    if output == "text":
        click.echo(facts.token)
        return
    found = {name: getattr(facts, name) for name in ("lease", "namespace", "identity")}
    emit({**found, "token": facts.token}, output)
