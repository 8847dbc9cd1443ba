"""Mistakes in guards, jobs, work that fails, and work in the background."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

TASK_GUARD: Final = "lifecycle/task_guard.py"
GUARD: Final = "lifecycle/guard.py"
IN_GUARD: Final = "tests/lifecycle/test_guard.py::"

MISTAKES: Final = [
    Mistake(
        name="a planned stop cuts the body of a guard",
        file=TASK_GUARD,
        old="        if self._hold is not None and not (planned and self._term.remaining() > 0.0):",
        new="        if self._hold is not None:",
        tests=(f"{IN_GUARD}test_guard_of_a_task_ends_as_the_page_says",),
    ),
    Mistake(
        name="a guard does not hear of a loss in the middle of a planned stop",
        file=TASK_GUARD,
        old="            self._lifecycle.add_waiter(self._changed)",
        new="            pass",
        tests=(f"{IN_GUARD}test_guard_of_a_task_ends_as_the_page_says",),
        slow=True,
    ),
    Mistake(
        name="a guard whose Lease was lost says nothing of it",
        file=GUARD,
        old="        lost = term.remaining() <= 0.0  # before",
        new="        lost = False  # before",
        tests=(f"{IN_GUARD}test_guard_of_a_thread_ends_as_the_page_says",),
    ),
    Mistake(
        name="a job that fails with NotLeaderError counts as skipped",
        file=GUARD,
        old="            if error is not guard.refusal:",
        new="            if guard is None:",
        tests=(f"{IN_GUARD}test_error_of_a_job_that_is_no_leader_elsewhere_is_its_own",),
    ),
]
