"""One simulated machine, before anything runs on it: its clocks and its link."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.testing.simulation.clocks import NodeClocks
from kubernetes_leader_election.testing.simulation.kubelets import Kubelet
from kubernetes_leader_election.testing.simulation.network import Link, NetworkedStage
from kubernetes_leader_election.testing.simulation.plan import NodePlan
from kubernetes_leader_election.testing.simulation.store import Answer

BOOT = 1000.0
"""CLOCK_BOOTTIME of every machine when a world begins, in seconds."""
WALL = 1_750_000_000_000_000
"""The wall clock when a world begins, in microseconds since 1970."""


class Machine:
    """Clocks, a link, and what faults do to them."""

    def __init__(self, world: NetworkedStage, plan: NodePlan, seed: int) -> None:
        self.world = world
        self.plan = plan
        self.name = plan.name
        self.draw = random.Random(seed).random
        self.clocks = NodeClocks(
            boottime=BOOT,
            wall=WALL + int(plan.wall_offset * 1_000_000),
            rate=plan.rate,
        )
        self.link = Link(delay=plan.delay, jitter=plan.jitter, draw=self.draw)
        self.lateness = plan.lateness
        self.stop_share = plan.stop_share
        self.grace = plan.grace
        self.asks = plan.asks
        self.answers_first = False
        """At its next thaw answers are looked at before the timer (rule 15)."""
        self.ambush: tuple[str, Callable[[Any], None]] | None = None
        """What happens at the instant of its next write of a kind, with the process that writes."""
        self.stops_acquire = False
        """Its application stops at the instant of the next acquire."""
        self.send_lag = 0.0
        self.hangs_until = 0.0
        self.frozen = False
        self.refused: Answer | None = None
        self.kubelet: Kubelet | None = None
        """Of the pod on it, in worlds that have pods."""
