"""Rule 14 where the leader's own record is cut short (fault 56)."""

from __future__ import annotations

import itertools

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import LeaderElectionError
from tests.core.harness import WALL, Hand
from tests.core.stories import (
    D,
    L,
    R,
    T,
    reasons,
)

RHO = 0.1


def longest(duration):
    """Give how long a leader may trust a record of this duration, with S = 1."""
    return (duration / (1 + RHO) - 1) * (1 - RHO)


def _answer_reads(hand):
    while hand.all_open(m.GetLease):
        hand.fetched()


def _until_it_writes(hand, *, by):
    """Answer all reads until a write is ordered, by that CLOCK_BOOTTIME at the latest."""
    while not hand.all_open(m.UpdateLease):
        assert hand.clock.boottime < by
        hand.wait(0.25)
        _answer_reads(hand)


@pytest.mark.parametrize("duration", [3, 5, 19, None], ids=str)
@pytest.mark.parametrize("draining", [False, True], ids=["leads", "drains"])
def test_rule_14_leader_goes_by_the_record_where_that_is_shorter(duration, draining):
    """Rule 14, fault 56, G2: "Where its own record is cut short"."""
    hand = Hand(lease_duration=60, renew_deadline=45.0, renew_interval=20.0).lead()
    if draining:
        hand.say(m.StopAsked())
    hand.clock.advance(7.0)
    seen = hand.clock.boottime
    hand.store.edit(leaseDurationSeconds=duration)
    hand.bring_all()
    assert hand.core.term_deadline.boottime_deadline == pytest.approx(
        min(seen - 7.0 + 45.0, seen + longest(duration or 20))
    )
    put = hand.write
    assert put.lease["spec"]["leaseDurationSeconds"] == 60, "put right at once"
    (error,) = hand.events(m.ErrorOccurred)
    assert f"is {duration or 20} on our own record, and should be 60" in str(
        error.error
    )
    hand.written()
    assert hand.core.term_deadline.boottime_deadline == seen + 45.0


def test_rule_14_edit_is_counted_from_when_it_was_first_seen():
    """Rule 14, fault 56, G2: to read it again pushes the deadline nowhere."""
    hand = Hand().lead()
    hand.store.edit(leaseDurationSeconds=5)
    hand.bring_all()
    ends = hand.core.belief.boottime_deadline
    hand.unknown()
    hand.wait(0.5)
    hand.fetched()
    assert hand.core.belief.boottime_deadline == ends
    assert hand.core.belief.boottime_deadline == pytest.approx(
        hand.clock.boottime - 0.5 + longest(5)
    )
    hand.store.edit(metadata={"labels": {"x": "y"}})
    hand.bring_all()
    assert hand.core.belief.boottime_deadline == ends
    hand.wait(longest(5))
    assert not hand.leads
    assert reasons(hand) == ["renew_deadline"]


def test_rule_14_edit_never_lengthens_a_belief():
    """Rule 14, fault 56: "A belief only ever shrinks by this", also by a longer duration."""
    hand = Hand().lead()
    ends = hand.core.belief.boottime_deadline
    hand.clock.advance(9.0)
    for duration in (19, 20, 60, 2**31 - 1):
        hand.store.edit(leaseDurationSeconds=duration)
        hand.bring_all()
        assert hand.core.belief.boottime_deadline <= ends


def test_rule_14_wall_clock_jump_is_allowed_for_less_under_a_short_record():
    """Rule 14, faults 4 and 56: a paused guest is found out by the record's D, too."""
    hand = Hand().lead()
    before = hand.core.belief
    hand.store.edit(leaseDurationSeconds=5)
    hand.bring_all()
    after = hand.core.belief
    assert after.wall_ahead_limit < before.wall_ahead_limit
    assert after.wall_deadline < before.wall_deadline
    assert after.monotonic_deadline < before.monotonic_deadline


def test_rule_14_leader_whose_record_is_too_short_to_stop_in_stops_at_once():
    """Rule 14, fault 56, G2: D'/(1 + rho) leaves nothing but the stop budget."""
    hand = Hand().lead()
    hand.store.edit(leaseDurationSeconds=1)
    hand.bring_all()
    assert not hand.leads
    (lost,) = hand.events(m.LeadershipLost)
    assert lost.reason == "renew_deadline"
    assert lost.detail == "the record was cut to 1 s, instead of 20 s"


def capped(hand, seconds):
    """Let a policy cap what is written, and answer the write with that."""
    put = hand.write
    spec = {**put.lease["spec"], "leaseDurationSeconds": seconds}
    lease = hand.store.put({**put.lease, "spec": spec})
    return hand.say(m.LeaseWritten(request_id=put.request_id, lease=lease))


