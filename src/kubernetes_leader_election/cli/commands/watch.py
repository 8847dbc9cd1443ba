"""``watch``: every change of leader as it happens, and how long nobody led."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from typing import TYPE_CHECKING

import click

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.changes import (
    COLOURS,
    as_dict,
    changes,
    time_of,
)
from kubernetes_leader_election.cli.observe.command_options import several_options
from kubernetes_leader_election.cli.options import Seconds, lease_argument, option
from kubernetes_leader_election.cli.output import (
    note,
    on_terminal,
    output_option,
    style,
)
from kubernetes_leader_election.text import printable

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.tracker import Change


@click.command("watch")
@lease_argument("leases", nargs=-1, metavar="[LEASE]...")
@several_options
@option("--plain", is_flag=True, help="Print lines, even on a terminal.")
@option("--for-sec", type=Seconds(), help="End after this many seconds.")
@output_option
def command(
    *,
    leases: tuple[str, ...],
    open_target: cluster.Opening,
    plain: bool,
    for_sec: float | None,
    output: str,
) -> None:
    """
    Follow LEASEs, or all of the namespace, and show for how long nobody led.

    On a terminal this is a live table (with the extra `tui`), otherwise a line for each
    change: acquired, released, expired, deleted, asked to step down, asked whether it is
    alive. With -o json it is a line of JSON for each change. `watch` never contends and
    writes nothing.

    The time without a leader is measured here: from the release, or from the last renewal
    that was seen if the leader fell silent. Where its pod may be read, `watch` says what proved
    the end of a leader with crash_takeover, or why nothing did.

    Needs the rights to get and watch the LEASEs; without names, to list and watch all, with
    -A in all namespaces. Where watching is not permitted, `watch` looks once a second and
    says so.

    \b
    kle watch billing -n shop
    kle watch -n kube-system
    kle watch -A -l app=shop
    kle watch billing -o json | jq .nobody_led_sec
    """
    names = list(dict.fromkeys(leases)) or None
    with open_target(*leases) as target:
        from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher  # noqa: PLC0415 - help is quick

        with (
            LeaseWatcher(target, names) as watcher,
            contextlib.suppress(KeyboardInterrupt),
        ):
            if output == "text" and on_terminal() and not plain:
                if importlib.util.find_spec("rich") is not None:
                    from kubernetes_leader_election.cli.observe.watch_table import show  # noqa: PLC0415 - needs an extra

                    show(watcher, names, for_sec)
                    return
                note(
                    "A live table needs the extra `tui`: "
                    "pip install 'kubernetes-leader-election[tui]'"
                )
            if output == "text":
                what = printable(f"{', '.join(leases)} of the" if leases else "all")
                note(f"watching {what} {target.describe()}")
            for change, _ in changes(watcher, names, for_sec):
                if change is not None:
                    _print(change, target, output)


def _print(change: Change, target: cluster.Target, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(as_dict(change, target)))
    elif output == "yaml":
        import yaml  # noqa: PLC0415 - only for this format

        click.echo(
            "---\n" + yaml.safe_dump(as_dict(change, target), sort_keys=False), nl=False
        )
    else:
        text = style(change.text, fg=COLOURS.get(change.kind))
        click.echo(f"{time_of(change)}  {change.lease}  {text}")
