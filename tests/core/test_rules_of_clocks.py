"""The rules of clocks (14 and 15), each by its sentence."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from tests.core.harness import Hand
from tests.core.stories import (
    D,
    L,
    R,
    candidate,
    reasons,
    wait_in_full,
)

# Clocks -----------------------------------------------------------------------


def test_rule_14_leader_counts_the_time_of_a_suspend():
    """Rule 14, fault 03: "A leader takes the larger elapsed time"."""
    hand = Hand().lead()
    hand.clock.suspend(L)
    assert not hand.leads
    hand.tick()
    assert reasons(hand) == ["renew_deadline"]


def test_rule_14_leader_counts_the_larger_time_whichever_clock_shows_it():
    """Rule 14: "A leader takes the larger elapsed time", of either clock."""
    hand = Hand().lead()
    hand.clock.monotonic += L
    assert not hand.leads


def test_rule_14_candidate_does_not_count_the_time_of_a_suspend():
    """Rule 14, fault 03: "a candidate the smaller"."""
    hand = candidate()
    hand.clock.suspend(D)
    hand.tick()
    assert hand.state is State.WAITING
    hand.fetched()
    wait_in_full(hand)


def test_rule_14_loss_by_a_clock_is_not_undone_by_a_clock():
    """Rule 14: "A loss that a clock showed stays a loss when that clock steps back"."""
    hand = Hand().lead()
    hand.clock.step_wall(L)
    hand.tick()
    assert reasons(hand) == ["renew_deadline"]
    hand.clock.step_wall(-L)
    hand.tick()
    hand.fetched()
    assert hand.state is State.FENCED
    assert not hand.leads


def test_rule_14_loss_that_only_the_application_saw_is_a_loss():
    """Rule 14: "A loss that a clock showed", to whomever: `LossSeen` ends the term."""
    hand = Hand().lead()
    hand.say(m.LossSeen(term=7))
    assert hand.leads, "of another term"
    hand.say(m.LossSeen(term=1))
    assert reasons(hand) == ["renew_deadline"]
    assert not hand.leads


@pytest.mark.parametrize(
    ("jump", "leads"),
    [
        pytest.param(D - L - 0.001, True, id="D - L"),
        pytest.param(D - L + 0.001, False, id="more"),
    ],
)
def test_rule_14_jump_of_the_wall_clock_ends_a_term(jump, leads):
    """Rule 14, fault 04: "A wall clock that jumped ahead by more than D - L"."""
    hand = Hand().lead()
    hand.clock.step_wall(jump)
    assert hand.leads is leads


@pytest.mark.parametrize("jump", [-86_400, -1, 1, 4])
def test_rule_14_wall_clock_never_lengthens_a_term(jump):
    """Rule 14, fault 19: "It never lengthens one"."""
    hand = Hand().lead()
    hand.clock.step_wall(jump)
    hand.clock.advance(L)
    assert not hand.leads


def test_rule_15_belief_is_computed_from_the_clock_at_each_question():
    """Rule 15, fault 02: "computed from the clock at each call", nothing else running."""
    hand = Hand().lead()
    hand.clock.advance(L - 0.001)
    assert hand.leads
    hand.clock.advance(0.001)
    assert not hand.leads
    assert hand.state is State.LEADER, "the core has not even noticed"
    assert hand.core.belief.remaining(hand.clock.now()) == 0.0


def test_rule_15_clock_is_looked_at_before_the_answer():
    """Rule 15, fault 02: after a freeze "the clock comes before the answer"."""
    hand = Hand().lead()
    hand.wait(R)
    request, lease = hand.write, hand.commit()
    hand.clock.advance(L)
    hand.say(m.LeaseWritten(request_id=request.request_id, lease=lease))
    assert reasons(hand) == ["renew_deadline"]
    assert not hand.leads
