"""The hard fence of both fronts: when the kernel's order stands, and for when."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from kubernetes_leader_election import EVENTS, ConfigurationError, LeaderElectionError
from kubernetes_leader_election.core.timing import Belief
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.lifecycle import hard_fence
from kubernetes_leader_election.lifecycle.hard_fence import HardFence
from kubernetes_leader_election.lifecycle.term_work import TermWork
from kubernetes_leader_election.settings import resolve_settings, timings
from kubernetes_leader_election.settings.promises import kill_margin
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stages import PATIENCE, STEADY, hold


class Timer:
    """A kernel timer that ends nothing: it notes for when it is armed; None: it is not."""

    def __init__(self, end=None, made=None):
        self.number = getattr(end, "number", 0)
        self.armed = None
        self.history = []
        if made is not None:
            made.append(self)

    def arm(self, *, boottime, wall):
        self.armed = boottime, wall
        self.history.append(self.armed)

    def call_off(self):
        self.armed = None


@pytest.fixture
def timers(monkeypatch):
    """Give the timers that were made, none of which ends the process of the tests."""
    made = []
    monkeypatch.setattr(hard_fence, "EndTimer", lambda end: Timer(end, made))
    return made


def armed(timers):
    """Give the timers that are armed now."""
    return [timer for timer in timers if timer.armed is not None]


def work_of(elector):
    """Give what runs of the present term."""
    current = elector._lifecycle.current
    return None if current is None else current.work


# Fences of times of work: no clocks, no threads ------------------------------------


class Fence:
    """A fence that notes what is done to it."""

    def __init__(self, log):
        self.log = log
        log.append(self)
        self.done = []

    def arm(self):
        self.done.append("armed")

    def call_off(self):
        self.done.append("off")

    def look(self):
        self.done.append("looked")

    def left(self):
        return 1.0


@pytest.fixture
def fences():
    """Give the fences that were made."""
    return []


@pytest.fixture
def work(fences):
    """Give the work of a term with a fence."""
    return TermWork(7, ended=lambda _: None, new_fence=lambda: Fence(fences))


def test_fence_stands_from_the_first_hold_to_the_last(work, fences):
    """G2: it is armed before work begins, and called off when none is left."""
    first, second = work.begin("first"), work.begin("second")
    assert len(fences) == 1
    assert work.fence is fences[0]
    first.end()
    assert "off" not in fences[0].done
    second.end()
    assert fences[0].done == ["armed", "armed", "off"]
    assert work.fence is None


def test_next_time_of_work_has_a_fence_of_its_own(work, fences):
    """Who calls off the one that ended cannot call off the next, however late it is."""
    work.begin("first").end()
    work.begin("second")
    assert [f.done for f in fences] == [["armed", "off"], ["armed"]]


def test_work_that_comes_while_the_last_one_ends_has_a_fence(fences):
    """Seen as running, and over a moment later: then another fence is made."""
    work = TermWork(7, ended=lambda _: None, new_fence=lambda: Fence(fences))
    first = work.begin("first")
    inner, looked = work._lock, []

    class Lock:
        def __enter__(self):
            if not looked:
                looked.append(True)
                work._lock = inner
                first.end()  # another thread, between the look and the lock
                work._lock = self
            inner.acquire()

        def __exit__(self, *_):
            inner.release()

    work._lock = Lock()
    work.begin("second")
    assert work.fence is fences[1]
    assert fences[1].done == ["armed"]


def test_late_holds_prolong_work_and_begin_none(work, fences):
    """A lost handler beside work keeps the fence; alone it would be ended at once."""
    body = work.begin("a scope", is_scope=True)
    late = work.hold_late("a handler of leadership_lost")
    body.end()
    assert "off" not in fences[0].done
    late.end()
    assert fences[0].done[-1] == "off"
    work.hold_late("a handler of leadership_lost")
    assert len(fences) == 1


def test_wait_is_no_work(work, fences):
    """After a signal the Lease is held for what nobody knows of: no reason to kill."""
    body = work.begin("a job")
    work.hold_late("the stop budget after a signal", is_wait=True)
    body.end()
    assert fences[0].done[-1] == "off"


def test_look_reaches_what_runs_and_what_an_exception_left(work, fences):
    """Each renewal re-arms; what was to be called off is, also if a signal came between."""
    body = work.begin("a scope")
    work.look_at_fence()
    assert fences[0].done == ["armed", "looked"]
    fences[0].call_off = interrupted
    with pytest.raises(KeyboardInterrupt):
        body.end()
    del fences[0].call_off
    work.look_at_fence()
    assert fences[0].done[-1] == "off"


def interrupted():
    """Be torn by a signal."""
    raise KeyboardInterrupt


def test_no_work_begins_without_its_fence(fences):
    """Where the kernel has no more timers, the error is the caller's."""

    def refuse():
        raise LeaderElectionError("no timer")

    work = TermWork(7, ended=lambda _: None, new_fence=refuse)
    with pytest.raises(LeaderElectionError, match="no timer"):
        work.begin("a job")
    assert work.alive == ()


