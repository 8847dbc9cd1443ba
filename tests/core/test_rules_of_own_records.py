"""The rule of one's own records (5), by its sentences."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import LeaseApiError
from tests.core.harness import WALL, Hand
from tests.core.stories import (
    D,
    L,
    R,
    candidate,
    held_by_b,
    keep_watching,
    reasons,
    wait_in_full,
)


def test_rule_05_own_identity_proves_nothing():
    """Rule 5, fault 43: "Own identity in the record proves nothing": the wait is full."""
    hand = candidate(holderIdentity="a")
    assert not hand.leads
    hand.wait(D - 0.001)
    assert hand.state is State.WAITING
    texts = [str(e.error) for e in hand.events(m.ErrorOccurred)]
    assert not any("identity" in t for t in texts), (
        "one that stands still is a former self"
    )
    hand.wait(0.002)
    assert hand.state is State.ACQUIRING


def test_rule_05_namesake_that_changes_is_reported_loudly_and_once():
    """Rule 5, fault 42: "one whose record changes is reported loudly"."""
    hand = candidate(holderIdentity="a")
    for second in (1, 2, 3):
        hand.store.edit(renewTime=format_time(WALL + second))
        hand.bring_all()
    (told,) = hand.events(m.ErrorOccurred)
    assert "same identity" in str(told.error)
    # Not the pod's name alone: several processes of one pod may contend.
    assert "name of its pod with its process id" in str(told.error)
    assert hand.state is State.WAITING
    assert not hand.leads


def test_rule_05_identities_are_compared_whole():
    """Fault 42: a holder whose name begins with ours is somebody else."""
    hand = candidate(holderIdentity="ab")
    hand.store.edit(renewTime=format_time(WALL + 1))
    hand.bring_all()
    assert not hand.events(m.ErrorOccurred)


def test_rule_05_namesake_deposes_as_any_rival_does():
    """Rule 5, fault 42: "recognised by the exact times that it stamped"."""
    hand = Hand().lead()
    hand.store.edit(renewTime=format_time(WALL + 5))
    hand.bring_all()
    assert reasons(hand) == ["another_holder"]
    assert not hand.leads


def test_rule_05_own_ended_term_is_free_once_its_work_has_ended():
    """Rule 5: an "own ended term" is "free to it once its work has ended"."""
    hand = Hand().lead()
    hand.wait(L)
    assert reasons(hand) == ["renew_deadline"]
    hand.fetched()
    assert hand.state is State.FENCED
    hand.wait(1)
    assert not hand.all_open(m.UpdateLease), "its work has not ended"
    hand.work_ends()
    assert hand.state is State.ACQUIRING
    hand.written()
    assert hand.leads
    assert [e.term for e in hand.events(m.LeadershipAcquired)] == [2]


@pytest.mark.parametrize(
    "status",
    [pytest.param(None, id="nothing is sent"), pytest.param(403, id="all is refused")],
)
@pytest.mark.parametrize("restarts", [False, True], ids=["goes on", "stop and start"])
def test_rule_05_own_ended_term_is_free_after_any_number_of_tries(status, restarts):
    """Rule 5: an "own ended term" is "free to it", however long the outage was."""
    hand = Hand().lead()

    def fail_for_a_second():
        for request in hand.all_open(m.UpdateLease, m.GetLease):
            hand.failed(request, status=status)
        hand.wait(1)

    while hand.state is not State.FENCED:
        fail_for_a_second()
    hand.work_ends()
    for _ in range(600):
        fail_for_a_second()
    if restarts:
        hand.say(m.StopAsked())
        while hand.state is not State.STOPPED:
            fail_for_a_second()
        hand.say(m.StartAsked())
    while not hand.all_open(m.GetLease):
        hand.wait(1)
    hand.store.edit(metadata={"labels": {"touched": "by hand"}})
    hand.fetched()
    assert hand.state is not State.WAITING
    hand.wait(5)
    for _ in range(3):  # of which some met a conflict
        for request in hand.all_open(m.UpdateLease):
            hand.written(request)
        for _ in hand.all_open(m.GetLease):
            hand.fetched()
        hand.wait(1)
    assert hand.leads


def test_rule_05_own_late_acquire_is_known_after_many_that_were_never_sent():
    """Rule 5: "or of its own late acquire, is free to it"."""
    hand = Hand().start()
    hand.commit()
    hand.failed()
    hand.failed(hand.read)
    tries = 0
    while tries < 100:
        for request in hand.all_open(m.CreateLease):
            hand.failed(request, status=None)
            tries += 1
        for request in hand.all_open(m.GetLease):
            hand.unknown(request)
        hand.wait(1)
    while not hand.all_open(m.GetLease):
        hand.wait(1)
    hand.fetched()
    assert hand.state is not State.WAITING


def test_rule_05_own_late_renewal_is_free_once_the_work_has_ended():
    """Rule 5: so is a renewal of the ended term that lands after it."""
    hand = Hand().lead()
    hand.wait(R)
    late = hand.write
    hand.wait(L - R)
    hand.commit(late)
    hand.fetched()
    hand.work_ends()
    assert hand.state is State.ACQUIRING


def test_rule_05_own_ended_term_in_another_lease_is_not_free():
    """Rule 5: a hand re-created the Lease with the very spec: another one by its uid."""
    hand = Hand().lead()
    spec = hand.store.lease["spec"]
    hand.wait(L)
    hand.store.delete()
    hand.store.edit(**spec)
    hand.fetched()
    hand.work_ends()
    wait_in_full(hand)


def test_rule_05_own_late_acquire_is_free():
    """Rule 5: a record with the stamp "of its own late acquire, is free to it"."""
    hand = Hand().start()
    late = hand.write
    hand.unknown()
    hand.fetched()
    hand.unknown()
    hand.fetched()
    assert hand.state is State.CONTENDING, "it lets a while pass after failed writes"
    hand.commit(late)
    hand.bring_all()
    hand.wait(1.0)
    assert hand.state is State.ACQUIRING
    hand.written()
    assert hand.leads


@pytest.mark.parametrize(
    ("holder", "rival", "restored"),
    [("b", None, None), ("a", None, None), ("b", "odd", None), ("b", None, "odd")],
    ids=[
        "numbers",
        "the rival is a namesake",
        "the rival's version is none",
        "the restored version is none",
    ],
)
def test_rule_05_own_old_record_is_not_free_after_another_held_the_lease(
    holder, rival, restored
):
    """Rule 5, fault 41, G1: "a write that another one's record overtook"."""

    def shown(version):
        lease = hand.store.lease
        named = {"resourceVersion": version} if version else {}
        return {**lease, "metadata": {**lease["metadata"], **named}}

    hand = Hand().lead()
    backup = hand.store.lease
    hand.wait(L)
    hand.rival_holds(holder, renewed=WALL + 7)
    hand.fetched(shown(rival))
    hand.work_ends()
    assert hand.state is State.WAITING
    hand.store.restore(backup)
    hand.watch_ends()
    hand.wait(1.0)
    hand.fetched(shown(restored))
    wait_in_full(hand)


def test_rule_05_acquire_proved_after_its_deadline_is_no_leadership():
    """Rule 5, fault 29: what landed so late that L is over only makes the Lease free."""
    hand = Hand().start()
    hand.commit()
    hand.unknown()
    hand.clock.advance(L)
    hand.fetched()
    assert not hand.events(m.LeadershipAcquired)
    assert hand.state is State.ACQUIRING
    hand.written()
    assert [e.term for e in hand.events(m.LeadershipAcquired)] == [1]
    assert hand.leads


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "answer lost"])
def test_rule_05_stop_during_an_acquire_releases_what_landed(answered):
    """Rule 5, fault 13: "A stop during an acquire releases what landed"."""
    hand = Hand().start()
    hand.say(m.StopAsked())
    assert hand.state is State.WITHDRAWING
    if answered:
        hand.written()
    else:
        hand.commit()
        hand.unknown()
        hand.fetched()
    assert hand.state is State.RELEASING
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""
    assert not hand.events(m.LeadershipAcquired, m.LeadershipLost)


def test_rule_05_stop_during_an_acquire_that_did_not_land_is_over_at_once():
    """Rule 5, fault 13: there is nothing to release then."""
    hand = Hand().start()
    hand.say(m.StopAsked())
    number = hand.write.request_id
    error = LeaseApiError("no connection", outcome="not done")
    hand.say(m.RequestFailed(request_id=number, error=error))
    assert hand.state is State.STOPPED
    assert not hand.open


@pytest.mark.parametrize("read", ["fetched", "failed", "unknown"])
def test_rule_05_stop_during_an_acquire_that_was_refused_looks_once(read):
    """Rule 5, fault 13: one read tells what was refused and never applied."""
    hand = Hand().start()
    hand.say(m.StopAsked())
    hand.failed()
    if read == "fetched":
        hand.fetched()
    else:
        getattr(hand, read)(hand.read)
    assert hand.state is State.STOPPED
    assert not hand.open


def _other_lease(hand):
    """Let b create the Lease and lead, then let it be deleted."""
    hand.store.edit(**held_by_b())
    hand.fetched()
    assert hand.state is State.WAITING
    hand.store.delete()


@pytest.mark.parametrize("heard", ["deletion", "nothing", "404"])
@pytest.mark.parametrize("stopped", [False, True], ids=["goes on", "stopped between"])
def test_rule_05_creating_write_that_lands_after_another_led_is_not_ours(
    heard, stopped
):
    """Rule 5, faults 29 and 36, G1: "a write that another one's record overtook"."""
    hand = Hand().start()
    late = hand.write
    if stopped:
        hand.say(m.StopAsked())
    hand.unknown()
    if stopped:
        hand.fetched()
        assert hand.state is State.STOPPED
        hand.say(m.StartAsked())
    _other_lease(hand)
    if heard == "deletion":
        hand.bring_all()
    elif heard == "404":
        hand.watch_ends(error="connection reset")
        hand.fetched()
    hand.commit(late)
    hand.bring_all()
    if hand.state is not State.WAITING:
        hand.fetched()
    wait_in_full(hand)


@pytest.mark.parametrize("stopped", [False, True], ids=["goes on", "stops meanwhile"])
@pytest.mark.parametrize("heard", ["read", "watch"])
@pytest.mark.parametrize("version", [50, 102, 500], ids=["older", "next", "newer"])
def test_rule_05_copy_of_an_own_acquire_under_another_uid_is_not_led(
    version, heard, stopped
):
    """Rule 5, fault 36, G1, G5: what we wrote is deleted, whatever stands in the copy."""
    hand = Hand()
    hand.store.edit(**held_by_b(holderIdentity=""))
    hand.start()
    hand.commit()
    copied = hand.store.lease["spec"]
    if stopped:
        hand.say(m.StopAsked())
    hand.store.lease, hand.store.version = None, version - 1
    hand.store.edit(**copied)
    assert hand.store.lease["metadata"]["uid"] == "u-2"
    if heard == "watch" and version > 101:
        hand.bring()
    hand.unknown()
    hand.fetched()
    assert not hand.events(m.LeadershipAcquired)
    assert not hand.all_open(m.UpdateLease), "nothing of that Lease is ours"
    if stopped:
        assert hand.state is State.STOPPED
    else:
        wait_in_full(hand)


def test_rule_05_acquire_that_comes_back_after_its_copy_was_seen_is_not_led():
    """Rule 5, fault 42, G1: a Lease under another uid shows that it was deleted."""
    hand = Hand()
    hand.store.edit(**held_by_b(holderIdentity=""))
    hand.start()
    hand.commit()
    original = hand.store.lease
    hand.store.lease = None
    hand.store.edit(**original["spec"])
    hand.bring()
    metadata = {**original["metadata"], "resourceVersion": "500"}
    hand.unknown()
    hand.fetched({**original, "metadata": metadata})
    assert not hand.leads
    wait_in_full(hand)


def test_rule_05_what_it_created_is_not_ours_after_its_copy_was_seen():
    """Rule 5, fault 42, G1: who creates a Lease knows its uid once it is seen there."""
    hand = Hand().start()
    hand.written()
    assert hand.leads
    created = hand.store.lease
    hand.store.lease = None
    hand.store.edit(**created["spec"])
    hand.bring_all()
    assert reasons(hand) == ["deleted"]
    hand.work_ends()
    assert hand.state is State.WAITING
    metadata = {**created["metadata"], "resourceVersion": "500"}
    hand.watch_ends(error="connection reset")
    hand.fetched({**created, "metadata": metadata})
    wait_in_full(hand)


def test_rule_05_acquire_that_another_overtook_is_not_led_when_it_lands():
    """Rule 5, fault 36, G1: nor while it is still waited for."""
    hand = Hand().start()
    hand.store.edit(**held_by_b())
    hand.bring_all()
    late = hand.write
    assert hand.state is State.ACQUIRING, "its own write is still under way"
    hand.store.delete()
    hand.bring_all()
    hand.written(late)
    assert not hand.leads
    assert not hand.events(m.LeadershipAcquired)


def test_rule_05_old_news_of_another_overtake_nothing():
    """Rule 5, fault 39, G8: a read that lags behind the base of a try proves nothing."""
    hand = candidate(leaseDurationSeconds=3)
    keep_watching(hand, 3)
    before = hand.store.lease
    hand.commit()
    hand.unknown()
    hand.fetched(before)
    assert not hand.leads
    hand.wait(1.0)
    assert hand.state is State.ACQUIRING
    hand.conflict()
    hand.fetched()
    assert hand.leads


def _sees(hand, what):
    if what == "rival":
        hand.rival_holds()
    elif what == "namesake":
        hand.rival_holds("a", renewed=WALL + 7)
    elif what == "free":
        hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    elif what == "another Lease":
        hand.store.delete()
        hand.store.edit(**held_by_b())
    else:
        hand.store.delete()


@pytest.mark.parametrize(
    "what", ["rival", "namesake", "free", "another Lease", "deletion"]
)
@pytest.mark.parametrize("when", ["while it leads", "after its term", "as it releases"])
def test_rule_05_own_record_that_a_backup_brought_back_is_not_free(what, when):
    """Rule 5, fault 41, G1: touched or not, "whatever its version"."""
    hand = Hand().lead()
    backup = hand.store.lease
    if when == "after its term":
        hand.wait(L)
        hand.fetched()
    elif when == "as it releases":
        hand.say(m.StopAsked())
        hand.work_ends()
    _sees(hand, what)
    hand.bring_all()
    if when == "as it releases":
        assert hand.state is State.STOPPED
        hand.say(m.StartAsked())
    else:
        hand.work_ends()
    version = hand.store.version
    hand.store.restore(backup)
    hand.store.version = version + 1000
    hand.store.edit(metadata={"labels": {"touched": "yes"}})
    if hand.all_open(m.WatchLease):
        hand.bring()
    else:
        hand.fetched()
    if hand.state is State.ACQUIRING:  # it was free or gone, and is taken already
        hand.conflict()
        hand.fetched()
    wait_in_full(hand)


@pytest.mark.parametrize("when", ["while it leads", "after its term"])
def test_rule_05_two_restores_in_a_row_give_nothing_back(when):
    """Rule 5, fault 41, G1: first a backup that is too old, then one that is newer."""
    hand = Hand()
    hand.rival_holds("")
    too_old = {**hand.store.lease, "spec": held_by_b()}
    hand.lead()
    newer = hand.store.lease
    if when == "after its term":
        hand.wait(L)
        hand.fetched()
        hand.work_ends()
        hand.conflict()
    hand.store.restore(too_old)
    if when == "while it leads":
        hand.watch_ends(error="connection reset")
        hand.wait(0.1)
    hand.fetched()
    if when == "while it leads":
        hand.work_ends()
    assert hand.state is State.WAITING
    hand.wait(0.2)
    hand.store.restore(newer)
    hand.bring()
    wait_in_full(hand)
