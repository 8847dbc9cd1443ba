"""Worlds without faults: everything is good, and then it is probed."""

from __future__ import annotations

from kubernetes_leader_election.testing.simulation.drawn_nodes import (
    Random,
    draw_settings,
    settings_for,
)
from kubernetes_leader_election.testing.simulation.drawn_plans import with_all
from kubernetes_leader_election.testing.simulation.plan import (
    NodePlan,
    Plan,
    Probe,
    Profile,
)
from kubernetes_leader_election.values import replace as with_settings


def quiet(seed: int, draw: Random) -> Plan:
    """Three candidates, good clocks, no faults: all probes."""
    shared = draw_settings(draw, "shared")
    nodes = tuple(
        NodePlan(
            name=name,
            settings=with_settings(shared, identity=name),
            starts=round(draw.uniform(0.0, 5.0), 3),
            rate=round(draw.uniform(0.999, 1.001), 6),
            wall_offset=round(draw.uniform(-60, 60), 3),
            stop_share=0.5,
        )
        for name in ("a", "b", "c")
    )
    until = 2.0 * shared.lease_duration
    return Plan(
        seed=seed,
        profile="quiet",
        nodes=nodes,
        faults=(),
        heal_at=until,
        probes=("quiet", "crash", "quiet", "stop", "outage", "quiet", "hang", "quiet"),
        ends=until + 1000.0,
        leader_changes_needed=3,
    )


def thousand(seed: int, draw: Random) -> Plan:
    """A thousand candidates on one Lease, whose leader crashes (fault 44)."""
    probes: tuple[Probe, ...] = ("crash", "quiet", "stop")
    plan = _many(seed, draw, "thousand", count=1000, latest=10.0, probes=probes)
    return with_all(plan, delay=0.001, jitter=0.004, lateness=0.005)


def crowd(seed: int, draw: Random) -> Plan:
    """Two dozen candidates, whose leader crashes, stops, and comes to its end."""
    probes: tuple[Probe, ...] = ("crash", "stop", "return", "crash")
    plan = _many(seed, draw, "crowd", count=24, latest=5.0, probes=probes)
    return with_all(plan, delay=0.0005, jitter=0.001)


def _many(
    seed: int,
    draw: Random,
    profile: Profile,
    *,
    count: int,
    latest: float,
    probes: tuple[Probe, ...],
) -> Plan:
    """Draw candidates alike, of which one comes first and the others until ``latest``."""
    names = [f"n{index:0{len(str(count - 1))}}" for index in range(count)]
    nodes = tuple(
        NodePlan(
            name=name,
            settings=settings_for(name, duration=20, share=0.5),
            starts=0.0 if name == names[0] else round(draw.uniform(0.5, latest), 3),
        )
        for name in names
    )
    return Plan(
        seed=seed,
        profile=profile,
        nodes=nodes,
        faults=(),
        heal_at=latest + 5.0,
        probes=probes,
        ends=400.0,
        leader_changes_needed=3,
    )
