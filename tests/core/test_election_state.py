"""How an election waits, backs off, remembers and ends its terms."""

from __future__ import annotations

import gc
import itertools
import types

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import LeaderElectionError
from tests.core.harness import WALL, Hand
from tests.core.stories import L, R, T, keep_watching, reasons


def refuse(hand, seconds, **error):
    """Let time pass while each read and write fails at once; give their instants."""
    tries = []
    end = hand.clock.boottime + seconds
    while hand.clock.boottime < end:
        for request in hand.all_open(m.GetLease, m.UpdateLease):
            tries.append(hand.clock.boottime)
            hand.failed(request, **error)
        due = hand.core.next_deadline()
        wait = 0.1 if due is None else due - hand.clock.boottime
        hand.wait(max(0.0001, min(wait, end - hand.clock.boottime)))
    return tries


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.999])
def test_leader_whose_tries_fail_sends_no_burst_before_its_deadline(drawn):
    """Fault 24: no hot loop, and a try in the last half second all the same (G8)."""
    hand = Hand().lead()
    keep_watching(hand, R - 0.5)
    hand.draws = [drawn] * 1000
    tries = refuse(hand, L - R + 0.4999, status=503)
    assert 5 <= len(tries) <= 20
    assert hand.clock.boottime - tries[-1] < 0.5
    assert hand.leads
    hand.wait(0.001)
    assert reasons(hand) == ["renew_deadline"]


def test_leader_waits_as_long_as_it_is_told_but_leaves_time_for_a_try():
    """Fault 32: Retry-After is honoured, and never past the renew deadline."""
    hand = Hand().lead()
    keep_watching(hand, R)
    hand.failed(status=429, retry_after=1.5)
    assert not hand.all_open(m.UpdateLease)
    hand.wait(1.499)
    assert not hand.all_open(m.UpdateLease)
    hand.wait(0.002)
    hand.failed(status=429, retry_after=60.0)
    hand.wait(L - T - R - 1.6)
    assert not hand.all_open(m.UpdateLease)
    hand.wait(0.2)
    hand.written()
    assert hand.leads


def test_candidate_waits_as_long_as_it_is_told():
    """Fault 32: who leads nothing has no deadline to hurry for."""
    hand = Hand()
    hand.say(m.StartAsked())
    hand.failed(hand.read, status=429, retry_after=25.0)
    hand.wait(24.9)
    assert not hand.all_open(m.GetLease)
    hand.wait(0.2)
    assert hand.read
    assert hand.state is State.LOOKING


@pytest.mark.parametrize(
    ("asked", "longest"),
    [
        (60.0, 30.0),
        (999_999.0, 30.0),
        (float("inf"), 30.0),
        (float("nan"), 5.0),
        (-7.0, 5.0),
    ],
    ids=["a minute", "eleven days", "for ever", "no number", "less than nothing"],
)
@pytest.mark.parametrize("what", ["read", "write unknown", "write refused", "watch"])
def test_no_server_can_ask_to_wait_for_longer_than_30_s(what, asked, longest):
    """Fault 54: nobody leads for a minute, or for days, after four bad seconds."""
    hand = Hand()
    hand.say(m.StartAsked())
    if what == "read":
        hand.failed(hand.read, status=429, retry_after=asked)
    elif what == "watch":
        hand.rival_holds(duration=1000)
        hand.fetched()
        hand.watch_ends(status=503, retry_after=asked)
    else:
        hand.fetched()
        answer = hand.failed if what == "write refused" else hand.unknown
        answer(status=503, retry_after=asked)
    if longest == 30.0:
        hand.wait(29.0)
        assert not hand.all_open(m.GetLease, m.UpdateLease, m.CreateLease)
        hand.wait(1.1)
    else:
        hand.wait(longest)
    assert hand.all_open(m.GetLease, m.UpdateLease, m.CreateLease)


def test_server_may_ask_for_a_duration_where_that_is_longer():
    """Fault 54: 30 s or D, whichever is more."""
    hand = Hand(lease_duration=120)
    hand.say(m.StartAsked())
    hand.failed(hand.read, status=429, retry_after=999.0)
    hand.wait(119.0)
    assert not hand.all_open(m.GetLease)
    hand.wait(1.1)
    assert hand.read


@pytest.mark.parametrize("answer", ["unknown", "failed"])
def test_release_is_tried_again_whatever_a_server_asks(answer):
    """Faults 32 and 54, G7: the bounded time of a release has room for another try."""
    hand = Hand().lead()
    hand.say(m.StopAsked())
    hand.work_ends()
    getattr(hand, answer)(status=503, retry_after=60.0)
    hand.wait(2 * T + 0.1)
    if answer == "unknown":
        hand.fetched()
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""


