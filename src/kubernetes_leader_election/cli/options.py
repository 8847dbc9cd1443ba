"""
The options that commands share: the library's, under the library's names.

.. code-block:: python

    @click.command("status")
    @namespace_option
    @connection_options
    @timing_options
    def command(
        *, namespace: str | None, connection: Connection, timing: dict[str, float | str]
    ) -> None:
        found = connection.as_kubectl()
        settings = resolve_settings(lease_name="x", namespace=namespace, **timing)

Every option can be given as ``KLE_`` and its name, for all commands, and with the
command's name between them, for one: ``KLE_RUN_NAMESPACE`` before ``KLE_NAMESPACE``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    _Type = click.ParamType[float]
else:
    _Type = click.ParamType  # generic only in later releases of click

FILE: Final = click.Path(dir_okay=False, path_type=Path)
PREFIX: Final = "KLE"
"""What the environment variables of all options begin with."""
LONGEST_TIME: Final = 2_000_000.0
"""Seconds that sockets and polls can wait: 2**31 milliseconds, less a bit."""


class Option(click.Option):
    """An option that takes ``KLE_COMMAND_NAME`` before ``KLE_NAME``."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Look at the variable of this command first, then at the common one."""
        common = self.envvar
        try:
            self.envvar = None
            value = super().resolve_envvar_value(ctx)
        finally:
            self.envvar = common
        return value if value is not None else super().resolve_envvar_value(ctx)


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Declare an option with its environment variables."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = f"{PREFIX}_{long.lstrip('-').replace('-', '_').upper()}"
    attributes.setdefault("envvar", variable)
    return click.option(*names, cls=Option, **attributes)


class Seconds(_Type):
    """A length of time: a number that clocks and timers can take; no nan, no inf."""

    name = "seconds"

    def __init__(self, at_least: float = 0.0) -> None:
        self._least = at_least

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read and check it."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        if not self._least <= number <= LONGEST_TIME:
            self.fail(
                f"{value} is out of range: from {self._least:g} to {LONGEST_TIME:,.0f} "
                "seconds.",
                param,
                ctx,
            )
        return number


def seconds_option(
    name: str, default: float | None, about: str, *, at_least: float = 0.0
) -> Callable[[Any], Any]:
    """Declare an option that is a length of time."""
    return option(
        name,
        type=Seconds(at_least),
        default=default,
        show_default=default is not None,
        help=about,
    )


def _completes(what: str) -> Callable[[click.Context, click.Parameter, str], Any]:
    """Complete by a function of :mod:`.shell_completion`, which only a press of Tab loads."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        from kubernetes_leader_election.cli import shell_completion  # noqa: PLC0415 - help is quick

        return getattr(shell_completion, what)(ctx, param, incomplete)

    return complete


def lease_argument(name: str = "lease", **attributes: Any) -> Callable[[Any], Any]:
    """Declare an argument that names a Lease; shells complete it by what there is."""
    return click.argument(
        name,
        shell_complete=_completes("leases"),
        callback=_check_lease_names,
        **attributes,
    )


def _check_lease_names(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """Refuse what the API server would not take, or would take for another path."""
    from kubernetes_leader_election.settings.options import resolve_settings  # noqa: PLC0415 - help is quick

    for name in value if isinstance(value, tuple) else (value,):
        if name is not None:
            resolve_settings(lease_name=name)
    return value


_CONNECTION: Final = (
    option("--kubeconfig", type=FILE, help="The kubeconfig to use."),
    option(
        "--context",
        shell_complete=_completes("contexts"),
        help="The context of the kubeconfig; the current one unless given.",
    ),
    option("--server", help="The URL of the API server, instead of a kubeconfig."),
    option(
        "--token-file",
        type=FILE,
        help="A file with the bearer token for --server, read again when it changes.",
    ),
    option("--ca-file", type=FILE, help="The CA of the certificate of --server."),
)


def connection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --kubeconfig, --context, --server, ...; pass them as ``connection``."""

    @functools.wraps(function)
    def gathered(**values: Any) -> Any:
        from kubernetes_leader_election.cli.connection import Connection  # noqa: PLC0415 - help is quick

        return function(connection=Connection.take(values), **values)

    return _with(_CONNECTION, gathered)


namespace_option = option(
    "-n",
    "--namespace",
    shell_complete=_completes("namespaces"),
    help="Where the Lease is; the pod's own namespace, else that of the context.",
)
"""Add -n/--namespace; passed as ``namespace``, None where not given."""

# How the election goes --------------------------------------------------------

TIMES: Final = {
    "preset": 'Named times: "steady", "client-go", "fast" or "calm".',
    "renew_interval_ms": "How often the leader renews, in milliseconds; 10000 unless "
    "given.",
    "lease_duration_sec": "How long others wait after the last renewal; derived from "
    "the interval.",
    "renew_deadline_sec": "How long a leader trusts itself after its last renewal.",
    "stop_budget_sec": "How long the work may need to stop when the Lease is lost.",
    "request_timeout_sec": "How long one request may take in all.",
    "clock_rate_error": "How far clocks may run fast or slow, as a share of 1; 0.1 "
    "unless given.",
}
"""The times among the options of :func:`resolve_settings`, and the help of each."""


def timing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --lease-duration-sec and its like; pass those given as ``timing``."""

    @functools.wraps(function)
    def gathered(**values: Any) -> Any:
        given = {name: values.pop(name) for name in TIMES}
        timing = {name: value for name, value in given.items() if value is not None}
        return function(timing=timing, **values)

    times = (
        option(
            f"--{name.replace('_', '-')}",
            type=str if name == "preset" else float,
            help=about,
        )
        for name, about in TIMES.items()
    )
    return _with(tuple(times), gathered)


identity_option = option(
    "--identity",
    help="The name of this candidate, its own for each: the pod's name is good.",
)
"""Add --identity; passed as ``identity``, None where not given."""


def _with(
    options: tuple[Callable[[Any], Any], ...], function: Callable[..., Any]
) -> Callable[..., Any]:
    for add in reversed(options):
        function = add(function)
    return function
