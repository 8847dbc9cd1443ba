"""What an application can see of a view: which difference is none but a renewal."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import read_snapshot
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import Now, believe
from kubernetes_leader_election.engine.view import View
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.values import replace
from tests.core.harness import settings
from tests.lifecycle.driven import until

TIMES = settings()
NOW = Now(100.0, 50.0, 1_700_000_000_000_000)


def later(seconds):
    """Return the clocks so much later."""
    return Now(NOW[0] + seconds, NOW[1] + seconds, NOW[2] + int(seconds * 1e6))


def lease(holder="me", renewed="2026-01-01T00:00:00.000000Z", transitions=1):
    """Return a Lease as it is seen."""
    spec = {
        "holderIdentity": holder,
        "renewTime": renewed,
        "leaseTransitions": transitions,
    }
    return read_snapshot({"metadata": {"resourceVersion": "7"}, "spec": spec})


def belief(seconds=0.0, term=1):
    """Return the belief of a write so much later."""
    return believe(term=term, token=7, sent=later(seconds), settings=TIMES)


LEADS = View(
    state=State.LEADER,
    changed_at=NOW,
    life=1,
    running=True,
    belief=belief(),
    term_deadline=belief(),
    last_deadline=belief(),
    snapshot=lease(),
)


def test_renewal_puts_off_deadlines_and_changes_nothing_else():
    """The wall clock need not go as the others do: what it shows of a pause may vary."""
    newer = belief(2.0)._replace(wall_ahead_limit=belief().wall_ahead_limit - 1e-6)
    renewed = replace(
        LEADS,
        belief=newer,
        term_deadline=newer,
        last_deadline=newer,
        snapshot=lease(renewed="2026-01-01T00:00:02.000000Z"),
    )
    assert renewed.is_renewal_of(LEADS)
    assert LEADS.is_renewal_of(LEADS)


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.DRAINING},
        {"life": 2},
        {"running": False},
        {"last_error": LeaseApiError("no")},
        {"lost": (1, "stopped")},
        {"snapshot": lease(holder="other")},
        {"snapshot": lease(transitions=2)},
        {"snapshot": None},
        {"term_deadline": None},
        {"term_deadline": belief(2.0, term=2)},
        {"term_deadline": belief(-1.0)},
        {"term_deadline": belief()._replace(boottime_deadline=0.0)},
        {"term_deadline": belief()._replace(monotonic_deadline=0.0)},
        {"term_deadline": belief()._replace(wall_deadline=0.0)},
        {"last_deadline": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_differs_is_no_renewal(change):
    """Whoever waits is woken: a record that was cut short ends the term sooner."""
    assert not replace(LEADS, **change).is_renewal_of(LEADS)


@pytest.fixture
def shown(elect):
    """Give the views that the listener of a leader is shown, and the leader."""
    leader = elect("a", renew_interval=0.1)
    leader.wait_for(m.LeaseRenewed)
    views, on_view = [], leader.on_view

    def note(view):
        views.append(view)
        on_view(view)

    leader.on_view = note
    return leader, views


def test_listener_is_shown_a_view_once(shown):
    """G9: what the watch brings of our own write shows nothing new."""
    leader, views = shown
    until(lambda: len(views) > 4)
    leader.wait_for(m.LeaseRenewed)
    assert all(a is not b for a, b in pairwise(list(views)))


def test_listener_looks_again_after_a_word_of_the_application(shown):
    """The end of work is known there first, and changes what it makes of a view."""
    leader, views = shown

    def is_shown_again():
        leader.driver.post(m.LivenessReported(alive=True))
        return any(a is b for a, b in pairwise(list(views)))

    until(is_shown_again)
