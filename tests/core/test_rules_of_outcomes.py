"""The rules of outcomes, loss and release (10 to 12), each by its sentence."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time
from kubernetes_leader_election.core.retry import Retry
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import MICROSECONDS
from tests.core.harness import WALL, Hand, settings
from tests.core.stories import D, L, R, T, candidate, held_by_b, keep_watching, reasons


@pytest.mark.parametrize("answer", ["unknown", "conflict"])
def test_rule_10_applied_write_is_found_by_its_stamp(answer):
    """Rule 10, fault 28, fault 30: "applied, counted from that try's send time"."""
    hand = Hand().lead()
    hand.wait(R)
    sent = hand.clock.boottime
    hand.commit()
    hand.clock.advance(1.0)
    getattr(hand, answer)()
    assert hand.read
    hand.fetched()
    assert len(hand.events(m.LeaseRenewed)) == 1
    assert hand.core.belief.boottime_deadline == sent + L


def test_rule_10_applied_whatever_the_resource_version():
    """Rule 10: "whatever the resourceVersion": labels may have been touched since."""
    hand = Hand().lead()
    hand.wait(R)
    hand.commit()
    hand.store.edit(metadata={"labels": {"x": "y"}})
    hand.conflict()
    hand.fetched()
    assert hand.leads
    hand.wait(R)
    assert hand.write.lease["metadata"]["labels"] == {"x": "y"}
    hand.written()
    assert len(hand.events(m.LeaseRenewed)) == 2


def test_rule_10_write_that_was_not_applied_is_tried_again_on_what_was_read():
    """Rule 10, fault 38: "try again on the snapshot just read"."""
    hand = Hand().lead()
    hand.wait(R)
    hand.unknown()
    hand.store.edit(metadata={"labels": {"x": "y"}})
    hand.fetched()
    hand.wait(0.5)
    metadata = dict(hand.write.lease["metadata"])
    del metadata["annotations"]  # the token, noted with the first renewal that lands
    assert metadata == hand.store.lease["metadata"]
    hand.written()
    assert hand.leads


def _another_holder(hand):
    hand.rival_holds()


def _another_uid(hand):
    lease = hand.store.delete()
    lease = {**lease, "metadata": {"name": "election", "namespace": "default"}}
    hand.store.put(lease)


def _gone(hand):
    hand.store.delete()


def _older_record_of_ours(hand):
    hand.store.restore(hand.first)


def _older_record_of_another(hand):
    hand.store.restore({**hand.first, "spec": held_by_b()})


@pytest.mark.parametrize("answer", ["unknown", "conflict"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(_another_holder, "another_holder", id="another holder"),
        pytest.param(_another_uid, "deleted", id="another uid"),
        pytest.param(_gone, "deleted", id="gone"),
        pytest.param(_older_record_of_ours, "another_holder", id="older, ours"),
        pytest.param(_older_record_of_another, "another_holder", id="older, not ours"),
    ],
)
def test_rule_10_anything_else_is_loss_at_once(answer, change, reason):
    """Rule 10, fault 36, fault 41: "an older record of ours or of anyone: lost, at once"."""
    hand = Hand().lead()
    hand.first = hand.store.lease
    hand.renew()
    keep_watching(hand, R)
    change(hand)
    getattr(hand, answer)()
    hand.fetched()
    assert reasons(hand) == [reason]
    assert not hand.leads


def test_rule_10_own_record_of_an_earlier_version_is_loss_at_once():
    """Rule 10, fault 41: "an older record of ours": its stamp is right, its past is not."""
    hand = Hand().lead()
    backup = hand.store.lease
    hand.store.edit(metadata={"labels": {"x": "y"}})
    hand.bring_all()
    assert hand.leads
    hand.store.restore(backup)
    hand.watch_ends(error="connection reset")
    hand.fetched()
    assert reasons(hand) == ["another_holder"]
    assert not hand.leads


def test_rule_10_answer_that_is_not_what_was_written_is_unknown():
    """Rule 10: something in between changed the record: read, and look for our stamp."""
    hand = Hand().start()
    lease = hand.commit()
    odd = {**lease, "spec": {**lease["spec"], "renewTime": format_time(5)}}
    hand.say(m.LeaseWritten(request_id=hand.write.request_id, lease=odd))
    assert hand.state is State.ACQUIRING
    assert not hand.leads
    hand.fetched()
    assert hand.leads


def test_rule_11_first_proof_of_loss_ends_the_term_at_once():
    """Rule 11: "From the instant a term ends no renewal of it is sent"."""
    hand = Hand().lead()
    hand.wait(R)
    write = hand.write
    hand.rival_holds()
    hand.bring_all()
    assert reasons(hand) == ["another_holder"]
    assert hand.state is State.FENCED
    assert m.AbandonRequest(request_id=write.request_id) in hand.out
    hand.out.clear()
    hand.wait(60)
    assert not [o for o in hand.out if isinstance(o, m.UpdateLease)]


@pytest.mark.parametrize("deleted", [False, True])
def test_rule_11_renewal_under_way_is_not_sent_once_a_release_finds_the_lease_lost(
    deleted,
):
    """Rule 11: "From the instant a term ends no renewal of it is sent"."""
    hand = Hand().lead()
    hand.wait(R)
    write = hand.write
    hand.say(m.StepDownAsked())
    hand.work_ends()
    assert hand.state is State.RELEASING
    if deleted:
        hand.store.delete()
    else:
        hand.rival_holds()
    hand.bring_all()
    assert hand.state is not State.RELEASING
    assert m.AbandonRequest(request_id=write.request_id) in hand.out


def test_rule_11_no_answer_revives_a_term():
    """Rule 11, fault 23: an answer that comes after the end changes nothing."""
    hand = Hand().lead()
    hand.wait(R)
    write = hand.write
    lease = hand.commit()
    hand.wait(L - R)
    assert reasons(hand) == ["renew_deadline"]
    hand.say(m.LeaseWritten(request_id=write.request_id, lease=lease))
    hand.fetched()
    assert hand.state is State.FENCED
    assert not hand.leads


def test_rule_11_old_news_prove_nothing():
    """Rule 11, fault 39: "News older than what is known proves nothing"."""
    hand = Hand()
    hand.rival_holds(renewed=WALL - 1)
    old = hand.store.lease
    hand.store.edit(holderIdentity="")
    hand.lead()
    hand.bring(lease=old)
    hand.bring("DELETED", lease=old)
    assert hand.leads
    assert not hand.events()


def test_rule_11_news_that_cannot_be_compared_are_asked_about():
    """Rule 11: "news that cannot be compared is asked about by a GET"."""
    hand = Hand().lead()
    lease = hand.store.lease
    odd = {**lease["metadata"], "resourceVersion": "x"}
    hand.bring(lease={**lease, "metadata": odd, "spec": held_by_b()})
    assert hand.leads
    hand.fetched()
    assert hand.leads


def test_rule_11_pending_stamp_in_a_watch_proves_success():
    """Rule 11: "A pending stamp of ours seen in a watch proves success"."""
    hand = Hand().lead()
    hand.wait(R)
    lease = hand.commit()
    hand.bring_all()
    assert len(hand.events(m.LeaseRenewed)) == 1
    hand.say(m.LeaseWritten(request_id=hand.write.request_id, lease=lease))
    assert not hand.events()
    assert hand.leads


def test_rule_11_acquire_is_proved_by_a_watch():
    """Rule 11: so does the stamp of an acquire whose answer is late."""
    hand = candidate(leaseDurationSeconds=3)
    keep_watching(hand, 3)
    lease = hand.commit()
    hand.bring_all()
    assert hand.leads
    hand.say(m.LeaseWritten(request_id=hand.write.request_id, lease=lease))
    assert len(hand.events(m.LeadershipAcquired)) == 1


def test_rule_11_read_that_was_overtaken_is_made_again():
    """Rules 10 and 11, fault 38: a read older than the watch's news decides nothing."""
    hand = Hand().lead()
    hand.wait(R)
    before = hand.store.lease
    hand.unknown()
    hand.commit(next(o for o in reversed(hand.out) if isinstance(o, m.UpdateLease)))
    hand.bring_all()
    assert len(hand.events(m.LeaseRenewed)) == 1
    hand.fetched(before)
    assert hand.leads
    assert not hand.events(m.LeadershipLost)


