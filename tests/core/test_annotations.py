"""Wishes of people, written on the Lease as annotations."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import annotations as lease_annotations
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time, read_snapshot
from kubernetes_leader_election.core.states import State
from tests.core.harness import WALL, Hand

WISH = {lease_annotations.STEP_DOWN: format_time(WALL)}


def snapshot(annotations, **metadata):
    """Give a snapshot with these annotations."""
    return read_snapshot({"metadata": {"annotations": annotations, **metadata}})


@pytest.mark.parametrize(
    ("annotations", "asked"),
    [
        pytest.param(WISH, True, id="this term"),
        pytest.param(
            {lease_annotations.STEP_DOWN: format_time(WALL + 1)}, False, id="another"
        ),
        pytest.param({lease_annotations.STEP_DOWN: True}, False, id="no time"),
        pytest.param({}, False, id="none"),
        pytest.param(None, False, id="null"),
        pytest.param("odd", False, id="odd"),
    ],
)
def test_step_down_names_the_term_it_is_for(annotations, asked):
    """A wish names its term by the acquire time, so it never reaches a later one."""
    assert lease_annotations.asks_to_step_down(snapshot(annotations), WALL) is asked


@pytest.mark.parametrize(
    ("successor", "another"),
    [
        pytest.param("c", True, id="another"),
        pytest.param("a", False, id="ourselves"),
        pytest.param("", False, id="nobody"),
        pytest.param(5, False, id="odd"),
        pytest.param(None, False, id="null"),
    ],
)
def test_successor_is_another_or_nobody(successor, another):
    """Only a name that is not ours is somebody who goes first."""
    found = snapshot({lease_annotations.SUCCESSOR: successor})
    assert lease_annotations.names_another(found, "a") is another


def test_annotations_have_the_names_that_other_versions_know():
    """Rule 6: electors of two versions share a Lease, and people's tools read it."""
    assert lease_annotations.STEP_DOWN == "kubernetes-leader-election/step-down"
    assert lease_annotations.SUCCESSOR == "kubernetes-leader-election/successor"
    assert lease_annotations.TOKEN == "kubernetes-leader-election/fencing-token"


def test_wishes_are_taken_off_and_the_rest_is_kept():
    """Rule 6: other annotations are kept as read; the Lease itself is not changed."""
    lease = {"metadata": {"annotations": {**WISH, "x": "y"}, "uid": "u"}}
    less = lease_annotations.without(lease, lease_annotations.STEP_DOWN)
    assert less == {"metadata": {"annotations": {"x": "y"}, "uid": "u"}}
    assert lease_annotations.STEP_DOWN in lease["metadata"]["annotations"]


@pytest.mark.parametrize(
    "lease",
    [
        {},
        {"metadata": None},
        {"metadata": {"annotations": "odd"}},
        {"metadata": {"annotations": {"x": "y"}}},
    ],
    ids=["no metadata", "null", "odd annotations", "other annotations"],
)
def test_lease_without_wishes_is_left_alone(lease):
    """A Lease without wishes is not even copied."""
    assert lease_annotations.without(lease, lease_annotations.STEP_DOWN) is lease


def ask_to_step_down(hand):
    """Write the wish for the present term on the Lease."""
    acquired = hand.store.lease["spec"]["acquireTime"]
    hand.store.edit(metadata={"annotations": {lease_annotations.STEP_DOWN: acquired}})
    hand.bring_all()


def test_leader_steps_down_when_the_lease_asks_for_it():
    """A leader that sees the wish for its term drains, releases and stays out."""
    hand = Hand().lead()
    ask_to_step_down(hand)
    (lost,) = hand.events(m.LeadershipLost)
    assert (hand.state, lost.reason) == (State.DRAINING, "stepped_down")
    assert "annotation" in lost.detail
    hand.work_ends()
    hand.written()
    assert hand.state is State.STANDING_BY
    assert hand.store.lease["metadata"]["annotations"] == {}


def test_wish_that_comes_with_a_proof_counts_both():
    """One sighting that proves a renewal and carries the wish does both."""
    hand = Hand().lead()
    ask = {lease_annotations.STEP_DOWN: hand.store.lease["spec"]["acquireTime"]}
    hand.wait(10)
    hand.commit()
    hand.store.edit(metadata={"annotations": ask})
    hand.bring()
    kinds = {type(e) for e in hand.events(m.LeadershipLost, m.LeaseRenewed)}
    assert kinds == {m.LeaseRenewed, m.LeadershipLost}
    assert hand.state is State.DRAINING


def test_draining_leader_hears_no_wish():
    """G4: a term that drains already is not lost twice."""
    hand = Hand().lead()
    hand.say(m.StopAsked())
    ask_to_step_down(hand)
    reasons = [e.reason for e in hand.events(m.LeadershipLost)]
    assert (hand.state, reasons) == (State.DRAINING, ["stopped"])


def test_candidate_lets_the_named_successor_go_first():
    """A free Lease that names another successor is left to it for a while."""
    hand = Hand()
    hand.store.edit(holderIdentity="")
    hand.store.edit(metadata={"annotations": {lease_annotations.SUCCESSOR: "c"}})
    hand.start()
    hand.wait(4.9)
    assert hand.state is State.CONTENDING
    hand.wait(0.2)
    assert hand.state is State.ACQUIRING
    assert hand.write.lease["metadata"]["annotations"] == {}
