"""
What one election knows and awaits: its fields, changes of state, delays, ends of terms.

The lowest of the layers that make an :class:`~.election.Election`; each adds methods
to the one below and none overrides another:

- :class:`ElectionState`: what is known and due; changes of state; the end of a term.
- :class:`~.observed.Observed`: what a sighting of the Lease means.
- :class:`~.outcomes.Outcomes`: what a response to a request means.
- :class:`~.election.Election`: the four verbs, and what each state orders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.contending import Contending
from kubernetes_leader_election.core.cut_record import CutRecord
from kubernetes_leader_election.core.in_flight import InFlight
from kubernetes_leader_election.core.notices import Notices
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.own_writes import OwnWrites
from kubernetes_leader_election.core.participation import Participation
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.retry import Retry
from kubernetes_leader_election.core.schedule import Schedule
from kubernetes_leader_election.core.states import (
    FREE,
    HELD,
    HOLDING,
    LEADER,
    Fact,
    State,
    next_state,
)
from kubernetes_leader_election.core.term import Term
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now
from kubernetes_leader_election.core.watch_policy import WatchPolicy
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.events import LossReason

GIVE_UP_AFTER: Final = 3
"""Request timeouts that a release, or the end of an acquire, may take (rule 12)."""


class ElectionState:
    """
    Keep what one election knows, and change its state.

    Args:
        settings: checked settings, seconds throughout.
        draw: gives a number in [0, 1) at each call; the only randomness there is.

    """

    # A dictionary of more than thirty fields is slower to read, and so are methods
    # beside it: each input reads a dozen. An Election has one besides, but empty.
    __slots__ = (
        "_contending",
        "_cut_record",
        "_in_flight",
        "_notices",
        "_now",
        "_observation",
        "_own_writes",
        "_participation",
        "_retry",
        "_schedule",
        "_term",
        "_terms",
        "_watch_policy",
        "settings",
        "state",
    )

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.state = State.STOPPED
        self._in_flight = InFlight()
        self._observation = Observation(settings.lease_duration)
        self._contending = Contending(settings, draw=draw)
        self._own_writes = OwnWrites(settings, draw=draw)
        self._retry = Retry(settings, draw=draw)
        self._watch_policy = WatchPolicy(settings)
        self._schedule = Schedule()
        self._now = Now(0.0, 0.0, 0)
        self._term: Term | None = None
        self._terms = 0
        self._participation = Participation(settings)
        self._cut_record = CutRecord(settings)
        self._notices = Notices(settings)
        self._reset()

    def _reset(self) -> None:
        """Begin a life: nothing asked, nothing due, nothing in doubt."""
        self._participation.begin_life()
        self._contending.begin_life()
        self._own_writes.end_doubt()
        self._schedule.begin_life()
        self._watch_policy.begin_life()
        self._retry.begin_life()
        self._cut_record.begin_life()

    # Asking -------------------------------------------------------------------

    @property
    def belief(self) -> Belief | None:
        """How long the present term may be trusted; None when not leading."""
        if self.state is LEADER and self._term is not None:
            return self._term.belief
        return None

    @property
    def term_deadline(self) -> Belief | None:
        """The same while draining, too: how long the Lease is provably ours."""
        if self.state in HOLDING and self._term is not None:
            return self._term.belief
        return None

    @property
    def last_deadline(self) -> Belief | None:
        """The same for a term that is over, as long as its work may still run (G2)."""
        return None if self._term is None else self._term.belief

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
        return max(0.0, self._observation.left(self._now))

    def current_leader(self, now: Now) -> bool:
        """Return whether this elector leads at ``now``, by the clock (rule 15)."""
        belief = self.belief
        return belief is not None and belief.holds(now)

    # Changing state -----------------------------------------------------------

    def _change(self, fact: Fact) -> None:
        before = self.state
        wants = self._participation
        self.state = next_state(
            before, fact, stopping=wants.stopping, may_contend=wants.may_contend()
        )
        if self.state is before:
            return
        match self.state:
            case State.CONTENDING:
                self._contend_after_delay(fact)
            case State.WAITING | State.ACQUIRING:
                self._contending.stop_yielding()
            case State.RELEASING | State.WITHDRAWING:
                # Rule 12: within a bounded time.
                now = self._now.boottime
                give_up_at = now + GIVE_UP_AFTER * self.settings.request_timeout
                self._schedule.end_by(give_up_at, now=now)
                if self._own_writes.in_doubt:
                    # Whatever a server asked to wait for: the time is bounded now.
                    self._want_read(0.0)
            case State.LOOKING:
                self._own_writes.end_doubt()
                if self._observation.since is None:
                    self._want_read(0.0)
            case State.STOPPED:
                self._in_flight.abandon_all()
                self._own_writes.end_life(self._observation.record)
                self._observation.forget()
                self._notices.forget_leader()
                self._schedule.read_is_ordered()
                self._watch_policy.close()
                self._participation.come_back()
            case _:
                pass

    def _contend_after_delay(self, fact: Fact) -> None:
        self._contending.begin_delay(
            fact,
            self._observation.snapshot,
            is_own=self._own_writes.is_former(self._observation.snapshot),
            now=self._now.boottime,
            not_before=self._retry.not_before,
        )

    def _verdict(self) -> Fact | None:
        """Judge the Lease, a record of our own ended terms being free (rule 5)."""
        observation = self._observation
        verdict = observation.verdict(self._now)
        # Most Leases are held by another, and this is asked all the time.
        if verdict is HELD and observation.holder == self.settings.identity:
            if self._own_writes.is_former(observation.snapshot):
                return FREE
        return verdict

    # Terms --------------------------------------------------------

    def _begin_term(self, term: Term) -> None:
        """Take it that an acquire landed; after a stop the term is for release alone."""
        self._term = term
        self._own_writes.begin_term()
        self._retry.begin_term()
        self._change(Fact.ACQUIRE_PROVED)
        if self.state is LEADER:
            self._terms = term.number
            sent = term.confirmed.sent.boottime
            self._schedule.write_next(sent + self.settings.renew_interval)

    def _end_term(self) -> None:
        """Take it that nothing is left of the term: no work, and no release."""
        self._term = None

    def _lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        """End the term at once; of it nothing is sent from here on (rule 11)."""
        term = self._term
        assert term is not None
        if self.state is State.LEADER:
            self._announce_loss(reason, detail)
        self._change(fact)
        self._in_flight.abandon_write()
        self._own_writes.end_doubt()
        self._own_writes.remember_term(term, self._observation)
        if reason == "renew_deadline":
            self._want_read(0.0)

    def _announce_loss(self, reason: LossReason, detail: str = "") -> None:
        assert self._term is not None
        self._emit(
            m.LeadershipLost(term=self._term.number, reason=reason, detail=detail)
        )

    def _step_down(self, stay_out: float | None, detail: str = "") -> None:
        """Give leadership up if it is held; stay out for a while in any case."""
        seconds = self.settings.lease_duration if stay_out is None else stay_out
        if self.state is State.LEADER:
            self._announce_loss("stepped_down", detail)
        self._change(Fact.STEP_DOWN_ASKED)
        self._participation.stay_out(self._now.boottime + seconds)

    def _finish(self, fact: Fact) -> None:
        """Leave RELEASING: the term is over."""
        assert self._term is not None
        self._own_writes.remember_term(self._term, self._observation)
        self._end_term()
        self._own_writes.end_doubt()
        self._change(fact)

    def _give_up(self) -> None:
        """End a release or withdrawal that cannot be brought to an end in time."""
        self._report("could not be released in time; it runs out by itself")
        self._in_flight.abandon_write()
        if self.state is State.RELEASING:
            self._finish(Fact.RELEASE_OVER)
        else:
            self._change(Fact.WITHDRAWN)
        self._own_writes.end_doubt()

    # Waiting and telling ------------------------------------------------------

    def _want_read(self, delay: float) -> None:
        self._schedule.read_by(self._now.boottime + delay)

    def _backoff(self, failures: int, error: LeaseApiError | None = None) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self._retry.pause(
            failures,
            error,
            state=self.state,
            now=self._now.boottime,
            left=self._time_left(),
        )

    def _time_left(self) -> float:
        """Return the seconds until the term, or the try to end it, is over."""
        if self._term is not None and self.state in HOLDING:
            return self._term.belief.remaining(self._now)
        return self._schedule.give_up_at - self._now.boottime

    def _emit(self, event: m.Event | None) -> None:
        if event is not None:
            self._in_flight.out.append(event)

    def _report(self, what: str | None) -> None:
        """Tell people what is wrong with the Lease; None: nothing new."""
        if what is not None:
            self._emit(m.ErrorOccurred(error=self._notices.error(what)))
