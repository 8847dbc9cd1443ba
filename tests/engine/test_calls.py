"""Threads for requests: few, replaced when they hang, and never more than a bound."""

from __future__ import annotations

import threading

import pytest

from kubernetes_leader_election.engine import calls as workers_module
from kubernetes_leader_election.engine.calls import (
    HARD_LIMIT,
    LIMIT,
    PendingCall,
    Workers,
)
from kubernetes_leader_election.kube_api.call import Call
from tests.lifecycle.driven import until

PATIENCE = 30.0


class Pool:
    """Workers, and requests that hang in them until they are let go."""

    def __init__(self):
        self.workers = Workers()
        self.go_on = threading.Event()

    def hang(self, stuck, order):
        """Order a request that hangs, and give it up; False if it was not taken."""
        pending = PendingCall(Call(), stuck=stuck)
        began = threading.Event()

        def job():
            if pending.begin():
                began.set()
                self.go_on.wait(PATIENCE)
                pending.finish()

        if not order(job):
            return False
        assert began.wait(PATIENCE)
        pending.abandon()
        return True

    def answers(self):
        """Tell whether another request gets a thread and comes back."""
        done = threading.Event()
        return self.workers.submit(done.set) and done.wait(PATIENCE)


@pytest.fixture
def pool(monkeypatch):
    """Give workers whose threads end soon after they have nothing to do."""
    monkeypatch.setattr(workers_module, "IDLE", 0.05)
    pool = Pool()
    yield pool
    pool.go_on.set()
    until(lambda: pool.workers.threads == 0)


def test_requests_that_hang_leave_room_for_others_up_to_a_bound(pool):
    """Fault 45, rule 9: abandoned with its thread, a bounded number of them."""
    workers = pool.workers
    for _ in range(HARD_LIMIT - 1):
        assert pool.hang(workers.note_stuck, workers.submit)
    assert pool.answers()
    assert pool.hang(workers.note_stuck, workers.submit)
    assert workers.threads == HARD_LIMIT
    assert not pool.hang(workers.note_stuck, workers.submit), "said, not waited for"
    assert workers.threads == HARD_LIMIT
    pool.go_on.set()
    until(lambda: workers.submit(lambda: None))
    assert pool.answers()


def test_watches_that_hang_are_bounded_too(pool):
    """Fault 45: a watch has a thread of its own, which the resolver may keep as well."""
    workers = pool.workers
    for _ in range(HARD_LIMIT):
        assert pool.hang(workers.note_stuck_watch, workers.spawn)
    assert not workers.spawn(lambda: None)
    pool.go_on.set()
    until(lambda: workers.spawn(lambda: None))


def test_requests_that_come_back_share_a_few_threads(pool):
    """A burst is done by a few threads, one job after the other."""
    done = threading.Semaphore(0)
    for _ in range(200):
        assert pool.workers.submit(done.release)
    for _ in range(200):
        assert done.acquire(timeout=PATIENCE)
    assert pool.workers.threads <= LIMIT


def test_request_that_was_given_up_first_never_begins():
    """Rule 11: a thread that comes to it late finds nothing to do, and nothing stuck."""
    stuck = []
    pending = PendingCall(Call(), stuck=stuck.append)
    pending.abandon()
    assert not pending.begin()
    assert stuck == []


def test_request_that_was_given_up_under_way_is_ended_and_not_answered():
    """Rule 9: its socket is shut down, and what it brings back does not count."""
    stuck = []
    pending = PendingCall(Call(), stuck=stuck.append)
    assert pending.begin()
    pending.abandon()
    assert pending.call.abandoned
    assert stuck == [1], "its thread is not free yet"
    assert not pending.finish()
    assert stuck == [1, -1]
