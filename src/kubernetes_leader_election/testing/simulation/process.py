"""
One simulated process of ours: the real core, driven as the engine drives it.

One input, drain to the end, re-arm, wait. A frozen process takes nothing in; when it
runs again it looks at its clock first and then at what has piled up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappush
from typing import Any

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.testing.simulation.machine import Machine
from kubernetes_leader_election.testing.simulation.network import NetworkedStage
from kubernetes_leader_election.testing.simulation.wire import Wire
from kubernetes_leader_election.testing.simulation.witness import Witness

DRAINING_REASONS = frozenset({"stopped", "stepped_down", "work_ended", "work_failed"})
"""Reasons of a loss after which the Lease is still renewed and then released."""

ASKED_REASONS = DRAINING_REASONS | {"failed"}
"""Reasons of a loss that somebody must have said."""

PROVED_REASONS = frozenset({"another_holder", "deleted"})
"""Reasons of a loss that something in the Lease itself must have proved."""

SPIN_LIMIT = 50
"""Timers handled at one instant before we say that the core spins."""
NEVER = float("inf")


class Process(Wire):
    """
    One process with one elector.

    It lives on a node (whose clocks and link it uses) until it dies; a restart is
    another process.
    """

    __slots__ = (
        "_belief_event",
        "_carriers",
        "_due",
        "_due_event",
        "_entered",
        "_entered_at",
        "_event_due",
        "_jobs_until",
        "_just_lost",
        "_latched",
        "_spins",
        "_spun_at",
        "_troubled",
        "asked_to_stop",
        "belief",
        "believing",
        "core",
        "identity",
        "on_work_over",
        "settings",
        "starts_again",
        "term",
        "work_runs",
    )

    def __init__(
        self,
        world: NetworkedStage,
        node: Machine,
        settings: ElectionSettings,
        name: str,
        version: int = 0,
    ) -> None:
        witness = Witness(
            name=name,
            identity=settings.identity,
            own_duration=settings.lease_duration,
            renew_deadline=settings.renew_deadline,
            stop_budget=settings.stop_budget,
            renew_interval=settings.renew_interval,
            request_timeout=settings.request_timeout,
            lateness=node.lateness,
            crash_challenge=settings.crash_challenge
            if settings.crash_takeover
            else None,
        )
        super().__init__(world, node, name, witness)
        self.settings = settings
        self.patience = settings.request_timeout
        self.identity = settings.identity
        self.asked_to_stop = False
        self.starts_again = False
        """``start()`` was called while a ``stop()`` was under way."""
        self.core = world.core_of(version)(settings, draw=node.draw)
        self.belief: Belief | None = None
        self.believing = False
        self._belief_event = 0.0
        self._due = NEVER
        self._event_due = NEVER
        self._due_event = NEVER
        self._spins = 0
        self._spun_at = -1.0
        self.work_runs = False
        self._jobs_until = 0.0
        """When the last job of a guard has ended, if the Lease is held until then."""
        self._just_lost = False
        self._entered, self._entered_at = 0.0, 0.0
        """When its present state began, by CLOCK_BOOTTIME and really."""
        self._troubled = False
        """Its driver failed since it was asked to stop."""
        self._latched = 0
        """The term whose loss the application saw by a clock: it latches (rule 14)."""
        self.term = 0
        self.on_work_over: Callable[[Process], None] | None = None
        self._carriers: dict[type[Any], Callable[[Any], None]] = {
            m.GetLease: self._get,
            m.CreateLease: self._put,
            m.UpdateLease: self._put,
            m.WatchLease: self._open_watch,
            m.SeekProof: self._seek,
            m.AbandonRequest: self._abandon,
            m.LeadershipAcquired: self._acquired,
            m.LeadershipLost: self._lost,
            m.LeaseRenewed: _ignore,
            m.LeaderChanged: _ignore,
            m.ErrorOccurred: _ignore,
        }

    @property
    def stopped(self) -> bool:
        """Return whether it takes no part: not started, or stopped."""
        return self.core.state is State.STOPPED

    @property
    def phase(self) -> str:
        """Name what it is at, for people."""
        return self.core.state.name

    # Driving the core ---------------------------------------------------------

    def say(self, message: m.Message | None) -> None:
        """Give the core one input, None: its timer; carry out all that comes of it."""
        world, core, node = self.world, self.core, self.node
        clocks, time = node.clocks, world.time
        # Most have read the clocks at this very instant.
        self.now = now = clocks.last if clocks.last_at == time else clocks.read(time)
        before = core.state
        try:
            if message is not None:
                core.receive(message, now=now)
            else:
                core.handle_timer(now=now)
            out = core.drain()
            if out:
                carriers = self._carriers
                for item in out:
                    carriers[type(item)](item)
                if not self.alive:
                    return
            belief = core.belief
            if belief is not self.belief:
                self._belief_changed(belief, now)
            if self.witness.cut_until != NEVER:
                self._check_cut()
            if self._just_lost:
                self._just_lost = False
                world.checks.after_loss(time, self.witness)
                self._check_abandoned()
            if self.witness.disproved:
                world.checks.after_disproof(time, self.witness)
            due = core.next_deadline()
        except Exception as error:  # noqa: BLE001 - whatever the core raises is a finding
            self._failed(error)
            return
        if due is None:
            self._due = NEVER
        else:
            self._due = due
            # A timer that is set already looks again at what is due then.
            if due < self._event_due or node.lateness:
                self._arm(due)
        if before is not core.state:
            self._state_changed(before)

    def _check_cut(self) -> None:
        belief = self.core.term_deadline
        if belief is not None:
            deadline, checks = belief.boottime_deadline, self.world.checks
            checks.goes_by_its_record(self.world.time, self.witness, deadline)

    def ran_out(self) -> bool:
        """Return whether its term is over: then the answer to a write is not looked at."""
        if self.believing:
            return False
        return self._is_past(self.core.term_deadline)

    def is_over(self) -> bool:
        """Return the same, also while its work runs on, of which no event tells."""
        # Earlier versions tell it of a term that is held only.
        core = self.core
        belief = getattr(core, "last_deadline", None) or core.term_deadline
        return not self.believing and self._is_past(belief)

    def _is_past(self, belief: Belief | None) -> bool:
        now = self.node.clocks.read(self.world.time)
        return belief is not None and not belief.holds(now)

    def tick(self) -> None:
        """Handle the timer, and carry out all that comes of it."""
        self.say(None)

    def _check_given_back(self, before: State) -> None:
        """Check that a stop left nothing behind that it could have given back (G7)."""
        entered, world, witness = self._entered, self.world, self.witness
        stored = world.network.store.current
        if before not in (State.WITHDRAWING, State.RELEASING) or stored is None:
            return
        mine = stored.held and stored.stamp in witness.stamps
        landed = mine and stored.key[3] == self.acquire_time
        if not landed or self._troubled or witness.loss_excused:
            return
        if world.checks.restores:
            return  # it may not know its own record again
        if not witness.memory.knows(stored):
            return  # by G1 it forgot that record when it saw another one, perhaps
        if self.now[0] - entered > 2.9 * self.settings.request_timeout:
            return  # rule 12: it may give up
        if before is State.WITHDRAWING and self.looked:
            return  # rule 10: it was refused, and is looked for once
        history = world.network.store.history
        changed = history[-1].time if history else world.time
        if self.asked_at < changed and self.asked_at > self._entered_at:
            return  # it landed after the look
        text = f"stopped, and left its Lease to itself while it was {before.name}"
        world.checks.broken(world.time, "G7", self.name, text)

    def _check_abandoned(self) -> None:
        """Check that no renewal is under way of a term that was just lost (rule 11)."""
        witness = self.witness
        if witness.lost_at <= self.world.time and "LeasePUT" in self.open.values():
            text = f"lost term {witness.term} and left its renewal to its sender"
            self.world.checks.broken(self.world.time, "G5", self.name, text)

    def _state_changed(self, before: State) -> None:
        recorder, world = self.world.recorder, self.world
        if recorder is not None:
            recorder.state(world.time, self.name, before, self.core.state)
        if self.core.state is State.STOPPED:
            if before is State.ACQUIRING:
                text = "stopped, and does not know what became of its acquire"
                world.checks.broken(world.time, "G7", self.name, text)
            if self.open or self.watch is not None:
                text = "stopped, and left requests of its own under way"
                world.checks.broken(world.time, "G9", self.name, text)
            self._check_given_back(before)
        self._entered, self._entered_at = self.now[0], world.time
        if self.core.state is State.STOPPED and self.starts_again:
            self.start()

    def _failed(self, error: Exception) -> None:
        text = f"the core raised {type(error).__name__}: {error}"
        self.world.checks.broken(self.world.time, "core", self.name, text)
        self.die()

    # Timers -------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        node, world = self.node, self.world
        when, time, lateness = node.clocks.when_boottime(due), world.time, node.lateness
        # A process wakes up at least a little late, and some a good deal.
        if when < time:
            when = time
        when += 1e-6
        if lateness:
            when += lateness * node.draw()
        if when < self._due_event:
            self._event_due, self._due_event = due, when
            heappush(world.heap, (when, world.number(), self._timer_fired, when))

    def rearm(self) -> None:
        """Compute anew when the timer is due, after the clocks changed."""
        if self.alive and not self.node.frozen:
            self._hindered()
            self._event_due = self._due_event = NEVER
            if self._due != NEVER:
                self._arm(self._due)
            self._watch_belief()

    def _timer_fired(self, when: float) -> None:
        node = self.node
        if when != self._due_event or not self.alive or node.frozen:
            return
        self._event_due = self._due_event = NEVER
        world = self.world
        due, time = self._due, world.time
        if due == NEVER:
            return
        if node.clocks.boottime(time) < due:
            self._arm(due)
            return
        if time - self._spun_at > 1e-3:
            self._spins = 0
            self._spun_at = time
        self._spins += 1
        if self._spins > SPIN_LIMIT:
            text = f"handles its timer again and again in state {self.core.state.name}"
            world.checks.broken(time, "core", self.name, text)
            self.die()
            return
        self.say(None)

    # Belief -------------------------------------------------------------------

    def _belief_changed(self, belief: Belief | None, now: Now) -> None:
        self.belief = belief
        if belief is None:
            self._set_believing(believing=False)
            return
        if not self.believing:
            self._set_believing(believing=belief.holds(now))
        self.world.checks.belief_deadline(
            self.world.time, self.witness, belief.boottime_deadline
        )
        self._watch_belief()

    def _watch_belief(self) -> None:
        """Look at the belief now, and again at the very instant it ends."""
        belief = self.belief
        if belief is None or not self.alive or self.node.frozen:
            return
        world = self.world
        ends = self.node.clocks.when_belief_ends(belief, world.time)
        self._set_believing(believing=ends > world.time)
        if self.believing and (ends < self._belief_event or self._belief_event == 0.0):
            self._belief_event = ends
            world.at(ends, self._belief_fired, ends)

    def _belief_fired(self, when: float) -> None:
        if when != self._belief_event:
            return
        self._belief_event = 0.0
        belief = self.belief
        if belief is None or not self.alive or self.node.frozen or not self.believing:
            return
        ends = self.node.clocks.when_belief_ends(belief, self.world.time)
        if ends > self.world.time + 1e-9:
            self._belief_event = ends
            self.world.at(ends, self._belief_fired, ends)
        else:
            # By the clock that never steps: the wall clock may step back again
            # before the core has looked at it.
            boottime = self.node.clocks.boottime(self.world.time)
            ran_out = boottime >= belief.boottime_deadline - 1e-6
            self._set_believing(believing=False, ran_out=ran_out)

    def _set_believing(self, *, believing: bool, ran_out: bool = False) -> None:
        belief = self.belief
        if believing and belief is not None and belief.term == self._latched:
            return
        if believing is self.believing:
            return
        self.believing = believing
        world = self.world
        if not believing and belief is not None and self.node.asks:
            if not self.node.frozen and self.alive:
                # The application asks all the time, and saw that by a clock.
                self._latched = belief.term
                world.after(
                    1e-4, lambda term: self.do(self.loss_seen, term), belief.term
                )
        if believing:
            assert self.belief is not None
            world.checks.belief_began(world.time, self.witness, self.belief.term)
        else:
            self._belief_event = 0.0
            world.checks.belief_ended(world.time, self.witness, ran_out=ran_out)
        if world.recorder is not None:
            world.recorder.belief(world.time, self.name, believing=believing)

    # Freezing and dying -------------------------------------------------------

    def loss_seen(self, term: int) -> None:
        """Say that the application saw by a clock that a term is over."""
        witness = self.witness
        if witness.open_term == term:
            witness.causes.add("renew_deadline")
        self.say(m.LossSeen(term=term))
        if witness.open_term == term and self.alive:
            text = f"goes on with term {term}, whose loss the application saw"
            self.world.checks.broken(self.world.time, "G4", self.name, text)

    def froze(self) -> None:
        """Stop running: a frozen process sees nothing and does nothing."""
        self.witness.frozen = True
        self._set_believing(believing=False)

    def thawed(self) -> None:
        """Run again: the clock first, then what has piled up."""
        if not self.alive:
            return
        world = self.world
        self.witness.frozen = False
        self._event_due = self._due_event = NEVER
        if self.work_runs and (
            self.belief is None
            or not self.belief.holds(self.node.clocks.read(world.time))
        ):
            # No program stops its own work while frozen; S after it, it must be over.
            until = world.time + self.settings.stop_budget
            world.checks.thawed(world.time, self.witness, until)
            world.at(until + 1e-6, self._budget_over, self.witness.work_term)
        self._hindered()
        # Who sends is another thread: it may be faster than who looks at the clock.
        inbox, self.inbox = self.inbox, []
        for action, argument in inbox:
            if action == self._send_now:
                action(argument)
        inbox = [item for item in inbox if item[0] != self._send_now]
        self._watch_belief()
        belief, now = self.belief, self.node.clocks.read(world.time)
        if belief is not None and now.boottime > belief.boottime_deadline:
            self.witness.ran_out = self.witness.open_term
        answers_first, self.node.answers_first = self.node.answers_first, False
        if not answers_first:
            self.tick()
        for action, argument in inbox:
            if self.alive:
                action(argument)
        if answers_first and self.alive:
            self.tick()

    def _budget_over(self, term: int) -> None:
        if self.witness.work_term == term:
            self.world.checks.budget_over(self.world.time, self.witness)

    def die(self) -> None:
        """End at once, as by SIGKILL: what was sent may still land."""
        if not self.alive:
            return
        self.alive = False
        self.work_runs = False
        world = self.world
        self._set_believing(believing=False)
        world.checks.died(world.time, self.witness)
        if self.watch is not None:
            world.network.close_watch(self.watch)
        self.stop_seeking()
        if self.node.kubelet is not None:
            self.node.kubelet.process_ended(self.nonce)
        if world.recorder is not None:
            world.recorder.died(world.time, self.name)

    # The application ----------------------------------------------------------

    def _acquired(self, event: m.LeadershipAcquired) -> None:
        world = self.world
        self.term = event.term
        world.checks.acquired(
            world.time,
            self.witness,
            event.term,
            event.token_if_any,
            boottime=self.now[0],
        )
        if world.recorder is not None:
            text = f"LeadershipAcquired term={event.term} token={event.token_if_any}"
            world.recorder.event(world.time, self.name, text)
        self.work_runs = True
        world.checks.work_began(world.time, self.witness, event.term)
        if world.recorder is not None:
            world.recorder.work(world.time, self.name, works=True)

    def _lost(self, event: m.LeadershipLost) -> None:
        world, node = self.world, self.node
        self._just_lost = True
        world.checks.lost(
            world.time,
            self.witness,
            event.term,
            drains=event.reason in DRAINING_REASONS,
        )
        if event.reason == "stepped_down":
            # By a wish on the Lease, too, it stays out for a while.
            witness, out = self.witness, self.now[1] + self.settings.lease_duration
            witness.hindered_at = max(witness.hindered_at, out)
        if event.reason in ASKED_REASONS:
            world.checks.lost_because(world.time, self.witness, event.reason)
        elif event.reason == "renew_deadline":
            belief = self.belief
            if belief is not None and belief.holds(self.now):
                world.checks.lost_because(world.time, self.witness, event.reason)
        if event.reason in PROVED_REASONS:
            world.checks.lost_to(world.time, self.witness, world.network.store.current)
        if world.recorder is not None:
            text = f"LeadershipLost term={event.term} reason={event.reason}"
            world.recorder.event(world.time, self.name, text)
        wait = 1e-6
        until = max(world.time + node.grace, self._jobs_until)
        if self.work_runs and until > world.time and event.reason in DRAINING_REASONS:
            self._in_grace((event.term, until))
            return
        if self.work_runs:
            budget = self.settings.stop_budget - node.lateness - 1e-3
            wait += max(0.0, node.stop_share * budget) * node.draw()
            if node.hangs_until > world.time:
                world.checks.work_outlives_budget(self.witness)
                wait += node.hangs_until - world.time
        world.after(wait, self._work_over, event.term)

    def _in_grace(self, at: tuple[int, float]) -> None:
        """Let work go on to the end of its grace, and no longer than the Lease is held."""
        term, until = at
        world, node = self.world, self.node
        belief, budget = self.core.term_deadline, self.settings.stop_budget
        held = world.time
        if belief is not None:
            held = node.clocks.when_belief_ends(belief, world.time)
        if until <= world.time:
            self._work_over(term)
        elif held <= world.time:
            # Told at this instant, by a clock or a proof: the stop budget is left.
            world.after(budget - node.lateness - 1e-3, self._work_over, term)
        else:
            # A proof of loss comes at any time, and nobody tells of it here.
            look = min(until, held, world.time + budget / 20)
            world.at(look, partial(self.do, self._in_grace), at)

    def _work_over(self, term: int) -> None:
        if self.alive and self.node.hangs_until > self.world.time:
            wait = self.node.hangs_until - self.world.time
            self.world.checks.work_outlives_budget(self.witness)
            self.world.after(wait, self._work_over, term)
            return
        self.do(self._work_ended, term)

    def _work_ended(self, term: int) -> None:
        self._hindered()
        self._stop_working()
        self.witness.returned = False
        if self.on_work_over is not None:
            self.on_work_over(self)
        self.say(m.WorkEnded(term=term))

    def _stop_working(self) -> None:
        if self.work_runs:
            self.work_runs = False
            self.world.checks.work_ended(self.world.time, self.witness)
            if self.world.recorder is not None:
                self.world.recorder.work(self.world.time, self.name, works=False)

    def work_returns(self, _: object = None) -> None:
        """Let the work of the present term return, or raise with no other try."""
        if self._body_ends("work_ended"):
            self.say(m.EndAsked(term=self.term))

    def work_fails(self, stay_out: float) -> None:
        """Let the work of the present term raise: it is tried again, so much later."""
        if self._body_ends("work_failed"):
            boottime, monotonic, _ = self.node.clocks.read(self.world.time)
            witness = self.witness
            witness.rests_until = boottime + stay_out
            witness.hindered_at = max(witness.hindered_at, monotonic + stay_out)
            failure = m.WorkFailure(stay_out=stay_out, detail="simulated")
            self.say(m.EndAsked(term=self.term, failure=failure))

    def _body_ends(self, reason: str) -> bool:
        """Let the scope of the present term be left; False: there is none to leave."""
        if not self.work_runs or self.core.state is not State.LEADER:
            return False
        if self._jobs_until <= self.world.time:
            self._stop_working()  # else a job of a guard goes on
        self.witness.returned = True
        self.witness.causes.add(reason)
        self.witness.polite = True
        return True

    def begin_job(self, length: float) -> bool:
        """Begin a job under a guard: it holds up the release; False: it is skipped."""
        if not self.believing or not self.work_runs or self.witness.returned:
            return False
        self._jobs_until = max(self._jobs_until, self.world.time + length)
        return True

    def stop(self, _: object = None) -> None:
        """Ask to stop."""
        self.asked_to_stop, self.starts_again = True, False
        witness = self.witness
        witness.asked_to_stop = True
        witness.causes.add("stopped")
        witness.recreates = False
        self._troubled = False
        self.say(m.StopAsked())

    def stop_now(self, _: object = None) -> None:
        """Ask to stop, and to start again a while later."""
        self.do(self.stop, None)
        wait = self.settings.request_timeout
        self.world.after(wait, lambda _: self.do(self.start, None), None)

    def leave_note(self, note: m.PodNote | None) -> None:
        """Say where the proof of its end would be found; None: there no more."""
        ends = self.witness.ends
        ends.pod, ends.nonce = ("", "") if note is None else (note.uid, note.nonce)
        self.say(m.OwnNote(note=note))

    def start(self, _: object = None) -> None:
        """Start taking part; nothing when it does already."""
        if self.core.state is State.STOPPED:
            self.asked_to_stop = self.starts_again = False
            witness = self.witness
            witness.asked_to_stop = witness.draining = witness.polite = False
            witness.stays_out_until = witness.cut_off_until = -NEVER
            witness.rests_until = -NEVER
            witness.edits, witness.marred = 0, False
            witness.ends.begins_life()
            self._hindered()
            witness.wanted_since = self.now_monotonic()
            self.say(m.StartAsked())
        elif self.asked_to_stop:
            self.starts_again = True

    def step_down(self, stay_out: float | None) -> None:
        """Ask to hand over and stay out for a while."""
        if self.core.state is not State.STOPPED:
            witness, settings = self.witness, self.settings
            out = settings.lease_duration if stay_out is None else stay_out
            boottime, monotonic, _ = self.node.clocks.read(self.world.time)
            witness.causes.add("stepped_down")
            witness.recreates = False
            witness.wanted_since = monotonic
            leaders = {seen.holder for seen in witness.goes_by}
            if leaders <= {"", self.identity}:
                witness.stays_out_until = boottime + out
            # What keeps it out for longer, a policy for one, does so still.
            witness.hindered_at = max(witness.hindered_at, monotonic + out)
            self.say(m.StepDownAsked(stay_out=stay_out))

    def report_liveness(self, alive: bool) -> None:  # noqa: FBT001 - called by the loop
        """Say whether the application is alive."""
        if alive != self.witness.app_alive:
            self.witness.recreates = False
        self.witness.app_alive = alive
        if not alive:
            self.witness.wanted_since = self.now_monotonic()
        self._hindered()
        self.say(m.LivenessReported(alive=alive))

    def say_of_old_term(self, _: object = None) -> None:
        """Say what came too late of the term before the present one."""
        self.say(m.EndAsked(term=self.term - 1))
        self.say(m.LossSeen(term=self.term - 1))

    def driver_failed(self, _: object = None) -> None:
        """Report an exception of the driver."""
        error = LeaderElectionError("an exception of the driver, simulated")
        self.witness.causes.add("failed")
        self.witness.recreates = False
        self._hindered()
        self._troubled = True
        drains = self.core.state is State.DRAINING
        self.say(m.DriverFailed(error=error))
        if drains:
            self.world.checks.lost_in_the_end(self.world.time, self.witness)


def _ignore(_: object) -> None:
    """Pass over an event that is for people."""
