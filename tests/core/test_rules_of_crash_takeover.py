"""Rules 17 to 19: what a holder's pod proves, and what it is asked before it is followed."""

from __future__ import annotations

import itertools

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.annotations import CHALLENGE, POD, is_challenged
from kubernetes_leader_election.core.pod_notes import note_of
from kubernetes_leader_election.core.record import format_time, read_snapshot
from kubernetes_leader_election.core.states import State
from tests.core.harness import WALL
from tests.core.proofs import (
    DRAWS,
    InPod,
    challenged,
    leader_and_candidate,
    note,
    renewed,
)


def noted(hand):
    """Give the note that the stored Lease has for its record."""
    return note_of(read_snapshot(hand.store.lease))


def annotation(lease, name):
    """Give one annotation of a Lease, or None."""
    return lease["metadata"].get("annotations", {}).get(name)


# Rule 17: the note --------------------------------------------------------------


def test_rule_17_renewals_note_where_the_proof_would_be_found():
    """
    Check rule 17.

    Rule 17: "With crash_takeover a leader in a pod notes with its renewals where the
    proof of its end would be found: its pod, its container, and a nonce of this very
    process."
    """
    leader, _ = leader_and_candidate(crash_challenge=2.5)
    assert noted(leader) == note(crash_challenge=2.5)


@pytest.mark.parametrize(
    "change",
    [
        {"renewTime": format_time(WALL + 60_000_000)},
        {"acquireTime": format_time(WALL + 1)},
        {"holderIdentity": "z"},
    ],
)
def test_rule_17_note_is_for_one_record(change):
    """
    Check rule 17.

    Rule 17: "A note is for the record that it was written with, which it names by its
    holder and both times: with any other record, whoever wrote that and kept the
    annotation, it is none."
    """
    leader, candidate = leader_and_candidate()
    assert noted(leader) is not None
    leader.store.edit(**change)
    assert annotation(leader.store.lease, POD) is not None
    assert noted(leader) is None
    candidate.bring_all()
    if candidate.sought is not None:
        candidate.proves()
    assert candidate.state is State.WAITING


def test_rule_17_acquire_carries_no_note_and_the_first_renewal_follows_at_once():
    """
    Check rule 17.

    Rule 17: "An acquire carries none; the first renewal follows as soon as the watch
    has brought the acquire back."
    """
    leader = InPod(own=note()).start()
    assert annotation(leader.write.lease, POD) is None
    leader.written()
    assert not leader.all_open(m.UpdateLease)
    leader.bring_all()
    assert annotation(leader.write.lease, POD) is not None
    leader.written()
    leader.bring_all()
    assert not leader.all_open(m.UpdateLease)
    leader.wait(9.9)
    assert not leader.all_open(m.UpdateLease)


def test_rule_17_acquire_of_a_taken_over_lease_drops_what_was_noted_and_asked():
    """Rule 17: an acquire carries none."""
    _, candidate = challenged()
    candidate.wait(1.1)
    assert candidate.state is State.ACQUIRING
    assert annotation(candidate.write.lease, POD) is None
    assert annotation(candidate.write.lease, CHALLENGE) is None


def test_rule_17_leader_that_hears_late_leaves_no_note():
    """
    Check rule 17.

    Rule 17: "A leader leaves its note only while its own watch is open and brought its
    previous write back within a third of crash_challenge."
    """
    leader, _ = leader_and_candidate()
    leader.wait(10.0)
    assert annotation(leader.write.lease, POD) is not None
    leader.written()
    leader.wait(0.34)
    leader.bring_all()
    leader.wait(9.7)
    assert annotation(leader.write.lease, POD) is None
    leader.written()
    leader.bring_all()
    leader.wait(10.0)
    assert annotation(leader.write.lease, POD) is not None


def test_rule_17_leader_that_hears_nothing_leaves_no_note():
    """
    Check rule 17.

    Rule 17: "A leader leaves its note only while its own watch is open and brought its
    previous write back within a third of crash_challenge."
    """
    leader, _ = leader_and_candidate()
    leader.wait(10.0)
    leader.written()  # and the watch, half open, does not bring it
    leader.wait(10.0)
    assert annotation(leader.write.lease, POD) is None


