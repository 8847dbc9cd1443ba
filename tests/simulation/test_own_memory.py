"""Rule 5: which writes of its own a process is expected to know again, and which not."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.testing.simulation.own_memory import (
    WRITES_KEPT,
    OwnMemory,
)
from kubernetes_leader_election.testing.simulation.store import Stored


def lease(version, holder="a", renewed=1, uid="u", restores=0):
    """Give a Lease as it is stored; ``renewed`` stands for both times."""
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 20,
        "acquireTime": renewed,
        "renewTime": renewed,
    }
    return Stored({"metadata": {}, "spec": spec}, version, uid, restores)


BASE, OWN = lease(5, "b"), lease(7, renewed=2)


@pytest.fixture
def memory():
    """Give what ``a`` remembers, who ordered an acquire on ``BASE``."""
    made = OwnMemory("a")
    made.ordered((2, 2), BASE)
    return made


@pytest.mark.parametrize(
    ("told", "knows"),
    [
        ([], True),
        ([OWN], True),
        ([BASE, OWN], True),
        ([OWN, OWN], True),
        ([lease(6, "b")], False),
        ([lease(6, "c", renewed=3)], False),
        ([lease(4, "c")], False),
        ([lease(5, "b", restores=1)], False),
        ([OWN, BASE], False),
        ([OWN, lease(8, renewed=2)], True),
        ([lease(7, renewed=2, uid="v")], False),
        ([lease(7, "c", renewed=2)], False),
        ([None], False),
    ],
    ids=[
        "nothing",
        "itself",
        "its base before it",
        "itself again",
        "its base, touched",
        "what overtook it",
        "an earlier record",
        "another with the number of its base",
        "its base after it",
        "itself, touched",
        "a copy under another uid",
        "its times under another name",
        "that there is no Lease",
    ],
)
def test_what_else_a_process_is_told_may_make_it_forget(memory, told, knows):
    """All but the write itself, and before that what it was based on."""
    for stored in told:
        if stored is None:
            memory.shown_none()
        else:
            memory.shown(stored)
    assert memory.knows(OWN) is knows


def test_what_it_creates_may_land_after_a_read_that_finds_nothing():
    """Rule 4: and is known by no uid before it is shown there."""
    memory = OwnMemory("a")
    memory.ordered((2, 2), None)
    memory.shown_none()
    assert memory.knows(lease(7, renewed=2, uid="v"))
    memory.shown(OWN)
    assert memory.knows(OWN)
    assert not memory.knows(lease(8, renewed=2, uid="v"))
    memory.shown_none()
    assert not memory.knows(OWN)


def test_what_it_creates_is_forgotten_when_another_is_seen_before_it_lands():
    """Rule 5: it may land after a deletion of which nothing is heard."""
    memory = OwnMemory("a")
    memory.ordered((2, 2), None)
    memory.shown(lease(5, "b"))
    assert not memory.knows(OWN)


def test_nothing_is_known_again_after_a_deletion(memory):
    """Rule 5: others may have led since, and been deleted."""
    memory.forget()
    assert not memory.knows(OWN)


def test_first_of_several_tries_is_known_until_another_one_is_seen(memory):
    """Rule 10: the first may land yet when the second is ordered on the same record."""
    memory.ordered((3, 3), BASE)
    memory.shown(BASE)
    assert memory.knows(OWN)
    assert memory.knows(lease(7, renewed=3))
    memory.shown(OWN)
    assert memory.knows(OWN)
    assert not memory.knows(lease(8, renewed=3))


@pytest.mark.parametrize(
    ("more", "knows"), [(WRITES_KEPT - 1, True), (WRITES_KEPT, False)]
)
def test_oldest_of_too_many_writes_is_not_expected_to_be_known(memory, more, knows):
    """Rule 5: so many are remembered."""
    for number in range(more):
        memory.ordered((10 + number, 10 + number), BASE)
    assert memory.knows(OWN) is knows
