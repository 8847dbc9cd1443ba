"""Mistakes in the command line: ``run``, its watchdog, the term file, ``check``."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

WATCHDOG: Final = "cli/supervise/watchdog.py"
SUPERVISOR: Final = "cli/supervise/supervisor.py"
POLICY: Final = "cli/supervise/restart_policy.py"
HEALTH: Final = "cli/supervise/health.py"
DEADLINE: Final = "cli/supervise/term_deadline.py"
TERM_FILE: Final = "cli/supervise/term_file.py"
IN_COMMAND: Final = "tests/cli/supervise/test_run_command.py::"
IN_LEADERSHIP: Final = "tests/cli/supervise/test_run_leadership.py::"
IN_DECISIONS: Final = "tests/cli/supervise/test_restart_policy.py::"
IN_GUARDS: Final = "tests/cli/supervise/test_run_guards.py::"
IN_TERM_FILE: Final = "tests/cli/supervise/test_term_file.py::"
IN_ODD_INPUTS: Final = "tests/cli/test_odd_inputs.py::"
IN_CHECK: Final = "tests/cli/commands/test_check.py::"

MISTAKES: Final = [
    # What the command is and how it ends -----------------------------------------------
    Mistake(
        name="a command that a signal ended has the signal's number as exit code",
        file=POLICY,
        old="return 128 - code if code < 0 else code",
        new="return -code if code < 0 else code",
        tests=(f"{IN_DECISIONS}test_exit_code_of_a_command_is_that_of_shells",),
    ),
    Mistake(
        name="what succeeded is restarted on failure",
        file=POLICY,
        old='(policy == "on-failure" and code != 0)',
        new='policy == "on-failure"',
        tests=(f"{IN_DECISIONS}test_restart_follows_its_policy",),
    ),
    Mistake(
        name="the delay before a restart does not grow",
        file="backoff.py",
        old="        self._restarts += 1\n",
        new="        self._restarts = 1\n",
        tests=(
            "tests/test_backoff.py::test_delays_grow_and_begin_anew_after_a_good_run",
        ),
    ),
    Mistake(
        name="the delay before a restart grows over all bounds",
        file="backoff.py",
        old="longest=self._longest)",
        new="longest=1e9)",
        tests=(
            "tests/test_backoff.py::test_delays_grow_and_begin_anew_after_a_good_run",
        ),
    ),
    Mistake(
        name="a signal that comes while the command starts is lost",
        file=SUPERVISOR,
        old="            command.early_signals.append(number)\n",
        new="            pass\n",
        tests=(f"{IN_GUARDS}test_run_keeps_a_signal_until_its_command_is_started",),
    ),
    Mistake(
        name="a signal reaches the command and not its group",
        file=WATCHDOG,
        old="os.killpg(self.child, number)",
        new="os.kill(self.child, number)",
        tests=(f"{IN_COMMAND}test_run_passes_signals_to_the_whole_group",),
        slow=True,
    ),
    Mistake(
        name="a command that is stopped is not woken to take its TERM",
        file=WATCHDOG,
        old="            command.forward(signal.SIGCONT)",
        new="            pass",
        tests=(f"{IN_COMMAND}test_run_ends_a_command_that_is_stopped",),
        slow=True,
    ),
    Mistake(
        name="the command is killed when it is told to end",
        file=SUPERVISOR,
        old='self._ask_to_end("signal", number, self._grace_ends())',
        new='self._ask_to_end("signal", number, boottime())',
        tests=(f"{IN_COMMAND}test_run_kills_after_the_grace_period",),
        slow=True,
    ),
    Mistake(
        name="a second signal waits for the grace period, too",
        file=SUPERVISOR,
        old='self._ask_to_end("signal", signal.SIGKILL, boottime())',
        new="pass",
        tests=(f"{IN_COMMAND}test_run_kills_at_a_second_signal",),
        slow=True,
    ),
    Mistake(
        name="what a command leaves behind lives on",
        file=WATCHDOG,
        old="                self._end_leftovers(command)",
        new="                pass",
        tests=(f"{IN_COMMAND}test_run_ends_grandchildren_that_forked_twice",),
        slow=True,
    ),
    Mistake(
        name="signals that were ignored reach the command",
        file=WATCHDOG,
        old="action = signal.SIG_IGN if number in kept else signal.SIG_DFL",
        new="action = signal.SIG_DFL",
        tests=(
            f"{IN_COMMAND}test_run_starts_its_command_with_the_signals_that_it_had",
        ),
        slow=True,
    ),
    # Limits and guards ------------------------------------------------------------------
    Mistake(
        name="the command outlives its watchdog",
        file=WATCHDOG,
        old="            die_with_parent(signal.SIGKILL)",
        new="            pass",
        tests=(
            f"{IN_COMMAND}test_run_frozen_with_its_watchdog_killed_leaves_no_command",
        ),
        slow=True,
    ),
    Mistake(
        name="who escapes from the group by forking twice is not found",
        file=WATCHDOG,
        old="        become_subreaper()\n",
        new="",
        tests=(f"{IN_COMMAND}test_run_ends_its_command_when_it_is_killed_itself",),
        slow=True,
    ),
    Mistake(
        name="the watchdog of a run that was killed waits for its command",
        file=WATCHDOG,
        old="            self._end(self._command, signal.SIGTERM, kill_at)",
        new="            pass",
        tests=(f"{IN_COMMAND}test_run_ends_its_command_when_it_is_killed_itself",),
        slow=True,
    ),
    Mistake(
        name="run waits for a watchdog that does not answer",
        file=SUPERVISOR,
        old="        if last is None or boottime() < last + command.limits.run_waits:",
        new="        if True:",
        tests=(
            f"{IN_LEADERSHIP}test_run_kills_in_time_where_the_watchdog_is_frozen",
            f"{IN_GUARDS}test_run_ends_its_command_when_two_of_three_are_gone",
        ),
        slow=True,
    ),
    Mistake(
        name="a lost term does not end the command",
        file=SUPERVISOR,
        old="if command.ending is None and term.is_lost:",
        new="if False:",
        tests=(
            f"{IN_LEADERSHIP}test_run_ends_its_command_when_the_lease_is_lost[exit]",
        ),
        slow=True,
    ),
    Mistake(
        name="--on-loss=exit contends again",
        file=SUPERVISOR,
        old='elif command.ending in (None, "lost") and self._plan.on_loss == "exit":',
        new="elif False:",
        tests=(
            f"{IN_LEADERSHIP}test_run_ends_its_command_when_the_lease_is_lost[exit]",
        ),
        slow=True,
    ),
    Mistake(
        name="the command and its watchdog do not hear of renewals",
        file=SUPERVISOR,
        old="            self._link.extend(last)",
        new="            pass",
        tests=(f"{IN_LEADERSHIP}test_run_tells_its_command_of_each_renewal",),
        slow=True,
    ),
    # An instant on every clock --------------------------------------------------------
    Mistake(
        name="a command whose term ended on its way is executed all the same",
        file=WATCHDOG,
        old="            if command.is_too_late():\n                return TOO_LATE",
        new="            if False:\n                return TOO_LATE",
        tests=(f"{IN_GUARDS}test_watchdog_starts_nothing_after_the_term",),
        slow=True,
    ),
    Mistake(
        name="a command that was called off while its watchdog was frozen is started",
        file=WATCHDOG,
        old='        elif order["do"] == "end":\n            return True',
        new='        elif order["do"] == "end":\n            pass',
        tests=(f"{IN_GUARDS}test_watchdog_starts_nothing_after_the_term",),
        slow=True,
    ),
    Mistake(
        name="a clock that steps back calls off a kill",
        file=WATCHDOG,
        old="if command.killing or (left is not None and left <= 0.0):",
        new="if left is not None and left <= 0.0:",
        tests=(f"{IN_GUARDS}test_watchdog_goes_on_killing_when_a_clock_steps_back",),
    ),
    Mistake(
        name="the smallest elapsed time decides what is left of a term",
        file=DEADLINE,
        old="return max(0.0, min(left))",
        new="return max(0.0, max(left))",
        tests=(f"{IN_TERM_FILE}test_check_counts_the_largest_elapsed_time",),
    ),
    Mistake(
        name="a guest that was paused takes its term for held",
        file=DEADLINE,
        old="        if self.shows_pause(now):",
        new="        if False:",
        tests=(f"{IN_TERM_FILE}test_check_counts_the_largest_elapsed_time",),
    ),
    Mistake(
        name="check compares its clocks with those of another machine",
        file=TERM_FILE,
        old="        if self.origin[0] != boot:",
        new="        if False:",
        tests=(f"{IN_TERM_FILE}test_term_of_other_clocks_is_refused",),
    ),
    Mistake(
        name="check compares its clocks with those of another time namespace",
        file=TERM_FILE,
        old="        if self.origin[1] != namespace:",
        new="        if False:",
        tests=(f"{IN_TERM_FILE}test_term_of_other_clocks_is_refused",),
    ),
    Mistake(
        name="check believes a deadline that no renewal gives",
        file=TERM_FILE,
        old="        if most > self.renew_deadline:",
        new="        if False:",
        tests=(f"{IN_TERM_FILE}test_deadline_that_no_renewal_gives_is_refused",),
    ),
    Mistake(
        name="the backstop kills nobody where the watchdog is frozen",
        file="cli/supervise/backstop.py",
        old="        if due is None or boottime() < due:",
        new="        if True:",
        tests=(
            (
                f"{IN_GUARDS}test_run_ends_its_command_when_two_of_three_are_gone"
                "[nobody-run and watchdog]"
            ),
        ),
        slow=True,
    ),
    Mistake(
        name="the backstop kills nobody where the watchdog was killed",
        file="cli/supervise/backstop.py",
        old="                self._died = True",
        new="                pass",
        tests=(f"{IN_GUARDS}test_run_ends_its_command_when_two_of_three_are_gone",),
        slow=True,
    ),
    # Health --------------------------------------------------------------------------
    Mistake(
        name="one failed check makes a leader unhealthy",
        file=HEALTH,
        old="if self._failures >= self._plan.threshold:",
        new="if self._failures:",
        tests=(f"{IN_DECISIONS}test_leader_is_unfit_after_failures_in_a_row",),
    ),
    Mistake(
        name="failures count though they are not in a row",
        file=HEALTH,
        old="            self._failures, self._healthy, self._proved = 0, True, True",
        new="            self._healthy, self._proved = True, True",
        tests=(f"{IN_DECISIONS}test_leader_is_unfit_after_failures_in_a_row",),
    ),
    Mistake(
        name="a candidate is fit before it was ever checked",
        file=HEALTH,
        old="        self._healthy = not plan.always",
        new="        self._healthy = True",
        tests=(f"{IN_DECISIONS}test_candidate_is_fit_only_after_its_first_success",),
    ),
    Mistake(
        name="a command that starts is unhealthy at once",
        file=HEALTH,
        old="        if young:\n            return",
        new="        if False:\n            return",
        tests=(f"{IN_DECISIONS}test_command_may_fail_its_checks_while_it_starts",),
    ),
    Mistake(
        name="nobody leads for ever where all are unhealthy",
        file=HEALTH,
        old="            self._desperate = True",
        new="            pass",
        tests=(
            f"{IN_DECISIONS}test_unhealthy_candidate_contends_when_nobody_led_for_long",
        ),
    ),
    Mistake(
        name="a check that hangs is waited for",
        file=HEALTH,
        old="        code = process.wait(timeout)",
        new="        code = process.wait(timeout + 60)",
        tests=(f"{IN_DECISIONS}test_health_command_that_hangs_has_failed",),
        slow=True,
    ),
    # What the command is told --------------------------------------------------------
    Mistake(
        name="check says yes though less time is left than is needed",
        file="cli/commands/check.py",
        old="enough = left > 0 and left >= seconds",
        new="enough = left > 0",
        tests=(f"{IN_CHECK}test_check_asks_for_the_time_that_is_needed",),
    ),
    Mistake(
        name="check says yes when the term is over and no time is needed",
        file="cli/commands/check.py",
        old="enough = left > 0 and left >= seconds",
        new="enough = left >= seconds or seconds == 0",
        tests=(f"{IN_CHECK}test_check_asks_for_the_time_that_is_needed",),
    ),
    Mistake(
        name="a Lease is freed under its holder's feet without --force",
        file="cli/commands/release.py",
        old="if not force:",
        new="if False:",
        tests=(
            "tests/cli/observe/test_handover.py::test_release_without_force_says_what_to_do_first",
        ),
    ),
    Mistake(
        name="--yes frees the Lease of a holder that may live",
        file="cli/commands/release.py",
        old="    if yes and two_may_work:\n        return",
        new="    if yes:\n        return",
        tests=(
            "tests/cli/observe/test_handover.py::test_release_says_that_a_living_holder_is_alive",
        ),
        slow=True,
    ),
    Mistake(
        name="run kills at D, not at D (1 - rho) / (1 + rho)",
        file="cli/supervise/polled_elector.py",
        old="spare = belief.spare",
        new="s = self._lifecycle.settings; spare = s.lease_duration_sec - s.renew_deadline_sec",
        tests=(
            (
                "tests/cli/supervise/test_run_guards.py::"
                "test_limits_leave_room_for_clocks_that_go_wrong"
            ),
        ),
    ),
    Mistake(
        name="run kills by its own settings though the record was cut short",
        file="cli/supervise/polled_elector.py",
        old="spare = belief.spare",
        new=(
            "s = self._lifecycle.settings; rho = s.clock_rate_error; spare = "
            "s.lease_duration_sec * (1 - rho) / (1 + rho) - s.renew_deadline_sec"
        ),
        tests=(f"{IN_GUARDS}test_limits_follow_a_record_that_is_cut_short",),
    ),
    Mistake(
        name="the guards do not hear of a record that is cut so short that it ends the term",
        file=SUPERVISOR,
        old="last = limits or command.work.last_limits()",
        new="last = limits",
        tests=(f"{IN_GUARDS}test_run_tells_its_guards_that_the_record_was_cut_short",),
    ),
    Mistake(
        name="run waits for ever for a release",
        file=SUPERVISOR,
        old="self._leave_by = time.monotonic() + self._elector.release_time",
        new="pass",
        tests=(f"{IN_GUARDS}test_run_leaves_where_its_lease_cannot_be_released",),
    ),
    Mistake(
        name="livez takes a loop that is late for a dead one",
        file="cli/supervise/wiring.py",
        old="silent > 3 * LONGEST_TURN",
        new="silent > 2 * LONGEST_TURN",
        tests=(f"{IN_GUARDS}test_livez_gives_the_loop_three_of_its_longest_turns",),
    ),
    Mistake(
        name="a command that may not be looked at is not found",
        file=POLICY,
        old="return error.errno or errno.EACCES",
        new="return errno.ENOENT",
        tests=(
            f"{IN_DECISIONS}test_command_that_cannot_be_run_is_found_out_before_any_election",
            f"{IN_DECISIONS}test_command_in_a_folder_that_may_not_be_searched_is_not_missing",
        ),
    ),
    Mistake(
        name="the term file does not say that the term is lost",
        file=SUPERVISOR,
        old="            command.facts = facts.ended()",
        new="            pass",
        tests=(f"{IN_LEADERSHIP}test_run_tells_a_deaf_command_of_a_loss",),
        slow=True,
    ),
    Mistake(
        name="run reads no clock that goes on in suspend",
        file="cli/supervise/linux.py",
        old="    return time.clock_gettime(time.CLOCK_BOOTTIME)",
        new="    return time.monotonic()",
        tests=(
            "tests/cli/supervise/test_term_file.py::test_clocks_of_run_count_a_suspend",
        ),
    ),
    Mistake(
        name="dev takes a file of one line for its own",
        file="testing/lease_server/storage/state_file.py",
        old="    if _BEGIN.startswith(lines[-1][: len(_BEGIN)]):\n        lines.pop()\n",
        new="    lines.pop()\n",
        tests=(f"{IN_ODD_INPUTS}test_line_says_what_to_do",),
    ),
    Mistake(
        name="half of a manifest stays on a full disk",
        file="cli/kustomize.py",
        old="            (folder / name).unlink(missing_ok=True)\n",
        new="",
        tests=(f"{IN_ODD_INPUTS}test_disk_that_fills_up_leaves_no_half_of_a_manifest",),
    ),
    Mistake(
        name="what cannot be written is a no",
        file="cli/main.py",
        old="_fail(in_words(error), exit_codes.NOT_WRITTEN)",
        new="_fail(in_words(error), exit_codes.NO)",
        tests=(
            f"{IN_ODD_INPUTS}test_machine_without_a_folder_for_temporary_files_is_told_of",
        ),
    ),
    Mistake(
        name="run begins where its watchdogs cannot be",
        file="cli/commands/run.py",
        old='    if sys.platform != "linux":',
        new='    if sys.platform == "none":',
        tests=("tests/test_macos.py::test_what_needs_linux_is_refused_in_words",),
    ),
]