def test_rule_11_overtaken_404_is_asked_again_while_in_doubt():
    """Rule 11: what was not there before the watch saw it proves nothing."""
    hand = Hand().lead()
    hand.wait(R)
    hand.unknown()
    read = hand.read
    hand.store.edit(metadata={"labels": {"x": "y"}})
    hand.bring_all()
    hand.say(m.LeaseNotFound(request_id=read.request_id))
    assert hand.leads
    assert hand.read.request_id != read.request_id


def released(hand):
    """Stop, end the work, and give the releasing PUT."""
    hand.say(m.StopAsked())
    hand.work_ends()
    return hand.write


def test_rule_12_release_is_one_put_on_the_cached_snapshot():
    """Rule 12: "a duration of 1, fresh times, and keeps the transitions"."""
    hand = Hand().lead()
    hand.clock.advance(1)
    before = hand.store.lease
    put = released(hand)
    assert put.lease == {
        **before,
        "spec": {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": format_time(WALL + MICROSECONDS),
            "renewTime": format_time(WALL + MICROSECONDS),
            "leaseTransitions": 1,
        },
    }
    hand.written()
    assert hand.state is State.STOPPED
    assert not hand.open


@pytest.mark.parametrize("answer", ["unknown", "conflict"])
def test_rule_12_release_goes_on_while_the_record_is_this_very_term(answer):
    """Rule 12: "again only if the record is still this very term"."""
    hand = Hand().lead()
    released(hand)
    hand.store.edit(metadata={"labels": {"x": "y"}})
    getattr(hand, answer)()
    hand.fetched()
    hand.wait(0.5)
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""


