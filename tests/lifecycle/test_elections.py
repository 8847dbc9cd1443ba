"""What both electors do in an election: waiting, states, losses, faults, leaks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import threading
import time
from pathlib import Path

import pytest

from kubernetes_leader_election import Elector, sync
from kubernetes_leader_election.engine.calls import LIMIT
from kubernetes_leader_election.errors import (
    ConfigurationError,
    LeadershipLostError,
    LeaseApiError,
    NotLeaderError,
)
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.kube_api import results as r
from kubernetes_leader_election.lifecycle.liveness_probe import Probe
from kubernetes_leader_election.lifecycle.taking import join
from kubernetes_leader_election.lifecycle.term_work import WorkItem
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import (
    FAST,
    PATIENCE,
    STEADY,
    break_engine,
    hold,
    holder,
    options,
)

LATE = 8.0
"""Seconds after which a clock that should have ended a term of FAST has not."""


@pytest.fixture
def losses(front, reason):
    """Give an elector that keeps the reasons of its losses."""
    elector = front.elector(**FAST if reason == "renew_deadline" else STEADY)
    elector.reasons = []
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: elector.reasons.append(e.reason))
    return elector


# Waiting ------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["wait_until_leading", "wait_for_leader", "start"])
def test_waiting_that_takes_too_long_names_the_last_error(front, client, call):
    """TimeoutError, with the last API error as its cause."""
    trouble = LeaseApiError("403: may not get leases", status=403)
    client.get = lambda *_, **__: r.Refused(error=trouble)
    told = threading.Event()

    def elector_that_tells():
        made = front.elector(wait_for_leadership=call == "start")
        made.on(EVENTS.ERROR, lambda _: told.set())
        return made

    if call == "start":
        elector, caught = start_until_told(elector_that_tells, told)
    else:
        elector = elector_that_tells()
        elector.start()
        assert told.wait(PATIENCE)
        with pytest.raises(TimeoutError, match="did not return after") as caught:
            getattr(elector, call)(timeout=0.2)
    assert caught.value.__cause__ is trouble
    assert elector.state.last_error is trouble


def start_until_told(make, told):
    """Start electors with ever more time, until one has met its trouble in that time."""
    for timeout in (0.2, 1.0, 5.0):
        elector = make()
        with pytest.raises(TimeoutError, match="did not return after") as caught:
            elector.start(timeout=timeout)
        if told.is_set() and caught.value.__cause__ is not None:
            break
        told.clear()
    return elector, caught


def test_waiting_ends_when_the_elector_is_stopped(front, client):
    """NotLeaderError: nobody would wait forever."""
    hold(client, "rival")
    elector = front.elector()
    elector.start()
    waiting = spawn(elector.wait_until_leading)
    until(lambda: len(elector._lifecycle.waiters))
    elector.stop(PATIENCE)
    with pytest.raises(NotLeaderError, match="was stopped"):
        waiting.result(PATIENCE)


def test_start_waits_for_any_leader_when_asked(front, client):
    """Node package: with wait_for_leadership, start() returns once one is known."""
    hold(client, "rival")
    elector = front.elector(wait_for_leadership=True)
    elector.start()
    assert elector.leader_identity == "rival"
    assert not elector.current_leader


@pytest.mark.parametrize("edited", [False, True], ids=["at first", "by an edit"])
def test_holder_whose_death_would_cost_years_is_warned_of(front, client, edited):
    """2^31-1 seconds are 68 years, in which nobody leads if it is dead."""
    log = Log()
    if edited:
        hold(client, "rival")
    else:
        hold(client, "rival", duration=2**31 - 1)
    elector = front.elector(log=log)
    elector.start()
    elector.wait_for_leader(PATIENCE)
    if edited:
        hold(client, "rival", duration=2**31 - 1)
    level, line = log.wait_for("a duration of 2147483647 s (24855 days)")
    assert level == "warning"
    assert "'rival'" in line
    assert "release --force" in line


def test_durations_that_some_want_are_not_warned_of(front, client):
    """Up to ten minutes, or as long as this elector's own."""
    log = Log()
    hold(client, "rival", duration=3600)
    elector = front.elector(log=log, lease_duration_sec=3600)
    elector.start()
    elector.wait_for_leader(PATIENCE)
    hold(client, "other", duration=600)
    log.wait_for("held by 'other'")
    assert not any("a duration of" in line for _, line in log.written())


