"""The rule of contending (13), by its sentences."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.annotations import SUCCESSOR
from kubernetes_leader_election.core.states import State
from tests.core.harness import Hand
from tests.core.stories import (
    D,
    T,
    candidate,
    keep_watching,
)

# Contending -------------------------------------------------------------------


def test_rule_13_first_look_at_a_free_lease_waits_for_nothing():
    """Rule 13: "none at a process's first look at a free Lease"."""
    hand = Hand(draws=[0.999])
    hand.store.edit(holderIdentity="")
    hand.start()
    assert hand.state is State.ACQUIRING


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.999])
def test_rule_13_delay_after_a_release_is_at_most_25_ms(drawn):
    """Rule 13, G7: "up to 25 ms after a release"."""
    hand = candidate(hand=Hand(draws=[drawn]))
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.bring_all()
    if drawn:
        assert hand.state is State.CONTENDING
        hand.wait(drawn * 0.025 - 0.0001)
        assert hand.state is State.CONTENDING
        hand.wait(0.0002)
    assert hand.state is State.ACQUIRING


@pytest.mark.parametrize(
    ("own", "most"), [pytest.param(4, 0.2, id="D=4"), pytest.param(20, 0.4, id="D=20")]
)
def test_rule_13_delay_after_an_expiry_is_a_share_of_the_duration(own, most):
    """Rule 13, fault 44: "up to 5 % of D and at most 0.4 s after an expiry"."""
    hand = candidate(hand=Hand(lease_duration=own))
    keep_watching(hand, D - 1)
    hand.draws = [0.999]
    hand.wait(1)
    assert hand.state is State.CONTENDING
    hand.wait(0.999 * most - 0.0001)
    assert hand.state is State.CONTENDING
    hand.wait(0.0002)
    assert hand.state is State.ACQUIRING


def test_rule_13_who_just_ended_its_work_lets_others_go_first():
    """Rule 13: "Whoever has just ended its own work waits 25 ms longer"."""
    hand = Hand().lead()
    hand.say(m.EndAsked(term=hand.term))
    hand.work_ends()
    hand.written()
    assert hand.state is State.CONTENDING
    hand.wait(0.0249)
    assert not hand.all_open(m.UpdateLease)
    hand.wait(0.0002)
    assert hand.state is State.ACQUIRING


def test_rule_13_named_successor_goes_first():
    """Rule 13: "all others wait up to 5 s, and at most half of D, longer"."""
    hand = candidate()
    named = {"annotations": {SUCCESSOR: "c"}}
    hand.store.edit(holderIdentity="", metadata=named)
    hand.bring_all()
    hand.wait(4.999)
    assert hand.state is State.CONTENDING
    hand.wait(0.002)
    assert hand.state is State.ACQUIRING


def release_in_vain(hand):
    """End the work of a leader, and let its release be given up unanswered."""
    hand.say(m.EndAsked(term=hand.term))
    hand.work_ends()
    assert not hand.write.lease["spec"]["holderIdentity"]
    hand.wait(3 * T)
    return hand


def seeks(hand):
    """Tell whether it ordered to acquire since its last term, answered or not."""
    ordered = [r for r in hand.out if isinstance(r, m.UpdateLease)]
    return bool(ordered and ordered[-1].lease["spec"]["holderIdentity"])


NAMED_C = {"annotations": {SUCCESSOR: "c"}}


@pytest.mark.parametrize(
    ("metadata", "waits"),
    [
        pytest.param(None, 0.025, id="nobody is named"),
        pytest.param(NAMED_C, 5.025, id="a successor is named"),
    ],
)
def test_rule_13_delay_begins_when_a_release_that_was_given_up_is_seen(metadata, waits):
    """Rule 13, G7: "counts from when the Lease is seen free"."""
    hand = release_in_vain(Hand().lead())
    assert hand.state is State.CONTENDING
    hand.wait(0.02)  # of the 25 ms on its own record, which nobody else may take
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1, metadata=metadata)
    hand.fetched()
    hand.wait(waits - 0.0001)
    assert not seeks(hand)
    hand.wait(0.0002)
    assert hand.state is State.ACQUIRING


@pytest.mark.parametrize(
    ("metadata", "waits"),
    [
        pytest.param(None, 0.0, id="nobody is named"),
        pytest.param(NAMED_C, 5.0, id="a successor is named"),
    ],
)
def test_rule_13_release_ends_the_longer_delay_after_an_expiry(metadata, waits):
    """Rule 13, G7: "counts from when the Lease is seen free"."""
    hand = candidate()
    keep_watching(hand, D - 1)
    hand.draws = [0.999]
    hand.wait(1)
    assert hand.state is State.CONTENDING
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1, metadata=metadata)
    hand.bring_all()
    hand.wait(max(0.0, waits - 0.0001))
    assert seeks(hand) is (waits == 0.0)
    hand.wait(0.0002)
    assert hand.state is State.ACQUIRING


def test_rule_13_who_saw_another_lead_since_is_as_fast_as_all_others():
    """Rule 13, G7: it has not "just ended its own work" any more."""
    hand = Hand().lead()
    hand.say(m.EndAsked(term=hand.term))
    hand.work_ends()
    hand.rival_holds()
    hand.bring_all()
    assert hand.state is State.WAITING
    hand.store.edit(holderIdentity="", leaseDurationSeconds=1)
    hand.bring_all()
    assert hand.state is State.ACQUIRING


def test_rule_13_delay_is_cancelled_when_the_watch_shows_a_winner():
    """Rule 13, fault 44: "The delay is cancelled when the watch shows a winner"."""
    hand = candidate(hand=Hand(draws=[0.999]))
    hand.store.edit(holderIdentity="")
    hand.bring_all()
    assert hand.state is State.CONTENDING
    hand.rival_holds("c")
    hand.bring_all()
    assert hand.state is State.WAITING
    hand.wait(1)
    assert not hand.all_open(m.UpdateLease)
