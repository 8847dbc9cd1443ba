"""
One election, as seen by one elector: four verbs, no I/O, no clock.

**One input, drain to the end, re-arm, wait.** Whoever drives this object calls
:meth:`Election.receive` or :meth:`Election.handle_timer` with a fresh reading of the
clocks, carries out everything :meth:`Election.drain` gives, asks
:meth:`Election.next_deadline`, and waits. It is not thread-safe.

After every input the clock is looked at first, then the input, then what the state
wants is ordered: a read, a write, a watch. What is read and watched goes into an
:class:`~.observation.Observation`; from that a candidate judges whether the Lease is
held, free or expired.
"""

from __future__ import annotations

from typing import Final, assert_never

from kubernetes_leader_election.core import lease_writes
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.outcomes import FOLLOWING, WRITE_DECIDES, Outcomes
from kubernetes_leader_election.core.schedule import NEVER
from kubernetes_leader_election.core.states import (
    ACQUIRING,
    CONTENDING,
    HELD,
    HOLDING,
    LEADER,
    LOOKING,
    RELEASING,
    STANDING_BY,
    STOPPED,
    WAITING,
    WITHDRAWING,
    Fact,
    State,
)
from kubernetes_leader_election.core.term import Term, Try
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.errors import LeaderElectionError, ProtocolMisuseError

CLOCK_STEP: Final = 1e-6
"""Seconds at least between two looks at a clock, lest rounding make them endless."""

_WANT_WATCH: Final = FOLLOWING | HOLDING | {ACQUIRING}
_WRITES: Final = HOLDING | {RELEASING}
_LEADS_ON: Final = frozenset(
    {LOOKING, WAITING, CONTENDING, ACQUIRING, WITHDRAWING, STANDING_BY}
)
"""States that time or knowledge ends, and not only a message."""