# When it goes off --------------------------------------------------------------------


def belief(boottime=100.0, *, wall=2000.0, spare=2.0):
    """Give a belief that lasts until a CLOCK_BOOTTIME."""
    return Belief(1, 5, boottime, boottime, wall * 1e6, 9e9, spare)


@pytest.fixture
def term(timers, monkeypatch):
    """Give an elector as far as a fence asks, and a fence of its term."""
    elector = SimpleNamespace(where="Lease x", belief=belief())
    elector.last_deadline = lambda _number: elector.belief
    end = SimpleNamespace(
        number=9, begin=lambda _: None, end=lambda _: None, look=lambda: ""
    )
    elector.end = end
    monkeypatch.setattr(hard_fence, "shared_process_end", lambda: end)
    elector.log = []
    elector.hard_fence = HardFence(elector, SimpleNamespace(trouble=elector.log.append))
    elector.hard_fence.begin()
    elector.new_fence = elector.hard_fence.of_term(1)
    elector.fence = elector.new_fence()
    elector.timer = timers[0]
    return elector


def test_fence_goes_off_at_the_hard_limit_and_not_at_the_duration(term):
    """G2: by when all work has to be gone, less what a process needs to die."""
    term.fence.arm()
    assert term.timer.armed == (101.75, 2001.75)


def test_fence_follows_each_proof_and_each_cut_of_the_record(term):
    """Rule 14: a renewal puts it off, a record that was cut short brings it nearer."""
    term.fence.arm()
    term.belief = belief(110.0)
    term.fence.look()
    assert term.timer.armed[0] == 111.75
    term.belief = belief(104.0, spare=0.4)
    term.fence.look()
    assert term.timer.armed[0] == pytest.approx(104.3)


def test_fence_stays_where_the_deadline_is_forgotten(term):
    """Fault 07: a core that failed and was replaced knows nothing of the old term."""
    term.fence.arm()
    term.belief = None
    term.fence.look()
    assert term.timer.armed == (101.75, 2001.75)
    later = term.new_fence()
    later.arm()
    assert later._timer.armed == (101.75, 2001.75)


def test_assumed_leadership_has_no_limit(term):
    """Outside a cluster nobody else can start."""
    term.belief = belief(float("inf"))
    term.fence.arm()
    assert term.timer.armed is None
    assert term.fence.left() == float("inf")


def test_renewal_that_comes_while_another_thread_arms_counts(term):
    """The one who is late looks again: the older limit does not stay."""
    plain = term.timer.arm

    def arm(**limit):
        term.timer.arm = plain
        term.belief = belief(110.0)  # a renewal, and the engine arms for it
        term.fence.arm()
        plain(**limit)

    term.timer.arm = arm
    term.fence.arm()
    assert term.timer.armed[0] == 111.75


def test_end_that_comes_while_the_engine_arms_counts(term):
    """It is called off for good."""
    plain = term.timer.arm

    def arm(**limit):
        term.fence.call_off()
        plain(**limit)

    term.timer.arm = arm
    term.fence.look()
    assert term.timer.armed is None


def test_fence_moves_to_another_signal_where_others_took_its_own(term, timers):
    """What others did to it is said, once."""
    work = TermWork(1, ended=lambda _: None, new_fence=lambda: term.fence)
    work.begin("a job")

    def look():
        term.end.number = 60
        return "others handle signal 64 now"

    term.end.look = look
    term.hard_fence.look(work)
    term.hard_fence.look(work)
    assert timers[1].number == 60
    assert timers[1].armed == (101.75, 2001.75)
    assert term.log == ["hard_fence: others handle signal 64 now"]


def test_fence_that_cannot_go_off_any_more_is_told(term):
    """Every other signal is in use: loud, and no end of the term."""

    def look():
        raise OSError(16, "every real-time signal has a handler")

    term.end.look = look
    term.hard_fence.look()
    assert "does not work any more" in term.log[0]


def test_time_left_is_that_of_the_first_clock(term):
    """For the line that says it."""
    now = SystemClock().now()
    term.belief = belief(now.boottime + 8.25, wall=now.wall / 1e6 + 1000, spare=2.0)
    assert 5.0 < term.fence.left() <= 10.0
    term.belief = belief(now.boottime + 1000, wall=now.wall / 1e6 - 60, spare=2.0)
    assert term.fence.left() < 0.0


