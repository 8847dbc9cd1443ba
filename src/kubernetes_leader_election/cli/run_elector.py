"""
The elector of ``run``: the same election, for a loop that polls descriptors.

A third front beside those for asyncio and for threads. Handlers run in the loop's own
thread when it calls :meth:`LoopElector.deliver`, and the work of a term is the command
from its start until nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kubernetes_leader_election.cli.keeper_link import Limits
from kubernetes_leader_election.cli.kernel import boottime
from kubernetes_leader_election.cli.term_deadline import Deadline
from kubernetes_leader_election.core.timing import Belief
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.front import BaseElector
from kubernetes_leader_election.leadership import BaseTerm
from kubernetes_leader_election.life import Life
from kubernetes_leader_election.settings import Settings
from kubernetes_leader_election.work import Hold

KILL_MARGIN: Final = 0.25
"""Seconds at most that a KILL is sent before the hard limit: death takes its time."""
TERM_MARGIN: Final = 0.05
"""Seconds at most that the keeper leaves the first word to ``run`` itself."""


class LoopElector(BaseElector[BaseTerm]):
    """
    Take part in the election from a loop of one's own.

    .. code-block:: python

        elector = LoopElector(lease_name="billing", auto_close=False)
        elector.begin(wake=lambda: os.write(pipe, b"x"))
        # each time it wakes:
        elector.deliver()
        if elector.current_leader and work is None:
            work = elector.join("the command")
    """

    def begin(self, wake: Callable[[], None]) -> None:
        """
        Take part from now on; ``wake`` is called, on any thread, after every change.

        Raises:
            CredentialsError, ConfigurationError: it cannot.

        """
        self._life.add_bell(wake)
        self._life.begin(lambda _: _Courier(wake), probe=None)

    def deliver(self) -> None:
        """Call the handlers with the events since the last call."""
        while (letter := self._life.teller.mailbox.take()) is not None:
            for handler in self._life.teller.handlers.take(letter.event.name):
                handler(letter.event)
            if letter.hold is not None:
                letter.hold.end()

    @property
    def assumed(self) -> bool:
        """Whether there is no cluster, so that nobody else was asked."""
        return self._life.assumed

    @property
    def running(self) -> bool:
        """Whether it still takes part, or has something to release."""
        return self._life.running

    @property
    def stop_budget(self) -> float:
        """Seconds that the command may need to stop."""
        return self._life.settings.stop_budget_sec

    @property
    def renew_deadline(self) -> float:
        """Seconds that a term lasts without a renewal."""
        return self._life.settings.renew_deadline_sec

    @property
    def lease_duration(self) -> float:
        """Seconds that others wait after the last renewal."""
        return float(self._life.settings.lease_duration_sec)

    @property
    def release_time(self) -> float:
        """Seconds within which a release has succeeded or was given up (rule 12)."""
        return 3 * self._life.settings.request_timeout_sec + 1.0

    @property
    def settled(self) -> bool:
        """Whether no term is in progress: it is released, lost or forgotten."""
        return self._life.present is None

    def join(self, wake: Callable[[], None]) -> Work | None:
        """Let work begin under the present term; None when there is none."""
        if self._life.stopping:
            return None
        hold = Hold("the command", cancel=wake, is_scope=True)
        present = self._life.join(hold)
        if present is None:
            return None
        return Work(self._life, present.term, hold)

    def stop(self) -> None:
        """Give up the term, take part no more; the Lease is released after the work."""
        if self._life.running:
            self._life.ask_to_stop()

    def step_down(self, stay_out: float) -> None:
        """Give up the term, if any, and stay out unless another one leads before."""
        self._life.ask_to_step_down(stay_out)

    def hold_back(self, *, held: bool) -> None:
        """Contend no more, or again. Never while a term is in progress."""
        self._life.report_fitness(fit=not held)

    def _make_life(
        self, *, settings: Settings, credentials: Credentials | None, log: Any
    ) -> Life[BaseTerm]:
        return Life(
            settings=settings, credentials=credentials, log=log, make_term=BaseTerm
        )


class Work:
    """The command under one term, from its start until nothing of it is left."""

    def __init__(self, life: Life[BaseTerm], term: BaseTerm, hold: Hold) -> None:
        self._life = life
        self._hold = hold
        self.term = term
        self._to_kill = 0.0
        """Seconds from the deadline to the KILL, as of the newest limits."""

    def limits(self) -> Limits | None:
        """
        Give the instants of TERM and KILL after the last renewal (G2); None: it is over.

        They are counted from the renewal, not from now: a process that was frozen in
        the middle of this, or before it, still gets the right ones.
        """
        belief = self._life.term_deadline(self.term.number)
        return None if belief is None else self._limits(belief)

    def last_limits(self) -> Limits | None:
        """
        Give them for a term that may be over; None: nothing more is known of it.

        A record that is cut short makes them earlier, also where it ends the term.
        """
        belief = self._life.last_deadline(self.term.number)
        return None if belief is None else self._limits(belief)

    def _limits(self, belief: Belief) -> Limits:
        if belief.boottime_deadline == float("inf"):
            return Limits(None, None, None)
        # The earliest instant at which another may lead comes so much later.
        spare = belief.spare
        margin = min(KILL_MARGIN, spare / 4)
        self._to_kill = spare - margin
        term = Deadline.of(belief)
        return Limits(
            term,
            term.later(min(TERM_MARGIN, spare / 10)),
            term.later(self._to_kill),
            patience=margin,
        )

    def last_instant(self) -> float:
        """Give the CLOCK_BOOTTIME of the KILL for a term that ends at this instant."""
        return boottime() + self._to_kill

    def end(self) -> None:
        """Say that nothing of the command is left: the Lease may be released."""
        self._life.leave(self._hold)


class _Courier:
    """Wake the loop, which calls the handlers itself."""

    home = None

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def wake(self) -> None:
        """Say that there may be letters. Any thread; never blocks, never raises."""
        self._wake()
