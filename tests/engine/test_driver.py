"""One driver: what it shows and when, and what becomes of its requests."""

from __future__ import annotations

import logging
import threading

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.engine import recovery as recovery_module
from kubernetes_leader_election.engine import threaded_access
from kubernetes_leader_election.engine.calls import Completed
from kubernetes_leader_election.engine.clocks import SystemClock
from tests.engine.conftest import PATIENCE, SHORT
from tests.engine.test_engine import break_core
from tests.engine.test_failures import rob
from tests.lifecycle.driven import until

FAST = {"renew_interval": 0.1}
"""Renewals that a test can wait for."""


class Ahead:
    """Clocks that are ahead of those of the machine."""

    def now(self):
        """Read them."""
        real = SystemClock().now()
        return real._replace(boottime=real.boottime + 60)


# What it shows --------------------------------------------------------------------


def test_driver_shows_the_state_before_it_tells_of_it(elect, client, monkeypatch):
    """G4: who hears of an event and asks at once is told what the event says."""
    elector = elect("a", start=False, **FAST)
    driver, asked = elector.driver, []
    hear = elector.on_event

    def on_event(event, view):
        match event:
            case m.LeadershipAcquired(term=term):
                asked.append((view.state, driver.current_leader(), term))
            case m.LeadershipLost(term=term, reason=reason):
                leads, why = driver.current_leader(), driver.term_reason(term)
                asked.append((leads, why, view.lost == (term, reason)))
        hear(event, view)

    monkeypatch.setattr(elector, "on_event", on_event)
    driver.post(m.StartAsked())
    elector.wait_for(m.LeadershipAcquired)
    rob(client, "robber")
    elector.wait_for(m.LeadershipLost)
    assert asked == [(State.LEADER, True, 1), (False, "another_holder", True)]


def test_driver_tells_the_core_of_an_end_that_a_question_saw(elect, monkeypatch):
    """Rule 14: the clock steps back at once; the loss is one, and everybody hears of it."""
    leader = elect("a", renew_interval=1.0)
    leader.wait_for(m.LeadershipAcquired)
    with monkeypatch.context() as moved:
        moved.setattr(leader.driver, "clock", Ahead())
        assert not leader.driver.current_leader()
    assert leader.wait_for(m.LeadershipLost).term == 1


def test_driver_ends_no_term_that_was_renewed_in_between(elect):
    """Rule 15: a question that began before a renewal is answered by what holds now."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    overdue = leader.driver.view.belief._replace(boottime_deadline=0.0)
    assert leader.driver._left(overdue) > 0.0
    assert leader.driver.current_leader()


def test_driver_says_of_a_former_term_that_it_is_over(elect):
    """G4: a question about one term is not answered by the next one."""
    leader = elect("a", **FAST)
    leader.wait_for(m.LeadershipAcquired)
    leader.driver.post(m.StepDownAsked(stay_out=0.0))
    assert leader.wait_for(m.LeadershipLost).term == 1
    assert leader.wait_for(m.LeadershipAcquired).term == 2
    assert leader.driver.term_remaining(2) > 0.0
    assert leader.driver.term_remaining(1) == 0.0


# Requests -------------------------------------------------------------------------


def test_driver_gives_each_request_the_deadline_of_the_core(elect, client, monkeypatch):
    """Rule 9: what bounds a request on its way is what the core counts on."""
    calls = []
    for verb in ("get", "replace"):
        make = getattr(client, verb)

        def noting(*args, call, needs, make=make):
            calls.append(call.remaining())
            return make(*args, call=call)

        monkeypatch.setattr(client, verb, noting)
    elect("a", request_timeout=0.5).wait_for(m.LeadershipAcquired)
    assert len(calls) >= 2
    assert all(left is not None and left <= 0.5 for left in calls)


def test_driver_ends_the_watch_of_an_elector_that_stops(elect, client):
    """Fault 18: a watch has no deadline, and ends because it is given up."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    until(lambda: client.watches == 1)
    leader.driver.post(m.StopAsked())
    leader.wait_for(State.STOPPED)
    until(lambda: client.watches == 0, "the watch goes on")


