"""
What a shell completes beside commands and options: Leases, namespaces, contexts.

Asked for at a press of Tab: in a short time or not at all, and never with a complaint.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click

from kubernetes_leader_election.cli.connection import Connection

PATIENCE: Final = 2.0
"""Seconds that somebody who pressed Tab waits: credentials and answer together."""


def leases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a Lease by listing those of the namespace."""
    given = ctx.params.get(param.name or "")
    taken = set(given) if isinstance(given, tuple | list) else set()

    def ask() -> Iterable[str]:
        return [name for name in _leases(ctx.params) if name not in taken]

    return _quietly(ask, incomplete)


def namespaces(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """Complete a namespace: those of the server, else those that contexts name."""

    def ask() -> Iterable[str]:
        found = set(_contexts(ctx.params).values())
        with contextlib.suppress(Exception):  # those of the contexts will do
            found |= set(_namespaces(ctx.params))
        return found

    return _quietly(ask, incomplete)


def contexts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a context of the kubeconfig."""
    return _quietly(lambda: _contexts(ctx.params), incomplete)


def _quietly(ask: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    """Ask on a thread that may hang; give what begins so, nothing when it fails."""
    found: list[str] = []

    def work() -> None:
        with contextlib.suppress(Exception):  # no complaint into a command line
            found.extend(ask())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return sorted(name for name in found if name.startswith(incomplete))


def _leases(params: dict[str, Any]) -> Iterable[str]:
    from kubernetes_leader_election.cli.observe import cluster  # noqa: PLC0415 - completion of options is quick
    from kubernetes_leader_election.cli.observe.lease_watcher import (  # noqa: PLC0415 - as above
        Leases,
        list_all,
    )

    with cluster.at(Connection.take({**params}), params.get("namespace")) as target:
        found = list_all(target, cluster.call(PATIENCE))
    return found.snapshots if isinstance(found, Leases) else ()


def _namespaces(params: dict[str, Any]) -> Iterable[str]:
    from kubernetes_leader_election.cli.observe import cluster  # noqa: PLC0415 - as above
    from kubernetes_leader_election.kube_api.results import Answered  # noqa: PLC0415

    with cluster.at(Connection.take({**params}), None) as target:
        answer = target.client.request(
            "GET", "/api/v1/namespaces", call=cluster.call(PATIENCE)
        )
    if not isinstance(answer, Answered):
        return ()
    return [str(item["metadata"]["name"]) for item in answer.body["items"]]


def _contexts(params: dict[str, Any]) -> dict[str, str]:
    from kubernetes_leader_election.credentials.kubeconfig_file import list_contexts  # noqa: PLC0415 - PyYAML

    path: Path | None = params.get("kubeconfig")
    return list_contexts(path)
