"""``watch``: every change of leader as it happens, and how long nobody led."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.options import (
    Connection,
    Seconds,
    connection_options,
    lease_argument,
    namespace_option,
    option,
)
from kubernetes_leader_election.cli.output import (
    note,
    on_terminal,
    output_option,
    printable,
    style,
)

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.lease_watcher import (
        LeaseWatcher,
        Trouble,
    )
    from kubernetes_leader_election.cli.observe.tracker import Change, Tracker

TICK: Final = 0.25
"""Seconds between two looks at the clock, and two drawings of the live table."""
COLOURS: Final = {
    "acquired": "green",
    "held": "green",
    "released": "yellow",
    "free": "yellow",
    "expired": "red",
    "deleted": "red",
    "trouble": "red",
}


@click.command("watch")
@lease_argument("leases", nargs=-1, metavar="[LEASE]...")
@namespace_option
@connection_options
@option("--plain", is_flag=True, help="Lines, also on a terminal.")
@option("--for-sec", type=Seconds(), help="End after so long.")
@output_option
def command(
    *,
    leases: tuple[str, ...],
    namespace: str | None,
    connection: Connection,
    plain: bool,
    for_sec: float | None,
    output: str,
) -> None:
    """
    Follow LEASEs, or all of the namespace, and say how long nobody led.

    On a terminal a live table (with the extra `tui`), else a line for each change:
    acquired, released, expired, deleted, asked to step down. Watching never contends
    and writes nothing. With -o json a line of JSON for each change.

    The time without a leader is counted here, from the release, or from the last
    renewal that was seen of a leader that went silent.

    Needs the rights to get and watch the LEASEs; without names, to list.

    \b
    kle watch billing -n shop
    kle watch -n kube-system
    kle watch billing -o json | jq .nobody_led_sec
    """
    names = list(dict.fromkeys(leases)) or None
    with cluster.at(connection, namespace) as target:
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
                what = printable(", ".join(leases) if leases else "all Leases")
                note(f"watching {what}, {target.describe()}")
            for change, _ in changes(watcher, names, for_sec):
                if change is not None:
                    _print(change, output)


def changes(
    watcher: LeaseWatcher, names: list[str] | None, for_sec: float | None
) -> Iterator[tuple[Change | None, dict[str, Tracker]]]:
    """
    Give each change as it happens, and None at each tick, for ever or so long.

    Beside each change come the trackers of all Leases seen.
    """
    from kubernetes_leader_election.cli.observe.lease_watcher import Sighting, Trouble  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.cli.observe.tracker import Tracker  # noqa: PLC0415 - help is quick

    began = watcher.now()
    trackers = {name: Tracker(name, began) for name in names or ()}
    failing: set[str] = set()
    while True:
        now = watcher.now()
        if for_sec is not None and now.monotonic - began.monotonic >= for_sec:
            return
        seen = watcher.next(TICK)
        if isinstance(seen, Sighting):
            if seen.lease not in trackers and seen.snapshot is None:
                continue
            failing.discard(seen.lease)
            failing.discard("")
            tracker = trackers.setdefault(seen.lease, Tracker(seen.lease, began))
            for change in tracker.see(seen.snapshot, seen.at, in_order=seen.in_order):
                yield change, trackers
        elif isinstance(seen, Trouble) and seen.lease not in failing:
            # Said once, until it works again.
            failing.add(seen.lease)
            yield _trouble(seen), trackers
        for tracker in trackers.values():
            if tracker.announced_expiry or tracker.state(watcher.now()) != "expired":
                continue
            # A silent watch must not make a holder look dead: look once more.
            again = watcher.look(tracker.lease)
            if isinstance(again, Sighting):
                found = tracker.see(again.snapshot, again.at)
                for change in [*found, *tracker.expire(watcher.now())]:
                    yield change, trackers
        yield None, trackers


def _trouble(trouble: Trouble) -> Change:
    from kubernetes_leader_election.cli.observe.tracker import Change  # noqa: PLC0415 - help is quick

    return Change(
        lease=trouble.lease or "*",
        kind="trouble",
        at=trouble.at,
        text=f"{trouble.error} Trying again.",
    )


def time_of(change: Change) -> str:
    """Give the time of day of a change, on this machine's clock."""
    moment = datetime.fromtimestamp(change.at.wall / 1_000_000, UTC).astimezone()
    return moment.strftime("%H:%M:%S.%f")[:-3]


def as_dict(change: Change) -> dict[str, Any]:
    """Give a change in plain types, for programs."""
    moment = datetime.fromtimestamp(change.at.wall / 1_000_000, UTC)
    gap = change.nobody_led
    return {
        "time": moment.isoformat(),
        "lease": change.lease,
        "change": change.kind,
        "holder": change.holder,
        "previous": change.previous,
        "token": change.token,
        "transitions": change.transitions,
        "nobody_led_sec": None if gap is None else round(gap, 6),
        "text": change.text,
    }


def _print(change: Change, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(as_dict(change)))
    elif output == "yaml":
        import yaml  # noqa: PLC0415 - only for this format

        click.echo("---\n" + yaml.safe_dump(as_dict(change), sort_keys=False), nl=False)
    else:
        text = style(change.text, fg=COLOURS.get(change.kind))
        click.echo(f"{time_of(change)}  {change.lease}  {text}")
