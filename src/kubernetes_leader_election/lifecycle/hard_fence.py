"""
The hard fence of one elector: work that outlives its term is ended with the process.

While work runs, the kernel has an order to end the process at the hard limit of G2. Each
renewal moves it, and the end of the work calls it off. Until then nothing can keep it
from being carried out: see :mod:`..process.process_end`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.errors import ConfigurationError, LeaderElectionError
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.status import Status
from kubernetes_leader_election.lifecycle.term_work import Fence, TermWork
from kubernetes_leader_election.process.process_end import (
    EndTimer,
    ProcessEnd,
    shared_process_end,
)
from kubernetes_leader_election.settings.promises import kill_margin

if TYPE_CHECKING:
    from kubernetes_leader_election.core.timing import Belief

_MICROSECONDS: Final = 1e6


class Limit(NamedTuple):
    """An instant on the two clocks that a kernel timer goes by; the first one decides."""

    boottime: float
    """CLOCK_BOOTTIME seconds: never behind CLOCK_MONOTONIC, which needs no timer, so."""
    wall: float
    """Seconds since 1970, UTC: it can only shorten (rule 14)."""

    @classmethod
    def of(cls, belief: Belief) -> Limit | None:
        """
        Return when the process has to be ended under a term; None: never, as it is assumed.

        Before the hard limit of G2 by as much as ``kle run`` kills before it: a process
        takes its time to die.
        """
        if belief.boottime_deadline == float("inf"):
            return None
        after = belief.spare - kill_margin(belief.spare)
        wall = belief.wall_deadline / _MICROSECONDS
        return cls(belief.boottime_deadline + after, wall + after)


class HardFence:
    """
    Give each time of work of one elector its fence.

    Args:
        elector: whose work.
        event_log: where it is said that others have meddled with it.

    """

    def __init__(self, elector: Status[Any], event_log: EventLog) -> None:
        self._elector = elector
        self._event_log = event_log
        self._end: ProcessEnd | None = None
        """The signal that ends the process; None before the first life."""
        self._said = ""
        """What others have done to that signal, as it was said last."""

    def begin(self) -> None:
        """
        See to it that it can be had.

        Raises:
            ConfigurationError: it cannot, here.

        """
        end = shared_process_end()
        try:
            end.begin(self)
        except (OSError, AttributeError) as error:  # or a C library without the calls
            raise ConfigurationError(
                f"hard_fence=True: the kernel cannot be told to end this process in time "
                f"({error}). It takes Linux, timer_create() on CLOCK_BOOTTIME, which a "
                "sandbox or a seccomp profile may refuse, and as process 1 a real-time "
                "signal that nobody uses. Leave hard_fence out, or have "
                "`kubernetes-leader-election run` start the program: it ends it from "
                "outside.",
                option="hard_fence",
            ) from error
        self._end = end

    def end(self) -> None:
        """Note that no term begins any more."""
        if self._end is not None:
            self._end.end(self)

    def of_term(self, number: int) -> Callable[[], Fence]:
        """Return what makes a fence for each time of work of the numbered term."""
        assert self._end is not None  # noqa: S101 - no term begins before begin()
        limit = _LimitOfTerm(partial(self._elector.last_deadline, number))
        return partial(self._fence, self._end, limit)

    def _fence(self, end: ProcessEnd, limit: _LimitOfTerm) -> Fence:
        try:
            return _Fence(end, limit)
        except OSError as error:
            raise LeaderElectionError(
                f"{self._elector.where}: no work begins, as the kernel has no timer for "
                f"its hard fence ({error}). Raise the limit of pending signals "
                "(`ulimit -i`), or run fewer jobs at a time."
            ) from error

    def look(self, work: TermWork | None = None) -> None:
        """
        See to it that the process can be ended, and when. The engine's thread.

        Args:
            work: what runs of the present term; None: nothing does yet.

        """
        assert self._end is not None  # noqa: S101 - no term begins before begin()
        try:
            meddling = self._end.look()
        except OSError as error:
            meddling = f"it does not work any more ({error})"
        if meddling and meddling != self._said:
            self._said = meddling
            self._event_log.trouble(f"hard_fence: {meddling}")
        if work is not None:
            work.look_at_fence()


class _LimitOfTerm:
    """
    The limit of one term, as of its newest renewal that is proven.

    Args:
        deadline: gives until when the term holds, or held; None where that is forgotten.

    """

    def __init__(self, deadline: Callable[[], Belief | None]) -> None:
        self._deadline = deadline
        """Gives until when the term holds, or held; None where that is forgotten."""
        self._last: Limit | None = None
        """The newest that was known; None: it never ends the process, or none was yet."""

    def __call__(self) -> Limit | None:
        """Return it; None: there is none."""
        belief = self._deadline()
        if belief is not None:
            self._last = Limit.of(belief)
        return self._last  # else the core failed, which moves nothing (fault 07)


class _Fence:
    """The fence of one time of work; see :class:`~.term_work.Fence`."""

    def __init__(self, end: ProcessEnd, limit: _LimitOfTerm) -> None:
        self._end = end
        """The signal that ends the process."""
        self._limit = limit
        """When."""
        self._over = False
        """Whether this time of work has ended. Set once, before the last call-off."""
        self._timer = EndTimer(end)
        """Sends that signal; replaced where it has another number now. The engine's thread."""

    def arm(self) -> None:
        """Let it go off at the limit. Any thread."""
        # Without a lock, as a handler of signals may wait for another thread that is in
        # here: whoever comes last sees the newest limit, and whether all is over.
        armed: Limit | None = None
        while (limit := self._limit()) != armed and limit is not None:
            self._timer.arm(boottime=limit.boottime, wall=limit.wall)
            armed = limit
        if self._over:
            self._timer.call_off()

    def call_off(self) -> None:
        """Never let it go off. Any thread; harmless when said twice."""
        self._over = True
        self._timer.call_off()

    def look(self) -> None:
        """Let it go off by the signal and at the limit as they are now. The engine's thread."""
        if self._timer.number != self._end.number:
            self._timer = EndTimer(self._end)
        self.arm()

    def left(self) -> float:
        """Return the seconds until it goes off."""
        limit = self._limit()
        if limit is None:
            return float("inf")
        now = SystemClock().now()
        return min(limit.boottime - now.boottime, limit.wall - now.wall / _MICROSECONDS)

    def __str__(self) -> str:
        """Say how the process ends, for people."""
        return str(self._end)
