"""The cores of all versions, as the simulator takes them: ``VERSIONS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.cores import Versions
from tests.versions import EARLIER, Version
from tests.versions.families import Adapted, family, this_version

__all__ = ["EARLIER_CORES", "LEFT_OUT", "VERSIONS", "core_of", "mixed"]


def core_of(version: Version) -> Callable[..., Any]:
    """Return what makes a core of a version, which speaks as the present one does."""
    its_family, ours = family(version.package), this_version()

    def make(settings: Any, *, draw: Callable[[], float]) -> Any:
        return Adapted(its_family.election(settings, draw=draw), its_family, ours)

    return make


EARLIER_CORES: Final = tuple(core_of(version) for version in EARLIER)


LEFT_OUT: Final = frozenset().union(*(version.broken_by for version in EARLIER))


def mixed(this: Callable[..., Any] = Election) -> Versions:
    """Return what makes the cores of a world with all versions in it."""
    return Versions(*EARLIER_CORES, this=this, left_out=LEFT_OUT)


VERSIONS: Final = mixed()
"""For a soak."""
