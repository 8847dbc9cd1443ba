"""Fault 07: what was heard or taken before a failure is not heard, or kept, again."""

from __future__ import annotations

import logging
import queue
import threading
import time

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.commands import Commands
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.engine.calls import Completed, PendingCall
from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.kube_api.call import Call
from tests.engine.test_failures import FAST, PlantedError, plant, rob
from tests.lifecycle.driven import until

pytestmark = pytest.mark.slow


def test_fault_07_end_of_work_that_was_heard_before_a_failure_stays_heard(
    elect, client, monkeypatch, caplog
):
    """G4, G8: unsaid by the next failure, it would keep the elector out for ever."""
    elector = elect("a", ends_work=False, **FAST)
    elector.wait_for(m.LeaseRenewed)
    rob(client, "robber")
    lost = elector.wait_for(m.LeadershipLost)
    elector.wait_for(State.FENCED)
    settle, failed = Election._settle, threading.Event()

    def fail_once(core):
        if core.state is not State.FENCED and not failed.is_set():
            failed.set()
            raise PlantedError("planted")
        settle(core)

    monkeypatch.setattr(Election, "_settle", fail_once)
    with caplog.at_level(logging.ERROR):
        elector.driver.post(m.WorkEnded(term=lost.term))
        elector.wait_for(m.ErrorOccurred)
        elector.wait_for(State.WAITING)
    assert failed.is_set()
    assert "reported as ended" not in caplog.text, "the application is blamed"
    plant(monkeypatch, Election, "receive")
    replaced = plant(monkeypatch, Commands, "on_driver_failed")
    rob(client, "another")
    assert elector.wait_for(m.LeadershipAcquired).term == lost.term + 1
    assert replaced.is_set()


@pytest.mark.parametrize("word", [m.StartAsked(), m.StopAsked()], ids=["start", "stop"])
def test_fault_07_word_that_a_defect_refuses_is_not_unsaid(elect, monkeypatch, word):
    """G8: whoever asks for a start or a stop asks once."""
    elector = elect("a", start=False, **FAST)
    if isinstance(word, m.StopAsked):
        elector.driver.post(m.StartAsked())
        elector.wait_for(m.LeadershipAcquired)
    receive, refused = Election.receive, []

    def refuse_once(core, message, *, now):
        if message == word and not refused:
            refused.append(message)
            raise ProtocolMisuseError("a defect")
        receive(core, message, now=now)

    monkeypatch.setattr(Election, "receive", refuse_once)
    elector.driver.post(word)
    stops = isinstance(word, m.StopAsked)
    elector.wait_for(State.STOPPED if stops else m.LeadershipAcquired)
    assert refused


def test_fault_07_timer_that_a_defect_refuses_is_no_hot_loop(elect, monkeypatch):
    """What is due stays due, so such a defect has to be backed off from, too."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)
    calls, failing = [], threading.Event()
    failing.set()
    handle_timer = Election.handle_timer

    def refuse(core, *, now):
        if failing.is_set():
            calls.append(now)
            raise ProtocolMisuseError("a defect")
        handle_timer(core, now=now)

    monkeypatch.setattr(Election, "handle_timer", refuse)
    until(lambda: calls)
    time.sleep(0.3)  # in which a hot loop makes thousands of calls
    failing.clear()
    assert len(calls) < 50
    elector.heard = queue.SimpleQueue()
    elector.wait_for(m.LeaseRenewed)


def test_fault_07_room_for_events_is_given_back_though_the_clock_fails(
    elect, monkeypatch
):
    """Fault 40: room that is lost with an event is lost to all later watches."""
    elector = elect("a", start=False)
    driver, access = elector.driver, elector.driver._access
    pending = PendingCall(Call(), stuck=lambda change: None)
    event = m.WatchEvent(request_id=1, type="MODIFIED", object={})
    room = access._ahead._value

    class Broken:
        def now(self):
            raise PlantedError("no clock")

    monkeypatch.setattr(driver, "clock", Broken())
    with pytest.raises(PlantedError):
        driver.step(m.StartAsked())
    assert driver._recovery.failure is not None
    access._ahead.acquire()
    with pytest.raises(PlantedError):
        driver.step(Completed(pending, event))
    assert access._ahead._value == room
    monkeypatch.undo()


def test_end_that_a_question_saw_is_not_taken_back_by_an_older_question(elect):
    """Rule 14: it latches, whoever else asks meanwhile about a former term."""
    elector = elect("a")
    elector.wait_for(m.LeadershipAcquired)
    driver, real = elector.driver, elector.driver.clock
    former = driver.view.belief._replace(term=-1, boottime_deadline=0.0)
    latched = driver._ended_term

    class Interrupted:
        def now(self):
            driver._ended_term = 1  # another thread's question, about the newest
            return real.now()

    driver._ended_term = -2
    driver.clock = Interrupted()
    assert driver._left(former) <= 0.0
    driver.clock = real
    assert latched == 0
    assert driver._ended_term == 1
