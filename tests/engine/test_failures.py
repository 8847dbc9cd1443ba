"""
Fault 07, call by call: whatever the engine calls raises once, and nothing is lost.

The engine's thread lives on; a term ends at most, with exactly one loss; the exception
is logged with its traceback; and the elector leads again without anybody's help.
"""

from __future__ import annotations

import logging
import queue
import threading

import pytest

from kubernetes_leader_election import EVENTS
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.commands import Commands
from kubernetes_leader_election.core.conclusions import Conclusions
from kubernetes_leader_election.core.contending import Contending
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.outcomes import Outcomes
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.engine import threaded_access
from kubernetes_leader_election.engine.calls import Workers
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.engine.threaded_access import ThreadedAccess
from kubernetes_leader_election.kube_api import client as client_module
from kubernetes_leader_election.kube_api.answer import Answer
from kubernetes_leader_election.kube_api.connection import Connection
from kubernetes_leader_election.kube_api.pool import ConnectionPool
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.notifier import Notifier
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from tests.engine.conftest import SHORT
from tests.engine.fake_client import FakeClient
from tests.lifecycle.driven import until

PATIENCE = 30.0
pytestmark = pytest.mark.slow
FAST = {"renew_interval": 0.1, "request_timeout": 0.2, "stop_budget": 0.1}
"""Renewals that a test can wait for, and a new try soon after an answer was lost."""


class PlantedError(RuntimeError):
    """What is raised where nobody expects it."""


def plant(monkeypatch, owner, name, *, skip=0):
    """Let one call raise, after so many that work; give an event that says it did."""
    original = getattr(owner, name)
    raised, calls = threading.Event(), [0]
    lock = threading.Lock()

    def wrapped(*args, **more):
        with lock:
            calls[0] += 1
            mine = calls[0] == skip + 1
        if mine:
            raised.set()
            raise PlantedError(f"planted in {name}")
        return original(*args, **more)

    monkeypatch.setattr(owner, name, wrapped)
    return raised


ENGINE_SITES = {
    "receive": (Election, "receive"),
    "handle_timer": (Election, "handle_timer"),
    "drain": (Election, "drain"),
    "next_deadline": (Election, "next_deadline"),
    "on_fetched": (Outcomes, "on_fetched"),
    "settle": (Election, "_settle"),
    "conclude": (Conclusions, "draw"),
    "clock": (SystemClock, "now"),
    "submit": (Workers, "submit"),
    "spawn": (Workers, "spawn"),
    "carry_out": (threaded_access, "carry_out"),
    "contending_delay": (Contending, "begin_delay"),
    "get": (FakeClient, "get"),
    "replace": (FakeClient, "replace"),
    "watch": (FakeClient, "watch"),
}


@pytest.fixture(params=ENGINE_SITES.values(), ids=ENGINE_SITES.keys())
def site(request):
    """Give each thing that the engine calls."""
    return request.param


def follows_the_rules(events):
    """Check G4: acquired and lost take turns, and terms count on."""
    told = [e for e in events if isinstance(e, m.LeadershipAcquired | m.LeadershipLost)]
    terms = [e.term for e in told]
    kinds = [type(e) for e in told]
    assert kinds == ([m.LeadershipAcquired, m.LeadershipLost] * len(told))[: len(told)]
    assert terms[::2] == sorted(set(terms[::2]))
    assert all(a == b for a, b in zip(terms[::2], terms[1::2], strict=False))


@pytest.mark.parametrize("skip", [0, 2], ids=["first", "third"])
def test_fault_07_elector_leads_whatever_raises_while_it_starts(
    elect, monkeypatch, caplog, site, skip
):
    """Raised at the first calls: told with its traceback, got over."""
    with caplog.at_level(logging.ERROR):
        elector = elect("a", start=False, **FAST)
        raised = plant(monkeypatch, *site, skip=skip)
        elector.driver.post(m.StartAsked())
        for _ in range(3):
            elector.wait_for(m.LeaseRenewed)
    # Who meets no Lease at first fetches none.
    assert raised.is_set() or skip or site[1] == "on_fetched"
    until(lambda: raised.is_set() == ("Traceback" in caplog.text))
    follows_the_rules(elector.events)


