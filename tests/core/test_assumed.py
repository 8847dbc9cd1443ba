"""Leadership that is assumed where there is no cluster: no Lease, no token, no end."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.assumed import AssumedElection
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import LeaderElectionError
from tests.core.harness import Clock, settings

ORIGIN = settings().origin


def acquired(*, term):
    """Give the event of such a term: it says that it is assumed."""
    return m.LeadershipAcquired(**ORIGIN, term=term, token_if_any=None, assumed=True)


class Assumed:
    """An election without a Lease, in the hand."""

    def __init__(self, **changes):
        self.clock = Clock()
        self.core = AssumedElection(settings(**changes))

    def say(self, message):
        """Give one word, and what was told of it."""
        self.core.receive(message, now=self.clock.now())
        return self.core.drain()


def test_assumed_leader_leads_at_once_and_for_ever():
    """A term begins with the start; it has no token and does not run out."""
    hand = Assumed()
    assert hand.core.belief is None
    assert hand.say(m.StartAsked()) == [acquired(term=1)]
    hand.clock.advance(10.0**9)
    hand.clock.step_wall(-(10.0**6))
    assert hand.core.belief.holds(hand.clock.now())
    assert hand.core.belief.token is None
    assert hand.core.next_deadline() is None


@pytest.mark.parametrize(
    ("word", "reason", "after"),
    [
        pytest.param(m.StopAsked(), "stopped", State.STOPPED, id="stop"),
        pytest.param(m.EndAsked(term=1), "work_ended", State.LEADER, id="work returns"),
        pytest.param(
            m.StepDownAsked(stay_out=5.0), "stepped_down", State.STANDING_BY, id="out"
        ),
    ],
)
def test_assumed_leader_drains_before_its_term_ends(word, reason, after):
    """G4: one loss, then the end of the work, then what comes next."""
    hand = Assumed()
    hand.say(m.StartAsked())
    assert hand.say(word) == [
        m.LeadershipLost(**ORIGIN, term=1, token=None, reason=reason)
    ]
    assert hand.core.state is State.DRAINING
    assert hand.core.belief is None
    assert hand.core.term_deadline is not None
    hand.say(m.WorkEnded(term=1))
    assert hand.core.state is after
    assert (hand.core.term_deadline is not None) is (after is State.LEADER)


def test_assumed_leader_that_stepped_down_leads_again_when_its_time_is_over():
    """Staying out ends by the clock alone: there is nobody else."""
    hand = Assumed()
    hand.say(m.StartAsked())
    hand.say(m.StepDownAsked())
    hand.say(m.WorkEnded(term=1))
    assert hand.core.next_deadline() == hand.clock.boottime + 20
    hand.clock.advance(19.9)
    hand.core.handle_timer(now=hand.clock.now())
    assert hand.core.state is State.STANDING_BY
    hand.clock.advance(0.1)
    hand.core.handle_timer(now=hand.clock.now())
    assert hand.core.drain() == [acquired(term=2)]


def test_assumed_leader_that_only_observes_never_leads():
    """Observing is a mode of its own, here too."""
    hand = Assumed(observe=True)
    assert hand.say(m.StartAsked()) == []
    assert hand.core.state is State.LOOKING


def test_assumed_leader_whose_work_failed_stays_out_for_the_pause():
    """The reason says so, with what went wrong; then it leads again."""
    hand = Assumed()
    hand.say(m.StartAsked())
    failure = m.WorkFailure(stay_out=4.0, detail="planted")
    assert hand.say(m.EndAsked(term=1, failure=failure)) == [
        m.LeadershipLost(
            **ORIGIN, term=1, token=None, reason="work_failed", detail="planted"
        )
    ]
    hand.say(m.WorkEnded(term=1))
    assert hand.core.state is State.STANDING_BY
    hand.clock.advance(4.0)
    hand.core.handle_timer(now=hand.clock.now())
    assert hand.core.drain() == [acquired(term=2)]


def test_assumed_leader_that_steps_down_in_such_a_pause_waits_for_its_end():
    """Off-cluster as in one: the shorter of the two changes nothing."""
    hand = Assumed()
    hand.say(m.StartAsked())
    failure = m.WorkFailure(stay_out=4.0, detail="planted")
    hand.say(m.EndAsked(term=1, failure=failure))
    hand.say(m.WorkEnded(term=1))
    hand.say(m.StepDownAsked(stay_out=0.0))
    assert hand.core.state is State.STANDING_BY
    hand.clock.advance(4.0)
    hand.core.handle_timer(now=hand.clock.now())
    assert hand.core.drain() == [acquired(term=2)]


@pytest.mark.parametrize("stops", [True, False], ids=["stopped", "leads again"])
def test_assumed_leader_hears_nothing_of_a_term_that_is_over(stops):
    """G4: that the work returned may be said too late, and changes nothing then."""
    hand = Assumed()
    hand.say(m.StartAsked())
    hand.say(m.StopAsked() if stops else m.EndAsked(term=1))
    hand.say(m.WorkEnded(term=1))
    before = hand.core.state
    assert hand.say(m.EndAsked(term=1)) == []
    assert hand.core.state is before


def test_work_that_ended_says_how():
    """Off-cluster as in one: the loss carries what was said of the end."""
    hand = Assumed()
    hand.say(m.StartAsked())
    (lost,) = hand.say(m.EndAsked(term=1, detail="planted"))
    assert (lost.reason, lost.detail) == ("work_ended", "planted")


def test_assumed_leader_passes_over_what_does_not_concern_it():
    """No liveness, no clock and no failing engine ends a term without a Lease."""
    hand = Assumed()
    hand.say(m.StartAsked())
    hand.say(m.LivenessReported(alive=False))
    hand.say(m.LossSeen(term=1))
    error = LeaderElectionError("a defect")
    assert hand.say(m.DriverFailed(error=error)) == [
        m.ErrorOccurred(**ORIGIN, error=error)
    ]
    assert hand.core.state is State.LEADER
