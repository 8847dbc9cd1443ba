"""Orders from ``dev fault`` to a running server, over its own port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.dev_shared import ORDERS, default_kubeconfig
from kubernetes_leader_election.cli.output import emit
from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.text import printable

if TYPE_CHECKING:
    from kubernetes_leader_election.credentials.base import Credentials

CONTEXT: Final = "embedded-lease-api"
"""What `dev` calls the context in its kubeconfigs, which tells them from a cluster's."""


class NoServerError(click.ClickException):
    """Say that no server of ``dev`` is there."""

    exit_code = exit_codes.NO_CLUSTER


def tell(words: tuple[str, ...], config: Path | None, output: str) -> None:
    """
    Carry out one call of ``dev fault``.

    Raises:
        NoServerError: there is none, or it is none that takes orders.
        click.UsageError: the server does not know such a fault or order.

    """
    if words == ("clear",):
        _ask(config, "DELETE", "/control/faults")
        _list([], output, none="All faults are cleared.")
        return
    if not words or words == ("list",):
        _list(_ask(config, "GET", "/control/faults"), output)
        return
    if words[0] in {order.split()[0] for order in ORDERS}:
        _ask(config, "POST", "/control/do", " ".join(words))
        order = " ".join(words)
        if output == "text":
            click.echo(f"Ordered: {order}")
        else:
            emit({"ordered": order}, output)
        return
    _list(_ask(config, "POST", "/control/faults", shlex.join(words)), output)


def _list(faults: Any, output: str, none: str = "There are no faults.") -> None:
    if output != "text":
        emit(faults, output)
        return
    if not faults:
        click.echo(none)
    for one in faults:
        options = " ".join(f"{k}={v}" for k, v in one["options"].items() if v)
        times = "every time" if one["times"] is None else f"{one['times']} times"
        click.echo(
            f"{one['action']} {options}".rstrip()
            + f": {times}, met {one['hits']} times so far"
        )


def _credentials(config: Path | None) -> Credentials:
    """
    Find the server: the one named, that of KUBECONFIG, or the one that began last.

    Raises:
        NoServerError: there is no kubeconfig, or it cannot be used.

    """
    try:
        if config is None and os.environ.get("KUBECONFIG"):
            # Of a real cluster, perhaps, which must not get such orders.
            with contextlib.suppress(CredentialsError):
                found = kubeconfig()
                if found.source.endswith(f", context {CONTEXT!r}"):
                    return found
        return kubeconfig(config or default_kubeconfig())
    except CredentialsError as error:
        raise NoServerError(
            f"{error} Start one with `dev`, or name its kubeconfig with --kubeconfig."
        ) from error


def _ask(config: Path | None, method: str, path: str, text: str = "") -> Any:
    credentials = _credentials(config)
    server, context = credentials.server, credentials.tls_context(timeout=5)
    connection = (
        http.client.HTTPConnection(server.host, server.port, timeout=10)
        if context is None
        else http.client.HTTPSConnection(
            server.host, server.port, timeout=10, context=context
        )
    )
    try:
        headers = dict(credentials.headers(timeout=5))
        connection.request(method, path, text.encode() or None, headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise NoServerError(
            f"no server of `dev` answers at {server.url}: "
            f"{getattr(error, 'strerror', None) or error}. Start one with `dev`."
        ) from error
    finally:
        connection.close()
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if status == http.HTTPStatus.BAD_REQUEST and isinstance(found, dict):
        raise click.UsageError(printable(str(found.get("message")), longest=2000))
    if status >= 300 or found is None:
        raise NoServerError(
            f"{server.url} takes no such orders ({status}): it is no server of `dev`."
        )
    return found
