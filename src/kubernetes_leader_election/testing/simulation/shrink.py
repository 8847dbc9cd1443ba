"""
Make a failing world small: leave out whatever it fails without.

A smaller plan must break the same guarantee. Faults go first (halves, then one by
one), then nodes, then probes; then lengths and clocks are made plain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.cores import MakeElection
from kubernetes_leader_election.testing.simulation.plan import Fault, NodePlan, Plan
from kubernetes_leader_election.testing.simulation.world import run_plan

TRIES = 1500
"""Worlds run at most to shrink one."""
SECONDS = 60.0
"""Seconds at most to shrink one: some worlds are long."""

PLAIN: Final[tuple[tuple[str, float], ...]] = (
    ("rate", 1.0),
    ("wall_offset", 0.0),
    ("jitter", 0.0),
    ("lateness", 0.0),
    ("stop_share", 0.0),
    ("grace", 0.0),
    ("delay", 0.002),
    ("starts", 0.0),
)
"""What a node looks like that has nothing special."""


class _OutOfTriesError(Exception):
    """Say that the smallest plan so far has to do."""


def shrink(
    plan: Plan,
    *,
    make_election: MakeElection = Election,
    tries: int = TRIES,
    seconds: float = SECONDS,
    progress: Callable[[Plan], None] | None = None,
) -> Plan:
    """
    Return the smallest plan found that breaks the same guarantee as ``plan``.

    Args:
        plan: a plan that breaks a guarantee.
        make_election: gives the core that fails in it.
        tries: how many smaller worlds are run at most.
        seconds: how long it goes on at most.
        progress: called with each smaller plan.

    Raises:
        ValueError: ``plan`` breaks nothing.

    """
    shrinker = _Shrinker(plan, make_election, tries, progress)
    shrinker.ends = time.perf_counter() + seconds
    try:
        shrinker.shrink()
    except _OutOfTriesError:
        pass
    return shrinker.plan


class _Shrinker:
    def __init__(
        self,
        plan: Plan,
        make_election: MakeElection,
        tries: int,
        progress: Callable[[Plan], None] | None,
    ) -> None:
        self.make_election = make_election
        self.tries = tries
        self.ends = float("inf")  # the first run is not for shrinking yet
        self.progress = progress
        violation = self._run(plan)
        if violation is None:
            raise ValueError(
                f"seed {plan.seed} breaks nothing: there is nothing to shrink"
            )
        self.guarantee = violation.guarantee
        self.plan = plan

    def _run(self, plan: Plan) -> Violation | None:
        if self.tries <= 0 or time.perf_counter() >= self.ends:
            raise _OutOfTriesError
        self.tries -= 1
        outcome = run_plan(plan, make_election=self.make_election)
        return outcome.violations[0] if outcome.violations else None

    def _fails(self, plan: Plan) -> bool:
        """Take ``plan`` if it still breaks the same guarantee."""
        violation = self._run(plan)
        if violation is None or violation.guarantee != self.guarantee:
            return False
        self.plan = plan
        if self.progress is not None:
            self.progress(plan)
        return True

    def shrink(self) -> None:
        """Go round until a round changes nothing."""
        changed = True
        while changed:
            before = self.plan
            self._cut_time()
            self._drop_faults()
            self._drop_nodes()
            self._drop_probes()
            self._shift_time()
            self._make_plain()
            changed = self.plan != before

    def _cut_time(self) -> None:
        """Leave out the faults after the violation, and heal no earlier than it."""
        violation = self._run(self.plan)
        if violation is not None and violation.time < self.plan.heal_at:
            faults = tuple(f for f in self.plan.faults if f.at <= violation.time)
            self._fails(
                self.plan.without(
                    faults=faults, heal_at=violation.time + 1.0, probes=()
                )
            )

    def _drop_faults(self) -> None:
        size = max(1, len(self.plan.faults) // 2)
        while size:
            start = 0
            while start < len(self.plan.faults):
                faults = self.plan.faults
                fewer = faults[:start] + faults[start + size :]
                if not self._fails(self.plan.without(faults=fewer)):
                    start += size
            size //= 2

    def _drop_nodes(self) -> None:
        for node in self.plan.nodes:
            others = tuple(n for n in self.plan.nodes if n.name != node.name)
            if others:
                self._fails(self.plan.without(nodes=others))

    def _drop_probes(self) -> None:
        for index in reversed(range(len(self.plan.probes))):
            probes = self.plan.probes[:index] + self.plan.probes[index + 1 :]
            self._fails(self.plan.without(probes=probes))

    def _shift_time(self) -> None:
        """Leave out the quiet time before the first fault and before healing."""
        for keep in (1.0, 3.0, 10.0, 30.0):
            faults = self.plan.faults
            first = min((f.at for f in faults), default=self.plan.heal_at)
            gone = first - keep
            if gone > 0.5 and self._fails(
                self.plan.without(
                    faults=tuple(replace(f, at=round(f.at - gone, 3)) for f in faults),
                    heal_at=self.plan.heal_at - gone,
                )
            ):
                break
        last = max((f.at + f.length for f in self.plan.faults), default=0.0)
        for wait in (1.0, 10.0, 40.0):
            if self.plan.heal_at > last + wait + 0.5 and self._fails(
                self.plan.without(heal_at=last + wait)
            ):
                break

    def _make_plain(self) -> None:
        for index in range(len(self.plan.nodes)):
            for name, value in PLAIN:
                nodes = list(self.plan.nodes)
                if getattr(nodes[index], name) != value:
                    nodes[index] = _with(nodes[index], {name: value})
                    self._fails(self.plan.without(nodes=tuple(nodes)))
        for index in range(len(self.plan.faults)):
            for fault in _plainer_faults(self.plan.faults[index]):
                faults = list(self.plan.faults)
                faults[index] = fault
                if self._fails(self.plan.without(faults=tuple(faults))):
                    break


def _with(node: NodePlan, changes: dict[str, Any]) -> NodePlan:
    return replace(node, **changes)


def _plainer_faults(fault: Fault) -> Iterator[Fault]:
    for length in (0.0, round(fault.length)):
        if fault.length != length:
            yield replace(fault, length=float(length))
    if fault.at != round(fault.at):
        yield replace(fault, at=float(round(fault.at)))
