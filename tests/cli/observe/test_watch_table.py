"""The live table of ``watch``: laid out for narrow terminals, long names, many Leases."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from kubernetes_leader_election.cli.observe.tracker import Change, Tracker
from kubernetes_leader_election.cli.observe.watch_table import draw
from kubernetes_leader_election.cli.tables import width_of
from tests.cli.observe.records import at, lease

TITLE = "Leases of namespace shop at https://10.0.0.1:6443 (namespace as given)"


def tracked(name: str, first: str = "ada", then: str = "bob") -> Tracker:
    """Give a Lease that was handed over after three seconds, 13 ms of them without."""
    tracker = Tracker(name, at(0))
    tracker.see(lease(1, first), at(0))
    tracker.see(lease(2, "", acquired=3, renewed=3), at(3))
    tracker.see(lease(3, then, acquired=3, renewed=4), at(3.013))
    return tracker


@pytest.fixture
def utc(monkeypatch) -> Iterator[None]:
    """Let times of day be those of UTC, wherever the tests run."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def drawn(
    *trackers: Tracker,
    width: int = 110,
    height: int = 24,
    now: float = 5.0,
    changes: Sequence[str | Change] = (),
    encoding: str = "utf-8",
) -> list[str]:
    """Give the lines that stand on a terminal without colours, of this size."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    console = Console(width=width, height=height, file=file, no_color=True)
    latest = [
        text
        if isinstance(text, Change)
        else Change(lease="billing", kind="acquired", at=at(4), text=text)
        for text in changes
    ]
    found = {tracker.lease: tracker for tracker in trackers}
    console.print(draw(console, TITLE, found, latest, at(now)))
    return raw.getvalue().decode(encoding).splitlines()


LONG = "the-lease-of-a-service-with-a-long-name"
POD = "the-deployment-of-a-service-7d9c5f6b8d"


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (60, {"LEADS FOR", "RENEWED", "TRANSITIONS"}),
        (80, {"TRANSITIONS"}),
        (110, set()),
    ],
)
def test_the_table_fits_and_shows_state_and_last_gap(width, left_out):
    """Names are shortened, not the state nor the gap; some columns leave at 80."""
    one = tracked(LONG, f"{POD}-x2x4z", f"{POD}-k8m2p")
    other = tracked(f"{LONG}-2", f"{POD}-x2x4z", f"{POD}-qq7rr")
    lines = drawn(one, other, width=width)
    assert max(map(width_of, lines)) <= width
    titles = {"STATE", "HOLDER", "LEADS FOR", "RENEWED", "LEFT", "TRANSITIONS"}
    shown = {title for title in titles if title in lines[1]}
    assert shown == titles - left_out
    assert lines[1].endswith("LAST GAP")
    for line, pod in ((lines[2], "k8m2p"), (lines[3], "qq7rr")):
        assert pod in line
        assert " leads " in line
        assert line.endswith("13 ms")


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (59, ["LEASE", "STATE", "LEFT", "LAST GAP"]),
        (40, ["LEASE", "STATE", "LEFT", "LAST GAP"]),
        (30, ["LEASE", "STATE", "LEFT"]),
        (20, ["LEASE", "STATE"]),
    ],
)
def test_a_narrow_table_has_the_holder_below_its_lease(width, titles):
    """Under 60 columns nothing is cut at the edge: the state stays, and so do names' ends."""
    one = tracked(LONG, f"{POD}-x2x4z", f"{POD}-k8m2p")
    other = tracked(f"{LONG}-2", f"{POD}-x2x4z", f"{POD}-qq7rr")
    lines = drawn(one, other, width=width)
    assert max(map(width_of, lines)) <= width
    assert lines[1].replace("LAST GAP", "LAST_GAP").split() == [
        title.replace(" ", "_") for title in titles
    ]
    first, below, second, below_it = lines[2:6]
    assert "  leads" in first
    assert "  leads" in second
    assert first.split()[0] != second.split()[0]
    assert below.startswith("  the-")
    assert below.endswith("k8m2p")
    assert below_it.endswith("qq7rr")
    if "LAST GAP" in titles:
        assert first.endswith("13 ms")


@pytest.mark.parametrize("width", [*range(16, 60, 4), 59])
def test_a_narrow_table_fits_and_leaves_room_for_changes(width):
    """Whatever the width: many Leases, on few lines, and the newest change below."""
    many = [tracked(f"lease-{number:02}") for number in range(9)]
    lines = drawn(*many, width=width, height=14, changes=["bob leads for 13 ms"])
    assert max(map(width_of, lines)) <= width
    assert len(lines) < 14
    assert "more" in " ".join(lines)
    assert lines[-1].endswith("ms")


def test_short_names_leave_room_for_every_column_at_80():
    """Nothing is left out nor shortened where there is room."""
    lines = drawn(tracked("billing"), width=100)
    assert "TRANSITIONS" in lines[1]
    assert ".." not in lines[2]


