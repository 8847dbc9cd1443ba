"""
The world: real time, the event loop, and everything that takes part.

The loop is a heap of plain tuples; nothing sleeps, nothing runs in parallel, and all
randomness comes from generators seeded by the plan, so a plan always gives the same
world.
"""

from __future__ import annotations

import gc
import heapq
from dataclasses import dataclass
from typing import Unpack, get_args

from kubernetes_leader_election.core import messages
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.in_flight import PendingRead, PendingWrite
from kubernetes_leader_election.core.term import Try
from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.cores import MakeElection, Versions
from kubernetes_leader_election.testing.simulation.faults import inject
from kubernetes_leader_election.testing.simulation.liveness import Liveness
from kubernetes_leader_election.testing.simulation.plan import (
    Fault,
    NodePlan,
    Plan,
    Tally,
)
from kubernetes_leader_election.testing.simulation.rivals import RIVALS
from kubernetes_leader_election.testing.simulation.scene import Scene
from kubernetes_leader_election.testing.simulation.stage import Finished, Options
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.values import hasten

hasten(
    *get_args(messages.Request),
    *get_args(messages.Message),
    *get_args(messages.Event),
    Try,
    PendingRead,
    PendingWrite,
)

EVENT_LIMIT = 2_000
"""Events per node and simulated minute after which a world is said to run away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a world came to."""

    plan: Plan
    violations: tuple[Violation, ...]
    tally: Tally

    @property
    def valid(self) -> bool:
        """Return whether enough happened in this world for it to count."""
        return self.tally.invalid == 0


class World(Scene):
    """A scene in which a plan happens."""

    def __init__(self, plan: Plan, **options: Unpack[Options]) -> None:
        super().__init__(plan, **options)
        self.liveness = Liveness(self)

    def run(self) -> Outcome:
        """Run to the end."""
        plan = self.plan
        for node_plan in plan.nodes:
            self.at(node_plan.starts, self._start_node, node_plan)
        for fault in plan.faults:
            self.at(fault.at, self._inject, fault)
        self.at(plan.heal_at, self.liveness.heal, None)
        heap, pop, ends = self.heap, heapq.heappop, plan.ends
        # A world makes hardly any rubbish that refers to itself, and is gone soon: to look
        # for some all the time costs more than to leave it until the end.
        collects = gc.isenabled()
        gc.disable()
        limit = 1001 + int(EVENT_LIMIT * len(plan.nodes) * (ends / 60.0 + 1.0))
        try:
            for _ in range(limit):
                if not heap:
                    break
                time, _, action, argument = pop(heap)
                if time > ends:
                    break
                self.time = time
                action(argument)
            else:
                self.checks.broken(
                    self.time, "core", "world", "runs away: endless events"
                )
        except Finished:
            pass
        finally:
            if collects:
                gc.enable()
        return self._outcome()

    def advance(self, until: float) -> bool:
        """
        Let the next thing happen, if it is due by then; tell whether there was one.

        For whoever tells a story instead of running a plan: nothing starts, fails or
        heals here by itself.
        """
        if not self.heap or self.heap[0][0] > until:
            self.time = max(self.time, until)
            return False
        self.time, _, action, argument = heapq.heappop(self.heap)
        action(argument)
        return True

    def _outcome(self) -> Outcome:
        plan, tally, checks = self.plan, self.tally, self.checks
        tally.simulated = self.time
        tally.leader_changes = checks.leader_changes
        tally.terms = checks.terms
        tally.requests = self.network.requests
        tally.violations = len(checks.violations)
        if not checks.violations and (
            tally.faults < plan.faults_needed
            or tally.leader_changes < plan.leader_changes_needed
        ):
            tally.invalid = 1
        if self.recorder is not None:
            self.recorder.ended = self.time
        return Outcome(plan=plan, violations=tuple(checks.violations), tally=tally)

    # What happens -------------------------------------------------------------

    def _start_node(self, plan: NodePlan) -> None:
        node = self.nodes[plan.name]
        if plan.kind == "elector":
            if not node.processes:
                node.start_process()
        elif self.time < self.plan.heal_at:  # probes are about electors of ours
            node.rival = RIVALS[plan.kind](self, node)
            node.rival.start()

    def _inject(self, fault: Fault) -> None:
        make = self.make_election
        if isinstance(make, Versions) and fault.name in make.left_out:
            if any(any(node.versions) for node in self.plan.nodes):
                return  # an earlier version takes part, which this would break
        inject(self, fault)


def run_plan(
    plan: Plan,
    *,
    make_election: MakeElection = Election,
    recorder: Recorder | None = None,
    stop_at_violation: bool = True,
) -> Outcome:
    """
    Run one plan and tell what came of it.

    Args:
        plan: who takes part and what goes wrong.
        make_election: gives the core of each process.
        recorder: writes everything down; None for speed.
        stop_at_violation: end at the first broken guarantee.

    """
    world = World(
        plan,
        make_election=make_election,
        recorder=recorder,
        stop_at_violation=stop_at_violation,
    )
    return world.run()
