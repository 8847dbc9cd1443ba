"""Mistakes in what happens at signals and at the exit of the interpreter."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

IN_SIGNALS: Final = "tests/lifecycle/test_signals.py::"
IN_GUARDS: Final = "tests/lifecycle/test_guards_and_signals.py::"
IN_MISSED: Final = "tests/lifecycle/test_missed_signals.py::"
IN_EXITS: Final = "tests/lifecycle/test_exits.py::"
IN_LEFT: Final = "tests/lifecycle/test_leftover_threads.py::"
IN_TORN: Final = "tests/lifecycle/test_torn_scopes.py::"
IN_AUTO_CLOSE: Final = "tests/lifecycle/test_auto_close.py::"
IN_NATIVE: Final = "tests/process/test_native.py::"

MISTAKES: Final = [
    Mistake(
        name="a thread that began before gevent patched complains as it ends",
        file="process/native.py",
        old="        threading._active.pop(self.ident, None)",
        new="        super()._delete()",
        tests=(f"{IN_NATIVE}test_thread_from_before_a_patch_ends_without_a_word",),
    ),
    Mistake(
        name="a patch that comes while a thread is started has its starter do the work",
        file="process/native.py",
        old="    if get_ident() != starter:\n",
        new="    if True:\n",
        tests=(
            f"{IN_NATIVE}test_patch_that_comes_while_a_thread_is_started_holds_up_nobody",
        ),
    ),
    Mistake(
        name="a thread for work is no greenlet of gevent's",
        file="process/native.py",
        old="    kind = threading.Thread if _has_green_threads() else _Thread\n",
        new="    kind = _Thread\n",
        tests=(
            f"{IN_NATIVE}test_work_thread_is_one_that_gevent_knows_where_it_has_patched",
        ),
    ),
    Mistake(
        name="a signal that the main thread has not met is left at that",
        file="process/missed_signals.py",
        old="            signal.pthread_kill(main, _INTERRUPT)\n",
        new="            pass\n",
        tests=(f"{IN_MISSED}test_signal_is_met_once_although_the_wait_goes_on",),
        slow=True,  # by a time limit
    ),
    Mistake(
        name="the main thread is interrupted only once for a signal that it has not met",
        file="process/missed_signals.py",
        old="MOST_INTERRUPTS: Final = 12",
        new="MOST_INTERRUPTS: Final = 1",
        tests=(
            f"{IN_MISSED}test_main_thread_is_interrupted_until_it_meets_the_signal",
        ),
        slow=True,  # likewise
    ),
    Mistake(
        name="the main thread is interrupted for signals that it has met",
        file="process/missed_signals.py",
        old="                os.write(self._pipe[1], bytes([_MET]))\n",
        new="                pass\n",
        tests=(f"{IN_MISSED}test_main_thread_that_met_its_signal_is_not_interrupted",),
        slow=True,  # by a time limit
    ),
    Mistake(
        name="the exit waits for no elector whose start was interrupted as it began",
        file="lifecycle/lifecycle.py",
        old="                if self._life.may_run:\n",
        new="                if False:\n",
        tests=(
            f"{IN_TORN}test_exit_waits_for_an_elector_whose_start_was_interrupted_as_it_began",
        ),
    ),
    Mistake(
        name="a signal that came just before the wait for the log is a traceback",
        file="process/exit.py",
        old="            native.sleep(0)\n",
        new="            pass\n",
        tests=(
            f"{IN_EXITS}test_signal_that_is_met_after_the_wait_for_the_log_leaves_no_traceback",
        ),
    ),
    Mistake(
        name="a program that handles SIGURG is told of data that is not there",
        file="process/missed_signals.py",
        old="            if signal.getsignal(_INTERRUPT) != self._on_interrupt:\n",
        new="            if False:\n",
        tests=(f"{IN_MISSED}test_handler_of_the_program_for_sigurg_is_never_called",),
    ),
    Mistake(
        name="the handler of a program for SIGURG is replaced",
        file="process/missed_signals.py",
        old="        if _is_of_former(handler) or (handler == signal.SIG_DFL and not _is_caught()):",
        new="        if True:",
        tests=(f"{IN_MISSED}test_handler_of_the_program_for_sigurg_is_never_called",),
    ),
    Mistake(
        name="trio warns, or does not start, where an elector runs",
        file="process/missed_signals.py",
        old='    if "trio" in sys.modules:',
        new='    if "trio" in ():',
        tests=(f"{IN_MISSED}test_library_that_warns_of_a_taken_place_finds_it_free",),
    ),
    Mistake(
        name="asyncio hears of no signal any more that the program added there",
        file="process/missed_signals.py",
        old="                signal.set_wakeup_fd(used)\n",
        new="                pass\n",
        tests=(f"{IN_AUTO_CLOSE}test_what_wakes_the_loop_for_others_is_left_to_them",),
        slow=True,  # by a time limit
    ),
    Mistake(
        name="a signal that came while the place was asked for is kept from its owner",
        file="process/missed_signals.py",
        old="                    os.write(used, came)",
        new="                    pass",
        tests=(
            f"{IN_MISSED}test_descriptor_of_others_is_left_to_them_with_what_came_in_between",
        ),
        slow=True,  # by a time limit
    ),
    Mistake(
        name="asyncio hears of no signal any more once the electors have stopped",
        file="process/missed_signals.py",
        old="                self._put(-1)\n",
        new="                signal.set_wakeup_fd(-1)\n",
        tests=(f"{IN_AUTO_CLOSE}test_what_wakes_the_loop_for_others_is_left_to_them",),
        slow=True,  # by a time limit
    ),
    Mistake(
        name="a signal that comes while the place is given back is kept from its owner",
        file="process/missed_signals.py",
        old="                self._put(-1)\n",
        new="                used = signal.set_wakeup_fd(-1)\n"
        "                if used not in (-1, self._pipe[1]):\n"
        "                    signal.set_wakeup_fd(used)\n",
        tests=(
            f"{IN_MISSED}test_descriptor_of_others_is_left_to_them_with_what_came_in_between",
        ),
        slow=True,  # by a time limit
    ),
    Mistake(
        name="no elector starts where others closed the descriptor that they had",
        file="process/missed_signals.py",
        old="            with suppress(OSError, ValueError):  # it is closed",
        new="            with suppress():  # it is closed",
        tests=(f"{IN_MISSED}test_descriptor_that_is_closed_is_nobodys",),
    ),
    Mistake(
        name="a child that was forked in C says that its parent has met a signal",
        file="process/signals.py",
        old="        earlier = self._handlers.earlier(number)\n        if self._process.is_copy:",
        new="        self._handlers.met()\n        earlier = self._handlers.earlier(number)\n"
        "        if self._process.is_copy:",
        tests=(f"{IN_MISSED}test_copy_in_a_child_tells_its_parent_of_no_signal",),
    ),
    Mistake(
        name="trio warns where anyio starts it beside an elector that runs",
        file="process/missed_signals.py",
        old='    return find_spec("trio") is not None',
        new='    return find_spec("trio") is False',
        tests=(f"{IN_MISSED}test_library_that_anyio_imports_late_finds_it_free",),
    ),
    Mistake(
        name="what Python notes signals in stays when nobody needs it",
        file="process/signal_handlers.py",
        old="        self._missed.end()\n",
        new="",
        tests=(
            f"{IN_AUTO_CLOSE}test_nothing_is_woken_any_more_when_handlers_are_taken_back",
        ),
    ),
    Mistake(
        name="who begins a scope just after a signal is told to call start()",
        file="lifecycle/preconditions.py",
        old="    if not status.running and not status.ended_by_signal:",
        new="    if not status.running:",
        tests=(
            "tests/lifecycle/test_interrupts.py::test_call_after_a_stop_by_a_signal_lets_the_signal_end_the_program[asyncio-SIGINT]",
        ),
    ),
    Mistake(
        name="a signal is passed on while electors still stop",
        file="process/signal_thread.py",
        old="        if not closing:\n            return Fact.STOPPED",
        new="        if closing is not None:\n            return Fact.STOPPED",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_is_not_sent_once_more_while_electors_stop",
        ),
    ),
    Mistake(
        name="a signal is passed on before the electors were asked to stop",
        file="process/signal_thread.py",
        old="        self.state = State.CAUGHT",
        new="        self.state = State.STOPPING",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_is_not_sent_once_more_before_the_electors_were_asked",
        ),
    ),
    Mistake(
        name="a signal is passed on twice",
        file="process/signal_table.py",
        old="    (S.STOPPING, F.STOPPED): (S.SENT, A.SEND),",
        new="    (S.STOPPING, F.STOPPED): (S.STOPPING, A.SEND),",
        tests=(f"{IN_AUTO_CLOSE}test_signal_is_sent_once_more_and_only_once",),
    ),
    Mistake(
        name="a signal ends the main thread while work elsewhere takes too long",
        file="process/signal_thread.py",
        old="            return Fact.OTHERS_LATE",
        new="            return Fact.MAIN_THREAD_LATE",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_waits_for_work_elsewhere_that_takes_too_long",
        ),
    ),
    Mistake(
        name="a main thread has its grace though the Lease is lost meanwhile",
        file="lifecycle/shutdown.py",
        old="        return min(left, self.time_held())",
        new="        return left",
        tests=(
            f"{IN_SIGNALS}test_signal_ends_a_main_thread_whose_lease_is_lost_while_it_drains",
        ),
        slow=True,
    ),
    Mistake(
        name="the grace ends a guard in the main thread",
        file="process/signal_thread.py",
        old="        held = any(elector.holds_main_thread() for elector in closing)",
        new="        held = False",
        tests=(
            f"{IN_AUTO_CLOSE}test_grace_ends_no_scope_around_a_guard_of_another_elector",
        ),
    ),
    Mistake(
        name="a signal ends a guard in the main thread where nobody else was told",
        file="lifecycle/shutdown.py",
        old="        return self._alone and not on_its_loop and not self.holds_main_thread()",
        new="        return self._alone and not on_its_loop",
        tests=(
            "tests/lifecycle/test_guards_and_signals.py::test_program_of_guards_ends_at_once_when_its_job_has_ended",
        ),
        slow=True,
    ),
    Mistake(
        name="a signal that came just before a wait of the main thread is lost",
        file="process/signal_thread.py",
        old="            missed = delivery.state is State.SENT and since >= MISSED",
        new="            missed = False",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_that_the_main_thread_has_not_met_is_sent_until_it_is",
        ),
    ),
    Mistake(
        name="a signal ends the main thread at once where another thread was told",
        file="lifecycle/status.py",
        old="        if is_elsewhere and self.is_untold:",
        new="        if False:",
        tests=(
            "tests/lifecycle/test_polling.py::test_signal_waits_for_the_stop_budget_where_others_may_be_at_work",
        ),
        slow=True,
    ),
    Mistake(
        name="one elector whose work is of the main thread alone speaks for all",
        file="process/signal_thread.py",
        old="        if all(elector.is_of_main_thread_alone() for elector in closing):",
        new="        if any(elector.is_of_main_thread_alone() for elector in closing):",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_is_sent_at_once_only_where_all_work_is_of_the_main_thread",
        ),
    ),
    Mistake(
        name="a handler of signals that the work installed stays",
        file="process/signal_handlers.py",
        old="            signal.signal(number, self._handler)\n            self._missed.begin()  #",
        new="            pass\n            self._missed.begin()  #",
        tests=(
            "tests/lifecycle/test_replaced_handlers.py::test_handler_that_the_work_installed_is_taken_back_when_it_ends",
        ),
        slow=True,
    ),
    Mistake(
        name="a signal tears a job of a guard on the loop of the main thread",
        file="lifecycle/shutdown.py",
        old="        return self._alone and not on_its_loop and not self.holds_main_thread()",
        new="        return self._alone and not self.holds_main_thread()",
        tests=(
            f"{IN_GUARDS}test_program_of_guards_ends_at_once_when_its_job_has_ended",
        ),
        slow=True,
    ),
    Mistake(
        name="a signal tears a job of a guard in a coroutine, of an elector for threads",
        file="lifecycle/shutdown.py",
        old="h.is_work and h.thread is None for h in self._alive",
        new="h.is_task for h in self._alive",
        tests=(
            f"{IN_GUARDS}test_program_of_guards_ends_at_once_when_its_job_has_ended",
        ),
        slow=True,
    ),
    Mistake(
        name="a job of a guard on a loop costs the whole stop budget after a signal",
        file="lifecycle/status.py",
        old="h.is_work and h.entered_in == self._life.main_thread",
        new="h.is_work and h.thread == self._life.main_thread",
        tests=(
            f"{IN_GUARDS}test_program_of_guards_ends_at_once_when_its_job_has_ended",
        ),
        slow=True,
    ),
    Mistake(
        name="a signal is sent once more when another one has ended the main thread",
        file="process/signal_thread.py",
        old="        if self._delivery is delivery:\n",
        new="        if True:\n",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_is_not_sent_once_more_when_another_ended_the_program",
        ),
    ),
    Mistake(
        name="an elector that began after a signal is not asked to stop by the next one",
        file="process/signal_thread.py",
        old="        asked = tuple(self._watched - self._closing)",
        new="        asked = () if self._closing else tuple(self._watched)",
        tests=(
            f"{IN_AUTO_CLOSE}test_signal_stops_an_elector_that_began_while_an_older_one_still_stops",
        ),
    ),
    Mistake(
        name="a signal that the parent process had ignored is caught",
        file="process/signal_handlers.py",
        old="if earlier in (self._handler, signal.SIG_IGN, None):",
        new="if earlier in (self._handler, None):",
        tests=(f"{IN_SIGNALS}test_signal_that_was_ignored_stays_ignored",),
    ),
    Mistake(
        name="a signal is over when Python has dropped its exception",
        file="process/signal_exceptions.py",
        old="        self._dropped(ending)\n",
        new="",
        tests=(
            f"{IN_SIGNALS}test_signal_whose_exception_python_drops_ends_the_program",
        ),
        slow=True,
    ),
    Mistake(
        name="a signal that comes back finds no handler of ours",
        file="process/signals.py",
        old="        self._handlers.install_again(ending.number, ending.earlier)\n",
        new="",
        tests=(
            f"{IN_SIGNALS}test_signal_whose_exception_python_drops_ends_the_program",
        ),
        slow=True,
    ),
    Mistake(
        name="the handler that was there before is not called",
        file="process/signals.py",
        old="            earlier(number, frame)\n        finally:",
        new="            pass\n        finally:",
        tests=(f"{IN_SIGNALS}test_signal_calls_the_earlier_handler_at_once",),
        slow=True,
    ),
    Mistake(
        name="a program of events releases at once after a signal",
        file="lifecycle/shutdown.py",
        old='work.hold_late(\n            "the stop budget after a signal", is_wait=True\n        )',
        new='WorkItem("nothing")',
        tests=(
            f"{IN_SIGNALS}test_signal_to_a_program_of_events_releases_after_the_stop_budget",
        ),
    ),
    Mistake(
        name="the exit of the interpreter releases under work that runs",
        file="lifecycle/shutdown.py",
        old="return idle or cut or hold.is_wait",
        new="return True",
        tests=(f"{IN_EXITS}test_exit_does_not_release_under_work_that_runs",),
    ),
    Mistake(
        name="the exit of the interpreter stops nobody",
        file="process/exit.py",
        old=(
            "        waited_for = {elector for elector in leaving if elector.on_exit()}\n"
            "        if _wait_for_threads(leaving):"
        ),
        new=(
            "        waited_for = set(leaving[:0])\n"
            "        if _wait_for_threads(leaving):"
        ),
        tests=(f"{IN_EXITS}test_exit_releases_when_the_work_is_over",),
    ),
    Mistake(
        name="the exit of the interpreter drops the last lines of who has stopped",
        file="process/exit.py",
        old="        shared_log_thread().flush(max(limits.LAST_WORDS, until - time.monotonic()))",
        new="        shared_log_thread().flush(max(0.0, until - limits.EXIT - time.monotonic()))",
        tests=(f"{IN_EXITS}test_exit_waits_for_the_last_lines_of_who_has_stopped",),
    ),
    Mistake(
        name="who presses Ctrl-C twice gets a traceback of the exit",
        file="process/exit.py",
        old="        except (KeyboardInterrupt, SystemExit):\n            pass  # it is",
        new="        except queue.Empty:\n            pass  # it is",
        tests=(f"{IN_EXITS}test_signal_ends_the_wait_for_a_log_that_stands_still",),
    ),
    Mistake(
        name="a handler that stops waits for a hold which its thread is leaving",
        file="lifecycle/held_work.py",
        old="        hold.may_work = False  # before any call",
        new="        pass  # before any call",
        tests=(
            "tests/lifecycle/test_stop_in_passing.py::test_handler_that_interrupts_the_end_of_work_does_not_wait_for_it",
        ),
    ),
    Mistake(
        name="a guard looks at its term before it says that it is being left",
        file="lifecycle/held_work.py",
        old="        hold.may_work = False  # before any call, and so before any Ctrl-C\n"
        "        try:\n            self._body_ended()\n",
        new="        self._body_ended()\n        hold.may_work = False\n        try:\n",
        tests=(f"{IN_TORN}test_interrupt_in_work_of_the_main_thread_leaves_no_hold",),
        slow=True,
    ),
    Mistake(
        name="work that Ctrl-C ended before its first step of leaving is never released",
        file="lifecycle/shutdown.py",
        old="(never_left or not hold.may_work)",
        new="(not hold.may_work)",
        tests=(f"{IN_EXITS}test_exit_releases_when_the_work_is_over",),
        slow=True,
    ),
    Mistake(
        name="a thread that is yet to begin is not seen where Ctrl-C tore its start",
        file="lifecycle/leftover_threads.py",
        old="        starting = [t for t in threading.enumerate() if t.ident is None]\n",
        new="        starting = []\n",
        tests=(f"{IN_LEFT}test_thread_that_is_yet_to_begin_is_left_by_who_started_it",),
        slow=True,
    ),
    Mistake(
        name="a thread whose start was torn is waited for, though it never begins",
        file="lifecycle/leftover_threads.py",
        old="        if now - self._looked_at > BEGINS_WITHIN:\n",
        new="        if False:\n",
        tests=(f"{IN_LEFT}test_thread_that_is_yet_to_begin_is_left_by_who_started_it",),
        slow=True,
    ),
    Mistake(
        name="the exit releases what a handler of `atexit` is still to leave",
        file="lifecycle/shutdown.py",
        old="    never_left = alone and not _can_be_left(hold)\n",
        new="    never_left = alone\n",
        tests=(f"{IN_EXITS}test_exit_does_not_release_what_is_left_later",),
        slow=True,
    ),
    Mistake(
        name="the frames of the exception that ended the program keep the Lease held",
        file="lifecycle/shutdown.py",
        old='    error = getattr(sys, "last_value", None)\n',
        new="    error = None\n",
        tests=(
            f"{IN_EXITS}test_exit_releases_what_a_signal_left_whose_traceback_is_kept",
        ),
        slow=True,
    ),
    Mistake(
        name="the exit releases under a thread that may work in it",
        file="lifecycle/shutdown.py",
        old="            alone = not _others_run()\n",
        new="            alone = True\n",
        tests=(
            f"{IN_EXITS}test_exit_does_not_release_under_a_thread_that_may_work_in_it",
        ),
        slow=True,
    ),
    Mistake(
        name="the exit knows only the threads that `threading` started",
        file="lifecycle/shutdown.py",
        old="    running = sys._current_frames().keys()",
        new="    running = {t.ident for t in before}",
        tests=(
            f"{IN_EXITS}test_exit_does_not_release_under_a_thread_that_may_work_in_it",
        ),
        slow=True,
    ),
    Mistake(
        name="a child process stops the elector of its parent when it exits",
        file="process/exit.py",
        old="            return  # a child process that leaves by sys.exit()",
        new="            pass",
        tests=(f"{IN_EXITS}test_fork_in_a_scope_leaves_the_parents_work_alone",),
    ),
]
