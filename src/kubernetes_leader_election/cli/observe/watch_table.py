"""The live table of ``watch``, drawn with rich (the extra `tui`)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kubernetes_leader_election.cli.observe.changes import (
    COLOURS,
    TICK,
    changes,
    time_of,
)
from kubernetes_leader_election.cli.output import seconds
from kubernetes_leader_election.text import printable

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher
    from kubernetes_leader_election.cli.observe.tracker import Change, Tracker
    from kubernetes_leader_election.core.timing import Now

BAR: Final = 16
"""Characters of the bar that shows what is left of a Lease."""
STATE_COLOURS: Final = {
    "leads": "green",
    "held": "cyan",
    "free": "yellow",
    "expired": "red",
    "missing": "red",
}


def show(watcher: LeaseWatcher, names: list[str] | None, for_sec: float | None) -> None:
    """Draw until interrupted, or for so long."""
    console = Console()
    latest: deque[Change] = deque(maxlen=max(3, console.height // 2))
    with Live(console=console, refresh_per_second=1 / TICK, transient=False) as live:
        for change, trackers in changes(watcher, names, for_sec):
            if change is not None:
                latest.append(change)
            live.update(draw(watcher, trackers, latest))


def draw(
    watcher: LeaseWatcher, trackers: dict[str, Tracker], latest: deque[Change]
) -> Group:
    """Return the table and, below it, the latest changes."""
    now = watcher.now()
    table = Table(
        title=watcher.target.describe(),
        title_justify="left",
        title_style="dim",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    for name in ("LEASE", "STATE", "HOLDER", "LEADS FOR", "RENEWED", "LEFT"):
        table.add_column(name, no_wrap=True)
    table.add_column("TRANSITIONS", justify="right")
    table.add_column("LAST GAP", justify="right")
    for name in sorted(trackers):
        table.add_row(*_row(trackers[name], now))
    lines = [
        Text.assemble(
            (time_of(change), "dim"),
            "  ",
            (change.lease, "bold"),
            "  ",
            (change.text, COLOURS.get(change.kind, "")),
        )
        for change in latest
    ]
    return Group(table, Text(), *lines)


def _row(tracker: Tracker, now: Now) -> list[Text | str]:
    state = tracker.state(now) if tracker.seen else "..."
    record = tracker.record
    holder = "-" if record is None or record.is_free else record.holder_identity
    gap = tracker.last_gap
    transitions = "-" if record is None else str(record.lease_transitions or "-")
    return [
        tracker.lease,
        Text(state, style=STATE_COLOURS.get(state, "")),
        Text(printable(holder, longest=40), style="bold"),
        _for(tracker.leads_since, now),
        _for(tracker.renewed, now),
        _bar(tracker, now),
        transitions,
        "-" if gap is None else seconds(gap),
    ]


def _for(since: Now | None, now: Now) -> str:
    return "-" if since is None else seconds(now.monotonic - since.monotonic)


def _bar(tracker: Tracker, now: Now) -> Text:
    left, whole = tracker.expires_in(now), tracker.observation.wait
    if left is None or whole <= 0:
        return Text("")
    share = left / whole
    full = round(BAR * share)
    colour = "green" if share > 0.4 else "yellow" if share > 0.15 else "red"
    return Text.assemble(
        ("━" * full, colour), ("━" * (BAR - full), "dim"), f" {seconds(left)}"
    )
