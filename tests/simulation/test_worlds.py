"""Random worlds: the core survives them, and planted mistakes do not."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.world import run_plan
from tests.simulation.planted_bugs import BUGS

WORLDS = 1000
THREE = (
    "deadline counted from the response",
    "no uid on the put",
    "release before the work ended",
)


@pytest.mark.slow
def test_core_keeps_every_guarantee_in_a_thousand_worlds():
    """G1-G9: no violation in any of them, and most count."""
    outcomes = [run_plan(make_plan(seed)) for seed in range(WORLDS)]
    broken = {o.plan.seed: o.violations for o in outcomes if o.violations}
    assert broken == {}
    assert sum(o.valid for o in outcomes) > WORLDS / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", THREE)
def test_simulator_finds_a_planted_bug(name):
    """A mutated core breaks a guarantee within the seeds it states."""
    bug = BUGS[name]
    found = False
    for seed in range(bug.seeds):
        plan = make_plan(seed, bug.profile)
        if run_plan(plan, make_election=bug.election).violations:
            found = True
            break
    assert found
