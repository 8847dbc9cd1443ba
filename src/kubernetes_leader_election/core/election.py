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

from collections.abc import Callable
from typing import Final, assert_never

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.commands import Commands
from kubernetes_leader_election.core.conclusions import Conclusions
from kubernetes_leader_election.core.cut_record import CutRecord
from kubernetes_leader_election.core.in_flight import PendingRead, PendingWrite
from kubernetes_leader_election.core.lease_writes import LeaseWrites
from kubernetes_leader_election.core.observed import Observed
from kubernetes_leader_election.core.outcomes import FOLLOWING, Outcomes
from kubernetes_leader_election.core.record import Snapshot, read_version
from kubernetes_leader_election.core.schedule import NEVER
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.states import (
    ACQUIRING,
    CHALLENGING,
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
from kubernetes_leader_election.core.term import Term
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now

CLOCK_STEP: Final = 1e-6
"""Seconds at least between two looks at a clock, lest rounding make them endless."""

_WANT_WATCH: Final = FOLLOWING | HOLDING | {ACQUIRING}
_WRITES: Final = HOLDING | {RELEASING}
_LEADS_ON: Final = frozenset(
    {
        LOOKING,
        WAITING,
        CHALLENGING,
        CONTENDING,
        ACQUIRING,
        WITHDRAWING,
        STANDING_BY,
    }
)
"""States that time or knowledge ends, and not only a message."""


class Election:
    """
    Take part in the election on one Lease.

    Args:
        settings: checked settings, seconds throughout.
        draw: gives a number in [0, 1) at each call; the only randomness there is.
        terms: how many terms this elector had before this object was made.

    """

    # Without these, fields and methods would share one dictionary: slower to read. An
    # instance has one all the same, but empty, for whoever replaces a method of it.
    __slots__ = (
        "__dict__",
        "_commands",
        "_conclusions",
        "_contending",
        "_in_flight",
        "_lease_writes",
        "_notices",
        "_observation",
        "_outcomes",
        "_own_writes",
        "_participation",
        "_schedule",
        "_standing",
        "_watch_policy",
        "settings",
    )

    def __init__(
        self,
        settings: ElectionSettings,
        *,
        draw: Callable[[], float],
        terms: int = 0,
    ) -> None:
        self.settings = settings
        self._standing = standing = Standing(settings, draw=draw, terms=terms)
        cut_record = CutRecord(settings)
        observed = Observed(standing, cut_record)
        self._outcomes = Outcomes(standing, observed)
        self._commands = Commands(standing, cut_record)
        self._lease_writes = LeaseWrites(standing)
        self._conclusions = Conclusions(standing, observed, self._lease_writes)
        # Parts by names of their own: they are asked at each input.
        self._in_flight = standing.in_flight
        self._observation = standing.observation
        self._own_writes = standing.own_writes
        self._schedule = standing.schedule
        self._watch_policy = standing.watch_policy
        self._contending = standing.contending
        self._participation = standing.participation
        self._notices = standing.notices

    @property
    def state(self) -> State:
        """Where in the table of states this elector is."""
        return self._standing.state

    # Asking -------------------------------------------------------------------

    @property
    def belief(self) -> Belief | None:
        """How long the present term may be trusted; None when not leading."""
        standing = self._standing
        if standing.state is LEADER and standing.term is not None:
            return standing.term.belief
        return None

    @property
    def term_deadline(self) -> Belief | None:
        """The same while draining, too: how long the Lease is provably ours."""
        standing = self._standing
        if standing.state in HOLDING and standing.term is not None:
            return standing.term.belief
        return None

    @property
    def last_deadline(self) -> Belief | None:
        """The same for a term that is over, as long as its work may still run (G2)."""
        standing = self._standing
        return None if standing.term is None else standing.term.belief

    @property
    def snapshot(self) -> Snapshot | None:
        """The Lease as last seen; None when nothing is known or it is gone."""
        return self._observation.snapshot

    @property
    def stay_out_until(self) -> float | None:
        """The CLOCK_BOOTTIME until which this elector was asked not to contend."""
        return self._participation.stay_out_until

    @property
    def expires_in(self) -> float | None:
        """Seconds from the last input until the record seen counts as expired."""
        if self._observation.since is None:
            return None
        return max(0.0, self._observation.left(self._standing.now))

    def current_leader(self, now: Now) -> bool:
        """Return whether this elector leads at ``now``, by the clock (rule 15)."""
        belief = self.belief
        return belief is not None and belief.holds(now)

    # The four verbs -----------------------------------------------------------

    def receive(self, message: m.Message, *, now: Now) -> None:
        """
        Take a response, or a word of the application.

        Raises:
            ProtocolMisuseError: the word cannot be said in this state.

        """
        standing = self._standing
        standing.now = now
        if standing.term is not None:
            self._look_at_the_clock(now, standing.term)
        match message:
            case m.WatchEvent():
                self._outcomes.on_watch_event(message)
            case m.LeaseWritten():
                self._outcomes.on_written(message)
            case m.LeaseFetched():
                self._outcomes.on_fetched(message)
            case m.LeaseNotFound():
                self._outcomes.on_not_found(message)
            case m.WriteConflict():
                self._outcomes.on_conflict(message)
            case m.OutcomeUnknown():
                self._outcomes.on_unknown(message.request_id, message.error)
            case m.RequestFailed():
                self._outcomes.on_failed(message.request_id, message.error)
            case m.WatchEnded():
                self._outcomes.on_watch_ended(message)
            case m.ProofSeen():
                self._outcomes.on_proof_seen(message)
            case m.ProofRefuted():
                self._outcomes.on_proof_refuted(message)
            case m.ProofUnreadable():
                self._outcomes.on_proof_unreadable(message)
            case m.LivenessReported():
                self._commands.on_liveness(alive=message.alive)
            case m.StartAsked():
                self._commands.on_start()
            case m.StopAsked():
                self._commands.on_stop()
            case m.StepDownAsked():
                standing.step_down(message.stay_out)
            case m.EndAsked():
                self._commands.on_end(message)
            case m.WorkEnded():
                self._commands.on_work_ended(message.term)
            case m.LossSeen():
                self._commands.on_loss_seen(message.term)
            case m.OwnNote():
                self._commands.on_own_note(message.note)
            case m.DriverFailed():
                self._commands.on_driver_failed(message.error)
            case _:
                assert_never(message)
        self._settle()

    def handle_timer(self, *, now: Now) -> None:
        """Do what is due at ``now``; calling it early does no harm."""
        standing = self._standing
        standing.now = now
        if standing.term is not None:
            self._look_at_the_clock(now, standing.term)
        orders = self._in_flight
        read, write, boottime = orders.read, orders.write, now.boottime
        if read is not None and boottime >= read.deadline:
            self._timed_out(read, "reading")
        if write is not None and boottime >= write.deadline:
            self._timed_out(write, "writing")
        if standing.state is RELEASING or standing.state is WITHDRAWING:
            if boottime >= self._schedule.give_up_at:
                standing.give_up()
        elif orders.watch_id is not None and boottime >= self._watch_policy.silent_at:
            # Rule 16: nothing for 0.6 to 0.7 of the holder's D; the timer runs on.
            orders.abandon_watch()
            self._watch_policy.close()
            standing.notices.gap.lose_sight()
            standing.want_read(0.0)
        self._settle()

    def _timed_out(self, request: PendingRead | PendingWrite, doing: str) -> None:
        waited = self._standing.now.boottime - request.ordered_at
        error = self._notices.error(
            f"{doing} it took longer than {waited:.2f} s "
            f"(request_timeout_sec={self.settings.request_timeout:g})"
        )
        self._outcomes.on_unknown(request.request_id, error)
        self._in_flight.out.append(m.AbandonRequest(request_id=request.request_id))

    def drain(self) -> list[m.Request | m.Event]:
        """Return the requests and events since the last call, in order."""
        return self._in_flight.drain()

    def next_deadline(self) -> float | None:
        """Return the CLOCK_BOOTTIME at which :meth:`handle_timer` is due, None: never."""
        standing = self._standing
        state, orders = standing.state, self._in_flight
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
        if state is WAITING or state is CHALLENGING:
            now = standing.now
            left = self._observation.left(now)
            if self.settings.crash_takeover:
                left = min(left, self._conclusions.left())
            state_due = now.boottime + (left if left > CLOCK_STEP else CLOCK_STEP)
        else:
            state_due = self._state_due(state)
        if state_due < due:
            due = state_due
        return None if due == NEVER else due

    def _state_due(self, state: State) -> float:
        """Return when something is due that a state is about, besides requests."""
        standing, schedule = self._standing, self._schedule
        if state in HOLDING:
            now = standing.now
            assert standing.term is not None
            left = standing.term.belief.remaining(now)
            due = now.boottime + (left if left > CLOCK_STEP else CLOCK_STEP)
            write_at = schedule.write_at
            if (
                due < write_at
                or self._in_flight.write is not None
                or self._own_writes.in_doubt
                or not standing.may_renew()
            ):
                return due
            return write_at
        writes = self._in_flight.write is not None
        if state is CONTENDING:
            return NEVER if writes else self._contending.at
        if state is RELEASING and not writes and not self._own_writes.in_doubt:
            return min(schedule.give_up_at, schedule.write_at)
        if state is RELEASING or state is WITHDRAWING:
            return schedule.give_up_at
        if state is STANDING_BY:
            until = self._participation.stay_out_until
            return NEVER if until is None else until
        return NEVER

    # What the state wants -----------------------------------------------------

    def _look_at_the_clock(self, now: Now, term: Term) -> None:
        """Look at the clock before anything else (rule 15, fault 02)."""
        standing = self._standing
        if standing.state in HOLDING and term.belief.remaining(now) <= 0.0:
            # G2: and it latches, whatever a clock says later (rule 14).
            standing.lose("renew_deadline", Fact.DEADLINE_PASSED)

    def _settle(self) -> None:
        """
        Draw the conclusions, then order what the state wants.

        Every state that is not STOPPED reads when something asks for it, and watches
        but for the short ones; those that hold the Lease renew, RELEASING releases, and
        CONTENDING acquires when its delay is over.
        """
        standing = self._standing
        if standing.state is WAITING:  # where most are, nearly all the time
            if self.settings.crash_takeover or standing.verdict() is not HELD:
                self._conclusions.draw()
        elif standing.state in _LEADS_ON:
            self._conclusions.draw()
        state, now = standing.state, standing.now.boottime
        orders = self._in_flight
        if state is STOPPED:
            return
        schedule = self._schedule
        if now >= schedule.read_at and orders.read is None:
            schedule.read_is_ordered()
            timeout = self.settings.request_timeout
            if state in HOLDING:
                # G8: two reads that hang must not cost what one write may.
                timeout /= 2
            known = self._observation.version
            orders.order_read(now=now, deadline=now + timeout, known=known)
        if (
            state in _WRITES
            and orders.write is None
            and now >= schedule.write_at
            and not self._own_writes.in_doubt
        ):
            if state is RELEASING:
                self._lease_writes.release()
            elif standing.may_renew():
                self._lease_writes.renew()
        if orders.watch_id is None and not self._opens_watch(state, now):
            return
        # What has run out, and cannot be taken yet, need not be looked at.
        lasts = self.settings.lease_duration if state is CONTENDING else 0.0
        self._watch_policy.mind_silence(self._observation, lasts)

    def _opens_watch(self, state: State, now: float) -> bool:
        """Open the watch if it is due; where it is not permitted, poll."""
        watch, orders = self._watch_policy, self._in_flight
        if now < watch.open_at or state not in _WANT_WATCH:
            if watch.is_forbidden(now) and state in FOLLOWING:
                self._poll()
            return False
        watch_from = self._observation.watch_from
        watch.opened(now, read_version(watch_from))
        orders.order_watch(watch_from or "0")
        return True

    def _poll(self) -> None:
        """Rule 16: where no watch is permitted a read follows each, in any state."""
        if self._in_flight.read is None and self._schedule.read_at == NEVER:
            self._standing.want_read(self._watch_policy.poll_interval())