def test_rule_17_leader_whose_watch_was_closed_leaves_no_note():
    """
    Check rule 17.

    Rule 17: "A leader leaves its note only while its own watch is open and brought its
    previous write back within a third of crash_challenge."
    """
    leader, _ = leader_and_candidate()
    leader.wait(5.0)
    leader.watch_ends()  # in good order: another one is opened at once
    assert leader.watch
    leader.wait(5.0)
    assert annotation(leader.write.lease, POD) is None


def test_rule_17_nonce_that_is_gone_ends_no_term():
    """
    Check rule 17.

    Rule 17: "Once the nonce is no longer found where it was left, renewals carry no
    note, and the term goes on."
    """
    leader, _ = leader_and_candidate()
    leader.say(m.OwnNote(note=None))
    leader.renew()
    assert leader.state is State.LEADER
    assert annotation(leader.store.lease, POD) is None


# Rule 18: the proof -------------------------------------------------------------


def test_rule_18_pod_of_the_holder_is_watched():
    """
    Check rule 18.

    Rule 18: "A candidate watches the pod of a holder that left a note, to learn whether
    the process which left it has ended."
    """
    leader, candidate = leader_and_candidate()
    sought = candidate.sought
    assert sought.note == note()
    renewed(leader, candidate)
    assert candidate.sought == sought


def test_rule_18_proof_counts_for_a_term_seen_alive_alone():
    """
    Check rule 18.

    Rule 18: it believes that proof only of a term that it saw renewed, or begun, under
    the watch that is open now.
    """
    leader = InPod(own=note()).lead_with_note()
    candidate = InPod(leader.store, leader.clock, identity="b").start()
    candidate.seen = len(leader.store.history)
    assert candidate.sought is None
    renewed(leader, candidate)
    assert candidate.sought is not None
    candidate.proves()
    assert candidate.state is State.CHALLENGING


def test_rule_18_watch_that_broke_makes_the_proof_wait_for_a_renewal():
    """
    Check rule 18.

    Rule 18: it believes that proof only of a term that it saw renewed, or begun, under
    the watch that is open now.
    """
    leader, candidate = leader_and_candidate()
    candidate.watch_ends(error="connection reset")
    candidate.wait(0.2)
    candidate.fetched()
    candidate.wait(0.2)
    assert candidate.watch
    candidate.proves()
    assert candidate.state is State.WAITING
    renewed(leader, candidate)
    # It lives: the proof came for one that renewed afterwards.
    assert candidate.state is State.WAITING


def test_rule_18_own_container_proves_the_end_of_the_process_before():
    """
    Check rule 18.

    Rule 18: or of the process before it in its own container, if its record is younger
    than D by the clock that both have.
    """
    leader, _ = leader_and_candidate()
    again = InPod(leader.store, leader.clock, own=note(9), identity="a-2").start()
    assert again.sought.note == note()
    again.proves()
    assert again.state is State.CHALLENGING


def test_rule_18_old_record_of_the_own_container_is_waited_for():
    """
    Check rule 18.

    Rule 18: or of the process before it in its own container, if its record is younger
    than D by the clock that both have.
    """
    leader, _ = leader_and_candidate()
    leader.clock.advance(20.1)  # as after a backup brought it back
    again = InPod(leader.store, leader.clock, own=note(9), identity="a-2").start()
    assert again.sought is None
    assert again.state is State.WAITING


def test_rule_18_own_note_is_no_former_self():
    """
    Check rule 18.

    Rule 18: or of the process before it in its own container, if its record is younger
    than D by the clock that both have.
    """
    leader, _ = leader_and_candidate()
    again = InPod(leader.store, leader.clock, own=note(), identity="a-2").start()
    assert again.sought is None


def restored(hand):
    """Bring back what stood there a renewal ago, under a lower version."""
    old = hand.store.history[-2][1]
    hand.store.restore(old)
    hand.watch_ends(error="connection reset")
    hand.wait(0.2)
    hand.fetched()


