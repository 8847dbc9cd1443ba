"""
One election, as seen by one elector: four verbs, no I/O, no clock.

**One input, drain to the end, re-arm, wait.** Whoever drives this object calls
:meth:`Election.receive` or :meth:`Election.handle_timer` with a fresh reading of the
clocks, carries out everything :meth:`Election.drain` gives, asks
:meth:`Election.next_deadline`, and waits. It is not thread-safe.

How it decides. What is read and watched goes into an :class:`~.observation.Observation`;
from that a candidate judges whether the Lease is held, free or expired. A leader
compares each sighting with the stamps of its own writes: its last confirmed one, one
whose outcome was open (then it is proved), or anything else (then the term is lost).
After every input the clock is looked at first, then the input, then what the state
wants is ordered: a read, a write, a watch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.orders import Orders, PendingWrite
from kubernetes_leader_election.core.record import Snapshot, Stamp
from kubernetes_leader_election.core.states import HOLDING, Fact, State, next_state
from kubernetes_leader_election.core.term import Stamper, Term, Try, find_try
from kubernetes_leader_election.core.timing import (
    MICROSECONDS,
    Belief,
    ElectionSettings,
    Now,
    believe,
)
from kubernetes_leader_election.errors import (
    LeaderElectionError,
    LeaseApiError,
    ProtocolMisuseError,
)

AFTER_RELEASE: Final = 0.025
"""Seconds at most before writing on a released Lease (rule 13)."""
AFTER_EXPIRY: Final = 0.4
"""Seconds at most, and 5 % of D at most, before writing on an expired one (rule 13)."""
SILENCE: Final = 0.6
"""Share of the holder's D after which a watch without news is replaced (rule 16)."""
FORMER_KEPT: Final = 32
"""Stamps of ended terms and late acquires that are remembered (rule 5)."""
CLOCK_STEP: Final = 1e-6
"""Seconds at least between two looks at a clock, lest rounding make them endless."""
TRY_WATCH_AGAIN: Final = 300.0
"""Seconds between tries to watch where that is not permitted."""

_FOLLOWING: Final = frozenset(
    {State.LOOKING, State.WAITING, State.CONTENDING, State.STANDING_BY, State.FENCED}
)
_WANT_WATCH: Final = _FOLLOWING | HOLDING | {State.ACQUIRING}
_URGENT: Final = HOLDING | {State.RELEASING, State.WITHDRAWING, State.ACQUIRING}
_QUIET: Final = frozenset({State.STOPPED})


