"""
The loop of ``run``: one command, alive only while this replica leads.

**One thread, one poll.** Signals, the watchdog's words, changes of the election, results
of health checks and the clock are each looked at once a turn. Who kills is the watchdog
(:mod:`.watchdog`), by a timer that this loop sets anew with each renewal; this loop steps
in only where the watchdog does not answer.

.. code-block:: text

    waiting --leads--> running --lost, signal, unhealthy, exit--> ending --empty--> waiting
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.supervise import restart_policy
from kubernetes_leader_election.cli.supervise.candidacy import Candidacy, Say
from kubernetes_leader_election.cli.supervise.linux import (
    boottime,
    clock_origin,
    read_clocks,
    reap_adopted,
)
from kubernetes_leader_election.cli.supervise.polled_elector import PolledElector, Work
from kubernetes_leader_election.cli.supervise.restart_policy import OnLoss, Restart
from kubernetes_leader_election.cli.supervise.running_command import RunningCommand
from kubernetes_leader_election.cli.supervise.signal_queue import ENDING, SignalQueue
from kubernetes_leader_election.cli.supervise.term_file import (
    TermFacts,
    TermFile,
    TermReport,
)
from kubernetes_leader_election.cli.supervise.terminal import Terminal
from kubernetes_leader_election.cli.supervise.watchdog_link import Link
from kubernetes_leader_election.events import REASONS
from kubernetes_leader_election.lifecycle.base_term import token_if_any

LONGEST_TURN: Final = 5.0
"""Seconds between two turns of the loop at most; /livez counts on it."""
WATCHDOG_DEAD: Final = 3.0
"""
Seconds without an answer, with nothing left to end, that prove a frozen watchdog.