def test_rule_18_nothing_is_believed_after_a_restore_for_a_full_duration():
    """
    Check rule 18.

    Rule 18: "After the Lease went back, was deleted or became another one, it believes
    nothing for a full duration."
    """
    leader, candidate = leader_and_candidate()
    renewed(leader, candidate)
    restored(candidate)
    candidate.wait(0.5)
    candidate.seen = len(leader.store.history)
    for _ in range(4):
        # Somebody renews what was brought back.
        candidate.wait(4.0)
        now = format_time(candidate.clock.wall)
        leader.store.edit(renewTime=now)
        candidate.bring_all()
        assert candidate.sought is None or candidate.state is State.WAITING
        if candidate.sought is not None:
            candidate.proves()
    assert candidate.state is State.WAITING


def test_rule_18_term_that_is_put_back_by_hand_is_not_seen_alive():
    """
    Check rule 18.

    Rule 18: it believes that proof only of a term that it saw renewed, or begun, under
    the watch that is open now.
    """
    leader = InPod(own=note()).lead_with_note()
    old = leader.store.lease
    later = format_time(WALL + 60_000_000)
    leader.store.edit(holderIdentity="somebody", acquireTime=later, renewTime=later)
    other = note(2, pod="other")
    candidate = InPod(leader.store, leader.clock, own=other, identity="b").start()
    candidate.seen = len(leader.store.history)
    leader.store.edit(metadata=old["metadata"], **old["spec"])  # transitions as before
    candidate.bring_all()
    assert noted(leader) is not None
    assert candidate.sought is None
    assert candidate.state is State.WAITING


def test_rule_18_note_that_another_hand_wrote_is_another_one():
    """Rule 18: a proof is of the process that left the note, and of no other."""
    leader, candidate = challenged()
    kept = leader.store.lease["metadata"]["annotations"]
    forged = kept[POD].replace(note().nonce, note(7).nonce)
    leader.store.edit(metadata={"annotations": {**kept, POD: forged}})
    candidate.bring_all()
    assert noted(leader) == note(7)
    assert candidate.state is State.WAITING
    candidate.wait(3.0)
    assert candidate.state is State.WAITING
    assert not candidate.all_open(m.UpdateLease)


@pytest.mark.parametrize("transitions", [0, 1])
def test_rule_18_nothing_is_believed_after_transitions_went_back(transitions):
    """
    Check rule 18.

    Rule 18: "After the Lease went back, was deleted or became another one, it believes
    nothing for a full duration."
    """
    leader, candidate = leader_and_candidate()
    leader.store.edit(leaseTransitions=5)
    candidate.bring_all()
    leader.store.edit(leaseTransitions=transitions)
    candidate.bring_all()
    candidate.proves()
    assert candidate.state is State.WAITING


def test_rule_18_deleted_lease_proves_nothing():
    """
    Check rule 18.

    Rule 18: "After the Lease went back, was deleted or became another one, it believes
    nothing for a full duration."
    """
    leader, candidate = leader_and_candidate()
    candidate.proves()
    leader.store.delete()
    candidate.bring_all()
    assert candidate.state is State.WAITING
    assert candidate.core.expires_in == 20.0


def test_rule_18_note_that_was_refuted_is_never_believed_again():
    """
    Check rule 18.

    Rule 18: "A process that was said to have ended, and whose record changed since, is
    never believed to have ended again."
    """
    leader, candidate = challenged()
    leader.bring_all()
    leader.written()
    leader.bring_all()
    candidate.bring_all()
    assert candidate.state is State.WAITING
    assert candidate.sought is None
    renewed(leader, candidate)
    assert candidate.sought is None
    candidate.wait(9.0)
    assert candidate.state is State.WAITING


def test_rule_18_pod_that_can_prove_nothing_is_not_watched_again():
    """
    Check rule 18.

    Rule 18: what its pod can never prove is not sought again; time decides, as without
    a note.
    """
    leader, candidate = leader_and_candidate()
    number = candidate.sought.request_id
    candidate.say(m.ProofRefuted(request_id=number, why="the pod is gone"))
    renewed(leader, candidate)
    assert candidate.sought is None
    candidate.wait(19.9)
    assert candidate.state is State.WAITING
    candidate.wait(2.0)
    assert candidate.state is State.ACQUIRING