def test_stop_does_not_wait_for_what_a_server_asked_before():
    """Faults 13 and 54: a read that was put off is made when the time is bounded."""
    hand = Hand().start()
    hand.commit()
    hand.unknown(status=503, retry_after=20.0)
    hand.wait(1.0)
    hand.say(m.StopAsked())
    hand.fetched()
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""


def test_work_that_returns_while_its_lease_is_released_changes_nothing():
    """G4: that the work ended may be said after all of it is known to be over."""
    hand = Hand().lead()
    hand.say(m.StopAsked())
    hand.work_ends()
    assert hand.state is State.RELEASING
    hand.say(m.EndAsked(term=hand.term))
    hand.written()
    assert hand.state is State.STOPPED


def test_engine_that_fails_while_it_releases_ends_the_term():
    """Fault 07: nothing is left of the term; what is said of it comes too late."""
    hand = Hand().lead()
    hand.say(m.StopAsked())
    hand.work_ends()
    hand.say(m.DriverFailed(error=LeaderElectionError("a defect")))
    assert hand.state is State.STOPPED
    hand.say(m.EndAsked(term=hand.term))
    assert not hand.open
    hand.start()
    assert hand.state is State.ACQUIRING, "its own ended term is free to it (rule 5)"


@pytest.mark.parametrize("drawn", [0.1, 0.5, 0.999])
def test_engine_that_fails_at_each_acquire_tries_less_and_less_often(drawn):
    """Fault 07: contending resumes with backoff, though reads work meanwhile."""
    hand = Hand()
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.draws = [drawn] * 5000
    hand.start()
    tries, end = 0, hand.clock.boottime + 60.0
    while hand.clock.boottime < end and tries < 1000:
        if hand.state is State.ACQUIRING:
            tries += 1
            hand.say(m.DriverFailed(error=LeaderElectionError("a defect")))
        if hand.all_open(m.GetLease):
            hand.fetched()
        due = hand.core.next_deadline()
        if hand.state is not State.ACQUIRING and due is not None:
            hand.wait(max(0.0001, due - hand.clock.boottime))
    assert 10 <= tries <= 50
    while hand.state is not State.ACQUIRING:
        assert hand.clock.boottime < end + 6.0
        hand.wait(0.1)
    hand.written()
    assert hand.state is State.LEADER


def test_own_renewal_that_is_heard_of_during_the_release_is_no_namesake():
    """Rule 5: what this term wrote is no other process, however late it is seen."""
    hand = Hand().lead()
    hand.wait(R)
    renewal = hand.only(m.UpdateLease)
    hand.commit(renewal)
    hand.say(m.StopAsked())
    hand.work_ends()
    assert hand.state is State.RELEASING
    hand.bring_all()
    assert not hand.events(m.ErrorOccurred)


def test_watch_is_tried_again_with_the_reads_when_everything_was_forbidden():
    """Fault 34: a role that was taken away and given back costs no five minutes."""
    hand = Hand()
    hand.rival_holds()
    hand.start()
    hand.watch_ends(status=403)
    hand.wait(0.1)
    hand.failed(hand.read)
    hand.wait(10.0)
    hand.fetched()
    hand.wait(5.0)
    assert hand.all_open(m.WatchLease)


@pytest.mark.parametrize(
    ("heard", "state"),
    [
        pytest.param(False, State.LEADER, id="nothing heard since: counted anew"),
        pytest.param(True, State.WAITING, id="newer news came first: overtaken"),
    ],
)
def test_answer_to_a_create_is_news_unless_something_was_heard_since(heard, state):
    """Fault 41: after a restore without the Lease versions count from lower on."""
    hand = Hand(draws=[0.0] * 10)
    hand.rival_holds()
    hand.start()
    hand.store.delete()
    hand.bring("DELETED", hand.store.history[-1][1])
    hand.wait(20.5)
    create = hand.only(m.CreateLease)
    metadata = {**create.lease["metadata"], "uid": "new", "resourceVersion": "3"}
    written = {**create.lease, "metadata": metadata}
    if heard:
        rival = {**written["spec"], "holderIdentity": "b"}
        later = {**metadata, "resourceVersion": "9999"}
        hand.bring(lease={**written, "spec": rival, "metadata": later})
    hand.say(m.LeaseWritten(request_id=create.request_id, lease=written))
    assert hand.state is state