# States -------------------------------------------------------------------------


def test_state_says_who_leads_since_when_and_until_when(front, client):
    """Role, holder, since, deadline, transitions and the last error, in one value."""
    hold(client, "rival")
    elector = front.elector()
    assert elector.state.role == "stopped"
    elector.start()
    elector.wait_for_leader(PATIENCE)
    state = elector.state
    assert (state.role, state.holder, state.transitions) == ("candidate", "rival", 1)
    assert state.last_error is None
    assert state.deadline is not None
    hold(client, "")
    elector.wait_until_leading(PATIENCE)
    leading = elector.state
    assert (leading.role, leading.holder, leading.transitions) == ("leader", "me", 2)
    assert leading.is_leader
    assert leading.since >= state.since
    assert leading.deadline > leading.since
    elector.stop(PATIENCE)
    assert elector.state.role == "stopped"


def roles(seen):
    """Give the roles without repetitions."""
    return [s.role for i, s in enumerate(seen) if i == 0 or seen[i - 1].role != s.role]


def test_asyncio_states_are_given_until_the_elector_stops(client):
    """An iterator of states: the present one, each new one, the last one."""

    async def main():
        hold(client, "rival")
        seen, leads = [], asyncio.Event()
        elector = Elector(**options(**STEADY))

        async def watch():
            async for state in elector.states():
                seen.append(state)
                if state.is_leader:
                    leads.set()

        async with asyncio.timeout(PATIENCE):
            await elector.start()
            watching = asyncio.create_task(watch())
            await elector.wait_for_leader()
            hold(client, "")
            await leads.wait()
            written = len(client.writes)  # renewals, which are no news
            await asyncio.to_thread(until, lambda: len(client.writes) > written + 3)
            await elector.stop()
            await watching
        return seen

    seen = asyncio.run(main())
    check_states(seen)


def test_thread_states_are_given_until_the_elector_stops(client):
    """An iterator of states: the present one, each new one, the last one."""
    hold(client, "rival")
    seen = []
    elector = sync.Elector(**options(**STEADY))
    elector.start()
    watching = spawn(lambda: seen.extend(elector.states()))
    elector.wait_for_leader(PATIENCE)
    until(lambda: len(elector._lifecycle.waiters))
    hold(client, "")
    elector.wait_until_leading(PATIENCE)
    written = len(client.writes)  # renewals, which are no news
    until(lambda: len(client.writes) > written + 3)
    elector.stop(PATIENCE)
    watching.result(PATIENCE)
    check_states(seen)


def check_states(seen):
    """From candidate to leader to stopped, and nothing for a renewal."""
    assert seen[0].role in {"candidate", "leader"}
    assert "leader" in roles(seen)
    assert roles(seen)[-1] == "stopped"
    assert len([s for s in seen if s.is_leader]) <= 2


# Losses -------------------------------------------------------------------------


def lose_to_a_rival(client, elector):
    """Let a rival write the Lease."""
    hold(client, "rival")


def lose_by_deletion(client, elector):
    """Delete the Lease."""
    with client.changed:
        gone, client.lease = client.lease, None
        version = str(next(client.versions))
        metadata = {**gone["metadata"], "resourceVersion": version}
        client.history.append(("DELETED", {**gone, "metadata": metadata}))
        client.changed.notify_all()


def lose_by_the_deadline(client, elector):
    """Let every request fail."""
    trouble = r.Unknown(error=LeaseApiError("no answer"))
    client.replace = client.get = lambda *_, **__: trouble


