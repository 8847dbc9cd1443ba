"""Mistakes in the hard fence: for when it is armed, when not, and how a process ends."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

HARD_FENCE: Final = "lifecycle/hard_fence.py"
TERM_WORK: Final = "lifecycle/term_work.py"
LISTENER: Final = "lifecycle/engine_listener.py"
PROCESS_END: Final = "process/process_end.py"
KERNEL_TIMERS: Final = "process/kernel_timers.py"
IN_FENCE: Final = "tests/lifecycle/test_hard_fence.py::"
IN_END: Final = "tests/process/test_process_end.py::"

MISTAKES: Final = [
    # For when -------------------------------------------------------------------------
    Mistake(
        name="the fence goes off at the lease duration, when another may lead already",
        file=HARD_FENCE,
        old="        after = belief.spare - kill_margin(belief.spare)",
        new="        after = belief.spare + 0.5",
        tests=(
            f"{IN_FENCE}test_fence_goes_off_at_the_hard_limit_and_not_at_the_duration",
        ),
    ),
    Mistake(
        name="the fence goes off at the renew deadline, and leaves no time to stop",
        file=HARD_FENCE,
        old="        after = belief.spare - kill_margin(belief.spare)",
        new="        after = 0.0",
        tests=(
            f"{IN_FENCE}test_fence_goes_off_at_the_hard_limit_and_not_at_the_duration",
        ),
    ),
    Mistake(
        name="a renewal does not move the fence",
        file=LISTENER,
        old="            fence.look(current.work)",
        new="            pass",
        tests=(
            f"{IN_FENCE}test_work_is_fenced_for_the_hard_limit_of_its_newest_renewal",
        ),
        slow=True,
    ),
    Mistake(
        name="the fence counts from when it is armed, not from what is proven",
        file=HARD_FENCE,
        old="            self._timer.arm(boottime=limit.boottime, wall=limit.wall)",
        new=(
            "            now = SystemClock().now()\n"
            "            self._timer.arm(boottime=now.boottime + 2, wall=limit.wall)"
        ),
        tests=(
            f"{IN_FENCE}test_fence_goes_off_at_the_hard_limit_and_not_at_the_duration",
        ),
    ),
    Mistake(
        name="the fence is forgotten where a core that failed forgets the term",
        file=HARD_FENCE,
        old="        return self._last  # else",
        new="        return belief and self._last  # else",
        tests=(f"{IN_FENCE}test_fence_stays_where_the_deadline_is_forgotten",),
    ),
    Mistake(
        name="a limit that a renewal has moved meanwhile is put back",
        file=HARD_FENCE,
        old="        while (limit := self._limit()) != armed and limit is not None:",
        new="        if (limit := self._limit()) != armed and limit is not None:",
        tests=(f"{IN_FENCE}test_renewal_that_comes_while_another_thread_arms_counts",),
    ),
    Mistake(
        name="assumed leadership is fenced, though nobody else can start",
        file=HARD_FENCE,
        old='        if belief.boottime_deadline == float("inf"):\n            return None',
        new="",
        tests=(f"{IN_FENCE}test_assumed_leadership_has_no_limit",),
    ),
    # At work, and at no other time ------------------------------------------------------
    Mistake(
        name="the end of the work does not call the fence off",
        file=TERM_WORK,
        old="        if fence is not None:\n            fence.call_off()\n        if again:",
        new="        if again:",
        tests=(f"{IN_FENCE}test_fence_stands_from_the_first_hold_to_the_last",),
    ),
    Mistake(
        name="the first of two pieces of work that ends calls the fence off",
        file=TERM_WORK,
        old="                if not self._at_work and self._fence is not None:",
        new="                if self._fence is not None:",
        tests=(f"{IN_FENCE}test_fence_stands_from_the_first_hold_to_the_last",),
    ),
    Mistake(
        name="work begins before its fence is armed",
        file=TERM_WORK,
        old="            current.arm()",
        new="            pass",
        tests=(f"{IN_FENCE}test_fence_stands_from_the_first_hold_to_the_last",),
    ),
    Mistake(
        name="work that begins while the last one ends has no fence",
        file=TERM_WORK,
        old="                    taken\n                    and self._new_fence is not None",
        new="                    False\n                    and self._new_fence is not None",
        tests=(f"{IN_FENCE}test_work_that_comes_while_the_last_one_ends_has_a_fence",),
    ),
    Mistake(
        name="a wait after a signal counts as work, and the process is killed for it",
        file=TERM_WORK,
        old="            self._at_work += not is_wait",
        new="            self._at_work += 1",
        tests=(f"{IN_FENCE}test_wait_is_no_work",),
    ),
    Mistake(
        name="a fence that was called off while it was armed stays armed",
        file=HARD_FENCE,
        old="        if self._over:\n            self._timer.call_off()",
        new="",
        tests=(f"{IN_FENCE}test_end_that_comes_while_the_engine_arms_counts",),
    ),
    Mistake(
        name="an end of work that a signal tore leaves the fence armed",
        file=TERM_WORK,
        old="            ended.call_off()  # an exception",
        new="            pass  # an exception",
        tests=(f"{IN_FENCE}test_look_reaches_what_runs_and_what_an_exception_left",),
    ),
    # How the process ends ----------------------------------------------------------------
    Mistake(
        name="process 1 is to end by SIGKILL, which it ignores from inside",
        file=PROCESS_END,
        old="        if not _is_first_process():",
        new="        if True:",
        tests=(
            f"{IN_END}test_first_process_has_the_c_library_end_it",
            f"{IN_END}test_process_that_keeps_the_interpreters_lock_is_ended[first]",
        ),
    ),
    Mistake(
        name="the fence goes by CLOCK_MONOTONIC, which stands still in suspend",
        file=KERNEL_TIMERS,
        old="CLOCK_BOOTTIME: Final = 7",
        new="CLOCK_BOOTTIME: Final = 1",
        tests=(f"{IN_END}test_timers_go_by_the_clocks_that_count_a_suspend",),
    ),
    Mistake(
        name="the fence does not see the wall clock jump after a pause of the guest",
        file=PROCESS_END,
        old="            timer.arm(wall)",
        new="            timer.arm(None)",
        tests=(f"{IN_END}test_timer_goes_off_at_its_time_of_each_clock",),
        slow=True,
    ),
    Mistake(
        name="the handler that others took away is put back by nobody",
        file=PROCESS_END,
        old="        _set_handler(number, _exit_of_libc())\n        self.number",
        new=(
            "        if not former:\n"
            "            _set_handler(number, _exit_of_libc())\n"
            "        self.number"
        ),
        tests=(f"{IN_END}test_handler_that_was_reset_is_put_back",),
    ),
    Mistake(
        name="the signal of others ends the process",
        file=PROCESS_END,
        old="            number = _free_signal()",
        new="            number = number or _free_signal()",
        tests=(f"{IN_END}test_signal_that_others_handle_is_left_to_them",),
    ),
    Mistake(
        name="a signal that every thread blocks never ends the process",
        file=PROCESS_END,
        old="            signal.pthread_sigmask(signal.SIG_UNBLOCK, (self.number,))",
        new="            pass",
        tests=(f"{IN_END}test_program_that_blocks_all_signals_is_ended_all_the_same",),
    ),
    Mistake(
        name="the application's own thread gets a signal that it blocks",
        file=PROCESS_END,
        old="        former = number = self.number\n",
        new=(
            "        former = number = self.number\n"
            "        signal.pthread_sigmask(signal.SIG_UNBLOCK, range(34, 65))\n"
        ),
        tests=(f"{IN_END}test_program_that_blocks_all_signals_is_ended_all_the_same",),
    ),
    Mistake(
        name="work can begin before the engine lets the signal through",
        file=LISTENER,
        old="            fence.look()  # before",
        new="            pass  # before",
        tests=(f"{IN_FENCE}test_signal_reaches_the_engine_before_work_can_begin",),
    ),
    Mistake(
        name="a thread that waits for all signals takes the one of the fence away",
        file=PROCESS_END,
        old="            if end.thread is not None:",
        new="            if False:",
        tests=(f"{IN_END}test_thread_that_waits_for_all_signals_takes_none_away",),
        slow=True,
    ),
    Mistake(
        name="the handler stays when no elector is left",
        file=PROCESS_END,
        old="        if not self._users:\n            self._give_back()",
        new="        if not self._users:\n            pass",
        tests=(f"{IN_END}test_last_user_gives_the_signal_back",),
    ),
    Mistake(
        name="a forked child calls off a timer of its own by the number of its parent's",
        file=KERNEL_TIMERS,
        old="        if self._is_copy():\n            return",
        new="",
        tests=(f"{IN_END}test_child_neither_moves_nor_drops_what_its_parent_has",),
    ),
    Mistake(
        name="an elector starts without the fence that it cannot have",
        file="lifecycle/optional_features.py",
        old="        self.fence.begin()",
        new="        pass",
        tests=(f"{IN_FENCE}test_start_is_refused_where_it_cannot_be_had",),
    ),
]
