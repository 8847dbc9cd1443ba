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
import math
import os
from collections.abc import Callable, Iterable
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
        """Look at the variables of this command first, then at the common ones."""
        for name in _variables(self.opts) if ctx.auto_envvar_prefix else ():
            value = os.environ.get(f"{ctx.auto_envvar_prefix}_{name}")
            if value:
                return value
        return super().resolve_envvar_value(ctx)


def _variables(names: Iterable[str]) -> list[str]:
    """Return what the variables of an option are called, less their prefix."""
    long = (name.split("/")[0] for name in names if name.startswith("--"))
    return [name.lstrip("-").replace("-", "_").upper() for name in long]


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Declare an option with its environment variables."""
    variables = [f"{PREFIX}_{name}" for name in _variables(names)]
    attributes.setdefault("envvar", variables)
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


class Grace(Seconds):
    """A length of time, or ``none``: for ever, which is given as infinity."""

    name = "seconds|none"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read and check it."""
        if value in ("none", float("inf")):
            return float("inf")
        return super().convert(value, param, ctx)


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
            where, slash, lease = name.partition("/")
            if slash and where and lease and "/" not in lease:
                where = f"-n {where} " if where not in {"lease", "leases"} else ""
                raise click.UsageError(
                    f"LEASE is a name alone, without a slash: {where}{lease}"
                )
            resolve_settings(lease_name=name)
    return value


_CONNECTION: Final = (
    option("--kubeconfig", type=FILE, help="The kubeconfig to use."),
    option(
        "--context",
        shell_complete=_completes("contexts"),
        help="The context of the kubeconfig; by default the current one.",
    ),
    option("--server", help="The URL of the API server, instead of a kubeconfig."),
    option(
        "--token-file",
        type=FILE,
        help="A file with the bearer token for --server; read again when it changes.",
    ),
    option(
        "--ca-file",
        type=FILE,
        help="A file with the CA of the certificate of --server.",
    ),
    option(
        "--as",
        "as_user",
        metavar="USER",
        help="Act as this user, as with kubectl: "
        "system:serviceaccount:NAMESPACE:NAME is a pod's.",
    ),
    option(
        "--as-group",
        "as_groups",
        metavar="GROUP",
        multiple=True,
        help="Act as a member of this group, too; may be repeated. With --as.",
    ),
    option("--as-uid", metavar="UID", help="Act as the user of this UID. With --as."),
)


def connection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --kubeconfig, --context, --server, ...; pass them as ``connection``."""

    @functools.wraps(function)
    def gathered(**values: Any) -> Any:
        from kubernetes_leader_election.cli.connection import Connection  # noqa: PLC0415 - help is quick

        return function(connection=Connection.take(values), **values)

    return _with(_CONNECTION, gathered)


all_namespaces_option = option(
    "-A",
    "--all-namespaces",
    is_flag=True,
    help="Show the Leases of all namespaces; needs the right to list them there.",
)
"""Add -A/--all-namespaces; passed as ``all_namespaces``."""
selector_option = option(
    "-l",
    "--selector",
    default="",
    metavar="LABELS",
    help="Show the Leases with these labels, as kubectl takes them: app=shop,tier!=test.",
)
"""Add -l/--selector; passed as ``selector``, empty where not given."""
namespace_option = option(
    "-n",
    "--namespace",
    shell_complete=_completes("namespaces"),
    help="The namespace of the Lease; by default the pod's own, otherwise that of the "
    "context.",
)
"""Add -n/--namespace; passed as ``namespace``, None where not given."""

# How the election goes --------------------------------------------------------

TIMES: Final = {
    "preset": 'Named times: "steady", "client-go", "fast" or "calm".',
    "renew_interval_ms": "How often the leader renews, in milliseconds; by default "
    "10000.",
    "lease_duration_sec": "How long others wait after the last renewal, in whole seconds "
    "(rounded up); by default derived from the interval.",
    "renew_deadline_sec": "How long a leader trusts itself after its last renewal.",
    "stop_budget_sec": "How long the work may need to stop when the Lease is lost.",
    "request_timeout_sec": "How long one request may take in all.",
    "clock_rate_error": "How far clocks may run fast or slow, as a share of 1; by default "
    "0.1.",
}
"""The times among the options of :func:`..settings.options.resolve_settings`, and the help of each."""


def grace_option(*aliases: str, what: str = "the work") -> Callable[[Any], Any]:
    """Declare --grace-sec, perhaps under further names; `none` is passed as infinity."""
    return option(
        "--grace-sec",
        *aliases,
        type=Grace(),
        help=f"How long {what} may take to end after SIGTERM or SIGINT, or to hand over; "
        "`none` is for ever, and the default 20. The Lease is kept meanwhile. Together "
        "with the release this must fit into the pod's terminationGracePeriodSeconds.",
    )


def timing_options(
    function: Callable[..., Any] | None = None,
    *,
    grace: Callable[[Any], Any] | None = None,
) -> Callable[..., Any]:
    """
    Add --lease-duration-sec and its like; pass those given as ``timing``.

    Args:
        function: the command; None: a decorator is returned.
        grace: the option --grace-sec, where it is another one than the common one.

    """
    if function is None:
        return functools.partial(timing_options, grace=grace)
    decorated = function

    @functools.wraps(decorated)
    def gathered(**values: Any) -> Any:
        given = {name: values.pop(name) for name in (*TIMES, "grace_sec")}
        timing = {name: value for name, value in given.items() if value is not None}
        if timing.get("grace_sec") == float("inf"):
            timing["grace_sec"] = None
        if not values.get("quiet"):
            _tell_of_rounding(timing.get("lease_duration_sec"))
        return decorated(timing=timing, **values)

    times = (
        option(
            f"--{name.replace('_', '-')}",
            type=str if name == "preset" else float,
            help=about,
        )
        for name, about in TIMES.items()
    )
    return _with((*times, grace or grace_option()), gathered)


def _tell_of_rounding(duration: Any) -> None:
    """Say that what stands in the Lease is more than what was given."""
    if isinstance(duration, float) and math.isfinite(duration) and duration % 1:
        click.echo(
            f"--lease-duration-sec={duration:g} is rounded up to {math.ceil(duration)}: "
            "a Lease has whole seconds.",
            err=True,
        )


def crash_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --crash-takeover and --crash-challenge-sec; passed under these names."""
    return _with(
        (
            # Who switches it on promises something: no variable does so by itself.
            click.option(
                "--crash-takeover",
                is_flag=True,
                help="In pods: once this container has ended and the status of its pod "
                "proves it, the next replica leads within about two seconds. With this "
                "you state that all work of COMMAND runs in this container. The account "
                "needs `get` and `watch` on pods.",
                envvar=[],
                allow_from_autoenv=False,
            ),
            option(
                "--crash-challenge-sec",
                type=Seconds(),
                help="How long a leader whose end seems proved has to say that it lives; "
                "by default 1.",
            ),
        ),
        function,
    )


