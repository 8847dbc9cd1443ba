"""
The elector of ``run``: the same election, for a loop that polls descriptors.

A third front beside those for asyncio and for threads. Handlers run in the loop's own
thread when it calls :meth:`PolledElector.deliver`, and the work of a term is the command
from its start until nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Callable

from kubernetes_leader_election.cli.supervise.linux import boottime
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.cli.supervise.watchdog_link import Limits
from kubernetes_leader_election.core.timing import GIVE_UP_AFTER, Belief
from kubernetes_leader_election.lifecycle.base_elector import BaseElector
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.taking import join
from kubernetes_leader_election.lifecycle.term_work import WorkItem
from kubernetes_leader_election.settings.options import Settings
from kubernetes_leader_election.settings.promises import kill_margin, term_margin


class PolledElector(BaseElector[BaseTerm]):
    """
    Take part in the election from a loop of one's own.

    .. code-block:: python

        elector = PolledElector(lease_name="billing", auto_close=False)
        elector.begin(wake=lambda: os.write(pipe, b"x"))
        # each time it wakes:
        elector.deliver()
        if elector.current_leader and work is None:
            work = elector.join("the command")
    """

    def _kind_of_term(self) -> type[BaseTerm]:
        return BaseTerm

    def begin(self, wake: Callable[[], None]) -> None:
        """
        Take part from now on; ``wake`` is called, on any thread, after every change.

        Raises:
            CredentialsError, ConfigurationError: it cannot.

        """
        # The watchdog is given each new deadline.
        self._lifecycle.waiters.add(wake, renewals=True)
        self._lifecycle.begin(lambda _: _Dispatcher(wake), probe=None)

    def deliver(self) -> None:
        """Call the handlers with the events since the last call."""
        while (queued := self._lifecycle.notifier.event_queue.take()) is not None:
            for handler in self._lifecycle.notifier.handlers.take(queued.event.name):
                handler(queued.event)
            if queued.hold is not None:
                queued.hold.end()

    @property
    def assumed(self) -> bool:
        """Whether there is no cluster, so that nobody else was asked."""
        return self._lifecycle.assumed

    @property
    def running(self) -> bool:
        """Whether it still takes part, or has something to release."""
        return self._lifecycle.running

    @property
    def settings(self) -> Settings:
        """The options of the election."""
        return self._lifecycle.settings

    @property
    def release_time(self) -> float:
        """Seconds within which a release has succeeded or was given up (rule 12)."""
        return GIVE_UP_AFTER * self.settings.request_timeout_sec + 1.0

    @property
    def settled(self) -> bool:
        """Whether no term is in progress: it is released, lost or forgotten."""
        return self._lifecycle.current is None

    def join(self, wake: Callable[[], None]) -> Work | None:
        """Let work begin under the present term; None when there is none."""
        if self._lifecycle.stopping:
            return None
        hold = WorkItem("the command", cancel=wake, is_scope=True)
        current = join(self._lifecycle, hold)
        if current is None:
            return None
        return Work(self._lifecycle, current.term, hold)

    def stop(self) -> None:
        """Give up the term, take part no more; the Lease is released after the work."""
        if self._lifecycle.running:
            self._lifecycle.ask_to_stop()

    def finish(self, timeout: float) -> None:
        """When it has stopped: let others be told, for ``timeout`` seconds at most."""
        self._lifecycle.optional_features.finish_announcing(timeout)

    def step_down(self, stay_out: float) -> None:
        """Give up the term, if any, and stay out unless another one leads before."""
        self._lifecycle.ask_to_step_down(stay_out)

    def hold_back(self, *, held: bool) -> None:
        """Contend no more, or again. Never while a term is in progress."""
        self._lifecycle.report_fitness(fit=not held)


class Work:
    """The command under one term, from its start until nothing of it is left."""

    def __init__(
        self, lifecycle: Lifecycle[BaseTerm], term: BaseTerm, hold: WorkItem
    ) -> None:
        self._lifecycle = lifecycle
        self._hold = hold
        self.term = term
        self._to_kill = 0.0
        """Seconds from the deadline to the KILL, as of the newest limits."""

    def limits(self) -> Limits | None:
        """
        Return the instants of TERM and KILL after the last renewal (G2); None: it is over.

        They are counted from the renewal, not from now: a process that was frozen in
        the middle of this, or before it, still gets the right ones.
        """
        belief = self._lifecycle.term_deadline(self.term.number)
        return None if belief is None else self._limits(belief)

    def last_limits(self) -> Limits | None:
        """
        Return them for a term that may be over; None: nothing more is known of it.

        A record that is cut short makes them earlier, also where it ends the term.
        """
        belief = self._lifecycle.last_deadline(self.term.number)
        return None if belief is None else self._limits(belief)

    def _limits(self, belief: Belief) -> Limits:
        if belief.boottime_deadline == float("inf"):
            return Limits(None, None, None)
        # The earliest instant at which another may lead comes so much later.
        spare = belief.spare
        margin = kill_margin(spare)
        self._to_kill = spare - margin
        term = Deadline.of(belief)
        return Limits(
            term,
            term.later(term_margin(spare)),
            term.later(self._to_kill),
            patience=margin,
        )

    def last_instant(self) -> float:
        """Return the CLOCK_BOOTTIME of the KILL for a term that ends at this instant."""
        return boottime() + self._to_kill

    def give_up(self, detail: str) -> None:
        """Give the term up, as the command has ended by itself; ``detail`` says how."""
        self._lifecycle.end_term(self.term.number, detail)

    def end(self) -> None:
        """Say that nothing of the command is left: the Lease may be released."""
        self._lifecycle.leave(self._hold)


class _Dispatcher:
    """Wake the loop, which calls the handlers itself."""

    loop = None

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def wake(self) -> None:
        """Say that there may be events. Any thread; never blocks, never raises."""
        self._wake()
