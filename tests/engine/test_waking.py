"""When the engine wakes up, and what it looks at then: clocks turned by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kubernetes_leader_election.core.timing import believe
from kubernetes_leader_election.engine.engine import LONGEST_WAIT, Engine
from tests.core.harness import Clock, settings

STOP_BUDGET = 0.05
FAR = 1000.0
"""Seconds until the next timer: a renewal that is far away."""
TIMES = settings(lease_duration=400, renew_interval=100.0, renew_deadline=300.0)


class Leading:
    """A driver that leads, notes what it is given, and has no timer for long."""

    in_term, is_stopped, client = True, False, None
    settings = SimpleNamespace(stop_budget=STOP_BUDGET)
    failing = 0

    def __init__(self, clock):
        belief = believe(term=1, token=7, sent=clock.now(), settings=TIMES)
        self.view = SimpleNamespace(term_deadline=belief)
        self.next_deadline = clock.now().boottime + FAR
        self.taken = []

    def step(self, message):
        """Note it; fail as often as it is told to."""
        self.taken.append(message)
        if self.failing:
            self.failing -= 1
            raise MemoryError


@pytest.fixture
def clock():
    """Give the clocks of the engine, which stand still until they are turned."""
    return Clock()


class Alarm:
    """An alarm for the clocks that are turned by hand: it rings where a test says so."""

    rings, started = False, 0

    def start(self):
        """Count it."""
        self.started += 1


@pytest.fixture
def alarm():
    """Give what tells the engine of jumps: at first it does not."""
    return Alarm()


@pytest.fixture
def engine(clock, alarm):
    """Give an engine whose thread does not run: each turn is made by the test."""
    return Engine(clock, alarm)


@pytest.fixture
def leader(engine, clock):
    """Give a driver of which the engine knows that it leads."""
    leader = Leading(clock)
    engine._step(leader, "acquired")
    return leader


def test_engine_of_a_leader_never_sleeps_for_long(engine, leader):
    """Rule 14: where nobody tells of a suspend, half of S is the longest wait."""
    assert 0.0 < engine._wait() <= STOP_BUDGET / 2
    leader.in_term = False
    engine._step(leader, "released")
    assert engine._wait() > FAR / 2


def test_leader_sleeps_until_its_timer_where_jumps_are_told(engine, leader, alarm):
    """G9: a leader wakes for its renewals, and not to look at clocks."""
    assert alarm.started, "a leader wants to be told"
    alarm.rings = True
    assert engine._wait() == pytest.approx(FAR)
    alarm.rings = False
    assert engine._wait() <= STOP_BUDGET / 2, "from when nobody tells any more"


def test_engine_does_not_wake_for_a_timer_that_was_called_off(
    engine, leader, alarm, clock
):
    """G9: an answer calls off the time limit of its request: nobody wakes for that."""
    alarm.rings = True
    for later in (2.0, FAR):
        leader.next_deadline = clock.now().boottime + later
        engine._step(leader, "answered")
    assert engine._wait() == pytest.approx(FAR)
    leader.next_deadline = clock.now().boottime + 1.0
    engine._step(leader, "asked")
    assert engine._wait() == pytest.approx(1.0), "an earlier one counts"


def test_engine_is_woken_to_look_at_the_clocks(engine, leader, alarm, clock):
    """Rule 14: a jump is something that comes in, so the wait is over."""
    alarm.rings = True
    clock.suspend(301)
    engine.look()
    assert not engine._inputs.empty(), "or this would wait for very long"
    engine._turn()
    assert leader.taken == ["acquired", None]


def test_engine_that_does_not_lead_is_told_of_no_jumps(engine, clock, alarm):
    """A candidate counts the shorter time: it has nothing to look for (rule 14)."""
    candidate = Leading(clock)
    candidate.in_term = False
    engine._step(candidate, "started")
    assert not alarm.started


def test_engine_with_nothing_to_do_waits_no_longer_than_a_queue_can(engine):
    """No timer and no leader: it sleeps until somebody posts a word."""
    assert engine._wait() == LONGEST_WAIT


@pytest.mark.parametrize(
    "turn",
    [
        lambda clock: clock.step_wall(200),
        lambda clock: clock.suspend(301),
        lambda clock: clock.advance(301),
    ],
    ids=["a guest was paused", "a suspend", "time went by unseen"],
)
def test_engine_looks_at_the_clocks_of_a_leader_at_each_waking(
    engine, leader, clock, turn
):
    """Rule 14, faults 03 and 04: no timer is due, and the term is over all the same."""
    engine.look()
    engine._turn()
    assert leader.taken == ["acquired"], "nothing is due, and the term holds"
    turn(clock)
    engine.look()
    engine._turn()
    assert leader.taken == ["acquired", None]


def test_engine_steps_a_leader_once_whose_timer_and_term_have_ended(
    engine, leader, clock
):
    """Two reasons at one waking are one step."""
    clock.advance(FAR)
    engine._turn()
    assert leader.taken == ["acquired", None]


def test_engine_steps_nobody_for_a_timer_that_was_taken_back(engine, leader, clock):
    """A deadline counts as long as its driver has it, and no longer."""
    leader.in_term, leader.next_deadline = False, None
    engine._step(leader, "stopped")
    clock.advance(FAR)
    engine.look()
    engine._turn()
    assert leader.taken == ["acquired", "stopped"]


def test_engine_waits_for_its_next_timer_by_the_boottime(engine, leader, clock):
    """Rule 14: a suspend counts: what was due in it is due when the machine wakes."""
    leader.in_term = False
    engine._step(leader, "released")
    assert engine._wait() == pytest.approx(FAR)
    clock.suspend(FAR - 1)
    assert engine._wait() == pytest.approx(1.0)
    clock.suspend(2)
    engine._turn()
    assert leader.taken == ["acquired", "released", None]


def test_engine_calls_a_driver_again_that_failed(engine, leader):
    """Fault 07: a failure may have cost its timer, so it is asked what is due."""
    leader.failing = 1
    engine.post(leader, "word")
    engine._turn()
    engine._failed = False  # it has rested
    engine._turn()
    assert leader.taken == ["acquired", "word", None]


class Client:
    """Counts how often its idle connections were closed."""

    closed = 0

    def close_idle(self):
        """Count."""
        self.closed += 1


def test_engine_closes_idle_connections_after_the_last_one(engine, clock):
    """Fault 18: two electors share a client; one of them stops, then the other."""
    client = Client()
    first, second = Leading(clock), Leading(clock)
    for driver in (first, second):
        driver.client = client
        engine._step(driver, "started")
    first.is_stopped = True
    engine._step(first, "stopped")
    assert client.closed == 0
    second.is_stopped = True
    for _ in range(2):
        engine._step(second, "stopped")
    assert client.closed == 1, "once, not at each step from then on"
