"""
Whether this replica of ``run`` contends: its health, and the pauses after its commands.

On the loop's thread, but for what says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kubernetes_leader_election.backoff import RestartBackoff
from kubernetes_leader_election.cli.supervise.health import Health
from kubernetes_leader_election.cli.supervise.polled_elector import PolledElector
from kubernetes_leader_election.cli.supervise.running_command import RunningCommand

Say = Callable[[str], None]
"""Writes a line for people; never blocks."""


class Candidacy:
    """
    Decide whether this replica contends, and tell the election so.

    Args:
        elector: which is told.
        longest_pause: between two commands that end too soon, seconds.
        say: tells people why.

    """

    def __init__(
        self, elector: PolledElector, *, longest_pause: float, say: Say
    ) -> None:
        self._elector = elector
        """Which is told. Never changes."""
        self._say = say
        """Tells people why. Never changes."""
        self._backoff = RestartBackoff(longest_pause)
        """How long to stay out after a command that ended."""
        self._stay_out_until = 0.0
        """When a command that ended may be started again (CLOCK_MONOTONIC)."""
        self._held_back = False
        """Whether the election was told not to contend."""
        self.health: Health | None = None
        """The checks, if there are any. Set before the loop begins."""

    # Any thread ---------------------------------------------------------------

    @property
    def absence(self) -> str:
        """Why this replica keeps out of the race; empty where it does not."""
        unfit = self.health is not None and not self.health.fitness.fit
        return "the health check fails" if unfit else ""

    # The loop -----------------------------------------------------------------

    @property
    def wants_out(self) -> bool:
        """Whether this replica is not to lead now."""
        health = self.health
        fit = health is None or health.fitness.fit or self._elector.assumed
        return not fit or self.pause_left() > 0.0

    def pause_left(self) -> float:
        """Return the seconds until a command that ended may be started again."""
        return max(0.0, self._stay_out_until - time.monotonic())

    def pause_after(self, ran: float) -> float:
        """Stay out after a command that ran so many seconds; return for how many."""
        delay = self._backoff.after(ran)
        self._stay_out_until = time.monotonic() + delay
        return delay

    def look_at_health(self, command: RunningCommand | None) -> None:
        """Take the results of the checks; a leader that is not healthy steps down."""
        health = self.health
        if health is None:
            return
        fitness = health.fitness
        was_fit = fitness.fit
        for ok, wrong in health.checker.take():
            fitness.take(ok=ok, now=time.monotonic())
            if wrong and wrong != health.wrong:
                self._say(f"the health check failed: {wrong}")
            health.wrong = wrong
        state = self._elector.state
        deadline = state.deadline
        fitness.look(
            someone_leads=command is not None
            or bool(state.holder and deadline and deadline.timestamp() > _wall()),
            now=time.monotonic(),
        )
        if fitness.fit and not was_fit and fitness.desperate:
            self._say(
                "nobody leads, and no replica is healthy: contending all the same"
            )
        if command is not None and command.works and not fitness.fit:
            self._say("not healthy: giving up leadership")
            self._elector.step_down(self._elector.settings.lease_duration_sec)

    def tell_election(self, command: RunningCommand | None) -> None:
        """Contend or not: only between terms, where it cannot stop a renewal."""
        if self.health is not None:
            self.health.checker.want(
                wanted=self.health.fitness.checks_candidates
                if command is None
                else command.works
            )
        held = self.wants_out
        if held != self._held_back and command is None and self._elector.settled:
            self._held_back = held
            self._elector.hold_back(held=held)

    def command_started(self, at: float) -> None:
        """Give a command that starts its time to become healthy; CLOCK_MONOTONIC."""
        if self.health is not None:
            self.health.fitness.started(at)

    def command_ended(self) -> None:
        """Forget what the checks showed of a command of which nothing is left."""
        if self.health is not None:
            self.health.fitness.ended()


def _wall() -> float:
    return time.time_ns() / 1e9
