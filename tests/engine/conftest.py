"""An engine of its own for each test, and a listener that records."""

from __future__ import annotations

import logging
import queue

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.engine.driver import Driver
from kubernetes_leader_election.engine.engine import Engine
from tests.engine.fake_client import FakeClient

PATIENCE = 30.0
SHORT = {"lease_duration": 1, "renew_deadline": 0.6, "renew_interval": 0.1}
"""A Lease that a new core can wait for, as it does not know that it is its own."""


class Recorder:
    """A listener that keeps what it hears; ends the work of a term at once."""

    def __init__(self, *, ends_work=True):
        self.ends_work = ends_work
        self.events = []
        self.heard = queue.SimpleQueue()
        self.driver = None

    def on_event(self, event, view):
        """Keep the event."""
        self.events.append(event)
        self.heard.put(event)
        if isinstance(event, m.LeadershipLost) and self.ends_work:
            self.driver.post(m.WorkEnded(term=event.term))

    def on_view(self, view):
        """Keep the state, where it is new."""
        self.heard.put(view.state)

    def wait_for(self, wanted):
        """Wait for an event of a type, or for a state."""
        while True:
            heard = self.heard.get(timeout=PATIENCE)
            if heard is wanted or (
                not isinstance(wanted, State) and isinstance(heard, wanted)
            ):
                return heard


@pytest.fixture
def client():
    """Give a Lease API in memory."""
    return FakeClient()


@pytest.fixture
def engine(client, monkeypatch):
    """Give an engine whose client is the fake one."""
    engine = Engine()
    engine.start()
    monkeypatch.setattr(engine, "client_for", client.of)
    return engine


@pytest.fixture
def elect(engine):
    """Make a started driver and its recorder; stopped when the test is over."""
    made = []

    def make(identity, *, credentials="some", ends_work=True, start=True, **changes):
        settings = ElectionSettings(
            **{
                "lease_name": "l",
                "namespace": "n",
                "identity": identity,
                # A term that no busy machine ends.
                "lease_duration": 60,
                "renew_interval": 1.0,
                "renew_deadline": 40.0,
                "stop_budget": 0.5,
                "request_timeout": 5.0,
                "clock_rate_error": 0.1,
                **changes,
            }
        )
        recorder = Recorder(ends_work=ends_work)
        driver = Driver(
            settings=settings,
            credentials=credentials,
            listener=recorder,
            log=logging.getLogger("test"),
            engine=engine,
        )
        recorder.driver = driver
        made.append(recorder)
        if start:
            driver.post(m.StartAsked())
        return recorder

    yield make
    for recorder in made:
        recorder.ends_work = True
        for event in list(recorder.events):
            # Work that a test kept alive ends now, lest the Lease be held.
            if isinstance(event, m.LeadershipLost) and recorder.driver.view.state in (
                State.DRAINING,
                State.FENCED,
            ):
                recorder.driver.post(m.WorkEnded(term=event.term))
        recorder.driver.post(m.StopAsked())
