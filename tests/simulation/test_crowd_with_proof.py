"""A thousand candidates see the proof of their leader's end: few ask, one follows soon."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.world import World
from kubernetes_leader_election.values import replace as with_settings

ASK_AT_MOST = 0.02
"""Share of the candidates."""


def plan_of(candidates, seed):
    """Give the world of the thousand with so many of them, all in pods."""
    plan = make_plan(seed, "thousand")
    nodes = tuple(
        replace(
            node,
            settings=with_settings(node.settings, crash_takeover=True),
        )
        for node in plan.nodes[:candidates]
    )
    return replace(
        plan, nodes=nodes, probes=("crash",), heal_at=40.0, leader_changes_needed=1
    )


@pytest.mark.parametrize(
    ("candidates", "most"),
    [
        pytest.param(150, 8, id="short form"),
        pytest.param(1000, 1000 * ASK_AT_MOST, marks=pytest.mark.slow, id="thousand"),
    ],
)
def test_few_of_many_candidates_ask_and_one_follows_within_seconds(candidates, most):
    """Fault 44: "who sees that another one has asked waits along" (rule 19, G6 G9)."""
    world = World(plan_of(candidates, seed=1))
    asked, times, ordered = [], {}, world.checks.ordered

    def note(time, who, lease, now):
        order = ordered(time, who, lease, now)
        if order.asks:
            asked.append(who.name)
            times.setdefault("asked", time)
        elif order.follows:
            times.setdefault("followed", time)
        return order

    died = world.checks.died

    def note_death(time, who):
        times.setdefault("died", time)
        died(time, who)

    world.checks.ordered, world.checks.died = note, note_death
    outcome = world.run()
    assert outcome.violations == ()
    assert 1 <= len(asked) <= most
    assert len(asked) == len(set(asked))
    # The kubelet's report takes up to 0.92 s, the question 0.3 s, the answer 1 s.
    assert times["asked"] - times["died"] < 0.92 + 0.3 + 0.1
    assert times["followed"] - times["died"] < 0.92 + 0.3 + 1.0 + 0.2