@pytest.mark.parametrize("leads", [False, True], ids=["a candidate", "a leader"])
def test_writes_that_fail_while_reads_work_are_no_hot_loop(leads):
    """Fault 24: each GET that works would else bring the next PUT at once."""
    hand = Hand().lead() if leads else Hand().start()
    keep_watching(hand, R if leads else 0.0)
    written = 0
    end = hand.clock.boottime + 4.0
    while hand.clock.boottime < end:
        for request in hand.all_open(m.CreateLease, m.UpdateLease):
            hand.unknown(request, status=500)
            written += 1
        if hand.all_open(m.GetLease):
            hand.fetched()
        hand.wait(0.005)
    assert 4 <= written <= 16


@pytest.mark.parametrize("drawn", [0.0, 0.999])
def test_pauses_after_failures_grow_and_have_chance_in_them(drawn):
    """Fault 24: from a tenth of a second to five; no two electors beat in time."""
    hand = Hand(draws=[drawn] * 1000)
    hand.say(m.StartAsked())
    tries = refuse(hand, 60, status=503)
    pairs = itertools.pairwise(tries)
    pauses = [round(after - before, 6) for before, after in pairs]
    share = 0.5 + 0.5 * drawn
    assert pauses[:3] == pytest.approx(
        [0.2 * share, 0.4 * share, 0.8 * share], abs=0.01
    )
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(5.0 * share, abs=0.01)


def weight(core):
    """Count what a core keeps alive: everything that can be reached from it."""
    elsewhere = (type, types.ModuleType, types.FunctionType, types.MethodType)
    seen, todo = {}, [core]
    while todo:
        thing = todo.pop()
        if id(thing) not in seen and not isinstance(thing, elsewhere):
            seen[id(thing)] = thing
            todo += gc.get_referents(thing)
    return len(seen)


def lead_and_lose(hand):
    """Lead, be late, lead again, stop: two terms."""
    hand.store.edit(holderIdentity="")
    hand.lead()
    hand.wait(R)
    hand.unknown()
    hand.fetched()
    hand.wait(L - R)
    hand.fetched()
    hand.work_ends()
    hand.written()
    hand.say(m.StopAsked())
    hand.work_ends()
    hand.written()
    assert hand.state is State.STOPPED


def write_in_vain(hand):
    """Write on a free Lease, in the same life, and never hear what came of it."""
    if hand.state is State.STOPPED:
        hand.store.edit(holderIdentity="")
        hand.start()
    while not hand.all_open(m.UpdateLease):
        hand.wait(0.5)
    hand.unknown()
    hand.fetched()
    assert not hand.leads


@pytest.mark.slow
@pytest.mark.parametrize("live", [lead_and_lose, write_in_vain])
def test_core_keeps_nothing_of_thousands_of_terms_and_tries(live):
    """Fault 18: however often it led or tried to, a core is as large as before."""
    hand = Hand()

    def repeat(times):
        for _ in range(times):
            live(hand)
            hand.out.clear()
            hand.told.clear()
            hand.store.history.clear()

    repeat(100)
    before = weight(hand.core)
    repeat(1000)
    assert weight(hand.core) <= before


QUICK = {
    "lease_duration": 2,
    "renew_interval": 0.5,
    "renew_deadline": 1.5,
    "stop_budget": 0.2,
    "request_timeout": 0.5,
}
"""A rhythm in which R / 2 is a pause of next to nothing."""


def requests(hand, seconds):
    """Count what is sent in so much time while no answer comes."""
    before = len(hand.out)
    hand.wait(seconds)
    kinds = (m.GetLease, m.CreateLease, m.UpdateLease)
    return sum(isinstance(item, kinds) for item in hand.out[before:])


@pytest.mark.parametrize("acquiring", [False, True], ids=["looking", "acquiring"])
@pytest.mark.parametrize("drawn", [0.0, 0.999])
def test_candidates_thin_out_in_an_outage_that_outlasts_the_lease(drawn, acquiring):
    """Fault 44, fault 24: those who cannot be served in time do not keep it so."""
    hand = Hand(draws=[drawn] * 10_000, **QUICK)
    hand.say(m.StartAsked())
    if acquiring:
        hand.fetched()
        assert hand.state is State.ACQUIRING
    assert requests(hand, 2.0) >= 2, "eager, as long as it may be short"
    hand.wait(28.0)
    assert requests(hand, 60.0) <= 22
    healed = hand.clock.boottime
    while not hand.all_open(m.GetLease):
        hand.wait(0.1)
    assert hand.clock.boottime - healed <= 5.0
    hand.fetched()
    while not hand.all_open(m.CreateLease):
        hand.wait(0.1)
    assert hand.clock.boottime - healed <= 6.0
    hand.written()
    assert hand.leads


