"""
Fault 07, many at a time: also while the engine gets over an earlier failure.

What it calls raises now and then for a while; when that is over, the elector leads.
"""

from __future__ import annotations

import queue
import random
import threading

import pytest

from kubernetes_leader_election import EVENTS
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.commands import Commands
from kubernetes_leader_election.core.conclusions import Conclusions
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.lease_writes import LeaseWrites
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.engine import threaded_access
from kubernetes_leader_election.engine.calls import Workers
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.engine.driver import Driver
from kubernetes_leader_election.engine.recovery import Recovery
from kubernetes_leader_election.lifecycle.life import ShownRole
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from tests.engine.conftest import SHORT
from tests.engine.test_failures import (
    FAST,
    PATIENCE,
    PlantedError,
    follows_the_rules,
    plant,
    rob,
)
from tests.lifecycle.driven import until

pytestmark = pytest.mark.slow

SITES = (
    (Election, "receive"),
    (Election, "handle_timer"),
    (Election, "drain"),
    (Election, "next_deadline"),
    (Election, "_settle"),
    (Conclusions, "draw"),
    (Standing, "begin_term"),
    (Standing, "lose"),
    (Commands, "on_work_ended"),
    (Commands, "on_driver_failed"),
    (LeaseWrites, "release"),
    (SystemClock, "now"),
    (Workers, "submit"),
    (Workers, "spawn"),
    (Driver, "_drain"),
    (Recovery, "new_core"),
    (threaded_access, "carry_out"),
)


