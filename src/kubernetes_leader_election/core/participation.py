"""
Whether this elector takes part: what the application wants, and whether it is alive.
"""

from __future__ import annotations

from kubernetes_leader_election.core.timing import ElectionSettings


class Participation:
    """Keep what forbids contending, and whether a stop was asked for."""

    __slots__ = (
        "_observes",
        "_whoever_leads",
        "alive",
        "stay_out_until",
        "stopping",
    )

    def __init__(self, settings: ElectionSettings) -> None:
        self._observes = settings.observe
        """Whether the Lease is only followed, never sought."""
        self.alive = True
        """Whether the application is: if not, nothing is acquired or renewed."""
        self.stopping = False
        """Whether the end of the term ends the life, too."""
        self.stay_out_until: float | None = None
        """The CLOCK_BOOTTIME until which to let others lead; None: not asked to."""
        self._whoever_leads = False
        """Whether that goes on also when another one has led meanwhile."""

    def begin_life(self) -> None:
        """Forget what was asked before a start; whoever is not alive still is not."""
        self.stopping = False
        self.stay_out_until = None

    def stop(self) -> None:
        """Take it that a stop was asked for."""
        self.stopping = True

    def live(self, *, alive: bool) -> None:
        """Take it that the application is alive, or is not."""
        self.alive = alive

    def stay_out(self, until: float, *, whoever_leads: bool = False) -> None:
        """Take it that others are to lead first; or nobody here, whoever leads."""
        self.stay_out_until = until
        self._whoever_leads = whoever_leads

    def see_another(self) -> None:
        """Take it that another one leads."""
        if not self._whoever_leads:
            self.stay_out_until = None

    def come_back(self) -> None:
        """Take it that the time is over."""
        self.stay_out_until = None

    def may_contend(self) -> bool:
        """Return whether a Lease that is free may be acquired."""
        return self.alive and not self._observes and self.stay_out_until is None