def lose_by_stop(client, elector):
    """Stop."""
    elector.stop(PATIENCE)


def lose_by_stepping_down(client, elector):
    """Step down."""
    elector.step_down(stay_out=3600)


LOSSES = {
    "another_holder": lose_to_a_rival,
    "deleted": lose_by_deletion,
    "renew_deadline": lose_by_the_deadline,
    "stopped": lose_by_stop,
    "stepped_down": lose_by_stepping_down,
}


@pytest.mark.parametrize("reason", LOSSES)
def test_loss_says_why(client, losses, reason):
    """Loss events, and the term, say why the term ended."""
    losses.start()
    term = losses.wait_until_leading(PATIENCE)
    assert term.reason is None
    LOSSES[reason](client, losses)
    until(lambda: losses.reasons)
    assert losses.reasons == [reason]
    assert term.reason == reason
    assert term.is_lost
    with pytest.raises(LeadershipLostError) as caught:
        term.check()
    assert caught.value.reason == reason
    with pytest.raises(NotLeaderError):
        term.ensure(0.001)


def test_loss_says_why_from_the_instant_it_is_seen(client, monkeypatch):
    """Between the view that shows the end and the event, the reason is right, too."""
    elector = sync.Elector(**options(**STEADY))
    shown, go_on = threading.Event(), threading.Event()
    with elector:
        term = elector.wait_until_leading(PATIENCE)
        on_event = elector._lifecycle.on_event

        def late(event, view):
            shown.set()
            go_on.wait(PATIENCE)
            on_event(event, view)

        monkeypatch.setattr(elector._lifecycle, "on_event", late)
        hold(client, "rival")
        assert shown.wait(PATIENCE)
        until(lambda: term.is_lost)
        reason = term.reason
        go_on.set()
    assert reason == "another_holder"


def test_loss_says_that_the_work_ended(client):
    """A scope that ends, ends its term: reason work_ended."""
    seen = []
    elector = sync.Elector(**options())
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: seen.append(e.reason))
    with elector:
        with elector.leadership(PATIENCE) as term:
            pass
        assert term.reason == "work_ended"
    assert seen[0] == "work_ended"


def test_step_down_stays_out_and_lets_another_one_lead(front, client):
    """Released, then not contended for while it stays out; the other one leads."""
    elector = front.elector(**STEADY)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.step_down(stay_out=3600)
    assert elector.state.role == "standing by"
    assert holder(client) == ""
    elector.stop(PATIENCE)  # another life stays out for its own reasons alone
    elector.start()
    elector.wait_until_leading(PATIENCE)
    began = time.monotonic()
    elector.step_down(stay_out=1.0)
    elector.wait_until_leading(PATIENCE)
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize(
    "stay_out", [10**400, math.nan, math.inf, True, "1", -1], ids=lambda v: str(v)[:9]
)
def test_step_down_says_what_is_no_length_of_time(front, stay_out):
    """A mistake of the program, and it costs no leadership."""
    elector = front.elector()
    elector.start()
    elector.wait_until_leading(PATIENCE)
    with pytest.raises(ConfigurationError, match="not a length of time"):
        elector.step_down(stay_out=stay_out)
    assert elector.current_leader


def test_two_scopes_share_a_term_which_ends_after_the_last(client):
    """The Lease is released when the second scope has ended, not the first."""
    elector = sync.Elector(**options())
    finish = [threading.Event(), threading.Event()]
    terms = []

    def work(number):
        with elector.leadership(PATIENCE) as term:
            terms.append(term)
            finish[number].wait(PATIENCE)

    with elector:
        scopes = [spawn(lambda n=n: work(n)) for n in (0, 1)]
        until(lambda: len(terms) == 2)
        assert terms[0] is terms[1]
        finish[0].set()
        scopes[0].result(PATIENCE)
        assert elector.current_leader
        assert holder(client) == "me"
        finish[1].set()
        scopes[1].result(PATIENCE)
        assert terms[0].reason == "work_ended"
        until(lambda: not terms[0].remaining())