def test_fault_07_leader_leads_again_whatever_raises(
    elect, client, monkeypatch, caplog, site
):
    """Raised while it leads: at most this term ends, and another begins."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)
    with caplog.at_level(logging.ERROR):
        raised = plant(monkeypatch, *site)
        for other in range(2):
            # Another one takes it: so that reads, watches and acquires are called, too.
            rob(client, f"robber-{other}")
            elector.wait_for(m.LeaseRenewed)
        elector.wait_for(m.LeaseRenewed)
    # A leader whose watch is open needs no other one, and no read.
    assert raised.is_set() or site[1] in {"spawn", "watch", "get"}
    until(lambda: raised.is_set() == ("Traceback" in caplog.text))
    follows_the_rules(elector.events)
    monkeypatch.undo()
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)


def test_fault_07_terms_count_on_when_the_core_is_replaced_between_two_of_them(
    elect, client, monkeypatch
):
    """G4: a number names one term; what ended the first must not end a later one."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)
    rob(client, "robber")
    assert elector.wait_for(m.LeadershipLost).term == 1
    elector.wait_for(State.WAITING)
    plant(monkeypatch, Election, "receive")
    replaced = plant(monkeypatch, Commands, "on_driver_failed")
    rob(client, "robber-2")
    assert replaced.wait(PATIENCE)
    assert elector.wait_for(m.LeadershipAcquired).term == 2
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)
    assert not client.lease["spec"]["holderIdentity"]
    follows_the_rules(elector.events)


def test_fault_07_loss_is_told_though_requests_cannot_be_given_up(elect, monkeypatch):
    """G4: a core is replaced as a whole, or not yet: the loss is not lost between."""
    elector = elect("a", **FAST | SHORT)
    elector.wait_for(m.LeaseRenewed)
    refused = plant(monkeypatch, ThreadedAccess, "abandon_all")
    plant(monkeypatch, Commands, "on_driver_failed")
    plant(monkeypatch, Election, "handle_timer")
    assert elector.wait_for(m.LeadershipLost).reason == "failed"
    assert elector.wait_for(m.LeadershipAcquired).term == 2
    assert refused.is_set()
    follows_the_rules(elector.events)


def rob(client, holder, duration=1):
    """Write another holder into the Lease, one that goes away soon unless told."""
    with client.changed:
        spec = {
            **client.lease["spec"],
            "holderIdentity": holder,
            "leaseDurationSeconds": duration,
        }
        metadata = {
            **client.lease["metadata"],
            "resourceVersion": str(next(client.versions)),
        }
        client.lease = {**client.lease, "spec": spec, "metadata": metadata}
        client.history.append(("MODIFIED", client.lease))
        client.changed.notify_all()


@pytest.mark.parametrize("heard", [m.LeadershipAcquired, m.LeaseRenewed])
def test_fault_07_listener_that_raises_at_an_event_is_got_over(
    elect, monkeypatch, caplog, heard
):
    """The front is code, too: the term ends, for nobody may know of it."""
    elector = elect("a", start=False, **FAST)
    original, done = elector.on_event, []

    def on_event(event, view):
        if isinstance(event, heard) and not done:
            done.append(event)
            raise PlantedError("planted in the listener")
        original(event, view)

    monkeypatch.setattr(elector, "on_event", on_event)
    with caplog.at_level(logging.ERROR):
        elector.driver.post(m.StartAsked())
        assert elector.wait_for(m.LeadershipLost).reason == "failed"
        elector.wait_for(m.LeaseRenewed)
    assert "planted in the listener" in caplog.text


def test_fault_07_view_that_could_not_be_shown_is_shown_again(elect, monkeypatch):
    """The last view of a life is shown, though the first try to show it failed."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)
    original, done = elector.on_view, []

    def on_view(view):
        if view.state is State.STOPPED and not done:
            done.append(view)
            raise PlantedError("planted in the listener")
        original(view)

    monkeypatch.setattr(elector, "on_view", on_view)
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)
    assert done


def test_fault_07_log_that_raises_costs_the_line_only(elect, monkeypatch):
    """The log is the application's: its own faults are not ours."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)

    class Broken:
        def error(self, *_, **__):
            raise PlantedError("the log is full")

    monkeypatch.setattr(elector.driver._recovery, "_log", Broken())
    plant(monkeypatch, Election, "receive")
    elector.wait_for(m.ErrorOccurred)
    elector.wait_for(m.LeaseRenewed)


