"""The engine with a Lease API in memory: real threads, real clocks, wide bounds."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.engine import engine as engine_module
from kubernetes_leader_election.engine import recovery as recovery_module
from kubernetes_leader_election.engine.calls import LIMIT, Completed, PendingCall
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.engine.engine import Engine
from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.kube_api.call import Call
from tests.engine.conftest import SHORT
from tests.engine.test_failures import rob
from tests.lifecycle.driven import until
from tests.lifecycle.stages import in_child


def test_engine_elects_one_of_two_and_hands_over_when_it_stops(elect, client):
    """G7: the release of one is the acquisition of the other."""
    first = elect("a")
    first.wait_for(m.LeadershipAcquired)
    second = elect("b")
    second.wait_for(State.WAITING)
    assert first.driver.current_leader()
    assert not second.driver.current_leader()
    first.driver.post(m.StopAsked())
    second.wait_for(m.LeadershipAcquired)
    first.wait_for(State.STOPPED)
    assert not first.driver.current_leader()
    holders = [w["spec"]["holderIdentity"] for w in client.writes]
    assert [h for i, h in enumerate(holders) if i == 0 or holders[i - 1] != h] == [
        "a",
        "",
        "b",
    ]


def test_engine_renews_once_an_interval(elect, client):
    """G9: one write an interval, nothing else."""
    leader = elect("a", renew_interval=0.2)
    for _ in range(3):
        leader.wait_for(m.LeaseRenewed)
    stamps = [w["spec"]["renewTime"] for w in client.writes]
    assert len(stamps) == len(set(stamps))
    until(lambda: client.watches == 1)


def test_engine_drives_a_hundred_electors_on_one_thread(elect):
    """Many electors of one process share one engine thread and a few workers."""
    before = set(threading.enumerate())  # those of other engines end when they are idle
    electors = [elect(f"e{i}") for i in range(100)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        leading = [e for e in electors if e.driver.current_leader()]
        waiting = [e for e in electors if e.driver.view.state is State.WAITING]
        if len(leading) == 1 and len(waiting) == 99:
            break
        threading.Event().wait(0.02)
    assert len(leading) == 1
    assert len(waiting) == 99
    names = [t.name for t in threading.enumerate() if t not in before]
    assert names.count("leader-election-request") <= LIMIT


def test_engine_ends_the_term_and_contends_again_when_the_core_raises(
    elect, monkeypatch, caplog
):
    """Fault 07: caught, logged with its traceback, reported, tried again."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    core = leader.driver._core
    original = core.receive

    def break_once(message, *, now):
        if not isinstance(message, m.LivenessReported):
            return original(message, now=now)
        monkeypatch.setattr(core, "receive", original)
        raise RuntimeError("planted in the core")

    monkeypatch.setattr(core, "receive", break_once)
    with caplog.at_level(logging.ERROR):
        leader.driver.post(m.LivenessReported(alive=False))
        lost = leader.wait_for(m.LeadershipLost)
    assert lost.reason == "failed"
    assert "planted in the core" in caplog.text
    assert "Traceback" in caplog.text
    # What it failed at is heard all the same.
    leader.wait_for(State.STANDING_BY)
    leader.driver.post(m.LivenessReported(alive=True))
    assert leader.wait_for(m.LeadershipAcquired).term == 2


def test_engine_replaces_a_core_that_cannot_even_fail(elect, monkeypatch):
    """Fault 07: when the core fails on its own failure, a new one takes its place."""
    leader = elect("a", **SHORT)
    leader.wait_for(m.LeadershipAcquired)

    break_core(leader, monkeypatch)
    assert leader.wait_for(m.LeadershipLost).term == 1
    assert leader.wait_for(m.LeadershipAcquired).term == 2
    until(leader.driver.current_leader)