def test_driver_passes_on_no_answer_to_what_was_given_up(elect, client, monkeypatch):
    """Rule 11: the answer to a request that is over reaches nobody."""
    leader = elect("a", renew_interval=0.2, request_timeout=0.1)
    leader.wait_for(m.LeaseRenewed)
    access = leader.driver._access
    began, go_on, back = threading.Event(), threading.Event(), threading.Event()
    replace, make = client.replace, access._make
    hung, passed = [], []

    def hang(*args, call, needs):
        hung.append(call)
        began.set()
        go_on.wait(PATIENCE)
        return replace(*args, call=call)

    def make_and_tell(request, pending):
        make(request, pending)
        if hung and pending.call is hung[0]:
            back.set()

    monkeypatch.setattr(access, "_make", make_and_tell)
    monkeypatch.setattr(client, "replace", hang)
    assert began.wait(PATIENCE)
    until(lambda: hung[0].abandoned, "the core does not give it up")
    monkeypatch.setattr(access, "_answer", lambda *answer: passed.append(answer))
    go_on.set()
    assert back.wait(PATIENCE)
    assert hung[0] not in [pending.call for pending, _ in passed]


def test_driver_follows_a_watch_however_many_events_it_brings(
    elect, client, monkeypatch
):
    """Fault 40: the room for events that wait is given back as they are taken."""
    monkeypatch.setattr(threaded_access, "EVENTS_AHEAD", 3)
    client.lease = a_lease()
    candidate = elect("a")
    candidate.wait_for(State.WAITING)
    for number in range(20):
        rob(client, f"other-{number}", duration=60)
        until(
            lambda n=number: holder_seen(candidate) == f"other-{n}", "it hears nothing"
        )


def test_reader_of_a_watch_waits_for_an_engine_that_is_busy(elect, client, monkeypatch):
    """Fault 11: a bounded number of events waits, whatever a server sends."""
    monkeypatch.setattr(threaded_access, "EVENTS_AHEAD", 3)
    client.lease = a_lease()
    rob(client, "rival", duration=60)
    candidate = elect("a")
    candidate.wait_for(State.WAITING)
    until(lambda: client.watches == 1)
    kept = []
    monkeypatch.setattr(
        candidate.driver._access, "_answer", lambda _, answer: kept.append(answer)
    )
    for number in range(10):
        rob(client, f"other-{number}", duration=60)
    until(lambda: len(kept) >= 3)
    blocked = candidate.driver._access._ahead
    until(lambda: blocked._value == 0 or len(kept) > 3)
    assert len(kept) == 3
    blocked.release(10)  # let the reader end