def plant_often(monkeypatch, seed, share):
    """Let a share of all calls raise for as long as the event that it gives is set."""
    draw, failing = random.Random(seed), threading.Event()  # noqa: S311 - a seed repeats a failure

    def wrap(original, name):
        def wrapped(*args, **more):
            if failing.is_set() and draw.random() < share:
                raise PlantedError(f"planted in {name}")
            return original(*args, **more)

        return wrapped

    for owner, name in SITES:
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name), name))
    return failing


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("seed", [1, 2])
def test_fault_07_elector_leads_again_after_many_failures(
    elect, client, monkeypatch, seed, share
):
    """G4, G8: each term has one start and one end, and the next one comes."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)
    failing = plant_often(monkeypatch, seed, share)
    failing.set()
    for other in range(3):
        rob(client, f"robber-{other}")
        threading.Event().wait(0.4)  # what fails meanwhile is drawn
    failing.clear()
    elector.heard = queue.SimpleQueue()
    elector.wait_for(m.LeaseRenewed)
    elector.wait_for(m.LeaseRenewed)
    until(elector.driver.current_leader, "it does not lead")
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)
    assert not client.lease["spec"]["holderIdentity"]
    follows_the_rules(elector.events)


@pytest.mark.parametrize(
    "site",
    [(Election, "receive"), (SystemClock, "now"), (Commands, "on_work_ended")],
    ids=["core", "clock", "work ended"],
)
def test_fault_07_end_of_work_is_heard_however_often_it_fails(
    elect, client, monkeypatch, site
):
    """Nobody says it again: unheard, it would keep the elector out for ever (G4)."""
    elector = elect("a", ends_work=False, **FAST)
    elector.wait_for(m.LeaseRenewed)
    rob(client, "robber")
    lost = elector.wait_for(m.LeadershipLost)
    elector.wait_for(State.FENCED)
    original, failed = getattr(*site), []

    def raises(*args, **more):
        if len(failed) < 5:
            failed.append(site)
            raise PlantedError("planted")
        return original(*args, **more)

    monkeypatch.setattr(*site, raises)
    elector.driver.post(m.WorkEnded(term=lost.term))
    assert elector.wait_for(m.LeadershipAcquired).term == lost.term + 1
    assert failed
    follows_the_rules(elector.events)


@pytest.mark.parametrize(
    "site", [(Election, "receive"), (SystemClock, "now")], ids=["core", "clock"]
)
def test_fault_07_words_are_heard_in_their_order_though_one_fails(
    elect, monkeypatch, site
):
    """G8: a start that is heard after the stop would lead, and nobody would end it."""
    elector = elect("a", start=False, **FAST)
    original, failed = getattr(*site), []

    def raises(*args, **more):
        if not failed:
            failed.append(site)
            elector.driver.post(m.StopAsked())  # waits already when the start fails
            raise PlantedError("planted")
        return original(*args, **more)

    monkeypatch.setattr(*site, raises)
    elector.driver.post(m.StartAsked())
    elector.wait_for(State.LOOKING)
    while (heard := elector.heard.get(timeout=PATIENCE)) is not State.STOPPED:
        assert not isinstance(heard, m.LeadershipAcquired)
    assert failed


def test_fault_07_end_of_work_that_is_said_again_is_no_error(
    elect, client, monkeypatch
):
    """G4: also where it was heard first while the core was being replaced."""
    # Without requests that take too long on a busy machine, which were errors, too.
    elector = elect("a", ends_work=False, **FAST | {"request_timeout": 5.0})
    elector.wait_for(m.LeaseRenewed)
    plant(monkeypatch, Election, "receive")
    plant(monkeypatch, Commands, "on_driver_failed")
    rob(client, "robber")
    ended = m.WorkEnded(term=elector.wait_for(m.LeadershipLost).term)
    elector.driver.post(ended)
    assert elector.wait_for(m.LeadershipAcquired).term == ended.term + 1
    before = elector.driver.view.last_error
    elector.driver.post(ended)
    elector.wait_for(m.LeaseRenewed)
    assert elector.driver.view.last_error is before
    assert elector.driver.current_leader()


def test_fault_07_core_that_fails_as_it_begins_begins_later(elect, client, monkeypatch):
    """G8: a new core that cannot be started is not left as it is."""
    elector = elect("a", **FAST | SHORT)
    elector.wait_for(m.LeaseRenewed)
    begins = plant(monkeypatch, Commands, "on_start")
    plant(monkeypatch, Commands, "on_driver_failed")
    plant(monkeypatch, Election, "handle_timer")
    assert elector.wait_for(m.LeadershipLost).reason == "failed"
    assert elector.wait_for(m.LeadershipAcquired).term == 2
    assert begins.is_set()


@pytest.mark.parametrize(
    "site", [(Driver, "_look"), (ShownRole, "take")], ids=["driver", "front"]
)
def test_fault_07_loss_is_told_once_though_the_clock_fails(monkeypatch, site):
    """G4: the loss is not lost itself, and is not told a second time."""
    owner, name = site
    original, armed, failed = getattr(owner, name), threading.Event(), []

    def fails(self, *args):
        if armed.is_set() and not failed:
            failed.append(site)
            raise PlantedError("no clock")
        return original(self, *args)

    with LeaseServer() as server:
        elector = Elector(
            lease_name="demo",
            credentials=explicit(server=server.url),
            auto_close=False,
            renew_interval_ms=100,
            lease_duration_sec=20,
        )
        told = []
        for event in (EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST):
            elector.on(event, lambda event: told.append(event.name))
        with elector:
            elector.wait_until_leading(PATIENCE)
            # Whose turn comes after the loss is not told of the beginning (G2).
            until(lambda: told, "the handler does not hear of the beginning")
            announce = Standing.announce_loss
            monkeypatch.setattr(
                Standing,
                "announce_loss",
                lambda *a, **more: (announce(*a, **more), armed.set()),
            )
            monkeypatch.setattr(owner, name, fails)
            elector.step_down(stay_out=0)
            elector.wait_until_leading(PATIENCE)
            until(lambda: len(told) >= 3, "the handlers do not hear of the next term")
            assert failed
        names = [EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST]
        assert told == names * (len(told) // 2)
