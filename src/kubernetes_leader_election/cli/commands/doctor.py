"""``doctor``: everything an election needs, checked one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.options import (
    announce_options,
    connection_options,
    lease_argument,
    namespace_option,
    timing_options,
)
from kubernetes_leader_election.cli.output import emit, output_option, style

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.findings import Check

COLOURS: Final = {"PASS": "green", "INFO": "cyan", "WARN": "yellow", "FAIL": "red"}
CODES: Final = {
    "PASS": exit_codes.OK,
    "WARN": exit_codes.WARNED,
    "FAIL": exit_codes.NO,
}


@click.command("doctor")
@lease_argument(default="python-leader-election")
@namespace_option
@connection_options
@timing_options
@announce_options
@output_option
def command(
    *,
    lease: str,
    namespace: str | None,
    connection: Connection,
    timing: dict[str, Any],
    output: str,
    **announced: Any,
) -> None:
    """
    Check everything that can go wrong in an election on LEASE, and say how to fix it.

    Checks the credentials and where they come from; the server, TLS and version; the
    latency against the request timeout; each right that is needed, with the YAML for what
    is missing; how long an update and a creation take, and which policy refuses them; the
    clock's offset (for information: elections never compare clocks); the Lease itself; the
    pod's terminationGracePeriodSeconds; what the times mean; and, with --leader-endpoints
    or --kubernetes-events, whether the rights for them are there. Nothing is stored: the
    update and the creation are dry runs (dryRun=All).

    LEASE is python-leader-election by default, as in the library. The result is PASS (exit
    code 0), WARN (5) or FAIL (1). Run it in the pod, as the service account that will lead,
    or from outside with --as.

    \b
    kle doctor billing -n shop --preset steady
    kle doctor billing -n shop --as system:serviceaccount:shop:billing
    kubectl exec deploy/billing -- kle doctor billing
    """
    from kubernetes_leader_election.cli.observe import doctor_checks  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.options import resolve_settings  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.values import replace  # noqa: PLC0415 - help is quick

    given = {} if namespace is None else {"namespace": namespace}
    settings = resolve_settings(lease_name=lease, **given, **timing, **announced)
    checks: list[Check] = []
    for found in doctor_checks.examine(connection, namespace, settings):
        # Errors come from the library, in its words.
        check = replace(found, text=as_options(found.text))
        checks.append(check)
        if output == "text":
            _print(check)
    verdicts = {check.verdict for check in checks}
    verdict = next((v for v in ("FAIL", "WARN") if v in verdicts), "PASS")
    if output == "text":
        click.echo()
        click.echo(style(verdict, fg=COLOURS[verdict], bold=True))
    else:
        rows = [
            {
                "check": c.name,
                "verdict": c.verdict,
                "text": " ".join(c.text.splitlines()),
                "fix": c.fix or None,
            }
            for c in checks
        ]
        emit({"verdict": verdict, "checks": rows}, output)
    raise SystemExit(CODES[verdict])


def _print(check: Check) -> None:
    verdict = style(check.verdict, fg=COLOURS[check.verdict], bold=True)
    first, *rest = check.text.splitlines()
    click.echo(f"{verdict}  {check.name:12} {first}")
    for line in rest:
        click.echo(f"{'':18} {line}")
    advice, _, yaml = check.fix.partition("\n")
    if advice:
        click.echo(f"{'':18} {style(advice, bold=True)}")
    if yaml:
        # At the left edge, so that it can be copied as it is.
        click.echo(yaml, nl=False)
