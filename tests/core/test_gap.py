"""For how long nobody led before a term, and why so long, by reason."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time
from kubernetes_leader_election.core.states import State
from tests.core.harness import WALL, Hand
from tests.core.proofs import challenged, leader_and_candidate, renewed
from tests.core.stories import D, L, R, candidate, keep_watching

SECOND = 1_000_000


def told(hand):
    """Give the gap and the reason of the one acquisition that was told of."""
    (event,) = hand.events(m.LeadershipAcquired)
    return event.gap_sec, event.why


def about(seconds):
    """Give a number that is equal to what is as good as this."""
    return pytest.approx(seconds, abs=0.002)


def renewed_by_b(hand, seconds):
    """Let b renew, as the candidate sees by its watch."""
    hand.store.edit(renewTime=format_time(WALL + round(seconds * SECOND)))
    hand.bring_all()


def acquired(hand, after=0.0):
    """Wait until it writes, let the write be applied, and the answer take a while."""
    hand.wait(0.5)
    assert hand.state is State.ACQUIRING
    hand.clock.advance(after)
    hand.written()
    return told(hand)


def seen_to_lead():
    """Give a candidate that saw b renew, with its watch open."""
    hand = candidate()
    hand.wait(3.0)
    renewed_by_b(hand, 3.0)
    return hand


def test_release_is_counted_from_its_sighting_to_the_proof_of_the_acquire():
    """Also where b was not seen to renew: that it led until then is known."""
    hand = candidate()
    hand.wait(3.0)
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.bring_all()
    assert acquired(hand, after=0.25) == (about(0.75), "release")


def test_expiry_is_counted_from_the_last_renewal_that_was_seen():
    """The last proof of life; what the writer's clock said of it does not count."""
    hand = seen_to_lead()
    keep_watching(hand, D)
    assert acquired(hand) == (about(D + 0.5), "expiry")


def test_proof_is_counted_from_the_last_renewal_too():
    """And named as the reason, beside what proved it."""
    _, hand = challenged()
    led_until = 0.3
    hand.wait(1.1)
    hand.events(m.LeaderChanged)
    hand.written()
    (event,) = hand.events(m.LeadershipAcquired)
    assert event.crash_proof
    assert (event.gap_sec, event.why) == (pytest.approx(led_until + 1.1), "proof")


def refuted(leader, candidate, why="the pod is gone"):
    """Say that nothing will prove the end of the leader, which goes on for a while."""
    number = candidate.sought.request_id
    candidate.say(m.ProofRefuted(request_id=number, why=why))
    renewed(leader, candidate)


def run_out(candidate):
    """Wait until the Lease has run out, and let the write of the candidate be applied."""
    candidate.wait(19.9)
    assert candidate.state is State.WAITING
    candidate.wait(2.0)
    candidate.written()


def test_acquisition_says_why_nothing_proved_the_end_of_who_led_before():
    """Whoever asks why it took the whole lease duration finds it where the gap is."""
    leader, candidate = leader_and_candidate()
    refuted(leader, candidate)
    run_out(candidate)
    (event,) = candidate.events(m.LeadershipAcquired)
    assert (event.no_proof, event.crash_proof) == ("the pod is gone", "")


def test_reason_is_of_who_led_before_and_of_nobody_else():
    """The Lease of another holder, without a note, has no such reason; nor a proof."""
    leader, candidate = leader_and_candidate()
    refuted(leader, candidate)
    candidate.store.edit(holderIdentity="c", acquireTime=format_time(WALL))
    candidate.bring_all()
    run_out(candidate)
    (event,) = candidate.events(m.LeadershipAcquired)
    assert event.no_proof == ""
    _, hand = challenged()
    hand.wait(1.1)
    hand.written()
    (event,) = hand.events(m.LeadershipAcquired)
    assert event.crash_proof
    assert not event.no_proof


