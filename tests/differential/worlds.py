"""
The simulator's worlds with a pair of cores in each process.

Each seed stands for one world of one profile; any thousand seeds in a row have worlds
of every profile but the costliest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kubernetes_leader_election.testing.simulation.generate import PROFILES, make_plan
from kubernetes_leader_election.testing.simulation.plan import Plan, Profile
from kubernetes_leader_election.testing.simulation.world import World
from tests.differential.earlier import earlier_core
from tests.differential.pair import DifferenceError, Make, Pair
from tests.versions.cores import mixed

OF_A_HUNDRED: Final[Mapping[Profile, int]] = {
    "default": 24,
    "three": 6,
    "storm": 9,
    "rivals": 8,
    "slow sends": 8,
    "words": 8,
    "quiet": 3,
    "long": 2,
    "mixed versions": 4,
    "hands": 4,
    "races": 4,
    "meddling": 4,
    "old news": 4,
    "endings": 2,
    "wild clocks": 6,
    "proofs": 2,
    "lies": 1,
    "answered lies": 1,
}
"""How many seeds of a hundred in a row are worlds of a profile."""
SELDOM: Final[Mapping[int, Profile]] = {500: "crowd", 1500: "thousand"}
"""Seeds of three thousand that are worlds of a profile that takes long."""

_TURNS: Final[list[Profile]] = [
    profile for profile, count in OF_A_HUNDRED.items() for _ in range(count)
]
IN_PODS: Final[frozenset[Profile]] = frozenset({"proofs", "lies", "answered lies"})
"""Worlds whose messages a core without crash take-over does not know."""
_APART: Final = 37
"""Has no divisor in common with a hundred: a few seeds in a row are of many profiles."""


def profile_of(seed: int) -> Profile:
    """Return the kind of world that a seed stands for."""
    return SELDOM.get(seed % 3000) or _TURNS[seed * _APART % len(_TURNS)]


class WorldsDifferError(AssertionError):
    """Say in which world the cores came to differ."""

    def __init__(self, message: str, *, plan: Plan) -> None:
        super().__init__(message)
        self.plan = plan


@dataclass(slots=True)
class Compared:
    """How much was compared."""

    worlds: int = 0
    inputs: int = 0
    outputs: int = 0
    profiles: dict[str, int] = field(default_factory=dict)

    def add(self, other: Compared) -> None:
        """Add what was compared elsewhere."""
        self.worlds += other.worlds
        self.inputs += other.inputs
        self.outputs += other.outputs
        for profile, count in other.profiles.items():
            self.profiles[profile] = self.profiles.get(profile, 0) + count


class Pairs:
    """
    Make the pairs of one world, and keep the first difference between two cores.

    Args:
        working: makes the working core of each pair.

    """

    def __init__(self, working: Make | None = None) -> None:
        self._working = working
        self.made: list[Pair] = []
        self.found: DifferenceError | None = None
        self.time: Callable[[], float] = float
        self.found_at = 0.0

    def __call__(self, settings: Any, *, draw: Callable[[], float]) -> Any:
        """Return a pair that tells when its cores differ, whoever swallows the error."""
        pair = _Telling(settings, draw=draw, working=self._working, pairs=self)
        self.made.append(pair)
        return pair

    def tell(self, difference: DifferenceError) -> None:
        """Keep a difference, if it is the first."""
        if self.found is None:
            self.found, self.found_at = difference, self.time()


class _Telling(Pair):
    """A pair in a simulated process, which takes whatever a core raises for its end."""

    def __init__(self, settings: Any, *, pairs: Pairs, **more: Any) -> None:
        self._pairs = pairs
        super().__init__(settings, **more)

    def _differ(self, *what: Any) -> None:
        try:
            super()._differ(*what)
        except DifferenceError as difference:
            self._pairs.tell(difference)
            raise


def run_world(plan: Plan, *, working: Make | None = None) -> Compared:
    """
    Run a world with both cores.

    Raises:
        WorldsDifferError: the cores came to differ.

    """
    pairs = Pairs(working)
    # On after a broken guarantee, too: where clocks are wild they do break.
    world = World(plan, make_election=mixed(pairs), stop_at_violation=False)
    pairs.time = lambda: world.time
    world.run()
    if pairs.found is not None:
        raise WorldsDifferError(
            f"World {plan.seed} of profile {plan.profile!r}, {pairs.found_at:.6f} s "
            f"after it began. {pairs.found}",
            plan=plan,
        )
    return Compared(
        worlds=1,
        inputs=sum(pair.inputs for pair in pairs.made),
        outputs=sum(pair.outputs for pair in pairs.made),
        profiles={plan.profile: 1},
    )


def run_seed(seed: int, *, working: Make | None = None) -> Compared:
    """Run the world that a seed stands for, with both cores."""
    profile = profile_of(seed)
    if profile in IN_PODS and not earlier_core().knows("OwnNote"):
        profile = "default"
    return run_world(make_plan(seed, profile), working=working)


assert set(OF_A_HUNDRED) | set(SELDOM.values()) == set(PROFILES), "a profile is missing"
assert sum(OF_A_HUNDRED.values()) == len(_TURNS) == 100
