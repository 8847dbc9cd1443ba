"""``run``: a program that is alive only while this replica leads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.options import (
    announce_options,
    connection_options,
    crash_options,
    grace_option,
    identity_option,
    lease_argument,
    namespace_option,
    option,
    seconds_option,
    timing_options,
)
from kubernetes_leader_election.errors import ConfigurationError

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.supervise.health import HealthPlan


class _RunCommand(click.Command):
    """Say what is probably meant where the command's options were taken for ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with a hint at the missing ``--``."""
        separated = "--" in args
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if separated:
                raise
            raise click.UsageError(
                f"{error.format_message()} Put -- before the command: run LEASE "
                "[OPTIONS] -- COMMAND...",
                ctx,
            ) from error


_POSITIVE: Final = 0.001
"""The least of a time that must not be nothing, in seconds."""


@click.command("run", cls=_RunCommand, epilog=exit_codes.HELP)
@lease_argument()
@click.argument(
    "command_line", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND..."
)
@option(
    "--on-loss",
    type=click.Choice(["recontend", "exit"]),
    default="recontend",
    show_default=True,
    help=f"After a loss: contend again, or exit with {exit_codes.LOST}.",
)
@option(
    "--restart",
    type=click.Choice(["never", "on-failure", "always"]),
    default="never",
    show_default=True,
    help="When COMMAND ends by itself: exit with its code, or contend again after a "
    "delay. Either way the Lease is released at once.",
)
@seconds_option(
    "--restart-max-delay-sec",
    60.0,
    "The longest delay. The first is 1 s, and each is twice the previous one.",
    at_least=_POSITIVE,
)
@option(
    "--health-command",
    metavar="TEXT",
    help="A command that exits with 0 while this replica is fit to lead. It is split as "
    "a shell would split it, and finds `leader` or `candidate` in LEADER_ELECTION_ROLE.",
)
@option(
    "--health-url",
    metavar="URL",
    help="A URL that answers with a status from 200 to 399 while this replica is fit to "
    "lead.",
)
@option(
    "--health-when",
    type=click.Choice(["always", "leading"]),
    help="Check candidates as well (an unhealthy one does not contend), or only COMMAND "
    "while it runs. [default: always for --health-command, leading for --health-url, "
    "which COMMAND itself often serves]",
)
@seconds_option(
    "--health-interval-sec", 5.0, "The time between two checks.", at_least=_POSITIVE
)
@seconds_option(
    "--health-timeout-sec", 2.0, "How long one check may take.", at_least=_POSITIVE
)
@option(
    "--health-threshold",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Failures in a row after which a leader gives up leadership.",
)
@seconds_option(
    "--health-start-sec",
    30.0,
    "How long COMMAND may fail its checks after it has started, before its first success.",
)
@seconds_option(
    "--unhealthy-timeout-sec",
    60.0,
    "If nobody has led for this long, unhealthy candidates contend anyway.",
    at_least=_POSITIVE,
)
@option(
    "--http",
    metavar="ADDRESS",
    help="Serve /livez, /readyz, /leaderz, /metrics, / (the leader's name as JSON) and "
    "/sse (the same at each change) at this address, such as :8080 (all interfaces, IPv6 "
    "and IPv4).",
)
@option(
    "--require-cluster",
    is_flag=True,
    help="Outside a cluster, fail instead of running COMMAND at once.",
)
@crash_options
@announce_options
@option("-q", "--quiet", is_flag=True, help="Only print warnings and errors.")
@identity_option
@namespace_option
@connection_options
@timing_options(grace=grace_option("--grace", what="COMMAND"))
def command(
    *,
    lease: str,
    command_line: tuple[str, ...],
    connection: Connection,
    timing: dict[str, Any],
    **options: Any,
) -> None:
    """
    Run COMMAND only while this replica is the leader of LEASE.

    When leadership is lost, COMMAND and everything it started receive SIGTERM, then
    SIGKILL, early enough that they are gone before another replica may start;
    --stop-budget-sec is the time in between. Two small watchdog processes make sure of
    that with kernel timers, even if this process is killed or frozen. When COMMAND ends,
    the Lease is released at once.

    SIGTERM and SIGINT are passed on to COMMAND, and the Lease is kept until everything has
    ended, for up to --grace-sec; a second signal kills. Other signals are passed on as they
    are. As process 1 of a container, `run` reaps orphans. It needs Linux.

    COMMAND finds LEADER_ELECTION_TOKEN, _LEASE, _NAMESPACE, _IDENTITY and _DEADLINE in its
    environment, and in LEADER_ELECTION_TERM_FILE the path of a file that is kept up to
    date. Inside COMMAND, `kle check --seconds 5` tells whether that much time is left.

    Outside a cluster, COMMAND runs at once, without an election. If KUBECONFIG is set there,
    `run` refuses to guess: use --kubeconfig to take part, or unset KUBECONFIG.

    \b
    Examples:
      kle run beat -- celery -A shop beat
      kle run bot --restart on-failure --http :8080 -- ./bot
    """
    from kubernetes_leader_election.cli.supervise import restart_policy  # noqa: PLC0415 - --help is fast

    if not command_line:
        raise click.UsageError(
            "There is no command to run. Put it after --: run LEASE [OPTIONS] -- "
            "COMMAND..."
        )
    if sys.platform != "linux":
        raise ConfigurationError(
            "`run` needs Linux, whose kernel has the timers of its watchdogs. Run it in a "
            "container, or use the library: it runs here, too."
        )
    health = _health_plan(options)
    problem = restart_policy.find_problem(command_line[0])
    if problem is not None:
        click.echo(f"Error: {problem[1]}", err=True)
        raise SystemExit(problem[0])
    from kubernetes_leader_election.cli.supervise import wiring  # noqa: PLC0415 - --help is fast

    raise SystemExit(
        wiring.run(
            list(command_line),
            lease_name=lease,
            health=health,
            connection=connection,
            timing=timing,
            **options,
        )
    )


def _health_plan(options: dict[str, Any]) -> HealthPlan | None:
    from kubernetes_leader_election.cli.supervise import health  # noqa: PLC0415 - --help is fast

    text, url = options.pop("health_command"), options.pop("health_url")
    when = options.pop("health_when") or ("always" if text else "leading")
    parts = {
        "interval": options.pop("health_interval_sec"),
        "timeout": options.pop("health_timeout_sec"),
        "threshold": options.pop("health_threshold"),
        "start_period": options.pop("health_start_sec"),
        "unhealthy_timeout": options.pop("unhealthy_timeout_sec"),
    }
    if text is None and url is None:
        return None
    if text is not None and url is not None:
        raise click.UsageError("Give --health-command or --health-url, not both.")
    wrong = health.problem_of(text, url)
    if wrong:
        raise click.UsageError(wrong)
    return health.HealthPlan(command=text, url=url, always=when == "always", **parts)
