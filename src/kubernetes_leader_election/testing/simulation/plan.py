"""
A world written down: who takes part, on which clocks, and what goes wrong when.

A plan is plain data, made from one integer seed. Running the same plan twice gives
the same world bit for bit; a failing plan is made smaller by leaving things out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kubernetes_leader_election.core.timing import ElectionSettings

Kind = Literal["elector", "client-go", "node-package"]
Probe = Literal["crash", "stop", "outage", "quiet", "churn", "hang", "return", "fail"]
Profile = Literal[
    "default",
    "three",
    "quiet",
    "storm",
    "thousand",
    "long",
    "rivals",
    "slow sends",
    "words",
    "mixed versions",
    "hands",
    "races",
    "meddling",
    "old news",
    "crowd",
    "endings",
    "wild clocks",
    "proofs",
    "lies",
    "answered lies",
]
"""Kinds of worlds; in "wild clocks" rates are beyond rho, so G1 and G2 do not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One machine with one process on it."""

    name: str
    settings: ElectionSettings
    kind: Kind = "elector"
    versions: tuple[int, ...] = (0,)
    """
    Versions of the program that its processes run, one after the other, over and over.

    0 is the version under test; 1 and up count through the earlier ones that the world
    was given, over and over: the plan does not know how many there are.
    """
    starts: float = 0.0
    rate: float = 1.0
    """Rate of its clocks; within 1 +- rho the guarantees hold."""
    wall_offset: float = 0.0
    """Seconds its wall clock is wrong by."""
    delay: float = 0.002
    """Seconds one way to the API server, at least."""
    jitter: float = 0.002
    """Seconds added to the delay, at most."""
    lateness: float = 0.0
    """Seconds its timers wake it late, at most."""
    asks: bool = False
    """Its application asks all the time whether it leads, and says what it saw."""
    stop_share: float = 0.0
    """Share of the stop budget S its work takes to stop, at most."""
    grace: float = 0.0
    """Seconds its work takes in a planned stop while the Lease is held; 0: as at a loss."""

    @property
    def timing(self) -> str:
        """Show its settings, in seconds, by the letters of the documentation."""
        s = self.settings
        return (
            f"D={s.lease_duration} R={s.renew_interval:g} L={s.renew_deadline:g} "
            f"S={s.stop_budget:g} T={s.request_timeout:g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One thing that goes wrong.

    ``target`` names a node, or is "leader" (who leads then), or "" (the API server
    or the Lease). What ``length`` and ``amount`` mean depends on ``kind``.
    """

    at: float
    kind: str
    target: str = ""
    length: float = 0.0
    amount: float = 0.0
    detail: str = ""

    @property
    def name(self) -> str:
        """Name its kind, and the detail where it has one, as in "outage: 503"."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind

    def __str__(self) -> str:
        parts = [self.kind, self.target, self.detail]
        if self.length:
            parts.append(f"for {self.length:.3f} s")
        if self.amount:
            parts.append(f"amount {self.amount:.3f}")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A world before it runs."""

    seed: int
    profile: Profile
    nodes: tuple[NodePlan, ...]
    faults: tuple[Fault, ...]
    heal_at: float
    """When everything is put right; from then on there must be progress."""
    probes: tuple[Probe, ...] = ()
    """What is done to the leader after healing, to measure G6 to G9."""
    ends: float
    """When the world ends at the latest."""
    faults_needed: int = 0
    leader_changes_needed: int = 0

    @property
    def longest_duration(self) -> int:
        """Return the longest D in this world, in seconds."""
        return max(node.settings.lease_duration for node in self.nodes)

    def with_faults(self, more: Iterable[Fault]) -> Plan:
        """Return the world in which more goes wrong; what comes first stands first."""
        faults = sorted((*self.faults, *more), key=lambda fault: fault.at)
        return replace(self, faults=tuple(faults))

    def without(self, **changes: Any) -> Plan:
        """Return a changed copy that is never too tame to count."""
        return replace(self, faults_needed=0, leader_changes_needed=0, **changes)


@dataclass(slots=True)
class Tally:
    """What a world, or many of them, amounted to."""

    worlds: int = 0
    invalid: int = 0
    simulated: float = 0.0
    faults: int = 0
    leader_changes: int = 0
    terms: int = 0
    requests: int = 0
    violations: int = 0
    by_fault: dict[str, int] = field(default_factory=dict)
    by_probe: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.worlds += other.worlds
        self.invalid += other.invalid
        self.simulated += other.simulated
        self.faults += other.faults
        self.leader_changes += other.leader_changes
        self.terms += other.terms
        self.requests += other.requests
        self.violations += other.violations
        for mine, theirs in (
            (self.by_fault, other.by_fault),
            (self.by_probe, other.by_probe),
        ):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
