"""
What everything in a world shares: the time, what is to happen, the checks, the tally.

A world is built upwards, so that each file knows only what is below: the stage, its
network (:class:`~.network.NetworkedStage`), a machine and what runs on it, the scene with
all machines (:class:`~.scene.Scene`), and the world, which runs a plan.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from heapq import heappush
from typing import Any, TypedDict

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.checkers import Checks
from kubernetes_leader_election.testing.simulation.cores import MakeElection, Versions
from kubernetes_leader_election.testing.simulation.plan import Fault, Plan, Tally
from kubernetes_leader_election.testing.simulation.store import RHO
from kubernetes_leader_election.testing.simulation.trace import Recorder


class Finished(BaseException):
    """End a world, from wherever that is found out."""


class Options(TypedDict, total=False):
    """What a :class:`Stage` takes beside its plan, as what stands on it passes it on."""

    make_election: MakeElection
    recorder: Recorder | None
    stop_at_violation: bool


class Stage:
    """
    Keep the time of a world, what is to happen in it, and who watches.

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
        self.checks = Checks(excuse_span=span, report=self._violated)

    # Time ---------------------------------------------------------------------

    def at(self, time: float, action: Callable[[Any], object], argument: Any) -> None:
        """Let something happen at a real instant."""
        heappush(self.heap, (time, self.number(), action, argument))

    def after(
        self, wait: float, action: Callable[[Any], object], argument: Any
    ) -> None:
        """Let something happen after so many real seconds."""
        heappush(self.heap, (self.time + wait, self.number(), action, argument))

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
        raise Finished

    # Counting -----------------------------------------------------------------

    def count(self, fault: Fault) -> None:
        """Count a fault that met something."""
        self.tally.faults += 1
        by_fault = self.tally.by_fault
        by_fault[fault.name] = by_fault.get(fault.name, 0) + 1

    def count_probe(self, name: str) -> None:
        """Count a probe that was passed."""
        self.tally.by_probe[name] = self.tally.by_probe.get(name, 0) + 1

    def note(self, text: str) -> None:
        """Write down what the world itself does, if anything is written down."""
        if self.recorder is not None:
            self.recorder.note(self.time, text)

    def _violated(self, violation: Violation) -> None:
        if self.recorder is not None:
            self.recorder.violation(violation)
        if self._stop_at_violation:
            raise Finished