# Faults -------------------------------------------------------------------------


def test_engine_that_fails_ends_the_term_and_contends_again(front, client):
    """Fault 07: traceback in the log, error event, one lost event, a new term."""
    log = Log()
    elector = front.elector(log=log, **STEADY)
    seen = []
    for event in (EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST, EVENTS.ERROR):
        elector.on(event, lambda e: seen.append((e.name, getattr(e, "term", None))))
    elector.start()
    first = elector.wait_until_leading(PATIENCE)
    until(lambda: seen)
    break_engine(elector)
    until(lambda: (EVENTS.LEADERSHIP_ACQUIRED, 2) in seen)
    assert first.reason == "failed"
    assert "Traceback" in log.wait_for("ZeroDivisionError: planted in the core")[1]
    assert seen[0] == (EVENTS.LEADERSHIP_ACQUIRED, 1)
    assert (EVENTS.ERROR, None) in seen
    assert seen.count((EVENTS.LEADERSHIP_LOST, 1)) == 1
    assert elector.wait_until_leading(PATIENCE).number == 2


@pytest.mark.parametrize("looks", [0, 1], ids=["at first", "after a renewal"])
def test_asyncio_body_is_cancelled_by_the_clock_with_a_dead_engine(
    client, monkeypatch, looks
):
    """Fault 07, rule 15: the clock of a scope follows each renewal, to the last one."""
    cancelled = []

    async def main():
        async with Elector(**options(**FAST)) as elector:

            async def work():
                async with elector.leadership() as term, asyncio.timeout(3 * LATE):
                    for _ in range(looks):
                        # The scope has found by now that its term was renewed.
                        await asyncio.sleep(term.remaining() + 0.2)
                    assert not term.is_lost
                    monkeypatch.setattr(
                        elector._lifecycle._driver, "step", lambda _: None
                    )
                    async with asyncio.timeout(LATE):
                        try:
                            await asyncio.Event().wait()
                        except asyncio.CancelledError as error:
                            cancelled.append((str(error), term.is_lost))
                            raise

            with pytest.raises(LeadershipLostError, match="the renew deadline"):
                await work()
            assert cancelled == [("leadership lost: the renew deadline passed", True)]
            assert not elector.current_leader
            monkeypatch.undo()

    asyncio.run(main())


def test_scope_enters_no_term_that_the_clock_has_ended(front, monkeypatch):
    """Rule 15: the engine has not said so yet, and a scope waits for the next term."""
    elector = front.elector(**STEADY)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    lifecycle = elector._lifecycle
    with monkeypatch.context() as over:
        over.setattr(lifecycle._driver, "current_leader", lambda: False)
        assert lifecycle.current is not None
        assert join(lifecycle, WorkItem("a scope", is_scope=True)) is None
        with pytest.raises(TimeoutError):
            elector.wait_until_leading(0.01)
    hold = WorkItem("a scope", is_scope=True)
    assert join(lifecycle, hold) is lifecycle.current
    lifecycle.leave(hold)


def test_elector_ensures_the_time_that_is_needed(front):
    """As term.ensure(): more than a term can have is refused, with what is left."""
    elector = front.elector()
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.ensure(1)
    with pytest.raises(NotLeaderError) as refused:
        elector.ensure(1e6)
    assert 1 < refused.value.remaining < 1e6


def test_waiting_for_the_loss_ends_by_the_clock_with_a_dead_engine(front, monkeypatch):
    """Fault 07, rule 15: who waits for ``term.lost`` is woken by no engine."""
    elector = front.elector(**FAST)
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    with monkeypatch.context() as dead:
        dead.setattr(elector._lifecycle._driver, "step", lambda _: None)
        if front.name == "asyncio":
            assert front.call(asyncio.wait_for(term.lost.wait(), LATE))
        else:
            assert spawn(term.lost.wait).result(LATE)
    assert not elector.current_leader
    assert elector.wait_until_leading(PATIENCE).number == 2


