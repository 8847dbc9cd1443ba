"""What is left of an election whose core failed: until a new core takes its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from kubernetes_leader_election.core.assumed import AssumedElection
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.timing import ElectionSettings, Now
from kubernetes_leader_election.engine.desired import Desired
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.values import replace

REBUILD_AFTER: Final = 1.0
"""Seconds before an election is begun anew whose core failed."""

Core = Election | AssumedElection


class Log(Protocol):
    """The part of a logger that is used here."""

    def error(
        self, msg: str, /, *args: object, exc_info: BaseException | None = None
    ) -> object:
        """Write a line for people."""
        ...


class Recovery:
    """
    Make cores, and remember what has to outlive one that is replaced.

    Args:
        settings: checked settings.
        assumed: whether leadership is assumed, without a cluster.
        draw: gives a number in [0, 1) at each call.
        log: gets the traceback of what nobody foresaw.

    """

    def __init__(
        self,
        settings: ElectionSettings,
        *,
        assumed: bool,
        draw: Callable[[], float],
        log: Log,
    ) -> None:
        self._settings = settings
        self._assumed = assumed
        self._draw = draw
        self._log = log
        self.failure: LeaderElectionError | None = None
        """Why the core is still to be replaced; None: it is not. Written by the driver."""
        self.rebuild_at: float | None = None
        """The CLOCK_BOOTTIME of the next try to begin anew; None: a core is at work."""
        self.stay_out_until = 0.0
        """The CLOCK_BOOTTIME until which a new core is not to contend."""

    def new_core(self, terms: int) -> Core:
        """Return a core in its first state, whose terms are numbered after ``terms``."""
        if self._assumed:
            return AssumedElection(self._settings, terms=terms)
        return Election(self._settings, draw=self._draw, terms=terms)

    def begin(self, core: Core, now: Now) -> float:
        """Take over from a core that failed; return when to begin anew."""
        if self.rebuild_at is None:
            # Perhaps asked for through the Lease, of which the application knows nothing.
            self.stay_out_until = core.stay_out_until or 0.0
        self.failure = None
        self.rebuild_at = now.boottime + REBUILD_AFTER
        return self.rebuild_at

    def hear(self, desired: Desired, told: Desired, now: Now) -> Desired:
        """Note what matters when there is no core to tell; return what is known then."""
        if told.life < desired.life:
            self.stay_out_until = 0.0  # a new life need not stay out for the last one
            known = max(told.step_downs, desired.former_step_downs)
            told = replace(told, life=desired.life, step_downs=known)
        if told.step_downs < desired.step_downs:
            seconds = desired.stay_out
            if seconds is None:
                seconds = self._settings.lease_duration
            self.stay_out_until = now.boottime + seconds
            told = replace(told, step_downs=desired.step_downs)
        return told

    def is_due(self, now: Now) -> bool:
        """Return whether to try now; the next try is then set, should this one fail."""
        assert self.rebuild_at is not None
        if now.boottime < self.rebuild_at:
            return False
        self.rebuild_at = now.boottime + REBUILD_AFTER
        return True

    # What people read ---------------------------------------------------------

    def log_unexpected(self, error: Exception) -> None:
        """Log what nobody foresaw, with its traceback. Any thread."""
        self.say_error(f"leader election of {self._settings.where} failed", error)

    def say_error(self, text: str, error: Exception | None = None) -> None:
        """Write a line into the application's log. Any thread."""
        # Fault 07: a log that raises is the application's, and no reason to stop.
        with contextlib.suppress(Exception):
            self._log.error("%s", text, exc_info=error)
