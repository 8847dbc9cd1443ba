"""Beginnings and questions that the tests of the rules share."""

from __future__ import annotations

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time
from kubernetes_leader_election.core.states import State
from tests.core.harness import WALL, Hand

D, R, L, T = 20, 10.0, 15.0, 2.5
"""What :func:`tests.core.harness.settings` gives."""


def held_by_b(**changes):
    """Give the spec of a Lease that the rival b holds."""
    spec = {
        "holderIdentity": "b",
        "leaseDurationSeconds": D,
        "acquireTime": format_time(WALL),
        "renewTime": format_time(WALL),
        "leaseTransitions": 7,
    }
    return {**spec, **changes}


def candidate(*, hand=None, **lease):
    """Give an elector that waits for the rival b, with its watch open."""
    hand = hand if hand is not None else Hand()
    hand.store.edit(**held_by_b(**lease))
    hand.start()
    hand.seen = len(hand.store.history)
    return hand


def wait_in_full(hand, duration=D):
    """Wait a duration: no sooner does the elector write."""
    hand.wait(duration - 0.001)
    assert hand.state is State.WAITING
    hand.wait(0.002)
    assert hand.state is State.ACQUIRING


def reasons(hand):
    """Give the reasons of the losses told so far."""
    return [e.reason for e in hand.events(m.LeadershipLost)]


def bookmark(hand):
    """Let the watch bring a bookmark: it lives, and there is no news."""
    version = str(hand.store.version)
    return hand.bring("BOOKMARK", {"metadata": {"resourceVersion": version}})


def keep_watching(hand, seconds):
    """Let time pass under a watch that brings a bookmark each second."""
    left = seconds
    while left > 0:
        hand.wait(min(left, 1.0))
        left -= 1.0
        bookmark(hand)