class Election:
    """
    Take part in the election on one Lease.

    Args:
        settings: checked settings, seconds throughout.
        draw: gives a number in [0, 1) at each call; the only randomness there is.

    """

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.state = State.STOPPED
        self._draw = draw
        self._orders = Orders()
        self._observation = Observation(settings.lease_duration)
        self._stamper = Stamper(settings.identity)
        self._now = Now(0.0, 0.0, 0)
        self._term: Term | None = None
        self._terms = 0
        self._former: list[Stamp] = []
        self._tries: list[Try] = []
        self._announced: str | None = None
        self._reported_namesake: object = None
        self._alive = True
        self._polite = False
        self._reset()

    def _reset(self) -> None:
        """Begin a life: nothing asked, nothing due, nothing in doubt."""
        self._stopping = False
        self._stay_out_until: float | None = None
        self._looked = False
        self._doubt = False
        self._read_at: float | None = None
        self._write_at = 0.0
        self._watch_at: float | None = None
        self._watch_news = 0.0
        self._contend_at = 0.0
        self._give_up_at = 0.0
        self._failures = 0
        self._conflicts = 0
        self._watch_failures = 0
        self._may_watch_at = 0.0

    # Asking -------------------------------------------------------------------

    @property
    def belief(self) -> Belief | None:
        """How long the present term may be trusted; None when not leading."""
        if self.state is State.LEADER and self._term is not None:
            return self._term.belief
        return None

    @property
    def term_deadline(self) -> Belief | None:
        """The same while draining, too: how long the Lease is provably ours."""
        if self.state in HOLDING and self._term is not None:
            return self._term.belief
        return None

    @property
    def snapshot(self) -> Snapshot | None:
        """The Lease as last seen; None when nothing is known or it is gone."""
        return self._observation.snapshot

    @property
    def expires_in(self) -> float | None:
        """Seconds from the last input until the record seen counts as expired."""
        if self._observation.since is None:
            return None
        return max(0.0, self._observation.left(self._now))

    def current_leader(self, now: Now) -> bool:
        """Tell whether this elector leads at ``now``, by the clock (rule 15)."""
        belief = self.belief
        return belief is not None and belief.holds(now)

    # The four verbs -----------------------------------------------------------

    def receive(self, message: m.Message, *, now: Now) -> None:
        """
        Take a response, or a word of the application.

        Raises:
            ProtocolMisuseError: the word cannot be said in this state.

        """
        self._begin(now)
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
                self._on_step_down(message.stay_out)
            case m.EndAsked():
                self._on_end(message.term)
            case m.WorkEnded():
                self._on_work_ended(message.term)
            case m.DriverFailed():
                self._on_driver_failed(message.error)
            case _:
                assert_never(message)
        self._settle()

    def handle_timer(self, *, now: Now) -> None:
        """Do what is due at ``now``; calling it early does no harm."""
        self._begin(now)
        orders = self._orders
        if orders.read is not None and now.boottime >= orders.read.deadline:
            number = orders.read.request_id
            error = self._error("reading it took longer than the request timeout")
            self._on_unknown(number, error)
            orders.out.append(m.AbandonRequest(request_id=number))
        if orders.write is not None and now.boottime >= orders.write.deadline:
            number = orders.write.request_id
            error = self._error("writing it took longer than the request timeout")
            self._on_unknown(number, error)
            orders.out.append(m.AbandonRequest(request_id=number))
        if self.state in (State.RELEASING, State.WITHDRAWING):
            if now.boottime >= self._give_up_at:
                self._give_up()
        elif orders.watch_id is not None and now.boottime >= self._silent_at():
            # Rule 16: nothing for 0.6 of the holder's D; the timer runs on beside.
            orders.abandon_watch()
            self._watch_at = None
            self._want_read(0.0)
        self._settle()

    def drain(self) -> list[m.Request | m.Event]:
        """Give the requests and events since the last call, in order."""
        out = self._orders.out
        self._orders.out = []
        return out

    def next_deadline(self) -> float | None:
        """Give the CLOCK_BOOTTIME at which :meth:`handle_timer` is due, None: never."""
        state, now, orders = self.state, self._now, self._orders
        if state is State.STOPPED:
            return None
        due = float("inf")
        if orders.read is not None:
            due = orders.read.deadline
        elif self._read_at is not None:
            due = self._read_at
        if orders.write is not None:
            due = min(due, orders.write.deadline)
        elif state in HOLDING:
            if self._alive and not self._doubt:
                due = min(due, self._write_at)
        elif state is State.RELEASING and not self._doubt:
            due = min(due, self._write_at)
        if state in HOLDING and self._term is not None:
            left = self._term.belief.remaining(now)
            due = min(due, now.boottime + max(left, CLOCK_STEP))
        elif state is State.CONTENDING:
            due = min(due, self._contend_at) if orders.write is None else due
        elif state is State.WAITING:
            left = self._observation.left(now)
            due = min(due, now.boottime + max(left, CLOCK_STEP))
        elif state in (State.RELEASING, State.WITHDRAWING):
            due = min(due, self._give_up_at)
        elif state is State.STANDING_BY and self._stay_out_until is not None:
            due = min(due, self._stay_out_until)
        if state in _WANT_WATCH:
            if orders.watch_id is not None:
                due = min(due, self._silent_at())
            elif self._watch_at is not None:
                due = min(due, self._watch_at)
        return None if due == float("inf") else due

    # The application's words --------------------------------------------------

    def _on_start(self) -> None:
        self._change(Fact.START_ASKED)
        self._reset()
        self._want_read(0.0)

    def _on_stop(self) -> None:
        self._stopping = True
        if self.state is State.LEADER:
            self._announce_loss("stopped")
        self._change(Fact.STOP_ASKED)

    def _on_step_down(self, stay_out: float | None) -> None:
        seconds = self.settings.lease_duration if stay_out is None else stay_out
        if self.state is State.LEADER:
            self._announce_loss("stepped_down")
        self._change(Fact.STEP_DOWN_ASKED)
        self._stay_out_until = self._now.boottime + seconds

    def _on_end(self, term: int) -> None:
        if self._term is None or self._term.number != term:
            return  # the work ended of a term that is over, and said so too late
        if self.state is State.LEADER:
            self._polite = True
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
        if self.state is not State.RELEASING:
            self._term = None

    def _on_liveness(self, *, alive: bool) -> None:
        if alive == self._alive:
            return
        self._alive = alive
        self._change(Fact.ALIVE if alive else Fact.NOT_ALIVE)

    def _on_driver_failed(self, error: LeaderElectionError) -> None:
        self._emit(m.ErrorOccurred(error=error))
        self._orders.abandon_all()
        if self.state in HOLDING:
            self._lose("failed", Fact.DRIVER_FAILED)
        else:
            self._change(Fact.DRIVER_FAILED)
        self._doubt = False
        self._failures += 1
        self._watch_at = None
        self._want_read(self._backoff(self._failures))

    # Responses ----------------------------------------------------------------

    def _on_fetched(self, message: m.LeaseFetched) -> None:
        pending = self._orders.read
        if pending is None or pending.request_id != message.request_id:
            return
        self._orders.read = None
        self._failures = 0
        snapshot = rec.read_snapshot(message.lease)
        known = self._observation.version
        overtaken = known not in (pending.known, snapshot.version)
        if overtaken and self._observation.is_news(snapshot) is False:
            self._read_was_overtaken()
            return
        went_back = (
            pending.known is not None
            and snapshot.version is not None
            and snapshot.version < pending.known
        )
        if went_back and self._term is not None and self.state in HOLDING:
            self._observe(snapshot)
            self._lose(
                "another_holder",
                Fact.LOST,
                "the Lease went back to an earlier version, as after a restore",
            )
            return
        self._doubt = False
        self._take(snapshot)
        self._after_read()

    def _on_not_found(self, message: m.LeaseNotFound) -> None:
        pending = self._orders.read
        if pending is None or pending.request_id != message.request_id:
            return
        self._orders.read = None
        self._failures = 0
        if pending.known != self._observation.version:
            self._read_was_overtaken()
            return
        self._doubt = False
        self._gone()
        self._after_read()

    def _read_was_overtaken(self) -> None:
        """Rule 11: what was read before newer news came proves nothing."""
        if self._doubt:
            self._want_read(0.0)
        self._after_read()

    def _after_read(self) -> None:
        """Open the watch that waited for a read; go on polling where none may be."""
        now = self._now.boottime
        if self._orders.watch_id is not None or self.state in _QUIET:
            return
        if now < self._may_watch_at:
            self._watch_at = self._may_watch_at
            if self.state in _FOLLOWING:
                self._want_read(self._poll_interval())
        elif self._watch_at is None:
            self._watch_at = now + self._backoff(self._watch_failures)

    def _on_written(self, message: m.LeaseWritten) -> None:
        write = self._take_write(message.request_id)
        if write is None:
            return
        self._failures = self._conflicts = 0
        snapshot = rec.read_snapshot(message.lease)
        if not write.stamp.is_on(snapshot.record):
            # An answer that is not what was written: something sits in between.
            self._in_doubt(
                self._error("the answer to a write was not what was written")
            )
            return
        if self._observation.is_news(snapshot) is False:
            return  # the watch was faster: this is known, or overtaken
        self._take(snapshot)

    def _on_conflict(self, message: m.WriteConflict) -> None:
        if self._take_write(message.request_id) is None:
            return
        # Rule 10: perhaps our own write; read and look for our stamp.
        self._doubt = True
        self._conflicts += 1
        self._want_read(self._backoff(self._conflicts - 2))

    def _on_unknown(self, request_id: int, error: LeaseApiError) -> None:
        if self._orders.read is not None and self._orders.read.request_id == request_id:
            self._orders.read = None
            self._failures += 1
            self._emit(m.ErrorOccurred(error=error))
            self._want_read(self._backoff(self._failures, error))
        elif self._take_write(request_id) is not None:
            self._in_doubt(error)

    def _in_doubt(self, error: LeaseApiError) -> None:
        self._emit(m.ErrorOccurred(error=error))
        self._doubt = True
        self._want_read(self._backoff(self._failures, error))
        self._failures += 1

    def _on_failed(self, request_id: int, error: LeaseApiError) -> None:
        if self._orders.read is not None and self._orders.read.request_id == request_id:
            self._on_unknown(request_id, error)
            return
        write = self._take_write(request_id)
        if write is None:
            return
        self._emit(m.ErrorOccurred(error=error))
        self._failures += 1
        delay = self._backoff(self._failures, error)
        self._forget_try(write.stamp)
        self._write_at = self._now.boottime + delay
        if self.state is State.ACQUIRING:
            self._change(self._verdict() or Fact.FREE)
            self._contend_at = max(self._contend_at, self._write_at)

    def _take_write(self, request_id: int) -> PendingWrite | None:
        write = self._orders.write
        if write is None or write.request_id != request_id:
            return None
        self._orders.write = None
        return write

    def _forget_try(self, stamp: Stamp) -> None:
        """Drop a try that was certainly not applied."""
        self._tries = [t for t in self._tries if t.stamp != stamp]
        if self._term is not None:
            pending = self._term.pending
            self._term.pending = [t for t in pending if t.stamp != stamp]

    # The watch ----------------------------------------------------------------

    def _on_watch_event(self, message: m.WatchEvent) -> None:
        if message.request_id != self._orders.watch_id:
            return
        snapshot = rec.read_snapshot(message.object)
        self._watch_news = self._now.boottime
        if message.type == "BOOKMARK":
            self._observation.bookmark(snapshot.resource_version, snapshot.version)
            return
        if message.type not in ("ADDED", "MODIFIED", "DELETED"):
            self._orders.abandon_watch()
            self._watch_broke(self._error(f"the watch brought {message.type[:40]!r}"))
            return
        self._watch_failures = 0
        news = self._observation.is_news(snapshot)
        if news is None:
            self._want_read(0.0)  # rule 11: not comparable, so ask
        elif news:
            if message.type == "DELETED":
                self._observation.hear(snapshot.resource_version, snapshot.version)
                self._gone()
            else:
                self._take(snapshot)

    def _on_watch_ended(self, message: m.WatchEnded) -> None:
        if message.request_id != self._orders.watch_id:
            return
        lasted = self._now.boottime - self._orders.watch_since
        self._orders.watch_id = None
        if message.error is None and lasted >= 1.0:
            # An end in good order: go on from where it was.
            self._watch_at = self._now.boottime
            return
        self._watch_broke(message.error)

    def _watch_broke(self, error: LeaseApiError | None) -> None:
        """Rule 16: any oddity in a stream: close, GET, watch again, with backoff."""
        self._watch_failures += 1
        self._watch_at = None
        now = self._now.boottime
        if error is not None and error.status == 403:
            if self._may_watch_at == 0.0:  # said once
                self._emit(m.ErrorOccurred(error=error))
            self._may_watch_at = now + TRY_WATCH_AGAIN
        elif error is not None and error.status != 410:
            self._emit(m.ErrorOccurred(error=error))
        self._want_read(self._backoff(self._watch_failures - 1, error))

    def _silent_at(self) -> float:
        record = self._observation.record
        if record is None or record.is_free:
            return float("inf")
        duration = record.duration(self.settings.lease_duration)
        return max(self._watch_news, self._orders.watch_since) + SILENCE * duration

    # What a sighting means ----------------------------------------------------

    def _take(self, snapshot: Snapshot) -> None:
        """Take what stands in the Lease now, and conclude."""
        term = self._term
        state = self.state
        if term is not None and state in HOLDING:
            self._take_in_term(snapshot, term)
            return
        namesake = self._is_namesake(snapshot)
        changed = self._observe(snapshot)
        if changed and namesake:
            self._report_namesake(snapshot)
        if state is State.ACQUIRING:
            self._take_acquiring(snapshot)
        elif state is State.WITHDRAWING:
            self._take_withdrawing(snapshot)
        elif state is State.RELEASING:
            self._take_releasing(snapshot)

    def _take_in_term(self, snapshot: Snapshot, term: Term) -> None:
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        self._observe(snapshot)
        if proved is None:
            # Rule 11: first proof of loss ends the term at once.
            if snapshot.uid != term.uid:
                self._lose("deleted", Fact.LOST, "another Lease has its name now")
            else:
                self._lose(
                    "another_holder",
                    Fact.LOST,
                    "the record is not one that this elector wrote",
                )
            return
        if proved is term.confirmed:
            return
        term.confirm(proved, self.settings)
        self._doubt = False
        self._write_at = proved.sent.boottime + self.settings.renew_interval
        self._change(Fact.RENEWED)
        self._emit(m.LeaseRenewed(term=term.number, renew_time=proved.stamp.renew_time))

    def _take_acquiring(self, snapshot: Snapshot) -> None:
        proved = find_try(self._tries, snapshot.record)
        if proved is None:
            return
        term = self._new_term(proved, snapshot)
        if not term.belief.holds(self._now):
            return  # it landed so late that it is no proof any more (rule 5)
        self._terms = term.number
        self._begin_term(term)
        self._emit(m.LeadershipAcquired(term=term.number, token=term.token))

    def _take_withdrawing(self, snapshot: Snapshot) -> None:
        proved = find_try(self._tries, snapshot.record)
        if proved is not None:
            # It landed, and no work ever began: give it back.
            self._begin_term(self._new_term(proved, snapshot))

    def _new_term(self, proved: Try, snapshot: Snapshot) -> Term:
        number = self._terms + 1
        token = snapshot.version
        later = [t for t in self._tries if t.sent.boottime > proved.sent.boottime]
        return Term(
            number=number,
            token=token,
            uid=snapshot.uid,
            confirmed=proved,
            belief=believe(
                term=number, token=token, sent=proved.sent, settings=self.settings
            ),
            pending=later,
        )

    def _begin_term(self, term: Term) -> None:
        self._term = term
        self._tries = []
        self._former = []
        self._doubt = False
        self._failures = 0
        self._change(Fact.ACQUIRE_PROVED)
        if self.state is State.LEADER:
            sent = term.confirmed.sent.boottime
            self._write_at = sent + self.settings.renew_interval

    def _take_releasing(self, snapshot: Snapshot) -> None:
        term = self._term
        assert term is not None
        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)
        if proved is not None:
            term.confirm(proved, self.settings)
            self._write_at = min(self._write_at, self._now.boottime)
        elif snapshot.record.is_free:
            self._finish(Fact.RELEASE_OVER)
        else:
            self._finish(Fact.LOST)

    def _gone(self) -> None:
        """The Lease does not exist."""
        self._observation.see_missing(self._now)
        self._announce_leader(None)
        if self.state in HOLDING:
            self._lose("deleted", Fact.LOST, "the Lease was deleted")
        elif self.state is State.RELEASING:
            self._finish(Fact.LOST)

    def _observe(self, snapshot: Snapshot) -> bool:
        changed = self._observation.see(snapshot, self._now)
        if changed:
            self._announce_leader(snapshot.record.holder_identity or None)
        return changed

    def _verdict(self) -> Fact | None:
        """Judge the Lease, a record of our own ended terms being free (rule 5)."""
        verdict = self._observation.verdict(self._now)
        if verdict is Fact.HELD and self._is_former():
            return Fact.FREE
        return verdict

    def _is_former(self) -> bool:
        record = self._observation.record
        if record is None or record.holder_identity != self.settings.identity:
            return False
        return any(s.is_on(record) for s in self._former) or (
            find_try(self._tries, record) is not None
        )

    def _is_namesake(self, snapshot: Snapshot) -> bool:
        """Tell whether another process renews under our name (rule 5)."""
        before, record = self._observation.record, snapshot.record
        return (
            before is not None
            and before != record
            and before.holder_identity == record.holder_identity
            and record.holder_identity == self.settings.identity
            and not any(s.is_on(record) for s in self._former)
            and find_try(self._tries, record) is None
        )

    def _report_namesake(self, snapshot: Snapshot) -> None:
        if self._reported_namesake == snapshot.record.acquire_time:
            return
        self._reported_namesake = snapshot.record.acquire_time
        self._emit(
            m.ErrorOccurred(
                error=LeaderElectionError(
                    f"another process holds {self._where()} under the same identity "
                    f"{self.settings.identity!r}; give each replica its own, such as "
                    "the name of its pod"
                )
            )
        )

    # Losing and ending --------------------------------------------------------

    def _lose(self, reason: m.LossReason, fact: Fact, detail: str = "") -> None:
        """End the term at once; of it nothing is sent from here on (rule 11)."""
        term = self._term
        assert term is not None
        if self.state is State.LEADER:
            self._announce_loss(reason, detail)
        self._change(fact)
        self._orders.abandon_write()
        self._doubt = False
        self._remember(term.stamps())
        if reason == "renew_deadline":
            self._want_read(0.0)

    def _announce_loss(self, reason: m.LossReason, detail: str = "") -> None:
        assert self._term is not None
        self._emit(
            m.LeadershipLost(term=self._term.number, reason=reason, detail=detail)
        )

    def _finish(self, fact: Fact) -> None:
        """Leave RELEASING: the term is over."""
        assert self._term is not None
        self._remember(self._term.stamps())
        self._term = None
        self._doubt = False
        self._change(fact)

    def _give_up(self) -> None:
        """End a release or withdrawal that cannot be brought to an end in time."""
        self._emit(
            m.ErrorOccurred(
                error=self._error(
                    "could not be released in time; it runs out by itself"
                )
            )
        )
        self._orders.abandon_write()
        if self.state is State.RELEASING:
            self._finish(Fact.RELEASE_OVER)
        else:
            self._change(Fact.WITHDRAWN)
        self._doubt = False

    def _remember(self, stamps: list[Stamp]) -> None:
        self._former = [*self._former, *stamps][-FORMER_KEPT:]

    # Changing state -----------------------------------------------------------

    def _change(self, fact: Fact) -> None:
        before = self.state
        self.state = next_state(
            before, fact, stopping=self._stopping, may_contend=self._may_contend()
        )
        if self.state is before:
            return
        match self.state:
            case State.CONTENDING:
                self._contend_at = self._now.boottime + self._contending_delay(fact)
            case State.RELEASING | State.WITHDRAWING:
                # Rule 12: within a bounded time.
                self._give_up_at = (
                    self._now.boottime + 3 * self.settings.request_timeout
                )
                self._write_at = self._now.boottime
            case State.LOOKING:
                self._doubt = False
                if self._observation.since is None:
                    self._want_read(0.0)
            case State.STOPPED:
                self._orders.abandon_all()
                self._remember([t.stamp for t in self._tries])
                self._tries = []
                self._observation.forget()
                self._announced = None
                self._read_at = self._watch_at = self._stay_out_until = None
            case _:
                pass

    def _may_contend(self) -> bool:
        return (
            self._alive and not self.settings.observe and self._stay_out_until is None
        )

    def _contending_delay(self, fact: Fact) -> float:
        """Rule 13: so that a thousand candidates do not write at once."""
        first, self._looked = not self._looked, True
        polite, self._polite = self._polite, False
        if fact is Fact.EXPIRED:
            return self._draw() * min(AFTER_EXPIRY, 0.05 * self.settings.lease_duration)
        if first and not self._is_former():
            return 0.0
        # Whoever just ended its own work lets the others go first.
        return AFTER_RELEASE * (self._draw() + (1.0 if polite else 0.0))

    # What the state wants -----------------------------------------------------

    def _begin(self, now: Now) -> None:
        """Look at the clock before anything else (rule 15, fault 02)."""
        self._now = now
        term = self._term
        if term is not None and self.state in HOLDING and not term.belief.holds(now):
            # G2: and it latches, whatever a clock says later (rule 14).
            self._lose("renew_deadline", Fact.DEADLINE_PASSED)

    def _settle(self) -> None:
        """Draw the conclusions, then order what the state wants."""
        # Each of these states leads on to another at most once.
        if self._orders.write is None:
            self._conclude_write()
        if self.state is State.STANDING_BY:
            self._stand_by()
        if self.state is State.LOOKING:
            verdict = self._verdict()
            if verdict is not None:
                if not self._may_contend():
                    self._change(Fact.NOT_ALIVE)
                else:
                    self._looked = self._looked or verdict is not Fact.FREE
                    self._change(verdict)
        if self.state in (State.WAITING, State.CONTENDING):
            verdict = self._verdict()
            if verdict is None:
                verdict = Fact.HELD
            if (verdict is Fact.HELD) != (self.state is State.WAITING):
                self._change(verdict)
        if (
            self.state is State.CONTENDING
            and self._now.boottime >= self._contend_at
            and self._orders.write is None
        ):
            self._change(Fact.DELAY_OVER)
            self._acquire()
        self._order()

    def _conclude_write(self) -> None:
        """Go on from a write that is over and did not make us leader."""
        if self.state is State.ACQUIRING:
            verdict = self._verdict() or Fact.FREE
            if verdict is Fact.HELD or not self._doubt:
                self._change(verdict)
        elif self.state is State.WITHDRAWING and not self._doubt:
            self._change(Fact.WITHDRAWN)

    def _stand_by(self) -> None:
        until = self._stay_out_until
        if until is not None:
            record = self._observation.record
            another = record is not None and record.holder_identity not in (
                "",
                self.settings.identity,
            )
            if another or self._now.boottime >= until:
                self._stay_out_until = None
        if self._may_contend():
            self._change(Fact.MAY_CONTEND)

    def _order(self) -> None:
        state, now, orders = self.state, self._now.boottime, self._orders
        if state in _QUIET:
            return
        if self._read_at is not None and orders.read is None and now >= self._read_at:
            self._read_at = None
            timeout = self.settings.request_timeout
            if state in HOLDING:
                # G8: two reads that hang must not cost what one write may.
                timeout /= 2
            orders.order_read(deadline=now + timeout, known=self._observation.version)
        if orders.write is None and not self._doubt and now >= self._write_at:
            if state in HOLDING and self._alive:
                self._renew()
            elif state is State.RELEASING:
                self._release()
        if (
            orders.watch_id is None
            and self._watch_at is not None
            and now >= self._watch_at
            and state in _WANT_WATCH
        ):
            self._watch_at = None
            self._watch_news = now
            orders.order_watch(self._observation.watch_from or "0", since=now)

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
            lease = rec.acquired(
                snapshot, stamp=stamp, duration=settings.lease_duration
            )
        self._tries = [*self._tries, Try(stamp, self._now)][-FORMER_KEPT:]
        self._doubt = False
        self._orders.order_write(
            lease,
            purpose="acquire",
            stamp=stamp,
            deadline=self._now.boottime + settings.request_timeout,
            creates=snapshot is None,
        )

    def _renew(self) -> None:
        term, snapshot = self._term, self._observation.snapshot
        assert term is not None
        assert snapshot is not None
        remaining = term.belief.remaining(self._now)
        stamp = self._stamper.stamp(
            self._now, acquire_time=term.confirmed.stamp.acquire_time
        )
        term.pending.append(Try(stamp, self._now))
        self._orders.order_write(
            rec.renewed(snapshot, stamp=stamp, duration=self.settings.lease_duration),
            purpose="renew",
            stamp=stamp,
            deadline=self._now.boottime + min(remaining, self.settings.request_timeout),
        )

    def _release(self) -> None:
        snapshot = self._observation.snapshot
        assert snapshot is not None
        stamp = self._stamper.stamp(self._now, holder="")
        self._orders.order_write(
            rec.released(snapshot, stamp=stamp),
            purpose="release",
            stamp=stamp,
            deadline=min(
                self._give_up_at, self._now.boottime + self.settings.request_timeout
            ),
        )

    # Small things -------------------------------------------------------------

    def _want_read(self, delay: float) -> None:
        due = self._now.boottime + delay
        if self._read_at is None or due < self._read_at:
            self._read_at = due

    def _backoff(self, failures: int, error: LeaseApiError | None = None) -> float:
        """Give the seconds to wait after so many failures in a row."""
        timeout = self.settings.request_timeout
        wait = 0.0
        if failures > 0:
            cap = min(timeout / 2, 1.0) if self.state in _URGENT else self._calm_cap()
            wait = min(cap, min(0.1, timeout / 8) * 2.0 ** min(failures, 16))
            wait *= 0.5 + 0.5 * self._draw()
        if error is not None and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        if self._term is not None and self.state in HOLDING:
            # Fault 32: honoured, but never past the renew deadline.
            left = self._term.belief.remaining(self._now) - timeout
            wait = min(wait, max(left, min(0.1, timeout / 8)))
        return wait

    def _calm_cap(self) -> float:
        return min(5.0, self.settings.renew_interval / 2)

    def _poll_interval(self) -> float:
        return min(self.settings.renew_interval, self.settings.lease_duration / 10)

    def _emit(self, event: m.Event) -> None:
        self._orders.out.append(event)

    def _announce_leader(self, holder: str | None) -> None:
        if holder != self._announced:
            self._announced = holder
            self._emit(m.LeaderChanged(holder_identity=holder))

    def _where(self) -> str:
        return f"Lease {self.settings.namespace}/{self.settings.lease_name}"

    def _error(self, what: str) -> LeaseApiError:
        return LeaseApiError(f"{self._where()}: {what}")
