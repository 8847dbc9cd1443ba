"""What a simulated process is checked for itself: what it leaves, and what it answers."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.testing.simulation.drawn_nodes import settings_for
from kubernetes_leader_election.testing.simulation.plan import NodePlan, Plan
from kubernetes_leader_election.testing.simulation.store import CHALLENGE
from kubernetes_leader_election.testing.simulation.world import World


@pytest.fixture
def world():
    """Give a world in which one process leads, just after its first write."""
    settings = settings_for("a", duration=20, share=0.5)
    node = NodePlan(name="a", settings=settings)
    ends = {"heal_at": 90.0, "ends": 99.0}
    plan = Plan(seed=1, profile="default", nodes=(node,), faults=(), **ends)
    made = World(plan, stop_at_violation=False)
    made.nodes["a"].start_process()
    while not made.leader():
        assert made.advance(10.0)
    return made


def found(world):
    """Give what was found broken."""
    return [violation.text for violation in world.checks.violations]


@pytest.mark.parametrize(
    ("forgets", "late", "broken"),
    [(False, False, True), (True, False, False), (False, True, False)],
    ids=["knows it", "told of another", "another acquire is its last"],
)
def test_who_stops_and_leaves_what_it_knows_for_its_own_breaks_g7(
    world, forgets, late, broken
):
    """Rule 12: but rule 5 has it forget what another record overtook."""
    process = world.leader()
    if forgets:
        process.witness.memory.forget()
    if late:
        process.acquire_time = "another"
    process._check_given_back(State.RELEASING)
    text = "stopped, and left its Lease to itself while it was RELEASING"
    assert found(world) == ([text] if broken else [])


@pytest.mark.parametrize(
    ("changes", "broken"),
    [({}, True), ({"answered": None}, False), ({"term_acquire": "another"}, False)],
    ids=["could write", "its last write failed", "asked of another term"],
)
@pytest.mark.parametrize("writes", [False, True])
def test_who_is_asked_whether_it_lives_and_writes_nothing_breaks_g1(
    world, changes, broken, writes
):
    """Rule 19: at once, unless a write of its own failed or is under way."""
    process, store = world.leader(), world.network.store
    process.witness.ends.challenge = 2.0
    _, holder, _, acquired, renewed, _ = store.current.key
    store.annotate(world.time, CHALLENGE, f"1 {acquired} {renewed} {holder}")
    assert store.current.challenged
    for name, value in changes.items():
        setattr(process.witness, name, value)
    if writes:
        process.open[99] = "LeasePUT"
    process._check_answered(store.current)
    text = "was asked whether it lives, and does not answer (rule 19)"
    assert found(world) == ([text] if broken and not writes else [])
