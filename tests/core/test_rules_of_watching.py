"""The rule of the watch (16), by its sentences."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from tests.core.harness import Hand
from tests.core.stories import (
    D,
    R,
    T,
    bookmark,
    candidate,
    held_by_b,
    keep_watching,
    reasons,
)

# The watch --------------------------------------------------------------------


def test_rule_16_watch_begins_where_the_read_ended():
    """Rule 16: "from the last resourceVersion"."""
    hand = candidate()
    assert hand.watch.resource_version == str(hand.store.version)


def test_rule_16_watch_goes_on_from_a_bookmark_after_a_clean_end():
    """Rule 16: "with bookmarks": what a bookmark said is not brought again."""
    hand = candidate()
    hand.wait(2)
    hand.store.version += 50
    bookmark(hand)
    hand.out.clear()
    hand.watch_ends()
    assert hand.watch.resource_version == str(hand.store.version)
    assert not hand.all_open(m.GetLease)


def test_rule_16_leader_watches_too():
    """Rule 16, fault 36: "Leaders watch too": a deletion is seen at once."""
    hand = Hand().lead()
    assert hand.watch
    hand.store.delete()
    hand.bring_all()
    assert reasons(hand) == ["deleted"]


def test_rule_16_event_of_a_watch_expires_nothing():
    """Rule 16: "the timer decides expiry": no news of a held Lease makes it free."""
    hand = candidate()
    for _ in range(D - 1):
        hand.wait(1)
        bookmark(hand)
        assert hand.state is State.WAITING


def _error_in_the_stream(hand):
    hand.bring("ERROR", {"kind": "Status", "code": 410})


def _unknown_type(hand):
    hand.bring("SURPRISE")


def _gone(hand):
    hand.watch_ends(status=410)


def _reset(hand):
    hand.watch_ends(error="connection reset")


def _clean_but_at_once(hand):
    hand.watch_ends()


@pytest.mark.parametrize(
    "oddity",
    [
        pytest.param(_error_in_the_stream, id="ERROR in a 200 stream"),
        pytest.param(_unknown_type, id="a type that nobody knows"),
        pytest.param(_gone, id="410"),
        pytest.param(_reset, id="connection reset"),
        pytest.param(_clean_but_at_once, id="ends as soon as it began"),
    ],
)
def test_rule_16_oddity_closes_reads_and_watches_again(oddity):
    """Rule 16, fault 40: "Any oddity in a stream: close, GET, watch again"."""
    hand = candidate()
    first = hand.watch.request_id
    oddity(hand)
    assert not hand.all_open(m.WatchLease)
    hand.fetched()
    hand.wait(1)
    assert hand.watch.request_id > first


def test_rule_16_broken_watches_are_opened_with_backoff():
    """Rule 16, fault 24: "with backoff": no hot loop of watches that end at once."""
    hand = candidate(leaseDurationSeconds=600)
    opened = 0
    end = hand.clock.boottime + 60
    while hand.clock.boottime < end:
        if hand.all_open(m.WatchLease):
            opened += 1
            hand.watch_ends(error="connection reset")
        if hand.all_open(m.GetLease):
            hand.fetched()
        hand.wait(0.01)
    assert 5 < opened < 40


def test_rule_16_silent_watch_is_replaced_beside_the_timer():
    """Rule 16, fault 25: "A watch that brought nothing for 0.6 to 0.7 of the holder's D"."""
    hand = candidate()
    first = hand.watch.request_id
    hand.wait(0.6 * D - 0.001)
    assert hand.watch.request_id == first
    hand.wait(0.1 * D + 0.002)
    assert m.AbandonRequest(request_id=first) in hand.out
    hand.fetched()
    assert hand.watch.request_id > first
    hand.wait(0.3 * D)
    assert hand.state is State.ACQUIRING, "the timer ran on"


def test_rule_16_long_duration_is_no_reason_to_trust_a_silent_watch():
    """Rule 16: "Where the holder's D is longer than 600 s and than the own D"."""
    for duration in (601, 2**31 - 1):
        hand = candidate(leaseDurationSeconds=duration)
        first = hand.watch.request_id
        hand.wait(0.6 * D - 0.001)
        assert hand.watch.request_id == first
        hand.wait(0.1 * D + 0.002)
        assert m.AbandonRequest(request_id=first) in hand.out


@pytest.mark.parametrize(
    ("duration", "settings"),
    [(600, {}), (1200, {"lease_duration": 1200, "renew_deadline": 800})],
    ids=["holder's", "own"],
)
def test_rule_16_duration_that_people_choose_is_the_measure(duration, settings):
    """Rule 16, G9: "0.6 to 0.7 of the holder's D", up to 600 s and up to the own D."""
    hand = candidate(hand=Hand(**settings), leaseDurationSeconds=duration)
    first = hand.watch.request_id
    hand.wait(0.6 * duration - 0.001)
    assert hand.watch.request_id == first


def _contend_and_read(hand):
    """Let the watch show a free Lease; the write meets a 409, so what is there is read."""
    hand.wait(0.1)
    hand.conflict()
    hand.fetched()


def _seen_free(hand):
    """Give the Lease as it was held, and let the watch show that it is free now."""
    before = hand.store.lease
    hand.store.edit(holderIdentity="")
    hand.bring_all()
    return before


def _candidate_reads_an_older_version(hand):
    hand.store.edit(metadata={"labels": {"touched": "once"}})  # brought, as is the rest
    before = _seen_free(hand)
    hand.store.restore(before)
    _contend_and_read(hand)


def _candidate_reads_what_its_watch_began_after(hand):
    hand.wait(2)
    before = hand.store.lease
    hand.store.edit(holderIdentity="")
    hand.bring_all()
    hand.watch_ends()  # and the next one is opened from the version of the release
    hand.store.restore(before)
    _contend_and_read(hand)


def _candidate_reads_that_there_is_none(hand):
    _seen_free(hand)
    hand.store.lease, hand.store.version = None, 7
    _contend_and_read(hand)


def _candidate_reads_what_a_bookmark_has_passed(hand):
    _seen_free(hand)
    hand.store.version += 1
    bookmark(hand)  # which is of the very version that is written next
    hand.store.version -= 1
    hand.store.edit(**held_by_b(leaseTransitions=8))
    _contend_and_read(hand)


def _candidate_creates_it_anew(hand):
    hand.store.delete()
    hand.bring_all()
    hand.store.version = 7
    hand.wait(D + 1)
    hand.written()


def _leader_reads_an_older_version(hand):
    _seen_free(hand)
    hand.wait(0.1)
    hand.written()
    before = hand.store.lease
    hand.renew()
    hand.bring(lease=hand.store.lease)
    hand.store.restore(before)
    hand.wait(R)
    hand.conflict()
    hand.fetched()
    assert reasons(hand) == ["another_holder"]


@pytest.mark.parametrize(
    "shows",
    [
        pytest.param(_candidate_reads_an_older_version, id="an older version"),
        pytest.param(
            _candidate_reads_what_its_watch_began_after, id="opened from more"
        ),
        pytest.param(_candidate_reads_that_there_is_none, id="no Lease"),
        pytest.param(_candidate_reads_what_a_bookmark_has_passed, id="a bookmark"),
        pytest.param(_candidate_creates_it_anew, id="the answer to a creation"),
        pytest.param(_leader_reads_an_older_version, id="a leader"),
    ],
)
def test_rule_16_watch_that_has_passed_what_is_seen_is_replaced_at_once(shows):
    """Rule 16, fault 41: "A watch that has passed what a read or an answer shows"."""
    hand = candidate()
    watch = hand.watch.request_id
    shows(hand)
    stored = hand.store.lease
    assert hand.watch.request_id > watch
    expected = stored["metadata"]["resourceVersion"] if stored else "0"
    assert hand.watch.resource_version == expected
    reopened = hand.watch.request_id
    hand.wait(0.5)
    assert hand.watch.request_id == reopened, "once, and not again"


def test_rule_16_watch_that_lags_or_has_heard_bookmarks_is_kept():
    """Rule 16: what a watch may still bring, or what was known before, is no reason."""
    hand = candidate()
    watch = hand.watch
    _seen_free(hand)
    hand.store.edit(metadata={"labels": {"touched": "once"}})
    _contend_and_read(hand)  # newer than what the watch has brought
    assert hand.watch is watch
    hand.store.version += 50
    bookmark(hand)
    hand.wait(2)
    hand.conflict()
    hand.fetched()  # the version that was known, though the watch has come further
    assert hand.watch is watch


def test_rule_16_watch_is_kept_when_a_read_is_overtaken():
    """Rule 11, rule 16: it shows what was there before the newest that the watch brought."""
    hand = candidate()
    watch = hand.watch
    before = _seen_free(hand)
    hand.wait(0.1)
    hand.conflict()
    hand.store.edit(**held_by_b(leaseTransitions=8))
    hand.bring_all()
    hand.fetched(before)
    assert hand.watch is watch


def test_rule_16_watch_that_broke_is_opened_with_backoff_whatever_a_read_shows():
    """Rule 16, fault 24: "with backoff": only an open watch is replaced at once."""
    hand = candidate(leaseDurationSeconds=600)
    for _ in range(4):
        hand.watch_ends(error="connection reset")
        hand.wait(2)
        hand.fetched()
        hand.wait(6)
    hand.watch_ends(error="connection reset")
    hand.wait(5)
    hand.store.lease, hand.store.version = None, 7
    hand.fetched()
    assert not hand.all_open(m.WatchLease)
    hand.wait(6)
    assert hand.watch.resource_version == "0"


def test_rule_16_many_candidates_do_not_replace_their_watches_at_once():
    """Rule 16: "each candidate has its own share, so that a thousand do not ask at once"."""
    silent = set()
    for number in range(100):
        hand = candidate(hand=Hand(identity=f"candidate-{number}"))
        began = hand.clock.now().boottime
        silent.add(round((hand.core.next_deadline() - began) / D, 2))
    assert min(silent) >= 0.6
    assert max(silent) <= 0.7
    assert len(silent) > 8


def test_rule_16_where_no_watch_is_permitted_the_lease_is_polled():
    """Rule 16, fault 34: "Where watching is not permitted: poll, and say so once"."""
    hand = candidate()
    hand.watch_ends(status=403)
    reads, second = 0, 0
    while second < 60:
        if hand.all_open(m.GetLease):
            reads += 1
            hand.fetched()
        if hand.all_open(m.UpdateLease):
            hand.written()
        hand.wait(1)
        second += 1
    assert 6 < reads <= 31
    assert not hand.all_open(m.WatchLease)
    statuses = [e.error.status for e in hand.events(m.ErrorOccurred)]
    assert statuses == [403]


def polls_on(hand):
    """Tell whether reads go on, whatever the state that was reached."""
    reads = 0
    for _ in range(20):
        if hand.all_open(m.GetLease):
            reads += 1
            hand.fetched()
        hand.wait(1)
    return reads > 2


def test_rule_16_polling_goes_on_after_a_write_that_came_too_late():
    """Rule 16, fault 34: the read that ended an acquire is followed by others."""
    hand = candidate()
    hand.watch_ends(status=403)
    hand.fetched()
    hand.store.edit(holderIdentity="")
    hand.wait(2)
    hand.fetched()
    hand.wait(1)
    assert hand.state is State.ACQUIRING
    hand.store.edit(holderIdentity="c")
    hand.conflict()
    hand.fetched()
    assert hand.state is State.WAITING
    assert polls_on(hand)


def test_rule_16_polling_begins_when_a_leader_comes_to_its_end():
    """Rule 16, fault 34: who has just released reads, too, where it may not watch."""
    hand = Hand().lead()
    hand.watch_ends(status=403)
    hand.fetched()
    hand.say(m.StepDownAsked(stay_out=100.0))
    hand.work_ends()
    hand.written()
    assert hand.state is State.STANDING_BY
    assert polls_on(hand)


def test_rule_16_watch_is_opened_again_once_reads_are_permitted_again():
    """Rule 16, fault 34: a read that is forbidden, too, says nothing of watching."""
    hand = candidate()
    hand.watch_ends(status=403)
    hand.fetched()
    hand.wait(2)
    hand.failed(hand.read, status=403)
    hand.wait(5)
    hand.fetched()
    hand.wait(1)
    assert hand.all_open(m.WatchLease)


def test_rule_16_watch_that_is_refused_again_is_not_told_again():
    """Rule 16, fault 34: "say so once": it is tried again every five minutes."""
    hand = candidate()
    refused = 0
    for _ in range(700):
        if hand.all_open(m.WatchLease):
            hand.watch_ends(status=403)
            refused += 1
        if hand.all_open(m.GetLease):
            hand.fetched()
        if hand.all_open(m.UpdateLease):
            hand.written()
        hand.wait(1)
    assert refused >= 2
    assert len(hand.events(m.ErrorOccurred)) == 1


def test_rule_16_write_decides_truth_whatever_the_watch_showed():
    """Rule 16: "the conditional write decides truth": a watch that lies costs a 409."""
    hand = candidate()
    free = {**hand.store.lease, "spec": {"holderIdentity": ""}}
    free["metadata"] = {**free["metadata"], "resourceVersion": "999"}
    hand.bring(lease=free)
    assert hand.state is State.ACQUIRING
    assert hand.commit() is None
    hand.conflict()
    hand.fetched()
    assert not hand.leads
    assert hand.state is State.WAITING


def test_rule_09_watch_under_way_is_no_reason_to_hurry():
    """Rule 9: a leader that hears bookmarks orders nothing but its renewals."""
    hand = Hand().lead()
    hand.out.clear()
    keep_watching(hand, R)
    orders = [o for o in hand.out if not isinstance(o, m.LeaseRenewed)]
    assert [type(o) for o in orders] == [m.UpdateLease]
    assert hand.write.deadline == hand.clock.boottime + T
