"""
The life of one elector: start, stop, step down. ``engine_listener`` takes the news.

:class:`Lifecycle` listens to the engine and knows the present term and what runs of it.
The electors for asyncio and for threads add but ways to wait and to call handlers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import (
    LeaderElectionError,
)
from kubernetes_leader_election.lifecycle.connect import (
    Connector,
    make_driver,
    refuse_no_cluster,
)
from kubernetes_leader_election.lifecycle.engine_listener import EngineListener
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.event_queue import QueuedEvent
from kubernetes_leader_election.lifecycle.leftover_threads import main_thread
from kubernetes_leader_election.lifecycle.life import role_outside
from kubernetes_leader_election.lifecycle.liveness_probe import Probe
from kubernetes_leader_election.lifecycle.notifier import Dispatcher, Notifier
from kubernetes_leader_election.lifecycle.optional_features import OptionalFeatures
from kubernetes_leader_election.lifecycle.overdue_work import (
    OverdueWork,
)
from kubernetes_leader_election.lifecycle.preconditions import (
    refuse_child,
    refuse_running,
)
from kubernetes_leader_election.lifecycle.shutdown import Shutdown
from kubernetes_leader_election.lifecycle.status import TermT
from kubernetes_leader_election.lifecycle.term_work import (
    WorkItem,
)
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import shared_timers
from kubernetes_leader_election.settings.options import Settings


class Lifecycle(EngineListener[TermT]):
    """
    Live one elector's life: between the engine's thread and the application's.

    Args:
        settings: checked settings.
        credentials: as given by the user; None: to be found when starting.
        log: the application's logger.
        kind_of_term: what the front calls a term.

    """

    def __init__(
        self,
        *,
        settings: Settings,
        credentials: Credentials | None,
        log: Any,
        kind_of_term: type[TermT],
    ) -> None:
        event_log = EventLog(log, where=lambda: self.where, about=lambda: self.about)
        connector = Connector(
            credentials, again=self._connect_again, event_log=event_log
        )
        super().__init__(settings, connector)
        self.probe = None
        self.event_log = event_log
        self.notifier = Notifier(event_log)
        self.optional_features = OptionalFeatures(self, event_log)
        self.overdue_work = OverdueWork(
            self,
            event_log,
            end_term=self.end_term,
            report=self.report,
            announce=self.optional_features.announce_overdue,
        )
        self.shutdown = Shutdown(self, self.notifier, stop=self.ask_to_stop)
        self.namespace_is_unsaid = False
        """Whether neither the program nor a variable named the namespace."""
        self._kind_of_term = kind_of_term
        self._last_view = None

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
            ConfigurationError: no namespace is known, eventlet has patched all, or there
                is no hard fence to be had.

        """
        refuse_child(self)  # before anything is started there
        native.refuse_eventlet()
        shared_timers().start()
        shared_log_thread().start()
        with self._lock:
            refuse_running(self)
            self._life.process = this_process()
            self._life.main_thread = main_thread()
            self.notifier.attach(attach)
            self.probe = probe
            # The number first: who waits for the end of the last life looks at any time.
            self._life.number += 1
            self._life.is_asked = self._life.may_run = self._life.has_looked = False
            self._life.started, self._life.stopping = True, False
            self.shutdown.begin()
            self._connector.begin()
            try:
                self.optional_features.begin_fence()
                # Before anything else, as the Lease may be held a moment later: a
                # signal that came then would end the process and leave it held.
                hears_signals = self.shutdown.watch()
                self._connect()
            except BaseException:
                if self._life.may_run:
                    # An exception of a signal comes anywhere. It ends as any life does:
                    # until then the exit waits, or the Lease might be left held.
                    self.ask_to_stop()
                    raise
                self._life.started = False
                self.optional_features.end_fence()
                self.optional_features.end_announcing()
                self.shutdown.unwatch()
                shared_auto_close().take_back()
                raise
            if not self._life.started:
                self.shutdown.unwatch()  # it has ended, perhaps before it was watched
        try:
            self.expect_events()
            if not hears_signals:
                self.shutdown.warn_of_no_signals()
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

    def stop_called(self) -> None:
        """Stop, as the application says; see :meth:`ask_to_stop`."""
        self.shutdown.on_stop_called()
        self.ask_to_stop()

    def ask_to_stop(self) -> None:
        """Give up the term, if any, and end this life when its work has ended."""
        self._life.stopping = True
        self._give_up(m.StopAsked())

    def ask_to_step_down(self, stay_out: float | None) -> None:
        """Give up the term, if any, and stay out for a while."""
        self._give_up(m.StepDownAsked(stay_out=stay_out))

    def leave(self, hold: WorkItem) -> bool:
        """End a scope; True if it was the last of a term that then ends."""
        if self.forked:
            return False
        last, number = hold.end(), hold.term
        if last and number is not None:
            self.end_term(number)
        return last

    def end_term(self, number: int, detail: str = "") -> None:
        """Give the term up, as its work has ended; ``detail`` says how, for people."""
        self._end_term(m.EndAsked(term=number, detail=detail))

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
        self.waiters.wake()

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
        self.notifier.detach(dispatcher, under_way)
        self.overdue_work.drop_work_of_closed_loops()

    # Any thread: inside -------------------------------------------------------

    def _connect(self) -> None:
        """Find credentials and join the election; try again where they are unreadable."""
        try:
            found = self._connector.find()
        except Exception as error:  # noqa: BLE001 - G8: told, and tried again
            self._connect_later(error)
            return
        self._join(found)

    def _join(self, credentials: Credentials | None) -> None:
        """Take part in the election from now on."""
        driver = self._driver
        if driver is None or driver.credentials is not credentials:
            # Looked for at each start: a later life may be in another environment.
            refuse_no_cluster(self.settings, credentials, where=self.where)
            self.assumed = credentials is None
            self._driver = driver = make_driver(
                self.settings,
                credentials,
                listener=self,
                event_log=self.event_log,
                terms=0 if driver is None else driver.terms,
            )
        if self.assumed:
            self.event_log.assumed()
        elif self.namespace_is_unsaid:
            self.event_log.unsaid_namespace(self.settings.namespace or "")
        self._shown.take(role_outside(observe=self.settings.observe))
        if self.probe is not None:
            # A new probe takes it that all is well; so must an election that heard
            # otherwise in an earlier life.
            driver.post(m.LivenessReported(alive=True))
        self.optional_features.leave_note(driver)
        self.optional_features.begin_to_announce(credentials)
        from kubernetes_leader_election.engine.desired import Start  # noqa: PLC0415 - half of the import, needed by who starts only

        self._life.may_run = True
        driver.post(Start(life=self._life.number))
        # Not before: a signal handler that stops it there waits for its end.
        self._life.is_asked = True
        if self._life.stopping:
            # Said by a signal handler in the middle of this, so perhaps too early.
            driver.post(m.StopAsked())

    def _connect_later(self, error: Exception) -> None:
        error = self._connector.failed(error, where=self.where)
        self._shown.take(role_outside(observe=self.settings.observe))
        self.report(error)

    def _connect_again(self) -> None:
        with self._lock:
            if not self._connector.awaits_retry or self.stopping or self.forked:
                return
            self._connector.give_up()  # this is it
            number, found, failure = self._life.number, None, None
        try:
            # Without the lock: it may take long, and stop() waits for nothing but work.
            found = self._connector.find()
        except Exception as error:  # noqa: BLE001 - G8: told, and tried again
            failure = error
        with self._lock:
            if self.has_ended(number) or self._life.stopping:
                return
            try:
                if failure is not None:
                    raise failure
                self._join(found)
            except Exception as error:  # noqa: BLE001 - G8: only stop() ends an elector
                self._connect_later(error)

    def _give_up(self, word: m.Command) -> None:
        refuse_child(self)
        driver = self._driver
        if driver is None:
            with self._lock:
                if self._driver is None and self._life.stopping:
                    self._connector.give_up()
                    self._end_life()
                    self.waiters.wake()
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