def _released_it(hand):
    hand.store.edit(holderIdentity="")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_another_holder, id="another holder"),
        pytest.param(_another_uid, id="another uid"),
        pytest.param(_gone, id="gone"),
        pytest.param(_released_it, id="free already"),
    ],
)
@pytest.mark.parametrize("how", ["read", "watch"])
def test_rule_12_release_ends_when_the_record_is_another(change, how):
    """Rule 12, G5: nothing of somebody else's is released."""
    hand = Hand().lead()
    put = released(hand)
    change(hand)
    if how == "read":
        hand.conflict()
        hand.fetched()
    else:
        hand.bring_all()
    assert hand.state is State.STOPPED
    puts = [o for o in hand.out if isinstance(o, m.UpdateLease)]
    assert puts == [put]


def test_rule_12_release_ends_within_a_bounded_time():
    """Rule 12, fault 22: "within a bounded time"; the Lease runs out by itself then."""
    hand = Hand().lead()
    released(hand)
    hand.wait(3 * T - 0.01)
    assert hand.state is State.RELEASING, "there is time for another try"
    hand.wait(0.01)
    assert hand.state is State.STOPPED
    texts = [str(e.error) for e in hand.events(m.ErrorOccurred)]
    assert "could not be released in time" in texts[-1]
    assert not hand.open


def test_rule_12_release_is_not_tried_in_a_hot_loop():
    """Rule 12, fault 24: reads that work while writes do not bring no burst of them."""
    hand = Hand().lead()
    released(hand)
    tries = 1
    for _ in range(2000):
        if hand.state is State.STOPPED:
            break
        if hand.all_open(m.UpdateLease):
            tries += 1
            hand.unknown()
        elif hand.all_open(m.GetLease):
            hand.fetched()
        else:
            hand.wait(0.01)
    assert hand.state is State.STOPPED
    assert 3 <= tries <= 20


def test_rule_12_withdrawal_ends_within_a_bounded_time():
    """Rules 5 and 12, fault 13: so does finding out what an acquire did."""
    hand = Hand().start()
    hand.say(m.StopAsked())
    hand.wait(3 * T - 0.01)
    assert hand.state is State.WITHDRAWING, "there is time for another try"
    hand.wait(0.01)
    assert hand.state is State.STOPPED
    assert not hand.open


def test_rule_12_release_waits_for_the_renewal_under_way():
    """Rule 12: the snapshot is the one that the pending renewal leaves behind."""
    hand = Hand().lead()
    hand.wait(R)
    renewal = hand.write
    hand.say(m.StopAsked())
    hand.work_ends()
    assert hand.write is renewal
    hand.written()
    assert hand.write.lease["spec"]["holderIdentity"] == ""
    hand.written()
    assert hand.state is State.STOPPED


def test_rule_10_first_two_conflicts_are_read_at_once():
    """Rule 10, fault 31: a race costs no pause; from the third on there is one."""
    hand = Hand().start()
    for at_once in (True, True, False):
        hand.conflict()
        assert bool(hand.all_open(m.GetLease)) is at_once
        hand.wait(0.2)
        hand.fetched()


def test_rule_10_leader_whose_writes_always_conflict_tells_of_it_once():
    """Rule 10, G8: the term ends, and the log says why; reads alone look well."""
    hand = Hand().lead()
    for _ in range(1000):
        if hand.state is not State.LEADER:
            break
        if hand.all_open(m.UpdateLease):
            hand.conflict()
        elif hand.all_open(m.GetLease):
            hand.fetched()
        else:
            hand.wait(0.05)
    told = hand.events()
    (lost,) = (e for e in told if isinstance(e, m.LeadershipLost))
    assert lost.reason == "renew_deadline"
    (error,) = (str(e.error) for e in told if isinstance(e, m.ErrorOccurred))
    assert "3 writes in a row met a conflict (409)" in error


@pytest.mark.parametrize(("apart", "told"), [(D + 1.0, False), (1.0, True)])
def test_rule_10_conflicts_of_contests_far_apart_are_not_in_a_row(apart, told):
    """Fault 31: who loses one each hour reads at once, and a leader tells of its own."""
    retry = Retry(settings(), draw=lambda: 0.5)
    assert any(retry.count_conflict(number * apart) for number in range(1, 4)) is told
    assert retry.conflicts == (3 if told else 1)


