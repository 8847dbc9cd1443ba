"""Who takes part in a random world: settings, clocks, links and foreign electors."""

from __future__ import annotations

import random
from typing import Final, Literal

from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.testing.simulation.plan import NodePlan
from kubernetes_leader_election.testing.simulation.store import RHO
from kubernetes_leader_election.values import replace as with_settings

Random = random.Random
LEASE_NAME = "simulated"
NAMESPACE = "default"


def settings_for(
    identity: str, *, duration: int, share: float, budget: float = 0.05
) -> ElectionSettings:
    """
    Return settings that keep G2: L / (1 - rho) + S <= D / (1 + rho).

    ``share`` is R as a share of D where that leaves room for two requests.
    """
    stop = max(0.5 if duration > 2 else 0.2, budget * duration)
    bound = (duration / (1.0 + RHO) - stop) * (1.0 - RHO)
    deadline = int(min(0.75 * duration, bound) * 1000) / 1000
    least = min(0.5, deadline / 4)
    interval = round(min(share * duration, deadline - 2 * least), 3)
    timeout = round(min(5.0, max(least, (deadline - interval) / 2)), 3)
    return ElectionSettings(
        lease_name=LEASE_NAME,
        namespace=NAMESPACE,
        identity=identity,
        lease_duration=duration,
        renew_interval=interval,
        renew_deadline=deadline,
        stop_budget=stop,
        request_timeout=timeout,
        clock_rate_error=RHO,
    )


DURATIONS: Final = (3, 5, 8, 10, 15, 15, 20, 20, 30)
USUAL_DURATIONS: Final = (15, 15, 20, 20, 30)


def draw_settings(
    draw: Random, identity: str, durations: tuple[int, ...] = DURATIONS
) -> ElectionSettings:
    """Draw the options of one program."""
    duration = draw.choice(durations)
    share = draw.choice((0.25, 1 / 3, 0.4, 0.5))
    return settings_for(
        identity, duration=duration, share=share, budget=draw.choice((0.05, 0.1))
    )


def draw_rate(draw: Random) -> float:
    """Draw how fast the clocks of a machine go, within rho."""
    kind = draw.random()
    if kind < 0.3:
        return 1.0
    if kind < 0.6:
        return draw.choice((1.0 - RHO, 1.0 + RHO))
    return round(draw.uniform(1.0 - RHO, 1.0 + RHO), 3)


def draw_nodes(
    draw: Random,
    count: int,
    durations: tuple[int, ...],
    shared: ElectionSettings | None,
) -> tuple[NodePlan, ...]:
    """Draw nodes; without ``shared`` their settings, too, which are now and then each its own."""
    own = False
    if shared is None:
        shared = draw_settings(draw, "shared", durations)
        own = draw.random() < 0.3
    same_identity = draw.random() < 0.1
    offsets = draw.random() < 0.7
    nodes = []
    for index in range(count):
        name = chr(ord("a") + index)
        identity = "twin" if same_identity else name
        settings = (
            draw_settings(draw, identity, durations)
            if own
            else with_settings(shared, identity=identity)
        )
        nodes.append(
            NodePlan(
                name=name,
                settings=settings,
                starts=round(draw.choice((0.0, draw.uniform(0.0, 10.0))), 3),
                rate=draw_rate(draw),
                wall_offset=round(draw.uniform(-3600, 3600), 3) if offsets else 0.0,
                delay=draw.choice((0.0005, 0.002, 0.01)),
                jitter=draw.choice((0.001, 0.005, 0.05)),
                lateness=draw.choice((0.0, 0.0, 0.01, 0.1)),
                stop_share=draw.choice((0.0, 0.5, 1.0)),
            )
        )
    return tuple(nodes)


def draw_rival(draw: Random, name: str) -> NodePlan:
    """Draw an elector of another library."""
    kind: Literal["client-go", "node-package"] = draw.choice(
        ("client-go", "client-go", "client-go", "node-package")
    )
    settings = settings_for(f"rival-{name}", duration=15, share=2 / 15)
    if kind == "node-package":
        settings = settings_for(f"rival-{name}", duration=20, share=0.5)
    return NodePlan(
        name=name,
        kind=kind,
        settings=settings,
        starts=round(draw.uniform(0.0, 20.0), 3),
        rate=draw_rate(draw),
        wall_offset=draw.choice((0.0, 0.0, 5.0, -5.0)),
    )
