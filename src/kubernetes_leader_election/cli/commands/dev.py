"""``dev``: a Lease API on this machine, alone or around a command; and its faults."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli.extras import needs
from kubernetes_leader_election.cli.options import FILE, SuggestingGroup, option
from kubernetes_leader_election.cli.os_errors import NotWrittenError, in_words
from kubernetes_leader_election.cli.output import emit, note, output_option, style
from kubernetes_leader_election.cli.supervise.restart_policy import (
    find_problem,
    start_failure,
)
from kubernetes_leader_election.text import printable, quoted

if TYPE_CHECKING:
    from kubernetes_leader_election.testing import LeaseServer
    from kubernetes_leader_election.testing.lease_server import RequestRecord
from kubernetes_leader_election.cli.dev_shared import FAULTS, ORDERS, default_kubeconfig

AFTER_DASHES: Final = "kubernetes_leader_election.dev_command"


class _Dev(SuggestingGroup):
    """Keep what stands after ``--`` as the command to run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the command off before options and subcommands are looked for."""
        if "--" in args:
            place = args.index("--")
            ctx.meta[AFTER_DASHES] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)


@click.group(
    "dev",
    cls=_Dev,
    invoke_without_command=True,
    subcommand_metavar="[fault ...] | [-- COMMAND...]",
)
@option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port; by default 8001, and with COMMAND a free one.",
)
@option("--tls", is_flag=True, help="Serve https, with a new certificate.")
@option(
    "--write-kubeconfig",
    type=FILE,
    help="Where to write the kubeconfig; by default into ~/.cache, and with COMMAND into "
    "a temporary file.",
)
@option("--state", type=click.Path(dir_okay=False), help="Keep the Leases in a file.")
@option(
    "--requests/--no-requests",
    "show_requests",
    default=None,
    help="Print each request; the default if there is no COMMAND.",
)
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    host: str,
    port: int | None,
    tls: bool,
    write_kubeconfig: Path | None,
    state: str | None,
    show_requests: bool | None,
    output: str,
) -> None:
    """
    Serve a Lease API on this machine: elections without a cluster.

    It answers like a kube-apiserver to this package, kubectl and every other client, writes
    a kubeconfig and prints each request. It ends at SIGINT or SIGTERM.

    With COMMAND, `dev` runs it with KUBECONFIG and the variables of a pod, so that a program
    takes part in an election without changes, and ends with it and its exit code. `dev fault`
    makes the server misbehave while it runs.

    Needs the extra `testing`.

    \b
    kle dev
    kle dev -- python my_program.py
    kle dev fault hang seconds=5 verb=update
    """
    if ctx.invoked_subcommand is not None:
        return
    command_line: tuple[str, ...] = ctx.meta.get(AFTER_DASHES, ())
    with needs("testing", "dev"):
        from kubernetes_leader_election.testing import LeaseServer  # noqa: PLC0415 - an extra
    if not host.strip():
        raise click.UsageError(
            "--host is empty: give 127.0.0.1 for this machine alone, or 0.0.0.0 for all."
        )
    number = port if port is not None else 0 if command_line else 8001
    server = LeaseServer(host=host, port=number, tls=tls, state=state, control=True)
    shown = not command_line if show_requests is None else show_requests
    if shown:
        server.requests.on_answer = _show
    # Blocked before the server's thread starts, so that it inherits the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        try:
            server.start()
        except OSError as error:
            raise _not_started(error, f"{host}:{number}", state) from error
        try:
            with _kubeconfig(
                server, write_kubeconfig, passing=bool(command_line)
            ) as path:
                if command_line:
                    raise SystemExit(_run(command_line, server, path))
                if output == "text":
                    _introduce(server, path, shared=write_kubeconfig is None)
                else:
                    emit({"url": server.url, "kubeconfig": str(path)}, output)
                signal.sigwait({signal.SIGINT, signal.SIGTERM})
        finally:
            server.stop()
    except BaseException:
        # Not after the signal that ended it: another one would only tear its end.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise


def _not_started(error: OSError, address: str, state: str | None) -> NotWrittenError:
    """Say which of the two it was, the address or the file, and what to do."""
    of_file = error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)
    if state is not None and of_file:
        return NotWrittenError(
            f"cannot keep the Leases in {state}: {error.strerror}. Give --state a file "
            "in a folder that is there and can be written to."
        )
    return NotWrittenError(
        f"cannot listen on {address}: {error.strerror}. Give another --port or --host."
    )


@contextlib.contextmanager
def _kubeconfig(
    server: LeaseServer, asked: Path | None, *, passing: bool
) -> Iterator[Path]:
    """
    Write the kubeconfig: where it was asked for, else to the file of `dev fault`.

    With a command it is a temporary one, removed at the end: the other file may belong
    to a server that goes on.
    """
    with contextlib.ExitStack() as stack:
        path = asked or default_kubeconfig()
        try:
            if asked is None and passing:
                import tempfile  # noqa: PLC0415 - help is quick

                try:
                    folder = tempfile.TemporaryDirectory(prefix="kle-dev-")
                except OSError as error:
                    raise NotWrittenError(in_words(error)) from error
                path = Path(stack.enter_context(folder)) / "kubeconfig"
            path.parent.mkdir(parents=True, exist_ok=True)
            server.kubeconfig(path=path)
        except OSError as error:
            raise NotWrittenError(
                f"cannot write the kubeconfig {path}: {error.strerror}. Give "
                "--write-kubeconfig a file in a folder that can be written to."
            ) from error
        yield path


def _introduce(server: LeaseServer, path: Path, *, shared: bool) -> None:
    click.echo(f"Serving Leases on {server.url}")
    named = shlex.quote(str(path))
    for line, about in (
        (f"export KUBECONFIG={named}", "for kubectl and kle"),
        ("kle run my-lease --kubeconfig $KUBECONFIG -- COMMAND", "a replica"),
        ("kle watch", "who leads"),
        (_fault_hint(path, shared=shared), "how to make it misbehave"),
    ):
        click.echo(f"  {style(f'{line:54}', bold=True)} {about}")


def _fault_hint(path: Path, *, shared: bool) -> str:
    """Return the call that reaches this server, and no other one of this machine."""
    named = "" if shared else f" --kubeconfig {shlex.quote(str(path))}"
    return f"kle dev fault{named}"


def _show(record: RequestRecord) -> None:
    status = record.status or 0
    colour = "green" if status < 300 else "yellow" if status < 500 else "red"
    took = (record.answered or record.time) - record.time
    query = f"?{record.query}" if record.query else ""
    agent = printable(record.user_agent.partition(" ")[0])
    port = record.client.rpartition(":")[2]
    # Only a write says who sends it; what has its port is of the same program.
    holder = "" if record.holder is None else f"  {_holder(record.holder)}"
    note(
        f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-3]
        + f"  {style(str(status), fg=colour)} {took * 1000:6.1f} ms  {record.method:6} "
        f"{record.path}{query}{holder}  {style(f'{agent} :{port}', dim=True)}"
    )


def _holder(holder: str) -> str:
    return f"holder {quoted(holder)}" if holder else "no holder"


def environment(server: LeaseServer, path: Path) -> dict[str, str]:
    """Return the variables that lead a program to the server as if it ran in a pod."""
    host, _, port = server.url.rpartition("/")[2].rpartition(":")
    return {
        "KUBECONFIG": str(path),
        "KUBERNETES_SERVICE_HOST": host.strip("[]"),
        "KUBERNETES_SERVICE_PORT": port,
        "POD_NAMESPACE": "default",
    }


def _run(command_line: tuple[str, ...], server: LeaseServer, path: Path) -> int:
    """Run the command; give its exit code as shells do."""
    note(
        f"Serving Leases on {server.url} for {command_line[0]}; "
        f"{_fault_hint(path, shared=False)} makes it misbehave."
    )
    if (problem := find_problem(command_line[0])) is not None:
        return _told(*problem)
    try:
        process = subprocess.Popen(  # noqa: S603 - the command that was asked for
            command_line,
            env={**os.environ, **environment(server, path)},
            preexec_fn=_unblock,  # noqa: PLW1509 - only signal masks are touched
        )
    except OSError as error:
        return _told(*start_failure(command_line[0], error.errno or 0))
    while process.poll() is None:
        got: Any = signal.sigtimedwait({signal.SIGINT, signal.SIGTERM}, 0.1)
        # A terminal (the kernel) sends SIGINT to the command itself; people do not.
        if got is not None and (got.si_signo == signal.SIGTERM or got.si_code <= 0):
            process.send_signal(got.si_signo)
    code = process.returncode
    return code if code >= 0 else 128 - code


def _told(code: int, why: str) -> int:
    note(f"Error: {why}")
    return code


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _table(title: str, rows: dict[str, str]) -> str:
    lines = "\n".join(f"  {name:29} {about}" for name, about in rows.items())
    return f"\b\n{title}\n{lines}"


@command.command(
    "fault",
    epilog="\n\n".join(
        [
            _table("Faults, for requests that match:", FAULTS),
            _table("Orders, carried out once:", ORDERS),
        ]
    ),
)
@click.argument("words", nargs=-1, metavar="[FAULT | ORDER | clear] [option=value]...")
@option(
    "--kubeconfig",
    type=FILE,
    help="That of the server; unless given, KUBECONFIG if it is one of `dev`, else the "
    "one that `dev` wrote last.",
)
@output_option
def fault(*, words: tuple[str, ...], kubeconfig: Path | None, output: str) -> None:
    """
    Let the server of `dev` misbehave: list, add and clear faults, give orders.

    Without words: lists the faults in force. Each fault takes times= (a number or
    `every`; once unless given), skip=, share=, and what a request must match: verb=,
    name=, namespace=, user=, user_agent=, path=.

    \b
    kle dev fault hang seconds=5 verb=update times=every
    kle dev fault restart down=3
    kle dev fault clear
    """
    from kubernetes_leader_election.cli.commands import dev_fault  # noqa: PLC0415 - help is quick

    dev_fault.tell(words, kubeconfig, output)
