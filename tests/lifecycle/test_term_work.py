"""A term, what runs of it, events to the handlers: each alone, without threads."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from kubernetes_leader_election.errors import (
    ConfigurationError,
    LeadershipLostError,
    NotLeaderError,
)
from kubernetes_leader_election.events import (
    LeadershipAcquired,
    LeadershipLost,
    LeaseRenewed,
)
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.event_queue import (
    ROOM,
    EventQueue,
    QueuedEvent,
    drop,
)
from kubernetes_leader_election.lifecycle.term_work import Phase, TermWork


@pytest.fixture
def ended():
    """Give the list of terms whose work was said to have ended."""
    return []


@pytest.fixture
def work(ended):
    """Give the work of term 7."""
    return TermWork(7, ended=ended.append)


# Work ---------------------------------------------------------------------------


def test_work_of_a_lost_term_ends_with_its_last_hold(work, ended):
    """G5: scopes, handlers and waits hold it open, each for itself, in any order."""
    scope = work.begin("a scope", is_scope=True)
    handler = work.begin("a handler")
    work.lose()
    late = work.hold_late("a handler of leadership_lost")
    for hold in (handler, scope):
        hold.end()
        assert ended == []
    late.end()
    assert ended == [7]
    assert work.phase is Phase.ENDED


def test_work_that_has_ended_is_over_at_the_loss_and_not_before(work, ended):
    """G4: the end of a term's work is said after the loss, also where nothing ran."""
    work.begin("a scope", is_scope=True).end()
    assert ended == []
    work.lose()
    assert ended == [7]


def test_lost_term_cancels_what_runs_and_nothing_else(work):
    """Fault 09: each is told once; what has ended is not told."""
    told = []
    over = work.begin("over", cancel=lambda: told.append("over"))
    work.begin("runs", cancel=lambda: told.append("runs"), is_scope=True)
    work.begin("has nothing to be told")
    over.end()
    work.lose()
    assert told == ["runs"]


def test_hold_ends_where_garbage_is_collected_in_the_middle_of_another_step(
    work, ended
):
    """
    Fault 07: a generator that is freed closes its scope, whatever its thread does then.

    Python 3.11 collects garbage where an object is made, also while a lock is held.
    """
    scope = work.begin("a scope of a generator", is_scope=True)
    other = work.begin("another")

    class Holds(dict):
        def __iter__(self):
            scope.end()
            return super().__iter__()

    work._holds = Holds(work._holds)
    looked = []
    thread = threading.Thread(target=lambda: looked.append(work.alive), daemon=True)
    thread.start()
    thread.join(10.0)
    assert looked == [(other,)]
    work.lose()
    other.end()
    assert ended == [7]


def test_lost_term_takes_no_new_work(work):
    """G2: who comes late is not let in, and holds nothing up."""
    work.lose()
    assert work.begin("late", is_scope=True) is None
    assert work.alive == ()


def test_term_whose_last_scope_has_ended_takes_no_new_work(work):
    """The term is about to end: reason work_ended."""
    first, second = (work.begin(name, is_scope=True) for name in ("first", "second"))
    assert not first.end()
    third = work.begin("third", is_scope=True)
    assert third is not None
    assert not second.end()
    assert third.end(), "that was the last one"
    assert work.phase is Phase.CLOSED
    assert work.begin("fourth", is_scope=True) is None
    assert work.begin("a handler") is None


def test_hold_that_ends_twice_counts_once(work, ended):
    """G5: whoever was interrupted says it again; others' work is still there."""
    first, second = (work.begin(name, is_scope=True) for name in ("first", "second"))
    for _ in range(3):
        assert not first.end()
    assert work.phase is Phase.OPEN
    assert work.alive == (second,)
    work.lose()
    first.end()
    assert ended == []
    second.end()
    assert ended == [7]


def test_end_of_work_is_said_again_when_asked_for(work, ended):
    """Fault 13: an exception of a signal handler may have cut off the first word."""
    hold = work.begin("a scope", is_scope=True)
    work.report_end_again()
    work.lose()
    work.report_end_again()
    assert ended == []
    hold.end()
    work.report_end_again()
    assert ended == [7, 7]