def test_rule_14_leader_whose_every_write_is_capped_gives_up():
    """Rule 14, fault 56: "told once, and tried again every 30 s"."""
    hand = Hand().lead()
    hand.wait(R)
    capped(hand, 2)
    assert reasons(hand) == ["renew_deadline"]
    hand.fetched()
    hand.work_ends()
    for _ in range(3):
        assert hand.state is State.CONTENDING
        hand.wait(29.0)
        assert not hand.all_open(m.UpdateLease)
        hand.wait(1.1)
        _answer_reads(hand)
        capped(hand, 2)
    told = hand.events()
    assert not [e for e in told if isinstance(e, m.LeadershipAcquired)]
    errors = [str(e.error) for e in told if isinstance(e, m.ErrorOccurred)]
    assert not [e for e in errors if "on our own record" in e], "it was told once"
    hand.wait(30.1)
    _answer_reads(hand)
    hand.written()
    assert hand.leads, "the policy is gone"


def test_rule_14_candidate_whose_every_write_is_capped_does_not_begin_to_lead():
    """Rule 14, fault 56, G4: no term of two seconds, again and again."""
    hand = Hand().start()
    capped(hand, 2)
    assert hand.state is State.CONTENDING
    told = hand.events()
    assert not [e for e in told if isinstance(e, m.LeadershipAcquired)]
    (error,) = (str(e.error) for e in told if isinstance(e, m.ErrorOccurred))
    assert "Nobody can lead like that" in error
    assert "tried again every 30 s" in error


def test_rule_14_cap_that_leaves_time_to_renew_only_shortens_the_trust():
    """Rule 14, fault 56, G2: counted from when the capped write was sent."""
    hand = Hand().start()
    sent = hand.clock.boottime
    hand.clock.advance(0.5)
    capped(hand, 17)
    assert hand.leads
    assert hand.core.belief.boottime_deadline == pytest.approx(sent + longest(17))
    hand.wait(9.5)
    sent = hand.clock.boottime
    hand.clock.advance(0.5)
    capped(hand, 17)
    assert hand.core.belief.boottime_deadline == pytest.approx(sent + longest(17))
    assert len(hand.events(m.ErrorOccurred)) == 1


def test_rule_14_answer_that_comes_by_the_watch_is_looked_at_as_well():
    """Rule 14, fault 56: whoever brings the record, it counts from the write."""
    hand = Hand().start()
    sent = hand.clock.boottime
    put = hand.write
    spec = {**put.lease["spec"], "leaseDurationSeconds": 17}
    lease = hand.store.put({**put.lease, "spec": spec})
    hand.clock.advance(0.5)
    hand.bring_all()
    hand.say(m.LeaseWritten(request_id=put.request_id, lease=lease))
    assert hand.core.belief.boottime_deadline == pytest.approx(sent + longest(17))


def test_rule_14_constant_edits_are_no_reason_for_a_hot_loop():
    """Rule 14, faults 24 and 56: what puts the record right is paced when it fails."""
    hand = Hand(lease_duration=60, renew_deadline=45.0, renew_interval=20.0).lead()
    hand.store.edit(leaseDurationSeconds=39)
    hand.bring_all()
    for number in range(400):
        if hand.state is not State.LEADER:
            break
        if hand.all_open(m.UpdateLease):
            hand.store.edit(leaseDurationSeconds=40 + number % 2)
            hand.unknown()
        elif hand.all_open(m.GetLease):
            hand.fetched()
        else:
            hand.wait(0.05)
    puts = [o for o in hand.out if isinstance(o, m.UpdateLease)]
    assert 3 < len(puts) < 60


def edited_again_and_again(hand, durations, seconds, *, works=True, cap=D):
    """
    Let a controller edit the record right after each write; give when they were ordered.

    ``works``: it leads all that time. Else each of its terms is over at once.
    """
    orders, end = [], hand.clock.boottime + seconds
    while hand.clock.boottime < end:
        if hand.all_open(m.GetLease):
            hand.fetched()
        elif hand.all_open(m.UpdateLease) and hand.all_open(m.WatchLease):
            orders.append(hand.clock.boottime)
            assert len(orders) < 1000, "it writes as fast as the controller edits"
            capped(hand, cap)
            before = hand.core.belief
            if not durations:
                continue
            duration = durations[len(orders) % len(durations)]
            hand.store.edit(leaseDurationSeconds=duration)
            hand.bring_all()
            if works:
                cut = hand.clock.boottime + longest(duration)
                assert hand.core.belief.boottime_deadline == pytest.approx(
                    min(before.boottime_deadline, cut)
                ), "G2: rivals go by the edit from now on, whenever it is answered"
        else:
            hand.wait(0.01)
        assert hand.leads is works
        if hand.state is State.FENCED:
            hand.work_ends()
    return orders


