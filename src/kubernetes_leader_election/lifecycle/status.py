"""
What any thread may ask of an elector, at any time: questions, which change nothing.

The lower half of :class:`~.lifecycle.Lifecycle`, which keeps the answers up to date. The
one thing noted here is which terms were given up, and of which others were told.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import (
    LeaderElectionError,
    LeadershipLostError,
    NotLeaderError,
)
from kubernetes_leader_election.events import (
    ElectorEvent,
    LeadershipAcquired,
    LossReason,
    Origin,
)
from kubernetes_leader_election.leadership import ElectorState, Role
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
    context_inside,
)
from kubernetes_leader_election.lifecycle.connect import Connector
from kubernetes_leader_election.lifecycle.life import Life, ShownRole
from kubernetes_leader_election.lifecycle.term_work import Phase, TermWork
from kubernetes_leader_election.lifecycle.waiters import Waiters
from kubernetes_leader_election.process import native
from kubernetes_leader_election.settings import promises
from kubernetes_leader_election.settings.names import default_identity
from kubernetes_leader_election.settings.options import Settings

if TYPE_CHECKING:
    from kubernetes_leader_election.core.timing import Belief
    from kubernetes_leader_election.engine.driver import Driver

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HELD_BY_OTHERS: Final = frozenset({State.WAITING, State.STANDING_BY})

TermT = TypeVar("TermT", bound=BaseTerm)


class CurrentTerm(NamedTuple, Generic[TermT]):
    """The term in progress and what runs of it, replaced together."""

    term: TermT
    work: TermWork


class Status(Generic[TermT]):
    """
    Tell how one elector stands.

    Args:
        settings: checked settings.
        connector: knows where credentials come from.

    """

    def __init__(self, settings: Settings, connector: Connector) -> None:
        self.settings = settings
        """Checked settings."""
        self.assumed = False
        """Whether there is no cluster, so that nobody else is asked. By ``_join``."""
        self._lock = native.RLock()
        """
        Held while a life begins. A stop waits for it only while nothing has been found
        that could be stopped.
        """
        self._life = Life()
        """The present life, or the last one."""
        self._connector = connector
        """Where credentials come from, and what became of looking for them."""
        self._driver: Driver | None = None
        """The election; None as long as no credentials were found. By ``_join``."""
        self._current: CurrentTerm[TermT] | None = None
        """The term in progress, until it is released. The engine's thread alone."""
        self._given_up = 0
        """The newest term given up here, which leads no more. Only ever to more."""
        self._handed_out = 0
        """The newest term of which others than the main thread know. Only ever to more."""
        self.waiters = Waiters()
        """Who is called after every change."""
        self._shown = ShownRole()
        """What :meth:`state` shows beside what the engine knows."""

    # Asking -------------------------------------------------------------------

    def tell_leader(self) -> bool:
        """Return whether this elector leads, to code that may work by it."""
        leads = self.current_leader()
        is_elsewhere = leads and threading.get_ident() != self._life.main_thread
        if is_elsewhere and self.is_untold:
            self.hand_out()
            # Once more: a signal that ends the main thread at once gives the term up,
            # and looks then whether another thread was told.
            leads = self.current_leader()
        return leads

    @property
    def _newest_term(self) -> int:
        belief = None if self._driver is None else self._driver.view.belief
        current = self._current
        shown = 0 if belief is None else belief.term
        return max(shown, 0 if current is None else current.term.number)

    def give_up_untold(self) -> bool:
        """
        Give the term up; tell whether nobody but the main thread can work by it.

        True only where no scope or handler of the term runs, and no guard or hold but in
        the main thread or on its loop, and no other thread was told that this elector
        leads.
        """
        current, term = self._current, self._newest_term
        if term <= self._given_up or self.assumed:
            return False
        # First: whoever asks from here on is told that it leads no more.
        self._given_up = term
        if current is None:
            return self.is_untold  # it has just begun: no work could enter it yet
        work = current.work
        return (
            self.is_untold
            and current.term.number == term
            and work.phase is Phase.OPEN
            and not work.had_scope
            and all(
                h.is_work and h.entered_in == self._life.main_thread for h in work.alive
            )
        )

    def tell_remaining(self) -> float:
        """Return the seconds provably left, to code that may work by it."""
        left = self.remaining()
        if left > 0.0 and threading.get_ident() != self._life.main_thread:
            self.hand_out()
        return left

    def hand_out(self) -> None:
        """Note that a term was given away: who works by it cannot be known."""
        self._handed_out = max(self._handed_out, self._newest_term)

    @property
    def is_untold(self) -> bool:
        """Whether only the main thread was told of the newest term."""
        return self._newest_term > self._handed_out

    @property
    def namespace(self) -> str | None:
        """The namespace, as far as it is known."""
        if self._driver is not None:
            return self._driver.settings.namespace
        if self.settings.namespace is None and self._connector.given is not None:
            return self._connector.given.namespace
        return self.settings.namespace

    @property
    def identity(self) -> str:
        """The name of this candidate: that of the process which started it, if any."""
        if self._driver is not None:
            return self._driver.settings.identity
        return self.settings.identity or default_identity()

    @property
    def where(self) -> str:
        """The Lease in words, for messages."""
        return f"Lease {self.namespace or '?'}/{self.settings.lease_name}"

    @property
    def about(self) -> Origin:
        """Which elector this is, as its events say it."""
        return Origin(
            lease=self.settings.lease_name,
            namespace=self.namespace or "",
            identity=self.identity,
        )

    @property
    def stop_budget(self) -> float:
        """Seconds that work may need to stop."""
        return self.settings.stop_budget_sec

    @property
    def grace(self) -> float:
        """Seconds that work may take to end in a planned stop; infinite: for ever."""
        grace = self.settings.grace_sec
        return float("inf") if grace is None else grace

    @property
    def was_started(self) -> bool:
        """Whether a life has begun, ever."""
        return self._life.number != 0

    @property
    def running(self) -> bool:
        """Whether this life has begun and not ended yet."""
        return self._life.started

    @property
    def ended_by_signal(self) -> bool:
        """Whether the last life is over, and a signal has ended it."""
        raise NotImplementedError

    @property
    def number(self) -> int:
        """Which life this is, counted from 1; that of the last one between two."""
        return self._life.number

    def has_ended(self, number: int) -> bool:
        """Return whether the numbered life is over, also where another one began since."""
        return not self._life.started or self._life.number != number

    @property
    def stopping(self) -> bool:
        """Whether this life is to end, or has."""
        return self._life.stopping or not self._life.started

    @property
    def has_looked(self) -> bool:
        """Whether this life has seen how the Lease stands, be it that there is none."""
        return self._life.has_looked

    @property
    def forked(self) -> bool:
        """Whether this is the copy that a child process inherited."""
        return self._life.process is not None and self._life.process.is_copy

    @property
    def current(self) -> CurrentTerm[TermT] | None:
        """The term in progress, until it is released or forgotten."""
        return self._current

    def current_leader(self) -> bool:
        """Return whether this process leads now, by the clock, in its own process (rule 15)."""
        driver = self._driver
        if driver is None or not driver.current_leader():
            return False
        belief = driver.view.belief
        return belief is not None and belief.term > self._given_up

    def remaining(self) -> float:
        """Return the seconds provably left of the present term; 0.0 without one."""
        return 0.0 if self._driver is None else self._driver.remaining()

    def term_remaining(self, number: int) -> float:
        """Return the same for the numbered term: 0.0 when it is over."""
        return 0.0 if self._driver is None else self._driver.term_remaining(number)

    def term_deadline(self, number: int) -> Belief | None:
        """Return until when the numbered term holds, on every clock; None: it is over."""
        return None if self._driver is None else self._driver.term_deadline(number)

    def last_deadline(self, number: int) -> Belief | None:
        """Return until when it holds, or held; None once its work has ended."""
        return None if self._driver is None else self._driver.last_deadline(number)

    def term_reason(self, number: int) -> LossReason | None:
        """Tell why the numbered term ended, if it is the newest one that did."""
        return None if self._driver is None else self._driver.term_reason(number)

    def leader_identity(self) -> str | None:
        """Return the holder of the Lease as last seen."""
        if self.assumed and self.current_leader():
            return self.identity
        snapshot = None if self._driver is None else self._driver.view.snapshot
        return (snapshot.record.holder_identity or None) if snapshot else None

    def leader(self, call: str) -> str | None:
        """Return the leader, if this elector leads or sees that another one does."""
        if self.tell_leader():
            return self.identity
        driver = self._driver
        if driver is not None:
            view = driver.view
            if view.state in _HELD_BY_OTHERS and (view.expires_in or 0.0) > 0.0:
                return self.leader_identity()
        if self.stopping:
            raise NotLeaderError(f"{self.where}: {call}: the elector was stopped.")
        return None

    def is_of_loss(
        self,
        error: BaseException,
        term: BaseTerm,
        *,
        ended: tuple[type[BaseException], ...] = (),
    ) -> bool:
        """
        Return whether work failed for nothing but that its term ends, or has ended.

        Else it asked for more time than a term has in good health. A term whose
        renewal is overdue is about to be lost to an outage: no error of the work's own.
        Of a group, each error must be so: one of the work's own is not to be hidden.

        Args:
            error: what the work raised.
            term: the term of the work.
            ended: what else a loss leaves behind in a group.

        """
        match error:
            case BaseExceptionGroup(exceptions=errors):
                return all(
                    isinstance(e, ended) or self.is_of_loss(e, term, ended=ended)
                    for e in errors
                )
            case LeadershipLostError():
                return error.term is term
            case NotLeaderError():
                return error.term is term and (
                    term.is_lost or error.remaining < self._healthy
                )
            case _:
                return False

    def is_end_by_loss(self, error: BaseException | None, term: BaseTerm) -> bool:
        """
        Return whether a block that a loss does not cancel raises the loss at its end.

        Not in the place of an error of its own, nor of one that says so already.
        """
        return error is None or (
            isinstance(error, BaseExceptionGroup) and self.is_of_loss(error, term)
        )

    @property
    def _healthy(self) -> float:
        """The seconds that are left of a term at least while all goes well."""
        settings = self.settings
        return promises.outage_survived(
            renew_deadline=settings.renew_deadline_sec,
            renew_interval=settings.renew_interval_ms / 1000,
            request_timeout=settings.request_timeout_sec,
        )

    def is_too_late(self, event: ElectorEvent) -> bool:
        """
        Return whether this is an acquisition whose term has run out, or is another's (G2).

        A term that was given up and whose Lease is held still is no such one: the loss
        is told next, and the Lease released after that.
        """
        return (
            isinstance(event, LeadershipAcquired)
            and self.term_remaining(event.term) <= 0.0
        )

    def is_over(self, number: int) -> bool:
        """Return whether the numbered term is released, or otherwise done with."""
        current = self._current
        return current is None or current.term.number != number

    def last_error(self) -> LeaderElectionError | None:
        """Return the newest error, if there was one."""
        error = None if self._driver is None else self._driver.view.last_error
        return error or self._connector.error

    def state(self) -> ElectorState:
        """Return the state at this instant."""
        role, since = self._shown.role, self._shown.since
        if self.current_leader():
            role = Role.LEADER
        elif role is Role.LEADER:
            role = Role.DRAINING
        deadline: float | None = None
        transitions = None
        if self._driver is not None and not self.forked:
            view = self._driver.view
            if view.term_deadline is not None:
                deadline = view.term_deadline.wall_deadline
            elif view.expires_in is not None:
                deadline = self._shown.seen_at + view.expires_in * 1e6
            if view.snapshot is not None:
                transitions = view.snapshot.record.lease_transitions
        if self.forked:
            role = Role.STOPPED
        return ElectorState(
            role=role,
            holder=self.leader_identity(),
            since=_moment(since),
            deadline=_deadline(deadline),
            transitions=transitions,
            last_error=self.last_error(),
        )

    def was_last(self, seen: ElectorState) -> bool:
        """Return whether ``seen`` is how a life ended."""
        return seen.role is Role.STOPPED and self._life.process is not None

    def call_context(self) -> CallContext | None:
        """Return the scope or handler of this elector that the caller runs in."""
        return context_inside(self)


def _moment(microseconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _deadline(microseconds: float | None) -> datetime | None:
    if microseconds is None:
        return None
    try:
        return _moment(microseconds)
    except OverflowError:
        return None  # assumed: no end; or a Lease of decades
