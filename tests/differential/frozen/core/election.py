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

from tests.differential.frozen.core import annotations as lease_annotations
from tests.differential.frozen.core import messages as m
from tests.differential.frozen.core import record as rec
from tests.differential.frozen.core.election_state import NEVER
from tests.differential.frozen.core.outcomes import FOLLOWING, WRITE_DECIDES, Outcomes
from tests.differential.frozen.core.record import Stamp
from tests.differential.frozen.core.states import (
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
from tests.differential.frozen.core.term import Term, Try
from tests.differential.frozen.core.timing import MICROSECONDS, Now
from tests.differential.frozen.errors import LeaderElectionError, ProtocolMisuseError

CLOCK_STEP: Final = 1e-6
"""Seconds at least between two looks at a clock, lest rounding make them endless."""

_WANT_WATCH: Final = FOLLOWING | HOLDING | {ACQUIRING}
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
            self._timed_out(read, "reading")
        if write is not None and boottime >= write.deadline:
            self._timed_out(write, "writing")
        if self.state is RELEASING or self.state is WITHDRAWING:
            if boottime >= self._give_up_at:
                self._give_up()
        elif orders.watch_id is not None and boottime >= self._silent_at:
            # Rule 16: nothing for 0.6 to 0.7 of the holder's D; the timer runs on.
            orders.abandon_watch()
            self._watch_at = NEVER
            self._want_read(0.0)
        self._settle()

    def _timed_out(self, request: PendingRead | PendingWrite, doing: str) -> None:
        waited = self._now.boottime - request.ordered_at
        error = self._error(
            f"{doing} it took longer than {waited:.2f} s "
            f"(request_timeout_sec={self.settings.request_timeout:g})"
        )
        self._on_unknown(request.request_id, error)
        self._in_flight.out.append(m.AbandonRequest(request_id=request.request_id))

    def drain(self) -> list[m.Request | m.Event]:
        """Return the requests and events since the last call, in order."""
        out = self._in_flight.out
        self._in_flight.out = []
        return out

    def next_deadline(self) -> float | None:
        """Return the CLOCK_BOOTTIME at which :meth:`handle_timer` is due, None: never."""
        state, orders = self.state, self._in_flight
        if state is STOPPED:
            return None
        read, write = orders.read, orders.write
        due = self._read_at if read is None else read.deadline
        if write is not None and write.deadline < due:
            due = write.deadline
        if state in _WANT_WATCH:
            watch_due = self._watch_at if orders.watch_id is None else self._silent_at
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
            if writes or self._doubt or not self._alive or due < self._write_at:
                return due
            return self._write_at
        if state is CONTENDING:
            return NEVER if writes else self._contend_at
        if state is RELEASING and not writes and not self._doubt:
            return min(self._give_up_at, self._write_at)
        if state is RELEASING or state is WITHDRAWING:
            return self._give_up_at
        if state is STANDING_BY and self._stay_out_until is not None:
            return self._stay_out_until
        return NEVER

    # The application's words --------------------------------------------------

    def _on_start(self) -> None:
        self._change(Fact.START_ASKED)
        self._reset()
        self._want_read(0.0)

    def _on_stop(self) -> None:
        self._stopping = True
        if self.state is LEADER:
            self._announce_loss("stopped")
        self._change(Fact.STOP_ASKED)

    def _on_end(self, term: int) -> None:
        if self._term is None or self._term.number != term:
            return  # the work ended of a term that is over, and said so too late
        if self.state is LEADER:
            self._yield_first = True
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
            self._term = None

    def _on_liveness(self, *, alive: bool) -> None:
        if alive == self._alive:
            return
        self._alive = alive
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
        self._doubt = False
        self._count_failure()
        # Reads that work meanwhile are no reason to fail in a hot loop.
        pause = self._backoff(self._write_failures)
        self._retry_at = max(self._retry_at, self._now.boottime + pause)
        self._write_failures += 1
        self._watch_at = NEVER
        self._want_read(self._backoff(self._failures))

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
        if now >= self._read_at and orders.read is None:
            self._read_at = NEVER
            timeout = self.settings.request_timeout
            if state in HOLDING:
                # G8: two reads that hang must not cost what one write may.
                timeout /= 2
            orders.order_read(
                now=now, deadline=now + timeout, known=self._observation.version
            )
        if orders.write is None and now >= self._write_at and not self._doubt:
            if state in HOLDING:
                if self._alive:
                    self._renew()
            elif state is RELEASING:
                self._release()
        if orders.watch_id is None:
            if now < self._watch_at or state not in _WANT_WATCH:
                if now < self._may_watch_at and state in FOLLOWING:
                    self._poll()
                return
            self._watch_at = NEVER
            self._watch_news = now
            orders.order_watch(self._observation.watch_from or "0", since=now)
        observation = self._observation
        if not observation.holder:
            self._silent_at = NEVER
        else:
            heard, since = self._watch_news, orders.watch_since
            if heard < since:
                heard = since
            lasts = observation.wait
            if state is CONTENDING and lasts < self.settings.lease_duration:
                # What has run out, and cannot be taken yet, need not be looked at.
                lasts = self.settings.lease_duration
            self._silent_at = heard + self._silence * lasts

    def _poll(self) -> None:
        """Rule 16: where no watch is permitted a read follows each, in any state."""
        if self._in_flight.read is None and self._read_at == NEVER:
            self._want_read(self._poll_interval())

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
                if not self._may_contend():
                    self._change(Fact.NOT_ALIVE)
                else:
                    self._looked = self._looked or verdict is not Fact.FREE
                    self._change(verdict)
        if self.state is WAITING or self.state is CONTENDING:
            verdict = self._verdict()
            if verdict is None:
                verdict = Fact.HELD
            if (verdict is Fact.HELD) != (self.state is WAITING):
                self._change(verdict)
        if (
            self.state is CONTENDING
            and self._now.boottime >= self._contend_at
            and self._in_flight.write is None
        ):
            self._change(Fact.DELAY_OVER)
            self._acquire()

    def _conclude_write(self) -> None:
        """Go on from a write that is over and did not make us leader."""
        if self.state is ACQUIRING:
            verdict = self._verdict() or Fact.FREE
            if verdict is Fact.HELD or not self._doubt:
                self._change(verdict)
        elif self.state is WITHDRAWING and not self._doubt:
            self._change(Fact.WITHDRAWN)

    def _stand_by(self) -> None:
        until = self._stay_out_until
        if until is not None:
            another = self._observation.holder not in ("", self.settings.identity)
            if another or self._now.boottime >= until:
                self._stay_out_until = None
        if self._may_contend():
            self._change(Fact.MAY_CONTEND)

    def _acquire(self) -> None:
        stamp = self._stamper.stamp(self._now)
        # Two processes with one identity that write in the same microsecond are told
        # apart by the acquire time: nobody times anything by it (rule 5).
        stamp = Stamp(
            holder_identity=stamp.holder_identity,
            acquire_time=stamp.renew_time - int(self._draw() * MICROSECONDS),
            renew_time=stamp.renew_time,
        )
        settings, snapshot = self.settings, self._observation.snapshot
        if snapshot is None:
            lease = rec.created(
                name=settings.lease_name,
                namespace=settings.namespace,
                stamp=stamp,
                duration=settings.lease_duration,
            )
        else:
            lease = lease_annotations.without(
                rec.acquired(snapshot, stamp=stamp, duration=settings.lease_duration),
                lease_annotations.STEP_DOWN,
                lease_annotations.SUCCESSOR,
                lease_annotations.TOKEN,
            )
        self._tries = self._latest([*self._tries, self._try(stamp)])
        self._doubt = self._refused = False
        self._in_flight.order_write(
            lease,
            purpose="acquire",
            stamp=stamp,
            known=self._observation.version,
            now=self._now.boottime,
            deadline=self._now.boottime + settings.request_timeout,
            creates=snapshot is None,
        )

    def _try(self, stamp: Stamp) -> Try:
        observation = self._observation
        snapshot = observation.snapshot
        return Try(
            stamp,
            self._now,
            None if snapshot is None else snapshot.uid,
            observation.resource_version,
            observation.version,
        )

    def _renew(self) -> None:
        term, snapshot = self._term, self._observation.snapshot
        assert term is not None
        assert snapshot is not None
        remaining = term.belief.remaining(self._now)
        stamp = self._stamper.stamp(
            self._now, acquire_time=term.confirmed.stamp.acquire_time
        )
        term.pending.append(self._try(stamp))
        lease = rec.renewed(
            snapshot, stamp=stamp, duration=self.settings.lease_duration
        )
        self._in_flight.order_write(
            lease_annotations.with_token(
                lease, token=term.token, acquire_time=stamp.acquire_time
            ),
            purpose="renew",
            stamp=stamp,
            known=self._observation.version,
            now=self._now.boottime,
            deadline=self._now.boottime + min(remaining, self.settings.request_timeout),
        )

    def _release(self) -> None:
        snapshot = self._observation.snapshot
        assert snapshot is not None
        stamp = self._stamper.stamp(self._now, holder="")
        self._in_flight.order_write(
            lease_annotations.without(
                rec.released(snapshot, stamp=stamp),
                lease_annotations.STEP_DOWN,
                lease_annotations.TOKEN,
            ),
            purpose="release",
            stamp=stamp,
            known=self._observation.version,
            now=self._now.boottime,
            deadline=min(
                self._give_up_at, self._now.boottime + self.settings.request_timeout
            ),
        )