@pytest.mark.parametrize("cap", [D, 18], ids=["alone", "under a policy"])
@pytest.mark.parametrize("durations", [(17,), (16, 17), (5,)], ids=str)
def test_rule_14_edits_again_and_again_are_answered_with_a_growing_pause(
    durations, cap
):
    """Rule 14, faults 24 and 56: at once the first time, then never in a hot loop."""
    hand = Hand().lead()
    hand.wait(R)
    orders = edited_again_and_again(hand, durations, 300, cap=cap)
    assert orders[1] - orders[0] < 0.02, "the first edit is put right at once"
    pauses = [b - a for a, b in itertools.pairwise(orders[1:])]
    grow = pauses[: next(i for i, x in enumerate(pauses) if x > 1.0)]
    assert grow == sorted(grow)
    left = min(L, longest(min(durations)))
    for pause in pauses[len(grow) + 3 :]:
        assert min(R, left / 2) - 0.02 < pause < left - T / 2
    assert len(hand.events(m.ErrorOccurred)) == 1, "it is told of once"
    # The controller is gone: after two renewals in peace all is as it was before.
    edited_again_and_again(hand, (), 45.0, cap=cap)
    hand.store.edit(leaseDurationSeconds=15)
    hand.bring_all()
    assert hand.write, "at once"
    # Under a policy it is no news that the record is short.
    assert len(hand.events(m.ErrorOccurred)) == (1 if cap == D else 0)


def test_rule_14_edits_that_end_each_term_are_no_reason_for_a_hot_loop_of_terms():
    """Rule 14, faults 24 and 56: who loses by an edit again and again tries seldom."""
    hand = Hand().lead()
    hand.store.edit(leaseDurationSeconds=1)
    hand.bring_all()
    hand.work_ends()
    began = hand.clock.boottime
    orders = edited_again_and_again(hand, (1,), 600, works=False)
    assert orders[0] - began < 0.1, "the first time at once"
    assert 8 < len(orders) < 40
    assert orders[-1] - orders[-2] > 29.0
    errors = [str(e.error) for e in hand.events(m.ErrorOccurred)]
    assert len([e for e in errors if "on our own record" in e]) == 1


def test_rule_14_longer_duration_costs_nobody_safety():
    """Rule 14, fault 37: rivals wait longer, and the next renewal puts it right."""
    hand = Hand().lead()
    ends = hand.core.belief.boottime_deadline
    hand.store.edit(leaseDurationSeconds=3600)
    hand.bring_all()
    assert hand.core.belief.boottime_deadline == ends
    assert not hand.all_open(m.UpdateLease)
    hand.wait(R)
    assert hand.write.lease["spec"]["leaseDurationSeconds"] == 20
    hand.written()
    assert not hand.events(m.ErrorOccurred)


@pytest.mark.parametrize(
    ("duration", "wait"), [(20, 0.1), (2, 26.0)], ids=["whole", "capped, too"]
)
@pytest.mark.parametrize("holder", ["b", "a"], ids=["another", "a namesake"])
def test_rule_14_pause_of_who_cannot_lead_ends_when_another_one_can(
    duration, wait, holder
):
    """Rule 14, fault 56, G7: a record that is whole shows that the policy is gone."""
    hand = Hand().start()
    capped(hand, 2)
    hand.wait(0.5)
    hand.rival_holds(holder, duration=duration, renewed=WALL + 7)
    hand.bring_all()
    hand.store.edit(holderIdentity="")
    hand.bring_all()
    hand.wait(wait)
    assert bool(hand.all_open(m.UpdateLease)) is (duration == 20)


def test_rule_14_cut_while_work_is_ending_hurries_it():
    """Rule 14, fault 56, G2: rivals go by it also after the term was lost by the clock."""
    hand = Hand().lead()
    before = hand.core.last_deadline
    hand.wait(L + 0.1)
    assert not hand.leads
    hand.store.edit(leaseDurationSeconds=1)
    hand.fetched()
    after = hand.core.last_deadline
    assert after.boottime_deadline <= before.boottime_deadline
    assert after.boottime_deadline + after.spare <= hand.clock.boottime + 1 / (1 + RHO)
    hand.work_ends()
    assert hand.core.last_deadline is None