On a machine that is only busy it answers sooner, and lives.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for. Seconds."""

    command: list[str]
    grace: float | None
    """For the command to end in a planned stop; None: for ever."""
    on_loss: OnLoss
    restart: Restart
    restart_max_delay: float


class Supervisor:
    """Run the loop until there is an exit code."""

    def __init__(
        self,
        plan: Plan,
        *,
        elector: PolledElector,
        link: Link,
        signals: SignalQueue,
        terminal: Terminal,
        term_file: TermFile | None,
        say: Say,
    ) -> None:
        self._plan = plan
        """What was asked for."""
        self._elector = elector
        """The election."""
        self._link = link
        """To the watchdog, which starts the command and ends it."""
        self._signals = signals
        """Those that came to this process."""
        self._terminal = terminal
        """Lent to the command, if there is one."""
        self._say = say
        """Writes a line for people; never blocks."""
        self.candidacy = Candidacy(
            elector, longest_pause=plan.restart_max_delay, say=say
        )
        """Whether this replica contends."""
        self._report = TermReport(term_file, say)
        """What the command can read of its term."""
        self._wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        """A pipe: what any thread writes there lets the loop turn."""
        self.turned_at = time.monotonic()
        """When the loop turned last (CLOCK_MONOTONIC)."""
        self._command: RunningCommand | None = None
        """None between terms."""
        self._watchdog_gone = False
        """The watchdog has ended: this process looks after what it left."""
        self._signalled: int | None = None
        """The first signal that ends this process."""
        self._verdict: int | None = None
        """The exit code; None: it goes on."""
        self._leave_by: float | None = None
        """When to wait no more for a release (CLOCK_MONOTONIC)."""

    # Asking: any thread -------------------------------------------------------

    @property
    def absence(self) -> str:
        """Why this replica keeps out of the race; empty where it does not."""
        if self._verdict is not None or self._signalled is not None:
            return "stopping"
        return self.candidacy.absence

    def variables(self) -> dict[str, str]:
        """Return the environment of a health command."""
        command = self._command
        if command is None:
            return {"LEADER_ELECTION_ROLE": "candidate"}
        variables = command.facts.variables(self._report.path)
        return {**variables, "LEADER_ELECTION_ROLE": "leader"}

    def wake(self) -> None:
        """Let the loop turn. Any thread; never blocks."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wakes[1], b"x")  # full: it is about to turn anyway

    # The loop -----------------------------------------------------------------

    def run(self) -> int:
        """Run to the end; give the exit code."""
        poll = select.poll()
        for source in (self._wakes[0], self._signals, self._link):
            poll.register(source, select.POLLIN)
        self._elector.begin(self.wake)
        health = self.candidacy.health
        if health is not None:
            health.checker.start()
        self.candidacy.tell_election(None)
        while not self._is_over():
            poll.poll(max(0.0, self._patience()) * 1000)
            self.turned_at = time.monotonic()
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakes[0], 4096)
            self._elector.deliver()
            for number in self._signals.take():
                self._on_signal(number)
            self._listen(poll)
            self.candidacy.look_at_health(self._command)
            self._look_at_election()
            self.candidacy.tell_election(self._command)
            self._look_at_clock()
            reap_adopted()
        return exit_codes.OK if self._verdict is None else self._verdict

    def close(self) -> None:
        """Check no more, and take the terminal back."""
        if self.candidacy.health is not None:
            self.candidacy.health.checker.stop()
        self._terminal.take_back()

    def _is_over(self) -> bool:
        if self._verdict is None or self._command is not None:
            return False
        if not self._elector.running:
            return True
        return self._leave_by is not None and time.monotonic() >= self._leave_by

    def _patience(self) -> float:
        """Return the seconds until the clock alone has something to say."""
        wait, now = LONGEST_TURN, time.monotonic()
        if self._leave_by is not None:
            wait = min(wait, self._leave_by - now)
        pause = self.candidacy.pause_left()
        if pause > 0.0:
            wait = min(wait, pause)
        command = self._command
        if command is None:
            return wait
        if command.ending is None:
            wait = min(wait, command.work.term.remaining())
        last = command.last_instant()
        if last is not None:
            wait = min(wait, max(0.02, last + command.limits.run_waits - boottime()))
        return wait

    # Signals ------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        command = self._command
        child = None if command is None else command.child
        if number in ENDING:
            self._on_ending_signal(number)
        elif command is not None and command.starts:
            command.early_signals.append(number)
        elif number == signal.SIGCONT:
            if child is not None:
                self._terminal.lend_again(child)
                self._link.signal(number)
        elif child is not None:
            self._link.signal(number)
        elif number == signal.SIGTSTP:
            self._terminal.stop_with_command()
        elif number in (signal.SIGHUP, signal.SIGQUIT) and self._terminal.exists:
            # The window is closed, or somebody typed Ctrl-\: nothing to pass it to.
            self._on_ending_signal(number)

    def _on_ending_signal(self, number: int) -> None:
        if self._signalled is None:
            self._signalled = number
            self._ask_to_end("signal", number, self._grace_ends())
            if self._verdict is None:  # or the command's own end has decided already
                self._leave(128 + number)
        elif self._command is not None:
            self._say("a second signal: the command is killed")
            self._ask_to_end("signal", signal.SIGKILL, boottime())
        else:
            self._leave_by = time.monotonic()

    # The watchdog ---------------------------------------------------------------

    def _listen(self, poll: select.poll) -> None:
        if self._watchdog_gone:
            return
        said = self._link.receive()
        for message in said or ():
            if self._command is not None:
                self._on_said(message, self._command)
        if said is None:
            poll.unregister(self._link)
            self._on_watchdog_gone()

    def _on_said(self, message: dict[str, Any], command: RunningCommand) -> None:
        match message:
            case {"started": pid}:
                command.child = pid
                self._take_early_signals(command)
            case {"failed": number}:
                code, text = restart_policy.start_failure(self._plan.command[0], number)
                command.exited = True
                self._take_early_signals(command)
                self._say(f"Error: {text}")
                command.work.give_up("the command could not be started")
                self._leave(code)
            case {"exited": status}:
                self._on_exited(status, command)
            case {"stopped": number}:
                self._on_stopped(number, command)
            case {"overdue": _}:
                # Its timer came first, by a hair or because this was frozen.
                self._elector.step_down(0.0)
                if command.ending is None:
                    kill_at = self._kill_after(command.work)
                    self._ask_to_end("lost", signal.SIGTERM, kill_at)
            case {"unstarted": why}:
                # Frozen since the term was acquired; nobody else may be disturbed.
                command.exited = True
                self._take_early_signals(command)
                command.ending = command.ending or "lost"
                self._say(f"the command was not started: {why}")
                self._elector.step_down(0.0)
            case {"refused": pids}:
                self._say(
                    f"may not kill the processes {pids}, which took other rights: the "
                    "Lease is not released before they have ended"
                )
            case {"empty": _}:
                self._on_empty(command)

    def _take_early_signals(self, command: RunningCommand) -> None:
        """Take what came while it was not known whether the command starts."""
        numbers, command.early_signals = command.early_signals, []
        for number in numbers:
            self._on_signal(number)

    def _on_exited(self, status: int, command: RunningCommand) -> None:
        command.child = None
        command.exited = True
        self._terminal.take_back()
        code, plan = restart_policy.code_of(status), self._plan
        ran = time.monotonic() - command.started_at
        ended = f"the command {restart_policy.describe(status)}"
        if self._signalled is not None:
            self._leave(code)
        elif command.ending is not None:
            self._say(f"{ended} after {ran:.1f} s")
        elif not restart_policy.restarts(plan.restart, code) or (
            self._terminal.exists
            and os.WIFSIGNALED(status)
            and os.WTERMSIG(status) == signal.SIGINT
        ):
            command.ending = "exit"
            command.work.give_up(ended)
            self._leave(code)
        else:
            command.ending = "restart"
            delay = self.candidacy.pause_after(ran)
            self._say(
                f"{ended} after {ran:.1f} s: the Lease is released, and this replica "
                f"contends again in {delay:g} s"
            )
            command.work.give_up(ended)
            self._elector.step_down(delay)

    def _on_stopped(self, number: int, command: RunningCommand) -> None:
        if number not in (signal.SIGTSTP, signal.SIGSTOP) or not self._terminal.lent:
            return  # stopped by somebody else, who lets it go on as well
        self._say("stopped with the command; the Lease runs out if that takes long")
        if command.child is not None and not self._terminal.stop_with_command():
            self._link.signal(signal.SIGCONT)

    def _on_empty(self, command: RunningCommand) -> None:
        self._terminal.take_back()
        self._command = None
        self._link.rest()
        self.candidacy.command_ended()
        command.work.end()
        if self._verdict is not None:
            self._set_leave_by()
        elif command.ending in (None, "lost") and self._plan.on_loss == "exit":
            self._say("leadership was lost, and --on-loss=exit was asked for")
            self._leave(exit_codes.LOST)

    def _on_watchdog_gone(self) -> None:
        """The kernel has killed the command; this process inherited what it left."""
        self._watchdog_gone = True
        if self._verdict is None:
            self._say("Error: the watchdog was killed, and the command with it")
            if self._command is not None:
                self._command.work.give_up("the watchdog was killed")
            self._leave(128 + signal.SIGKILL)
        if self._command is not None:
            self._command.exited = True

    # The election -------------------------------------------------------------

    def _look_at_election(self) -> None:
        elector = self._elector
        command = self._command
        if command is None:
            if self._verdict is None and elector.current_leader:
                self._begin_work()
            return
        self._renewed(command)
        term = command.work.term
        if command.ending is None and term.is_lost:
            kill_at = self._kill_after(command.work)
            why = "given up" if term.reason is None else REASONS[term.reason]
            self._say(f"leadership is over ({why}): ending the command")
            self._ask_to_end("lost", signal.SIGTERM, kill_at)

    def _grace_ends(self) -> float | None:
        """Return the CLOCK_BOOTTIME of the KILL in a planned stop; None: never."""
        return None if self._plan.grace is None else boottime() + self._plan.grace

    def _kill_after(self, work: Work) -> float | None:
        """Return the CLOCK_BOOTTIME of the KILL for a term that is over now."""
        # Still ours while it drains: asked to hand over. Else another may lead.
        ours = work.term.remaining() > 0.0
        return self._grace_ends() if ours else work.last_instant()

    def _begin_work(self) -> None:
        if self.candidacy.wants_out:
            # Acquired in the instant in which it was decided not to contend.
            self._elector.step_down(self.candidacy.pause_left())
            return
        work = self._elector.join(self.wake)
        if work is None:
            return
        limits = work.limits()
        if limits is None:
            work.end()  # frozen since it was acquired: the term is over already
            return
        elector = self._elector
        facts = TermFacts(
            lease=elector.lease_name,
            namespace=elector.namespace or "",
            identity=elector.identity,
            token=token_if_any(work.term),
            deadline=limits.begin,
            renew_deadline=elector.settings.renew_deadline_sec,
            origin=clock_origin(),
        )
        self._command = command = RunningCommand(
            work=work,
            limits=limits,
            facts=facts,
            started_at=time.monotonic(),
            start_by=limits.begin,
        )
        self._report.write(facts)
        self.candidacy.command_started(command.started_at)
        self._link.start(
            facts.variables(self._report.path),
            limits,
            leftover_budget=elector.settings.stop_budget_sec,
            terminal=self._terminal.lend_on_start(),
        )

    def _renewed(self, command: RunningCommand) -> None:
        """Tell watchdog and command of another deadline, or of the end."""
        limits, facts = command.work.limits(), command.facts
        # G2: a record that was cut short moves the limits also where it ends the term.
        last = limits or command.work.last_limits()
        moved = last is not None and last != command.limits
        if last is not None and moved:
            command.limits = last
            self._link.extend(last)
        if limits is None and not facts.is_over:
            command.facts = facts.ended()
            self._report.write(command.facts)
        elif limits is not None and moved:
            command.facts = replace(facts, deadline=limits.begin)
            self._report.write(command.facts)

    # The clock ----------------------------------------------------------------

    def _look_for_start(self, command: RunningCommand) -> None:
        """Fault 08: a watchdog that starts nothing keeps the Lease from who could."""
        by = command.start_by
        if by is None or command.child is not None or command.exited:
            command.start_by = None
        elif command.ending is None and by.left(read_clocks()) <= 0.0:
            self._say("the watchdog does not start the command: giving up leadership")
            self._elector.step_down(self._elector.settings.lease_duration_sec)
            self._ask_to_end("lost", signal.SIGTERM, boottime())

    def _look_at_clock(self) -> None:
        """Kill where the watchdog should have and did not."""
        command = self._command
        if command is None:
            return
        self._look_for_start(command)
        if self._watchdog_gone:
            command.kill_at = boottime()  # look again soon
            if self._link.kill_leftovers():
                self._on_empty(command)
            return
        last = command.last_instant()
        if last is None or boottime() < last + command.limits.run_waits:
            return
        if not self._link.kill_everybody():
            command.nobody_since = None
        elif command.nobody_since is None:
            command.nobody_since = time.monotonic()
        elif time.monotonic() - command.nobody_since > WATCHDOG_DEAD:
            self._say("the watchdog does not answer: it is killed")
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._link.pid, signal.SIGKILL)

    # Ending -------------------------------------------------------------------

    def _ask_to_end(self, why: str, number: int, kill_at: float | None) -> None:
        """End the command: a signal now, KILL at ``kill_at`` (CLOCK_BOOTTIME), if ever."""
        command = self._command
        if command is None:
            return
        command.ending = why
        if kill_at is not None:
            command.kill_at = min(kill_at, command.kill_at or kill_at)
        self._link.end(number, kill_at)

    def _leave(self, code: int) -> None:
        """Decide on the exit code; go when nothing is left and the Lease is released."""
        self._verdict = code
        self._elector.stop()
        if self._command is None:
            self._set_leave_by()

    def _set_leave_by(self) -> None:
        if self._leave_by is None:
            # The core needs three request timeouts at most to release (rule 12).
            self._leave_by = time.monotonic() + self._elector.release_time
