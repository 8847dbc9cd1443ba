"""
Whether this elector takes part: what the application wants, and whether it is alive.
"""

from __future__ import annotations

from kubernetes_leader_election.core.timing import ElectionSettings


class Participation:
    """Keep what forbids contending, and whether a stop was asked for."""

    __slots__ = (
        "_observes",
        "_others_first_until",
        "_pauses_until",
        "alive",
        "stopping",
    )

    def __init__(self, settings: ElectionSettings) -> None:
        self._observes = settings.observe
        """Whether the Lease is only followed, never sought."""
        self.alive = True
        """Whether the application is: if not, nothing is acquired or renewed."""
        self.stopping = False
        """Whether the end of the term ends the life, too."""
        self._others_first_until: float | None = None
        """The CLOCK_BOOTTIME until which to wait for another to lead; None: no more."""
        self._pauses_until: float | None = None
        """The CLOCK_BOOTTIME until which to stay out, whoever leads; None: no more."""

    def begin_life(self) -> None:
        """Forget what was asked before a start; whoever is not alive still is not."""
        self.stopping = False
        self.come_back()

    def stop(self) -> None:
        """Take it that a stop was asked for."""
        self.stopping = True

    def live(self, *, alive: bool) -> None:
        """Take it that the application is alive, or is not."""
        self.alive = alive

    @property
    def stay_out_until(self) -> float | None:
        """The CLOCK_BOOTTIME until which nothing is acquired; None: not asked to."""
        others, pause = self._others_first_until, self._pauses_until
        if others is None or pause is None:
            return pause if others is None else others
        return max(others, pause)

    def stay_out(self, until: float, *, whoever_leads: bool = False) -> None:
        """
        Take it that others are to lead first; or nobody here, whoever leads.

        Neither cuts the other one short: who steps down in the pause after work that
        failed waits for the end of both.
        """
        if whoever_leads:
            self._pauses_until = until
        else:
            self._others_first_until = until

    def see_another(self) -> None:
        """Take it that another one leads."""
        self._others_first_until = None

    def come_back(self) -> None:
        """Take it that the time is over."""
        self._others_first_until = self._pauses_until = None

    def may_contend(self) -> bool:
        """Return whether a Lease that is free may be acquired."""
        return self.alive and not self._observes and self.stay_out_until is None
