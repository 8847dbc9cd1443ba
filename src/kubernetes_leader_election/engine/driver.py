"""
The driver of one Lease: between a front, the core, and whatever makes requests.

Everything here but :meth:`Driver.post` and the questions (``current_leader``,
``remaining``) runs on the engine's thread. At each step the driver compares what the
application wants with what the core has been told (:mod:`.desired`), and tells the rest.
"""

from __future__ import annotations

import random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.in_flight import PendingWrite
from kubernetes_leader_election.core.states import IN_TERM, State
from kubernetes_leader_election.core.term import Try
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now
from kubernetes_leader_election.engine.access import LeaseAccess
from kubernetes_leader_election.engine.calls import Completed
from kubernetes_leader_election.engine.clocks import Clock, SystemClock
from kubernetes_leader_election.engine.desired import Desired
from kubernetes_leader_election.engine.engine import Engine, shared_engine
from kubernetes_leader_election.engine.recovery import REBUILD_AFTER, Log, Recovery
from kubernetes_leader_election.engine.threaded_access import ThreadedAccess
from kubernetes_leader_election.engine.view import Listener, View
from kubernetes_leader_election.errors import LeaderElectionError, ProtocolMisuseError
from kubernetes_leader_election.events import LossReason
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.values import hasten

if TYPE_CHECKING:
    from kubernetes_leader_election.credentials.base import Credentials


class ToldTerms:
    """What the listener has been told of terms and shown, and what numbers terms have."""

    __slots__ = ("begun", "lost", "numbered", "open", "view")

    def __init__(self, former: int) -> None:
        self.open: m.LeadershipAcquired | None = None
        """The term whose beginning was told, and whose end was not."""
        self.begun = former
        """The newest term whose beginning was told: only such a one has work."""
        self.numbered = former
        """The newest term of a former core: the next one's terms are numbered after it."""
        self.lost: tuple[int, LossReason] | None = None
        """The newest term that ended, and why: known before any view shows it."""
        self.view: View | None = None
        """The one that it was shown; None: it could not look."""


