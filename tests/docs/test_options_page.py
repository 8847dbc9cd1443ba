"""The tables of docs/options.md and docs/production.md are held to the code."""

from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest

from kubernetes_leader_election import EVENTS, Elector
from kubernetes_leader_election.events import ElectorEvent, LossReason, Origin
from kubernetes_leader_election.settings import PRESETS, resolve_settings, timings
from tests.programs import ROOT

OPTIONS = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
PRODUCTION = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")


def rows(heading, column=0):
    """Give the words in backquotes of a column of the first table after a heading."""
    table = OPTIONS.split(heading, 1)[1].split("\n|", 1)[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ")[column] for line in table.splitlines()[2:]]
    return [word for cell in cells for word in re.findall(r"`([^`]*)`", cell)]


def test_options_table_has_every_option():
    """Nothing is missing, and nothing is there that the elector does not take."""
    options = set(inspect.signature(Elector).parameters) - {"unknown"}
    assert options == set(rows("## Options"))


def test_options_table_has_the_defaults():
    """What the table says of a flag or a number is what the elector does."""
    defaults = dict(
        re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", OPTIONS, flags=re.MULTILINE)
    )
    settings = resolve_settings()
    for name in ("wait_for_leadership", "auto_close", "observe", "liveness", "preset"):
        assert defaults[name] == str(getattr(settings, name))
    assert defaults["renew_interval_ms"] == str(settings.renew_interval_ms)
    assert defaults["clock_rate_error"] == str(settings.clock_rate_error)
    for name in ("lease_name", "namespace"):
        assert defaults[name] == f'"{getattr(settings, name)}"'


def test_events_table_has_every_event():
    """All of EVENTS, and all reasons of a loss."""
    assert [event.name for event in EVENTS] == rows("## Events, properties, methods")
    line = OPTIONS.split("Reasons of a loss: ")[1].split("\n")[0]
    assert list(LossReason.__args__) == re.findall(r"`(\w+)`", line)


@pytest.mark.parametrize("event", get_args(ElectorEvent), ids=lambda kind: kind.name)
def test_events_table_has_what_each_event_carries(event):
    """Every field that a handler can read, and no other."""
    cells = dict(
        re.findall(r"^\| `([A-Z_]+)` \| .+ \| (.+) \|$", OPTIONS, flags=re.MULTILINE)
    )
    carried = re.findall(r"`(\w+)`", cells[event.name.name])
    common = re.findall(
        r"`(\w+)`", OPTIONS.split("| carries, beside ")[1].split("|")[0]
    )
    fields = inspect.get_annotations(event).keys() - {"name"}
    # Whether there is a token at all is for metrics; a handler asks for the token.
    shown = {field.removesuffix("_if_any") for field in fields}
    assert sorted(carried) == sorted(shown)
    assert common == list(Origin.__annotations__)
    assert all(hasattr(event, name) for name in carried)


def test_methods_table_has_every_public_name():
    """What the class offers is in the table, and the other way round."""
    table = OPTIONS.split("| name | gives |")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ")[0] for line in table.splitlines()[2:]]
    named = {
        re.match(r"\w+", word).group()
        for cell in cells
        for word in re.findall(r"`([^`]*)`", cell)
    }
    public = {name for name in dir(Elector) if not name.startswith("_")}
    assert public == named


def test_presets_table_says_what_follows_from_them():
    """Each number is derived from the settings, not remembered."""
    table = PRODUCTION.split("| preset |")[1].split("\n\n")[0]
    shown = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert [None, *PRESETS] == [
        None if row[0] == "none" else row[0].strip('`"') for row in shown
    ]
    for name, *cells in shown:
        preset = None if name == "none" else name.strip('`"')
        means = timings(resolve_settings(preset=preset))
        numbers = [float(cell.removesuffix(" s")) for cell in cells]
        exact = [
            means.renew_interval,
            means.lease_duration,
            means.outage_survived,
            means.crash_fail_over,
            means.writes_per_minute,
        ]
        # Rounded for the reader, never to the better side by more than a tenth.
        assert numbers == pytest.approx(exact, abs=0.1), name