def test_rule_10_conflicts_of_a_term_are_counted_from_its_beginning():
    """Rule 10: those of the contest before it are over, however it was won."""
    retry = Retry(settings(), draw=lambda: 0.5)
    retry.count_conflict(1.0)
    retry.count_conflict(2.0)
    retry.begin_term()
    assert not retry.count_conflict(3.0)


REFUSALS = (400, 401, 403, 404, 408, 422, 429)


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("how", ["watch", "next try", "read"])
def test_rule_10_renewal_that_was_refused_though_applied_is_found(status, how):
    """Rule 10, fault 55: "A stamp that is seen outweighs any status"."""
    hand = Hand().lead()
    hand.wait(R)
    sent = hand.clock.boottime
    hand.commit()
    hand.failed(status=status)
    if how == "watch":
        hand.bring_all()
    elif how == "next try":
        hand.wait(1.0)
        hand.written()
        hand.fetched()
    else:
        hand.watch_ends(error="connection reset")
        hand.fetched()
    assert not reasons(hand)
    assert hand.core.belief.boottime_deadline == sent + L


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("how", ["watch", "read"])
def test_rule_10_acquire_that_was_refused_though_applied_is_led(status, how):
    """Rule 10, fault 55, G8: it costs a round trip, and not a duration."""
    hand = Hand().start()
    sent = hand.clock.boottime
    hand.commit()
    hand.failed(status=status)
    if how == "watch":
        hand.bring_all()
    else:
        hand.fetched()
    assert hand.leads
    assert hand.core.belief.boottime_deadline == sent + L


def test_rule_10_acquire_that_lands_after_it_was_refused_is_found():
    """Rule 10, fault 55: what sends again may be slow; the stamp is known even then."""
    hand = Hand().start()
    late = hand.write
    hand.failed(status=408)
    hand.fetched()
    assert hand.state is State.CONTENDING
    hand.commit(late)
    hand.bring_all()
    hand.wait(1.0)
    hand.written()
    assert hand.leads


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("when", ["before the answer", "after it"])
def test_rule_10_stop_releases_an_acquire_that_was_refused_though_applied(status, when):
    """Rules 5 and 10, faults 13 and 55, G7: the Lease is not left held for D."""
    hand = Hand().start()
    hand.commit()
    if when == "before the answer":
        hand.say(m.StopAsked())
        hand.failed(status=status, retry_after=60.0)
        hand.wait(2 * T)
    else:
        hand.failed(status=status, retry_after=60.0)
        hand.wait(T)
        hand.say(m.StopAsked())
    hand.fetched()
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("answer", ["failed", "unknown", "conflict"])
def test_rule_10_read_from_before_the_doubt_decides_nothing(answer):
    """Rule 10, fault 13: it left before the write that it should tell of was applied."""
    hand = Hand().start()
    hand.watch_ends(error="connection reset")
    old = hand.read
    hand.say(m.StopAsked())
    hand.commit()
    getattr(hand, answer)()
    hand.say(m.LeaseNotFound(request_id=old.request_id))
    assert hand.state is State.WITHDRAWING
    hand.wait(0.1)
    hand.fetched()
    hand.written()
    assert hand.store.lease["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("how", ["watch", "next try"])
def test_rule_12_release_that_was_refused_though_applied_is_over(how):
    """Rule 12, fault 55: the Lease is free, whatever was answered."""
    hand = Hand().lead()
    released(hand)
    hand.commit()
    hand.failed(status=408)
    if how == "watch":
        hand.bring_all()
    else:
        hand.wait(1.0)
        hand.written()
        hand.fetched()
    assert hand.state is State.STOPPED


def test_rule_12_renewal_that_was_refused_though_applied_is_released():
    """Rule 12, fault 55: it is still "this very term"."""
    hand = Hand().lead()
    hand.wait(R)
    hand.commit()
    hand.failed(status=408)
    released(hand)
    hand.written()
    hand.fetched()
    hand.written()
    assert hand.state is State.STOPPED
    assert hand.store.lease["spec"]["holderIdentity"] == ""


def test_rule_10_refused_candidate_writes_less_and_less_often():
    """Rule 10, faults 24 and 34: its reads work, and are no reason for a hot loop."""
    hand = Hand().start()
    for _ in range(200):
        if hand.all_open(m.CreateLease):
            hand.failed(status=403)
        elif hand.all_open(m.GetLease):
            hand.fetched()
        else:
            hand.wait(0.1)
    puts = [o for o in hand.out if isinstance(o, m.CreateLease)]
    assert len(puts) < 2 * (hand.clock.boottime - 1000.0) + 5
    gets = [o for o in hand.out if isinstance(o, m.GetLease)]
    assert len(gets) <= len(puts) + 3