def test_fault_07_clock_that_fails_for_a_while_ends_no_thread(elect, engine):
    """Not even the engine's own calls may end it: it goes on when they work again."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeaseRenewed)

    class Broken:
        calls = 0

        def now(self):
            self.calls += 1
            raise PlantedError("no clock")

    working, broken = engine._clock, Broken()
    engine._clock = broken
    until(lambda: broken.calls >= 5)
    engine._clock = working
    assert elector.wait_for(m.LeaseRenewed)
    assert engine._thread.is_alive()


def test_no_thread_to_be_had_is_a_request_that_failed(elect, monkeypatch):
    """A system that gives no more threads costs tries, not the election."""
    elector = elect("a", start=False, **FAST)
    original, refused = threading.Thread.start, []

    def start(thread):
        if len(refused) < 6 and thread.name.startswith("leader-election-"):
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    elector.driver.post(m.StartAsked())
    assert "no more threads" in str(elector.wait_for(m.ErrorOccurred).error)
    elector.wait_for(m.LeaseRenewed)
    assert len(refused) == 6


CLIENT_SITES = {
    "headers": (Credentials, "headers"),
    "tls_context": (Credentials, "tls_context"),
    "take": (ConnectionPool, "take"),
    "open": (ConnectionPool, "open"),
    "give_back": (ConnectionPool, "give_back"),
    "send": (Connection, "send"),
    "receive": (Connection, "receive"),
    "close": (Connection, "close"),
    "body": (Answer, "body"),
    "pieces": (Answer, "pieces"),
    "encode": (client_module, "encode"),
    "decode_object": (client_module, "decode_object"),
    "object_problem": (client_module, "object_problem"),
    "events_of": (client_module, "events_of"),
    "deliver": (Notifier, "deliver"),
    "renewed": (EventLog, "renewed"),
    "lost": (EventLog, "lost"),
    "say": (EventLog, "say"),
}


@pytest.mark.parametrize("planted_at", CLIENT_SITES.values(), ids=CLIENT_SITES.keys())
def test_fault_07_real_elector_leads_again_whatever_raises_below(
    monkeypatch, planted_at
):
    """Raised in credentials, client, log and notifier: the front sees an error and goes on."""
    with LeaseServer() as server:
        elector = Elector(
            lease_name="demo",
            identity="a",
            credentials=explicit(server=server.url),
            auto_close=False,
            renew_interval_ms=100,
            lease_duration_sec=20,
            request_timeout_sec=0.5,
        )
        renewed, seen = queue.SimpleQueue(), []
        elector.on(EVENTS.LEASE_RENEWED, renewed.put)
        for name in (EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST):
            elector.on(name, lambda event: seen.append(event.name))
        with elector:
            renewed.get(timeout=PATIENCE)
            raised = plant(monkeypatch, *planted_at)
            server.end_watches()
            server.drop_connections()
            for _ in range(20):
                if raised.is_set():
                    break
                elector.step_down(stay_out=0)
                renewed.get(timeout=PATIENCE)
            assert raised.is_set()
            elector.wait_until_leading(PATIENCE)
            renewed.get(timeout=PATIENCE)
        assert not elector.current_leader
        assert server.lease("demo")["spec"].get("holderIdentity", "") == ""


def test_many_electors_of_a_process_share_engine_threads_and_connections():
    """Fifty electors: one engine, a few request threads, one watch each; then none."""
    before = {t for t in threading.enumerate() if "leader-election" in t.name}

    def names():
        return [t.name for t in threading.enumerate() if t not in before]

    with LeaseServer() as server:
        credentials = explicit(server=server.url)
        electors = [
            Elector(
                lease_name=f"l-{number % 10}",
                identity=f"e-{number}",
                credentials=credentials,
                auto_close=False,
            )
            for number in range(50)
        ]
        try:
            for elector in electors:
                elector.start()
            for elector in electors:
                elector.wait_for_leader(PATIENCE)
            # Who leads is known a moment before each has come so far itself.
            until(lambda: sum(e.current_leader for e in electors) == 10)
            until(lambda: names().count("leader-election-watch") == 50)
            assert names().count("leader-election") <= 1
            assert names().count("leader-election-request") <= 8
        finally:
            for elector in electors:
                elector.stop(PATIENCE)
        client = electors[0]._lifecycle._driver.client
        until(lambda: "leader-election-watch" not in names(), "a watch goes on")
        until(
            lambda: client.open_sockets == 0, "it stays open when the last one stopped"
        )
