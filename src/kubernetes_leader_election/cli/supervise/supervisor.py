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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.supervise import restart_policy
from kubernetes_leader_election.cli.supervise.health import Fitness, HealthChecker
from kubernetes_leader_election.cli.supervise.linux import (
    boottime,
    clock_origin,
    descendants,
    read_clocks,
    reap_adopted,
    signal_all,
)
from kubernetes_leader_election.cli.supervise.polled_elector import PolledElector, Work
from kubernetes_leader_election.cli.supervise.restart_policy import OnLoss, Restart
from kubernetes_leader_election.cli.supervise.signal_queue import ENDING, SignalQueue
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.cli.supervise.term_file import TermFacts, TermFile
from kubernetes_leader_election.cli.supervise.terminal import Terminal
from kubernetes_leader_election.cli.supervise.watchdog_link import Limits, Link
from kubernetes_leader_election.lifecycle.base_term import token_if_any

LONGEST_TURN: Final = 5.0
"""Seconds between two turns of the loop at most; /livez counts on it."""
KEEPER_DEAD: Final = 3.0
"""
Seconds without an answer, with nothing left to end, that prove a frozen watchdog.

On a machine that is only busy it answers sooner, and lives.
"""

Say = Callable[[str], None]


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
        self._elector = elector
        self._link = link
        self._signals = signals
        self._terminal = terminal
        self._term_file = term_file
        self._say = say
        self._backoff = restart_policy.Backoff(plan.restart_max_delay)
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.turned_at = time.monotonic()
        """When the loop turned last (CLOCK_MONOTONIC)."""
        self._checker: HealthChecker | None = None
        self._fitness: Fitness | None = None
        self._wrong = ""
        # The command under its term.
        self._work: Work | None = None
        self._child: int | None = None
        self._facts: TermFacts | None = None
        self._unwritten = False
        self._limits = Limits(None, None, None)
        self._started_at = 0.0
        self._start_by: Deadline | None = None
        self._exited = False
        self._ending: str | None = None
        self._kill_at: float | None = None
        self._nobody_since: float | None = None
        # What is to become of this process.
        self._verdict: int | None = None
        self._signalled: int | None = None
        self._leave_by: float | None = None
        self._stay_out_until = 0.0
        self._held = False
        self._watchdog_gone = False
        self._seen_lease = False

    # Asking: any thread -------------------------------------------------------

    @property
    def absence(self) -> str:
        """Why this replica is not in the race; empty while it is."""
        if self._verdict is not None or self._signalled is not None:
            return "stopping"
        if self._fitness is not None and not self._fitness.fit:
            return "the health check fails"
        if not self._seen_lease:
            return "the Lease has not been seen yet"
        return ""

    def variables(self) -> dict[str, str]:
        """Return the environment of a health command."""
        facts = self._facts
        role = {"LEADER_ELECTION_ROLE": "leader" if facts else "candidate"}
        if facts is None:
            return role
        return {**facts.variables(self._term_path), **role}

    def watch_health(self, checker: HealthChecker, fitness: Fitness) -> None:
        """Take health into account; before :meth:`run`."""
        self._checker, self._fitness = checker, fitness

    @property
    def _term_path(self) -> Path | None:
        return None if self._term_file is None else self._term_file.path

    def wake(self) -> None:
        """Let the loop turn. Any thread; never blocks."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"x")  # full: it is about to turn anyway

    # The loop -----------------------------------------------------------------

    def run(self) -> int:
        """Run to the end; give the exit code."""
        poll = select.poll()
        for source in (self._woken, self._signals, self._link):
            poll.register(source, select.POLLIN)
        self._elector.begin(self.wake)
        if self._checker is not None:
            self._checker.start()
        self._look_at_fitness()
        while not self._is_over():
            poll.poll(max(0.0, self._patience()) * 1000)
            self.turned_at = time.monotonic()
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            self._elector.deliver()
            for number in self._signals.take():
                self._on_signal(number)
            self._listen(poll)
            self._look_at_health()
            self._look_at_election()
            self._look_at_fitness()
            self._look_at_clock()
            reap_adopted()
        return exit_codes.OK if self._verdict is None else self._verdict

    def close(self) -> None:
        """Leave nothing behind, whatever led here."""
        if self._checker is not None:
            self._checker.stop()
        self._terminal.take_back()
        self._link.close()
        if self._term_file is not None:
            self._term_file.remove()

    def _is_over(self) -> bool:
        if self._verdict is None or self._work is not None:
            return False
        if not self._elector.running:
            return True
        return self._leave_by is not None and time.monotonic() >= self._leave_by

    def _patience(self) -> float:
        """Return the seconds until the clock alone has something to say."""
        wait, now = LONGEST_TURN, time.monotonic()
        if self._leave_by is not None:
            wait = min(wait, self._leave_by - now)
        if self._stay_out_until > now:
            wait = min(wait, self._stay_out_until - now)
        if self._work is not None and self._ending is None:
            wait = min(wait, self._work.term.remaining())
        last = self._last_instant()
        if last is not None and self._work is not None:
            wait = min(wait, max(0.02, last + self._limits.run_waits - boottime()))
        return wait

    # Signals ------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number in ENDING:
            self._on_ending_signal(number)
        elif number == signal.SIGCONT:
            if self._child is not None:
                self._terminal.lend_again(self._child)
                self._link.signal(number)
        elif self._child is not None:
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
        elif self._work is not None:
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
            self._on_said(message)
        if said is None:
            poll.unregister(self._link)
            self._on_watchdog_gone()

    def _on_said(self, message: dict[str, Any]) -> None:
        match message:
            case {"started": pid}:
                self._child = pid
            case {"failed": number}:
                code, text = restart_policy.start_failure(self._plan.command[0], number)
                self._exited = True
                self._say(f"Error: {text}")
                self._leave(code)
            case {"exited": status}:
                self._on_exited(status)
            case {"stopped": number}:
                self._on_stopped(number)
            case {"overdue": _}:
                # Its timer came first, by a hair or because this was frozen.
                self._elector.step_down(0.0)
                if self._ending is None and self._work is not None:
                    self._ask_to_end(
                        "lost", signal.SIGTERM, self._kill_after(self._work)
                    )
            case {"unstarted": why}:
                # Frozen since the term was acquired; nobody else may be disturbed.
                self._exited = True
                self._ending = self._ending or "lost"
                self._say(f"the command was not started: {why}")
                self._elector.step_down(0.0)
            case {"refused": pids}:
                self._say(
                    f"may not kill the processes {pids}, which took other rights: the "
                    "Lease is not released before they have ended"
                )
            case {"empty": _}:
                self._on_empty()

    def _on_exited(self, status: int) -> None:
        self._child = None
        self._exited = True
        self._terminal.take_back()
        code, plan = restart_policy.code_of(status), self._plan
        ran = time.monotonic() - self._started_at
        if self._signalled is not None:
            self._leave(code)
        elif self._ending is not None:
            self._say(
                f"the command {restart_policy.describe(status)} after {ran:.1f} s"
            )
        elif not restart_policy.restarts(plan.restart, code) or (
            self._terminal.exists
            and os.WIFSIGNALED(status)
            and os.WTERMSIG(status) == signal.SIGINT
        ):
            self._ending = "exit"
            self._leave(code)
        else:
            self._ending = "restart"
            delay = self._backoff.after(ran)
            self._stay_out_until = time.monotonic() + delay
            self._say(
                f"the command {restart_policy.describe(status)} after {ran:.1f} s: the "
                f"Lease is released, and this replica contends again in {delay:g} s"
            )
            self._elector.step_down(delay)

    def _on_stopped(self, number: int) -> None:
        if number not in (signal.SIGTSTP, signal.SIGSTOP) or not self._terminal.lent:
            return  # stopped by somebody else, who lets it go on as well
        child = self._child
        self._say("stopped with the command; the Lease runs out if that takes long")
        if child is not None and not self._terminal.stop_with_command():
            self._link.signal(signal.SIGCONT)

    def _on_empty(self) -> None:
        work = self._work
        if work is None:
            return
        self._terminal.take_back()
        lost = self._ending not in ("exit", "restart", "signal")
        self._work = self._child = self._facts = self._kill_at = None
        self._nobody_since = None
        self._ending = None
        self._limits = Limits(None, None, None)
        self._link.rest()
        if self._fitness is not None:
            self._fitness.ended()
        work.end()
        if self._verdict is not None:
            self._set_leave_by()
        elif lost and self._plan.on_loss == "exit":
            self._say("leadership was lost, and --on-loss=exit was asked for")
            self._leave(exit_codes.LOST)

    def _on_watchdog_gone(self) -> None:
        """The kernel has killed the command; this process inherited what it left."""
        self._watchdog_gone = True
        if self._verdict is None:
            self._say("Error: the watchdog was killed, and the command with it")
            self._leave(128 + signal.SIGKILL)
        self._exited = True

    # The election -------------------------------------------------------------

    def _look_at_election(self) -> None:
        elector = self._elector
        if not self._seen_lease:
            state = elector.state
            self._seen_lease = state.is_leader or state.transitions is not None
        work = self._work
        if work is None:
            if self._verdict is None and elector.current_leader:
                self._begin_work()
            return
        self._renewed(work)
        if self._ending is None and work.term.is_lost:
            kill_at = self._kill_after(work)
            self._say(f"leadership is over ({work.term.reason}): ending the command")
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
        if self._wants_out():
            # Acquired in the instant in which it was decided not to contend.
            self._elector.step_down(max(0.0, self._stay_out_until - time.monotonic()))
            return
        work = self._elector.join(self.wake)
        if work is None:
            return
        limits = work.limits()
        if limits is None:
            work.end()  # frozen since it was acquired: the term is over already
            return
        self._work, self._exited, self._limits = work, False, limits
        self._start_by = limits.begin
        self._started_at = time.monotonic()
        elector = self._elector
        self._facts = TermFacts(
            lease=elector.lease_name,
            namespace=elector.namespace or "",
            identity=elector.identity,
            token=token_if_any(work.term),
            deadline=limits.begin,
            renew_deadline=elector.renew_deadline,
            origin=clock_origin(),
        )
        self._write_facts()
        if self._fitness is not None:
            self._fitness.started(self._started_at)
        self._link.start(
            self._facts.variables(self._term_path),
            self._limits,
            leftover_budget=elector.stop_budget,
            terminal=self._terminal.lend_on_start(),
        )

    def _renewed(self, work: Work) -> None:
        """Tell watchdog and command of another deadline, or of the end."""
        limits, facts = work.limits(), self._facts
        # G2: a record that was cut short moves the limits also where it ends the term.
        last = limits or work.last_limits()
        moved = last is not None and last != self._limits
        if last is not None and moved:
            self._limits = last
            self._link.extend(last)
        if limits is None:
            if facts is not None and not facts.is_over:
                self._facts = facts.ended()
                self._write_facts()
        elif moved and facts is not None:
            self._facts = replace(facts, deadline=limits.begin)
            self._write_facts()

    def _write_facts(self) -> None:
        if self._term_file is None or self._facts is None:
            return
        try:
            self._term_file.write(self._facts)
        except OSError as error:
            # The deadline in the file passes: whoever looks at it stops in time.
            if not self._unwritten:
                self._say(f"{self._term_file.path} cannot be written: {error.strerror}")
            self._unwritten = True
        else:
            self._unwritten = False

    # Health -------------------------------------------------------------------

    def _look_at_health(self) -> None:
        checker, fitness = self._checker, self._fitness
        if checker is None or fitness is None:
            return
        was_fit = fitness.fit
        for ok, wrong in checker.take():
            fitness.take(ok=ok, now=time.monotonic())
            if wrong and wrong != self._wrong:
                self._say(f"the health check failed: {wrong}")
            self._wrong = wrong  # said once, until it is well or fails otherwise
        state = self._elector.state
        deadline = state.deadline
        fitness.look(
            someone_leads=self._work is not None
            or bool(state.holder and deadline and deadline.timestamp() > _wall()),
            now=time.monotonic(),
        )
        if fitness.fit and not was_fit and fitness.desperate:
            self._say(
                "nobody leads, and no replica is healthy: contending all the same"
            )
        leads = self._child is not None and self._ending is None
        if leads and not fitness.fit:
            self._say("not healthy: giving up leadership")
            self._elector.step_down(self._elector.lease_duration)

    def _wants_out(self) -> bool:
        fit = self._fitness is None or self._fitness.fit or self._elector.assumed
        return not fit or time.monotonic() < self._stay_out_until

    def _look_at_fitness(self) -> None:
        """Contend or not: only between terms, where it cannot stop a renewal."""
        if self._checker is not None and self._fitness is not None:
            self._checker.want(
                wanted=self._fitness.checks_candidates
                if self._work is None
                else self._child is not None and self._ending is None
            )
        held = self._wants_out()
        if held != self._held and self._work is None and self._elector.settled:
            self._held = held
            self._elector.hold_back(held=held)

    # The clock ----------------------------------------------------------------

    def _last_instant(self) -> float | None:
        times = [x for x in (self._kill_at, self._limits.kill_at) if x is not None]
        return min(times, default=None)

    def _look_for_start(self) -> None:
        """Fault 08: a watchdog that starts nothing keeps the Lease from who could."""
        by = self._start_by
        if by is None or self._child is not None or self._exited:
            self._start_by = None
        elif self._ending is None and by.left(read_clocks()) <= 0.0:
            self._say("the watchdog does not start the command: giving up leadership")
            self._elector.step_down(self._elector.lease_duration)
            self._ask_to_end("lost", signal.SIGTERM, boottime())

    def _look_at_clock(self) -> None:
        """Kill where the watchdog should have and did not."""
        if self._work is None:
            return
        self._look_for_start()
        last = self._last_instant()
        if self._watchdog_gone:
            left = descendants(os.getpid())
            signal_all(left, signal.SIGKILL)
            self._kill_at = boottime()  # look again soon
            if not left:
                self._on_empty()
            return
        if last is None or boottime() < last + self._limits.run_waits:
            return
        if not self._link.kill_everybody():
            self._nobody_since = None
        elif self._nobody_since is None:
            self._nobody_since = time.monotonic()
        elif time.monotonic() - self._nobody_since > KEEPER_DEAD:
            self._say("the watchdog does not answer: it is killed")
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._link.pid, signal.SIGKILL)

    # Ending -------------------------------------------------------------------

    def _ask_to_end(self, why: str, number: int, kill_at: float | None) -> None:
        """End the command: a signal now, KILL at ``kill_at`` (CLOCK_BOOTTIME), if ever."""
        if self._work is None:
            return
        self._ending = why
        if kill_at is not None:
            self._kill_at = min(kill_at, self._kill_at or kill_at)
        self._link.end(number, kill_at)

    def _leave(self, code: int) -> None:
        """Decide on the exit code; go when nothing is left and the Lease is released."""
        self._verdict = code
        self._elector.stop()
        if self._work is None:
            self._set_leave_by()

    def _set_leave_by(self) -> None:
        if self._leave_by is None:
            # The core needs three request timeouts at most to release (rule 12).
            self._leave_by = time.monotonic() + self._elector.release_time


def _wall() -> float:
    return time.time_ns() / 1e9
