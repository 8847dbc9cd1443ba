"""
What changes for one elector at what its engine tells: its term, its work, what others are told.

All of it comes on the engine's thread, which waits for nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import ODD_DURATION
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.leadership import Role
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.life import role_of
from kubernetes_leader_election.lifecycle.liveness_probe import Probe
from kubernetes_leader_election.lifecycle.notifier import Notifier
from kubernetes_leader_election.lifecycle.optional_features import OptionalFeatures
from kubernetes_leader_election.lifecycle.overdue_work import OverdueWork
from kubernetes_leader_election.lifecycle.shutdown import Shutdown
from kubernetes_leader_election.lifecycle.status import CurrentTerm, Status, TermT
from kubernetes_leader_election.lifecycle.taking import take_numbered
from kubernetes_leader_election.lifecycle.term_work import Phase, TermWork, WorkItem
from kubernetes_leader_election.process.signals import shared_auto_close

if TYPE_CHECKING:
    from kubernetes_leader_election.engine.view import View

_IN_TERM: Final = frozenset(
    {State.LEADER, State.DRAINING, State.FENCED, State.RELEASING}
)
_BEFORE_A_LOOK: Final = frozenset({State.STOPPED, State.LOOKING})
"""States in which nothing may be known of the Lease yet."""


class EngineListener(Status[TermT]):
    """Take what the engine tells, for one elector: what its life is made of takes part."""

    # Made by the life itself, which is also what begins and ends it.
    probe: Probe | None
    """Asks whether the application is stuck; None: nobody does. By ``begin``."""
    event_log: EventLog
    """Writes what people read."""
    notifier: Notifier
    """Sends events to the handlers."""
    optional_features: OptionalFeatures
    """What there is only where the program asks for it."""
    overdue_work: OverdueWork
    """Looks after work that goes on though its term is over."""
    shutdown: Shutdown
    """Stops it at a signal, and at the exit of the interpreter."""
    _kind_of_term: type[TermT]
    """What the front calls a term."""
    _last_view: View | None
    """The last view that was taken. The engine's thread."""

    def on_event(self, event: m.Event, view: View) -> None:
        """Take an event; see :class:`~..engine.view.Listener`."""
        try:
            # Before anybody who waits for the event can ask for the state.
            self._shown.take(self._role_of(view))
        finally:
            match event:
                case m.LeadershipAcquired():
                    self._on_acquired(event, view)
                case m.LeadershipLost():
                    self._on_lost(event)
                case m.LeaseRenewed():
                    self.event_log.renewed()
                    self.shutdown.look_at_signals()
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
            self.waiters.wake(renewed=isinstance(event, m.LeaseRenewed))

    def on_view(self, view: View) -> None:
        """Take a view; see :class:`~..engine.view.Listener`."""
        if self._driver is None or self._driver.view is not view:
            return  # of an election that a former life took part in
        self._shown.seen_at = self._shown.clock.now().wall
        if view.state not in _BEFORE_A_LOOK and view.life >= self._life.number:
            self._life.has_looked = True
        before, self._last_view = self._last_view, view
        renewed = before is not None and view.is_renewal_of(before)
        current = self._current
        if (
            current is not None
            and current.work.phase is Phase.ENDED
            and view.state not in _IN_TERM
        ):
            self._current = current = None
            renewed = False
        if view.state is State.STOPPED and current is None and self._is_over(view):
            self._end_life()
            renewed = False
        fence = self.optional_features.fence
        if current is not None and fence is not None:
            fence.look(current.work)
        self._shown.take(self._role_of(view))
        self._warn_of_duration(view)
        if view.state is State.FENCED:
            shared_auto_close().look_again()  # work has the stop budget left
        self.waiters.wake(renewed=renewed)

    def note_is_good(self) -> bool:
        """Look for the own note; see :class:`~..engine.view.Listener`."""
        return self.optional_features.note_is_good()

    def on_no_proof(self, answer: m.ProofRefuted | m.ProofUnreadable) -> None:
        """Take it that the holder's pod proves nothing; see :class:`~..engine.view.Listener`."""
        self.optional_features.on_no_proof(answer)

    def _on_acquired(self, event: m.LeadershipAcquired, view: View) -> None:
        term = self._kind_of_term(
            self, number=event.term, fencing_token=event.token_if_any
        )
        fence = self.optional_features.fence
        new_fence = None
        if fence is not None:
            fence.look()  # before any work can begin
            new_fence = fence.of_term(event.term)
        work = TermWork(event.term, ended=self._work_ended, new_fence=new_fence)
        self._current = CurrentTerm(term, work)
        hold = None
        if self.notifier.handlers.count(EVENTS.LEADERSHIP_ACQUIRED):
            hold = work.begin(
                "a handler of leadership_acquired", loop=self.notifier.loop
            )
        self.shutdown.look_at_signals()
        try:
            self.event_log.acquired(event)
        finally:
            self._deliver(event, hold=hold)
        self.optional_features.announce(
            lambda announcer: announcer.acquired(event, view)
        )

    def _on_lost(self, event: m.LeadershipLost) -> None:
        current = self._current
        if current is None or current.term.number != event.term:
            # A loss only follows its acquisition: that is the engine's contract.
            self.event_log.trouble(f"term {event.term} was lost, which never began")
            self._work_ended(event.term)
            return
        term, work = current
        term.end(event.reason)
        lost, loop = None, self.notifier.loop
        if self.notifier.handlers.count(EVENTS.LEADERSHIP_LOST):
            lost = work.hold_late("a handler of leadership_lost", loop=loop)
        self.shutdown.hold_after_signal(work)
        work.lose()
        self.overdue_work.drop_work_of_closed_loops()
        try:
            self.event_log.lost(self.identity, event.reason, event.detail)
        finally:
            self._deliver(event, hold=lost)  # it holds the term open until then
        self.optional_features.announce(lambda announcer: announcer.lost(event))
        if work.phase is not Phase.ENDED:
            self.overdue_work.expect_end(term)

    @property
    def ended_by_signal(self) -> bool:
        """Whether the last life is over, and a signal has ended it."""
        return not self.running and self.shutdown.signalled

    # Work that holds a term: any thread -----------------------------------------

    def take_hold(self, hold: WorkItem, number: int) -> TermWork:
        """Take a hold on the numbered term; see :class:`~.held_work.WorkOwner`."""
        return take_numbered(self, hold, number)

    def end_hold(self, hold: WorkItem) -> None:
        """End a hold; see :class:`~.held_work.WorkOwner`."""
        if not self.forked:
            hold.end()
            self.shutdown.on_hold_ended()

    # Inside -------------------------------------------------------------------

    def _post(self, word: m.Command) -> None:
        if self._driver is not None and not self.forked:
            self._driver.post(word)

    def _work_ended(self, term: int) -> None:
        self.optional_features.announce(lambda announcer: announcer.work_ended())
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
        try:
            if self.probe is not None:
                self.probe.stop()
            self.optional_features.end_fence()
            self.optional_features.end_announcing()
            self.shutdown.unwatch()
            self._shown.take(Role.STOPPED)
        finally:
            # Not before: whoever sees it may begin the next life at once, and what came
            # after it would end that.
            self._life.started = False
        if self.notifier.dispatcher is not None:
            self.notifier.dispatcher.wake()  # a thread that waits for events may end

    def _role_of(self, view: View) -> Role:
        if not self._life.started:
            return Role.STOPPED
        return role_of(view.state, observe=self.settings.observe)

    def _warn_of_duration(self, view: View) -> None:
        """Warn of a holder whose death would leave the election without a leader."""
        snapshot = view.snapshot
        if snapshot is None or view.state in _IN_TERM or snapshot.record.is_free:
            return
        own, duration = self.settings.lease_duration_sec, snapshot.record.lease_duration
        if duration is not None and duration > max(ODD_DURATION, own):
            self.event_log.held_for_long(snapshot.record.holder_identity, duration)

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
        self._deliver(m.ErrorOccurred(**self.about, error=error))
        self.waiters.wake()