def a_lease():
    """Give a Lease as the server has it."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "l",
            "namespace": "n",
            "uid": "u-1",
            "resourceVersion": "1",
        },
        "spec": {"holderIdentity": "rival", "leaseDurationSeconds": 60},
    }


def holder_seen(elector):
    """Give the holder that an elector has seen last."""
    snapshot = elector.driver.view.snapshot
    return None if snapshot is None else snapshot.record.holder_identity


# A core that fails ------------------------------------------------------------------


def test_driver_says_a_word_again_that_may_not_have_been_heard(elect, monkeypatch):
    """Fault 07: a stop that met a failure is heard all the same, by whichever core."""
    elector = elect("a", **FAST)
    elector.wait_for(m.LeadershipAcquired)
    receive, failed = elector.driver._core.receive, []

    def fail_once(message, *, now):
        if isinstance(message, m.StopAsked) and not failed:
            failed.append(message)
            raise RuntimeError("planted")
        return receive(message, now=now)

    monkeypatch.setattr(elector.driver._core, "receive", fail_once)
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)
    assert failed


@pytest.mark.parametrize("again", [False, True], ids=["stopped", "started anew"])
def test_driver_that_is_stopped_while_its_core_is_down_stays_so(
    elect, monkeypatch, again
):
    """G8: the last word counts when a new core takes over: stop, or start."""
    monkeypatch.setattr(recovery_module, "REBUILD_AFTER", 0.05)
    elector = elect("a", **SHORT)
    elector.wait_for(m.LeadershipAcquired)
    former = elector.driver._core
    break_core(elector, monkeypatch)
    until(lambda: elector.driver._core is not former)
    elector.driver.post(m.StopAsked())
    if again:
        elector.driver.post(m.StartAsked())
        elector.wait_for(m.LeadershipLost)
        assert elector.wait_for(m.LeadershipAcquired).term == 2
    else:
        until(
            lambda: elector.driver._recovery.rebuild_at is None, "there is no new core"
        )
        assert elector.driver.is_stopped


def test_driver_takes_the_right_word_after_a_wrong_one(elect, caplog):
    """G5: an end of work that was said too early does not hide the one that counts."""
    elector = elect("a", ends_work=False, **FAST)
    elector.wait_for(m.LeadershipAcquired)
    with caplog.at_level(logging.ERROR):
        elector.driver.post(m.WorkEnded(term=1))  # it leads still
        elector.driver.post(m.StopAsked())
        elector.wait_for(m.LeadershipLost)
    assert "Traceback" not in caplog.text
    assert "cannot be met" in caplog.text
    elector.driver.post(m.WorkEnded(term=1))
    elector.wait_for(State.STOPPED)


def test_driver_starts_a_core_once_that_failed_as_it_began(elect, monkeypatch, caplog):
    """Fault 07: what it took of the start before it failed is not refused as a second."""
    elector = elect("a", start=False, **FAST)
    settle, failed = Election._settle, []

    def fail_once(core):
        if core.state is not State.STOPPED and not failed:
            failed.append(core)
            raise RuntimeError("planted")
        settle(core)

    monkeypatch.setattr(Election, "_settle", fail_once)
    with caplog.at_level(logging.ERROR):
        elector.driver.post(m.StartAsked())
        assert elector.wait_for(m.LeadershipAcquired).term == 1
    assert failed
    assert "cannot be met" not in caplog.text
    assert elector.driver._core is failed[0], "it was replaced"
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)


def test_driver_tells_no_new_core_of_a_step_down_that_is_over(
    elect, client, monkeypatch
):
    """Fault 07: another one led meanwhile, so who takes over may contend at once."""
    monkeypatch.setattr(recovery_module, "REBUILD_AFTER", 0.05)
    elector = elect("a", **SHORT)
    elector.wait_for(m.LeadershipAcquired)
    elector.driver.post(m.StepDownAsked(stay_out=3600.0))
    elector.wait_for(State.STANDING_BY)
    rob(client, "another")
    assert elector.wait_for(m.LeadershipAcquired).term == 2  # that is what ends it
    break_core(elector, monkeypatch)
    assert elector.wait_for(m.LeadershipAcquired).term == 3


class SharedWatch:
    """One watch for all who take part: the driver does not see the difference."""

    def __init__(self):
        self.watching, self.opened = [], 0

    def open(self, access, number):
        """Begin the one watch with the first who asks for one."""
        self.opened += not self.watching
        self.watching.append((access, number))

    def bring(self, lease):
        """Let all know of a change."""
        for access, number in self.watching:
            event = m.WatchEvent(request_id=number, type="MODIFIED", object=lease)
            access.post(Completed(access, event))


class SharingAccess:
    """An access whose watch is shared, and whose other orders go the usual way."""

    def __init__(self, usual, shared):
        self._usual, self._shared = usual, shared
        self.client, self.post = usual.client, usual._post

    def order(self, request):
        """Open the shared watch for a watch."""
        if isinstance(request, m.WatchLease):
            self._shared.open(self, request.request_id)
        else:
            self._usual.order(request)

    def take(self, completed):
        """Return what a watch brings, and what the other one takes."""
        if completed.pending is self:
            return completed.answer
        return self._usual.take(completed)

    def abandon_all(self):
        """Give up the rest."""
        self._usual.abandon_all()


def test_driver_does_not_mind_who_else_shares_its_watch(elect, client):
    """The seam to the client says nothing of a watch for each Lease."""
    shared = SharedWatch()
    electors = [elect(name, start=False) for name in "ab"]
    for elector in electors:
        driver = elector.driver
        driver._access = SharingAccess(driver._access, shared)
        driver.post(m.StartAsked())
    until(lambda: len(shared.watching) == 2, "nobody watches")
    assert (shared.opened, client.watches) == (1, 0)
    # Who is about to acquire watches already.
    until(lambda: any(e.driver.current_leader() for e in electors), "nobody leads")
    leader = next(e for e in electors if e.driver.current_leader())
    rob(client, "robber")
    shared.bring(client.lease)
    assert leader.wait_for(m.LeadershipLost).reason == "another_holder"
    until(lambda: all(holder_seen(e) == "robber" for e in electors))
