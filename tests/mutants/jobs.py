"""Mistakes in guards, jobs, work that fails, and work in the background."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

TASK_GUARD: Final = "lifecycle/task_guard.py"
GUARD: Final = "lifecycle/guard.py"
RESTARTS: Final = "lifecycle/restarts.py"
IN_FAILING: Final = "tests/lifecycle/test_failing_work.py::"
BACKGROUND: Final = "lifecycle/background.py"
IN_BACKGROUND: Final = "tests/lifecycle/test_background.py::"
IN_GUARD: Final = "tests/lifecycle/test_guard.py::"
BEAT: Final = "contrib/celery.py"
IN_BEAT: Final = "tests/contrib/test_celery.py::"

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
        old="            self._lifecycle.waiters.add(self._changed)",
        new="            pass",
        tests=(f"{IN_GUARD}test_guard_of_a_task_ends_as_the_page_says",),
        slow=True,
    ),
    Mistake(
        name="a guard whose Lease was lost says nothing of it",
        file=GUARD,
        old="        self._is_lost = self._term.remaining() <= 0.0",
        new="        self._is_lost = False",
        tests=(f"{IN_GUARD}test_guard_of_a_thread_ends_as_the_page_says",),
    ),
    Mistake(
        name="beat ends when its Lease is lost while it sends",
        file=BEAT,
        old="        except (NotLeaderError, LeadershipLostError):",
        new="        except NotLeaderError:",
        tests=(f"{IN_BEAT}test_beat_goes_on_when_its_lease_is_lost_while_it_sends",),
    ),
    Mistake(
        name="a signal in the start of beat's elector leaves it running",
        file=BEAT,
        old="            self._started = True  # before: a signal may come in there, and close it\n"
        "            self._elector.start()\n",
        new="            self._elector.start()\n            self._started = True\n",
        tests=(f"{IN_BEAT}test_signal_anywhere_in_a_tick_leaves_nothing_held",),
        slow=True,
    ),
    Mistake(
        name="beat goes on for nothing when the end that a signal brings was dropped",
        file=BEAT,
        old="            raise SystemExit\n",
        new="            pass\n",
        tests=(f"{IN_BEAT}test_closed_scheduler_ends_the_program_at_its_next_tick",),
    ),
    Mistake(
        name="a job that fails with NotLeaderError counts as skipped",
        file=GUARD,
        old="            if error is not guard.refusal:",
        new="            if guard is None:",
        tests=(
            f"{IN_GUARD}test_error_of_a_job_that_is_no_leader_elsewhere_is_its_own",
        ),
    ),
    # Work that fails -------------------------------------------------------------
    Mistake(
        name="work that fails is tried again in the same term",
        file=RESTARTS,
        old="        lifecycle.fail_term(number, detail=printable(said, longest=200), stay_out=pause)",
        new="        printable(said)",
        tests=(f"{IN_FAILING}test_error_is_raised_and_told_as_a_reason_of_its_own",),
    ),
    Mistake(
        name="who failed comes back as soon as another one leads",
        file="core/participation.py",
        old="        self._others_first_until = None\n\n    def come_back",
        new="        self.come_back()\n\n    def come_back",
        tests=(
            "tests/core/test_election_state.py::test_work_that_failed_stays_out_for_its_pause_whoever_leads",
        ),
    ),
    Mistake(
        name="who steps down in the pause after failed work comes back before its end",
        file="core/participation.py",
        old="            self._others_first_until = until\n",
        new="            self._others_first_until, self._pauses_until = until, None\n",
        tests=(
            "tests/core/test_election_state.py::test_pause_of_work_that_failed_and_step_down_cut_neither_short",
        ),
    ),
    Mistake(
        name="work that fails while the elector stops is tried again",
        file=RESTARTS,
        old="            and not lifecycle.stopping\n",
        new="",
        tests=(f"{IN_FAILING}test_error_in_a_stop_is_raised_whatever_was_asked",),
    ),
    Mistake(
        name="work of the wrong kind is tried again and again",
        file=RESTARTS,
        old="            and not isinstance(error, WrongWorkError)\n",
        new="            and len(self.name) > 0\n",
        tests=(f"{IN_FAILING}test_work_whose_result_is_a_coroutine_ends_its_term",),
        slow=True,
    ),
    Mistake(
        name="another term begins when the work is done",
        file="sync.py",
        old="                    scope.then_stop = restarts.done = True\n",
        new="",
        tests=(f"{IN_FAILING}test_no_other_term_begins_when_the_work_is_done",),
    ),
    Mistake(
        name="a coroutine function counts as work of a thread",
        file="lifecycle/kinds_of_work.py",
        old="    if is_coroutine_function(work):\n",
        new="    if work is None:\n",
        tests=(f"{IN_FAILING}test_elector_for_threads_refuses_work_of_a_loop",),
    ),
    # In the background -----------------------------------------------------------
    Mistake(
        name="an elector leads on when its work in the background has failed",
        file=BACKGROUND,
        old="        lifecycle.ask_to_stop()\n        if error is not None:",
        new="        if error is not None:",
        tests=(
            f"{IN_BACKGROUND}test_work_that_fails_for_good_stops_the_elector_and_is_raised_again",
        ),
        slow=True,
    ),
    Mistake(
        name="the error of work in the background is lost",
        file=BACKGROUND,
        old="        if error is not None:\n            raise error",
        new="        if error is None:\n            raise RuntimeError",
        tests=(
            f"{IN_BACKGROUND}test_work_that_fails_for_good_stops_the_elector_and_is_raised_again",
        ),
    ),
    Mistake(
        name="the exit of the interpreter waits for ever for work in the background",
        file=BACKGROUND,
        old="            shared_main_thread_end().watch(lifecycle.ask_to_stop)\n",
        new="",
        tests=(f"{IN_BACKGROUND}test_exit_of_a_program_without_a_block_ends_its_work",),
        slow=True,
    ),
    # Beat of Celery --------------------------------------------------------------
    Mistake(
        name="beat sends what came due under the leader before",
        file=BEAT,
        old="        since = self.app.now() if self._another else self._given_up\n",
        new="        since = None\n",
        tests=(f"{IN_BEAT}test_hand_over_sends_nothing_twice",),
        slow=True,
    ),
    Mistake(
        name="beat goes by its old times where the end of the other's term is not told yet",
        file=BEAT,
        old="        since = self.app.now() if self._another else self._given_up\n",
        new="        since = self._given_up\n",
        tests=(f"{IN_BEAT}test_term_that_begins_before_the_news_counts_from_now",),
    ),
    Mistake(
        name="beat sends where another one leads",
        file=BEAT,
        old="was sending.\n            pause = _GLANCE\n",
        new="was sending.\n            pause = float(super().tick())\n",
        tests=(f"{IN_BEAT}test_replica_that_waits_sends_nothing",),
    ),
    Mistake(
        name="beat that waits sleeps for as long as its schedule has time",
        file=BEAT,
        old="        return min(pause, _GLANCE)\n",
        new="        return min(pause, self.max_interval)\n",
        tests=(f"{IN_BEAT}test_first_leader_sends_what_is_due",),
    ),
]
