"""
Start, stop, step down, and what news of the engine changes: the life of one elector.

:class:`Lifecycle` listens to the engine and knows the present term and what runs of it.
The electors for asyncio and for threads add nothing but ways to wait and to call
handlers.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, assert_never

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import (
    CredentialsError,
    LeaderElectionError,
    LeadershipLostError,
    NotLeaderError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.events import EVENTS, REASONS
from kubernetes_leader_election.leadership import Role
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.connect import Connector
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.event_queue import QueuedEvent
from kubernetes_leader_election.lifecycle.leftover_threads import (
    is_main_thread,
    threads_of,
)
from kubernetes_leader_election.lifecycle.liveness_probe import Probe
from kubernetes_leader_election.lifecycle.notifier import Dispatcher, Notifier
from kubernetes_leader_election.lifecycle.overdue_work import (
    AFTER_SIGNAL,
    OverdueWork,
)
from kubernetes_leader_election.lifecycle.status import CurrentTerm, Status, TermT
from kubernetes_leader_election.lifecycle.term_work import (
    EventLoop,
    Phase,
    TermWork,
    WorkItem,
)
from kubernetes_leader_election.process.exit import shared_exit
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import shared_timers
from kubernetes_leader_election.settings.options import Settings

if TYPE_CHECKING:
    from kubernetes_leader_election.engine.view import View

_IN_TERM: Final = frozenset(
    {State.LEADER, State.DRAINING, State.FENCED, State.RELEASING}
)

TermOut = TypeVar("TermOut", bound=BaseTerm, covariant=True)


class MakeTerm(Protocol[TermOut]):
    """Makes the front's kind of term."""

    def __call__(
        self, lifecycle: Lifecycle[Any], /, *, number: int, fencing_token: int | None
    ) -> TermOut:
        """Make one."""
        ...