def test_rule_14_leader_under_a_policy_does_not_renew_at_each_look():
    """Rule 14, faults 24 and 56, G9: what was like this already is no edit."""
    hand = Hand().start()
    capped(hand, 17)
    began = hand.clock.boottime
    for number in range(9):
        hand.wait(1.0)
        hand.bring_all()
        hand.store.edit(metadata={"labels": {"x": str(number)}})
        hand.bring_all()
        if hand.all_open(m.WatchLease):
            hand.watch_ends(status=410)
        _answer_reads(hand)
        assert not hand.all_open(m.UpdateLease), "nothing is due before R"
    hand.wait(began + R - hand.clock.boottime)
    assert hand.write


def _given_up(hand):
    """Let an acquire be refused, and the look for it fail: it contends again."""
    hand.start()
    put = hand.write
    hand.failed(put, status=408)
    hand.unknown(hand.read)
    assert hand.state is State.CONTENDING
    return put


def _unanswered_in_the_wait(hand):
    """Let a leader create its deleted Lease in vain: it waits for a missing one."""
    hand.lead().renew()
    hand.store.delete()
    hand.bring_all()
    hand.work_ends()
    hand.wait(0.1)
    put = hand.write
    hand.wait(T)
    assert hand.state is State.WAITING
    return put


@pytest.mark.parametrize("seek", [_given_up, _unanswered_in_the_wait])
@pytest.mark.parametrize(
    ("lasts", "edited", "pauses"),
    [
        pytest.param(2, False, True, id="cut"),
        pytest.param(D, False, False, id="whole"),
        pytest.param(D, True, False, id="edited"),
    ],
)
def test_rule_14_acquire_that_is_seen_cut_when_nobody_looks_for_it_keeps_out(
    seek, lasts, edited, pauses
):
    """Rule 14, fault 56, G9: it is not tried again at once, in whichever state."""
    hand = Hand(draws=[0.9] * 99)
    put = seek(hand)
    spec = {**put.lease["spec"], "leaseDurationSeconds": lasts}
    hand.seen = len(hand.store.history)
    hand.store.put({**put.lease, "spec": spec})
    seen = hand.clock.boottime
    hand.bring_all()
    if edited:
        hand.store.edit(leaseDurationSeconds=2)
        hand.bring_all()
    assert not hand.all_open(m.UpdateLease)
    for _ in range(160):
        _answer_reads(hand)
        if hand.all_open(m.UpdateLease):
            break
        hand.wait(0.25)
    assert (hand.clock.boottime - seen >= 29.9) is pauses


def _put_cut(hand, put, lasts):
    """Let a policy cut what is written to so many seconds, and the watch bring it."""
    hand.seen = len(hand.store.history)
    spec = {**put.lease["spec"], "leaseDurationSeconds": lasts}
    hand.store.put({**put.lease, "spec": spec})
    hand.bring_all()


def test_rule_14_acquire_that_was_seen_cut_is_not_led_when_it_is_made_longer():
    """Rule 14, fault 56, G2: who saw it before waits for less, and may hear of no more."""
    hand = Hand().start()
    put = hand.write
    _put_cut(hand, put, 2)
    assert hand.state is State.ACQUIRING
    hand.store.edit(leaseDurationSeconds=D)
    hand.bring_all()
    assert not hand.leads
    hand.say(m.LeaseWritten(request_id=put.request_id, lease=hand.store.lease))
    assert not hand.leads
    _until_it_writes(hand, by=1036.0)
    hand.written()
    assert hand.leads


@pytest.mark.parametrize("lasts", [2, 17], ids=["too short", "cut"])
@pytest.mark.parametrize("before", ["nothing", "whole"])
def test_rule_14_acquire_that_was_seen_cut_while_another_was_due_is_not_led(
    lasts, before
):
    """Rule 14, fault 56, G2: it stands there still when the next one is under way."""
    hand = Hand(draws=[0.9] * 99)
    put = _given_up(hand)
    if before == "whole":
        _put_cut(hand, put, D)
        hand.store.edit(leaseDurationSeconds=lasts)
        hand.bring_all()
    else:
        _put_cut(hand, put, lasts)
    hand.store.edit(leaseDurationSeconds=D)
    hand.bring_all()
    hand.wait(1.0)
    if hand.state is State.ACQUIRING:
        hand.store.edit(metadata={"labels": {"x": "y"}})
        hand.bring_all()
    assert not hand.leads