def announce_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --leader-endpoints and --kubernetes-events; passed under these names."""
    return _with(
        (
            option(
                "--leader-endpoints",
                metavar="SERVICE:PORT",
                help="Keep a Service without selector at the leader's address, by an "
                "EndpointSlice of the Service's name: billing-leader:8080, or "
                "billing-leader:http=8080 where the Service's port has a name. Needs "
                "POD_IP in the environment of the leader.",
            ),
            option(
                "--kubernetes-events",
                is_flag=True,
                help="Write Events on the Lease, for `kubectl describe lease`.",
            ),
        ),
        function,
    )


identity_option = option(
    "--identity",
    help="The name of this candidate, unique among them, such as the pod's name. By "
    "default elector-{hostname}-{pid}, with POD_NAME in place of the host if it is set.",
)
"""Add --identity; passed as ``identity``, None where not given."""


def _with(
    options: tuple[Callable[[Any], Any], ...], function: Callable[..., Any]
) -> Callable[..., Any]:
    for add in reversed(options):
        function = add(function)
    return function


# Before the command ----------------------------------------------------------

SHARED: Final = (
    *("-n", "--namespace", "-o", "--output", "--kubeconfig", "--context"),
    *("--server", "--token-file", "--ca-file", "--as", "--as-group", "--as-uid"),
    *("-l", "--selector"),
)
"""Options of commands that may stand before the command, as kubectl has them."""
SHARED_FLAGS: Final = ("-A", "--all-namespaces")
"""The same, without a value."""


class SuggestingGroup(click.Group):
    """Name the command that was probably meant where there is none of that name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        name, known = args[0], self.list_commands(ctx)
        if not ctx.resilient_parsing and name not in known and name[:1] != "-":
            from kubernetes_leader_election.text import did_you_mean, shown  # noqa: PLC0415 - only for a mistake

            ctx.fail(f"No such command {shown(name)}.{did_you_mean(name, known)}")
        return super().resolve_command(ctx, args)


class KubectlGroup(SuggestingGroup):
    """Take shared options before the command, too: `kubectl leader -n shop status`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move them behind the command, which knows them."""
        early = _early_options(args)
        rest = args[early:]
        if early and not rest and not ctx.resilient_parsing:
            ctx.fail(
                f"Missing command, as in `{ctx.info_name} status {' '.join(args)}`."
            )
        # Before an option of the group itself, as --help, they mean nothing.
        if rest and not rest[0].startswith("-"):
            rest = [rest[0], *args[:early], *rest[1:]]
        return super().parse_args(ctx, rest)


def _early_options(args: list[str]) -> int:
    """Count the arguments at the beginning that are shared options, or their values."""
    place = 0
    while place < len(args):
        name, equals, _ = args[place].partition("=")
        if args[place] in SHARED_FLAGS:
            place += 1
        elif name in SHARED:
            place += 1 if equals else 2
        elif name[:2] in SHARED and len(name) > 2:  # -nshop
            place += 1
        else:
            break
    return min(place, len(args))