# Electors ------------------------------------------------------------------------------


def test_work_is_fenced_for_the_hard_limit_of_its_newest_renewal(front, timers):
    """G2: armed before the body begins, moved by each renewal, called off at its end."""
    elector = front.elector(hard_fence=True, **STEADY)
    limits = timings(resolve_settings(**STEADY))
    after = limits.hard_limit - limits.renew_deadline
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    assert armed(timers) == []  # it leads, and no work is known
    with term.hold("a job"):
        (timer,) = armed(timers)
        first = timer.armed
        until(lambda: timer.armed > first, "no renewal moved it")
        first = timer.armed

        def matches():
            deadline = elector._lifecycle.last_deadline(term.number)
            left = deadline.boottime_deadline + after - timer.armed[0]
            return left == pytest.approx(kill_margin(after))

        until(matches, "it goes by another limit")
    assert armed(timers) == []


def test_signal_reaches_the_engine_before_work_can_begin(front, timers, monkeypatch):
    """A program that blocks all signals: the first job has its fence all the same."""
    looks = []
    end = SimpleNamespace(number=9, begin=lambda _: None, end=lambda _: None)
    monkeypatch.setattr(hard_fence, "shared_process_end", lambda: end)
    elector = front.elector(hard_fence=True)

    def look():
        looks.append((threading.current_thread().name, work_of(elector)))
        return ""

    end.look = look
    elector.start()
    elector.wait_until_leading(PATIENCE)
    assert looks[0] == ("leader-election", None)


@pytest.mark.parametrize("kind", ["guard", "hold", "handler"])
def test_each_kind_of_work_is_fenced(front, timers, kind):
    """Jobs, holds and acquired handlers: whatever holds up the release."""
    elector, go_on = front.elector(hard_fence=True), threading.Event()
    if kind == "handler":
        elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda _event: go_on.wait(PATIENCE))
        elector.start()
        until(lambda: armed(timers))  # the handler keeps the loop, where there is one
        go_on.set()
    else:
        elector.start()
        term = elector.wait_until_leading(PATIENCE)
        if kind == "hold":
            with term.hold("a job"):
                assert len(armed(timers)) == 1
        else:
            assert elector.call_if_leading(lambda: len(armed(timers))) == 1
    until(lambda: not armed(timers), "it was not called off at the end of the work")


def test_loss_leaves_the_fence_to_work_that_goes_on(front, timers, client):
    """Fault 09: asked to end, it goes on; the limit stays that of the last renewal."""
    log = Log()
    elector = front.elector(hard_fence=True, log=log, **STEADY)
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    with term.hold("a job that goes on"):
        hold(client, "rival")
        until(lambda: term.reason is not None)
        line = log.wait_for("The hard fence ends this whole process by SIGKILL in")
        assert line[0] == "error"
        assert "a job that goes on" in line[1]
        (timer,) = armed(timers)
    assert timer.armed is None


def test_planned_stop_moves_the_fence_with_the_renewals(front, timers):
    """The grace is longer than the limit: what is renewed is not ended."""
    elector = front.elector(hard_fence=True, **STEADY)
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    with term.hold("a job"):
        (timer,) = armed(timers)
        elector._lifecycle.ask_to_stop()
        until(lambda: term.reason == "stopped")
        before = timer.armed
        until(lambda: timer.armed != before, "renewals of a planned stop move it, too")
    assert timer.armed is None


def test_elector_without_it_asks_for_no_timers(front, timers):
    """It is off unless asked for."""
    elector = front.elector()
    elector.start()
    with elector.wait_until_leading(PATIENCE).hold("a job"):
        assert work_of(elector).fence is None
    assert timers == []


def test_start_is_refused_where_it_cannot_be_had(front, monkeypatch):
    """A sandbox, another system: said before anything is begun, with what would work."""

    class Refused:
        def begin(self, _user):
            raise PermissionError(1, "timer_create")

        def end(self, _user):
            pass

    monkeypatch.setattr(hard_fence, "shared_process_end", Refused)
    elector = front.elector(hard_fence=True)
    with pytest.raises(ConfigurationError, match="timer_create") as caught:
        elector.start()
    assert caught.value.option == "hard_fence"
    assert elector.state.role == "stopped"


def test_stop_gives_the_signal_back(front, timers, monkeypatch):
    """Each life asks for it anew."""
    users = []
    end = SimpleNamespace(
        number=9, begin=users.append, end=users.remove, look=lambda: ""
    )
    monkeypatch.setattr(hard_fence, "shared_process_end", lambda: end)
    elector = front.elector(hard_fence=True)
    for _ in range(2):
        elector.start()
        assert len(users) == 1
        elector.stop(timeout=PATIENCE)
        assert users == []
