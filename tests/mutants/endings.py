"""Mistakes in how work ends: cancellations, holds, leftovers, copies of a process."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

TASK_CANCELLATION: Final = "lifecycle/task_cancellation.py"
OVERDUE_WORK: Final = "lifecycle/overdue_work.py"
TAKING: Final = "lifecycle/taking.py"
HELD_WORK: Final = "lifecycle/held_work.py"
LEFTOVER_THREADS: Final = "lifecycle/leftover_threads.py"
FORK: Final = "process/fork.py"
BASE_TERM: Final = "lifecycle/base_term.py"
ASYNCIO_DISPATCHER: Final = "lifecycle/asyncio_dispatcher.py"
THREAD_DISPATCHER: Final = "lifecycle/thread_dispatcher.py"
IN_CANCELLATION: Final = "tests/lifecycle/test_task_cancellation.py::"
IN_RESISTING: Final = "tests/lifecycle/test_resisting.py::"
IN_GRACE: Final = "tests/lifecycle/test_grace.py::"
IN_ON_STOP: Final = "tests/lifecycle/test_on_stop.py::"
IN_HOMES: Final = "tests/lifecycle/test_event_loops.py::"
IN_HOLDING: Final = "tests/lifecycle/test_held_work.py::"
IN_LEFTOVERS: Final = "tests/lifecycle/test_leftover_threads.py::"
IN_FORK: Final = "tests/process/test_fork.py::"
IN_ENSURE: Final = "tests/lifecycle/test_ensure.py::"
IN_TOKENS: Final = "tests/lifecycle/test_tokens.py::"
IN_LATE: Final = "tests/lifecycle/test_late_handlers.py::"

MISTAKES: Final = [
    # Cancelled, and cancelled again -------------------------------------------------
    Mistake(
        name="a body is cancelled again at once, in the middle of its cleanup",
        file=TASK_CANCELLATION,
        old="        return 0.0 if self._told_at is None else self._told_at + budget / 2 - now",
        new="        return 0.0",
        tests=(f"{IN_RESISTING}test_cleanup_within_its_time_is_not_cut",),
        slow=True,
    ),
    Mistake(
        name="a body that outlasts one row of cancellations is left alone",
        file=TASK_CANCELLATION,
        old="            self._timer = self._loop.call_later(self._pause, self._repeat)",
        new="            self._timer = None",
        tests=(
            f"{IN_RESISTING}test_body_that_outlasts_a_row_of_cancellations_meets_the_next",
        ),
        slow=True,
    ),
    Mistake(
        name="a planned stop cuts cleanup after half of the stop budget",
        file=TASK_CANCELLATION,
        old="        if self._is_held():\n            end =",
        new="        if False:\n            end =",
        tests=(
            f"{IN_RESISTING}test_cleanup_within_its_time_is_not_cut",
            f"{IN_RESISTING}test_planned_stop_that_takes_longer_than_its_grace_is_no_loss",
        ),
        slow=True,
    ),
    Mistake(
        name="the cancellations of a loss are never taken back",
        file=TASK_CANCELLATION,
        old="            self._task.uncancel()",
        new="            pass",
        tests=(f"{IN_CANCELLATION}test_scope_in_a_scope_is_cancelled_once",),
        slow=True,
    ),
    Mistake(
        name="each scope in a scope cancels the body, and so cuts its cleanup",
        file=TASK_CANCELLATION,
        old="        if _told.get(self._task) is not self._term:",
        new="        if True:",
        tests=(f"{IN_CANCELLATION}test_scope_in_a_scope_is_cancelled_once",),
        slow=True,
    ),
    # The grace of a planned stop -----------------------------------------------------
    Mistake(
        name="work has its grace though the Lease is lost meanwhile",
        file=TASK_CANCELLATION,
        old="            return min(end - now, self._term.remaining())",
        new="            return end - now",
        tests=(f"{IN_GRACE}test_planned_stop_lets_work_have_its_grace",),
    ),
    Mistake(
        name="work that was asked to end is cancelled all the same",
        file=TASK_CANCELLATION,
        old="        self._ask(self._asked_in_vain)\n        return True",
        new="        self._ask(self._asked_in_vain)\n        return False",
        tests=(f"{IN_GRACE}test_planned_stop_lets_work_have_its_grace",),
    ),
    Mistake(
        name="work that could not be asked waits for the end of its grace",
        file=TASK_CANCELLATION,
        old="        if not self._over and self._told_at is None and not self._task.done():",
        new="        if False:",
        tests=(f"{IN_GRACE}test_planned_stop_lets_work_have_its_grace",),
    ),
    Mistake(
        name="the Lease is released while what asks the work still runs",
        file="lifecycle/asking.py",
        old="        self._hold: WorkItem = work.hold_late(self.name, loop=loop, is_work=True)",
        new="        self._hold = WorkItem(self.name, loop=loop, is_work=True)",
        tests=(
            f"{IN_ON_STOP}test_release_waits_for_what_asks_and_a_stop_in_there_does_not",
        ),
    ),
    Mistake(
        name="a planned stop that takes longer than the stop budget is told as trouble",
        file=OVERDUE_WORK,
        old="        elif left <= 0.0:",
        new="        elif waited > 0.0:",
        tests=(f"{IN_ON_STOP}test_planned_stop_within_its_grace_is_no_trouble",),
    ),
    # Work that does not end ---------------------------------------------------------
    Mistake(
        name="the last scope of a closed loop does not end its term",
        file=OVERDUE_WORK,
        old="            self._end_term(current.term.number)",
        new="            pass",
        tests=(f"{IN_HOMES}test_scope_of_a_closed_loop_ends_its_term",),
        slow=True,
    ),
    Mistake(
        name="work counts as over while its event loop only stands still",
        file=OVERDUE_WORK,
        old="hold.loop is not None and hold.loop.is_closed()",
        new="hold.loop is not None and not hold.loop.is_running()",
        tests=(
            f"{IN_HOMES}test_scope_of_a_loop_that_stands_still_is_kept_and_reported",
        ),
        slow=True,
    ),
    Mistake(
        name="nobody is told which task ignores its cancellation",
        file=OVERDUE_WORK,
        old="        if tasks:  # a thread",
        new="        if False:  # a thread",
        tests=(
            f"{IN_RESISTING}test_body_that_swallows_at_every_await_is_named_at_half_of_the_budget",
        ),
        slow=True,
    ),
    Mistake(
        name="nobody is told of a scope whose task ended without leaving it",
        file="lifecycle/task_scope.py",
        old="            self._lifecycle.overdue_work.report_abandoned(self._hold)",
        new="            pass",
        tests=(
            f"{IN_HOMES}test_scope_whose_task_ended_is_reported_at_once_and_can_be_left",
        ),
        slow=True,
    ),
    Mistake(
        name="work that outlives the term of a dead engine is named by nobody",
        file=TASK_CANCELLATION,
        old="        self._lifecycle.overdue_work.expect_end(self._term)",
        new="        pass",
        tests=(
            f"{IN_RESISTING}test_body_that_swallows_at_every_await_is_named_with_a_dead_engine",
        ),
        slow=True,
    ),
    # Holds by name, and calls in a thread -------------------------------------------
    Mistake(
        name="a hold is taken on a term that the clock has ended",
        file=TAKING,
        old="        and current.term.number == number\n        and status.current_leader()\n",
        new="        and current.term.number == number\n",
        tests=(
            f"{IN_HOLDING}test_no_hold_is_taken_on_a_term_that_the_clock_has_ended",
        ),
        slow=True,
    ),
    Mistake(
        name="a hold on a former term holds the present one",
        file=TAKING,
        old="        and current.term.number == number\n        and status.current_leader()\n",
        new="        and status.current_leader()\n",
        tests=(f"{IN_HOLDING}test_no_hold_on_a_former_term_is_one_on_the_present",),
        slow=True,
    ),
    Mistake(
        name="the hold of a call in a thread ends with the task that awaits it",
        file=HELD_WORK,
        old="        if self._claimed.acquire(blocking=False):\n            self._owner",
        new="        if True:\n            self._owner",
        tests=(f"{IN_HOLDING}test_call_in_a_thread_is_work_until_the_thread_is_done",),
        slow=True,
    ),
    Mistake(
        name="a call that nobody waits for any more is made all the same",
        file=HELD_WORK,
        old="            raise CancelledError  # nobody",
        new="            pass  # nobody",
        tests=(
            f"{IN_HOLDING}test_call_that_was_cancelled_as_its_thread_began_never_runs",
        ),
        slow=True,
    ),
    Mistake(
        name="a call that got its thread after the loss is made all the same",
        file=HELD_WORK,
        old="            self._term.check()  # it may",
        new="            pass  # it may",
        tests=(
            f"{IN_HOLDING}test_call_that_waited_for_a_thread_until_its_term_was_lost_is_not_made",
        ),
        slow=True,
    ),
    # What an interruption left behind -----------------------------------------------
    Mistake(
        name="a scope that a signal has torn counts as over",
        file=LEFTOVER_THREADS,
        old="    if work is None or not beginning.is_torn(error) or not (left := beginning.left()):",
        new="    if work is None or not (left := ()):",
        tests=(
            f"{IN_LEFTOVERS}test_torn_scope_holds_the_lease_for_the_threads_it_left",
        ),
        slow=True,
    ),
    Mistake(
        name="the Lease is released under a daemon thread that a torn scope left",
        file=LEFTOVER_THREADS,
        old="            and (not thread.daemon or thread not in self._threads)",
        new="            and not thread.daemon",
        tests=(f"{IN_LEFTOVERS}test_torn_scope_with_a_daemon_thread_is_not_released",),
        slow=True,
    ),
    Mistake(
        name="the exit waits for daemon threads",
        file=LEFTOVER_THREADS,
        old="    return tuple(thread for thread in found if not thread.daemon)",
        new="    return tuple(found)",
        tests=(
            f"{IN_LEFTOVERS}test_torn_scope_with_a_daemon_thread_is_not_released",
            f"{IN_HOLDING}test_hold_of_a_daemon_thread_keeps_the_lease_at_the_exit",
        ),
        slow=True,
    ),
    Mistake(
        name="what a torn scope left holds the Lease when it has long ended",
        file=LEFTOVER_THREADS,
        old="            work.end(kept)",
        new="            pass",
        tests=(
            f"{IN_LEFTOVERS}test_torn_scope_is_released_when_its_threads_end_in_a_program_that_goes_on",
        ),
        slow=True,
    ),
    # Copies of a process ------------------------------------------------------------
    Mistake(
        name="the page that the kernel wipes in a child is not read",
        file=FORK,
        old="            or (page is not None and not page[0])\n",
        new="",
        tests=(f"{IN_FORK}test_child_with_the_number_of_its_parent_is_told_apart",),
    ),
    Mistake(
        name="what Python says of a fork is not looked at",
        file=FORK,
        old="            self._forked\n            or os.getpid()",
        new="            os.getpid()",
        tests=(f"{IN_FORK}test_child_is_told_apart_where_the_kernel_wipes_no_page",),
    ),
    Mistake(
        name="the number of a process is not compared",
        file=FORK,
        old="            or os.getpid() != self._pid\n",
        new="",
        tests=(f"{IN_FORK}test_child_is_told_apart_by_its_number_alone",),
    ),
    Mistake(
        name="a child process takes what its parent had one of for its own",
        file=FORK,
        old="        _newest = process\n        if process is fresh:",
        new="        process._things = former._things\n        _newest = process\n        if process is fresh:",
        tests=(f"{IN_FORK}test_child_makes_its_own_of_what_there_is_one_of",),
    ),
    # Nothing is held, and no token --------------------------------------------------
    Mistake(
        name="ensure(0) is content when nothing is held",
        file=BASE_TERM,
        old="return left > 0.0 and left >= seconds",
        new="return left >= seconds",
        tests=(f"{IN_ENSURE}test_ensure_of_nothing_fails_where_nothing_is_held",),
        slow=True,
    ),
    Mistake(
        name="who asks for a fencing token where there is none is given None",
        file=BASE_TERM,
        old="        if self._token is None and not self.assumed:",
        new="        if False:",
        tests=(
            f"{IN_TOKENS}test_elected_term_without_a_token_raises_where_one_is_asked_for",
        ),
        slow=True,
    ),
    Mistake(
        name="an event of a term without a token gives None",
        file="events.py",
        old="        if self.token_if_any is None and not self.assumed:",
        new="        if False:",
        tests=(
            f"{IN_TOKENS}test_elected_term_without_a_token_raises_where_one_is_asked_for",
        ),
        slow=True,
    ),
    # Acquisitions whose turn comes late ---------------------------------------------
    Mistake(
        name="an acquisition is told on a loop though its term is another's",
        file=ASYNCIO_DISPATCHER,
        old="                    if self._lifecycle.is_too_late(queued.event):",
        new="                    if False:",
        tests=(
            f"{IN_LATE}test_acquired_handler_is_not_called_after_the_lease_was_lost",
        ),
        slow=True,
    ),
    Mistake(
        name="an acquisition is told on a thread though its term is another's",
        file=THREAD_DISPATCHER,
        old="                if self._lifecycle.is_too_late(queued.event):",
        new="                if False:",
        tests=(
            f"{IN_LATE}test_acquired_handler_is_not_called_after_the_lease_was_lost",
        ),
        slow=True,
    ),
]