class Election(Outcomes):
    """
    Take part in the election on one Lease.

    Args:
        settings: checked settings, seconds throughout.
        draw: gives a number in [0, 1) at each call; the only randomness there is.

    """

    # The four verbs -----------------------------------------------------------

    def receive(self, message: m.Message, *, now: Now) -> None:
        """
        Take a response, or a word of the application.

        Raises:
            ProtocolMisuseError: the word cannot be said in this state.

        """
        self._now = now
        if self._term is not None:
            self._look_at_the_clock(now, self._term)
        match message:
            case m.WatchEvent():
                self._on_watch_event(message)
            case m.LeaseWritten():
                self._on_written(message)
            case m.LeaseFetched():
                self._on_fetched(message)
            case m.LeaseNotFound():
                self._on_not_found(message)
            case m.WriteConflict():
                self._on_conflict(message)
            case m.OutcomeUnknown():
                self._on_unknown(message.request_id, message.error)
            case m.RequestFailed():
                self._on_failed(message.request_id, message.error)
            case m.WatchEnded():
                self._on_watch_ended(message)
            case m.LivenessReported():
                self._on_liveness(alive=message.alive)
            case m.StartAsked():
                self._on_start()
            case m.StopAsked():
                self._on_stop()
            case m.StepDownAsked():
                self._step_down(message.stay_out)
            case m.EndAsked():
                self._on_end(message.term)
            case m.WorkEnded():
                self._on_work_ended(message.term)
            case m.LossSeen():
                self._on_loss_seen(message.term)
            case m.DriverFailed():
                self._on_driver_failed(message.error)
            case _:
                assert_never(message)
        self._settle()

    def handle_timer(self, *, now: Now) -> None:
        """Do what is due at ``now``; calling it early does no harm."""
        self._now = now
        if self._term is not None:
            self._look_at_the_clock(now, self._term)
        orders = self._in_flight
        read, write, boottime = orders.read, orders.write, now.boottime
        if read is not None and boottime >= read.deadline:
            self._timed_out(read.request_id, "reading")
        if write is not None and boottime >= write.deadline:
            self._timed_out(write.request_id, "writing")
        if self.state is RELEASING or self.state is WITHDRAWING:
            if boottime >= self._schedule.give_up_at:
                self._give_up()
        elif orders.watch_id is not None and boottime >= self._watch_policy.silent_at:
            # Rule 16: nothing for 0.6 to 0.7 of the holder's D; the timer runs on.
            orders.abandon_watch()
            self._watch_policy.close()
            self._want_read(0.0)
        self._settle()

    def _timed_out(self, request_id: int, doing: str) -> None:
        error = self._notices.error(f"{doing} it took longer than the request timeout")
        self._on_unknown(request_id, error)
        self._in_flight.out.append(m.AbandonRequest(request_id=request_id))

    def drain(self) -> list[m.Request | m.Event]:
        """Return the requests and events since the last call, in order."""
        return self._in_flight.drain()

    def next_deadline(self) -> float | None:
        """Return the CLOCK_BOOTTIME at which :meth:`handle_timer` is due, None: never."""
        state, orders = self.state, self._in_flight
        if state is STOPPED:
            return None
        read, write = orders.read, orders.write
        due = self._schedule.read_at if read is None else read.deadline
        if write is not None and write.deadline < due:
            due = write.deadline
        if state in _WANT_WATCH:
            watch = self._watch_policy
            watch_due = watch.open_at if orders.watch_id is None else watch.silent_at
            if watch_due < due:
                due = watch_due
        if state is WAITING:
            now = self._now
            left = self._observation.left(now)
            state_due = now.boottime + (left if left > CLOCK_STEP else CLOCK_STEP)
        else:
            state_due = self._state_due(state)
        if state_due < due:
            due = state_due
        return None if due == NEVER else due

    def _state_due(self, state: State) -> float:
        """Return when something is due that a state is about, besides requests."""
        now, writes = self._now, self._in_flight.write is not None
        if state in HOLDING:
            assert self._term is not None
            left = self._term.belief.remaining(now)
            due = now.boottime + (left if left > CLOCK_STEP else CLOCK_STEP)
            if (
                writes
                or self._own_writes.in_doubt
                or not self._participation.alive
                or due < self._schedule.write_at
            ):
                return due
            return self._schedule.write_at
        if state is CONTENDING:
            return NEVER if writes else self._contending.at
        if state is RELEASING and not writes and not self._own_writes.in_doubt:
            return min(self._schedule.give_up_at, self._schedule.write_at)
        if state is RELEASING or state is WITHDRAWING:
            return self._schedule.give_up_at
        if state is STANDING_BY:
            until = self._participation.stay_out_until
            return NEVER if until is None else until
        return NEVER

    # The application's words --------------------------------------------------

    def _on_start(self) -> None:
        self._change(Fact.START_ASKED)
        self._reset()
        self._want_read(0.0)

    def _on_stop(self) -> None:
        self._participation.stop()
        if self.state is LEADER:
            self._announce_loss("stopped")
        self._change(Fact.STOP_ASKED)

    def _on_end(self, term: int) -> None:
        if self._term is None or self._term.number != term:
            return  # the work ended of a term that is over, and said so too late
        if self.state is LEADER:
            self._contending.let_others_go_first()
            self._announce_loss("work_ended")
        self._change(Fact.END_ASKED)

    def _on_work_ended(self, term: int) -> None:
        if self._term is None or self._term.number != term:
            raise ProtocolMisuseError(
                f"the work of term {term} was reported as ended, but "
                f"{'none is' if self._term is None else f'{self._term.number} is'} "
                "under way: it is said once for each term."
            )
        self._change(Fact.WORK_ENDED)
        if self.state is not RELEASING:
            self._end_term()

    def _on_liveness(self, *, alive: bool) -> None:
        if alive == self._participation.alive:
            return
        self._participation.live(alive=alive)
        self._change(Fact.ALIVE if alive else Fact.NOT_ALIVE)

    def _on_loss_seen(self, term: int) -> None:
        held = self._term is not None and self.state in HOLDING
        if held and self._term is not None and self._term.number == term:
            self._lose("renew_deadline", Fact.DEADLINE_PASSED)

    def _on_driver_failed(self, error: LeaderElectionError) -> None:
        self._emit(m.ErrorOccurred(error=error))
        self._in_flight.abandon_all()
        if self.state in HOLDING:
            self._lose("failed", Fact.DRIVER_FAILED)
        elif self.state is State.RELEASING:
            self._finish(Fact.DRIVER_FAILED)
        else:
            self._change(Fact.DRIVER_FAILED)
        self._own_writes.end_doubt()
        self._retry.count_failure(self._now.boottime)
        # Reads that work meanwhile are no reason to fail in a hot loop.
        pause = self._backoff(self._retry.write_failures)
        self._retry.stay_away(self._now.boottime + pause)
        self._retry.count_write_failure()
        self._watch_policy.close()
        self._want_read(self._backoff(self._retry.failures))

    # What the state wants -----------------------------------------------------

    def _look_at_the_clock(self, now: Now, term: Term) -> None:
        """Look at the clock before anything else (rule 15, fault 02)."""
        if self.state in HOLDING and term.belief.remaining(now) <= 0.0:
            # G2: and it latches, whatever a clock says later (rule 14).
            self._lose("renew_deadline", Fact.DEADLINE_PASSED)

    def _settle(self) -> None:
        """Draw the conclusions, then order what the state wants."""
        if self.state is WAITING:  # where most are, nearly all the time
            if self._verdict() is not HELD:
                self._conclude()
        elif self.state in _LEADS_ON:
            self._conclude()
        state, now, orders = self.state, self._now.boottime, self._in_flight
        if state is STOPPED:
            return
        schedule = self._schedule
        if now >= schedule.read_at and orders.read is None:
            schedule.read_is_ordered()
            timeout = self.settings.request_timeout
            if state in HOLDING:
                # G8: two reads that hang must not cost what one write may.
                timeout /= 2
            orders.order_read(deadline=now + timeout, known=self._observation.version)
        if (
            state in _WRITES
            and orders.write is None
            and now >= schedule.write_at
            and not self._own_writes.in_doubt
        ):
            if state is RELEASING:
                self._release()
            elif self._participation.alive:
                self._renew()
        self._settle_watch(state, now)

    def _settle_watch(self, state: State, now: float) -> None:
        """Open the watch when it is due, poll in its place, or mind its silence."""
        watch, orders = self._watch_policy, self._in_flight
        if orders.watch_id is None:
            if now < watch.open_at or state not in _WANT_WATCH:
                if watch.is_forbidden(now) and state in FOLLOWING:
                    self._poll()
                return
            watch.opened(now)
            orders.order_watch(self._observation.watch_from or "0", since=now)
        watch.mind_silence(
            self._observation,
            orders.watch_since,
            # What has run out, and cannot be taken yet, need not be looked at.
            self.settings.lease_duration if state is CONTENDING else 0.0,
        )

    def _poll(self) -> None:
        """Rule 16: where no watch is permitted a read follows each, in any state."""
        if self._in_flight.read is None and self._schedule.read_at == NEVER:
            self._want_read(self._watch_policy.poll_interval())

    def _conclude(self) -> None:
        """Go on to the state that what is known leads to."""
        # Each of these states leads on to another at most once.
        if self.state in WRITE_DECIDES and self._in_flight.write is None:
            self._conclude_write()
        if self.state is STANDING_BY:
            self._stand_by()
        if self.state is LOOKING:
            verdict = self._verdict()
            if verdict is not None:
                if not self._participation.may_contend():
                    self._change(Fact.NOT_ALIVE)
                else:
                    self._contending.look(verdict)
                    self._change(verdict)
        if self.state is WAITING or self.state is CONTENDING:
            verdict = self._verdict()
            if verdict is None:
                verdict = Fact.HELD
            if (verdict is Fact.HELD) != (self.state is WAITING):
                self._change(verdict)
        if (
            self.state is CONTENDING
            and self._now.boottime >= self._contending.at
            and self._in_flight.write is None
        ):
            self._change(Fact.DELAY_OVER)
            self._acquire()

    def _conclude_write(self) -> None:
        """Go on from a write that is over and did not make us leader."""
        if self.state is ACQUIRING:
            verdict = self._verdict() or Fact.FREE
            if verdict is Fact.HELD or not self._own_writes.in_doubt:
                self._change(verdict)
        elif self.state is WITHDRAWING and not self._own_writes.in_doubt:
            self._change(Fact.WITHDRAWN)

    def _stand_by(self) -> None:
        until = self._participation.stay_out_until
        if until is not None:
            another = self._observation.holder not in ("", self.settings.identity)
            if another or self._now.boottime >= until:
                self._participation.come_back()
        if self._participation.may_contend():
            self._change(Fact.MAY_CONTEND)

    def _acquire(self) -> None:
        settings, observation = self.settings, self._observation
        stamp = self._own_writes.stamp_acquire(self._now)
        self._own_writes.try_to_acquire(
            Try.based_on(observation, stamp, self._now), observation.record
        )
        self._in_flight.order_write(
            lease_writes.acquiring(observation.snapshot, stamp, settings),
            purpose="acquire",
            stamp=stamp,
            known=observation.version,
            deadline=self._now.boottime + settings.request_timeout,
            creates=observation.snapshot is None,
        )

    def _renew(self) -> None:
        term, observation = self._term, self._observation
        assert term is not None
        assert observation.snapshot is not None
        # G2: what could only be sent after the term is not sent at all.
        timeout = min(term.belief.remaining(self._now), self.settings.request_timeout)
        stamp = self._own_writes.stamper.stamp(
            self._now, acquire_time=term.confirmed.stamp.acquire_time
        )
        term.try_to_renew(Try.based_on(observation, stamp, self._now))
        self._in_flight.order_write(
            lease_writes.renewing(observation.snapshot, stamp, term, self.settings),
            purpose="renew",
            stamp=stamp,
            known=observation.version,
            deadline=self._now.boottime + timeout,
        )

    def _release(self) -> None:
        observation = self._observation
        assert observation.snapshot is not None
        stamp = self._own_writes.stamper.stamp(self._now, holder="")
        due = self._now.boottime + self.settings.request_timeout
        self._in_flight.order_write(
            lease_writes.releasing(observation.snapshot, stamp),
            purpose="release",
            stamp=stamp,
            known=observation.version,
            deadline=min(self._schedule.give_up_at, due),
        )
