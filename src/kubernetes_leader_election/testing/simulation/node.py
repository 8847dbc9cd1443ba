"""One simulated machine: its clocks, its link, and the processes that live on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from kubernetes_leader_election.testing.simulation.clocks import NodeClocks
from kubernetes_leader_election.testing.simulation.network import Link
from kubernetes_leader_election.testing.simulation.plan import NodePlan
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.store import Answer
from kubernetes_leader_election.values import replace

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.simulation.rivals import Rival
    from kubernetes_leader_election.testing.simulation.world import World

BOOT = 1000.0
"""CLOCK_BOOTTIME of every machine when a world begins, in seconds."""
WALL = 1_750_000_000_000_000
"""The wall clock when a world begins, in microseconds since 1970."""


class Node:
    """A machine. Faults change it; processes of ours or one rival live on it."""

    def __init__(self, world: World, plan: NodePlan, seed: int) -> None:
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
        self.asks = plan.asks
        self.answers_first = False
        """At its next thaw answers are looked at before the timer (rule 15)."""
        self.ambush: tuple[str, Callable[[Process], None]] | None = None
        """What happens at the instant of its next write of a kind."""
        self.stops_acquire = False
        """Its application stops at the instant of the next acquire."""
        self.send_lag = 0.0
        self.hangs_until = 0.0
        self.frozen = False
        self.refused: Answer | None = None
        self.processes: list[Process] = []
        self.rival: Rival | None = None
        self._born = 0

    @property
    def living(self) -> list[Process]:
        """Give the processes of ours that are alive."""
        return [process for process in self.processes if process.alive]

    def start_process(self, *, same_identity: bool = True) -> Process:
        """
        Start one more process; a restart has a new identity, or the old one.

        It runs the version of the program that is next in the plan.
        """
        self._born += 1
        settings = self.plan.settings
        name = self.name if self._born == 1 else f"{self.name}.{self._born}"
        if not same_identity:
            # The first identity of a node is its name; later ones are told apart.
            settings = replace(settings, identity=f"{settings.identity}-{self._born}")
        versions = self.plan.versions
        version = versions[(self._born - 1) % len(versions)]
        process = Process(self.world, self, settings, name, version)
        self.processes = [*self.living, process]
        if self.world.recorder is not None:
            self.world.recorder.born(self.world.time, name, self.plan)
        process.do(process.start, None)
        return process

    # Freezing -----------------------------------------------------------------

    def freeze(self, how: str) -> None:
        """Stop all processes: "stop" (SIGSTOP), "suspend", or "pause" (of a guest)."""
        time = self.world.time
        if how == "suspend":
            self.clocks.suspend(time)
            for process in self.living:
                process.witness.suspended = True
        elif how == "pause":
            self.clocks.pause(time)
        self.frozen = True
        for process in self.living:
            process.froze()

    def thaw(self, *, wall_jump: float = 0.0) -> None:
        """Let everything run again; a paused guest's wall clock jumps now."""
        if not self.frozen:
            return
        time = self.world.time
        self.clocks.run_on(time)
        if wall_jump:
            self.clocks.step_wall(time, wall_jump)
        self.frozen = False
        for process in self.living:
            process.thawed()
        if self.rival is not None:
            self.rival.thawed()

    def clocks_changed(self) -> None:
        """Let all processes compute their timers anew."""
        for process in self.living:
            process.rearm()

    def heal(self) -> None:
        """Put the machine right."""
        self.link.heal()
        self.send_lag = 0.0
        self.refused = None
        self.stops_acquire = False
        self.ambush = None
        self.hangs_until = min(self.hangs_until, self.world.time)
        self.thaw()