class Driver:
    """
    One election of one front, driven by the engine.

    Args:
        settings: checked settings.
        credentials: how to reach the API server; None assumes leadership.
        listener: hears of events and views, on the engine's thread.
        log: gets the traceback of what nobody foresaw.
        terms: how many terms of this front are over, from which these are numbered.
        clock: the clocks of this machine, unless a test brings its own.
        engine: the engine of the process, unless a test brings its own.

    """

    def __init__(
        self,
        *,
        settings: ElectionSettings,
        credentials: Credentials | None,
        listener: Listener,
        log: Log,
        terms: int = 0,
        clock: Clock | None = None,
        engine: Engine | None = None,
    ) -> None:
        # What stays as it is:
        self.settings = settings
        """Checked settings."""
        self.clock = clock or SystemClock()
        """The clocks of this machine."""
        self._listener = listener
        """Who hears of events and views."""
        self._engine = engine or shared_engine()
        """Whose thread takes the steps, and whose queue takes the inputs."""
        self._engine.start()
        self._process = this_process()
        """The process that may lead: not a child that inherited this object."""
        self._recovery = Recovery(
            settings,
            assumed=credentials is None,
            draw=random.Random().random,  # noqa: S311 - jitter, not a secret
            log=log,
        )
        """What outlives a core that failed, and when the next one begins."""
        self._access: LeaseAccess | None = None
        """What carries out orders; None: leadership is assumed, and there are none."""
        if credentials is not None:
            self._access = ThreadedAccess(
                self._engine.client_for(credentials),
                settings=settings,
                workers=self._engine.workers,
                post=partial(self._engine.post, self),
                unexpected=self._recovery.log_unexpected,
            )
        # Written on the engine's thread alone:
        self._core = self._recovery.new_core(terms)
        """The present core; while there is none, one that takes no part."""
        self._desired = Desired(given_up=terms, ended=terms, seen_lost=terms)
        """What the application wants, all words counted in that were taken."""
        self._told = self._desired
        """The same, as far as the present core has been told of it."""
        self._orders: deque[m.Request | m.Event] = deque()
        """What the core gave and was not carried out or told yet."""
        self._terms = ToldTerms(terms)
        """What the listener has been told of terms and shown."""
        self.next_deadline: float | None = None
        """The CLOCK_BOOTTIME of the next step without an input."""
        self.view = View(state=State.STOPPED, changed_at=self.clock.now())
        """The election after the last step; replaced as a whole, read by any thread."""
        # Written by whoever asks, on any thread, and only ever to more:
        self._ended_term = terms
        """The newest term that a clock showed to be over: that latches (rule 14)."""

    # Any thread ---------------------------------------------------------------

    @property
    def client(self) -> LeaseClient | None:
        """What makes the requests; None: leadership is assumed."""
        return None if self._access is None else self._access.client

    @property
    def credentials(self) -> Credentials | None:
        """How the API server is reached; None: leadership is assumed."""
        return None if self._access is None else self._access.client.credentials

    @property
    def terms(self) -> int:
        """The number of the newest term, as far as it was told."""
        return max(self._terms.numbered, self._terms.begun)

    @property
    def forked(self) -> bool:
        """Return whether this is the copy that a child process inherited."""
        return self._process.is_copy

    def post(self, word: m.Command) -> None:
        """
        Say a word of the application to the core. Never blocks; signal-safe.

        Raises:
            ProtocolMisuseError: this is a child process: make an elector of its own.

        """
        if self.forked:
            raise ProtocolMisuseError(
                "this elector belongs to the parent process: nothing of it lives on "
                "after a fork. Make a new Elector in the child."
            )
        self._engine.post(self, word)

    def current_leader(self) -> bool:
        """Return whether this process leads now, by the clock, in its own process (rule 15)."""
        belief = self.view.belief
        return belief is not None and self._left(belief) > 0.0

    def remaining(self) -> float:
        """Return the seconds provably left of the term, draining included; else 0."""
        deadline = self.view.term_deadline
        return 0.0 if deadline is None else self._left(deadline)

    def term_remaining(self, term: int) -> float:
        """Return the same for that term only: 0 once it is over."""
        deadline = self.view.term_deadline
        if deadline is None or deadline.term != term:
            return 0.0
        return self._left(deadline)

    def term_deadline(self, term: int) -> Belief | None:
        """Return until when that term holds, on every clock; None once it is over."""
        deadline = self.view.term_deadline
        if deadline is None or deadline.term != term or self._left(deadline) <= 0.0:
            return None
        return deadline

    def last_deadline(self, term: int) -> Belief | None:
        """Return until when that term holds, or held; None once its work has ended."""
        deadline = self.view.last_deadline
        return deadline if deadline is not None and deadline.term == term else None

    def term_reason(self, term: int) -> LossReason | None:
        """Tell why that term ended, if it is the newest one that did."""
        lost = self.view.lost
        return lost[1] if lost is not None and lost[0] == term else None

    def _left(self, belief: Belief) -> float:
        if belief.term <= self._ended_term or self.forked:
            return 0.0
        left = belief.remaining(self.clock.now())
        if left <= 0.0:
            view = self.view
            newest = view.term_deadline
            if (
                newest is not None
                and newest is not belief
                and newest.term == belief.term
            ):
                return newest.remaining(self.clock.now())  # renewed in between
            # Rule 14: it latches, whatever a clock says later; the core is told.
            self._ended_term = max(self._ended_term, belief.term)
            self._engine.post(self, m.LossSeen(term=belief.term))
        return left

    # The engine's thread ------------------------------------------------------

    def step(self, message: m.Message | Completed | None) -> None:
        """
        Take one input, drain to the end, show the view; None: the timer is due.

        Fault 07: an exception of anything that is called here ends the term at most.
        """
        if isinstance(message, m.Command):
            # Before anything can fail: from here on it is not lost.
            self._desired = self._desired.after(message)
        try:
            self._step(message)
        except Exception as error:  # noqa: BLE001 - fault 07: nothing may end the engine
            self._fail(error)

    @property
    def in_term(self) -> bool:
        """Return whether the clocks have to be looked at often (rule 14)."""
        return self._core.state in IN_TERM

    @property
    def is_stopped(self) -> bool:
        """Return whether nothing goes on here, nor will before another start."""
        return self._core.state is State.STOPPED and self._recovery.rebuild_at is None

    def _step(self, message: m.Message | Completed | None) -> None:
        answer = None
        if isinstance(message, Completed):
            # Before anything can fail: a watch waits for room until this is taken.
            assert self._access is not None
            answer = self._access.take(message)
        if self._recovery.failure is not None:
            self._replace_core(self._recovery.failure)  # what failed last time
        if isinstance(message, Completed) and answer is None:
            return
        now = self.clock.now()
        self._look_at_note(now)
        if isinstance(answer, m.ProofRefuted | m.ProofUnreadable):
            self._listener.on_no_proof(answer)
        if self._recovery.rebuild_at is not None:
            self._wait_for_new_core(now)
        elif answer is not None:
            self._core.receive(answer, now=now)
        elif message is None:
            self._core.handle_timer(now=now)
        # The end of work is known to the listener, and changes what it makes of a view.
        self._finish(now, show_again=isinstance(message, m.Command))

    def _look_at_note(self, now: Now) -> None:
        """Tell the core, before it can order a renewal, that the own note is gone."""
        if self._told.own_note is None or self._listener.note_is_good():
            return
        gone = m.OwnNote(note=None)
        self._desired, self._told = self._desired.after(gone), self._told.after(gone)
        self._core.receive(gone, now=now)

    def _finish(self, now: Now, *, show_again: bool = True) -> None:
        """Tell the core what it does not know, carry out what it gave, and show it."""
        if self._recovery.rebuild_at is None and self._told is not self._desired:
            self._tell_core(now)
        self._drain()
        # Whoever could not look at the view is to look again soon.
        shown = self._show(again=show_again)
        due = None if shown else now.boottime + REBUILD_AFTER
        core_due = self._recovery.rebuild_at or self._core.next_deadline()
        if due is None or (core_due is not None and core_due < due):
            due = core_due
        self.next_deadline = due

    def _tell_core(self, now: Now) -> None:
        """Tell the core, word by word, in what it differs from what is wanted."""
        while True:
            difference = self._desired.first_difference(
                self._told, stopped=self._core.state is State.STOPPED
            )
            if difference is None:
                if self._told.life == self._desired.life:
                    self._told = self._desired  # nothing is left to compare
                return
            word, told = difference
            try:
                if word is not None:
                    self._core.receive(word, now=now)
            except Exception as error:
                if self._core.state is not State.STOPPED and word == m.StartAsked():
                    self._told = told  # said twice, a start would be refused
                if not isinstance(word, m.WorkEnded) or not isinstance(
                    error, ProtocolMisuseError
                ):
                    raise  # no other word can be wrong: to unsay it would lose it
                if not self._is_over(word.term):
                    # Said wrongly, so not said: the right word may still come.
                    self._desired = self._desired.without(self._told, told)
                    self._report(error)
                    continue
                # Else the core heard it before, and failed after that.
            self._told = told

    def _is_over(self, term: int) -> bool:
        """Return whether the end of that term was told, as its beginning was."""
        terms = self._terms
        return term <= terms.begun and (terms.open is None or terms.open.term > term)

    def _report(self, error: ProtocolMisuseError) -> None:
        """Say that the application said what cannot be, which ends nothing."""
        self._recovery.say_error(f"leader election of {self.settings.where}: {error}")
        self._drain()
        self._look(error)

    def _drain(self) -> None:
        # Kept here one by one: what comes after an order that fails is still done.
        drained = self._core.drain()
        for event in drained:
            if isinstance(event, m.LeadershipLost):
                # Known before any view shows that the term has ended.
                self._terms.lost = (event.term, event.reason)
        self._orders.extend(drained)
        while self._orders:
            match self._orders[0]:
                case (
                    m.LeadershipAcquired()
                    | m.LeadershipLost()
                    | m.LeaseRenewed()
                    | m.LeaderChanged()
                    | m.ErrorOccurred()
                ) as event:
                    self._tell(event)
                case request:
                    self._orders.popleft()
                    assert self._access is not None
                    self._access.order(request)

    def _tell(self, event: m.Event) -> None:
        """Tell the next of the orders, an event."""
        self._look(event.error if isinstance(event, m.ErrorOccurred) else None)
        self._orders.popleft()  # not before: a clock that fails would cost the event
        if isinstance(event, m.LeadershipAcquired):
            self._terms.open = event
            self._terms.begun = event.term
        elif isinstance(event, m.LeadershipLost):
            self._terms.open = None
        self._listener.on_event(event, self.view)

    def _look(self, error: LeaderElectionError | None = None) -> None:
        """Show the core as it is now, and an error if there is one, to whoever asks."""
        core, old = self._core, self.view
        state, deadline = core.state, core.term_deadline
        view = View(
            state=state,
            changed_at=old.changed_at if state is old.state else self.clock.now(),
            life=self._desired.life,
            running=self._desired.running,
            belief=core.belief,
            term_deadline=deadline,
            last_deadline=core.last_deadline,
            snapshot=core.snapshot,
            # Of a record that others hold: it changes with each look.
            expires_in=core.expires_in if deadline is None else None,
            last_error=error or old.last_error,
            lost=self._terms.lost,
        )
        if view != old:
            self.view = view

    def _show(self, *, again: bool = True) -> bool:
        """
        Show the core, and have the listener look; False if it could not.

        ``again``: also where nothing has changed since it last looked.
        """
        self._look()
        if self.view is self._terms.view and not again:
            return True
        self._terms.view = None
        try:
            self._listener.on_view(self.view)
        except Exception as error:  # noqa: BLE001 - fault 07: it is to look again
            self._recovery.log_unexpected(error)
            return False
        self._terms.view = self.view
        return True

    # What nobody foresaw ------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        """Fault 07: end the term, say it, contend again with backoff."""
        recovery = self._recovery
        recovery.log_unexpected(error)
        if recovery.failure is None:
            wrapped = LeaderElectionError(
                f"{self.settings.where}: unexpected error in the engine: {error!r}"
            )
            wrapped.__cause__ = error
            try:
                now = self.clock.now()
                self._core.receive(m.DriverFailed(error=wrapped), now=now)
                self._finish(now)
            except Exception as again:  # noqa: BLE001 - then the core is replaced
                recovery.log_unexpected(again)
                recovery.failure = wrapped
        if recovery.failure is not None:
            self._replace_core(recovery.failure)  # what fails here is tried again

    def _replace_core(self, error: LeaderElectionError) -> None:
        """End the term without the core, and have another one made in a while."""
        # What may fail comes before anything is changed: tried again, it loses no event.
        if self._access is not None:
            self._access.abandon_all()
        now, shown, terms = self.clock.now(), self.view.term_deadline, self._terms
        # A term that was begun, and shown already, may not have been told.
        numbered = max(terms.numbered, terms.begun, shown.term if shown else 0)
        core = self._recovery.new_core(numbered)
        self.next_deadline = self._recovery.begin(self._core, now)
        terms.numbered, self._core = numbered, core
        self._orders.clear()
        origin = self.settings.origin
        self._orders.append(m.ErrorOccurred(**origin, error=error))
        if terms.open is not None:
            terms.lost = (terms.open.term, "failed")
            self._orders.append(
                m.LeadershipLost(
                    **origin,
                    term=terms.open.term,
                    token=terms.open.token_if_any,
                    reason="failed",
                    detail=str(error),
                )
            )
        for _ in tuple(self._orders):
            try:
                self._drain()
            except Exception as again:  # noqa: BLE001 - each event has its own try
                self._recovery.log_unexpected(again)
        self._show()

    def _wait_for_new_core(self, now: Now) -> None:
        """Begin anew with another core, unless it is too early for that."""
        self._drain()  # events of the former core that could not be told yet
        self._told = self._recovery.hear(self._desired, self._told, now)
        if not self._recovery.is_due(now):
            return
        if self._terms.begun > self._desired.ended:
            return  # G4: no new term before the work of the old one ended
        before = self._core, self._told
        self._core = self._recovery.new_core(self._terms.numbered)
        self._told = self._desired.told_to_new_core()
        try:
            self._tell_core(now)
            left = self._recovery.stay_out_until - now.boottime
            if self._desired.running and left > 0.0:
                self._core.receive(m.StepDownAsked(stay_out=left), now=now)
        except Exception:
            self._core, self._told = before  # not half begun
            raise
        self._recovery.rebuild_at = None


# What is made at each renewal.
hasten(
    m.LeaseRenewed, m.LeaseWritten, m.UpdateLease, m.WatchEvent, PendingWrite, Try, View
)
