"""
Where one elector stands: its state and its term, and how a term begins and ends.

It owns the parts that an election is made of, and is the lowest of four classes, each
of which calls the ones below it and none above:

- :class:`Standing`: what each change of state entails; the end of a term.
- :class:`~.observed.Observed`: what a sighting of the Lease means.
- :class:`~.outcomes.Outcomes`: what a response to a request means.
- :class:`~.election.Election`: the four verbs, and what each state orders.

Each part keeps its own fields: others read them, and change them by its methods alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.annotations import is_challenged
from kubernetes_leader_election.core.challenge import Challenge
from kubernetes_leader_election.core.contending import Contending
from kubernetes_leader_election.core.in_flight import InFlight
from kubernetes_leader_election.core.notices import Notices
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.own_writes import OwnWrites
from kubernetes_leader_election.core.participation import Participation
from kubernetes_leader_election.core.retry import Retry
from kubernetes_leader_election.core.schedule import Schedule
from kubernetes_leader_election.core.states import (
    EXPIRED,
    FREE,
    HELD,
    HOLDING,
    LEADER,
    Fact,
    State,
    next_state,
)
from kubernetes_leader_election.core.term import Term
from kubernetes_leader_election.core.timing import (
    GIVE_UP_AFTER,
    ElectionSettings,
    Now,
)
from kubernetes_leader_election.core.watch_policy import WatchPolicy
from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError
from kubernetes_leader_election.events import LossReason

_SEEKING: Final = frozenset({State.WAITING, State.CHALLENGING})
"""States in which the proof of the holder's end is of use."""
_ASKING: Final = frozenset({State.CHALLENGING, State.CONTENDING, State.ACQUIRING})
"""States in which it matters that the holder was asked, and did not answer."""

_TO_BE_HAD: Final = (FREE, EXPIRED)
"""What a Lease is judged to be that may be acquired."""