def test_rule_18_pod_that_may_not_be_read_is_tried_again_much_later():
    """Rule 18: what cannot be read proves nothing; time decides, as without a note."""
    leader, candidate = leader_and_candidate()
    error = m.LeaseApiError("pods is forbidden", status=403)
    number = candidate.sought.request_id
    candidate.say(m.ProofUnreadable(request_id=number, error=error))
    for _ in range(29):
        renewed(leader, candidate)
        assert candidate.sought is None
    renewed(leader, candidate)
    renewed(leader, candidate)
    assert candidate.sought is not None


def test_rule_18_watch_on_a_pod_that_ends_in_order_is_opened_again():
    """Rule 18: what cannot be read proves nothing; time decides, as without a note."""
    _, candidate = leader_and_candidate()
    candidate.wait(5.0)
    number = candidate.sought.request_id
    candidate.say(m.ProofUnreadable(request_id=number))
    assert candidate.sought.request_id != number
    number = candidate.sought.request_id
    candidate.say(m.ProofUnreadable(request_id=number))
    assert candidate.sought is None  # at once would be a hot loop
    candidate.wait(0.2)
    assert candidate.sought is not None


@pytest.mark.parametrize("proved", [False, True])
def test_rule_18_watch_on_a_pod_that_fails_at_once_is_opened_ever_more_slowly(proved):
    """Rule 18 and fault 24: also where each brings the proof first, and fails then."""
    _, candidate = leader_and_candidate(lease_duration=120, crash_challenge=60.0)
    error, opened = m.LeaseApiError("connection reset"), []
    candidate.draws = [DRAWS] * 99
    for _ in range(4):
        while candidate.sought is None:
            candidate.wait(0.05)
        opened.append(candidate.clock.boottime)
        number = candidate.sought.request_id
        if proved:
            candidate.proves()
        candidate.say(m.ProofUnreadable(request_id=number, error=error))
    pauses = [b - a for a, b in itertools.pairwise(opened)]
    assert all(later > 1.5 * pause for pause, later in itertools.pairwise(pauses))


def test_rule_18_watch_on_a_pod_that_lasted_is_opened_again_soon():
    """Rule 18: what failed before it is long over."""
    leader, candidate = leader_and_candidate()
    error = m.LeaseApiError("connection reset")
    before = candidate.clock.boottime
    for _ in range(3):
        while candidate.sought is None:
            candidate.wait(0.05)
        number = candidate.sought.request_id
        candidate.say(m.ProofUnreadable(request_id=number, error=error))
    while candidate.sought is None:
        candidate.wait(0.05)
    leader.renew(after=10.0 - (candidate.clock.boottime - before))
    candidate.bring_all()
    for _ in range(4):
        renewed(leader, candidate)
    number = candidate.sought.request_id
    candidate.say(m.ProofUnreadable(request_id=number, error=error))
    candidate.wait(0.25)
    assert candidate.sought is not None


# Rule 19: the challenge ---------------------------------------------------------


def test_rule_19_who_has_the_proof_asks_once_more():
    """
    Check rule 19.

    Rule 19: "Who has the proof asks the holder once more, by one annotation that names
    its record."
    """
    leader, candidate = leader_and_candidate()
    candidate.draws = [DRAWS]
    before = leader.store.lease
    candidate.proves()
    candidate.wait(0.3)
    lease = candidate.write.lease
    assert lease["spec"] == before["spec"]
    assert is_challenged(read_snapshot(lease))


def test_rule_19_question_is_asked_after_a_delay_that_is_rarely_short():
    """
    Check rule 19.

    Rule 19: it asks after a random delay of up to 0.3 s, which is rarely a short one.
    """
    delays = []
    for draw in (0.0, 0.001, 0.5, DRAWS):
        _, candidate = leader_and_candidate()
        candidate.draws = [draw]
        before = candidate.clock.boottime
        candidate.proves()
        while not candidate.all_open(m.UpdateLease):
            candidate.wait(0.001)
        delays.append(candidate.clock.boottime - before)
    assert delays == pytest.approx([0.0, 0.15, 0.285, 0.3], abs=0.01)