def test_candidate_is_eager_again_after_one_answer():
    """Fault 44: the next outage begins anew, with short pauses."""
    hand = Hand(**QUICK)
    hand.say(m.StartAsked())
    hand.wait(100.0)
    while not hand.all_open(m.GetLease):
        hand.wait(0.1)
    hand.rival_holds(duration=3600)
    hand.fetched()
    hand.watch_ends(error="reset")
    assert requests(hand, 2.0) >= 3


def test_term_without_a_token_is_told_of_once():
    """G3: a version that is no number is named; nobody takes None for "assumed"."""
    hand = Hand().start()
    for _ in range(2):
        put = hand.write
        lease = hand.store.put(put.lease)
        odd = {**lease["metadata"], "resourceVersion": "mark-7"}
        hand.store.lease = {**lease, "metadata": odd}
        hand.say(m.LeaseWritten(request_id=put.request_id, lease=hand.store.lease))
        (begun,) = [e for e in hand.told if isinstance(e, m.LeadershipAcquired)]
        assert begun.token_if_any is None
        errors = [str(e.error) for e in hand.events(m.ErrorOccurred)]
        hand.say(m.EndAsked(term=hand.term))
        hand.work_ends()
        hand.written()
        hand.events()
        hand.wait(0.1)
        if hand.term == 1:
            (told,) = errors
            assert "resourceVersion 'mark-7' is not a number" in told
            assert "no fencing token" in told
        else:
            assert not errors


def test_each_other_holder_is_told_once_by_name():
    """Who holds the Lease; None where nobody does; renewals alone are no news."""
    hand = Hand()
    seen = []

    def look():
        hand.bring_all()
        seen.extend(e.holder_identity for e in hand.events(m.LeaderChanged))

    hand.rival_holds("b")
    hand.start()
    for number, holder in enumerate(("b", "b", "c", "", "c"), 1):
        hand.rival_holds(holder, renewed=WALL + number)
        look()
    hand.store.delete()
    look()
    assert seen == ["b", "c", None, "c", None]


def test_own_leadership_is_told_by_name_as_anybodys():
    """Whoever shows who leads need not know who acquired it."""
    hand = Hand().start()
    hand.written()
    assert [e.holder_identity for e in hand.events(m.LeaderChanged)] == ["a"]


def test_work_that_ended_says_how():
    """The loss carries what was said of the end, as the exit code of a command."""
    hand = Hand().lead()
    hand.say(m.EndAsked(term=hand.term, detail="planted"))
    lost = hand.told[-1]
    assert (lost.reason, lost.detail) == ("work_ended", "planted")


def test_work_that_failed_stays_out_for_its_pause_whoever_leads():
    """Else two replicas whose work fails would go round in a hot loop."""
    hand = Hand().lead()
    failure = m.WorkFailure(stay_out=4.0, detail="planted")
    hand.say(m.EndAsked(term=hand.term, failure=failure))
    lost = hand.told[-1]
    assert (lost.reason, lost.detail) == ("work_failed", "planted")
    hand.work_ends()
    hand.written()
    assert hand.state is State.STANDING_BY
    hand.rival_holds()
    hand.bring_all()
    hand.store.edit(holderIdentity="")
    hand.bring_all()
    hand.wait(3.9)
    assert hand.state is State.STANDING_BY
    hand.wait(0.2)
    assert hand.state in {State.CONTENDING, State.ACQUIRING}


@pytest.mark.parametrize("first", ["the work fails", "step_down()"])
def test_pause_of_work_that_failed_and_step_down_cut_neither_short(first):
    """G7: it was shorter by whatever was said last, or over when another one led."""
    hand = Hand().lead()
    failure = m.EndAsked(
        term=hand.term, failure=m.WorkFailure(stay_out=4.0, detail="planted")
    )
    step_down = m.StepDownAsked(stay_out=2.0 if first == "the work fails" else 6.0)
    words = [failure, step_down]
    for word in words if first == "the work fails" else reversed(words):
        hand.say(word)
    hand.work_ends()
    hand.written()
    hand.wait(3.9)
    assert hand.state is State.STANDING_BY
    hand.wait(0.2)
    waits_on = first != "the work fails"
    assert (hand.state is State.STANDING_BY) is waits_on
    hand.wait(2.0)
    assert hand.state in {State.CONTENDING, State.ACQUIRING, State.LEADER}
