"""The rules of writing (6 to 9), each by its sentence."""

from __future__ import annotations

import re

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import (
    as_datetime,
    format_time,
    parse_time,
)
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import MICROSECONDS
from tests.core.harness import WALL, Hand
from tests.core.stories import D, L, R, T, candidate, keep_watching


def test_rule_06_acquire_writes_holder_duration_times_and_transitions():
    """Rule 6: "one PUT with the holder, our duration, both times now"."""
    hand = candidate(leaseDurationSeconds=3)
    hand.wait(3)
    assert hand.write.lease["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": D,
        "acquireTime": format_time(WALL + 3 * MICROSECONDS),
        "renewTime": format_time(WALL + 3 * MICROSECONDS),
        "leaseTransitions": 8,
    }
    metadata = hand.write.lease["metadata"]
    assert (metadata["uid"], metadata["resourceVersion"]) == ("u-1", "101")


def test_rule_06_acquire_times_of_namesakes_differ():
    """Rule 6: "the acquire time up to a second earlier, to tell namesakes apart"."""
    one, two = Hand(draws=[0.25]).start(), Hand(draws=[0.75]).start()
    times = [parse_time(h.write.lease["spec"]["acquireTime"]) for h in (one, two)]
    assert times == [WALL - 250_000, WALL - 750_000]


def test_rule_06_missing_lease_is_created_by_a_put():
    """Rule 6: "created by a PUT too, without resourceVersion and uid"."""
    hand = Hand().start()
    assert hand.write.lease["metadata"] == {"name": "election", "namespace": "default"}


def test_rule_06_slower_creator_reads_who_was_faster():
    """Rule 6, fault 31: 422 means that somebody was faster: the full wait begins."""
    hand = Hand().start()
    hand.rival_holds()
    hand.conflict()
    hand.fetched()
    assert hand.state is State.WAITING
    hand.wait(D - 0.001)
    assert not hand.all_open(m.UpdateLease)


def test_rule_06_renewal_is_one_put_and_no_get():
    """Rule 6: "one PUT on the cached object, with no GET before"."""
    hand = Hand().lead()
    acquired = hand.store.lease["spec"]["acquireTime"]
    for _ in range(5):
        hand.out.clear()
        keep_watching(hand, R)
        hand.written()
        hand.bring()
        (put,) = [o for o in hand.out if not isinstance(o, m.LeaseRenewed)]
        assert isinstance(put, m.UpdateLease)
    assert hand.store.lease["spec"]["acquireTime"] == acquired
    assert hand.store.lease["spec"]["leaseTransitions"] == 1


def test_rule_07_stamps_grow_when_the_wall_clock_steps_back():
    """Rule 7, fault 19: "our last stamp plus the time elapsed since"."""
    hand = Hand().lead()
    hand.clock.step_wall(-3600)
    hand.renew()
    after = parse_time(hand.store.lease["spec"]["renewTime"])
    assert after == WALL + round(R * MICROSECONDS)
    assert hand.leads


def test_rule_07_no_two_tries_are_byte_identical():
    """Rule 7: "a byte-identical PUT is a no-op for the server"."""
    hand = Hand().lead()
    hand.clock.advance(R)
    hand.tick()
    first = hand.write
    hand.failed()
    hand.wait(0.5)
    assert first.lease["spec"]["renewTime"] < hand.write.lease["spec"]["renewTime"]


def test_rule_08_times_on_the_wire_have_six_digits():
    """Rule 8, fault 52: "in UTC, with exactly six fractional digits and Z"."""
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    hand = Hand().lead().renew()
    hand.say(m.StopAsked())
    hand.work_ends()
    puts = [o for o in hand.out if isinstance(o, m.CreateLease | m.UpdateLease)]
    assert len(puts) == 3
    for put in puts:
        assert form.fullmatch(put.lease["spec"]["acquireTime"])
        assert form.fullmatch(put.lease["spec"]["renewTime"])


def test_rule_09_every_request_has_a_total_deadline():
    """Rule 9, fault 26: "Every request has a total deadline", then it is unknown."""
    hand = Hand()
    hand.say(m.StartAsked())
    assert hand.read.deadline == hand.clock.boottime + T
    hand.fetched()
    write = hand.write
    assert write.deadline == hand.clock.boottime + T
    hand.wait(T)
    assert m.AbandonRequest(request_id=write.request_id) in hand.out
    assert hand.read.deadline == hand.clock.boottime + T


def test_rule_09_request_that_took_too_long_is_told_with_its_time_and_the_option():
    """Rule 9: whoever has a slow webhook learns which option to raise, and how far."""
    hand = Hand()
    hand.say(m.StartAsked())
    hand.fetched()
    hand.wait(T)
    [error] = [o.error for o in hand.out if isinstance(o, m.ErrorOccurred)]
    assert f"writing it took longer than {T:.2f} s" in str(error)
    assert f"(request_timeout_sec={T:g})" in str(error)


def test_rule_09_request_that_hangs_costs_a_leader_less_than_its_budget():
    """Rule 9, fault 27: "R + 2T is at most L": there is room for a second try."""
    hand = Hand().lead()
    keep_watching(hand, R + T)
    assert hand.read.deadline == hand.clock.boottime + T / 2
    hand.fetched()
    assert hand.write.deadline == hand.clock.boottime + T
    hand.written()
    assert hand.leads


def test_rule_09_no_request_of_a_leader_outlives_its_belief():
    """Rule 9: "One request never owns the whole budget"."""
    hand = Hand().lead()
    hand.clock.advance(14.0)
    hand.tick()
    assert hand.write.deadline == pytest.approx(hand.clock.boottime + 1.0)


def test_rule_09_every_try_has_a_fresh_stamp_and_all_are_remembered():
    """Rule 9: "Every try has a fresh stamp, all tries of the term are remembered"."""
    hand = Hand().lead()
    hand.wait(R)
    first = hand.write
    hand.unknown()
    hand.fetched()
    hand.wait(0.5)
    assert hand.write.lease["spec"]["renewTime"] != first.lease["spec"]["renewTime"]
    hand.commit(first)
    hand.unknown()
    hand.fetched()
    (renewed,) = hand.events(m.LeaseRenewed)
    written = parse_time(first.lease["spec"]["renewTime"])
    assert renewed.renew_time == as_datetime(written)
    deadline = hand.core.belief.boottime_deadline
    assert deadline == 1000.0 + R + L, "counted from that try"