def test_rule_19_who_sees_the_question_of_another_waits_along():
    """Rule 19: who sees that another one has asked waits along."""
    leader, first = leader_and_candidate()
    second = InPod(leader.store, leader.clock, own=note(3, pod="c"), identity="c")
    second.start()
    second.seen = len(leader.store.history)
    renewed(leader, first, second)
    first.draws, second.draws = [0.0], [DRAWS]
    first.proves()
    second.proves()
    first.written()
    first.bring_all()
    second.bring_all()
    second.wait(0.9)
    assert not second.all_open(m.UpdateLease)
    second.wait(0.2)
    assert second.state is State.ACQUIRING


def test_rule_19_leader_that_is_challenged_renews_at_once():
    """Rule 19: "A leader whose record is challenged renews at once"."""
    leader, candidate = challenged()
    leader.wait(0.0)
    assert not leader.all_open(m.UpdateLease)
    leader.bring_all()
    assert annotation(leader.write.lease, CHALLENGE) is None
    leader.written()
    candidate.bring_all()
    assert candidate.state is State.WAITING


def test_rule_19_challenge_of_an_older_record_is_none():
    """Rule 19: "A leader whose record is challenged renews at once"."""
    leader, _ = challenged()
    old = annotation(leader.store.lease, CHALLENGE)
    leader.bring_all()
    leader.written()
    leader.bring_all()
    metadata = leader.store.lease["metadata"]
    kept = {**metadata["annotations"], CHALLENGE: old}
    leader.store.edit(metadata={"annotations": kept})
    leader.bring_all()
    assert not leader.all_open(m.UpdateLease)


def test_rule_19_question_about_an_older_record_is_no_question():
    """Rule 19: a challenge names one record, and means nothing for another one."""
    leader, candidate = leader_and_candidate()
    renewed(leader, candidate)
    value = f"1 {format_time(WALL)} {format_time(WALL)} a"
    kept = {**leader.store.lease["metadata"]["annotations"], CHALLENGE: value}
    leader.store.edit(metadata={"annotations": kept})
    candidate.bring_all()
    candidate.draws = [DRAWS]
    candidate.proves()
    candidate.wait(0.29)
    assert candidate.state is State.CHALLENGING
    assert not candidate.all_open(m.UpdateLease)
    candidate.wait(0.02)
    candidate.written()
    candidate.wait(0.9)
    assert candidate.state is State.CHALLENGING


def test_rule_19_leader_that_is_not_alive_answers_too():
    """
    Check rule 19.

    Rule 19: "A leader whose record is challenged renews at once, also one whose
    application is not alive: its work may run on until the deadline."
    """
    leader, candidate = challenged()
    leader.say(m.LivenessReported(alive=False))
    leader.wait(1.0)
    assert not leader.all_open(m.UpdateLease)
    leader.bring_all()
    leader.written()
    assert not leader.all_open(m.UpdateLease)
    candidate.bring_all()
    candidate.wait(1.2)
    assert candidate.state is State.WAITING
    leader.bring_all()
    leader.wait(12.0)
    assert not leader.all_open(m.UpdateLease), "it is not alive, and is not asked"


def test_rule_19_leader_that_is_not_alive_answers_again_where_it_failed():
    """Rule 19: also one whose first answer was refused."""
    leader, _ = challenged()
    leader.say(m.LivenessReported(alive=False))
    leader.bring_all()
    leader.failed(status=500)
    leader.wait(1.0)
    assert leader.all_open(m.UpdateLease)


