"""Each number has one home: what names it, in code, on the command line or in a page, follows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from kubernetes_leader_election.cli.main import cli
from kubernetes_leader_election.cli.supervise.polled_elector import Work
from kubernetes_leader_election.core import timing as core_timing
from kubernetes_leader_election.core.timing import Now, believe
from kubernetes_leader_election.lifecycle.status import Status
from kubernetes_leader_election.process import limits, signal_thread
from kubernetes_leader_election.settings import promises, resolve_settings, timings

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location(
    "quoted_numbers", ROOT / "docs" / "quoted_numbers.py"
)
quoted_numbers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quoted_numbers)
PAGES = sorted({page for page, _ in quoted_numbers.PLACES})
NOW = Now(50.0, 40.0, 10**15)


def call(*words):
    """Call the command line."""
    return CliRunner().invoke(cli, words)


def stale():
    """Return the pages that name other numbers than the code has."""
    return {
        page
        for page in PAGES
        if quoted_numbers.page(page) != (ROOT / page).read_text(encoding="utf-8")
    }


def limits_of_run():
    """Return the TERM and the KILL of `run`, seconds after a renewal with the defaults."""
    belief = believe(term=1, token=1, sent=NOW, settings=resolve_settings().election())
    clock = SimpleNamespace(term_deadline=lambda number: belief)
    found = Work(clock, SimpleNamespace(number=1), None).limits()
    return found.term.boottime - 50.0, found.kill.boottime - 50.0


@pytest.mark.parametrize("page", PAGES)
def test_page_names_the_numbers_of_the_code(page):
    """`python docs/quoted_numbers.py` writes them anew."""
    assert page not in stale()


def test_outage_that_is_survived_has_one_home(monkeypatch):
    """G8: `timings`, pages, and what `ensure()` calls a term in good health."""
    monkeypatch.setattr(promises, "outage_survived", lambda **_: 1234.5)
    assert timings(resolve_settings()).outage_survived == 1.2345
    shown = call("timings", "-o", "json").stdout
    assert json.loads(shown)["outage_survived"] == 1.2345
    assert stale() >= {"docs/production.md", "docs/deploy.md"}
    status = SimpleNamespace(settings=resolve_settings())
    assert Status._healthy.fget(status) == 1234.5


def test_hard_limit_has_one_home(monkeypatch):
    """G2: what a belief leaves for stopping, when `run` kills, and what `timings` prints."""
    term, kill = limits_of_run()
    means = timings(resolve_settings())
    assert (term, kill) == pytest.approx((15.05, means.run_kills_after))
    monkeypatch.setattr(core_timing, "hard_limit", lambda lasts, rho: 16.0)
    means = timings(resolve_settings())
    assert means.hard_limit == 16.0
    assert means.run_kills_after == limits_of_run()[1] == 15.75
    assert "`run` kills its command after 15.7 s" in call("timings").stdout


def test_margins_of_run_have_one_home(monkeypatch):
    """G2: TERM and KILL of the guards are sent when `timings` says so."""
    monkeypatch.setattr(promises, "KILL_MARGIN", 0.125)
    monkeypatch.setattr(promises, "TERM_MARGIN", 0.0625)
    means = timings(resolve_settings())
    assert means.run_kills_after == means.hard_limit - 0.125
    assert limits_of_run() == pytest.approx((15.0625, means.run_kills_after))


def test_limits_of_the_wait_after_a_signal_have_one_home(monkeypatch):
    """Fault 13: what a front waits, what `timings` prints, and what the page says."""
    thread = signal_thread.SignalThread(set())
    thread._delivery = signal_thread.Delivery(15)
    thread._grace = 4.0
    assert thread.longest_wait(stopped=False) == 5.0
    monkeypatch.setattr(limits, "MOMENT", 3.0)
    assert thread.longest_wait(stopped=False) == 7.0
    assert thread.longest_wait(stopped=True) == 3.0
    shown = json.loads(call("timings", "--grace-sec", "2", "-o", "json").stdout)
    assert shown["after_signal"] == 5.0
    assert stale() == {"docs/life-cycle.md"}


def test_limit_of_the_exit_has_one_home(monkeypatch):
    """Fault 16: the page says what the exit waits."""
    monkeypatch.setattr(limits, "EXIT", 2.5)
    assert stale() == {"docs/life-cycle.md"}
    assert "its Lease released, within 2.5 s or one" in quoted_numbers.page(
        "docs/life-cycle.md"
    )
