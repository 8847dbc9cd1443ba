"""How the cores of a world are made: by this version, and by earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.timing import ElectionSettings


class MakeElection(Protocol):
    """How a core is made: the real one, or one with a planted bug."""

    def __call__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> Election:
        """Return a core in its first state."""


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
