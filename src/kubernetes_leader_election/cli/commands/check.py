"""``check``: is leadership provably held for a while more?"""

from __future__ import annotations

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.options import Seconds, option
from kubernetes_leader_election.cli.output import emit, output_option


@click.command("check")
@option(
    "-s",
    "--seconds",
    type=Seconds(),
    default=0.0,
    show_default=True,
    help="How many seconds the next step needs.",
)
@option("-q", "--quiet", is_flag=True, help="Print nothing; only set the exit code.")
@output_option
def command(*, seconds: float, quiet: bool, output: str) -> None:
    """
    Ask, inside a program started by `run`, whether it still leads.

    Exits with 0 if leadership is provably held for --seconds more, with 1 if it is not. The
    answer is right even if `run` is frozen or dead: the deadline is in a file and is compared
    with the clocks of this machine. Exits with 2 if these are not the clocks of `run`, as on
    another machine or in another time namespace.
    """
    from kubernetes_leader_election.cli.supervise import term_file  # noqa: PLC0415 - --help is fast

    left = term_file.read().remaining()
    enough = left > 0 and left >= seconds
    if not quiet and output != "text":
        emit(
            {
                "enough": enough,
                "remaining_sec": None if left == float("inf") else round(left, 3),
                "assumed": left == float("inf"),
            },
            output,
        )
    elif not quiet:
        shown = "no end (off-cluster)" if left == float("inf") else f"{left:.1f} s left"
        click.echo(shown if left > 0 else "leadership is over")
    raise SystemExit(exit_codes.OK if enough else exit_codes.NO)
