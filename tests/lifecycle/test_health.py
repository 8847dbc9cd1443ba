"""What probes learn of an elector: does it work, and is it in the race?"""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from kubernetes_leader_election.engine import engine as engine_module
from kubernetes_leader_election.engine.engine import Engine, shared_engine
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.leadership import Health
from tests.lifecycle.driven import until
from tests.lifecycle.stages import PATIENCE, STEADY, hold, in_child

WELL = Health(problem="", absence="")


def absence(why):
    """Give the health of an elector that works and takes no part."""
    return Health(problem="", absence=why)


def test_elector_is_absent_before_its_start_and_after_its_stop(front, client):
    """And in the race from the first look at the Lease: it need not lead."""
    elector = front.elector()
    assert elector.health == absence("not started yet")
    hold(client, "a rival")
    elector.start()
    until(lambda: elector.health == WELL)
    assert not elector.current_leader
    elector.stop(timeout=PATIENCE)
    assert elector.health == absence("the elector has stopped")


def test_elector_that_cannot_see_the_lease_is_alive_and_absent(front, client):
    """A restart would not help; each life looks anew."""
    elector, get, down = front.elector(), client.get, threading.Event()

    def get_if_up(*which, **how):
        if down.is_set():
            raise LeaseApiError("down")
        return get(*which, **how)

    client.get = get_if_up
    for _ in range(2):
        down.set()
        elector.start()
        assert elector.health == absence("the Lease has not been seen yet")
        down.clear()
        until(lambda: elector.health == WELL)
        elector.stop(timeout=PATIENCE)


def test_observer_is_well_where_there_is_no_lease(front, client):
    """It has looked, and nobody leads: that is an answer."""
    elector = front.elector(observe=True)
    elector.start()
    until(lambda: elector.health == WELL)


def test_leader_whose_work_drains_at_a_stop_is_absent(front, client):
    """Its pod ends; the process is alive, and is not to be killed before its time."""
    elector = front.elector()
    elector.start()
    elector.wait_until_leading(PATIENCE)
    assert elector.health == WELL
    guard = elector._elector.guard() if front.name == "asyncio" else elector.guard()
    with guard:
        elector._lifecycle.stop_called()
        assert elector.health == absence("stopping")


def test_application_that_is_stuck_is_a_problem_until_it_moves(client, front):
    """Fault 05: where the option liveness asks, a livenessProbe ends such a process."""
    alive = [False]
    elector = front.elector(
        liveness=lambda: alive[0], liveness_timeout_sec=0.2, **STEADY
    )
    elector.start()
    until(lambda: elector.health.problem)
    text = "the application has shown no sign of life for 0.2 s"
    assert elector.health == Health(problem=text, absence=text)
    alive[0] = True
    until(lambda: elector.health == WELL)
    alive[0] = False
    elector.stop(timeout=PATIENCE)
    assert elector.health == absence("the elector has stopped")


def test_child_process_has_no_problem_and_no_part(front, client):
    """Fault 15: the elector is the parent's."""
    elector = front.elector()
    elector.start()
    elector.wait_until_leading(PATIENCE)
    found = in_child(lambda: (elector.health.problem, elector.health.absence))
    assert found == ("", "the elector belongs to the parent process")


def test_thread_of_the_election_that_stands_still_is_a_problem(
    front, client, monkeypatch
):
    """It never should: a restart of the process is all that is left then."""
    elector = front.elector()
    elector.start()
    elector.wait_until_leading(PATIENCE)
    monkeypatch.setattr(engine_module, "ASKED_EVERY", 0.0)
    monkeypatch.setattr(engine_module, "LONGEST_TURN", 0.1)
    engine, turn = shared_engine(), Engine._turn
    stands_still = [True]

    def rest(self):
        while stands_still[0]:
            time.sleep(0.01)  # as in a lock that is never released
        turn(self)

    monkeypatch.setattr(engine, "_turn", lambda: rest(engine))
    until(lambda: elector.health.problem)
    assert "the thread of the election has not turned" in elector.health.problem
    stands_still[0] = False
    until(lambda: elector.health == WELL)


class Killed(BaseException):
    """As what a debugger, or a library that ends threads, raises into one of them."""


def test_thread_of_the_election_that_has_ended_is_a_problem_at_once(monkeypatch):
    """Fault 07: no Exception ends it; what does so from outside is told at once."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    engine = Engine()

    def killed():
        raise Killed

    monkeypatch.setattr(engine, "_turn", killed)
    engine.start()
    until(engine.problem)
    assert engine.problem() == "the thread of the election has ended"
    engine._asked_at = time.monotonic()
    assert engine.problem() == "the thread of the election has ended"


def test_engine_that_sleeps_is_asked_to_turn_once_a_second(monkeypatch):
    """One without timers would stand still for an hour, and probes come every second."""
    engine = Engine()
    looks = []
    assert engine.problem() == "", "it was not started"
    engine._turned_at = 1000.0
    monkeypatch.setattr(engine, "look", lambda: looks.append(now[0]))
    now = [2000.0]
    # Not in the module itself: other threads of this process go by that.
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(engine_module, "time", clock)
    assert engine.problem() == ""
    assert engine.problem() == ""
    assert looks == [2000.0], "it was asked, and has time"
    engine._turned_at = 2000.0
    now[0] = 2000.5
    assert engine.problem() == ""
    assert looks == [2000.0], "not at every probe"
    now[0] = 2031.0
    assert engine.problem() == ""
    now[0] = 2061.0
    assert engine.problem() == ""
    now[0] = 2061.5
    assert engine.problem() == "the thread of the election has not turned for 30 s"


@pytest.fixture(autouse=True)
def _settled():
    """Let the shared engine be asked anew by each test."""
    yield
    shared_engine()._asked_at = 0.0
