"""What a candidate may believe of the end of another, judged from outside (rules 18 and 19)."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.testing.simulation.ends import (
    MOST_QUESTIONS,
    Ends,
    is_of_the_past,
)
from kubernetes_leader_election.testing.simulation.store import CHALLENGE, POD, Stored

D = 20
NONCE, OTHER = "0" * 32, "1" * 32
FIRST = "2025-06-15T15:00:00.000000Z"


def record(
    version=1, *, renewed=FIRST, acquired=FIRST, transitions=1, uid="u", **notes
):
    """Give a Lease that "a" holds, with its note for this very record."""
    about = f"{acquired} {renewed} a"
    note = f"1 default pod-a uid-of-pod-a app {NONCE} 1000 {about}"
    lease = {
        "metadata": {"annotations": {POD: note, **notes}},
        "spec": {
            "holderIdentity": "a",
            "acquireTime": acquired,
            "renewTime": renewed,
            "leaseDurationSeconds": D,
            "leaseTransitions": transitions,
        },
    }
    return Stored(lease, version, uid)


def at(second):
    """Give the place of a second in the clock of a record."""
    return f"2025-06-15T15:00:{second:02}.000000Z"


def clocks(monotonic, wall=0.0):
    """Give a reading of all clocks."""
    return monotonic, monotonic, int(wall * 1_000_000)


def who_saw_it_alive():
    """Give a candidate whose watch showed a renewal, and the proof; and the record."""
    ends = Ends(1.0, D)
    ends.knows = True
    before, now = record(1), record(2, renewed=at(5))
    ends.sees_change(before, now)
    ends.hears(before, now)
    ends.proofs.add(NONCE)
    return ends, now


def test_proof_of_a_term_that_was_seen_alive_may_be_used():
    """And of no other one, nor one that its watch did not show to live."""
    ends, now = who_saw_it_alive()
    assert ends.may_ask(now, clocks(100.0))
    ends.opens_watch()
    assert not ends.may_ask(now, clocks(100.0))


def test_nothing_may_be_believed_for_a_full_duration_after_the_lease_went_back():
    """The larger of its own and of what the record is good for."""
    ends, now = who_saw_it_alive()
    ends.distrusts(100.0, 30.0)
    ends.hears(now, record(3, renewed=at(9)))
    later = record(3, renewed=at(9))
    assert not ends.may_ask(later, clocks(129.9))
    assert ends.may_ask(later, clocks(130.0))


def test_process_whose_record_changes_lives():
    """Whatever its kubelet says of it from then on."""
    ends, now = who_saw_it_alive()
    later = record(3, renewed=at(9))
    ends.sees_change(now, later)
    ends.hears(now, later)
    ends.proofs.add(NONCE)
    assert not ends.may_ask(later, clocks(100.0))


@pytest.mark.parametrize(
    ("age", "may"), [(0.0, True), (19.9, True), (20.1, False), (-20.1, False)]
)
def test_former_self_is_believed_while_its_record_is_young(age, may):
    """By the wall clock of the machine that both ran on."""
    ends, old = Ends(1.0, D), record()
    ends.pod, ends.nonce = "uid-of-pod-a", OTHER
    ends.proofs.add(NONCE)
    written = 1_749_999_600.0  # FIRST
    assert ends.may_ask(old, clocks(5.0, written + age)) is may


def test_holder_has_the_time_that_it_asks_for():
    """From when the question was first seen in this very version."""
    ends, now = who_saw_it_alive()
    asked = record(3, renewed=at(5), **{CHALLENGE: f"1 {FIRST} {at(5)} a"})
    assert asked.challenged
    assert not ends.may_follow(asked, clocks(200.0))
    ends.questions[asked.version, asked.key] = 100.0
    assert not ends.may_follow(asked, clocks(100.9))
    assert ends.may_follow(asked, clocks(101.0))
    assert now.key == asked.key


def test_questions_about_one_record_are_counted():
    """Fault 24: a policy that takes them away makes no hot loop."""
    ends, now = who_saw_it_alive()
    assert not any(ends.asks_too_often(now) for _ in range(MOST_QUESTIONS))
    assert ends.asks_too_often(now)
    assert not ends.asks_too_often(record(3, renewed=at(9)))


@pytest.mark.parametrize(
    ("changes", "past"),
    [
        ({"renewed": at(9)}, False),
        ({"acquired": at(8), "renewed": at(8), "transitions": 2}, False),
        ({"renewed": at(1)}, True),
        ({"transitions": 0}, True),
        ({"renewed": at(9), "uid": "v"}, True),
    ],
)
def test_record_of_the_past_is_told_by_its_times_its_transitions_and_its_uid(
    changes, past
):
    """As after a restore, an edit, or where another Lease has the name now."""
    before = record(1, renewed=at(5))
    assert is_of_the_past(before, record(2, **changes)) is past
