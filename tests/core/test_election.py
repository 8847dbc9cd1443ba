"""The words of the application, in and out of place."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import LeaderElectionError, ProtocolMisuseError
from tests.core.harness import Hand
from tests.core.stories import L, R, candidate, keep_watching, reasons


def test_work_that_returns_ends_the_term_and_lets_others_go_first():
    """Fault 08: released after the work, and 25 ms later for its own next try."""
    hand = Hand().lead()
    hand.say(m.EndAsked(term=7))
    assert hand.leads, "of another term"
    hand.say(m.EndAsked(term=1))
    assert reasons(hand) == ["work_ended"]
    hand.work_ends()
    hand.written()
    assert hand.state is State.CONTENDING
    hand.wait(0.024)
    assert hand.state is State.CONTENDING
    hand.wait(0.002)
    assert hand.state is State.ACQUIRING


@pytest.mark.parametrize("term", [1, 2], ids=["said twice", "never begun"])
def test_work_that_ended_is_said_once_for_each_term(term):
    """G4: a driver that says it otherwise is told so."""
    hand = Hand().lead()
    hand.say(m.StopAsked())
    if term == 1:
        hand.work_ends()
        hand.written()
    with pytest.raises(ProtocolMisuseError, match="said once for each term"):
        hand.say(m.WorkEnded(term=term))


def test_stuck_application_neither_renews_nor_contends():
    """Fault 08: liveness gates the renewal; the term runs to its deadline."""
    hand = Hand().lead()
    hand.say(m.LivenessReported(alive=False))
    hand.say(m.LivenessReported(alive=False))
    keep_watching(hand, R + 1)
    assert not hand.all_open(m.UpdateLease)
    hand.say(m.LivenessReported(alive=True))
    hand.written()
    hand.say(m.LivenessReported(alive=False))
    keep_watching(hand, L)
    assert reasons(hand) == ["renew_deadline"]
    hand.work_ends()
    assert hand.state is State.STANDING_BY


@pytest.mark.parametrize("stay_out", [None, 3.0], ids=["one duration", "3 s"])
def test_elector_that_steps_down_before_it_leads_stays_out_for_a_while(stay_out):
    """Stepping down without a term only begins the staying out."""
    hand = Hand()
    hand.say(m.StartAsked())
    hand.say(m.StepDownAsked(stay_out=stay_out))
    hand.fetched()
    hand.wait((stay_out or 20) - 0.01)
    assert hand.state is State.STANDING_BY
    assert not hand.all_open(m.CreateLease)
    hand.wait(0.1)
    assert hand.all_open(m.CreateLease)


def test_staying_out_ends_when_another_leads():
    """It was for another to go first, and another did."""
    hand = Hand().lead()
    hand.say(m.StepDownAsked())
    hand.work_ends()
    hand.written()
    assert hand.state is State.STANDING_BY
    hand.rival_holds()
    hand.bring_all()
    assert hand.state is State.WAITING


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "candidate"])
def test_failing_engine_ends_a_term_and_contending_goes_on(leads):
    """Fault 07: all that was under way is dropped, and read anew with backoff."""
    hand = Hand().lead() if leads else candidate()
    hand.say(m.DriverFailed(error=LeaderElectionError("a defect")))
    assert not hand.open
    assert reasons(hand) == (["failed"] if leads else [])
    hand.wait(1)
    hand.fetched()
    hand.wait(1)
    assert hand.watch


def test_observer_follows_and_never_writes():
    """Observing is a mode of its own: free or not, it does not contend."""
    hand = Hand(observe=True).start()
    hand.wait(60)
    assert hand.state in {State.LOOKING, State.STANDING_BY}
    assert not [o for o in hand.out if isinstance(o, m.CreateLease | m.UpdateLease)]
