"""
The life of one elector, between the engine's thread and the application's.

:class:`Life` listens to the engine and knows the present term and what runs of it.
The electors for asyncio and for threads add nothing but ways to wait and to call
handlers.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from kubernetes_leader_election.chores import Timer, shared_chores, shared_log_lines
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import (
    CredentialsError,
    LeaderElectionError,
    LeadershipLostError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.exits import shared_exits
from kubernetes_leader_election.fork import this_process
from kubernetes_leader_election.leadership import BaseTerm, Role, token_if_any
from kubernetes_leader_election.leftovers import is_main_thread, threads_of
from kubernetes_leader_election.liveness import Probe
from kubernetes_leader_election.mailbox import Letter
from kubernetes_leader_election.outlook import Outlook, Present, TermT
from kubernetes_leader_election.overdue import AFTER_SIGNAL, EXPECTED, Overdue
from kubernetes_leader_election.settings import Settings
from kubernetes_leader_election.signals import shared_auto_close
from kubernetes_leader_election.telling import Courier, Teller
from kubernetes_leader_election.work import Hold, Home, Phase, TermWork

if TYPE_CHECKING:
    from kubernetes_leader_election.engine.view import View

_IN_TERM: Final = frozenset(
    {State.LEADER, State.DRAINING, State.FENCED, State.RELEASING}
)
LONGEST_RETRY: Final = 30.0
"""Seconds at most between two looks for credentials that cannot be read."""

TermOut = TypeVar("TermOut", bound=BaseTerm, covariant=True)


class MakeTerm(Protocol[TermOut]):
    """Makes the front's kind of term."""

    def __call__(
        self, life: Life[Any], /, *, number: int, fencing_token: int | None
    ) -> TermOut:
        """Make one."""
        ...


