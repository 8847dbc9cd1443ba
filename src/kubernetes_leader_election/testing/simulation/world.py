"""
The world: real time, the event loop, and everything that takes part.

The loop is a heap of plain tuples; nothing sleeps, nothing runs in parallel, and all
randomness comes from generators seeded by the plan, so a plan always gives the same
world.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from heapq import heappush
from typing import Any, Protocol, get_args

from kubernetes_leader_election.core import messages
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.in_flight import PendingRead, PendingWrite
from kubernetes_leader_election.core.term import Try
from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.checkers import Checks
from kubernetes_leader_election.testing.simulation.faults import inject
from kubernetes_leader_election.testing.simulation.liveness import Liveness
from kubernetes_leader_election.testing.simulation.network import Network
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import (
    Fault,
    NodePlan,
    Plan,
    Tally,
)
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.rivals import RIVALS
from kubernetes_leader_election.testing.simulation.store import RHO, LeaseStore
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


class MakeElection(Protocol):
    """How a core is made: the real one, or one with a planted bug."""

    def __call__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> Election:
        """Give a core in its first state."""


class Versions:
    """
    Make cores of this version and of earlier ones, for worlds in which both run.

    .. code-block:: python

        run_plan(make_plan(1, "mixed versions"), make_election=Versions(earlier_core))

    Args:
        earlier: each makes a core of an earlier version, which understands the
            messages of this one and answers with such.
        this: makes the core of this version.
        left_out: names of faults that do not happen in worlds in which an earlier
            version takes part, since they break it: what was mended since cannot be
            mended there.

    """

    def __init__(
        self,
        *earlier: MakeElection,
        this: MakeElection = Election,
        left_out: Collection[str] = (),
    ) -> None:
        if not earlier:
            raise ValueError("Versions() needs at least one earlier version.")
        self.left_out = frozenset(left_out)
        self._earlier = earlier
        self._this = this

    def __call__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> Election:
        """Return a core of this version in its first state."""
        return self._this(settings, draw=draw)

    def of(self, number: int) -> MakeElection:
        """Return what makes a core of a version, as a plan numbers them."""
        if number == 0:
            return self._this
        return self._earlier[(number - 1) % len(self._earlier)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a world came to."""

    plan: Plan
    violations: tuple[Violation, ...]
    tally: Tally

    @property
    def valid(self) -> bool:
        """Tell whether enough happened in this world for it to count."""
        return self.tally.invalid == 0


class _Finished(BaseException):
    pass


class World:
    """
    Run one plan.

    Args:
        plan: who takes part and what goes wrong.
        make_election: gives the core of each process.
        recorder: writes everything down; None for speed.
        stop_at_violation: end at the first broken guarantee.

    """

    def __init__(
        self,
        plan: Plan,
        *,
        make_election: MakeElection = Election,
        recorder: Recorder | None = None,
        stop_at_violation: bool = True,
    ) -> None:
        self.plan = plan
        self.time = 0.0
        self.make_election = make_election
        self.recorder = recorder
        self.polls = False
        """Some process may have found that it may not watch, and polls for a while."""
        self.tally = Tally(worlds=1)
        self._stop_at_violation = stop_at_violation
        self.heap: list[tuple[float, int, Callable[[Any], object], Any]] = []
        """What is to happen; who adds to it most does so without :meth:`at`."""
        self.number = itertools.count(1).__next__
        """Orders what happens at one instant: first come, first served."""
        # The longest anybody can believe or wait, on the slowest clock allowed.
        span = max(plan.longest_duration, 20) / (1.0 - RHO) + 1.0
        self.checks = Checks(excuse_span=span, report=self._violated, rho=RHO)
        settings = plan.nodes[0].settings
        store = LeaseStore(name=settings.lease_name, namespace=settings.namespace)
        seeds = random.Random(plan.seed)
        self.network = Network(self, store, seeds.getrandbits(64))
        # One generator a node, seeded by its name: leaving a node out of the plan
        # leaves the others as they are.
        self.nodes = {
            node.name: Node(
                self, node, random.Random(f"{plan.seed} {node.name}").getrandbits(64)
            )
            for node in plan.nodes
        }
        self.liveness = Liveness(self)

    # Time ---------------------------------------------------------------------

    def at(self, time: float, action: Callable[[Any], object], argument: Any) -> None:
        """Let something happen at a real instant."""
        heappush(self.heap, (time, self.number(), action, argument))

    def after(
        self, wait: float, action: Callable[[Any], object], argument: Any
    ) -> None:
        """Let something happen after so many real seconds."""
        heappush(self.heap, (self.time + wait, self.number(), action, argument))

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
        except _Finished:
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

    def core_of(self, version: int) -> MakeElection:
        """
        Return what makes the core of a process.

        Raises:
            ValueError: the plan has an earlier version, and there is none.

        """
        make = self.make_election
        if isinstance(make, Versions):
            return make.of(version)
        if version:
            raise ValueError(
                f"World {self.plan.seed} of profile {self.plan.profile!r} has processes "
                "of an earlier version: run it with make_election=Versions(earlier), "
                "where `earlier` makes a core of that version."
            )
        return make

    def finish(self) -> None:
        """End the world now: all that it was for has been seen."""
        raise _Finished

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

    def count(self, fault: Fault) -> None:
        """Count a fault that met something."""
        self.tally.faults += 1
        by_fault = self.tally.by_fault
        by_fault[fault.name] = by_fault.get(fault.name, 0) + 1

    def count_probe(self, name: str) -> None:
        """Count a probe that was passed."""
        self.tally.by_probe[name] = self.tally.by_probe.get(name, 0) + 1

    def node(self, target: str) -> Node | None:
        """Find a node by name, or the one that leads for "leader"."""
        if target != "leader":
            return self.nodes.get(target)
        leader = self.leader()
        return leader.node if leader is not None else None

    def leader(self) -> Process | None:
        """Give the process of ours that believes; None where none does."""
        for witness in self.checks.believers:
            if witness.ours:
                for node in self.nodes.values():
                    for process in node.living:
                        if process.witness is witness:
                            return process
        return None

    def processes(self) -> list[Process]:
        """Give all living processes of ours."""
        return [process for node in self.nodes.values() for process in node.living]

    def _violated(self, violation: Violation) -> None:
        if self.recorder is not None:
            self.recorder.violation(violation)
        if self._stop_at_violation:
            raise _Finished


def run_plan(
    plan: Plan,
    *,
    make_election: MakeElection = Election,
    recorder: Recorder | None = None,
    stop_at_violation: bool = True,
) -> Outcome:
    """Run one plan and tell what came of it."""
    world = World(
        plan,
        make_election=make_election,
        recorder=recorder,
        stop_at_violation=stop_at_violation,
    )
    return world.run()
