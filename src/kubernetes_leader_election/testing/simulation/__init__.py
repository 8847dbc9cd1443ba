"""
The deterministic simulator: whole elections in virtual time, from one seed.

``generate`` makes a plan from a seed, ``world`` runs it, ``checkers`` and ``liveness``
watch the guarantees, ``shrink`` makes a failing plan small, ``failures`` tells it as a
story, ``soak`` runs worlds for as long as one likes.

A world of your own, with your own settings and faults, takes a few lines:

.. code-block:: python

    from kubernetes_leader_election.testing import simulation as sim

    nodes = tuple(
        sim.NodePlan(name=name, settings=sim.settings_for(name, duration=20, share=0.5))
        for name in ("a", "b", "c")
    )
    plan = sim.Plan(
        seed=1,
        profile="default",
        nodes=nodes,
        faults=(
            sim.Fault(at=30.0, kind="freeze", target="leader", length=60.0, detail="stop"),
            sim.Fault(at=100.0, kind="outage", length=15.0, detail="503"),
        ),
        heal_at=150.0,
        probes=("crash", "stop"),
        ends=1000.0,
    )
    recorder = sim.Recorder()
    outcome = sim.run_plan(plan, recorder=recorder)
    assert not outcome.violations, sim.explain(plan)
    print(outcome.tally.leader_changes, "changes of the leader")
    print(recorder.text(last=20))

Kinds of faults are the keys of ``faults.ON_NODE`` and ``faults.ON_WORLD``; what their
``length``, ``amount`` and ``detail`` mean stands with each function there.
``make_plan(seed)`` gives the random worlds that this package itself is tested with.
"""

from __future__ import annotations

from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.cores import Versions
from kubernetes_leader_election.testing.simulation.drawn_nodes import settings_for
from kubernetes_leader_election.testing.simulation.failures import explain, explain_seed
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import (
    Fault,
    NodePlan,
    Plan,
    Tally,
)
from kubernetes_leader_election.testing.simulation.shrink import shrink
from kubernetes_leader_election.testing.simulation.timeline import timeline_svg
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import Outcome, run_plan

__all__ = [
    "Fault",
    "NodePlan",
    "Outcome",
    "Plan",
    "Recorder",
    "Tally",
    "Versions",
    "Violation",
    "explain",
    "explain_seed",
    "make_plan",
    "run_plan",
    "settings_for",
    "shrink",
    "timeline_svg",
]