class Life(Outlook[TermT]):
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
        super().__init__(settings, credentials)
        self.probe: Probe | None = None
        self.overdue = Overdue(self)
        self.teller = Teller(
            settings=settings, log=log, namespace=lambda: self.namespace
        )
        self._make_term = make_term
        self._signalled_at: float | None = None
        self._exiting = False
        self._retry: Timer | None = None
        self._retries = 0

    # The life: any thread -----------------------------------------------------

    def begin(
        self, hire: Callable[[Courier | None], Courier], *, probe: Probe | None
    ) -> None:
        """
        Begin a life.

        Args:
            hire: gives who calls the handlers, given who did so in the last life.
            probe: asks whether the application is stuck.

        Raises:
            ProtocolMisuseError: it has begun already, or this is a child process.
            ConfigurationError: no namespace is known.

        """
        self.refuse_child()  # before anything is started there
        shared_chores().start()
        shared_log_lines().start()
        with self._lock:
            self.refuse_child()
            if self._started:
                raise ProtocolMisuseError(
                    f"{self.where}: start() was called, and the elector "
                    + (
                        "is still stopping: wait for stop() first."
                        if self._stopping
                        else "runs already."
                    )
                )
            self._process = this_process()
            self.teller.hire(hire)
            self.probe = probe
            # The number first: who waits for the end of the last life looks at any time.
            self._number += 1
            self._started, self._stopping, self._signalled_at = True, False, None
            self._retries = 0
            try:
                # Before anything else, as the Lease may be held a moment later: a
                # signal that came then would end the process and leave it held.
                shared_exits().watch(self)
                deaf = self.settings.auto_close and not shared_auto_close().watch(self)
                self._connect()
            except BaseException:
                self._started = False
                shared_exits().forget(self)
                shared_auto_close().forget(self)
                shared_auto_close().take_back()
                raise
        self.expect_letters()
        try:
            if deaf:
                _say_no_signals(self.teller.log)
            if probe is not None:
                probe.start()
        except BaseException:
            self.ask_to_stop()  # or it would go on without whoever sees start() fail
            raise

    def expect_letters(self) -> None:
        """Have whoever calls the handlers stand by, if this life has begun."""
        courier = self.teller.courier
        if courier is not None and self._started and not self.forked:
            courier.wake()

    def ask_to_stop(self) -> None:
        """Give up the term, if any, and end this life when its work has ended."""
        self._stopping = True
        self._give_up(m.StopAsked())

    def ask_to_step_down(self, stay_out: float | None) -> None:
        """Give up the term, if any, and stay out for a while."""
        self._give_up(m.StepDownAsked(stay_out=stay_out))

    def join(self, hold: Hold) -> Present[TermT] | None:
        """
        Enter the present term with this scope; None when there is none to enter yet.

        Raises:
            LeadershipLostError, NotLeaderError: see :meth:`refuse_waiting`.

        """
        present = self._present
        if present is not None and self.current_leader() and present.work.take(hold):
            return present
        self.refuse_waiting("leadership()")
        return None

    def leave(self, hold: Hold) -> bool:
        """End a scope; True if it was the last of a term that then ends."""
        if self.forked:
            return False
        last, number = hold.end(), hold.term
        if last and number is not None:
            self.end_term(number)
        return last

    def end_term(self, number: int) -> None:
        """Give the term up, as its last scope has ended."""
        self._given_up = max(self._given_up, number)
        self._post(m.EndAsked(term=number))
        self._ring()

    def take_hold(self, hold: Hold, number: int) -> TermWork:
        """Take a hold on the numbered term; see :class:`~.holding.Keeper`."""
        self.refuse_child()
        present = self._present
        if (
            present is not None
            and present.term.number == number
            and self.current_leader()
            and present.work.take(hold)
        ):
            return present.work
        reason = self.term_reason(number)
        raise LeadershipLostError(
            f"{self.where}: {hold.what}: term {number} is over "
            f"({reason or 'given up, or at its end'}), and no new work begins under it.",
            reason=reason,
            term=None if self.is_over(number) or present is None else present.term,
        )

    def end_hold(self, hold: Hold) -> None:
        """End a hold; see :class:`~.holding.Keeper`."""
        if not self.forked:
            hold.end()

    def wake_waiting(self) -> None:
        """Have everybody who waits for news look again."""
        self._ring()

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

    def close_home(self, courier: Courier, under_way: Letter | None = None) -> None:
        """
        Note that handlers can be called no more, and that what ran there has ended.

        Either the courier's event loop is closed, or there are no more threads.

        Args:
            courier: who would have called them; perhaps that of an earlier life.
            under_way: what was being delivered, and will not be.

        """
        vital = self.teller.dismiss(courier, under_way)
        self.overdue.drop_homeless()
        if vital:
            self._say_undelivered(courier.home)

    def _say_undelivered(self, home: Home | None) -> None:
        if home is None:
            self.teller.trouble(
                "events can be delivered no more, as no thread can be started while "
                "the interpreter exits. Call stop() before the program ends."
            )
            return
        end = "is closed" if home.is_closed() else "has stopped"
        self.teller.trouble(
            f"the event loop that called start() {end}, so handlers cannot be called "
            "any more. Call stop() before the loop ends."
        )

    # Signals and exit ---------------------------------------------------------

    @property
    def exiting(self) -> bool:
        """Whether the interpreter is exiting."""
        return self._exiting

    @property
    def signalled(self) -> bool:
        """Whether a signal ends, or has ended, this life."""
        return self._signalled_at is not None

    def on_signal(self) -> None:
        """Begin to stop because of a signal. The thread of the signals."""
        self._signalled_at = time.monotonic()
        self.teller.say("info", "%s: stopping because of a signal", self.where)
        self.ask_to_stop()

    def works_in_main_thread(self) -> bool:
        """Tell whether a scope runs in the main thread, outside any event loop."""
        present = self._present
        main = threading.main_thread().ident
        return present is not None and any(
            hold.is_work and hold.thread == main for hold in present.work.alive
        )

    def on_exit(self) -> bool:
        """Begin to stop because the interpreter exits; False if work still runs."""
        # What may run on after a signal has ended by now, as without one.
        self._exiting = True
        courier, home, present = self.teller.courier, self._home, self._present
        if courier is not None and home is not None and not home.is_running():
            vital = self.teller.dismiss(courier)
            self.teller.courier = None  # handlers can be called no more
            if vital:
                self._say_undelivered(home)
        if present is not None:
            present.work.drop_if(_has_ended_at_exit)
        self.ask_to_stop()
        return present is None or not any(h.is_work for h in present.work.alive)

    def threads_at_work(self) -> tuple[threading.Thread, ...]:
        """Return the threads that are no daemons and run work which holds the term."""
        present = self._present
        return () if present is None else threads_of(present.work.alive)

    def warn(self, text: str) -> None:
        """Log what people should know of the exit."""
        self.teller.say("warning", "%s: %s", self.where, text)

    def is_left_to_exit(self) -> bool:
        """
        Tell whether the main thread asks, and only what it left behind is still alive.

        It does not wait for that in ``stop()``: threads of a pool may only end at the
        exit of the interpreter, which that wait would put off for ever.
        """
        present = self._present
        if present is None or not is_main_thread():
            return False
        alive = present.work.alive
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
                case _:
                    self.teller.log_event(event)
                    self._deliver(event)
                    if isinstance(event, m.LeaseRenewed):
                        self.overdue.drop_homeless()
            self._ring()

    def on_view(self, view: View) -> None:
        """Take a view; see :class:`~.engine.Listener`."""
        self._seen_at = self._clock.now().wall
        present = self._present
        if (
            present is not None
            and present.work.phase is Phase.ENDED
            and view.state not in _IN_TERM
        ):
            self._present = present = None
        if view.state is State.STOPPED and self._stopping and present is None:
            self._end_life()
        self._take_role(self._role_of(view))
        self._ring()
        shared_auto_close().wake_main_thread()

    def _on_acquired(self, event: m.LeadershipAcquired) -> None:
        term = self._make_term(self, number=event.term, fencing_token=event.token)
        work = TermWork(event.term, ended=self._work_ended)
        self._present = Present(term, work)
        hold = None
        if self.teller.handlers.count(EVENTS.LEADERSHIP_ACQUIRED):
            hold = work.begin("a handler of leadership_acquired", home=self._home)
        try:
            self.teller.well_again()
            self.teller.say(
                "info",
                "%s: %s leads, fencing token %s",
                self.where,
                self.settings.identity,
                self._token_in_words(event.token),
            )
        finally:
            self._deliver(event, hold=hold)

    def _token_in_words(self, token: int | None) -> str:
        if token is not None:
            return str(token)
        if self.assumed:
            return "none (assumed)"
        return "none (the resourceVersions of this server are not numbers)"

    def _on_lost(self, event: m.LeadershipLost) -> None:
        present = self._present
        if present is None or present.term.number != event.term:
            # A loss only follows its acquisition: that is the engine's contract.
            self.teller.trouble(f"term {event.term} was lost, which never began")
            self._work_ended(event.term)
            return
        term, work = present
        term.end(event.reason)
        lost, wait = None, None
        if self.teller.handlers.count(EVENTS.LEADERSHIP_LOST):
            lost = work.hold_late("a handler of leadership_lost", home=self._home)
        if self._signalled_at is not None and not work.had_scope and not self.assumed:
            # Who uses events only may still be stopping what a handler began.
            wait = work.hold_late(AFTER_SIGNAL)
            left = self._signalled_at + self.stop_budget - time.monotonic()
            if self._exiting:
                left = 0.0
            shared_chores().call_later(max(0.0, left), wait.end)
        work.lose()
        self.overdue.drop_homeless()
        try:
            self.teller.say(
                "info" if event.reason in EXPECTED else "warning",
                "%s: %s leads no longer: %s%s",
                self.where,
                self.settings.identity,
                event.reason,
                f" ({event.detail})" if event.detail else "",
            )
        finally:
            self._deliver(event, hold=lost)  # it holds the term open until then
        if work.phase is not Phase.ENDED:
            self.overdue.expect_end(term)

    # Any thread: inside -------------------------------------------------------

    def _connect(self) -> None:
        """Find credentials and join the election; try again where they are unreadable."""
        self._retry = None
        if self._driver is None:
            try:
                credentials = self._find_credentials()
            except Exception as error:  # noqa: BLE001 - G8: told, and tried again
                self._connect_later(error)
                return
            self.assumed = credentials is None
            from kubernetes_leader_election.engine.driver import Driver  # noqa: PLC0415 - half of the import, needed by who starts only

            self._driver = Driver(
                settings=self.settings.election(
                    namespace=credentials.namespace if credentials else "default"
                ),
                credentials=credentials,
                listener=self,
                log=self.teller,
            )
        if self.assumed:
            self.teller.say(
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
        self._driver.post(m.StartAsked())
        if self._stopping:
            # Said by a signal handler in the middle of this, so perhaps too early.
            self._driver.post(m.StopAsked())

    def _find_credentials(self) -> Credentials | None:
        if self._credentials is not None:
            return self._credentials
        from kubernetes_leader_election.credentials import discover  # noqa: PLC0415 - tests replace it, a pod pays for what it uses

        return discover()

    def _connect_later(self, error: Exception) -> None:
        # First of all: whatever becomes of the report, the next try is due (G8).
        pause = min(LONGEST_RETRY, 2.0 ** min(self._retries, 10))
        self._retries += 1
        self._retry = shared_chores().call_later(pause, self._connect_again)
        self._take_role(Role.OBSERVER if self.settings.observe else Role.CANDIDATE)
        if not isinstance(error, LeaderElectionError):
            error = self._unforeseen(error)
        self._early_error = error
        self.report(error)

    def _unforeseen(self, error: Exception) -> CredentialsError:
        """Log where something failed that nobody foresaw; give the error to report."""
        # Of its kind only: the text may hold what was read, a token even (fault 50).
        kind = type(error).__name__
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.teller.trouble(f"looking for credentials raised {kind}", trace)
        return CredentialsError(
            f"{self.where}: looking for credentials raised {kind}, which nobody "
            "foresaw: see the log. It is tried again."
        )

    def _connect_again(self) -> None:
        with self._lock:
            if self._retry is None or self.stopping or self.forked:
                return
            try:
                self._connect()
            except Exception as error:  # noqa: BLE001 - G8: only stop() ends an elector
                self._connect_later(error)

    @property
    def _home(self) -> Home | None:
        """The event loop on which handlers run, where there is one."""
        courier = self.teller.courier
        return None if courier is None else courier.home

    def _give_up(self, word: m.Word) -> None:
        self.refuse_child()
        driver = self._driver
        if driver is None:
            with self._lock:
                if self._driver is None and self._stopping:
                    self._retry = None
                    self._end_life()
                    self._ring()
                    return
                driver = self._driver
        if driver is None:
            return  # nothing to step down from: no way to the API server yet
        belief = driver.view.belief
        if belief is not None:
            self._given_up = max(self._given_up, belief.term)
        driver.post(word)
        present = self._present
        if present is not None:
            present.work.settle_again()

    def _post(self, word: m.Word) -> None:
        if self._driver is not None and not self.forked:
            self._driver.post(word)

    def _work_ended(self, term: int) -> None:
        self._post(m.WorkEnded(term=term))

    def _end_life(self) -> None:
        if not self._started:
            return
        self._started = False
        if self.probe is not None:
            self.probe.stop()
        shared_auto_close().forget(self)
        shared_exits().forget(self)
        self._take_role(Role.STOPPED)
        if self.teller.courier is not None:
            self.teller.courier.wake()  # a thread that waits for letters may end

    def _take_role(self, role: Role) -> None:
        if role is not self._role:
            self._role, self._role_since = role, self._clock.now().wall

    def _role_of(self, view: View) -> Role:
        if not self._started:
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

    def _deliver(self, event: m.Event, *, hold: Hold | None = None) -> None:
        present = self._present
        token, work = (
            (None, None)
            if present is None
            else (
                token_if_any(present.term),
                present.work,
            )
        )
        try:
            self.teller.deliver(
                event, token=token, assumed=self.assumed, work=work, hold=hold
            )
        except BaseException:
            if hold is not None:
                hold.end()  # fault 07: nobody else would, and the Lease be kept for ever
            raise

    def report(self, error: LeaderElectionError) -> None:
        """Log an error and tell the handlers. Any thread."""
        event = m.ErrorOccurred(error=error)
        self.teller.log_event(event)
        self._deliver(event)
        self._ring()


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


def _has_ended_at_exit(hold: Hold) -> bool:
    idle = hold.home is not None and not hold.home.is_running()
    # Between the calls that enter and leave a scope, Ctrl-C ended the main thread. A
    # scope that it did enter and never left may still be that of other threads (G5).
    cut = not hold.may_work and hold.thread == threading.main_thread().ident
    return idle or cut or hold.what == AFTER_SIGNAL
