"""
Look after work that outlives its term, or that nothing can end: say so, loudly.

What can be seen to be over is ended: code that ran on an event loop which is closed.
Everything else keeps its Lease (G5), whatever is said of it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubernetes_leader_election.chores import shared_chores
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.leadership import BaseTerm
from kubernetes_leader_election.outlook import Present, names
from kubernetes_leader_election.work import Hold

if TYPE_CHECKING:
    from kubernetes_leader_election.life import Life

EXPECTED: Final = frozenset({"stopped", "stepped_down", "work_ended"})
"""Reasons of a loss that was asked for."""
AFTER_SIGNAL: Final = "the stop budget after a signal"
"""A hold that is a wait, not work."""
LONGEST_SILENCE: Final = 60.0
"""Seconds at most between two reports of work that does not end."""
IDLE_LOOKS: Final = 3
"""Renewals in a row at which a loop stands still, so that a short pause is no news."""


class Overdue:
    """
    Report work that does not end. Any thread.

    Args:
        life: of the elector.

    """

    def __init__(self, life: Life[Any]) -> None:
        self._life = life

    # Loops and tasks ----------------------------------------------------------

    def drop_homeless(self) -> None:
        """
        End what ran on an event loop that is closed: nobody is told of a closed loop.

        Of what runs on a loop that stands still nobody knows whether it goes on: the
        Lease is kept (G5), and that is reported.
        """
        present = self._life.present
        if present is None:
            return
        if present.work.drop_if(self._is_homeless):
            self._life.end_term(present.term.number)
        for hold in present.work.alive:
            home = hold.home
            idle = home is not None and not home.is_running() and not home.is_closed()
            hold.idle_looks = hold.idle_looks + 1 if idle else 0
            if hold.idle_looks == IDLE_LOOKS:
                self._say(
                    f"the event loop of {hold.what} stands still and is not closed. The "
                    "Lease is kept, and a loss cancels nothing before the loop runs "
                    "again. Leave the scope before the loop stops, or close the loop."
                )

    def _is_homeless(self, hold: Hold) -> bool:
        homeless = hold.home is not None and hold.home.is_closed()
        if homeless:
            self._life.teller.trouble(
                f"the event loop of {hold.what} was closed: it counts as ended"
            )
        return homeless

    def report_abandoned(self, hold: Hold) -> None:
        """Tell that the task which entered a scope ended without leaving it."""
        self._say(
            f"{hold.what}: the task has ended and did not leave the scope. The Lease is "
            "kept until it is left, and a loss cancels nothing of its work. Enter it "
            "with `async with`, in the task that works."
        )

    def report_elsewhere(self, hold: Hold) -> None:
        """Tell that a scope was left by another task, while its own one goes on."""
        self._say(
            f"{hold.what} was left by another task. It counts as ended; a loss until "
            "then cancels the task that entered it. Enter and leave it in the task that "
            "works."
        )

    # Work that goes on --------------------------------------------------------

    def expect_end(self, term: BaseTerm) -> None:
        """Look again and again whether the work of a term that is over has ended."""
        present = self._life.present
        if present is None or present.term is not term or present.work.expected_to_end:
            return
        present.work.expected_to_end = True
        # Half of the stop budget is for work that does not resist. In a planned stop
        # nobody waits for it, and it may take all of it.
        share = 1.0 if term.reason in EXPECTED else 0.5
        self._look_later(present, waited=0.0, pause=share * self._life.stop_budget)

    def _look_later(
        self, present: Present[Any], *, waited: float, pause: float
    ) -> None:
        shared_chores().call_later(
            pause, lambda: self._look(present, waited=waited + pause)
        )

    def _look(self, present: Present[Any], *, waited: float) -> None:
        """Fault 09: say loudly, again and again, that work outlives its term."""
        life, term, budget = self._life, present.term, self._life.stop_budget
        if life.forked:
            return
        present.work.drop_if(self._is_homeless)
        alive = tuple(h for h in present.work.alive if h.what != AFTER_SIGNAL)
        if not alive:
            return
        over = f"{round(waited, 2):g} s after term {term.number} was lost ({term.reason}), "
        tasks = tuple(h for h in alive if h.is_task)
        if waited < budget:
            # A thread may take its whole budget. A task was cancelled, and goes on.
            self._look_later(present, waited=waited, pause=budget - waited)
            if tasks:
                self._say(
                    f"{over}half of the stop budget, this ignores that it was "
                    f"cancelled: {names(tasks)}. It is cancelled again wherever it "
                    "waits, until it has ended. Let CancelledError pass."
                )
            return
        self._say(
            f"{over}this is still running: {names(alive)}. The Lease is not released "
            "before it has ended. Let it stop sooner, or raise stop_budget_sec (now "
            f"{budget:g} s)."
            + (" Tasks are cancelled again wherever they wait." if tasks else "")
        )
        pause = min(waited + budget, max(LONGEST_SILENCE, budget))
        self._look_later(present, waited=waited, pause=pause)

    def _say(self, text: str) -> None:
        self._life.report(LeaderElectionError(f"{self._life.where}: {text}"))
