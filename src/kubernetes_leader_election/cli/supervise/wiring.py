"""Put ``run`` together: in the order that forking, threads and signals ask for."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.supervise.linux import become_subreaper
from kubernetes_leader_election.cli.supervise.signal_queue import (
    SignalQueue,
    ignored_signals,
)
from kubernetes_leader_election.cli.supervise.term_file import TermFile
from kubernetes_leader_election.cli.supervise.terminal import Terminal
from kubernetes_leader_election.cli.supervise.watchdog import Errand
from kubernetes_leader_election.cli.supervise.watchdog_link import Link, fork_watchdog
from kubernetes_leader_election.process import limits
from kubernetes_leader_election.settings.options import resolve_settings

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.connection import Connection
    from kubernetes_leader_election.cli.supervise.health import Health, HealthPlan
    from kubernetes_leader_election.cli.supervise.polled_elector import PolledElector
    from kubernetes_leader_election.cli.supervise.supervisor import Supervisor
    from kubernetes_leader_election.credentials.base import Credentials


class StderrLog:
    """Write lines to standard error, each with a prefix that tells whose it is."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def debug(self, text: str, *args: object) -> None:
        """Leave it out."""

    def info(self, text: str, *args: object) -> None:
        """Write a line, unless --quiet."""
        if not self._quiet:
            self.error(text, *args)

    def warning(self, text: str, *args: object) -> None:
        """Write a line."""
        self.error(text, *args)

    def error(self, text: str, *args: object) -> None:
        """Write a line."""
        line = as_options(text % args if args else text)
        try:
            os.write(2, f"kle: {line}\n".encode(errors="backslashreplace"))
        except OSError:
            return  # nobody reads it any more: no reason to stop the command


def run(
    command: list[str],
    *,
    lease_name: str,
    health: HealthPlan | None,
    connection: Connection,
    timing: dict[str, Any],
    **options: Any,
) -> int:
    """Run the command while this replica leads; give the exit code."""
    settings = {
        "lease_name": lease_name,
        "namespace": options["namespace"],
        "identity": options["identity"],
        "crash_takeover": options["crash_takeover"],
        "crash_challenge_sec": options["crash_challenge_sec"],
        "leader_endpoints": options["leader_endpoints"],
        "kubernetes_events": options["kubernetes_events"],
        **timing,
    }
    # A mistake is said before anything is started.
    grace = resolve_settings(**settings).grace_sec
    credentials = _credentials(connection, required=options["require_cluster"])
    log = StderrLog(quiet=options["quiet"])
    ignored = ignored_signals()
    signals = SignalQueue(ignored)
    with contextlib.ExitStack() as ending:
        ending.callback(signals.close)
        ending.callback(_flush)
        term_file = _term_file(log)
        if term_file is not None:
            ending.callback(term_file.remove)
            if options["crash_takeover"] and _is_shared(term_file.folder, log):
                settings |= {"crash_takeover": False, "crash_challenge_sec": None}
        # While there is one thread; and what it does not need is imported after it.
        link = fork_watchdog(
            Errand(
                command=command,
                ignored=ignored,
                grace=grace,
                scratch=None if term_file is None else str(term_file.folder),
            )
        )
        ending.callback(link.close)
        if term_file is not None:
            ending.callback(term_file.remove)  # before that: the backstop waits for it
        become_subreaper()
        from kubernetes_leader_election.cli.supervise import polled_elector  # noqa: PLC0415 - after the fork

        elector = polled_elector.PolledElector(
            **settings, auto_close=False, credentials=credentials, log=log
        )
        supervisor = _supervisor(
            command, elector, link, signals, term_file, log, options
        )
        ending.callback(supervisor.close)
        if health is not None:
            supervisor.candidacy.health = _health(supervisor, health)
        if options["http"] is not None:
            _serve(options["http"], elector, supervisor, log)
        code = supervisor.run()
        elector.finish(limits.LAST_WORDS)
        return code


def _credentials(connection: Connection, *, required: bool) -> Credentials | None:
    """Take what was named; else None, and the elector looks for it, again and again."""
    if connection.named:
        return connection.as_library()
    from kubernetes_leader_election.credentials import is_in_cluster  # noqa: PLC0415 - not for --help

    if is_in_cluster():
        return None
    if required:
        click.echo(
            "Error: this is no cluster (no KUBERNETES_SERVICE_HOST, no service account "
            "is mounted), and --require-cluster was given. Name a cluster with "
            "--kubeconfig or --context.",
            err=True,
        )
        raise SystemExit(exit_codes.NO_CLUSTER)
    path = os.environ.get("KUBECONFIG")
    if path:
        # `status` goes there: two replicas would both work, and nobody would see why.
        named = f"--kubeconfig={shlex.quote(path)}"
        if os.pathsep in path:
            named = "--context=NAME, a context of these files,"
        raise click.UsageError(
            "KUBECONFIG is set, and `run` does not use it outside a pod unless told to, "
            f"since a shell often has one for production. Say {named} to take part in the "
            "election of that cluster, or unset KUBECONFIG (env -u KUBECONFIG) to run "
            "COMMAND at once, without any election."
        )
    return None


