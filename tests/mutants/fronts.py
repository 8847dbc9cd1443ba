"""Mistakes in both fronts: lives, scopes, terms, handlers."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

IN_WORK: Final = "tests/lifecycle/test_term_work.py::"
IN_ELECTIONS: Final = "tests/lifecycle/test_elections.py::"
IN_FAULTS: Final = "tests/lifecycle/test_faults.py::"
IN_HANDLERS: Final = "tests/lifecycle/test_handlers.py::"
IN_SCOPES: Final = "tests/lifecycle/test_scopes.py::"
IN_CANCELLATION: Final = "tests/lifecycle/test_task_cancellation.py::"
IN_STOP_ANYWHERE: Final = "tests/lifecycle/test_stop_anywhere.py::"
IN_QUIET: Final = "tests/lifecycle/test_quiet.py::"
TASK_CANCELLATION: Final = "lifecycle/task_cancellation.py"
BY_THE_CLOCK: Final = (
    f"{IN_ELECTIONS}test_waiting_for_the_loss_ends_by_the_clock_with_a_dead_engine"
)

MISTAKES: Final = [
    Mistake(
        name="every renewal wakes whoever waits for something else",
        file="lifecycle/waiters.py",
        old="for waiter in self._of_renewals if renewed else self._all:",
        new="for waiter in self._all:",
        tests=(f"{IN_QUIET}test_thread_that_waits_for_a_loss_sleeps_through_renewals",),
    ),
    Mistake(
        name="whoever gives up in a scope goes on before the cancellation comes",
        file="elector.py",
        old="            await asyncio.sleep(0)  # it was told",
        new="            pass  # it was told",
        tests=(
            f"{IN_CANCELLATION}test_giving_up_in_a_scope_is_where_the_body_is_cancelled",
        ),
    ),
    Mistake(
        name="a cancellation that the body took back is taken back once more",
        file=TASK_CANCELLATION,
        old="        self._ours = min(self._ours, max(0, counted))",
        new="        pass",
        tests=(
            f"{IN_CANCELLATION}test_cancellation_of_others_is_passed_on_by_a_body_that_took_back_that_of_the_loss",
        ),
    ),
    Mistake(
        name="a body that was spared has half of the stop budget after a loss",
        file=TASK_CANCELLATION,
        old="        return 0.0 if self._told_at is None else self._told_at + budget / 2 - now",
        new="        return (self._told_at or self._asked_at) + budget / 2 - now",
        tests=(
            f"{IN_CANCELLATION}test_lease_lost_under_a_planned_stop_cancels_who_was_spared_at_once",
        ),
    ),
    # What runs of a term ---------------------------------------------------------------
    Mistake(
        name="garbage that is collected in the middle of a step waits for that step",
        file="lifecycle/term_work.py",
        old="        self._lock = native.RLock()",
        new="        self._lock = native.Lock()",
        tests=(
            f"{IN_WORK}test_hold_ends_where_garbage_is_collected_in_the_middle_of_another_step",
        ),
        slow=True,
    ),
    Mistake(
        name="a term that is lost takes new work",
        file="lifecycle/term_work.py",
        old="            taken = self._phase is _OPEN",
        new="            taken = self._phase is not _CLOSED",
        tests=(f"{IN_WORK}test_lost_term_takes_no_new_work",),
    ),
    Mistake(
        name="a term whose last scope has ended takes new work",
        file="lifecycle/term_work.py",
        old="            taken = self._phase is _OPEN",
        new="            taken = self._phase in (_OPEN, _CLOSED)",
        tests=(f"{IN_WORK}test_term_whose_last_scope_has_ended_takes_no_new_work",),
    ),
    Mistake(
        name="a hold that ends twice counts twice",
        file="lifecycle/term_work.py",
        old=(
            "                self._scopes -= hold.is_scope\n"
            "                self._at_work -= not hold.is_wait\n"
        ),
        new=(
            "                self._at_work -= not hold.is_wait\n"
            "            self._scopes -= hold.is_scope\n"
            "            if not again:\n"
        ),
        tests=(f"{IN_WORK}test_hold_that_ends_twice_counts_once",),
    ),
    Mistake(
        name="the work of a term counts as ended while some of it runs",
        file="lifecycle/term_work.py",
        old="            if self._phase is not _LOST or self._holds:",
        new="            if self._phase is not _LOST:",
        tests=(f"{IN_WORK}test_work_of_a_lost_term_ends_with_its_last_hold",),
    ),
    Mistake(
        name="the work of a term counts as ended before the term is lost",
        file="lifecycle/term_work.py",
        old="            if self._phase is not _LOST or self._holds:",
        new="            if self._holds:",
        tests=(
            f"{IN_WORK}test_work_that_has_ended_is_over_at_the_loss_and_not_before",
        ),
    ),
    Mistake(
        name="the loss cancels nobody",
        file="lifecycle/term_work.py",
        old="                hold.cancel()",
        new="                pass",
        tests=(f"{IN_WORK}test_lost_term_cancels_what_runs_and_nothing_else",),
    ),
    Mistake(
        name="a term goes on after its last scope",
        file="lifecycle/term_work.py",
        old="                self._phase = _CLOSED",
        new="                pass",
        tests=(f"{IN_WORK}test_term_whose_last_scope_has_ended_takes_no_new_work",),
    ),
    Mistake(
        name="the end of work that was cut off is not said again",
        file="lifecycle/term_work.py",
        old="        if over:\n            self._ended(self.term)",
        new="        if over:\n            pass",
        tests=(f"{IN_WORK}test_end_of_work_is_said_again_when_asked_for",),
    ),
    # Events and handlers ------------------------------------------------------------
    Mistake(
        name="events come in the wrong order",
        file="lifecycle/event_queue.py",
        old="self._queued.popleft()",
        new="self._queued.pop()",
        tests=(f"{IN_WORK}test_events_come_in_their_order",),
    ),
    Mistake(
        name="acquired and lost events are dropped when many events wait",
        file="lifecycle/event_queue.py",
        old="if not vital and self.is_full:",
        new="if self.is_full:",
        tests=(f"{IN_WORK}test_full_queue_takes_vital_events_alone",),
    ),
    Mistake(
        name="events pile up before a handler that is stuck",
        file="lifecycle/event_queue.py",
        old="if not vital and self.is_full:",
        new="if False:",
        tests=(f"{IN_WORK}test_full_queue_takes_vital_events_alone",),
    ),
    Mistake(
        name="a lost handler that is never called holds the Lease for ever",
        file="lifecycle/event_queue.py",
        old="            queued.hold.end()",
        new="            pass",
        tests=(f"{IN_WORK}test_dropped_events_hold_up_nothing",),
    ),
    Mistake(
        name="the Lease is released while lost handlers run",
        file="lifecycle/engine_listener.py",
        old='lost = work.hold_late("a handler of leadership_lost", loop=loop)',
        new="pass",
        tests=(f"{IN_HANDLERS}test_lost_handler_holds_up_the_release",),
        slow=True,
    ),
    Mistake(
        name="an acquired handler that is a coroutine is not awaited before the release",
        file="lifecycle/asyncio_dispatcher.py",
        old="        call_context = CallContext(self._lifecycle, work=queued.work, is_scope=False)\n        task =",
        new=(
            "        hold.end()\n"
            "        call_context = CallContext(self._lifecycle, work=queued.work, is_scope=False)\n"
            "        task ="
        ),
        tests=(
            f"{IN_HANDLERS}test_asyncio_handler_that_is_a_coroutine_is_awaited_or_is_work",
        ),
    ),
    Mistake(
        name="an acquired handler that is a coroutine is not cancelled by the loss",
        file="lifecycle/asyncio_dispatcher.py",
        old="cancel=cancel, loop=self.loop)",
        new="cancel=None, loop=self.loop)",
        tests=(
            f"{IN_HANDLERS}test_asyncio_handler_that_is_a_coroutine_is_awaited_or_is_work",
        ),
        slow=True,
    ),
    Mistake(
        name="a handler that raises keeps the next one from being called",
        file="lifecycle/thread_dispatcher.py",
        old="            self._lifecycle.event_log.handler_raised(handler, queued.event, error)",
        new=(
            "            self._lifecycle.event_log.handler_raised(handler, queued.event, error)\n"
            "            raise"
        ),
        tests=(f"{IN_HANDLERS}test_handler_that_raises_harms_nothing[threads]",),
    ),
    Mistake(
        name="an elector needs a clock that only Linux has",
        file="lifecycle/event_log.py",
        old='getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)',
        new="time.CLOCK_BOOTTIME",
        tests=("tests/test_macos.py::test_library_elects_without_what_only_linux_has",),
    ),
    Mistake(
        name="that every replica works is not worth a warning",
        file="lifecycle/event_log.py",
        old=(
            '            "warning",\n'
            '            "%s: this program does not run in a cluster'
        ),
        new=(
            '            "info",\n            "%s: this program does not run in a cluster'
        ),
        tests=(
            "tests/lifecycle/test_event_log.py::test_leadership_that_is_assumed_is_a_warning",
        ),
    ),
    # Belief -------------------------------------------------------------------------
    Mistake(
        name="whoever gave leadership up leads until the engine hears of it",
        file="lifecycle/status.py",
        old="belief.term > self._given_up",
        new="belief.term > 0",
        tests=(
            f"{IN_FAULTS}test_thread_elector_leads_no_more_before_the_engine_heard_of_it",
        ),
        slow=True,
    ),
    Mistake(
        name="a term is lost only when the engine says so",
        file="lifecycle/base_term.py",
        old="return self._reason is not None or self.remaining() <= 0.0",
        new="return self._reason is not None",
        tests=(f"{IN_WORK}test_term_is_lost_by_the_clock_alone",),
    ),
    Mistake(
        name="a term that was lost comes back to life when there is time left",
        file="lifecycle/base_term.py",
        old="return self._reason is not None or self.remaining() <= 0.0",
        new="return self.remaining() <= 0.0",
        tests=(f"{IN_WORK}test_term_that_was_lost_stays_so_whatever_time_is_left",),
    ),
    Mistake(
        name="ensure() is content with any time that is left",
        file="lifecycle/base_term.py",
        old="        if not is_enough(left, seconds):",
        new="        if not is_enough(left, 0):",
        tests=(f"{IN_WORK}test_ensure_asks_for_the_time_that_is_needed",),
    ),
    Mistake(
        name="the elector's ensure() is content with any time that is left",
        file="lifecycle/base_elector.py",
        old="        if not is_enough(left, seconds):",
        new="        if not is_enough(left, 0):",
        tests=(f"{IN_ELECTIONS}test_elector_ensures_the_time_that_is_needed",),
    ),
    Mistake(
        name="a scope enters a term that the clock has ended",
        file="lifecycle/taking.py",
        old="if current is not None and status.current_leader() and current.work.take(hold):",
        new="if current is not None and current.work.take(hold):",
        tests=(f"{IN_ELECTIONS}test_scope_enters_no_term_that_the_clock_has_ended",),
        slow=True,
    ),
    # Scopes ---------------------------------------------------------------------------
    Mistake(
        name="an asyncio scope does not look at the clock itself",
        file=TASK_CANCELLATION,
        old="        self._look_later(term.remaining())",
        new="        pass",
        tests=(
            f"{IN_ELECTIONS}test_asyncio_body_is_cancelled_by_the_clock_with_a_dead_engine",
        ),
        slow=True,
    ),
    Mistake(
        name="an asyncio scope looks at the clock once, whatever was renewed since",
        file=TASK_CANCELLATION,
        old="            self._look_later(left)",
        new="            pass",
        tests=(
            f"{IN_ELECTIONS}test_asyncio_body_is_cancelled_by_the_clock_with_a_dead_engine",
        ),
        slow=True,
    ),
    Mistake(
        name="who waits for the loss on an event loop needs the engine",
        file="lifecycle/task_scope.py",
        old='self.is_set, timeout, "", recheck_after=recheck_after',
        new='self.is_set, timeout, ""',
        tests=(f"{BY_THE_CLOCK}[asyncio]",),
        slow=True,
    ),
    Mistake(
        name="who waits for the loss on a thread needs the engine",
        file="lifecycle/thread_scope.py",
        old='self.is_set, timeout, "", recheck_after=recheck_after',
        new='self.is_set, timeout, ""',
        tests=(f"{BY_THE_CLOCK}[threads]",),
        slow=True,
    ),
    Mistake(
        name="an asyncio scope whose term is lost ends as if nothing had been",
        file="lifecycle/task_scope.py",
        old="            raise term.loss() from error",
        new="            pass",
        tests=(f"{IN_SCOPES}test_asyncio_scope_ends_as_the_page_says",),
    ),
    Mistake(
        name="a thread's scope whose term is lost ends as if nothing had been",
        file="lifecycle/thread_scope.py",
        old="            raise term.loss() from error",
        new="            pass",
        tests=(f"{IN_SCOPES}test_thread_scope_ends_as_the_page_says",),
    ),
    Mistake(
        name="a cancellation from outside is lost with that of the loss",
        file=TASK_CANCELLATION,
        old="        others = self._task.cancelling() - self._before",
        new="        others = 0",
        tests=(f"{IN_SCOPES}test_asyncio_scope_ends_as_the_page_says",),
    ),
    Mistake(
        name="the cleanup of a cancelled body is cut when leadership is given up",
        file=TASK_CANCELLATION,
        old="        if not self._is_held() or not (self._is_ending() or self._has_asked()):",
        new="        if not self._is_held() or not self._has_asked():",
        tests=(
            f"{IN_CANCELLATION}test_cleanup_of_a_cancelled_body_is_not_cut_by_giving_leadership_up",
        ),
    ),
    Mistake(
        name="a body that swallowed one cancellation is never cancelled again",
        file=TASK_CANCELLATION,
        old="        else:\n            self._repeat()",
        new="        else:\n            pass",
        tests=(
            "tests/lifecycle/test_grace.py::test_planned_stop_lets_work_have_its_grace",
        ),
        slow=True,
    ),
    Mistake(
        name="the last scope of a term does not end it",
        file="lifecycle/lifecycle.py",
        old="        self._post(word)\n        self.waiters.wake()",
        new="        pass",
        tests=(f"{IN_ELECTIONS}test_loss_says_that_the_work_ended",),
        slow=True,
    ),
    # Lives ----------------------------------------------------------------------------
    Mistake(
        name="stop() waits for a later life",
        file="lifecycle/status.py",
        old="return not self._life.started or self._life.number != number",
        new="return not self._life.started",
        tests=(
            "tests/lifecycle/test_starting.py::test_stop_waits_for_its_own_life_alone",
        ),
        slow=True,
    ),
    Mistake(
        name="a stop in the middle of start() is lost",
        file="lifecycle/lifecycle.py",
        old=(
            "        if self._life.stopping:\n"
            "            # Said by a signal handler in the middle of this, so perhaps too early."
        ),
        new=(
            "        if False:\n"
            "            # Said by a signal handler in the middle of this, so perhaps too early."
        ),
        tests=(
            "tests/lifecycle/test_starting.py::test_stop_in_the_middle_of_start_is_not_lost",
        ),
        slow=True,
    ),
    Mistake(
        name="signals are caught only when the Lease may be held already",
        file="lifecycle/lifecycle.py",
        old=(
            "                hears_signals = self.shutdown.watch()\n"
            "                self._connect()"
        ),
        new=(
            "                self._connect()\n"
            "                hears_signals = self.shutdown.watch()"
        ),
        tests=(
            "tests/lifecycle/test_starting.py::test_signals_are_caught_before_the_lease_can_be_held",
        ),
    ),
    Mistake(
        name="a look for credentials starts what was stopped meanwhile",
        file="lifecycle/lifecycle.py",
        old="            if self.has_ended(number) or self._life.stopping:\n",
        new="            if False:\n",
        tests=(
            "tests/lifecycle/test_credentials.py::test_stop_does_not_wait_for_a_look_for_credentials",
        ),
        slow=True,
    ),
    Mistake(
        name="credentials that cannot be read are looked for once",
        file="lifecycle/connect.py",
        old="        self._retry = shared_timers().call_later(pause, self._again)",
        new="        self._retry = Timer(self._again)",
        tests=(
            (
                "tests/lifecycle/test_credentials.py::"
                "test_unforeseen_error_in_finding_credentials_is_told_and_tried_again"
            ),
        ),
        slow=True,
    ),
    Mistake(
        name="an election that was stuck in an earlier life is so in the next one",
        file="lifecycle/lifecycle.py",
        old="            driver.post(m.LivenessReported(alive=True))",
        new="            pass",
        tests=(
            f"{IN_FAULTS}test_elector_contends_in_a_new_life_though_the_application_was_stuck",
        ),
        slow=True,
    ),
    Mistake(
        name="an application that is stuck counts as well",
        file="lifecycle/liveness_probe.py",
        old="            stuck = time.monotonic() - self._alive_at >= self._limit",
        new="            stuck = False",
        tests=(f"{IN_FAULTS}test_thread_liveness_that_fails_gives_the_lease_up",),
        slow=True,
    ),
    Mistake(
        name="a probe that is stopped before it began begins all the same",
        file="lifecycle/liveness_probe.py",
        old="            if self._over:\n                return\n",
        new="",
        tests=(
            f"{IN_STOP_ANYWHERE}test_stop_by_a_handler_of_signals_ends_run_without_an_error[with a probe]",
        ),
        slow=True,
    ),
    Mistake(
        name="who rings for a thread that waits for events rings for nobody",
        file="lifecycle/thread_dispatcher.py",
        old="            self._wake_ups.put(None)",
        new="            pass",
        tests=(
            "tests/lifecycle/test_handlers.py::test_handlers_run_on_the_loop_or_on_one_thread[threads]",
        ),
    ),
    Mistake(
        name="an asyncio block is left before the Lease is released",
        file="lifecycle/task_scope.py",
        old="        if last and (error is None or isinstance(error, Exception)):",
        new="        if False:",
        tests=(
            "tests/lifecycle/test_elections.py::test_asyncio_block_is_left_when_the_lease_is_released",
        ),
    ),
    Mistake(
        name="a thread's block is left before the Lease is released",
        file="lifecycle/thread_scope.py",
        old="        if last and (error is None or isinstance(error, Exception)):",
        new="        if False:",
        tests=(
            "tests/lifecycle/test_elections.py::test_block_is_left_when_the_lease_is_released",
        ),
    ),
    Mistake(
        name="who waited on a loop is told of every change for ever",
        file="lifecycle/task_waits.py",
        old="        lifecycle.waiters.remove(waiter)",
        new="        pass",
        tests=(
            "tests/lifecycle/test_elections.py::test_waiting_leaves_nothing_behind[asyncio]",
        ),
    ),
    Mistake(
        name="who waited in a thread is told of every change for ever",
        file="lifecycle/thread_waits.py",
        old="        lifecycle.waiters.remove(waiter)",
        new="        pass",
        tests=(
            "tests/lifecycle/test_elections.py::test_waiting_leaves_nothing_behind[threads]",
        ),
    ),
    Mistake(
        name="timers of who waited on a loop pile up",
        file="lifecycle/task_waits.py",
        old="                        timer.cancel()",
        new="                        pass",
        tests=(
            "tests/lifecycle/test_elections.py::test_waiting_leaves_nothing_behind[asyncio]",
        ),
    ),
    Mistake(
        name="entering that Ctrl-C ends leaves an elector behind",
        file="sync.py",
        old="            self._lifecycle.ask_to_stop()\n            raise\n        return self",
        new="            raise\n        return self",
        tests=(
            "tests/lifecycle/test_elections.py::test_entering_that_fails_leaves_no_elector_behind",
        ),
        slow=True,
    ),
    Mistake(
        name="a start that fails at the probe leaves an elector behind",
        file="lifecycle/lifecycle.py",
        old="            self.ask_to_stop()  # or it would go on without whoever sees start() fail\n",
        new="",
        tests=(
            "tests/lifecycle/test_elections.py::test_start_that_fails_at_the_probe_leaves_no_elector_behind",
        ),
        slow=True,
    ),
    Mistake(
        name="a program of scopes is given the stop budget after a signal",
        file="lifecycle/term_work.py",
        old="                self.had_scope = self.had_scope or hold.is_scope",
        new="                pass",
        tests=(
            "tests/lifecycle/test_elections.py::test_signal_releases_as_soon_as_scopes_have_ended",
        ),
        slow=True,
    ),
    Mistake(
        name="an exit of its own in a thread counts as a signal",
        file="lifecycle/leftover_threads.py",
        old="        return is_main_thread() and (",
        new="        return (",
        tests=(
            "tests/lifecycle/test_elections.py::test_scope_of_a_thread_that_ends_by_an_exit_of_its_own_is_not_torn",
        ),
        slow=True,
    ),
    Mistake(
        name="a body that swallows the exception of a signal was not torn",
        file="lifecycle/leftover_threads.py",
        old="            _is_of_exit(error) or shared_auto_close().endings != self._endings",
        new="            _is_of_exit(error)",
        tests=(
            "tests/lifecycle/test_leftover_threads.py::test_torn_scope_whose_body_makes_nothing_of_it_is_held_as_well",
        ),
        slow=True,
    ),
    Mistake(
        name="an error that follows from Ctrl-C is one like any other",
        file="lifecycle/leftover_threads.py",
        old="        error = error.__cause__ or error.__context__\n    return False",
        new="        error = None\n    return False",
        tests=(
            "tests/lifecycle/test_leftover_threads.py::test_torn_scope_without_our_handlers_is_held_as_well[thread_and_an_error_of_its_own]",
        ),
        slow=True,
    ),
    Mistake(
        name="a hold that a signal tore counts as over",
        file="lifecycle/held_work.py",
        old="        keep_if_torn(hold, self._beginning, error, self._owner.waiters.wake)",
        new="        pass",
        tests=(
            "tests/lifecycle/test_leftover_threads.py::test_torn_hold_without_a_scope_is_held_as_well",
        ),
        slow=True,
    ),
]
