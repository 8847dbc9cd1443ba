"""
Look after work that outlives its term, or that nothing can end: say so, loudly.

What can be seen to be over is ended: code that ran on an event loop which is closed.
Everything else keeps its Lease (G5), whatever is said of it here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.events import PLANNED, REASONS
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.preconditions import names
from kubernetes_leader_election.lifecycle.status import CurrentTerm, Status
from kubernetes_leader_election.lifecycle.term_work import WorkItem
from kubernetes_leader_election.process.timers import shared_timers

LONGEST_SILENCE: Final = 60.0
"""Seconds at most between two reports of work that does not end."""
IDLE_LOOKS: Final = 3
"""Renewals in a row at which a loop stands still, so that a short pause is no news."""


class OverdueWork:
    """
    Report work that does not end. Any thread.

    Args:
        elector: whose work.
        event_log: where it is said what was ended without anybody's doing.
        end_term: gives a term up, as its last scope has ended.
        report: logs an error and tells the handlers.
        announce: tells whoever looks at the Lease that work does not stop.

    """

    def __init__(
        self,
        elector: Status[Any],
        event_log: EventLog,
        *,
        end_term: Callable[[int], None],
        report: Callable[[LeaderElectionError], None],
        announce: Callable[[str], None],
    ) -> None:
        self._elector = elector
        self._event_log = event_log
        self._end_term = end_term
        self._report = report
        self._announce = announce

    # Loops and tasks ----------------------------------------------------------

    def drop_work_of_closed_loops(self) -> None:
        """
        End what ran on an event loop that is closed: nobody is told of a closed loop.

        Of what runs on a loop that stands still nobody knows whether it goes on: the
        Lease is kept (G5), and that is reported.
        """
        current = self._elector.current
        if current is None:
            return
        if current.work.drop_if(self._is_loop_closed):
            self._end_term(current.term.number)
        for hold in current.work.alive:
            loop = hold.loop
            idle = loop is not None and not loop.is_running() and not loop.is_closed()
            hold.idle_looks = hold.idle_looks + 1 if idle else 0
            if hold.idle_looks == IDLE_LOOKS:
                self._say(
                    f"the event loop of {hold.what} stands still and is not closed. The "
                    "Lease is kept, and a loss cancels nothing before the loop runs "
                    "again. Leave the scope before the loop stops, or close the loop."
                )

    def _is_loop_closed(self, hold: WorkItem) -> bool:
        closed = hold.loop is not None and hold.loop.is_closed()
        if closed:
            self._event_log.trouble(
                f"the event loop of {hold.what} was closed: it counts as ended"
            )
        return closed

    def report_abandoned(self, hold: WorkItem) -> None:
        """Tell that the task which entered a scope ended without leaving it."""
        self._say(
            f"{hold.what}: the task has ended and did not leave the scope. The Lease is "
            "kept until it is left, and a loss cancels nothing of its work. Enter it "
            "with `async with`, in the task that works."
        )

    def report_elsewhere(self, hold: WorkItem) -> None:
        """Tell that a scope was left by another task, while its own one goes on."""
        self._say(
            f"{hold.what} was left by another task. It counts as ended; a loss until "
            "then cancels the task that entered it. Enter and leave it in the task that "
            "works."
        )

    # Work that goes on --------------------------------------------------------

    def expect_end(self, term: BaseTerm) -> None:
        """Look again and again whether the work of a term that is over has ended."""
        current = self._elector.current
        if current is None or current.term is not term or current.work.expected_to_end:
            return
        current.work.expected_to_end = True
        if term.reason in PLANNED:
            self._look_at_planned(current, waited=0.0)
        else:
            self._expect_end_of_lost(current, waited=0.0)

    def _look_at_planned(self, current: CurrentTerm[Any], *, waited: float) -> None:
        """Say nothing while the Lease is held and the grace is not over."""
        elector = self._elector
        if elector.forked or not self._alive(current):
            return
        held, left = current.term.remaining(), elector.grace - waited
        if held <= 0.0:
            self._expect_end_of_lost(current, waited=waited)
        elif left <= 0.0:
            self._say_running(current, waited=waited, option="grace_sec")
        else:
            # Often enough to see a loss, of which work has its stop budget left.
            pause = min(left, elector.stop_budget)
            again = partial(self._look_at_planned, current, waited=waited + pause)
            shared_timers().call_later(pause, again)

    def _expect_end_of_lost(self, current: CurrentTerm[Any], *, waited: float) -> None:
        # Half of the stop budget is for work that does not resist.
        half = self._elector.stop_budget / 2
        look = partial(self._look_at_half, current, waited=waited + half)
        shared_timers().call_later(half, look)

    def _look_at_half(self, current: CurrentTerm[Any], *, waited: float) -> None:
        """Fault 09: name the tasks that were cancelled half a stop budget ago, and go on."""
        alive = () if self._elector.forked else self._alive(current)
        if not alive:
            return
        half = self._elector.stop_budget / 2
        tasks = tuple(h for h in alive if h.is_task)
        fence = current.work.fence
        if fence is not None:
            self._event_log.trouble(
                f"{_over(current.term, waited)}this is still running: {names(alive)}. "
                f"The hard fence ends this whole process by {fence} in "
                f"{max(0.0, fence.left()):.2f} s unless that has ended by then."
            )
        if tasks:  # a thread may take its whole budget
            self._say(
                f"{_over(current.term, waited)}half of the stop budget, this ignores "
                f"its cancellation: {names(tasks)}. It is cancelled again wherever it "
                "waits, until it has ended. Let CancelledError pass."
            )
        option = "stop_budget_sec"
        look = partial(self._say_running, current, waited=waited + half, option=option)
        shared_timers().call_later(half, look)

    def _say_running(
        self, current: CurrentTerm[Any], *, waited: float, option: str
    ) -> None:
        """Fault 09: say loudly, again and again, that work outlives its term."""
        alive = () if self._elector.forked else self._alive(current)
        if not alive:
            return
        budget, tasks = self._elector.stop_budget, any(h.is_task for h in alive)
        given = budget if option == "stop_budget_sec" else self._elector.grace
        running = f"{_over(current.term, waited)}this is still running: {names(alive)}"
        self._announce(running)
        self._say(
            f"{running}. The "
            "Lease is not released before it has ended. Let it stop sooner, or raise "
            f"{option} (now {given:g} s)."
            + (" Tasks are cancelled again wherever they wait." if tasks else "")
        )
        pause = min(waited + budget, max(LONGEST_SILENCE, budget))
        look = partial(self._say_running, current, waited=waited + pause, option=option)
        shared_timers().call_later(pause, look)

    def _alive(self, current: CurrentTerm[Any]) -> tuple[WorkItem, ...]:
        """Return what still runs of a term, less what can be seen to be over."""
        current.work.drop_if(self._is_loop_closed)
        return tuple(h for h in current.work.alive if not h.is_wait)

    def _say(self, text: str) -> None:
        self._report(LeaderElectionError(f"{self._elector.where}: {text}"))


def _over(term: BaseTerm, waited: float) -> str:
    why = "" if term.reason is None else REASONS[term.reason]
    return f"{round(waited, 2):g} s after term {term.number} ended ({why}), "