def test_asyncio_work_that_swallows_cancellation_keeps_the_lease(client):
    """Fault 09, fault 10: never released under its feet (G5); logged and reported."""
    log = Log()

    async def main():
        elector = Elector(**options(log=log, grace_sec=0.5, **STEADY))
        reports = []
        elector.on(EVENTS.ERROR, lambda e: reports.append(str(e.error)))
        began, go_on = asyncio.Event(), asyncio.Event()

        async def stubborn():
            async with elector.leadership():
                began.set()
                while not go_on.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await go_on.wait()

        async with asyncio.timeout(PATIENCE):
            await elector.start()
            task = asyncio.create_task(stubborn(), name="stubborn")
            await began.wait()
            with pytest.raises(TimeoutError, match="task 'stubborn'"):
                await elector.stop(timeout=0.1)
            await asyncio.to_thread(until, lambda: reports)
            written = len(client.writes)
            await asyncio.to_thread(until, lambda: len(client.writes) > written + 2)
            assert holder(client) == "me"
            assert not elector.current_leader
            assert elector.remaining() > 0.0
            go_on.set()
            await elector.stop()
            with pytest.raises(LeadershipLostError):
                await task
            return reports

    reports = asyncio.run(main())
    assert "this is still running: leadership() in task 'stubborn'" in reports[0]
    assert "not released before it has ended" in log.wait_for("still running")[1]
    assert holder(client) == ""


def test_thread_that_ignores_its_loss_keeps_the_lease(client):
    """Fault 09: renewed as long as it lives (G5), and reported again and again."""
    log = Log()
    elector = sync.Elector(
        **options(log=log, grace_sec=0.5, stop_budget_sec=0.5, **STEADY)
    )
    began, go_on = threading.Event(), threading.Event()
    reports = []
    elector.on(EVENTS.ERROR, lambda e: reports.append(str(e.error)))

    def stubborn():
        with elector.leadership(PATIENCE):
            began.set()
            go_on.wait(PATIENCE)

    elector.start()
    ended = spawn(stubborn)
    assert began.wait(PATIENCE)
    with pytest.raises(TimeoutError, match=r"leadership\(\) in thread"):
        elector.stop(timeout=0.1)
    log.wait_for("this is still running: leadership() in thread")
    until(lambda: len(reports) >= 2)
    assert all("this is still running" in report for report in reports)
    written = len(client.writes)
    until(lambda: len(client.writes) > written + 2)
    assert holder(client) == "me"
    go_on.set()
    with pytest.raises(LeadershipLostError, match="stopped"):
        ended.result(PATIENCE)
    elector.stop(PATIENCE)
    assert holder(client) == ""


# Leaks --------------------------------------------------------------------------


def request_threads():
    """Count the threads that make requests, those of other tests' engines too."""
    names = [thread.name for thread in threading.enumerate()]
    return names.count("leader-election-request")


def counts():
    """Count threads, descriptors and objects of ours."""
    gc.collect()
    names = [thread.name for thread in threading.enumerate()]
    modules = [getattr(type(o), "__module__", None) for o in gc.get_objects()]
    return (
        len([name for name in names if name != "leader-election-request"]),
        len(list(Path("/proc/self/fd").iterdir())),
        sum("leader_election" in str(module) for module in modules),
    )


@pytest.mark.slow
def test_elector_leaks_nothing_over_many_terms(front):
    """Fault 18: threads, descriptors and objects stay as many over 200 terms."""
    elector = front.elector()

    def live(lives):
        for _ in range(lives):
            elector.start()
            for _ in range(4):
                elector.wait_until_leading(PATIENCE)
                elector.step_down(stay_out=0)
            elector.stop(PATIENCE)

    live(8)
    before, requesting = counts(), request_threads()
    live(40)
    until(lambda: counts()[0] <= before[0])
    after = counts()
    # The pool for requests is bounded, and as large as the machine was busy.
    assert request_threads() <= max(requesting, 2 * LIMIT)
    assert after[1] <= before[1]
    assert after[2] <= before[2] + 20, "objects grow with terms"