def test_deletion_is_counted_from_its_sighting():
    """The holder is waited for in full all the same (rule 4)."""
    hand = seen_to_lead()
    hand.seen = len(hand.store.history)
    hand.store.delete()
    hand.bring_all()
    hand.wait(D)
    while hand.state is not State.ACQUIRING:
        if hand.all_open(m.GetLease):
            hand.fetched()
        hand.wait(0.5)
    hand.written()
    gap, why = told(hand)
    assert why == "deletion"
    assert gap == pytest.approx(D, abs=1.5)


@pytest.mark.parametrize("failed", ["read", "write"])
def test_outage_is_a_request_that_failed_when_the_lease_was_to_be_had(failed):
    """Without it the take-over would have come sooner."""
    hand = seen_to_lead()
    keep_watching(hand, D)
    hand.wait(0.5)
    assert hand.state is State.ACQUIRING
    if failed == "write":
        hand.failed(status=503)
    else:
        hand.unknown()
        hand.wait(0.3)
        hand.failed(hand.read, status=503)
    hand.wait(1.0)
    if hand.all_open(m.GetLease):
        hand.fetched()
    hand.wait(3.0)
    if hand.all_open(m.GetLease):
        hand.fetched()
    hand.written()
    gap, why = told(hand)
    assert why == "outage"
    assert gap > D + 1.0


def test_failure_while_the_lease_is_held_delays_nothing():
    """The same time would have passed without it."""
    hand = seen_to_lead()
    hand.watch_ends(error="reset")
    hand.failed(hand.read, status=503)
    hand.wait(1.0)
    hand.fetched()
    hand.wait(1.0)
    keep_watching(hand, D - 2.0)
    assert acquired(hand) == (about(D + 0.5), "expiry")


@pytest.mark.parametrize("lease", [None, "free"])
def test_first_leader_of_a_lease_has_no_gap(lease):
    """Nobody was seen to hold it: there is no take-over."""
    hand = Hand()
    if lease is not None:
        hand.store.edit(holderIdentity="")
    hand.start()
    hand.wait(0.5)
    hand.written()
    assert told(hand) == (None, None)


def test_candidate_that_came_after_the_last_renewal_does_not_know():
    """It waits in full, and by no clock of its own knows what had passed before."""
    hand = candidate()
    keep_watching(hand, D)
    assert acquired(hand) == (None, "expiry")


@pytest.mark.parametrize("until_it_looks", [0.2, 5.0])
def test_candidate_that_could_not_look_when_it_was_released_does_not_know(
    until_it_looks,
):
    """How long ago that was is in no clock of its own, also if no request failed."""
    hand = seen_to_lead()
    hand.watch_ends(error="reset")
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.wait(until_it_looks)
    hand.fetched()
    assert acquired(hand) == (None, "release")


def test_one_renewal_that_is_seen_afterwards_is_known_again():
    """What was missed before does not matter any more."""
    hand = seen_to_lead()
    hand.watch_ends(error="reset")
    hand.store.edit(renewTime=format_time(WALL + 5 * SECOND))
    hand.wait(5.0)
    hand.fetched()
    hand.wait(1.0)
    hand.seen = len(hand.store.history)
    renewed_by_b(hand, 6.0)
    keep_watching(hand, D)
    assert acquired(hand) == (about(D + 0.5), "expiry")


def test_times_that_others_wrote_count_for_nothing():
    """Nor does a wall clock that is set."""
    hand = seen_to_lead()
    renewed_by_b(hand, 1_000_000.0)
    hand.clock.step_wall(-86_400)
    keep_watching(hand, D)
    assert acquired(hand) == (about(D + 0.5), "expiry")


def test_suspended_time_does_not_count():
    """As in waiting (rule 14): a candidate cannot tell what happened meanwhile."""
    hand = seen_to_lead()
    hand.clock.suspend(3600.0)
    hand.tick()
    hand.fetched()
    hand.wait(0.0)
    keep_watching(hand, D)
    assert acquired(hand) == (about(D + 0.5), "expiry")