def _term_file(log: StderrLog) -> TermFile | None:
    try:
        return TermFile()
    except OSError as error:
        log.warning(
            "no folder for the term file (%s): `check` cannot work inside the command. "
            "Mount a writable /tmp, or set TMPDIR.",
            error,
        )
        return None


def _is_shared(folder: Path, log: StderrLog) -> bool:
    """
    Return whether other containers of the pod may see the term file, and say so.

    Work there would not end with this container, so no crash is proved then. That is
    no reason not to start: with a read-only root file system, which many clusters ask
    for, there is no other folder, and after a crash others wait as they always did.
    """
    from kubernetes_leader_election.pods import termination  # noqa: PLC0415 - for this option alone
    from kubernetes_leader_election.pods.names import NoNote  # noqa: PLC0415 - as above

    if isinstance(termination.termination_file(), NoNote):
        return False  # no note is left, and the log will say why
    mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    shared = termination.shared_by(str(folder.resolve()), mounts)
    if shared is None:
        return False
    log.warning(
        "goes on without --crash-takeover: after a crash others wait for the whole "
        "lease duration. The term file is on %s, which other containers of the pod may "
        "have as well: work in one of them would not end with this container. Set "
        "TMPDIR to a folder of the container's own file system, or leave "
        "--crash-takeover out.",
        shared,
    )
    return True


def _supervisor(
    command: list[str],
    elector: PolledElector,
    link: Link,
    signals: SignalQueue,
    term_file: TermFile | None,
    log: StderrLog,
    options: dict[str, Any],
) -> Supervisor:
    from kubernetes_leader_election.cli.supervise.supervisor import Plan, Supervisor  # noqa: PLC0415 - after the fork
    from kubernetes_leader_election.process.log_thread import shared_log_thread  # noqa: PLC0415 - after the fork

    def say(text: str) -> None:
        # On a thread that may wait: a pipe that nobody reads must not stop the loop.
        write = log.error if text.startswith("Error") else log.info
        shared_log_thread().call(lambda: write(text), may_drop=True)

    plan = Plan(
        command=command,
        grace=elector.settings.grace_sec,
        on_loss=options["on_loss"],
        restart=options["restart"],
        restart_max_delay=options["restart_max_delay_sec"],
    )
    return Supervisor(
        plan,
        elector=elector,
        link=link,
        signals=signals,
        terminal=Terminal(),
        term_file=term_file,
        say=say,
    )


def _health(supervisor: Supervisor, plan: HealthPlan) -> Health:
    from kubernetes_leader_election.cli.supervise.health import (  # noqa: PLC0415
        Fitness,
        Health,
        HealthChecker,
    )

    checker = HealthChecker(plan, wake=supervisor.wake, variables=supervisor.variables)
    return Health(checker, Fitness(plan))


def _serve(
    address: str, elector: PolledElector, supervisor: Supervisor, log: StderrLog
) -> None:
    from kubernetes_leader_election.observability.endpoints import Endpoints  # noqa: PLC0415 - most do without
    from kubernetes_leader_election.observability.serving import HealthServer  # noqa: PLC0415 - most do without

    endpoints = Endpoints(
        elector,
        problem=lambda: problem_of(time.monotonic() - supervisor.turned_at),
        absence=lambda: supervisor.absence,
    )
    health = HealthServer(endpoints, address, option="--http")
    log.info("%s has /livez, /readyz, /leaderz, /metrics, / and /sse", health.url)


def problem_of(silent: float) -> str:
    """Say what is wrong with a loop that turned so many seconds ago; nothing if it lives."""
    from kubernetes_leader_election.cli.supervise.supervisor import LONGEST_TURN  # noqa: PLC0415 - after the fork

    # A machine that is only busy is no reason to end a leader.
    if silent > 3 * LONGEST_TURN:
        return f"the loop has not turned for {silent:.0f} s"
    return ""


def _flush() -> None:
    """Let the last lines be written, but do not wait for a reader that is stuck."""
    log = sys.modules.get("kubernetes_leader_election.process.log_thread")
    if log is not None:
        log.shared_log_thread().flush(limits.LAST_WORDS)