def test_driver_takes_no_answer_that_a_former_core_asked_for(elect, engine, client):
    """Fault 07: numbers of requests begin anew with a new core; answers do not count."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    leader.wait_for(m.LeaseRenewed)
    number = leader.driver._core._in_flight.watch_id
    metadata = {**client.lease["metadata"], "resourceVersion": "999999"}
    gone = {**client.lease, "metadata": metadata}
    event = m.WatchEvent(request_id=number, type="DELETED", object=gone)
    former = PendingCall(Call(), stuck=lambda _: None)
    engine.post(leader.driver, Completed(former, event))
    leader.wait_for(m.LeaseRenewed)
    assert not [e for e in leader.events if isinstance(e, m.LeadershipLost)]
    # The same, when the present core asked for it.
    present = leader.driver._access._calls[number]
    engine.post(leader.driver, Completed(present, event))
    assert leader.wait_for(m.LeadershipLost).reason == "deleted"


class Noting:
    """A driver that notes what it is given; it always wants to be called again."""

    in_term, is_stopped, client, next_deadline = False, False, None, 0.0

    def __init__(self, error=None):
        self.error, self.taken = error, []

    def step(self, message):
        """Note it."""
        self.taken.append(message)
        if self.error is not None:
            raise self.error


def test_engine_takes_the_news_that_is_there_before_what_is_due():
    """Fault 44: a thousand candidates of a slow process hear of the winner in time."""
    engine, driver = Engine(), Noting()
    for word in ("first", "second", "third"):
        engine.post(driver, word)
    engine._turn()
    assert driver.taken == ["first", "second", "third", None]


def test_engine_rests_after_a_driver_that_fails_again_and_again():
    """Fault 07: what fails at once fails again: told once in a while, no hot loop."""
    engine, driver = Engine(), Noting(MemoryError())
    engine.post(driver, None)
    engine._turn()
    assert len(driver.taken) <= 2


def break_core(elector, monkeypatch, word=None):
    """Let the core fail at the next word or timer, and on its own failure too."""

    def broken(*_, **__):
        raise RuntimeError("planted twice")

    core = elector.driver._core
    monkeypatch.setattr(core, "receive", broken)
    monkeypatch.setattr(core, "handle_timer", broken)
    elector.driver._engine.post(elector.driver, word)


@pytest.mark.parametrize("told", ["before", "while down", "by the failing word"])
def test_engine_tells_a_new_core_that_the_application_is_stuck(
    elect, monkeypatch, told
):
    """Fault 07, fault 08: the last report of liveness counts, for the new core too."""
    elector = elect("a", **SHORT)
    elector.wait_for(m.LeadershipAcquired)
    stuck = m.LivenessReported(alive=False)
    if told == "before":
        elector.driver.post(stuck)
    if told == "by the failing word":
        break_core(elector, monkeypatch, stuck)
    else:
        break_core(elector, monkeypatch)
    elector.wait_for(m.LeadershipLost)
    if told == "while down":
        elector.driver.post(stuck)
    elector.wait_for(State.STANDING_BY)
    assert not elector.driver.current_leader()
    elector.driver.post(m.LivenessReported(alive=True))
    assert elector.wait_for(m.LeadershipAcquired).term == 2


@pytest.mark.parametrize("asked", ["before", "while down"])
def test_engine_tells_a_new_core_to_stay_out(elect, monkeypatch, asked):
    """Fault 07: who was asked to step down does not contend because its core failed."""
    elector = elect("a", **SHORT)
    elector.wait_for(m.LeadershipAcquired)
    if asked == "before":
        elector.driver.post(m.StepDownAsked(stay_out=60.0))
        elector.wait_for(State.STANDING_BY)
        break_core(elector, monkeypatch)
        elector.wait_for(State.STOPPED)
    else:
        break_core(elector, monkeypatch)
        elector.wait_for(m.LeadershipLost)
        elector.driver.post(m.StepDownAsked(stay_out=60.0))
    elector.wait_for(State.STANDING_BY)
    # What is due next may be a read of this very moment, but never later than that.
    assert elector.driver.next_deadline - SystemClock().now().boottime <= 60.0
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)


def test_engine_begins_no_term_while_work_of_a_failed_core_runs(elect, monkeypatch):
    """G4, G5: a new core waits for the end of the work that the old one began."""
    monkeypatch.setattr(recovery_module, "REBUILD_AFTER", 0.02)
    elector = elect("a", ends_work=False, **SHORT)
    elector.wait_for(m.LeadershipAcquired)
    looks = []
    wait = elector.driver._wait_for_new_core
    monkeypatch.setattr(
        elector.driver,
        "_wait_for_new_core",
        lambda now: (wait(now), looks.append(now)),
    )
    break_core(elector, monkeypatch)
    assert elector.wait_for(m.LeadershipLost).term == 1
    until(lambda: len(looks) >= 5, "it does not look again")
    assert elector.driver.view.state is State.STOPPED
    assert not elector.driver.current_leader()
    elector.driver.post(m.WorkEnded(term=1))
    assert elector.wait_for(m.LeadershipAcquired).term == 2


def test_engine_makes_no_request_that_was_given_up_before_its_thread_was_free(
    elect, client, engine, monkeypatch
):
    """Rule 11: from the instant a term ends no renewal of it is sent, nor a late one."""
    leader = elect("a", renew_interval=0.2)
    leader.wait_for(m.LeaseRenewed)
    late = []
    with monkeypatch.context() as busy:
        busy.setattr(engine.workers, "submit", lambda job: late.append(job) or True)
        until(lambda: late, "nothing is renewed")
        # From here on: the renewal before that one is over.
        client.raising["replace"] = RuntimeError("a write was made after all")
        rob(client, "robber")
        leader.wait_for(m.LeadershipLost)
    for job in late:
        job()
    assert "replace" in client.raising


def test_engine_tells_a_new_core_of_the_present_life_alone(elect, monkeypatch):
    """Fault 07: who was started anew while the core was down need not stay out."""
    elector = elect("a", **SHORT)
    elector.wait_for(m.LeadershipAcquired)
    break_core(elector, monkeypatch)
    elector.wait_for(m.LeadershipLost)
    for word in (m.StepDownAsked(stay_out=1e6), m.StopAsked(), m.StartAsked()):
        elector.driver.post(word)
    assert elector.wait_for(m.LeadershipAcquired).term == 2


@pytest.mark.parametrize("verb", ["get", "replace", "watch"])
def test_engine_survives_an_exception_at_each_call_of_the_client(elect, client, verb):
    """Fault 07: what a worker raises is an unknown outcome, never a dead thread."""
    client.raising[verb] = RuntimeError(f"planted in {verb}")
    elector = elect("a")
    assert "planted" in str(elector.wait_for(m.ErrorOccurred).error)
    if not elector.driver.current_leader():
        elector.wait_for(m.LeadershipAcquired)


def test_driver_reports_a_word_that_the_table_refuses(elect, caplog):
    """A driver's mistake is said loudly and ends nothing."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    with caplog.at_level(logging.ERROR):
        leader.driver.post(m.WorkEnded(term=7))
        leader.driver.post(m.StopAsked())
        leader.wait_for(State.STOPPED)
    assert "said once for each term" in caplog.text


