"""
The life of one elector, between the engine's thread and the application's.

:class:`Life` listens to the engine and knows the present term and what runs of it.
The electors for asyncio and for threads add nothing but ways to wait and to call
handlers.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from kubernetes_leader_election.chores import Timer, shared_chores
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.engine import Driver, SystemClock, View
from kubernetes_leader_election.errors import (
    CredentialsError,
    LeaderElectionError,
    NotLeaderError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.events import (
    EVENTS,
    ElectorEvent,
    Handler,
    Handlers,
    payload,
)
from kubernetes_leader_election.exits import shared_exits
from kubernetes_leader_election.leadership import BaseTerm, ElectorState, Role
from kubernetes_leader_election.liveness import Probe
from kubernetes_leader_election.mailbox import ROOM, Letter, Mailbox
from kubernetes_leader_election.settings import Settings
from kubernetes_leader_election.signals import shared_auto_close
from kubernetes_leader_election.work import (
    Hold,
    Home,
    Phase,
    Place,
    TermWork,
    place_inside,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IN_TERM: Final = frozenset(
    {State.LEADER, State.DRAINING, State.FENCED, State.RELEASING}
)
_HELD_BY_OTHERS: Final = frozenset({State.WAITING, State.STANDING_BY})
_EXPECTED: Final = frozenset({"stopped", "stepped_down", "work_ended"})
"""Reasons of a loss that was asked for."""

AFTER_SIGNAL: Final = "the stop budget after a signal"
"""A hold that is a wait, not work."""
LONGEST_SILENCE: Final = 60.0
"""Seconds at most between two reports of work that does not end."""
LONGEST_RETRY: Final = 30.0
"""Seconds at most between two looks for credentials that cannot be read."""


TermT = TypeVar("TermT", bound=BaseTerm)
TermOut = TypeVar("TermOut", bound=BaseTerm, covariant=True)


class Courier(Protocol):
    """Who calls the handlers, in the order of the letters."""

    @property
    def home(self) -> Home | None:
        """The event loop on which handlers run, where there is one."""
        ...

    def wake(self) -> None:
        """Say that there are letters. Any thread; never blocks, never raises."""
        ...


class MakeTerm(Protocol[TermOut]):
    """Makes the front's kind of term."""

    def __call__(
        self, life: Life[Any], /, *, number: int, fencing_token: int | None
    ) -> TermOut:
        """Make one."""
        ...


class Present(NamedTuple, Generic[TermT]):
    """The term in progress and what runs of it, replaced together."""

    term: TermT
    work: TermWork