def test_the_bar_shows_what_is_left_without_colours_too():
    """Half a Lease is half a bar, and an expired one is empty: the marks differ."""
    whole, half, gone = (
        drawn(tracked("billing"), now=now)[2] for now in (3.0, 8.0, 14.0)
    )
    assert whole.count("━") == 12
    assert half.count("━") == 6
    assert "━" not in gone
    assert gone.count("·") == 12
    assert "expired" in gone
    assert " none " in gone


def test_the_bar_has_only_letters_that_the_terminal_has():
    """A terminal in Latin-1 shows the same bar in ASCII."""
    line = drawn(tracked("billing"), now=8.0, encoding="latin-1")[2]
    assert "======......" in line
    assert "\\u" not in line


def test_the_newest_changes_are_shown_where_there_is_no_room_for_all():
    """Older changes leave, whole; a long one is wrapped, for its end says how long."""
    old = [f"change {number}" for number in range(30)]
    newest = f"{POD}-k8m2p leads, transition 2, nobody led for 13 ms since the release"
    lines = drawn(tracked("billing"), width=60, height=12, changes=[*old, newest])
    assert len(lines) < 12
    shown = " ".join(line.strip() for line in lines)
    assert "nobody led for 13 ms since the release" in shown
    assert "change 29" in shown
    assert "change 2 " not in shown


def test_a_change_that_is_higher_than_the_terminal_shows_its_end():
    """Even on four lines the end of the newest change is there."""
    newest = f"{POD} leads, nobody led for 13 ms"
    lines = drawn(tracked("billing"), width=30, height=5, changes=["old", newest])
    assert lines[-1].endswith("13 ms")


def test_more_leases_than_lines_leave_room_for_changes_and_hide_no_trouble():
    """What is held is left out first, and it is said how many are not shown."""
    many = [tracked(f"lease-{number:02}") for number in range(40)]
    silent = Tracker("zz-silent", at(-30))
    silent.see(lease(1, "eve"), at(-30))
    lines = drawn(*many, silent, height=15, changes=["the newest"])
    assert len(lines) < 15
    shown = "\n".join(lines)
    assert "zz-silent" in shown
    assert "the newest" in shown
    leases = sum(" leads " in line for line in lines)
    assert f"... {40 - leases} more, all held" in shown


def test_a_low_terminal_shows_a_lease_and_a_change():
    """The one in trouble, how many there are beside it, and the newest change."""
    quiet = [tracked(f"lease-{number}") for number in range(3)]
    silent = [Tracker(name, at(-30)) for name in ("x-silent", "y-silent")]
    for one in silent:
        one.see(lease(1, "eve"), at(-30))
    lines = drawn(*quiet, *silent, width=60, height=8, changes=["old", "newest"])
    assert len(lines) < 8
    assert lines[2].startswith("x-silent")
    assert lines[3] == "... 4 more, 1 without a leader"
    assert lines[-1].endswith("newest")


@pytest.mark.parametrize("height", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("leases", [1, 2, 9])
def test_the_lowest_terminals_show_the_newest_change_too(height, leases):
    """All fits, so that nothing is cut at the end; what only explains leaves first."""
    many = [tracked(f"lease-{number}") for number in range(leases)]
    lines = drawn(*many, width=60, height=height, changes=["old", "the newest"])
    assert len(lines) < height
    assert lines[-1].endswith("the newest")
    assert any(line.startswith(("lease-", "... ")) for line in lines)
    if leases == 9:
        assert ("LEASE" in "".join(lines)) == (height > 4)
        assert (TITLE[:20] in "".join(lines)) == (height > 5)


PAGE = Path(__file__).parents[3] / "docs" / "on-call.md"
MARK = "<!-- drawn: REWRITE_DOCS=1 pytest tests/cli/observe/test_watch_table.py -->\n"


def test_page_for_the_one_on_call_shows_the_table_as_it_is(utc):
    """What the page shows is drawn here; REWRITE_DOCS=1 writes it anew."""
    began = 9 * 3600 + 41 * 60
    billing, mail = Tracker("billing", at(began)), Tracker("mail", at(began))
    changes = billing.see(lease(1, "billing-7d9c5-x2x4z"), at(began))
    changes += mail.see(lease(1, "mail-66b7f-qq7rr"), at(began + 1))
    changes += billing.see(lease(2, "", acquired=3, renewed=3), at(began + 8))
    new = lease(4711, "billing-7d9c5-k8m2p", acquired=3, renewed=4)
    changes += billing.see(new, at(began + 8.013), in_order=True)
    changes += mail.expire(at(began + 11.5))
    lines = drawn(billing, mail, width=100, now=began + 12, changes=changes)
    shown = "\n".join(line.rstrip() for line in lines)
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    _, _, tail = rest.removeprefix("```text\n").partition("```\n")
    page = f"{head}{MARK}```text\n{shown}\n```\n{tail}"
    if os.environ.get("REWRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
