"""The rules of observation (1 to 4), each by its sentence."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import MICROSECONDS
from kubernetes_leader_election.errors import LeaseApiError
from tests.core.harness import WALL, Hand
from tests.core.stories import (
    D,
    R,
    candidate,
    held_by_b,
    keep_watching,
    reasons,
    wait_in_full,
)


@pytest.mark.parametrize(
    "duration", [pytest.param(3, id="shorter"), pytest.param(60, id="longer")]
)
def test_rule_01_candidate_waits_the_records_own_duration(duration):
    """Rule 1, fault 21: "unchanged for the record's own duration", not for ours."""
    hand = candidate(leaseDurationSeconds=duration)
    wait_in_full(hand, duration)


@pytest.mark.parametrize(
    "renewed",
    [
        pytest.param(WALL - 86_400 * MICROSECONDS, id="a day ago"),
        pytest.param(WALL + 86_400 * MICROSECONDS, id="tomorrow"),
    ],
)
def test_rule_01_timestamps_of_others_are_compared_with_no_clock(renewed):
    """Rule 1, fault 20: "Timestamps written by others are compared with no clock"."""
    hand = candidate(renewTime=format_time(renewed))
    wait_in_full(hand)


def test_rule_01_each_renewal_restarts_the_wait():
    """Rule 1: "counted from after its first receipt": each change begins it anew."""
    hand = candidate()
    for second in (11, 22, 33):
        hand.wait(11)
        hand.store.edit(renewTime=format_time(WALL + second * MICROSECONDS))
        hand.bring_all()
    wait_in_full(hand)


def test_rule_02_labels_do_not_block_fail_over():
    """Rule 2: "a controller that touches labels must not block a fail-over"."""
    hand = candidate()
    for number in range(19):
        hand.wait(1)
        hand.store.edit(metadata={"labels": {"n": str(number)}})
        hand.bring_all()
    hand.wait(1)
    assert hand.state is State.ACQUIRING
    version = hand.store.lease["metadata"]["resourceVersion"]
    assert hand.write.lease["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(None, id="no spec"),
        pytest.param({}, id="empty spec"),
        pytest.param({"holderIdentity": ""}, id="empty holder"),
        pytest.param({"holderIdentity": None}, id="null holder"),
        pytest.param(
            {"holderIdentity": "", "leaseDurationSeconds": 1}, id="duration of 1"
        ),
        pytest.param({"holderIdentity": "", "renewTime": None}, id="null times"),
    ],
)
def test_rule_03_released_lease_is_free_at_once(spec):
    """Rule 3: "free at once, in every released form seen in the wild"."""
    hand = Hand()
    hand.store.edit(holderIdentity="b")
    hand.store.lease = {**hand.store.lease, "spec": spec}
    hand.start()
    assert hand.state is State.ACQUIRING
    hand.written()
    assert hand.leads


@pytest.mark.parametrize(
    ("own", "wait"),
    [pytest.param(5, 20, id="ours is shorter"), pytest.param(30, 30, id="longer")],
)
def test_rule_03_absent_duration_is_the_larger_of_ours_and_20(own, wait):
    """Rule 3: "An absent duration on a held Lease is the larger of ours and 20 s"."""
    hand = Hand(lease_duration=own)
    hand.store.edit(**held_by_b(leaseDurationSeconds=None))
    hand.start()
    hand.wait(wait - 0.001)
    assert hand.state is State.WAITING
    hand.wait(0.6)
    assert hand.state is State.ACQUIRING


def test_rule_03_odd_lease_is_data():
    """Rule 3, fault 37: "Anything odd is data, not an exception": it is waited for."""
    hand = Hand()
    spec = {"holderIdentity": ["b"], "leaseDurationSeconds": "x", "renewTime": 7}
    hand.store.edit(**spec)
    hand.start()
    assert hand.state is State.WAITING
    hand.wait(D)
    hand.written()
    assert hand.leads


def test_rule_04_missing_lease_is_waited_for_by_who_saw_it_held():
    """Rule 4, fault 36: "A missing Lease that was seen before starts a full wait"."""
    hand = candidate()
    hand.wait(5)
    hand.store.delete()
    hand.bring_all()
    wait_in_full(hand)
    assert isinstance(hand.write, m.CreateLease)


def test_rule_04_process_with_no_history_creates_at_once():
    """Rule 4: "A process with no history may create at once"."""
    hand = Hand().start()
    assert isinstance(hand.write, m.CreateLease)
    hand.written()
    assert hand.leads


def deleted_in_a_term():
    """Give an elector that was told of the deletion of the Lease that it led."""
    hand = Hand().lead()
    hand.store.delete()
    hand.bring_all()
    assert reasons(hand) == ["deleted"]
    assert hand.state is State.FENCED
    return hand


def test_rule_04_leader_creates_a_deleted_lease_once_its_work_has_ended():
    """Rule 4, G7: "creates it at once, when its work has ended"."""
    hand = deleted_in_a_term()
    hand.wait(1)
    assert not hand.all_open(m.CreateLease)
    hand.work_ends()
    assert isinstance(hand.write, m.CreateLease)
    hand.written()
    assert hand.leads
    assert hand.term == 2


def test_rule_04_deletion_after_a_write_in_doubt_is_of_its_own_lease():
    """Rule 4: what stood there bore the stamp of a try that was not proved yet."""
    hand = Hand().lead()
    hand.wait(R)
    hand.commit()
    hand.unknown()
    hand.bring("DELETED", lease=hand.store.delete())
    hand.work_ends()
    assert hand.state is State.ACQUIRING


def _read_finds_nothing():
    hand = Hand().lead()
    keep_watching(hand, R)
    hand.written()  # a term that never renewed has no such right anyway
    keep_watching(hand, R)
    hand.unknown()
    hand.store.delete()
    hand.fetched()
    return hand


def _another_held_it_last():
    hand = Hand().lead()
    hand.rival_holds()
    hand.bring("DELETED", lease=hand.store.delete())
    return hand


def _another_uid():
    hand = Hand().lead()
    lease = hand.store.delete()
    hand.bring(
        "DELETED", lease={**lease, "metadata": {**lease["metadata"], "uid": "x"}}
    )
    return hand


def _drains():
    hand = Hand().lead()
    hand.say(m.EndAsked(term=hand.term))
    hand.store.delete()
    hand.bring_all()
    return hand


def _another_came_and_went():
    hand = deleted_in_a_term()
    hand.rival_holds()
    hand.store.delete()
    hand.bring_all()
    return hand


def _read_finds_nothing_later():
    hand = deleted_in_a_term()
    hand.watch_ends(status=500)
    hand.wait(1)
    hand.fetched()
    return hand


def _watch_broke():
    hand = deleted_in_a_term()
    hand.watch_ends(status=500)
    return hand


def _steps_down():
    hand = deleted_in_a_term()
    hand.say(m.StepDownAsked(stay_out=0.0))
    return hand


def _stands_still():
    hand = deleted_in_a_term()
    hand.say(m.LivenessReported(alive=False))
    hand.say(m.LivenessReported(alive=True))
    return hand


def _driver_fails():
    hand = deleted_in_a_term()
    hand.say(m.DriverFailed(error=LeaseApiError("x")))
    return hand


@pytest.mark.parametrize(
    "happens",
    [
        _read_finds_nothing,
        _another_held_it_last,
        _another_uid,
        _drains,
        _another_came_and_went,
        _read_finds_nothing_later,
        _watch_broke,
        _steps_down,
        _stands_still,
        _driver_fails,
    ],
)
def test_rule_04_anything_else_is_waited_for_in_full(happens):
    """Rule 4: "From nothing else can it know that nobody believes"."""
    hand = happens()
    hand.out.clear()
    hand.work_ends()
    hand.wait(D - 2)
    assert not [o for o in hand.out if isinstance(o, m.CreateLease)]


def test_rule_04_stop_and_start_after_a_deletion_wait_in_full():
    """Rule 4: a life that ended takes no right into the next one."""
    hand = deleted_in_a_term()
    hand.say(m.StopAsked())
    hand.work_ends()
    hand.out.clear()
    hand.start()
    hand.wait(D - 2)
    assert not [o for o in hand.out if isinstance(o, m.CreateLease)]


def test_rule_04_create_in_doubt_is_not_repeated():
    """Rule 4: "one try": it may still be under way when others create the Lease."""
    hand = deleted_in_a_term()
    hand.work_ends()
    hand.unknown()
    hand.fetched()
    assert hand.state is State.WAITING
    hand.wait(D - 5)
    assert not hand.all_open(m.CreateLease)


def test_rule_04_lease_that_is_deleted_again_and_again_is_not_created_as_fast():
    """Rule 4, fault 24: a term that began so, and never renewed, has no such right."""
    hand = deleted_in_a_term()
    hand.work_ends()
    hand.written()
    hand.store.delete()
    hand.bring_all()
    hand.work_ends()
    assert hand.state is State.WAITING
    keep_watching(hand, D + 1)
    hand.written()
    keep_watching(hand, R)
    hand.written()
    hand.store.delete()
    hand.bring_all()
    hand.work_ends()
    assert hand.state is State.ACQUIRING


@pytest.mark.parametrize("status", [404, 403])
def test_rule_04_missing_namespace_is_never_free(status):
    """Rule 4, fault 35: "A 404 or 403 that speaks of the namespace is an error"."""
    hand = Hand()
    hand.say(m.StartAsked())
    hand.failed(hand.read, status=status)
    assert hand.state is State.LOOKING
    assert not hand.all_open(m.CreateLease)
    assert [e.error.status for e in hand.events(m.ErrorOccurred)] == [status]
    hand.wait(60)
    assert not hand.all_open(m.CreateLease)
