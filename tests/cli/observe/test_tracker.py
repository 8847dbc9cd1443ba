"""The tracker: what changed on a Lease and for how long nobody led, on given clocks."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.cli.observe.holders import recognise
from kubernetes_leader_election.cli.observe.tracker import Tracker
from kubernetes_leader_election.core.annotations import TOKEN, challenged
from tests.cli.observe.records import T0, at, lease


def test_tracker_counts_the_gap_from_the_release():
    """From a release to the next acquisition nobody led: that time is told."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    (released,) = tracker.see(lease(2, "", acquired=5, renewed=5), at(5))
    (acquired,) = tracker.see(
        lease(3, "bob", acquired=6, renewed=6), at(5.5), in_order=True
    )
    assert released.kind == "released"
    assert released.previous == "ada"
    assert acquired.kind == "acquired"
    assert acquired.nobody_led == pytest.approx(0.5)
    assert (acquired.holder, acquired.previous, acquired.token) == ("bob", "ada", 3)


def test_tracker_counts_the_gap_from_the_last_renewal_of_a_silent_leader():
    """A holder that went silent is counted from the last renewal that was seen."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    tracker.see(lease(2, renewed=3), at(3))
    assert tracker.state(at(12.9)) == "leads"
    assert tracker.expire(at(12.9)) == []
    (expired,) = tracker.expire(at(13.1))
    assert expired.kind == "expired"
    assert tracker.expire(at(13.2)) == []
    (acquired,) = tracker.see(lease(3, "bob", acquired=14, renewed=14), at(14))
    assert acquired.nobody_led == pytest.approx(11)


def test_tracker_counts_no_gap_after_an_expiry_that_was_none():
    """A late renewal after an expiry takes it back: nothing is counted from it."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    tracker.expire(at(11))
    tracker.see(lease(2, renewed=12), at(12))
    assert tracker.state(at(12)) == "leads"
    tracker.see(lease(3, "", renewed=20), at(20))
    (acquired,) = tracker.see(lease(4, "bob", acquired=21, renewed=21), at(20.25))
    assert acquired.nobody_led == pytest.approx(0.25)


def test_tracker_takes_no_first_sight_for_a_proof():
    """Who stands in a Lease at first sight may be dead: held, until seen to renew."""
    tracker = Tracker("x", at(0))
    (held,) = tracker.see(lease(7, renewed=9), at(0))
    assert held.kind == "held"
    assert held.token is None
    assert tracker.state(at(1)) == "held"
    assert not tracker.is_judged(at(1))
    assert tracker.is_judged(at(10.1))
    assert tracker.state(at(10.1)) == "expired"


def test_tracker_sees_no_change_in_labels():
    """A write that leaves the record alone is neither a renewal nor news (rule 2)."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    assert tracker.see(lease(2, renewed=0), at(5)) == []
    assert tracker.renewed is None
    assert tracker.quiet_for(at(6)) == 6


def test_tracker_passes_over_old_news():
    """A sighting older than what is known (a slow answer) changes nothing."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(5, "bob", acquired=5, renewed=5), at(0))
    assert tracker.see(lease(4, "ada"), at(1)) == []
    assert tracker.record.holder_identity == "bob"


def test_tracker_tells_of_deletion_and_of_wishes():
    """Deleting a held Lease and asking its holder to go are changes of their own."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    wish = {"kubernetes-leader-election/step-down": T0}
    (asked,) = tracker.see(lease(2, annotations=wish), at(1))
    (deleted,) = tracker.see(None, at(2))
    (acquired,) = tracker.see(lease(9, "bob", acquired=3, renewed=3), at(3))
    assert asked.kind == "asked to step down"
    assert deleted.kind == "deleted"
    assert acquired.nobody_led == pytest.approx(1)


def test_tracker_tells_of_a_challenge_to_the_present_record():
    """Once, and only where it is about the record that stands there."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    value = challenged(tracker.snapshot)["metadata"]["annotations"]
    (asked,) = tracker.see(lease(2, annotations=value), at(1))
    assert asked.kind == "asked whether it lives"
    assert "'ada' is asked whether it lives" in asked.text
    assert tracker.see(lease(3, annotations=value), at(2)) == []
    # A note that is kept is none about the next renewal.
    kept = tracker.see(lease(4, renewed=3, annotations=value), at(3))
    assert [one.kind for one in kept] == []


@pytest.mark.parametrize(
    ("holder", "manager", "kind", "honours"),
    [
        ("ada", "kubernetes-leader-election", "this package", True),
        (
            "n_0d5a6a0e-8c0f-4b7e-9f5e-3a1f2b3c4d5e",
            "kube-scheduler",
            "client-go",
            False,
        ),
        ("my-app-1", "node-fetch", "the Node package", False),
        ("pod-1", "OpenAPI-Generator", "a Python client", False),
        ("x", "my-operator", "my-operator", False),
        ("n_0d5a6a0e-8c0f-4b7e-9f5e-3a1f2b3c4d5e", None, "client-go?", None),
        ("ada", None, "unknown", None),
    ],
)
def test_holders_are_recognised_by_what_the_server_noted(
    holder, manager, kind, honours
):
    """The fields' managers tell who renews; without them a guess is marked as one."""
    found = recognise(lease(1, holder, manager=manager))
    assert (found.kind, found.honours_wishes) == (kind, honours)
    assert found.because


def test_holders_are_nobody_on_a_free_lease():
    """A free Lease has no holder to recognise."""
    assert recognise(lease(1, "")) is None


def test_tracker_knows_a_token_only_from_the_acquiring_write_itself():
    """After a gap in the history the version seen may be that of a renewal (G3)."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1), at(0))
    (acquired,) = tracker.see(lease(9, "bob", acquired=3, renewed=3), at(3))
    assert acquired.token is None


def test_tracker_takes_the_token_that_the_holder_noted():
    """A note for the present term tells the token to who did not see it acquired (G3)."""
    tracker = Tracker("x", at(0))
    (held,) = tracker.see(lease(7, renewed=9, annotations=noted(4, T0)), at(0))
    assert held.token == 4
    assert tracker.token == (4, "noted by the holder")
    later = lease(9, "bob", acquired=3, renewed=3, annotations=noted(4, T0))
    (acquired,) = tracker.see(later, at(3))
    assert acquired.token is None, "the note of the term before"
    assert tracker.token is None


def test_tracker_keeps_the_token_of_the_term_that_it_saw_begin():
    """A token seen counts for its term alone: not after a release, not after a loss."""
    tracker = Tracker("x", at(0))
    tracker.see(lease(1, ""), at(0))
    tracker.see(lease(2, acquired=1, renewed=1), at(1), in_order=True)
    tracker.see(lease(3, acquired=1, renewed=2), at(2), in_order=True)
    assert tracker.token == (2, "seen when it was acquired")
    tracker.see(lease(4, "", acquired=3, renewed=3), at(3), in_order=True)
    assert tracker.token is None
    tracker.see(lease(5, acquired=4, renewed=4), at(4), in_order=True)
    tracker.see(None, at(5))
    assert tracker.token is None


def noted(token: int, term: str) -> dict[str, str]:
    """Give the annotation with which a holder notes its token."""
    return {TOKEN: f"{token} {term}"}