class Lifecycle(Status[TermT]):
    """
    Live one elector's life: between the engine's thread and the application's.

    Args:
        settings: checked settings.
        credentials: as given by the user; None: to be found when starting.
        log: the application's logger.
        make_term: makes the front's kind of term.

    """

    def __init__(
        self,
        *,
        settings: Settings,
        credentials: Credentials | None,
        log: Any,
        make_term: MakeTerm[TermT],
    ) -> None:
        super().__init__(settings, Connector(credentials, again=self._connect_again))
        self.probe: Probe | None = None
        """Asks whether the application is stuck; None: nobody does. By ``begin``."""
        self.overdue_work = OverdueWork(self)
        """Looks after work that goes on though its term is over."""
        self.event_log = EventLog(log, where=lambda: self.where)
        """Writes what people read."""
        self.notifier = Notifier(self.event_log)
        """Sends events to the handlers."""
        self._make_term = make_term
        """Makes the front's kind of term."""

    # The life: any thread -----------------------------------------------------

    def begin(
        self, attach: Callable[[Dispatcher | None], Dispatcher], *, probe: Probe | None
    ) -> None:
        """
        Begin a life.

        Args:
            attach: gives who calls the handlers, given who did so in the last life.
            probe: asks whether the application is stuck.

        Raises:
            ProtocolMisuseError: it has begun already, or this is a child process.
            ConfigurationError: no namespace is known.

        """
        self.refuse_child()  # before anything is started there
        shared_timers().start()
        shared_log_thread().start()
        with self._lock:
            self.refuse_child()
            if self._life.started:
                raise ProtocolMisuseError(
                    f"{self.where}: start() was called, and the elector "
                    + (
                        "is still stopping: wait for stop() first."
                        if self._life.stopping
                        else "runs already."
                    )
                )
            self._life.process = this_process()
            self.notifier.attach(attach)
            self.probe = probe
            # The number first: who waits for the end of the last life looks at any time.
            self._life.number += 1
            self._life.is_asked = False
            self._life.started, self._life.stopping = True, False
            self._life.signalled_at = None
            self._connector.begin()
            try:
                # Before anything else, as the Lease may be held a moment later: a
                # signal that came then would end the process and leave it held.
                shared_exit().watch(self)
                deaf = self.settings.auto_close and not shared_auto_close().watch(self)
                self._connect()
            except BaseException:
                self._life.started = False
                self._unwatch()
                shared_auto_close().take_back()
                # Perhaps it runs already: an exception of a signal comes anywhere.
                self._post(m.StopAsked())
                raise
            if not self._life.started:
                self._unwatch()  # it has ended, perhaps before it was watched
        try:
            self.expect_events()
            if deaf:
                _say_no_signals(self.event_log.logger)
            if probe is not None:
                probe.start()
        except BaseException:
            self.ask_to_stop()  # or it would go on without whoever sees start() fail
            raise

    def expect_events(self) -> None:
        """Have whoever calls the handlers stand by, if this life has begun."""
        dispatcher = self.notifier.dispatcher
        if dispatcher is not None and self._life.started and not self.forked:
            dispatcher.wake()

    def ask_to_stop(self) -> None:
        """Give up the term, if any, and end this life when its work has ended."""
        self._life.stopping = True
        self._give_up(m.StopAsked())

    def ask_to_step_down(self, stay_out: float | None) -> None:
        """Give up the term, if any, and stay out for a while."""
        self._give_up(m.StepDownAsked(stay_out=stay_out))

    def join(self, hold: WorkItem) -> CurrentTerm[TermT] | None:
        """
        Enter the present term with this scope; None when there is none to enter yet.

        Raises:
            LeadershipLostError, NotLeaderError: see :meth:`refuse_waiting`.

        """
        current = self._take(hold)
        if current is None:
            self.refuse_waiting("leadership()")
        return current

    def _take(self, hold: WorkItem) -> CurrentTerm[TermT] | None:
        """Take a hold on the present term if this elector leads."""
        current = self._current
        if current is not None and self.current_leader() and current.work.take(hold):
            return current
        return None

    def leave(self, hold: WorkItem) -> bool:
        """End a scope; True if it was the last of a term that then ends."""
        if self.forked:
            return False
        last, number = hold.end(), hold.term
        if last and number is not None:
            self.end_term(number)
        return last

    def end_term(self, number: int) -> None:
        """Give the term up, as its last scope has ended."""
        self._end_term(m.EndAsked(term=number))

    def end_for_good(self, number: int) -> None:
        """Give the term up as its work is done, and stop: no other term begins here."""
        self.end_term(number)
        self.ask_to_stop()

    def fail_term(self, number: int, *, detail: str, stay_out: float) -> None:
        """
        Give the term up as its work has failed.

        Args:
            number: of the term.
            detail: what went wrong, for people.
            stay_out: seconds not to contend, whoever leads meanwhile.

        """
        failure = m.WorkFailure(stay_out=stay_out, detail=detail)
        self._end_term(m.EndAsked(term=number, failure=failure))

    def _end_term(self, word: m.EndAsked) -> None:
        self._given_up = max(self._given_up, word.term)
        self._post(word)
        self._wake_waiters()

    def take_hold(self, hold: WorkItem, number: int) -> TermWork:
        """Take a hold on the numbered term; see :class:`~.held_work.WorkOwner`."""
        self.refuse_child()
        current = self._current
        if (
            current is not None
            and current.term.number == number
            and self.current_leader()
            and current.work.take(hold)
        ):
            return current.work
        reason = self.term_reason(number)
        raise LeadershipLostError(
            f"{self.where}: {hold.what}: term {number} is over "
            f"({REASONS[reason] if reason else 'given up, or at its end'}), and no new work begins under it.",
            reason=reason,
            term=None if self.is_over(number) or current is None else current.term,
        )

    def take_guard(self, hold: WorkItem) -> CurrentTerm[TermT]:
        """
        Take a hold on the present term, for work that is not to wait for one.

        Raises:
            NotLeaderError: this elector does not lead.
            ProtocolMisuseError: a child process; never started; or it never leads.

        """
        if self._life.number == 0 or self.settings.observe:
            self.refuse_unstarted("guard()", to_lead=True)
        self.refuse_child()
        taken = self._take(hold)
        if taken is not None:
            return taken
        current = self._current
        raise NotLeaderError(
            f"{self.where}: {hold.what}: this elector does not lead.",
            term=None if current is None else current.term,
        )

    def end_hold(self, hold: WorkItem) -> None:
        """End a hold; see :class:`~.held_work.WorkOwner`."""
        if not self.forked:
            hold.end()

    def wake_waiting(self) -> None:
        """Have everybody who waits for news look again."""
        self._wake_waiters()

    def report_liveness(self, alive: bool) -> None:  # noqa: FBT001 - a callback's only argument
        """Tell the election whether the application is stuck."""
        if not alive:
            self.report(
                LeaderElectionError(
                    f"{self.where}: the application has shown no sign of life for "
                    f"{self.settings.liveness_timeout_sec:g} s: the Lease is neither "
                    "renewed nor sought until it does."
                )
            )
        self._post(m.LivenessReported(alive=alive))

    def report_fitness(self, *, fit: bool) -> None:
        """Contend, or do not; who leads ends the term first, or its renewals stop."""
        self._post(m.LivenessReported(alive=fit))

    def cannot_deliver(
        self, dispatcher: Dispatcher, under_way: QueuedEvent | None = None
    ) -> None:
        """
        Note that handlers can be called no more, and that what ran there has ended.

        Either the dispatcher's event loop is closed, or there are no more threads.

        Args:
            dispatcher: who would have called them; perhaps that of an earlier life.
            under_way: what was being delivered, and will not be.

        """
        vital = self.notifier.detach(dispatcher, under_way)
        self.overdue_work.drop_work_of_closed_loops()
        if vital:
            self._say_undelivered(dispatcher.loop)

    def _say_undelivered(self, loop: EventLoop | None) -> None:
        if loop is None:
            self.event_log.trouble(
                "events can no longer be delivered: no thread can be started while "
                "the interpreter exits. Call stop() before the program ends."
            )
            return
        end = "is closed" if loop.is_closed() else "has stopped"
        self.event_log.trouble(
            f"the event loop that called start() {end}, so handlers can no longer be called. "
            "Call stop() before the loop ends."
        )

    # Signals and exit ---------------------------------------------------------

    @property
    def exiting(self) -> bool:
        """Whether the interpreter is exiting."""
        return self._life.exiting

    @property
    def signalled(self) -> bool:
        """Whether a signal ends, or has ended, this life."""
        return self._life.signalled_at is not None

    def on_signal(self) -> None:
        """Begin to stop because of a signal. The thread of the signals."""
        self._life.signalled_at = time.monotonic()
        self.event_log.say("info", "%s: stopping because of a signal", self.where)
        self.ask_to_stop()

    def works_in_main_thread(self) -> bool:
        """Return whether a scope runs in the main thread, outside any event loop."""
        current = self._current
        main = threading.main_thread().ident
        return current is not None and any(
            hold.is_work and hold.thread == main for hold in current.work.alive
        )

    def on_exit(self) -> bool:
        """Begin to stop because the interpreter exits; False if work still runs."""
        # What may run on after a signal has ended by now, as without one.
        self._life.exiting = True
        dispatcher, loop, current = self.notifier.dispatcher, self._loop, self._current
        if dispatcher is not None and loop is not None and not loop.is_running():
            vital = self.notifier.detach(dispatcher)
            self.notifier.dispatcher = None  # handlers can be called no more
            if vital:
                self._say_undelivered(loop)
        if current is not None:
            current.work.drop_if(_has_ended_at_exit)
        self.ask_to_stop()
        return current is None or not any(h.is_work for h in current.work.alive)

    def threads_at_work(self) -> tuple[threading.Thread, ...]:
        """Return the threads that are no daemons and run work which holds the term."""
        current = self._current
        return () if current is None else threads_of(current.work.alive)

    def warn(self, text: str) -> None:
        """Log what people should know of the exit."""
        self.event_log.say("warning", "%s: %s", self.where, text)

    def is_left_to_exit(self) -> bool:
        """
        Return whether the main thread asks, and only what it left behind is still alive.

        It does not wait for that in ``stop()``: threads of a pool may only end at the
        exit of the interpreter, which that wait would put off for ever.
        """
        current = self._current
        if current is None or not is_main_thread():
            return False
        alive = current.work.alive
        return bool(alive) and all(hold.left is not None for hold in alive)

    # The engine's thread ------------------------------------------------------

    def on_event(self, event: m.Event, view: View) -> None:
        """Take an event; see :class:`~.engine.Listener`."""
        try:
            # Before anybody who waits for the event can ask for the state.
            self._take_role(self._role_of(view))
        finally:
            match event:
                case m.LeadershipAcquired():
                    self._on_acquired(event)
                case m.LeadershipLost():
                    self._on_lost(event)
                case m.LeaseRenewed():
                    self.event_log.renewed()
                    self._deliver(event)
                    self.overdue_work.drop_work_of_closed_loops()
                case m.LeaderChanged():
                    self.event_log.leader_changed(event.holder_identity)
                    self._deliver(event)
                case m.ErrorOccurred():
                    self.event_log.failed(event.error)
                    self._deliver(event)
                case _:  # pragma: no cover
                    assert_never(event)
            self._wake_waiters()

    def on_view(self, view: View) -> None:
        """Take a view; see :class:`~.engine.Listener`."""
        self._shown.seen_at = self._shown.clock.now().wall
        current = self._current
        if (
            current is not None
            and current.work.phase is Phase.ENDED
            and view.state not in _IN_TERM
        ):
            self._current = current = None
        if view.state is State.STOPPED and current is None and self._is_over(view):
            self._end_life()
        self._take_role(self._role_of(view))
        self._wake_waiters()
        shared_auto_close().wake_main_thread()

    def _on_acquired(self, event: m.LeadershipAcquired) -> None:
        term = self._make_term(
            self, number=event.term, fencing_token=event.token_if_any
        )
        work = TermWork(event.term, ended=self._work_ended)
        self._current = CurrentTerm(term, work)
        hold = None
        if self.notifier.handlers.count(EVENTS.LEADERSHIP_ACQUIRED):
            hold = work.begin("a handler of leadership_acquired", loop=self._loop)
        try:
            self.event_log.acquired(event.identity, _token_in_words(event))
        finally:
            self._deliver(event, hold=hold)

    def _on_lost(self, event: m.LeadershipLost) -> None:
        current = self._current
        if current is None or current.term.number != event.term:
            # A loss only follows its acquisition: that is the engine's contract.
            self.event_log.trouble(f"term {event.term} was lost, which never began")
            self._work_ended(event.term)
            return
        term, work = current
        term.end(event.reason)
        lost, wait = None, None
        if self.notifier.handlers.count(EVENTS.LEADERSHIP_LOST):
            lost = work.hold_late("a handler of leadership_lost", loop=self._loop)
        if (
            self._life.signalled_at is not None
            and not work.had_scope
            and not self.assumed
        ):
            # Who uses events only may still be stopping what a handler began.
            wait = work.hold_late(AFTER_SIGNAL)
            left = self._life.signalled_at + self.stop_budget - time.monotonic()
            if self._life.exiting:
                left = 0.0
            shared_timers().call_later(max(0.0, left), wait.end)
        work.lose()
        self.overdue_work.drop_work_of_closed_loops()
        try:
            self.event_log.lost(self.settings.identity, event.reason, event.detail)
        finally:
            self._deliver(event, hold=lost)  # it holds the term open until then
        if work.phase is not Phase.ENDED:
            self.overdue_work.expect_end(term)

    # Any thread: inside -------------------------------------------------------

    def _connect(self) -> None:
        """Find credentials and join the election; try again where they are unreadable."""
        if self._driver is None:
            try:
                credentials = self._connector.find()
            except Exception as error:  # noqa: BLE001 - G8: told, and tried again
                self._connect_later(error)
                return
            if credentials is None and self.settings.require_cluster:
                raise CredentialsError(
                    f"{self.where}: this is no cluster (no KUBERNETES_SERVICE_HOST, no "
                    "service account is mounted), and require_cluster=True was given. "
                    "Give credentials=, as kubernetes_leader_election.credentials."
                    "kubeconfig(), or leave require_cluster out: leadership is then "
                    "assumed."
                )
            self.assumed = credentials is None
            from kubernetes_leader_election.engine.driver import Driver  # noqa: PLC0415 - half of the import, needed by who starts only

            self._driver = Driver(
                settings=self.settings.election(
                    namespace=credentials.namespace if credentials else "default"
                ),
                credentials=credentials,
                listener=self,
                log=self.event_log,
            )
        if self.assumed:
            self.event_log.say(
                "info",
                "%s: this program does not run in a cluster and was given no "
                "credentials: leadership is assumed, no API is called",
                self.where,
            )
        self._take_role(Role.OBSERVER if self.settings.observe else Role.CANDIDATE)
        if self.probe is not None:
            # A new probe takes it that all is well; so must an election that heard
            # otherwise in an earlier life.
            self._driver.post(m.LivenessReported(alive=True))
        from kubernetes_leader_election.engine.desired import Start  # noqa: PLC0415 - as above

        self._driver.post(Start(life=self._life.number))
        # Not before: a signal handler that stops it there waits for its end.
        self._life.is_asked = True
        if self._life.stopping:
            # Said by a signal handler in the middle of this, so perhaps too early.
            self._driver.post(m.StopAsked())

    def _connect_later(self, error: Exception) -> None:
        # First of all: whatever becomes of the report, the next try is due (G8).
        self._connector.try_later()
        self._take_role(Role.OBSERVER if self.settings.observe else Role.CANDIDATE)
        if not isinstance(error, LeaderElectionError):
            error = self._unforeseen(error)
        self._connector.error = error
        self.report(error)

    def _unforeseen(self, error: Exception) -> CredentialsError:
        """Log where loading credentials failed unexpectedly; return the error to report."""
        # Of its kind only: the text may hold what was read, a token even (fault 50).
        kind = type(error).__name__
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.event_log.trouble(f"loading credentials raised {kind}", trace)
        return CredentialsError(
            f"{self.where}: unexpected {kind} while loading credentials; retrying. "
            "See the log."
        )

    def _connect_again(self) -> None:
        with self._lock:
            if not self._connector.awaits_retry or self.stopping or self.forked:
                return
            try:
                self._connect()
            except Exception as error:  # noqa: BLE001 - G8: only stop() ends an elector
                self._connect_later(error)

    @property
    def _loop(self) -> EventLoop | None:
        """The event loop on which handlers run, where there is one."""
        dispatcher = self.notifier.dispatcher
        return None if dispatcher is None else dispatcher.loop

    def _give_up(self, word: m.Command) -> None:
        self.refuse_child()
        driver = self._driver
        if driver is None:
            with self._lock:
                if self._driver is None and self._life.stopping:
                    self._connector.give_up()
                    self._end_life()
                    self._wake_waiters()
                    return
                driver = self._driver
        if driver is None:
            return  # nothing to step down from: no way to the API server yet
        belief = driver.view.belief
        if belief is not None:
            self._given_up = max(self._given_up, belief.term)
        driver.post(word)
        current = self._current
        if current is not None:
            current.work.report_end_again()

    def _post(self, word: m.Command) -> None:
        if self._driver is not None and not self.forked:
            self._driver.post(word)

    def _work_ended(self, term: int) -> None:
        self._post(m.WorkEnded(term=term))

    def _is_over(self, view: View) -> bool:
        """Return whether this life is over, of which the engine shows itself stopped."""
        if not self._life.is_asked:
            return self._life.stopping  # before the engine was asked to begin it
        # Not an earlier one; and whoever said so: also a stop that came late.
        return view.life >= self._life.number and not view.running

    def _end_life(self) -> None:
        if not self._life.started:
            return
        self._life.started = False
        if self.probe is not None:
            self.probe.stop()
        self._unwatch()
        self._take_role(Role.STOPPED)
        if self.notifier.dispatcher is not None:
            self.notifier.dispatcher.wake()  # a thread that waits for events may end

    def _unwatch(self) -> None:
        shared_auto_close().forget(self)
        shared_exit().forget(self)

    def _take_role(self, role: Role) -> None:
        self._shown.take(role)

    def _role_of(self, view: View) -> Role:
        if not self._life.started:
            return Role.STOPPED
        match view.state:
            case State.LEADER:
                return Role.LEADER
            case State.DRAINING | State.FENCED | State.RELEASING:
                return Role.DRAINING
            case State.STANDING_BY if not self.settings.observe:
                return Role.STANDING_BY
            case _:
                return Role.OBSERVER if self.settings.observe else Role.CANDIDATE

    def _deliver(self, event: m.Event, *, hold: WorkItem | None = None) -> None:
        current = self._current
        work = None if current is None else current.work
        try:
            self.notifier.deliver(event, work=work, hold=hold)
        except BaseException:
            if hold is not None:
                hold.end()  # fault 07: nobody else would, and the Lease be kept for ever
            raise

    def report(self, error: LeaderElectionError) -> None:
        """Log an error and tell the handlers. Any thread."""
        self.event_log.failed(error)
        self._deliver(
            m.ErrorOccurred(
                lease=self.settings.lease_name,
                namespace=self.namespace or "",
                identity=self.settings.identity,
                error=error,
            )
        )
        self._wake_waiters()


def _token_in_words(event: m.LeadershipAcquired) -> str:
    if event.token_if_any is not None:
        return str(event.token_if_any)
    if event.assumed:
        return "none (assumed)"
    return "none (the resourceVersions of this server are not numbers)"


_said_no_signals = False


def _say_no_signals(log: Any) -> None:
    """Say once a process that ``auto_close`` can do nothing here."""
    global _said_no_signals
    if not _said_no_signals:
        _said_no_signals = True
        log.warning(
            "auto_close has no effect: only the main thread can catch signals, and no "
            "elector was started there. Call stop() when the program is to end, or "
            "pass auto_close=False."
        )


def _has_ended_at_exit(hold: WorkItem) -> bool:
    idle = hold.loop is not None and not hold.loop.is_running()
    # Between the calls that enter and leave a scope, Ctrl-C ended the main thread. A
    # scope that it did enter and never left may still be that of other threads (G5).
    cut = not hold.may_work and hold.thread == threading.main_thread().ident
    return idle or cut or hold.what == AFTER_SIGNAL
