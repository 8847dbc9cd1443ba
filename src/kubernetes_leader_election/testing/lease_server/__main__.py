"""
Run the embedded Lease API as a command.

``python -m kubernetes_leader_election.testing.lease_server --port 8001``
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.faults import Fault, parse_fault
from kubernetes_leader_election.testing.lease_server import (
    LeaseServer,
    RequestRecord,
    User,
)

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kubernetes_leader_election.testing.lease_server",
        description="Run an embedded Lease API until SIGINT or SIGTERM.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tls", action="store_true", help="https, own certificate")
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="write a kubeconfig; with --user, FILE.NAME for each user as well",
    )
    parser.add_argument(
        "--user",
        action="append",
        default=[],
        metavar="NAME=TOKEN",
        help="a user with a token; from then on tokens are asked for",
    )
    parser.add_argument(
        "--manifests", metavar="FILE", help="YAML with Roles and RoleBindings"
    )
    parser.add_argument(
        "--namespace", action="append", default=[], help="a namespace to create"
    )
    parser.add_argument("--state", metavar="FILE", help="keep the objects in a file")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="RULE",
        help="for example: 'delay seconds=2 verb=update times=every'",
    )
    parser.add_argument("--quiet", action="store_true", help="print no requests")
    return parser


def _users(given: Sequence[str]) -> list[User]:
    users = []
    for one in given:
        name, _, token = one.partition("=")
        if not name or not token:
            raise ConfigurationError(
                f"--user {one!r} is not NAME=TOKEN", option="--user"
            )
        users.append(User(name, token=token))
    return users


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"error: {text}\n")


def _show(record: RequestRecord) -> None:
    _say(str(record))


def _manifests(path: str | None) -> str | None:
    if path is None:
        return None
    return Path(path).read_text(encoding="utf-8")


def _build(arguments: argparse.Namespace) -> tuple[LeaseServer, list[Fault]]:
    faults = [parse_fault(rule) for rule in arguments.fault]
    server = LeaseServer(
        host=arguments.host,
        port=arguments.port,
        tls=arguments.tls,
        users=_users(arguments.user),
        manifests=_manifests(arguments.manifests),
        namespaces=arguments.namespace,
        state=arguments.state,
        control=True,
    )
    return server, faults


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until a signal comes; give the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        server, faults = _build(arguments)
    except (ConfigurationError, OSError) as error:
        _complain(str(error))
        return 2
    if not arguments.quiet:
        server.requests.on_answer = _show
    # Blocked before the thread starts, so that it inherits the mask.
    waited_for = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    try:
        server.start()
    except OSError as error:
        _complain(f"cannot listen on port {arguments.port}: {error}")
        return 1
    try:
        for fault in faults:
            server.faults.add(fault)
        if arguments.kubeconfig:
            server.kubeconfig(path=arguments.kubeconfig)
            for user in _users(arguments.user):
                path = f"{arguments.kubeconfig}.{user.name}"
                server.kubeconfig(user.name, path=path)
        _say(f"Serving Leases on {server.url}")
        signal.sigwait(waited_for)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