class Standing:
    """
    Change the state of one elector, and begin and end its terms.

    Args:
        settings: checked settings, seconds throughout.
        draw: gives a number in [0, 1) at each call; the only randomness there is.
        terms: how many terms this elector had before this object was made.

    """

    __slots__ = (
        "challenge",
        "contending",
        "in_flight",
        "notices",
        "now",
        "observation",
        "own_writes",
        "participation",
        "retry",
        "schedule",
        "settings",
        "state",
        "term",
        "terms",
        "watch_policy",
    )

    def __init__(
        self,
        settings: ElectionSettings,
        *,
        draw: Callable[[], float],
        terms: int = 0,
    ) -> None:
        self.settings = settings
        self.state = State.STOPPED
        """Where in the table of states; :meth:`change` alone writes it."""
        self.now = Now(0.0, 0.0, 0)
        """The clocks as they were read for the input that is being taken."""
        self.term: Term | None = None
        """The term that is led, is ending, or is being released."""
        self.terms = terms
        """Terms that were led: the number of the last one."""
        self.in_flight = InFlight()
        """Requests under way, and what goes out next."""
        self.observation = Observation(settings.lease_duration)
        """The Lease as it is known, and since when."""
        self.own_writes = OwnWrites(settings, draw=draw)
        """Our writes outside the present term: is this record ours?"""
        self.retry = Retry(settings, draw=draw)
        """Failures in a row, and the pauses they call for."""
        self.schedule = Schedule()
        """When to read, to write, and to give a release up."""
        self.watch_policy = WatchPolicy(settings)
        """When to open the watch, and when it was silent for too long."""
        self.contending = Contending(settings, draw=draw)
        """The delay before an acquire."""
        self.participation = Participation(settings)
        """What the application wants, and whether it is alive."""
        self.challenge = Challenge(settings, draw=draw)
        """The end of a holder that its pod proves, and what it was asked."""
        self.notices = Notices(settings)
        """What was told already."""
        self.begin_life()

    def begin_life(self) -> None:
        """Begin a life: nothing asked, nothing due, nothing in doubt."""
        self.participation.begin_life()
        self.contending.begin_life()
        self.own_writes.end_doubt()
        self.schedule.begin_life()
        self.watch_policy.begin_life()
        self.retry.begin_life()
        self.challenge.begin_life()
        self.notices.gap.begin_life()

    # Changing state -----------------------------------------------------------

    def change(self, fact: Fact) -> None:
        """Go to the state that the table names, and do what entering it entails."""
        before = self.state
        wants = self.participation
        self.state = next_state(
            before, fact, stopping=wants.stopping, may_contend=wants.may_contend()
        )
        if self.state is before:
            return
        self._mind_challenge(before)
        match self.state:
            case State.CHALLENGING:
                self.challenge.begin(self.observation.snapshot, self.now)
            case State.CONTENDING:
                self.contend_after_delay(fact)
            case State.WAITING | State.ACQUIRING:
                self.contending.stop_yielding()
            case State.RELEASING | State.WITHDRAWING:
                # Rule 12: within a bounded time.
                now = self.now.boottime
                give_up_at = now + GIVE_UP_AFTER * self.settings.request_timeout
                self.schedule.end_by(give_up_at, now=now)
                if self.own_writes.in_doubt:
                    # Whatever a server asked to wait for: the time is bounded now.
                    self.want_read(0.0)
            case State.LOOKING:
                self.own_writes.end_doubt()
                if self.observation.since is None:
                    self.want_read(0.0)
            case State.STOPPED:
                self.in_flight.abandon_all()
                self.own_writes.end_life(self.observation.record)
                self.observation.forget()
                self.notices.forget_leader()
                self.schedule.read_is_ordered()
                self.watch_policy.close()
                self.participation.come_back()
            case State.STANDING_BY:
                self.contending.wait_in_full()
            case _:
                pass

    def _mind_challenge(self, before: State) -> None:
        """Give up what is asked and sought, where the present state has no use for it."""
        if before is State.CHALLENGING:
            # What becomes of a question is not waited for: it begins no term.
            self.in_flight.abandon_write()
            self.own_writes.end_doubt()
        if self.state not in _SEEKING:
            self.in_flight.abandon_proof()
            self.challenge.seek_no_more()
        if self.state not in _ASKING:
            self.challenge.ask_no_more()

    def contend_after_delay(self, fact: Fact) -> None:
        """Begin the delay of rule 13, for a Lease that is FREE or EXPIRED."""
        self.contending.begin_delay(
            fact,
            self.observation.snapshot,
            is_own=self.own_writes.is_former(self.observation.snapshot),
            now=self.now.boottime,
            not_before=self.retry.acquire_not_before(),
        )

    def verdict(self) -> Fact | None:
        """Judge the Lease: what was ours until now is free (rules 4 and 5)."""
        observation = self.observation
        verdict = observation.verdict(self.now)
        # Most Leases are held by another, and this is asked all the time.
        if verdict is HELD and observation.holder == self.settings.identity:
            if self.own_writes.is_former(observation.snapshot):
                return FREE
        elif verdict is HELD and observation.missing and self.contending.recreates:
            return FREE
        if verdict is HELD and self.challenge.asked:
            # Rule 19: on the very snapshot of the question, under the very watch.
            snapshot, watch_id = observation.snapshot, self.in_flight.watch_id
            if self.challenge.is_unanswered(snapshot, watch_id, self.now):
                return FREE
        return verdict

    def may_renew(self) -> bool:
        """
        Return whether to renew: while the application is alive, or a candidate asks.

        Rule 19: work of an application that is not alive may run on until the deadline.
        """
        if self.participation.alive:
            return True
        snapshot = self.observation.snapshot
        asked = snapshot is not None and is_challenged(snapshot)
        return asked and self.settings.crash_takeover

    # Terms --------------------------------------------------------------------

    def begin_term(self, term: Term) -> None:
        """Take it that an acquire landed; after a stop the term is for release alone."""
        self.term = term
        self.own_writes.begin_term()
        self.retry.begin_term()
        self.change(Fact.ACQUIRE_PROVED)
        if self.state is LEADER:
            self.terms = term.number
            self.retry.come_back()
            sent = term.confirmed.sent.boottime
            self.schedule.write_next(sent + self.settings.renew_interval)

    def is_in_term(self, number: int) -> bool:
        """Return whether the numbered term is led, is ending, or is being released."""
        return self.term is not None and self.term.number == number

    def end_term(self) -> None:
        """Take it that nothing is left of the term: no work, and no release."""
        self.term = None

    def lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        """End the term at once; of it nothing is sent from here on (rule 11)."""
        term = self.term
        assert term is not None
        if self.state is State.LEADER:
            self.announce_loss(reason, detail)
        self.change(fact)
        self.in_flight.abandon_write()
        self.own_writes.end_doubt()
        self.own_writes.remember_term(term, self.observation)
        if reason == "renew_deadline":
            self.want_read(0.0)

    def announce_loss(self, reason: LossReason, detail: str = "") -> None:
        """Tell that belief in the term ended. Exactly once a term (G4)."""
        assert self.term is not None
        self.emit(
            m.LeadershipLost(
                **self.settings.origin,
                term=self.term.number,
                token=self.term.token,
                reason=reason,
                detail=detail,
            )
        )

    def step_down(self, stay_out: float | None, detail: str = "") -> None:
        """Give leadership up if it is held; stay out for a while in any case."""
        seconds = self.settings.lease_duration if stay_out is None else stay_out
        if self.state is State.LEADER:
            self.announce_loss("stepped_down", detail)
        self.change(Fact.STEP_DOWN_ASKED)
        self.participation.stay_out(self.now.boottime + seconds)

    def finish(self, fact: Fact) -> None:
        """Leave RELEASING: the term is over."""
        assert self.term is not None
        if fact is Fact.LOST:
            # A renewal may still be under way (rule 11).
            self.in_flight.abandon_write()
        self.own_writes.remember_term(self.term, self.observation)
        self.end_term()
        self.own_writes.end_doubt()
        self.change(fact)

    def give_up(self) -> None:
        """End a release or withdrawal that cannot be brought to an end in time."""
        self.report("could not be released in time; it runs out by itself")
        self.in_flight.abandon_write()
        if self.state is State.RELEASING:
            self.finish(Fact.RELEASE_OVER)
        else:
            self.change(Fact.WITHDRAWN)
        self.own_writes.end_doubt()

    # Waiting and telling ------------------------------------------------------

    def want_read(self, delay: float) -> None:
        """Ask for a read so many seconds from now, if none is to come sooner."""
        self.schedule.read_by(self.now.boottime + delay)

    def backoff(self, failures: int, error: LeaseApiError | None = None) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self.retry.pause(
            failures,
            error,
            state=self.state,
            now=self.now.boottime,
            left=self.time_left(),
        )

    def count_failure(self) -> None:
        """Count a request that failed."""
        self.retry.count_failure(self.now.boottime)
        if self.in_flight.watch_id is None:
            self.notices.gap.lose_sight()
        if self.verdict() in _TO_BE_HAD:
            self.notices.gap.hold_up()

    def put_writes_off(self) -> None:
        """
        Count a write that failed, or may have, and acquire or release after a pause.

        Reads that work meanwhile are no reason to write in a hot loop (fault 24).
        """
        pause = self.backoff(self.retry.write_failures)
        self.retry.stay_away(self.now.boottime + pause)
        self.retry.count_write_failure()

    def time_left(self) -> float:
        """Return the seconds until the term, or the try to end it, is over."""
        if self.term is not None and self.state in HOLDING:
            return self.term.belief.remaining(self.now)
        return self.schedule.give_up_at - self.now.boottime

    def emit(self, event: m.Event | None) -> None:
        """Tell the application; None: there is nothing to tell."""
        if event is not None:
            self.in_flight.out.append(event)

    def report(self, what: str | None) -> None:
        """Tell people what is wrong with the Lease; None: nothing new."""
        if what is not None:
            self.tell_error(self.notices.error(what))

    def tell_error(self, error: LeaderElectionError | None) -> None:
        """Tell the application what failed, or is wrong; None: nothing new."""
        if error is not None:
            self.emit(m.ErrorOccurred(**self.settings.origin, error=error))