def test_leader_that_lost_and_leads_again_counts_from_its_own_last_renewal():
    """Its last proof of life, as of any other; here requests failed."""
    hand = Hand().lead()
    hand.renew()
    hand.wait(R)
    hand.unknown()
    for _ in range(40):
        if hand.leads:
            hand.wait(0.5)
        if hand.all_open(m.GetLease):
            hand.failed(hand.read, status=503)
        elif hand.all_open(m.UpdateLease):
            hand.failed(status=503)
    assert not hand.leads
    hand.work_ends()
    hand.wait(1.0)
    hand.failed(status=503)
    for _ in range(20):
        if hand.all_open(m.GetLease):
            hand.fetched()
        elif hand.all_open(m.UpdateLease):
            hand.written()
            break
        hand.wait(0.5)
    gap, why = told(hand)
    assert why == "outage"
    assert gap > L


def test_acquire_of_our_own_by_which_nobody_leads_is_no_life():
    """It landed so late that it is no proof: the gap goes on from before."""
    hand = seen_to_lead()
    keep_watching(hand, D)
    hand.wait(0.5)
    hand.commit()
    hand.clock.advance(L + 5.0)
    hand.tick()
    for _ in range(10):
        if hand.all_open(m.GetLease):
            hand.fetched()
        if (
            hand.all_open(m.CreateLease, m.UpdateLease)
            and hand.state is State.ACQUIRING
        ):
            hand.written()
        if hand.leads:
            break
        hand.wait(0.5)
    assert hand.leads
    gap, _ = told(hand)
    assert gap > D + L


def test_end_of_an_acquire_by_which_nobody_led_is_no_release():
    """Whoever clears it ends no term: the gap goes on from before."""
    hand = seen_to_lead()
    keep_watching(hand, D)
    hand.wait(0.5)
    hand.commit()
    hand.clock.advance(L + 5.0)
    hand.tick()
    hand.fetched()
    assert not hand.leads
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    for _ in range(10):
        if hand.all_open(m.GetLease):
            hand.fetched()
        if hand.all_open(m.UpdateLease):
            hand.written()
        if hand.leads:
            break
        hand.wait(0.5)
    gap, why = told(hand)
    assert gap > D + L
    assert why != "release"


def test_new_life_has_seen_nothing():
    """stop() and start(): what happened between is not known."""
    hand = seen_to_lead()
    hand.say(m.StopAsked())
    hand.wait(60.0)
    hand.start()
    hand.seen = len(hand.store.history)
    keep_watching(hand, D)
    assert acquired(hand) == (None, "expiry")


def test_new_life_that_finds_the_lease_released_does_not_know():
    """Whom it saw to lead before it was stopped, and when, says nothing of that."""
    hand = seen_to_lead()
    hand.say(m.StopAsked())
    hand.wait(5.0)
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.wait(5.0)
    hand.start()
    assert acquired(hand) == (None, None)


def test_outage_before_another_one_led_is_no_reason():
    """What held up an earlier take-over was over when that one led."""
    hand = seen_to_lead()
    keep_watching(hand, D)
    hand.wait(0.5)
    hand.failed(status=503)
    now = format_time(hand.clock.wall)
    hand.store.edit(holderIdentity="c", acquireTime=now, renewTime=now)
    hand.wait(0.5)
    if hand.all_open(m.GetLease):
        hand.fetched()
    hand.seen = len(hand.store.history)
    hand.store.edit(renewTime=format_time(hand.clock.wall + SECOND))
    hand.bring_all()
    keep_watching(hand, D)
    assert acquired(hand) == (about(D + 0.5), "expiry")


def test_leader_whose_lease_is_cleared_by_hand_counts_from_then():
    """Its own acquire is a life like any other, though nothing was renewed."""
    hand = Hand().lead()
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.bring_all()
    assert not hand.leads
    hand.events(m.LeadershipAcquired)
    hand.work_ends()
    assert acquired(hand) == (about(0.5), "release")


def test_assumed_leadership_has_no_gap():
    """There is no election, so nothing is known of one."""
    event = m.LeadershipAcquired(
        lease="l", namespace="n", identity="a", term=1, token_if_any=None, assumed=True
    )
    assert (event.gap_sec, event.why) == (None, None)