class Life(Generic[TermT]):
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
        self.settings = settings
        self.handlers = Handlers()
        self.mailbox = Mailbox()
        self.log = log
        self.assumed = False
        self.probe: Probe | None = None
        self._credentials = credentials
        self._make_term = make_term
        self._driver: Driver | None = None
        self._clock = SystemClock()
        self._courier: Courier | None = None
        self._pid: int | None = None
        self._started = False
        self._stopping = False
        self._signalled_at: float | None = None
        self._said_full = False
        self._lock = threading.RLock()
        self._present: Present[TermT] | None = None
        self._given_up = 0
        self._bells: tuple[Callable[[], object], ...] = ()
        self._logged_error = ""
        self._retry: Timer | None = None
        self._retries = 0
        self._early_error: LeaderElectionError | None = None
        now = self._clock.now().wall
        self._role, self._role_since, self._seen_at = Role.STOPPED, now, now

    # Asking: any thread -------------------------------------------------------

    @property
    def namespace(self) -> str | None:
        """The namespace, as far as it is known."""
        if self._driver is not None:
            return self._driver.settings.namespace
        if self.settings.namespace is None and self._credentials is not None:
            return self._credentials.namespace
        return self.settings.namespace

    @property
    def where(self) -> str:
        """The Lease in words, for messages."""
        return f"Lease {self.namespace or '?'}/{self.settings.lease_name}"

    @property
    def stop_budget(self) -> float:
        """Seconds that work may need to stop."""
        return self.settings.stop_budget_sec

    @property
    def running(self) -> bool:
        """Whether this life has begun and not ended yet."""
        return self._started

    @property
    def stopping(self) -> bool:
        """Whether this life is to end, or has."""
        return self._stopping or not self._started

    @property
    def forked(self) -> bool:
        """Whether this is the copy that a child process inherited."""
        return self._pid is not None and os.getpid() != self._pid

    @property
    def present(self) -> Present[TermT] | None:
        """The term in progress, until it is released or forgotten."""
        return self._present

    def current_leader(self) -> bool:
        """Tell whether this process leads now, by the clock and the pid (rule 15)."""
        driver = self._driver
        if driver is None or not driver.current_leader():
            return False
        belief = driver.view.belief
        return belief is not None and belief.term > self._given_up

    def remaining(self) -> float:
        """Give the seconds provably left of the present term; 0.0 without one."""
        return 0.0 if self._driver is None else self._driver.remaining()

    def term_remaining(self, number: int) -> float:
        """Give the same for the numbered term: 0.0 when it is over."""
        return 0.0 if self._driver is None else self._driver.term_remaining(number)

    def leader_identity(self) -> str | None:
        """Give the holder of the Lease as last seen."""
        if self.assumed and self.current_leader():
            return self.settings.identity
        snapshot = None if self._driver is None else self._driver.view.snapshot
        return (snapshot.record.holder_identity or None) if snapshot else None

    def leading(self, call: str) -> TermT | None:
        """Give the present term if this elector leads; for those who wait."""
        present = self._present
        if present is not None and self.current_leader():
            return present.term
        self.refuse_waiting(call)
        return None

    def leader(self, call: str) -> str | None:
        """Give the leader, if this elector leads or sees that another one does."""
        if self.current_leader():
            return self.settings.identity
        driver = self._driver
        if driver is not None:
            view = driver.view
            if view.state in _HELD_BY_OTHERS and (view.expires_in or 0.0) > 0.0:
                return self.leader_identity()
        if self.stopping:
            raise NotLeaderError(f"{self.where}: {call}: the elector was stopped.")
        return None

    def last_error(self) -> LeaderElectionError | None:
        """Give the newest error, if there was one."""
        error = None if self._driver is None else self._driver.view.last_error
        return error or self._early_error

    def state(self) -> ElectorState:
        """Give the state at this instant."""
        role, since = self._role, self._role_since
        if role is Role.LEADER and not self.current_leader():
            role = Role.DRAINING
        deadline: float | None = None
        transitions = None
        if self._driver is not None and not self.forked:
            view = self._driver.view
            if view.term_deadline is not None:
                deadline = view.term_deadline.wall_deadline
            elif view.expires_in is not None:
                deadline = self._seen_at + view.expires_in * 1e6
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

    def fresh_state(self, seen: ElectorState | None) -> ElectorState | None:
        """Give the state if it differs from ``seen`` in more than its deadline."""
        self.refuse_child()
        state = self.state()
        if seen is not None and dataclasses.replace(seen, deadline=None) == (
            dataclasses.replace(state, deadline=None)
        ):
            return None
        return state

    def was_last(self, seen: ElectorState) -> bool:
        """Tell whether ``seen`` is how a life ended."""
        return seen.role is Role.STOPPED and self._pid is not None

    def place(self) -> Place | None:
        """Give the scope or handler of this elector that the caller runs in."""
        return place_inside(self)

    # Refusing: any thread -----------------------------------------------------

    def refuse_child(self) -> None:
        """
        Refuse to act in a child process (fault 15).

        Raises:
            ProtocolMisuseError: this elector was inherited from the parent.

        """
        if self.forked:
            raise ProtocolMisuseError(
                f"{self.where}: this elector belongs to the parent process, of which "
                "this one is a fork. Make a new elector here."
            )

    def refuse_unstarted(self, call: str, *, to_lead: bool) -> None:
        """
        Refuse a call that could never come to an end.

        Raises:
            ProtocolMisuseError: a child process; not started; or it never leads.

        """
        self.refuse_child()
        if not self._started:
            raise ProtocolMisuseError(
                f"{self.where}: {call} needs an elector that was started: call "
                "start() first, or use the elector as a context manager."
            )
        if to_lead and self.settings.observe:
            raise ProtocolMisuseError(
                f"{self.where}: {call} needs an elector that contends, and "
                "observe=True keeps this one from it."
            )

    def refuse_waiting(self, call: str) -> None:
        """
        Refuse to wait for a term where none can begin.

        Raises:
            LeadershipLostError: the caller is part of the work of a lost term, and a
                new one only begins when that has ended.
            NotLeaderError: the elector is stopped, or is about to be.

        """
        place = self.place()
        present = self._present
        if (
            place is not None
            and place.work is not None
            and present is not None
            and present.work is place.work
            and present.work.phase is not Phase.OPEN
        ):
            raise present.term.loss()
        if self.stopping:
            raise NotLeaderError(
                f"{self.where}: the elector was stopped: {call} waits in vain."
            )

    def no_time_left(self, what: str, timeout: float) -> TimeoutError:
        """Give the error to raise when waiting took too long, with its cause."""
        error = TimeoutError(f"{self.where}: {what} after {timeout:g} s.")
        error.__cause__ = self.last_error()
        return error

    def still_alive(self, timeout: float) -> TimeoutError:
        """Give the error to raise when a stop takes longer than ``timeout``."""
        present = self._present
        alive = () if present is None else present.work.alive
        if not alive:
            return self.no_time_left("the Lease was not released", timeout)
        return self.no_time_left(
            f"still running: {_names(alive)}. The Lease is not released before that "
            "has ended; the stop goes on. Not ended",
            timeout,
        )

    # The life: any thread -----------------------------------------------------

    def begin(self, courier: Courier, *, probe: Probe | None) -> None:
        """
        Begin a life.

        Raises:
            ProtocolMisuseError: it has begun already, or this is a child process.
            ConfigurationError: no namespace is known.

        """
        shared_chores().start()
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
            self._pid = os.getpid()
            self._courier, self.probe = courier, probe
            self._started, self._stopping, self._signalled_at = True, False, None
            self._retries = 0
            try:
                self._connect()
            except BaseException:
                self._started = False
                raise
        shared_exits().watch(self)
        if self.settings.auto_close and not shared_auto_close().watch(self):
            _say_no_signals(self.log)
        if probe is not None:
            probe.start()

    def ask_to_stop(self) -> None:
        """Give up the term, if any, and end this life when its work has ended."""
        self._stopping = True
        self._give_up(m.StopAsked())

    def ask_to_step_down(self, stay_out: float | None) -> None:
        """Give up the term, if any, and stay out for a while."""
        self._give_up(m.StepDownAsked(stay_out=stay_out))

    def is_over(self, number: int) -> bool:
        """Tell whether the numbered term is released, or otherwise done with."""
        present = self._present
        return present is None or present.term.number != number

    def join(
        self,
        what: str,
        *,
        cancel: Callable[[], object] | None = None,
        home: Home | None = None,
    ) -> tuple[Present[TermT], Hold] | None:
        """
        Enter the present term with a scope; None when there is none to enter yet.

        Raises:
            LeadershipLostError, NotLeaderError: see :meth:`refuse_waiting`.

        """
        present = self._present
        if present is not None and self.current_leader():
            hold = present.work.begin(what, cancel=cancel, home=home, is_scope=True)
            if hold is not None:
                return present, hold
        self.refuse_waiting("leadership()")
        return None

    def leave(self, term: BaseTerm, hold: Hold) -> bool:
        """End a scope; True if it was the last of a term that then ends."""
        if self.forked:
            return False
        last = hold.end()
        if last:
            self._given_up = max(self._given_up, term.number)
            self._post(m.EndAsked(term=term.number))
            self._ring()
        return last

    def add_bell(self, bell: Callable[[], object]) -> None:
        """Call ``bell`` after every change, on any thread; it must not block."""
        with self._lock:
            self._bells = (*self._bells, bell)

    def remove_bell(self, bell: Callable[[], object]) -> None:
        """Call it no more."""
        with self._lock:
            self._bells = tuple(b for b in self._bells if b is not bell)

    def report_liveness(self, alive: bool) -> None:  # noqa: FBT001 - a callback's only argument
        """Tell the election whether the application is stuck."""
        if not alive:
            self._report(
                LeaderElectionError(
                    f"{self.where}: the application has shown no sign of life for "
                    f"{self.settings.liveness_timeout_sec:g} s: the Lease is neither "
                    "renewed nor sought until it does."
                )
            )
        self._post(m.LivenessReported(alive=alive))

    def report_trouble(self, text: str, trace: str = "") -> None:
        """Log what went wrong in code of the application; the election goes on."""
        self._say("error", "%s: %s%s", self.where, text, trace and f"\n{trace}")

    def report_raised(
        self, handler: Handler, event: ElectorEvent, error: BaseException
    ) -> None:
        """Log what a handler raised; the election and the other handlers go on."""
        name = getattr(handler, "__qualname__", repr(handler))
        trace = "".join(traceback.format_exception(error))
        self.report_trouble(f"the handler {name} of {event.name} raised", trace)

    def close_home(self) -> None:
        """Note that the courier's event loop is closed: what ran there has ended."""
        vital = self.mailbox.discard()
        present = self._present
        if present is not None:
            present.work.drop_if(_is_homeless)
        if vital:
            self.report_trouble(
                "the event loop that called start() is closed, so handlers cannot be "
                "called any more. Call stop() before the loop ends."
            )

    # Signals and exit ---------------------------------------------------------

    def on_signal(self) -> None:
        """Begin to stop because of a signal. The thread of the signals."""
        self._signalled_at = time.monotonic()
        self._say("info", "%s: stopping because of a signal", self.where)
        self.ask_to_stop()

    def works_in_main_thread(self) -> bool:
        """Tell whether a scope runs in the main thread, outside any event loop."""
        present = self._present
        main = threading.main_thread().ident
        return present is not None and any(
            hold.is_scope and hold.thread == main for hold in present.work.alive
        )

    def on_exit(self) -> bool:
        """Begin to stop because the interpreter exits; False if work still runs."""
        courier, present = self._courier, self._present
        home = None if courier is None else courier.home
        if home is not None and not home.is_running():
            self._courier = None  # handlers can be called no more
            self.mailbox.discard()
        if present is not None:
            present.work.drop_if(_is_idle)
        self.ask_to_stop()
        return present is None or not any(h.is_scope for h in present.work.alive)

    # The engine's thread ------------------------------------------------------

    def on_event(self, event: m.Event, view: View) -> None:
        """Take an event; see :class:`~.engine.Listener`."""
        match event:
            case m.LeadershipAcquired():
                self._on_acquired(event)
            case m.LeadershipLost():
                self._on_lost(event)
            case _:
                self._log_event(event)
                self._deliver(event)
        del view
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

    def _on_acquired(self, event: m.LeadershipAcquired) -> None:
        term = self._make_term(self, number=event.term, fencing_token=event.token)
        work = TermWork(event.term, ended=self._work_ended)
        self._present = Present(term, work)
        self._logged_error = ""
        self._say(
            "info",
            "%s: %s leads, fencing token %s",
            self.where,
            self.settings.identity,
            "none (assumed)" if event.token is None else event.token,
        )
        hold = None
        if self.handlers.count(EVENTS.LEADERSHIP_ACQUIRED):
            hold = work.begin("a handler of leadership_acquired")
        self._deliver(event, hold=hold)

    def _on_lost(self, event: m.LeadershipLost) -> None:
        present = self._present
        if present is None or present.term.number != event.term:
            # A loss only follows its acquisition: that is the engine's contract.
            self.report_trouble(f"term {event.term} was lost, which never began")
            return
        term, work = present
        term.end(event.reason)
        lost, wait = None, None
        if self.handlers.count(EVENTS.LEADERSHIP_LOST):
            lost = work.hold_late("a handler of leadership_lost")
        if self._signalled_at is not None and not work.had_scope and not self.assumed:
            # Who uses events only may still be stopping what a handler began.
            wait = work.hold_late(AFTER_SIGNAL)
            left = self._signalled_at + self.stop_budget - time.monotonic()
            shared_chores().call_later(max(0.0, left), wait.end)
        work.lose()
        self._say(
            "info" if event.reason in _EXPECTED else "warning",
            "%s: %s leads no longer: %s%s",
            self.where,
            self.settings.identity,
            event.reason,
            f" ({event.detail})" if event.detail else "",
        )
        self._deliver(event, hold=lost)
        if work.phase is not Phase.ENDED:
            self._look_later(present, waited=self.stop_budget, pause=self.stop_budget)

    def _look_later(
        self, present: Present[TermT], *, waited: float, pause: float
    ) -> None:
        shared_chores().call_later(
            pause, lambda: self._report_late_work(present, waited=waited, pause=pause)
        )

    def _report_late_work(
        self, present: Present[TermT], *, waited: float, pause: float
    ) -> None:
        """Fault 09: say loudly, again and again, that work outlives its term."""
        if self.forked:
            return
        present.work.drop_if(_is_homeless)
        alive = tuple(h for h in present.work.alive if h.what != AFTER_SIGNAL)
        if not alive:
            return
        self._report(
            LeaderElectionError(
                f"{self.where}: {waited:.1f} s after term {present.term.number} was "
                f"lost ({present.term.reason}), this is still running: "
                f"{_names(alive)}. The Lease is not released before it has ended. Let "
                "it stop sooner, or raise stop_budget_sec (now "
                f"{self.stop_budget:g} s)."
            )
        )
        pause = min(2 * pause, max(LONGEST_SILENCE, self.stop_budget))
        self._look_later(present, waited=waited + pause, pause=pause)

    # Any thread: inside -------------------------------------------------------

    def _connect(self) -> None:
        """Find credentials and join the election; try again where they are unreadable."""
        self._retry = None
        if self._driver is None:
            try:
                credentials = self._find_credentials()
            except CredentialsError as error:
                self._connect_later(error)
                return
            self.assumed = credentials is None
            self._driver = Driver(
                settings=self.settings.election(
                    namespace=credentials.namespace if credentials else "default"
                ),
                credentials=credentials,
                listener=self,
                log=self.log,
            )
        if self.assumed:
            self._say(
                "info",
                "%s: this program does not run in a cluster and was given no "
                "credentials: leadership is assumed, no API is called",
                self.where,
            )
        self._take_role(Role.OBSERVER if self.settings.observe else Role.CANDIDATE)
        self._driver.post(m.StartAsked())

    def _find_credentials(self) -> Credentials | None:
        if self._credentials is not None:
            return self._credentials
        from kubernetes_leader_election.credentials import discover  # noqa: PLC0415 - tests replace it, a pod pays for what it uses

        return discover()

    def _connect_later(self, error: CredentialsError) -> None:
        self._early_error = error
        self._take_role(Role.OBSERVER if self.settings.observe else Role.CANDIDATE)
        self._report(error)
        pause = min(LONGEST_RETRY, 2.0**self._retries)
        self._retries += 1
        self._retry = shared_chores().call_later(pause, self._connect_again)

    def _connect_again(self) -> None:
        with self._lock:
            if self._retry is None or self.stopping or self.forked:
                return
            try:
                self._connect()
            except LeaderElectionError as error:
                self._report(error)

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
        present, courier = self._present, self._courier
        told = payload(
            event,
            lease=self.settings.lease_name,
            namespace=self.namespace or "",
            identity=self.settings.identity,
            token=None if present is None else present.term.fencing_token,
        )
        if courier is None or not self.handlers.count(told.name):
            if hold is not None:
                hold.end()
            return
        work = None if present is None else present.work
        if self.mailbox.put(Letter(told, work, hold)):
            self._said_full = False
        elif not self._said_full:
            self._said_full = True
            self.report_trouble(
                f"{ROOM} events wait for a handler that takes too long: further ones "
                "are dropped, but none of leadership_acquired and leadership_lost"
            )
        courier.wake()

    def _report(self, error: LeaderElectionError) -> None:
        """Log an error and tell the handlers. Any thread."""
        event = m.ErrorOccurred(error=error)
        self._log_event(event)
        self._deliver(event)
        self._ring()

    def _log_event(self, event: m.Event) -> None:
        match event:
            case m.ErrorOccurred(error=error):
                # One line for one trouble, however often it is tried again.
                again = str(error) == self._logged_error
                self._logged_error = str(error)
                self._say("debug" if again else "warning", "%s", error)
            case m.LeaderChanged(holder_identity=holder):
                self._logged_error = ""
                # fault 51: text of others is escaped and cut where it is shown.
                shown = "nobody" if holder is None else ascii(holder[:100])
                self._say("info", "%s: held by %s", self.where, shown)
            case _:
                self._logged_error = ""

    def _say(self, level: str, text: str, *args: object) -> None:
        """Log on a thread that may wait: a log handler can block."""
        shared_chores().call(
            lambda: getattr(self.log, level)(text, *args), may_drop=True
        )

    def _ring(self) -> None:
        for bell in self._bells:
            bell()


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


def _names(alive: tuple[Hold, ...]) -> str:
    return ", ".join(hold.what for hold in alive)


def _is_homeless(hold: Hold) -> bool:
    return hold.home is not None and hold.home.is_closed()


def _is_idle(hold: Hold) -> bool:
    return hold.home is not None and not hold.home.is_running()


def _moment(microseconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _deadline(microseconds: float | None) -> datetime | None:
    if microseconds is None:
        return None
    try:
        return _moment(microseconds)
    except OverflowError:
        return None  # assumed: no end; or a Lease of decades