def _answer(hand, put):
    """Answer a write that the watch has shown already."""
    hand.say(m.LeaseWritten(request_id=put.request_id, lease=hand.store.lease))


@pytest.mark.parametrize("how", ["in doubt", "answered", "refused before it was sent"])
def test_rule_14_acquire_that_was_seen_cut_is_given_back_by_a_stop(how):
    """Rules 5 and 14, G7: it is no proof, and its own all the same."""
    hand = Hand().start()
    put = hand.write
    _put_cut(hand, put, 2)
    if how == "refused before it was sent":
        _answer(hand, put)
        _until_it_writes(hand, by=hand.clock.boottime + 40.0)
        put = hand.write  # the next try, on the record that was cut
    hand.say(m.StopAsked())
    assert hand.state is State.WITHDRAWING
    match how:
        case "in doubt":
            hand.unknown(put)
            hand.fetched()
        case "answered":
            _answer(hand, put)
        case _:
            hand.failed(put, status=None)
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("asked", ["after it was seen", "before it was seen"])
def test_rule_14_who_cannot_lead_keeps_its_pause_when_it_gives_an_acquire_back(asked):
    """Rule 14, fault 56, G9: the release is not put off by it, the next acquire is."""
    hand = Hand().start()
    put = hand.write
    if asked == "before it was seen":
        hand.say(m.StepDownAsked(stay_out=1.0))
    _put_cut(hand, put, 2)
    seen = hand.clock.boottime
    if asked == "after it was seen":
        hand.say(m.StepDownAsked(stay_out=1.0))
        assert hand.state is State.WITHDRAWING
    hand.unknown(put)
    hand.fetched()
    hand.written()
    assert hand.store.lease["spec"]["holderIdentity"] == ""
    assert hand.state is State.STANDING_BY
    _until_it_writes(hand, by=seen + 40.0)
    assert hand.clock.boottime >= seen + 29.9


def test_rule_14_acquire_that_lands_cut_after_it_was_withdrawn_keeps_out():
    """Rule 14, fault 56, G9: who stands by learns from it that it cannot lead, too."""
    hand = Hand().start()
    put = hand.write
    hand.say(m.StepDownAsked(stay_out=1.0))
    hand.unknown(put)
    hand.fetched()
    assert hand.state is State.STANDING_BY
    _put_cut(hand, put, 2)
    seen = hand.clock.boottime
    _until_it_writes(hand, by=seen + 40.0)
    assert hand.clock.boottime >= seen + 29.9


def _unanswered(hand, put):
    hand.unknown(put)


def _too_late(hand, put):
    hand.wait(T)


def _refused(hand, put):
    hand.failed(put, status=409 - 1)


def _of_a_driver_that_failed(hand, put):
    hand.say(m.DriverFailed(error=LeaderElectionError("a defect")))


@pytest.mark.parametrize(
    "end", [_unanswered, _too_late, _refused, _of_a_driver_that_failed]
)
def test_rule_14_who_cannot_lead_keeps_its_pause_whatever_becomes_of_its_write(end):
    """Rule 14, fault 56, G9: the watch showed the cut, then the write was in doubt."""
    hand = Hand().start()
    put = hand.write
    spec = {**put.lease["spec"], "leaseDurationSeconds": 2}
    hand.store.put({**put.lease, "spec": spec})
    hand.bring_all()
    paused = hand.clock.boottime
    hand.store.edit(holderIdentity="")  # so that no look shows the cut again
    end(hand, put)
    while hand.clock.boottime < paused + 29.5:
        hand.wait(0.25)
        _answer_reads(hand)
        assert hand.all_open(m.UpdateLease, m.CreateLease) in ([], [put])
    _until_it_writes(hand, by=paused + 36.0)
    hand.written()
    assert hand.leads


def _met_a_conflict(hand, put):
    hand.store.edit(metadata={"labels": {"x": "y"}})
    assert hand.write is put
    hand.conflict()


@pytest.mark.parametrize("end", [_unanswered, _too_late, _refused, _met_a_conflict])
def test_rule_14_who_cannot_lead_does_not_pause_for_the_same_cut_again(end):
    """Rules 10 and 14, G7: a try that fails says nothing of what a policy would do."""
    hand = Hand().start()
    capped(hand, 2)
    hand.wait(30.1)
    _answer_reads(hand)
    end(hand, hand.write)
    _answer_reads(hand)  # which shows the acquire that was cut before
    failed = hand.clock.boottime
    _until_it_writes(hand, by=failed + 6.0)
    hand.written()
    assert hand.leads, "the policy is gone"
