"""What the loop of ``run`` keeps of one command: made anew for each."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubernetes_leader_election.cli.supervise.polled_elector import Work
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.cli.supervise.term_file import TermFacts
from kubernetes_leader_election.cli.supervise.watchdog_link import Limits


@dataclass(slots=True, kw_only=True)
class RunningCommand:
    """The command under its term, from the order to start it until nothing is left."""

    work: Work
    limits: Limits
    """Until when it may run, as the watchdog was told last."""
    facts: TermFacts
    """Its term, as the term file was to say last."""
    started_at: float
    """When the order was given, CLOCK_MONOTONIC."""
    start_by: Deadline | None
    """When it has to be started by; None: there is no limit, or it was."""
    child: int | None = None
    """Its process, from when it was started until it has exited."""
    exited: bool = False
    """It is over, or cannot be started any more: what is left is what it left behind."""
    ending: str | None = None
    """Why it ends: ``lost``, ``signal``, ``exit`` or ``restart``; None: it does not."""
    kill_at: float | None = None
    """When KILL is due beside the limits, CLOCK_BOOTTIME: of an order."""
    early_signals: list[int] = field(default_factory=list)
    """Signals for it that came before it is known to have been started: it gets them then."""
    nobody_since: float | None = None
    """Since when nobody was left to kill, and the watchdog did not say so either."""

    @property
    def starts(self) -> bool:
        """Whether it was ordered, and is not known to have been started or not."""
        return self.child is None and not self.exited

    @property
    def works(self) -> bool:
        """Whether it runs, and was not told to end."""
        return self.child is not None and self.ending is None

    def last_instant(self) -> float | None:
        """Return the CLOCK_BOOTTIME of the KILL; None: nobody has set a time for it."""
        times = [x for x in (self.kill_at, self.limits.kill_at) if x is not None]
        return min(times, default=None)