def test_work_that_cannot_run_any_more_is_dropped_alone(work, ended):
    """Fault 16: of what is alive, that which is over ends; the rest holds on."""
    gone, here = work.begin("gone"), work.begin("here")
    work.lose()
    work.drop_if(lambda hold: hold is gone)
    assert work.alive == (here,)
    assert ended == []
    here.end()
    assert ended == [7]


# The term ---------------------------------------------------------------------------


class TermClock:
    """An election that says how much is left of a term, and why it ended."""

    where, assumed = "Lease n/l", False
    left, reason = 10.0, None

    def term_remaining(self, number):
        """Say how much is left."""
        return self.left

    def term_reason(self, number):
        """Say why it ended."""
        return self.reason


@pytest.fixture
def term_clock():
    """Give an election with ten seconds left of its term."""
    return TermClock()


@pytest.fixture
def term(term_clock):
    """Give its term."""
    return BaseTerm(term_clock, number=7, fencing_token=5)


def test_term_is_lost_by_the_clock_alone(term, term_clock):
    """Rule 15: nobody has to say so; until the reason is known, it is the clock's."""
    assert not term.is_lost
    assert term.reason is None
    term.check()
    term_clock.left = 0.0
    assert term.is_lost
    assert term.reason == "renew_deadline"
    with pytest.raises(LeadershipLostError, match="the renew deadline"):
        term.check()
    term_clock.reason = "another_holder"
    assert term.reason == "another_holder"


def test_term_that_was_lost_stays_so_whatever_time_is_left(term):
    """G4: while it drains there is time left, and it never comes back to life."""
    term.end("stopped")
    assert term.remaining() == 10.0
    assert term.is_lost
    assert term.reason == "stopped"


def test_ensure_asks_for_the_time_that_is_needed(term, term_clock):
    """To the instant: as much as is left is enough, and no more; of nothing, nothing."""
    term.ensure(10.0)
    for seconds in (10.001, float("inf")):
        with pytest.raises(NotLeaderError) as refused:
            term.ensure(seconds)
        assert refused.value.term is term
        assert refused.value.remaining == 10.0
    term_clock.left = 0.0
    for seconds in (0.001, 0, -1):
        with pytest.raises(NotLeaderError):
            term.ensure(seconds)
    with pytest.raises(ConfigurationError):
        term.ensure(float("nan"))


# Queued events ------------------------------------------------------------------

LEASE = {"lease": "l", "namespace": "n", "identity": "me", "term": 1}
RENEWED = LeaseRenewed(**LEASE, token=5, renew_time=datetime(2026, 1, 1, tzinfo=UTC))
ACQUIRED = LeadershipAcquired(**LEASE, token_if_any=5)
LOST = LeadershipLost(**LEASE, token=5, reason="stopped")


def queued(event, hold=None):
    """Give an event."""
    return QueuedEvent(event, None, hold)


def test_events_come_in_their_order():
    """G4: acquired before lost, whatever lies between."""
    event_queue = EventQueue()
    for event in (ACQUIRED, RENEWED, LOST):
        assert event_queue.put(queued(event))
    assert [event_queue.take().event for _ in range(3)] == [ACQUIRED, RENEWED, LOST]
    assert event_queue.take() is None
    assert not event_queue


def test_full_queue_takes_vital_events_alone():
    """G4, fault 11: acquired and lost are never dropped, others at a bound."""
    event_queue = EventQueue()
    for _ in range(ROOM):
        assert event_queue.put(queued(RENEWED))
    assert event_queue.is_full
    assert not event_queue.put(queued(RENEWED))
    assert event_queue.put(queued(LOST))
    assert event_queue.put(queued(ACQUIRED))
    kept = [kept.event for kept in event_queue.empty()]
    assert kept == [RENEWED] * ROOM + [LOST, ACQUIRED]
    assert event_queue.put(queued(RENEWED))


def test_dropped_events_hold_up_nothing(work, ended):
    """G5: a lost handler that nobody will call does not keep the Lease for ever."""
    hold = work.hold_late("a handler of leadership_lost")
    work.lose()
    assert ended == []
    assert drop([queued(RENEWED), queued(LOST, hold), queued(ACQUIRED)]) == 2
    assert ended == [7]