def test_rule_19_question_that_is_taken_away_is_asked_again_after_a_pause():
    """
    Check rule 19 and fault 24.

    Rule 19: "Where something takes the challenge away again, it is asked anew after a
    pause that doubles."
    """
    leader, candidate = leader_and_candidate()
    candidate.proves()
    ends, asked = candidate.clock.boottime + 10.0, []
    while candidate.clock.boottime < ends:
        if not candidate.all_open(m.UpdateLease):
            candidate.wait(0.05)
            continue
        asked.append(candidate.clock.boottime)
        assert len(asked) < 10, "a hot loop"
        number, sent = candidate.write.request_id, candidate.write.lease
        kept = {
            name: value
            for name, value in sent["metadata"]["annotations"].items()
            if name != CHALLENGE
        }
        lease = leader.store.edit(metadata={"annotations": kept})
        candidate.say(m.LeaseWritten(request_id=number, lease=lease))
    pauses = [b - a for a, b in itertools.pairwise(asked)]
    assert len(pauses) >= 4
    assert all(later > 1.5 * pause for pause, later in itertools.pairwise(pauses))


@pytest.mark.parametrize(("own", "asked"), [(1.0, 1.0), (3.0, 1.0), (1.0, 3.0)])
def test_rule_19_nobody_follows_before_the_time_for_an_answer_is_over(own, asked):
    """
    Check rule 19.

    Rule 19: "Nobody takes over before the larger of its own crash_challenge and the
    holder's has passed on its own monotonic clock, counted from when it saw the
    challenge."
    """
    leader = InPod(own=note(), crash_challenge=asked).lead_with_note()
    candidate = InPod(
        leader.store, leader.clock, own=note(2), identity="b", crash_challenge=own
    )
    candidate.start()
    candidate.seen = len(leader.store.history)
    renewed(leader, candidate)
    candidate.proves()
    candidate.written()
    candidate.clock.suspend(2.0)  # which is no time for an answer
    candidate.tick()
    candidate.wait(max(own, asked) - 0.01)
    assert candidate.state is State.CHALLENGING
    candidate.wait(0.05)
    assert candidate.state is State.ACQUIRING


def test_rule_19_take_over_is_on_the_very_snapshot_of_the_question():
    """Rule 19: "It takes over on the very snapshot in which the challenge stands"."""
    _, candidate = challenged()
    candidate.wait(1.1)
    written = candidate.write.lease["metadata"]["resourceVersion"]
    assert written == candidate.store.lease["metadata"]["resourceVersion"]


def test_rule_19_label_that_is_touched_begins_the_time_for_an_answer_anew():
    """Rule 19: "It takes over on the very snapshot in which the challenge stands"."""
    _, candidate = challenged()
    candidate.wait(0.9)
    candidate.store.edit(metadata={"labels": {"touched": "yes"}})
    candidate.bring_all()
    candidate.wait(0.9)
    assert candidate.state is State.CHALLENGING
    candidate.wait(0.2)
    assert candidate.state is State.ACQUIRING


@pytest.mark.parametrize("when", [0.1, 0.9, 1.02])
def test_rule_19_any_change_of_the_record_voids_the_proof(when):
    """Rule 19: "Any change of the record voids the proof"."""
    leader, candidate = challenged()
    candidate.draws = [DRAWS]  # for the delay before the acquire
    candidate.wait(when)
    renewed_at = format_time(leader.clock.wall)
    leader.store.edit(renewTime=renewed_at)
    candidate.bring_all()
    assert candidate.state is State.WAITING
    candidate.wait(5.0)
    assert candidate.state is State.WAITING


def test_rule_19_conflict_of_the_take_over_means_to_wait_again():
    """Rule 19: "Any change of the record voids the proof"."""
    leader, candidate = challenged()
    candidate.wait(1.1)
    leader.store.edit(renewTime=format_time(leader.clock.wall))
    candidate.written()
    candidate.fetched()
    assert candidate.state is State.WAITING


@pytest.mark.parametrize("outcome", ["unknown", "conflict", "failed", "timeout"])
def test_rule_19_question_whose_outcome_is_open_is_looked_for(outcome):
    """Rule 19: who asks again does so after a look, and a pause where it failed."""
    _, candidate = leader_and_candidate()
    candidate.proves()
    if outcome == "timeout":
        candidate.wait(2.6)
    else:
        getattr(candidate, outcome)()
    candidate.wait(0.5)
    if candidate.all_open(m.GetLease):
        candidate.fetched()
    candidate.wait(0.7)
    assert candidate.state is State.CHALLENGING
    candidate.written()
    candidate.wait(1.1)
    assert candidate.state is State.ACQUIRING
