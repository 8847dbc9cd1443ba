"""Mistakes in the engine: its thread and queue, the driver, workers, requests."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

ENGINE: Final = "engine/engine.py"
DRIVER: Final = "engine/driver.py"
DESIRED: Final = "engine/desired.py"
ACCESS: Final = "engine/threaded_access.py"
ALARM: Final = "engine/clock_alarm.py"
CALLS: Final = "engine/calls.py"
REQUESTS: Final = "engine/requests.py"
IN_ENGINE: Final = "tests/engine/test_engine.py::"
IN_WAKING: Final = "tests/engine/test_waking.py::"
IN_ALARM: Final = "tests/engine/test_clock_alarm.py::"
IN_VIEW: Final = "tests/engine/test_view.py::"
IN_WORKERS: Final = "tests/engine/test_calls.py::"
IN_DESIRED: Final = "tests/engine/test_desired.py::"
IN_DRIVER: Final = "tests/engine/test_driver.py::"

MISTAKES: Final = [
    # Thread, queue and timers ------------------------------------------------------
    Mistake(
        name="the newest word is taken first",
        file=ENGINE,
        old="            native.SimpleQueue()\n",
        new="            queue.LifoQueue()\n",
        tests=(
            f"{IN_ENGINE}test_engine_takes_the_news_that_is_there_before_what_is_due",
        ),
    ),
    Mistake(
        name="what is due comes before the news that are there already",
        file=ENGINE,
        old="MOST_NEWS: Final = 50",
        new="MOST_NEWS: Final = 0",
        tests=(
            f"{IN_ENGINE}test_engine_takes_the_news_that_is_there_before_what_is_due",
        ),
    ),
    Mistake(
        name="the engine of a leader sleeps until its next timer, however far it is",
        file=ENGINE,
        old="wait = min(wait, driver.settings.stop_budget / 2)",
        new="wait = min(wait, LONGEST_WAIT)",
        tests=(f"{IN_WAKING}test_engine_of_a_leader_never_sleeps_for_long",),
    ),
    Mistake(
        name="the engine of a leader sleeps on where nobody tells of a jump",
        file=ENGINE,
        old="if not self._alarm.rings:",
        new="if False:",
        tests=(f"{IN_WAKING}test_engine_of_a_leader_never_sleeps_for_long",),
    ),
    Mistake(
        name="a leader does not ask to be told of jumps, and wakes to look for them",
        file=ENGINE,
        old="                self._alarm.start()",
        new="                pass",
        tests=(f"{IN_WAKING}test_leader_sleeps_until_its_timer_where_jumps_are_told",),
    ),
    Mistake(
        name="the engine sleeps on when a clock has jumped",
        file=ENGINE,
        old="        self._inputs.put(None)",
        new="        pass",
        tests=(f"{IN_WAKING}test_engine_is_woken_to_look_at_the_clocks",),
    ),
    Mistake(
        name="a timer that is always ready keeps the processor busy",
        file=ALARM,
        old="MOST_IN_A_ROW: Final = 100",
        new="MOST_IN_A_ROW: Final = 10**9",
        tests=(f"{IN_ALARM}test_alarm_that_rings_without_end_is_not_heeded",),
    ),
    Mistake(
        name="the engine is not told of a jump",
        file=ALARM,
        old="            alarm.clear()\n            self._on_jump()",
        new="            alarm.clear()",
        tests=(f"{IN_ALARM}test_each_jump_is_told",),
    ),
    Mistake(
        name="an alarm that works no more counts as one that does",
        file=ALARM,
        old="            self.rings = False\n            self._on_jump()",
        new="            self._on_jump()",
        tests=(f"{IN_ALARM}test_each_jump_is_told",),
    ),
    Mistake(
        name="an alarm that the system refuses counts as one that rings",
        file="process/kernel_timers.py",
        old="self.tells = error.errno == errno.ECANCELED",
        new="self.tells = True",
        tests=(f"{IN_ALARM}test_where_nobody_tells_of_jumps_that_is_known",),
    ),
    Mistake(
        name="the engine is not told that its alarm works no more, and sleeps on",
        file=ALARM,
        old="            self.rings = False\n            self._on_jump()",
        new="            self.rings = False",
        tests=(f"{IN_ALARM}test_each_jump_is_told",),
    ),
    Mistake(
        name="nobody looks at the clocks of leaders when the engine wakes",
        file=ENGINE,
        old="and not belief.holds(now)",
        new="and False",
        tests=(
            f"{IN_WAKING}test_engine_looks_at_the_clocks_of_a_leader_at_each_waking",
        ),
    ),
    Mistake(
        name="the engine does not note who leads",
        file=ENGINE,
        old="                self._in_term.add(driver)",
        new="                pass",
        tests=(f"{IN_WAKING}test_engine_of_a_leader_never_sleeps_for_long",),
    ),
    Mistake(
        name="the engine takes whoever leads no more for a leader",
        file=ENGINE,
        old="            self._in_term.discard(driver)",
        new="            pass",
        tests=(f"{IN_WAKING}test_engine_of_a_leader_never_sleeps_for_long",),
    ),
    Mistake(
        name="timers are waited for on the clock that stands still in suspend",
        file=ENGINE,
        old="max(0.0, deadline - self._clock.now().boottime)",
        new="max(0.0, deadline - self._clock.now().monotonic)",
        tests=(f"{IN_WAKING}test_engine_waits_for_its_next_timer_by_the_boottime",),
    ),
    Mistake(
        name="a timer is due by the clock that stands still in suspend",
        file=ENGINE,
        old="            if deadline > now.boottime:",
        new="            if deadline > now.monotonic:",
        tests=(f"{IN_WAKING}test_engine_waits_for_its_next_timer_by_the_boottime",),
    ),
    Mistake(
        name="a timer that was taken back is due all the same",
        file=ENGINE,
        old="            if self._due.get(driver) == deadline:\n",
        new="            if self._due.setdefault(driver, deadline):\n",
        tests=(f"{IN_WAKING}test_engine_steps_nobody_for_a_timer_that_was_taken_back",),
    ),
    Mistake(
        name="the engine wakes for timers that were called off",
        file=ENGINE,
        old="        deadline = self._next_deadline()\n",
        new="        deadline = self._timers[0][0] if self._timers else None\n",
        tests=(
            f"{IN_WAKING}test_engine_does_not_wake_for_a_timer_that_was_called_off",
        ),
    ),
    Mistake(
        name="a driver that failed is not called again, though its timer is lost",
        file=ENGINE,
        old="            self.post(driver, None)  # or its timer would be lost",
        new="            pass",
        tests=(f"{IN_WAKING}test_engine_calls_a_driver_again_that_failed",),
    ),
    Mistake(
        name="the engine does not rest after a driver that fails again and again",
        file=ENGINE,
        old="                if self._failed:\n                    break",
        new="                if False:\n                    break",
        tests=(
            f"{IN_ENGINE}test_engine_rests_after_a_driver_that_fails_again_and_again",
        ),
    ),
    Mistake(
        name="idle connections stay open after the last elector that used them",
        file=ENGINE,
        old="                client.close_idle()",
        new="                pass",
        tests=(f"{IN_WAKING}test_engine_closes_idle_connections_after_the_last_one",),
    ),
    Mistake(
        name="idle connections are closed while another elector uses them",
        file=ENGINE,
        old="d.client is not client for d in self._running",
        new="True for d in self._running",
        tests=(f"{IN_WAKING}test_engine_closes_idle_connections_after_the_last_one",),
    ),
    Mistake(
        name="a child process keeps the engine of its parent, whose thread is not there",
        file=ENGINE,
        old="shared_engine: Final = PerProcess(Engine)",
        new="_only = Engine()\nshared_engine: Final = PerProcess(lambda: _only)",
        tests=(f"{IN_ENGINE}test_engine_of_a_child_process_is_its_own",),
    ),
    Mistake(
        name="CLOCK_BOOTTIME is never read, so that a suspend does not count",
        file="engine/clocks.py",
        old='_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)',
        new="_BOOTTIME = None",
        tests=(
            "tests/engine/test_clocks.py::test_clocks_of_this_machine_are_all_read",
        ),
    ),
    # Views -------------------------------------------------------------------------
    Mistake(
        name="the listener is shown each view at every step",
        file=DRIVER,
        old="if self.view is self._terms.view and not again:",
        new="if False:",
        tests=(f"{IN_VIEW}test_listener_is_shown_a_view_once",),
    ),
    Mistake(
        name="the listener does not look again after a word of the application",
        file=DRIVER,
        old="show_again=isinstance(message, m.Command)",
        new="show_again=False",
        tests=(f"{IN_VIEW}test_listener_looks_again_after_a_word_of_the_application",),
    ),
    Mistake(
        name="an earlier deadline counts as a renewal, and wakes nobody who waits",
        file="engine/view.py",
        old="and now.boottime_deadline >= before.boottime_deadline",
        new="and True",
        tests=(f"{IN_VIEW}test_whatever_else_differs_is_no_renewal",),
    ),
    Mistake(
        name="another holder counts as a renewal, and wakes nobody who waits",
        file="engine/view.py",
        old="and _holder(self.snapshot) == _holder(before.snapshot)",
        new="and True",
        tests=(f"{IN_VIEW}test_whatever_else_differs_is_no_renewal",),
    ),
    # The driver: questions ---------------------------------------------------------
    Mistake(
        name="a term that a clock has ended comes back when the clock steps back",
        file=DRIVER,
        old="            self._ended_term = max(self._ended_term, belief.term)",
        new="            pass",
        tests=(f"{IN_ENGINE}test_driver_belief_ends_by_the_clock_with_a_dead_engine",),
    ),
    Mistake(
        name="questions are answered by the clock of the engine's last step",
        file=DRIVER,
        old="        left = belief.remaining(self.clock.now())",
        new="        left = belief.remaining(self.view.changed_at)",
        tests=(f"{IN_ENGINE}test_driver_belief_ends_by_the_clock_with_a_dead_engine",),
    ),
    Mistake(
        name="the core is not told of an end that only a question saw",
        file=DRIVER,
        old="            self._engine.post(self, m.LossSeen(term=belief.term))",
        new="            pass",
        tests=(f"{IN_DRIVER}test_driver_tells_the_core_of_an_end_that_a_question_saw",),
        slow=True,
    ),
    Mistake(
        name="a question that a renewal overtook ends the term",
        file=DRIVER,
        old="                newest is not None\n                and newest is not belief",
        new="                newest is not None\n                and newest is belief",
        tests=(f"{IN_DRIVER}test_driver_ends_no_term_that_was_renewed_in_between",),
    ),
    Mistake(
        name="a child process believes what its parent may believe",
        file=DRIVER,
        old="if belief.term <= self._ended_term or self.forked:",
        new="if belief.term <= self._ended_term:",
        tests=(f"{IN_ENGINE}test_driver_in_a_child_process_never_leads",),
    ),
    Mistake(
        name="a child process may post words to an engine that is not there",
        file=DRIVER,
        old="        if self.forked:\n            raise ProtocolMisuseError(",
        new="        if False:\n            raise ProtocolMisuseError(",
        tests=(f"{IN_ENGINE}test_driver_in_a_child_process_never_leads",),
    ),
    Mistake(
        name="a term is asked about and the newest one answers",
        file=DRIVER,
        old="if deadline is None or deadline.term != term:",
        new="if deadline is None:",
        tests=(f"{IN_DRIVER}test_driver_says_of_a_former_term_that_it_is_over",),
    ),
    # The driver: inputs and outputs ------------------------------------------------
    Mistake(
        name="an answer to a former core's request is taken for that of another",
        file=ACCESS,
        old="if self._calls.get(answer.request_id) is not completed.pending:",
        new="if answer.request_id not in self._calls:",
        tests=(f"{IN_ENGINE}test_driver_takes_no_answer_that_a_former_core_asked_for",),
        slow=True,
    ),
    Mistake(
        name="the reader of a watch waits for ever after a thousand events",
        file=ACCESS,
        old="            self._ahead.release()",
        new="            pass",
        tests=(
            f"{IN_DRIVER}test_driver_follows_a_watch_however_many_events_it_brings",
        ),
        slow=True,
    ),
    Mistake(
        name="events of a watch pile up before an engine that is busy",
        file=ACCESS,
        old="            self._ahead.acquire()",
        new="            pass",
        tests=(f"{IN_DRIVER}test_reader_of_a_watch_waits_for_an_engine_that_is_busy",),
    ),
    Mistake(
        name="the end of work is taken again, when it is said again",
        file=DESIRED,
        old="ended=max(self.ended, term)",
        new="ended=term",
        tests=(
            f"{IN_DESIRED}test_end_of_work_is_told_once_and_after_what_ended_the_term",
        ),
    ),
    Mistake(
        name="a step-down that comes after a stop is refused as a defect",
        file=DESIRED,
        old="None if stopped else m.StepDownAsked",
        new="m.StepDownAsked",
        tests=(
            f"{IN_ENGINE}test_driver_ignores_a_step_down_that_comes_after_the_stop",
        ),
    ),
    Mistake(
        name="an event is told before the state that it led to can be seen",
        file=DRIVER,
        old="        self._look(event.error if isinstance(event, m.ErrorOccurred) else None)\n",
        new="",
        tests=(f"{IN_DRIVER}test_driver_shows_the_state_before_it_tells_of_it",),
    ),
    Mistake(
        name="the reason of a loss is known only after its event",
        file=DRIVER,
        old="                self._terms.lost = (event.term, event.reason)",
        new="                pass",
        tests=(f"{IN_DRIVER}test_driver_shows_the_state_before_it_tells_of_it",),
    ),
    Mistake(
        name="a word that failed on its way is not said again",
        file=DRIVER,
        old="            try:\n                if word is not None:\n                    self._core",
        new="            self._told = told\n            try:\n                if word is not None:\n                    self._core",
        tests=(
            f"{IN_DRIVER}test_driver_says_a_word_again_that_may_not_have_been_heard",
        ),
        slow=True,
    ),
    Mistake(
        name="a start that was asked for while the last life stops is forgotten",
        file=DESIRED,
        old="if told.life < self.life and (stopped or not self.running):",
        new="if told.life < self.life:",
        tests=(f"{IN_DESIRED}test_stop_and_start_between_two_looks_are_both_told",),
    ),
    Mistake(
        name="a stop and a start between two steps are taken for nothing",
        file=DESIRED,
        old="(told.life < self.life or not self.running)",
        new="not self.running",
        tests=(f"{IN_DESIRED}test_stop_and_start_between_two_looks_are_both_told",),
    ),
    Mistake(
        name="a life that was over before it could begin begins",
        file=DESIRED,
        old="return m.StartAsked() if self.running else None, began",
        new="return m.StartAsked(), began",
        tests=(f"{IN_DESIRED}test_life_that_is_over_before_it_began_is_none",),
    ),
    Mistake(
        name="a new life stays out because the last one was to",
        file=DESIRED,
        old="step_downs=max(told.step_downs, self.former_step_downs),",
        new="step_downs=told.step_downs,",
        tests=(f"{IN_DESIRED}test_step_down_is_of_the_life_in_which_it_was_asked_for",),
    ),
    Mistake(
        name="a word that was refused is never taken again",
        file=DRIVER,
        old="                self._desired = self._desired.without(self._told, told)",
        new="                self._told = told",
        tests=(f"{IN_DRIVER}test_driver_takes_the_right_word_after_a_wrong_one",),
        slow=True,
    ),
    Mistake(
        name="a core that took half of a start is told to start again",
        file=DRIVER,
        old="                    self._told = told  # said twice",
        new="                    pass  # said twice",
        tests=(f"{IN_DRIVER}test_driver_starts_a_core_once_that_failed_as_it_began",),
        slow=True,
    ),
    Mistake(
        name="a new core stays out for a step-down that another's term has ended",
        file="engine/recovery.py",
        old="            self.stay_out_until = core.stay_out_until or 0.0",
        new="            self.stay_out_until = now.boottime + 60.0",
        tests=(
            f"{IN_DRIVER}test_driver_tells_no_new_core_of_a_step_down_that_is_over",
        ),
        slow=True,
    ),
    # The driver: requests ----------------------------------------------------------
    Mistake(
        name="a request that was given up before its thread was free is made all the same",
        file=ACCESS,
        old=(
            "        if not pending.begin():\n            return\n        try:\n"
            "            answer = carry_out("
        ),
        new="        pending.begin()\n        try:\n            answer = carry_out(",
        tests=(
            f"{IN_ENGINE}test_engine_makes_no_request_that_was_given_up_before_its_thread_was_free",
        ),
    ),
    Mistake(
        name="a request has no deadline on its way",
        file=ACCESS,
        old='call = Call(deadline=request.deadline, option="request_timeout_sec")',
        new="call = Call()",
        tests=(f"{IN_DRIVER}test_driver_gives_each_request_the_deadline_of_the_core",),
    ),
    Mistake(
        name="a request that the core gave up goes on",
        file=ACCESS,
        old="        if pending is not None:\n            pending.abandon()",
        new="        if pending is not None:\n            pass",
        tests=(f"{IN_DRIVER}test_driver_ends_the_watch_of_an_elector_that_stops",),
        slow=True,
    ),
    Mistake(
        name="an answer that came after its request was given up is passed on",
        file=ACCESS,
        old=(
            "        if pending.finish():\n            self._answer(pending, answer)\n\n"
            "    def _follow"
        ),
        new=(
            "        pending.finish()\n        self._answer(pending, answer)\n\n"
            "    def _follow"
        ),
        tests=(f"{IN_DRIVER}test_driver_passes_on_no_answer_to_what_was_given_up",),
    ),
    # The driver: a core that fails --------------------------------------------------
    Mistake(
        name="a new core begins a term while the work of the old one runs",
        file=DRIVER,
        old="        if self._terms.begun > self._desired.ended:\n            return  # G4",
        new="        if False:\n            return  # G4",
        tests=(
            f"{IN_ENGINE}test_engine_begins_no_term_while_work_of_a_failed_core_runs",
        ),
        slow=True,
    ),
    Mistake(
        name="a new core is not told that the application is stuck",
        file=DESIRED,
        old="running=False, alive=True, own_note=None)",
        new="running=False, own_note=None)",
        tests=(
            f"{IN_ENGINE}test_engine_tells_a_new_core_that_the_application_is_stuck",
        ),
        slow=True,
    ),
    Mistake(
        name="a new core contends though its elector was to stay out",
        file=DRIVER,
        old="if self._desired.running and left > 0.0:",
        new="if False:",
        tests=(f"{IN_ENGINE}test_engine_tells_a_new_core_to_stay_out",),
        slow=True,
    ),
    Mistake(
        name="the terms of a new core are numbered from 1 again",
        file=DRIVER,
        old="max(terms.numbered, terms.begun, shown.term if shown else 0)",
        new="0",
        tests=(f"{IN_ENGINE}test_engine_replaces_a_core_that_cannot_even_fail",),
        slow=True,
    ),
    Mistake(
        name="nobody is told of the loss of a term whose core was replaced",
        file=DRIVER,
        old="        if terms.open is not None:\n            terms.lost",
        new="        if False:\n            terms.lost",
        tests=(f"{IN_ENGINE}test_engine_replaces_a_core_that_cannot_even_fail",),
        slow=True,
    ),
    Mistake(
        name="an elector that was stopped while its core was down starts again",
        file=DESIRED,
        old="                return replace(self, running=False)",
        new="                return self",
        tests=(
            f"{IN_DRIVER}test_driver_that_is_stopped_while_its_core_is_down_stays_so",
        ),
    ),
    # Workers and requests ------------------------------------------------------------
    Mistake(
        name="a request that was given up takes off",
        file=CALLS,
        old="            if self._phase is not _Phase.WAITING:",
        new="            if self._phase is _Phase.UNDER_WAY:",
        tests=(f"{IN_WORKERS}test_request_that_was_given_up_first_never_begins",),
    ),
    Mistake(
        name="a request that was given up under way counts when it comes back",
        file=CALLS,
        old="        self._stuck(-1)\n        return False",
        new="        self._stuck(-1)\n        return True",
        tests=(
            f"{IN_WORKERS}test_request_that_was_given_up_under_way_is_ended_and_not_answered",
        ),
    ),
    Mistake(
        name="the socket of a request that was given up stays open",
        file=CALLS,
        old="            self.call.abandon()",
        new="            pass",
        tests=(
            f"{IN_WORKERS}test_request_that_was_given_up_under_way_is_ended_and_not_answered",
        ),
    ),
    Mistake(
        name="a request waits for threads that all hang",
        file=CALLS,
        old="            if self._threads > self._stuck:",
        new="            if True:",
        tests=(
            f"{IN_WORKERS}test_requests_that_hang_leave_room_for_others_up_to_a_bound",
        ),
        slow=True,
    ),
    Mistake(
        name="requests that hang take the threads of all others",
        file=CALLS,
        old="self._threads - self._stuck < LIMIT",
        new="self._threads < LIMIT",
        tests=(
            f"{IN_WORKERS}test_requests_that_hang_leave_room_for_others_up_to_a_bound",
        ),
    ),
    Mistake(
        name="each request has a thread of its own",
        file=CALLS,
        old="self._threads - self._stuck < LIMIT",
        new="True",
        tests=(f"{IN_WORKERS}test_requests_that_come_back_share_a_few_threads",),
    ),
    Mistake(
        name="a write whose outcome is unknown is taken for one that was refused",
        file=REQUESTS,
        old="message=str(error))\n        case r.Unknown(error=error):",
        new="message=str(error))\n        case r.Ok(lease=error):",
        tests=("tests/engine/test_requests.py",),
    ),
    Mistake(
        name="a conflict of a write is taken for a refusal",
        file=REQUESTS,
        old="        case r.Conflict(error=error):",
        new="        case r.Ok(lease=error):",
        tests=("tests/engine/test_requests.py",),
    ),
    Mistake(
        name="a write that finds no Lease is taken for a refusal",
        file=REQUESTS,
        old="        case r.NotFound(error=error):\n            # The Lease is gone",
        new="        case r.Ok(lease=error):\n            # The Lease is gone",
        tests=("tests/engine/test_requests.py",),
    ),
    Mistake(
        name="a missing namespace is taken for a missing Lease",
        file=REQUESTS,
        old="        case r.NotFound():",
        new="        case r.NotFound() | r.Refused():",
        tests=("tests/engine/test_requests.py",),
    ),
    Mistake(
        name="a worker that failed is taken for a write that was not applied",
        file=REQUESTS,
        old="return m.OutcomeUnknown(request_id=number, error=wrapped)",
        new="return m.RequestFailed(request_id=number, error=wrapped)",
        tests=("tests/engine/test_requests.py",),
    ),
]
