"""What a holder notes on its Lease for people: the fencing token of its term."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import annotations as lease_annotations
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.record import format_time, read_snapshot
from kubernetes_leader_election.core.states import State
from tests.core.harness import WALL, Hand

TERM = format_time(WALL)


def held(note, *, version="9", holder="a", acquired=TERM):
    """Give a snapshot of a Lease that carries a note."""
    return read_snapshot(
        {
            "metadata": {
                "resourceVersion": version,
                "annotations": {lease_annotations.TOKEN: note},
            },
            "spec": {"holderIdentity": holder, "acquireTime": acquired},
        }
    )


def note_on(hand):
    """Give the note that stands on the stored Lease."""
    return (hand.store.lease["metadata"].get("annotations") or {}).get(
        lease_annotations.TOKEN
    )


def test_first_renewal_notes_the_token_of_its_term():
    """G3, G9: the note is the acquired event's token, and costs no request."""
    hand = Hand().start()
    hand.written()
    (acquired,) = hand.events(m.LeadershipAcquired)
    assert note_on(hand) is None
    hand.wait(10)
    hand.written()
    assert (
        lease_annotations.noted_token(read_snapshot(hand.store.lease)) == acquired.token
    )
    assert int(hand.store.lease["metadata"]["resourceVersion"]) == acquired.token + 1


def test_release_takes_the_note_off():
    """A free Lease carries no token of anybody."""
    hand = Hand().lead()
    hand.wait(10)
    hand.written()
    hand.say(m.StopAsked())
    hand.work_ends()
    hand.written()
    assert hand.state is State.STOPPED
    assert note_on(hand) is None


def test_acquire_takes_the_note_of_the_term_before_off():
    """Whoever takes over leaves no note of a holder that crashed."""
    hand = Hand()
    hand.store.edit(holderIdentity="b", leaseDurationSeconds=20)
    hand.store.edit(
        metadata={"annotations": {lease_annotations.TOKEN: "4 x", "kept": "yes"}}
    )
    hand.start()
    hand.wait(21)
    assert hand.write.lease["metadata"]["annotations"] == {"kept": "yes"}


@pytest.mark.parametrize(
    "lease",
    [{}, {"metadata": None}, {"metadata": {"annotations": "odd"}}],
    ids=["no metadata", "null", "odd annotations"],
)
def test_note_is_left_out_where_it_cannot_be_made(lease):
    """Rule 3: an odd object is data; it is sent back as it was read."""
    assert lease_annotations.with_token(lease, token=4, acquire_time=WALL) is lease


def test_note_is_made_once_and_keeps_what_others_wrote():
    """Rule 6: other annotations are kept; a Lease with the note is not even copied."""
    before = {"metadata": {"annotations": {"x": "y"}, "uid": "u"}}
    after = lease_annotations.with_token(before, token=4, acquire_time=WALL)
    assert after["metadata"]["annotations"] == {
        "x": "y",
        lease_annotations.TOKEN: f"4 {TERM}",
    }
    assert lease_annotations.TOKEN not in before["metadata"]["annotations"]
    assert lease_annotations.with_token(after, token=4, acquire_time=WALL) is after


def test_note_is_left_out_where_versions_cannot_be_compared():
    """A term without a token has nothing to note."""
    lease = {"metadata": {}}
    assert lease_annotations.with_token(lease, token=None, acquire_time=WALL) is lease


@pytest.mark.parametrize(
    ("snapshot", "token"),
    [
        pytest.param(held(f"7 {TERM}"), 7, id="of this term"),
        pytest.param(held(f"7 {TERM}", version="odd"), 7, id="odd version"),
        pytest.param(held(f"10 {TERM}"), None, id="later than the Lease"),
        pytest.param(held(f"7 {format_time(WALL - 1)}"), None, id="of another term"),
        pytest.param(held(f"7 {TERM}", holder=""), None, id="nobody holds it"),
        pytest.param(held(f"7 {TERM}", acquired="odd"), None, id="odd acquire time"),
        pytest.param(held("7 odd", acquired="odd"), None, id="both odd"),
        pytest.param(held(f"seven {TERM}"), None, id="no number"),
        pytest.param(held("7"), None, id="names no term"),
        pytest.param(held(7), None, id="no text"),
        pytest.param(held(None), None, id="null"),
    ],
)
def test_note_counts_for_the_term_that_it_names(snapshot, token):
    """A note that another library kept, or that somebody made up, is none."""
    assert lease_annotations.noted_token(snapshot) == token
