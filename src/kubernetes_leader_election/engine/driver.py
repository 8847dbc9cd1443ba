"""
The driver of one Lease: between a front, the core, and the threads that make requests.

Everything here but :meth:`Driver.post` and the questions (``current_leader``,
``remaining``) runs on the engine's thread.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.assumed import AssumedElection
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.states import IN_TERM, State
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now
from kubernetes_leader_election.engine.calls import Completed, PendingCall
from kubernetes_leader_election.engine.clocks import Clock, SystemClock
from kubernetes_leader_election.engine.engine import Engine, shared_engine
from kubernetes_leader_election.engine.requests import (
    ShortRequest,
    carry_out,
    failed_unexpectedly,
)
from kubernetes_leader_election.engine.view import Listener, View
from kubernetes_leader_election.errors import (
    LeaderElectionError,
    LeaseApiError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.events import LossReason
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.process.fork import this_process

if TYPE_CHECKING:
    from kubernetes_leader_election.credentials.base import Credentials

EVENTS_AHEAD: Final = 1000
"""Watch events of one Lease that may wait for the engine; the reader then waits."""
REBUILD_AFTER: Final = 1.0
"""Seconds before an election is begun anew whose core failed."""


NO_THREAD: Final = (
    "Either requests hang where nothing can end them, as in a resolver that does not "
    "answer, or the system allows this process no more threads."
)


class Log(Protocol):
    """The part of a logger that is used here."""

    def error(self, msg: str, /, *args: object) -> object:
        """Write a line for people."""
        ...


class Driver:
    """
    One election of one front, driven by the engine.

    Args:
        settings: checked settings.
        credentials: how to reach the API server; None assumes leadership.
        listener: hears of events and views, on the engine's thread.
        log: gets the traceback of what nobody foresaw.
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
        clock: Clock | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._listener = listener
        self._log = log
        self._engine = engine or shared_engine()
        self._engine.start()
        self.client: LeaseClient | None = None
        if credentials is not None:
            self.client = self._engine.client_for(credentials)
        self._process = this_process()
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._first_term = 0
        self._core = self._new_core()
        self._open_term: m.LeadershipAcquired | None = None
        self._lost: tuple[int, LossReason] | None = None
        self._started = False
        self._alive = True
        self._stay_out_until = 0.0
        self._rebuild_at: float | None = None
        self._show_at: float | None = None
        self._repeated: m.Command | None = None
        self._unheard: deque[m.Command] = deque()
        self._noted: m.Message | None = None
        self._must_replace: LeaderElectionError | None = None
        self._due: float | None = None
        self._work_term: int | None = None
        self._ended_work = 0
        self._newest_term = 0
        self._orders: deque[m.Request | m.Event] = deque()
        self._calls: dict[int, PendingCall] = {}
        self._ahead = threading.Semaphore(EVENTS_AHEAD)
        self._error: LeaderElectionError | None = None
        self._ended_term = 0
        self._view = View(state=State.STOPPED, changed_at=self.clock.now())

    def _new_core(self) -> Election | AssumedElection:
        if self.client is None:
            return AssumedElection(self.settings, terms=self._first_term)
        return Election(self.settings, draw=self._random.random, terms=self._first_term)

    # Any thread ---------------------------------------------------------------

    @property
    def view(self) -> View:
        """The election after the engine's last step."""
        return self._view

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
        belief = self._view.belief
        return belief is not None and self._left(belief) > 0.0

    def remaining(self) -> float:
        """Return the seconds provably left of the term, draining included; else 0."""
        deadline = self._view.term_deadline
        return 0.0 if deadline is None else self._left(deadline)

    def term_remaining(self, term: int) -> float:
        """Return the same for that term only: 0 once it is over."""
        deadline = self._view.term_deadline
        if deadline is None or deadline.term != term:
            return 0.0
        return self._left(deadline)

    def term_deadline(self, term: int) -> Belief | None:
        """Return until when that term holds, on every clock; None once it is over."""
        deadline = self._view.term_deadline
        if deadline is None or deadline.term != term or self._left(deadline) <= 0.0:
            return None
        return deadline

    def last_deadline(self, term: int) -> Belief | None:
        """Return until when that term holds, or held; None once its work has ended."""
        deadline = self._view.last_deadline
        return deadline if deadline is not None and deadline.term == term else None

    def term_reason(self, term: int) -> LossReason | None:
        """Tell why that term ended, if it is the newest one that did."""
        lost = self._view.lost
        return lost[1] if lost is not None and lost[0] == term else None

    def _left(self, belief: Belief) -> float:
        if belief.term <= self._ended_term or self.forked:
            return 0.0
        left = belief.remaining(self.clock.now())
        if left <= 0.0:
            view = self._view
            newest = view.term_deadline
            if (
                newest is not None
                and newest is not belief
                and newest.term == belief.term
            ):
                return newest.remaining(self.clock.now())  # renewed in between
            # Rule 14: it latches, whatever a clock says later; the core is told.
            self._ended_term = belief.term
            self._engine.post(self, m.LossSeen(term=belief.term))
        return left

    # The engine's thread ------------------------------------------------------

    def step(self, message: m.Message | Completed | None) -> None:
        """
        Take one input, drain to the end, show the view; None: the timer is due.

        Fault 07: an exception of anything that is called here ends the term at most.
        """
        if self._unheard and (message is None or isinstance(message, m.Command)):
            # In the order in which they were said: a start that is heard after the
            # stop that followed it would lead, and nobody would end it.
            if message is not None:
                self._unheard.append(message)
            message = self._unheard.popleft()
        try:
            self._step(message)
        except Exception as error:  # noqa: BLE001 - fault 07: nothing may end the engine
            # First of all, as what follows may fail, too.
            again = self._say_again(message)
            self._fail(error, replace=isinstance(message, m.Command) and not again)

    @property
    def next_deadline(self) -> float | None:
        """The CLOCK_BOOTTIME at which ``step(None)`` is due."""
        return self._due

    @property
    def in_term(self) -> bool:
        """Return whether the clocks have to be looked at often (rule 14)."""
        return self._core.state in IN_TERM

    @property
    def is_stopped(self) -> bool:
        """Return whether nothing goes on here, nor will before another start."""
        return self._core.state is State.STOPPED and self._rebuild_at is None

    def _step(self, message: m.Message | Completed | None) -> None:
        if self._must_replace is not None:
            self._replace_core(self._must_replace)  # what failed so far
        try:
            if isinstance(message, Completed):
                message = self._unpack(message)
                if message is None:
                    return
            self._take(message, self.clock.now())
        except ProtocolMisuseError as error:
            self._say_error(f"leader election of {self._where()}: {error}")
            self._error = error
            self._drain()
        self._show()
        self._arm()

    def _unpack(self, completed: Completed) -> m.Response | None:
        """Return an answer if it is of a request under way; None for a former one's."""
        answer = completed.answer
        if isinstance(answer, m.WatchEvent):
            self._ahead.release()
        if self._calls.get(answer.request_id) is not completed.pending:
            return None
        if not isinstance(answer, m.WatchEvent):
            del self._calls[answer.request_id]
        return answer

    def _arm(self) -> None:
        due = self._rebuild_at or self._core.next_deadline()
        if self._show_at is not None:
            due = self._show_at if due is None else min(due, self._show_at)
        self._due = due

    def _take(self, message: m.Message | None, now: Now) -> None:
        if isinstance(message, m.WorkEnded) and message.term <= self._ended_work:
            return  # whoever said so was interrupted, and so said it again
        if self._rebuild_at is not None:
            self._take_while_down(message, now)
            return
        self._note(message)
        if message is None:
            self._core.handle_timer(now=now)
        elif isinstance(message, m.StepDownAsked) and self._core.state is State.STOPPED:
            return  # a stop was faster: there is nothing left to step down from
        else:
            self._core.receive(message, now=now)
        if isinstance(message, m.WorkEnded):
            self._ended_work = message.term
        self._drain()

    def _note(self, message: m.Message | None) -> None:
        """Remember what another core would have to be told."""
        match message:
            case m.StartAsked():
                self._started = True
            case m.StopAsked():
                self._started = False
            case m.LivenessReported(alive=alive):
                self._alive = alive
            case m.WorkEnded(term=term) if term == self._work_term:
                self._work_term = None
            case _:
                pass
        self._noted = message

    def _drain(self) -> None:
        # Kept here one by one: what comes after an order that fails is still done.
        drained = self._core.drain()
        for event in drained:
            if isinstance(event, m.LeadershipLost):
                # Known before any view shows that the term has ended.
                self._lost = (event.term, event.reason)
        self._orders.extend(drained)
        while self._orders:
            match self._orders[0]:
                case m.GetLease() | m.CreateLease() | m.UpdateLease() as request:
                    self._orders.popleft()
                    self._request(request)
                case m.WatchLease() as request:
                    self._orders.popleft()
                    self._watch(request)
                case m.AbandonRequest(request_id=number):
                    self._orders.popleft()
                    self._abandon(number)
                case event:
                    self._tell(event)

    def _tell(self, event: m.Event) -> None:
        """Tell the next of the orders, an event."""
        if isinstance(event, m.ErrorOccurred):
            self._error = event.error
        self._look()
        self._orders.popleft()  # not before: a clock that fails would cost the event
        if isinstance(event, m.LeadershipAcquired):
            self._open_term = event
            self._work_term = self._newest_term = event.term
        elif isinstance(event, m.LeadershipLost):
            self._open_term = None
        self._listener.on_event(event, self._view)

    def _look(self) -> None:
        """Show the core as it is now to whoever asks."""
        core, old = self._core, self._view
        self._view = View(
            state=core.state,
            changed_at=(
                old.changed_at if core.state is old.state else self.clock.now()
            ),
            belief=core.belief,
            term_deadline=core.term_deadline,
            last_deadline=core.last_deadline,
            snapshot=core.snapshot,
            expires_in=core.expires_in,
            last_error=self._error,
            lost=self._lost,
        )

    def _show(self) -> None:
        """Show the core, and have the listener look."""
        self._look()
        self._show_at = None
        try:
            self._listener.on_view(self._view)
        except Exception as error:  # noqa: BLE001 - fault 07: it is to look again soon
            self._log_unexpected(error)
            self._show_at = self.clock.now().boottime + REBUILD_AFTER

    # Requests -----------------------------------------------------------------

    def _request(self, request: ShortRequest) -> None:
        workers = self._engine.workers
        pending = PendingCall(Call(deadline=request.deadline), stuck=workers.note_stuck)
        self._calls[request.request_id] = pending
        if not workers.submit(partial(self._make, request, pending)):
            error = LeaseApiError(
                f"{self._where()}: not sent: no thread is free for it. {NO_THREAD}",
                outcome="not done",
            )
            failed = m.RequestFailed(request_id=request.request_id, error=error)
            self._answer(pending, failed)

    def _make(self, request: ShortRequest, pending: PendingCall) -> None:
        """Make a request, on a worker."""
        assert self.client is not None
        if not pending.begin():
            return
        settings = self.settings
        try:
            answer = carry_out(
                self.client,
                settings.namespace,
                settings.lease_name,
                request,
                pending.call,
            )
        except Exception as error:  # noqa: BLE001 - fault 07: answered, logged, tried again
            self._log_unexpected(error)
            answer = failed_unexpectedly(request.request_id, error)
        if pending.finish():
            self._answer(pending, answer)

    def _watch(self, request: m.WatchLease) -> None:
        workers = self._engine.workers
        pending = PendingCall(Call(), stuck=workers.note_stuck_watch)
        self._calls[request.request_id] = pending
        if not workers.spawn(partial(self._follow, request, pending)):
            error = LeaseApiError(f"{self._where()}: not watched. {NO_THREAD}")
            ended = m.WatchEnded(request_id=request.request_id, error=error)
            self._answer(pending, ended)

    def _follow(self, request: m.WatchLease, pending: PendingCall) -> None:
        """Read a watch to its end, on a thread of its own."""
        assert self.client is not None
        if not pending.begin():
            return
        number = request.request_id

        def on_event(kind: str, lease: m.LeaseObject) -> None:
            self._ahead.acquire()
            event = m.WatchEvent(request_id=number, type=kind, object=lease)
            self._answer(pending, event)

        error: LeaseApiError | None
        try:
            error = self.client.watch(
                self.settings.namespace,
                self.settings.lease_name,
                request.resource_version,
                call=pending.call,
                on_event=on_event,
            )
        except Exception as unexpected:  # noqa: BLE001 - fault 07
            self._log_unexpected(unexpected)
            error = LeaseApiError(f"an unexpected error in a watch: {unexpected!r}")
            error.__cause__ = unexpected
        if pending.finish():
            self._answer(pending, m.WatchEnded(request_id=number, error=error))

    def _answer(self, pending: PendingCall, answer: m.Response) -> None:
        self._engine.post(self, Completed(pending, answer))

    def _abandon(self, number: int) -> None:
        pending = self._calls.pop(number, None)
        if pending is not None:
            pending.abandon()

    # What nobody foresaw ------------------------------------------------------

    def _fail(self, error: Exception, *, replace: bool) -> None:
        """Fault 07: end the term, say it, contend again with backoff."""
        self._log_unexpected(error)
        wrapped = LeaderElectionError(
            f"{self._where()}: unexpected error in the engine: {error!r}"
        )
        wrapped.__cause__ = error
        if replace:
            self._must_replace = wrapped
        if self._must_replace is not None:
            self._replace_core(self._must_replace)
            return
        try:
            self._core.receive(m.DriverFailed(error=wrapped), now=self.clock.now())
            self._drain()
            self._show()
            self._arm()
        except Exception as again:  # noqa: BLE001 - then the core is replaced
            self._log_unexpected(again)
            self._must_replace = wrapped
            self._replace_core(wrapped)

    def _say_again(self, message: m.Message | Completed | None) -> bool:
        """
        Repeat a word that may not have been heard: nobody else would.

        Not one that was taken down and failed twice: the core has trouble with it, and
        another core is told what was taken down.
        """
        if not isinstance(message, m.Command):
            return False
        if message is self._noted:
            if message is self._repeated:
                return False
            self._repeated = message
        self._unheard.appendleft(message)
        self._engine.post(self, None)
        return True

    def _replace_core(self, error: LeaderElectionError) -> None:
        # What may fail comes before anything is changed.
        now, shown = self.clock.now(), self._view.term_deadline
        # A term that was begun, and shown already, may not have been told.
        self._first_term = max(self._newest_term, shown.term if shown else 0)
        core = self._new_core()
        self._must_replace = None
        if self._rebuild_at is None:
            self._stay_out_until = self._core.stay_out_until or 0.0
        self._due = self._rebuild_at = now.boottime + REBUILD_AFTER
        self._core = core
        self._error = error
        for number in list(self._calls):
            self._abandon(number)
        self._orders.clear()
        self._orders.append(m.ErrorOccurred(**self.settings.origin, error=error))
        if self._open_term is not None:
            self._lost = (self._open_term.term, "failed")
            self._orders.append(
                m.LeadershipLost(
                    **self.settings.origin,
                    term=self._open_term.term,
                    token=self._open_term.token_if_any,
                    reason="failed",
                    detail=str(error),
                )
            )
        for _ in tuple(self._orders):
            try:
                self._drain()
            except Exception as again:  # noqa: BLE001 - each event has its own try
                self._log_unexpected(again)
        self._show()

    def _take_while_down(self, message: m.Message | None, now: Now) -> None:
        """Wait out the backoff with a new core, the work of the old term ending."""
        self._note(message)
        self._drain()  # events of the old core that could not be told yet
        match message:
            case m.StartAsked():
                self._stay_out_until = 0.0
            case m.WorkEnded(term=term):
                self._ended_work = term
            case m.StepDownAsked(stay_out=stay_out):
                seconds = stay_out
                if seconds is None:
                    seconds = self.settings.lease_duration
                self._stay_out_until = now.boottime + seconds
            case _:
                pass
        assert self._rebuild_at is not None
        if now.boottime < self._rebuild_at:
            return
        self._rebuild_at = now.boottime + REBUILD_AFTER  # should this fail as well
        if self._work_term is not None:
            return  # G4: no new term before the work of the old one ended
        core = self._new_core()
        if not self._alive:
            # Fault 08: what is stuck is so for the new core, too.
            core.receive(m.LivenessReported(alive=False), now=now)
        if self._started:
            core.receive(m.StartAsked(), now=now)
            left = self._stay_out_until - now.boottime
            if left > 0.0:
                core.receive(m.StepDownAsked(stay_out=left), now=now)
        self._core, self._rebuild_at = core, None
        self._drain()

    def _log_unexpected(self, error: Exception) -> None:
        import traceback  # noqa: PLC0415 - costs a megabyte that a healthy leader never needs

        text = "".join(traceback.format_exception(error))
        self._say_error(f"leader election of {self._where()} failed:\n{text}")

    def _say_error(self, text: str) -> None:
        # Fault 07: a log that raises is the application's, and no reason to stop.
        with contextlib.suppress(Exception):
            self._log.error("%s", text)

    def _where(self) -> str:
        return f"Lease {self.settings.namespace}/{self.settings.lease_name}"
