"""The proof and the challenge beside all else that may happen to a candidate."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.annotations import POD
from kubernetes_leader_election.core.states import State
from tests.core.proofs import (
    DRAWS,
    InPod,
    challenged,
    leader_and_candidate,
    note,
)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (m.StopAsked(), State.STOPPED),
        (m.LivenessReported(alive=False), State.STANDING_BY),
        (m.DriverFailed(error=m.LeaseApiError("x")), State.WAITING),
    ],
)
def test_challenging_ends_by_any_word(word, state):
    """And nothing is left under way but what the next state needs."""
    _, candidate = leader_and_candidate()
    candidate.proves()
    assert candidate.state is State.CHALLENGING
    candidate.say(word)
    assert candidate.state is state
    assert not candidate.all_open(m.UpdateLease, m.SeekProof)


def test_record_that_expires_meanwhile_is_taken_as_without_a_proof():
    """The proof makes nothing slower."""
    leader, candidate = leader_and_candidate(crash_challenge=60.0)
    candidate.wait(10.0)
    candidate.bring("BOOKMARK")
    candidate.wait(9.0)
    candidate.proves()
    candidate.written()
    candidate.wait(1.5)
    assert candidate.state is State.ACQUIRING
    assert leader.state is not State.LEADER or not leader.leads


def test_released_lease_is_free_though_its_end_was_proved():
    """The proof makes nothing slower."""
    leader, candidate = challenged()
    leader.bring_all()
    leader.written()
    leader.say(m.StopAsked())
    leader.work_ends()
    leader.written()
    candidate.bring_all()
    candidate.wait(0.1)
    assert candidate.state is State.ACQUIRING


def test_lease_that_is_released_before_it_was_asked_is_taken_at_once():
    """
    G7, fault 74: not a second later, by the duration that a released record has.

    Found by the world "answered lies" 97.
    """
    leader, candidate = leader_and_candidate()
    candidate.draws = [DRAWS, DRAWS]
    candidate.proves()
    leader.say(m.StopAsked())
    leader.work_ends()
    leader.written()
    candidate.bring_all()
    candidate.wait(0.1)
    assert candidate.state is State.ACQUIRING


def test_without_the_option_nothing_is_noted_sought_or_answered():
    """Off by default."""
    leader, _ = challenged()
    off = InPod(leader.store, leader.clock, identity="z", crash_takeover=False).start()
    off.seen = len(leader.store.history)
    leader.bring_all()
    leader.written()
    off.bring_all()
    assert off.sought is None
    off.say(m.OwnNote(note=note(5)))
    off.wait(21.0)
    off.written()
    assert off.state is State.LEADER
    off.wait(10.0)
    assert POD not in off.write.lease["metadata"]["annotations"]


def test_pod_that_is_to_be_watched_again_spins_no_timer_while_there_is_no_note():
    """A leader that hears late leaves no note for a while; then the watch goes on."""
    leader, candidate = leader_and_candidate()
    leader.wait(10.0)
    leader.written()
    candidate.bring_all()
    leader.wait(1.0)
    leader.bring_all()  # its watch brings it too late
    leader.renew(after=9.0)
    candidate.bring_all()
    assert candidate.sought is not None
    error = m.LeaseApiError("disconnected")
    number = candidate.sought.request_id
    candidate.say(m.ProofUnreadable(request_id=number, error=error))
    candidate.wait(8.0)  # the harness fails where the timer is due again and again
    assert candidate.sought is None
    leader.renew(after=2.0)
    candidate.bring_all()
    assert candidate.sought is not None


def test_watch_that_was_replaced_after_the_question_ends_the_take_over():
    """Rule 18 holds until the write: a restore may have come in between."""
    _, candidate = challenged()
    candidate.draws = [DRAWS]  # for the delay before the acquire
    candidate.wait(1.001)
    assert candidate.state is State.CONTENDING
    candidate.watch_ends(error="connection reset")
    assert candidate.state is State.WAITING
