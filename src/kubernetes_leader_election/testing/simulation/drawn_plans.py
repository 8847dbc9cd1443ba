"""What most kinds of worlds have in common: candidates, faults, then healing and probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.testing.simulation.drawn_faults import (
    MakeFault,
    draw_attacks,
    draw_faults,
    world_fault_of,
)
from kubernetes_leader_election.testing.simulation.drawn_nodes import (
    DURATIONS,
    USUAL_DURATIONS,
    Random,
    draw_nodes,
    draw_rival,
)
from kubernetes_leader_election.testing.simulation.plan import Plan, Probe, Profile


def with_all(plan: Plan, **changes: Any) -> Plan:
    """Change the same of all nodes."""
    return replace(plan, nodes=tuple(replace(node, **changes) for node in plan.nodes))


def slowed(plan: Plan) -> Plan:
    """Put all on a slow link, on which what is over elsewhere in a moment lasts."""
    nodes = tuple(
        replace(node, delay=0.15 * node.settings.request_timeout) for node in plan.nodes
    )
    # What touches the Lease while a slow write is under way holds up a take-over.
    probes = tuple(probe for probe in plan.probes if probe != "crash")
    return replace(plan, nodes=nodes, probes=probes)


def draw_faulty(
    seed: int,
    draw: Random,
    profile: Profile,
    *,
    candidates: int = 3,
    faults: tuple[int, int] = (6, 16),
    at_least: float = 0.0,
    often: Mapping[str, int] | None = None,
    rivals: float = 0.2,
    shared: ElectionSettings | None = None,
    bad_for: float = 14.0,
    world_fault: MakeFault = world_fault_of,
) -> Plan:
    """
    Draw a world in which things go wrong until everything heals.

    Args:
        seed: of the world.
        draw: where all but the attacks come from.
        profile: its name.
        candidates: how many take part.
        faults: how many there are, at least and at most.
        at_least: seconds that it is bad for at least.
        often: weights of kinds of faults that differ from the usual ones.
        rivals: how likely the last candidate is one of another library.
        shared: the options of all; None: they are drawn.
        bad_for: lease durations that it is bad for.
        world_fault: draws what happens to all, or to the Lease.

    """
    # A world that lasts is one of those that people run.
    durations = USUAL_DURATIONS if at_least else DURATIONS
    nodes = list(draw_nodes(draw, candidates, durations, shared))
    if draw.random() < rivals:
        nodes[-1] = draw_rival(draw, nodes[-1].name)
    longest = max(node.settings.lease_duration for node in nodes)
    if draw.random() < 0.3:
        nodes[0] = replace(nodes[0], starts=0.0)
    until = max(bad_for * longest, at_least)
    probes: list[Probe] = ["crash", "stop", "outage", "quiet", "churn"]
    draw.shuffle(probes)
    drawn = draw_faults(
        draw,
        [node.name for node in nodes],
        count=draw.randint(*faults),
        until=until,
        longest=longest,
        often=often or {},
        world_fault=world_fault,
    )
    attacks = draw_attacks(seed, profile, until=until, longest=longest)
    return Plan(
        seed=seed,
        profile=profile,
        nodes=tuple(nodes),
        faults=tuple(sorted((*drawn, *attacks), key=lambda fault: fault.at)),
        heal_at=until,
        probes=tuple(probes[:2]),
        ends=40.0 * max(20, longest) + until,
        faults_needed=3,
        leader_changes_needed=2,
    )