def releases(client):
    """Give how often the Lease was released: who released it may lead again by now."""
    with client.changed:
        written = list(client.writes)
    return sum(not lease["spec"].get("holderIdentity") for lease in written)


def test_block_is_left_when_the_lease_is_released(client):
    """G7: behind the block another one may lead already."""
    with sync.Elector(**options()) as elector:
        for number in range(10):
            with elector.leadership(PATIENCE):
                assert releases(client) == number
            assert releases(client) == number + 1


def test_asyncio_block_is_left_when_the_lease_is_released(client):
    """G7: behind the block another one may lead already."""

    async def main():
        async with Elector(**options()) as elector:
            for number in range(10):
                async with elector.leadership(PATIENCE):
                    assert releases(client) == number
                assert releases(client) == number + 1

    asyncio.run(main())


def test_waiting_leaves_nothing_behind(front):
    """Fault 18: who waits again and again for a loss is not remembered for ever."""
    elector = front.elector()
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    for _ in range(20):
        if front.name == "threads":
            assert not term.lost.wait(0.001)
        else:
            assert not front.call(term.lost.wait(0.001))
    assert not len(elector._lifecycle.waiters)
    if front.name == "asyncio":
        left = [t for t in front.loop._scheduled if not t.cancelled()]
        assert len(left) < 10


def test_entering_that_fails_leaves_no_elector_behind(client, monkeypatch):
    """Fault 16: `with elector:` that Ctrl-C ends while it waits has begun nothing."""
    elector = sync.Elector(**options(wait_for_leadership=True))

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(elector, "wait_for_leader", interrupt)
    with pytest.raises(KeyboardInterrupt), elector:
        raise AssertionError("the block began")
    until(lambda: elector.state.role == "stopped" and holder(client) == "")


def test_scope_of_a_thread_that_ends_by_an_exit_of_its_own_is_not_torn(client):
    """G7: SystemExit ends a thread as any error does: no signal has come."""
    going, over = threading.Event(), threading.Event()

    def work(elector):
        with contextlib.suppress(SystemExit), elector.leadership(PATIENCE):
            going.set()
            raise SystemExit

    with sync.Elector(**options()) as elector:
        other = threading.Thread(target=over.wait, args=(PATIENCE,))
        other.start()
        spawn(lambda: work(elector)).result(PATIENCE)
        assert going.is_set()
        elector.stop(PATIENCE / 2)
        assert other.is_alive()
        over.set()
        other.join(PATIENCE)
    assert holder(client) == ""


def test_signal_releases_as_soon_as_scopes_have_ended(client):
    """G7: only a program of events is given the stop budget, whatever runs of it."""
    elector = sync.Elector(
        **options(renew_interval_ms=100, lease_duration_sec=20, stop_budget_sec=8.0)
    )

    def work():
        with contextlib.suppress(LeadershipLostError), elector.leadership() as term:
            term.lost.wait(PATIENCE)

    elector.start()
    working = spawn(work)
    until(
        lambda: elector._lifecycle.current and elector._lifecycle.current.work.had_scope
    )
    began = time.monotonic()
    elector._lifecycle.shutdown.on_signal(ends_main_thread=False)
    working.result(PATIENCE)
    elector.stop(PATIENCE)
    assert time.monotonic() - began < 4.0
    assert holder(client) == ""


def test_start_that_fails_at_the_probe_leaves_no_elector_behind(front, monkeypatch):
    """Fault 08: who sees `start()` fail does not lead unknown to itself."""
    elector = front.elector(liveness=lambda: True)

    def fail(_probe):
        raise MemoryError("no thread")

    monkeypatch.setattr(Probe, "start", fail)
    with pytest.raises(MemoryError):
        elector.start()
    until(lambda: elector.state.role == "stopped")