def test_driver_takes_the_end_of_work_once_however_often_it_is_said(elect, caplog):
    """Whoever said so may have been interrupted, and say it again: also too late."""
    leader = elect("a")
    with caplog.at_level(logging.ERROR):
        for term in (1, 2):
            assert leader.wait_for(m.LeadershipAcquired).term == term
            leader.driver.post(m.StepDownAsked(stay_out=0.0))
            leader.wait_for(m.LeadershipLost)
            for _ in range(3):
                leader.driver.post(m.WorkEnded(term=1))
        assert leader.wait_for(m.LeadershipAcquired).term == 3
    assert caplog.text == ""


@pytest.mark.parametrize("assumed", [False, True], ids=["elected", "assumed"])
def test_driver_ignores_a_step_down_that_comes_after_the_stop(elect, caplog, assumed):
    """G8: two tasks may stop and step down at once: no defect, and nothing to do."""
    elector = elect("a", **({"credentials": None} if assumed else {}))
    elector.wait_for(m.LeadershipAcquired)
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)
    elector.driver.post(m.StepDownAsked(stay_out=60.0))
    elector.driver.post(m.StartAsked())
    elector.wait_for(m.LeadershipAcquired)
    assert elector.driver.view.last_error is None
    assert not caplog.records


def test_driver_belief_ends_by_the_clock_with_a_dead_engine(elect, engine, monkeypatch):
    """Rule 15: right with nothing else running; and it latches (rule 14)."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    # The engine takes nothing any more; only the clock goes on.
    monkeypatch.setattr(engine, "_step", lambda *_: None)
    real = SystemClock().now()
    shifted = Now(real.boottime + 41, real.monotonic + 41, real.wall)
    assert leader.driver.current_leader()
    monkeypatch.setattr(leader.driver.clock.__class__, "now", lambda _: shifted)
    assert not leader.driver.current_leader()
    monkeypatch.setattr(leader.driver.clock.__class__, "now", lambda _: real)
    assert not leader.driver.current_leader()
    assert leader.driver.remaining() == 0.0


def test_driver_in_a_child_process_never_leads(elect):
    """Fault 15: a forked child is no leader and cannot post; the parent goes on."""
    leader = elect("a")
    leader.wait_for(m.LeadershipAcquired)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            refused = False
            try:
                leader.driver.post(m.StopAsked())
            except ProtocolMisuseError:
                refused = True
            leads = leader.driver.current_leader() or leader.driver.remaining() > 0
            code = 0 if refused and not leads else 2
        finally:
            os._exit(code)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    assert os.waitstatus_to_exitcode(status) == 0
    assert leader.driver.current_leader()
    leader.wait_for(m.LeaseRenewed)


def test_engine_of_a_child_process_is_its_own():
    """Fault 15: the parent's has no thread there, and would take words for ever."""
    parents = engine_module.shared_engine()
    assert engine_module.shared_engine() is parents
    assert not in_child(lambda: engine_module.shared_engine() is parents)


def test_driver_assumes_leadership_without_credentials(elect):
    """Not in a cluster: leader at once, without a token, for ever."""
    elector = elect("a", credentials=None)
    assert elector.wait_for(m.LeadershipAcquired).token is None
    assert elector.driver.remaining() == float("inf")
    elector.driver.post(m.StepDownAsked(stay_out=0.05))
    assert elector.wait_for(m.LeadershipLost).reason == "stepped_down"
    assert elector.wait_for(m.LeadershipAcquired).term == 2
    elector.driver.post(m.StopAsked())
    elector.wait_for(State.STOPPED)
