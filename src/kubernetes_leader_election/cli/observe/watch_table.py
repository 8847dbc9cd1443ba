"""The live table of ``watch``, drawn with rich (the extra `tui`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from kubernetes_leader_election.cli.observe.changes import (
    COLOURS,
    TICK,
    changes,
    time_of,
)
from kubernetes_leader_election.cli.observe.tracker import EXPIRED, HELD, LEADS
from kubernetes_leader_election.cli.output import seconds
from kubernetes_leader_election.cli.tables import (
    GAP,
    SHORTEST,
    Column,
    cells,
    shortened,
)
from kubernetes_leader_election.text import printable

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher
    from kubernetes_leader_election.cli.observe.tracker import Change, Tracker
    from kubernetes_leader_election.core.timing import Now

BAR: Final = 12
"""Characters of the bar that shows what is left of a Lease."""
TABLE: Final = (
    Column(title="LEASE", least=14),
    Column(title="STATE"),
    Column(title="HOLDER", least=14),
    Column(title="LEADS FOR", optional=2),
    Column(title="RENEWED", optional=1),
    Column(title="", optional=4),
    Column(title="LEFT"),
    Column(title="TRANSITIONS", optional=3, right=True),
    Column(title="LAST GAP", right=True),
)
"""At 60 columns there is room for all that are never left out."""
NARROW: Final = 60
"""With fewer columns the holder stands below its Lease."""
NARROW_TABLE: Final = (
    Column(title="LEASE", least=8),
    Column(title="STATE"),
    Column(title="LEFT", optional=1),
    Column(title="LAST GAP", optional=2, right=True),
)
"""At 40 columns there is room for all."""
HOLDER: Final = 2
"""The place of the holder among the cells of a row."""
INDENT: Final = 2
"""Spaces before a holder that stands below its Lease."""
KEPT: Final = 100
"""Changes that are remembered, for a terminal that is made higher."""
FOR_CHANGES: Final = 4
"""Lines that many Leases leave to changes; half of the room, where there are few."""
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
    latest: deque[Change] = deque(maxlen=KEPT)
    title = watcher.target.describe()
    with Live(console=console, refresh_per_second=1 / TICK, transient=False) as live:
        for change, trackers in changes(watcher, names, for_sec):
            if change is not None:
                latest.append(change)
            live.update(draw(console, title, trackers, latest, watcher.now()))


def draw(
    console: Console,
    title: str,
    trackers: dict[str, Tracker],
    latest: Sequence[Change],
    now: Now,
) -> Group:
    """Return the table and, below it, as many of the latest changes as there is room for."""
    width, height = console.size
    head = Text(printable(title, longest=width), style="dim", no_wrap=True)
    # One line is the terminal's own, where the cursor stands.
    usable = height - 1
    room = usable - len((head, "titles", "empty"))
    for_changes = min(FOR_CHANGES, room // 2)
    layout = _narrow_table if width < NARROW else _table
    # A Lease and the word on the rest, with two lines each, find a place at least.
    for_leases = max(2, (room - for_changes) // (2 if width < NARROW else 1))
    shown, more = _chosen(trackers, for_leases, now)
    lines = layout(shown, now, width, plain=console.options.ascii_only)
    if more:
        lines.append(Text(more, style="dim", no_wrap=True))
    # The newest change has a line on the lowest terminal: what only explains goes first.
    above = max(0, usable - 1)
    if len(lines) < above:
        lines.insert(0, head)
    if len(lines) < above:
        lines.append(Text())
    lines = lines[max(0, len(lines) - above) :]
    changed = map(_line, latest)
    return Group(*lines, *newest(console, changed, usable - len(lines)))


def _chosen(
    trackers: dict[str, Tracker], room: int, now: Now
) -> tuple[list[Tracker], str]:
    """Return the Leases to show, those in trouble before others, and a word on the rest."""
    names = sorted(trackers)
    if len(names) <= room:
        return [trackers[name] for name in names], ""
    calm = [name for name in names if trackers[name].state(now) in {LEADS, HELD}]
    urgent = [name for name in names if name not in set(calm)]
    kept = (urgent + calm)[: room - 1]
    rest = len(urgent) - len(kept)
    about = f"{rest} without a leader" if rest > 0 else "all held"
    more = f"... {len(names) - len(kept)} more, {about}"
    return [trackers[name] for name in sorted(kept)], more


def _table(
    trackers: Iterable[Tracker], now: Now, width: int, *, plain: bool
) -> list[Text]:
    return _laid_out(
        TABLE, [_row(tracker, now, plain=plain) for tracker in trackers], width
    )


def _narrow_table(
    trackers: Iterable[Tracker], now: Now, width: int, *, plain: bool
) -> list[Text]:
    """Return two lines for each Lease, the second one with its holder."""
    rows = [_row(tracker, now, plain=plain) for tracker in trackers]
    titles = [column.title for column in TABLE]
    places = [titles.index(column.title) for column in NARROW_TABLE]
    head, *body = _laid_out(
        NARROW_TABLE, [[row[place] for place in places] for row in rows], width
    )
    lines = [head]
    for row, line in zip(rows, body, strict=True):
        holder, colour = row[HOLDER]
        below = shortened(holder, max(SHORTEST, width - INDENT))
        lines += [line, Text(" " * INDENT + below, style=colour, no_wrap=True)]
    return lines


def _laid_out(
    columns: Sequence[Column], rows: list[list[tuple[str, str]]], width: int
) -> list[Text]:
    """Return the head and a line for each row, of cells with their styles."""
    head, *body = cells(columns, [[text for text, _ in row] for row in rows], width)
    lines = [Text((" " * GAP).join(head.values()), style="bold", no_wrap=True)]
    for row, laid in zip(rows, body, strict=True):
        line = Text(no_wrap=True)
        for place, text in laid.items():
            if line:
                line.append(" " * GAP)
            line.append(text, style=row[place][1])
        lines.append(line)
    return lines


def newest(console: Console, lines: Iterable[Text], room: int) -> list[Text]:
    """Return the newest lines, wrapped, for which there is room: the last at the end."""
    found: list[Text] = []
    for line in reversed(list(lines)):
        # How long nobody led stands at the end of a line: nothing of it is cut.
        parts = line.wrap(console, max(1, console.width))
        if len(parts) > room:
            return found or list(parts)[-max(1, room) :]
        found[:0] = parts
        room -= len(parts)
    return found


def _line(change: Change) -> Text:
    return Text.assemble(
        (time_of(change), "dim"),
        "  ",
        (change.lease, "bold"),
        "  ",
        (change.text, COLOURS.get(change.kind, "")),
    )


def _row(tracker: Tracker, now: Now, *, plain: bool) -> list[tuple[str, str]]:
    """Return the cells of a Lease, each with its style."""
    state = tracker.state(now) if tracker.seen else "..."
    record = tracker.record
    holder = "-" if record is None or record.is_free else record.holder_identity
    gap = tracker.last_gap
    transitions = "-" if record is None else str(record.lease_transitions or "-")
    bar, left, colour = _left(tracker, now, plain=plain)
    return [
        (tracker.lease, ""),
        (state, STATE_COLOURS.get(state, "")),
        (printable(holder, longest=253), "bold"),
        (_for(tracker.leads_since, now), ""),
        (_for(tracker.renewed, now), ""),
        (bar, colour),
        (left, colour),
        (transitions, ""),
        ("-" if gap is None else seconds(gap), ""),
    ]


def _for(since: Now | None, now: Now) -> str:
    return "-" if since is None else seconds(now.monotonic - since.monotonic)


def _left(tracker: Tracker, now: Now, *, plain: bool) -> tuple[str, str, str]:
    """Return a bar of what is left of the Lease, the same in words, and the colour."""
    left, whole = tracker.expires_in(now), tracker.observation.wait
    if left is None or whole <= 0:
        return "", "-", ""
    over = tracker.state(now) == EXPIRED
    share = 0.0 if over else left / whole
    # Two marks that differ without colours, too; other encodings have no such letters.
    full, gone = "=." if plain else "━·"
    length = round(BAR * share)
    colour = "green" if share > 0.4 else "yellow" if share > 0.15 else "red"
    words = "none" if over else seconds(left)
    return full * length + gone * (BAR - length), words, colour
