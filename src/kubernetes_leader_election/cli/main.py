"""The group of all commands; each is imported only when it is called."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any, Final, NoReturn

import click

from kubernetes_leader_election import __version__
from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.options import KubectlGroup
from kubernetes_leader_election.errors import (
    ConfigurationError,
    CredentialsError,
    LeaderElectionError,
    LeaseApiError,
)

COMMANDS: Final = {
    "run": "Run a program only while this replica leads.",
    "status": "Show who leads, since when, and for how much longer.",
    "watch": "Follow Leases: one line for each change of leader.",
    "step-down": "Ask the leader to let another one lead.",
    "transfer": "Ask the leader to hand over to a named candidate.",
    "release": "Free a Lease by force, as a last resort.",
    "check": "Inside a program started by run: does it lead for N more seconds?",
    "token": "Inside a program started by run: print its fencing token.",
    "doctor": "Check credentials, rights, latency, clocks and timing; say how to fix them.",
    "manifests": "Print the YAML of a deployment: rights, replicas, probes, alerts.",
    "timings": "Show what a choice of times means, or why it is refused.",
    "dev": "Serve a Lease API on this machine, or run a program with one.",
    "demo": "Watch three processes elect a leader through every kind of failure.",
    "completion": "Print the script that lets a shell complete these commands.",
}
"""Name and one line of help; the module has the same name."""

DEBUG_VARIABLE: Final = "KLE_DEBUG"
"""Set it to see the traceback of a defect."""
BROKEN_PIPE: Final = 141
"""128 and the number of SIGPIPE, which ends other tools where nobody reads on."""


class LazyGroup(KubectlGroup):
    """List commands without importing them; turn our errors into one clear line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of use rather than of the alphabet."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"{__package__}.commands.{name}")
        command: click.Command = module.command
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(n, COMMANDS[n]) for n in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a mistake of the user's is a line, never a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            _fail(error, exit_codes.USAGE)
        except (CredentialsError, LeaseApiError) as error:
            _fail(error, exit_codes.NO_CLUSTER)
        except LeaderElectionError as error:
            _fail(error, exit_codes.NO)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except KeyboardInterrupt:
            click.echo(err=True)  # below the ^C that a terminal shows
            raise SystemExit(exit_codes.INTERRUPTED) from None
        except BrokenPipeError:
            # `| head`: quietly, and not as click does it, with the code of a "no".
            raise SystemExit(BROKEN_PIPE) from None
        except OSError as error:
            from kubernetes_leader_election.cli.os_errors import in_words  # noqa: PLC0415 - help is quick

            _fail(in_words(error), exit_codes.NOT_WRITTEN)
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            _fail(
                f"unexpected {type(error).__name__}: {error}. This is a defect; "
                f"{DEBUG_VARIABLE}=1 shows where.",
                exit_codes.DEFECT,
            )
        return None


def _fail(error: Exception | str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # nobody reads it: the exit code still tells
        click.echo(f"Error: {as_options(str(error))}", err=True)
    raise SystemExit(code)


def _print_version(ctx: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value and not ctx.resilient_parsing:
        click.echo(__version__)
        ctx.exit()


@click.group(
    cls=LazyGroup,
    epilog=exit_codes.HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def cli() -> None:
    """
    Run programs only while they lead; show and move the leader of a Kubernetes Lease.

    Every option can also be set by an environment variable: KLE_ and its name, such as
    KLE_NAMESPACE=shop, or for one command only, such as KLE_RUN_LEASE_DURATION_SEC=30.
    Options that say where to look, such as -n and -A, may come before the command.
    """
