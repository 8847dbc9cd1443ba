"""
One simulated process of ours: the real core, driven as the engine drives it.

One input, drain to the end, re-arm, wait. A frozen process takes nothing in; when it
runs again it looks at its clock first and then at what has piled up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now
from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError
from kubernetes_leader_election.testing.simulation.checkers import Witness
from kubernetes_leader_election.testing.simulation.network import (
    DISCONNECTED,
    NO_NAMESPACE,
    NOT_SENT,
    Link,
    Ticket,
    Watch,
)
from kubernetes_leader_election.testing.simulation.store import Answer, Change, Stored

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.simulation.node import Node
    from kubernetes_leader_election.testing.simulation.world import World

DRAINING_REASONS = frozenset({"stopped", "stepped_down", "work_ended"})
"""Reasons of a loss after which the Lease is still renewed and then released."""

SPIN_LIMIT = 50
"""Timers handled at one instant before we say that the core spins."""

_ERRORS: dict[tuple[int, str], LeaseApiError] = {}


def _error(answer: Answer) -> LeaseApiError:
    """Give the error for an answer; made once for each, for speed."""
    key = (answer.status, answer.reason)
    error = _ERRORS.get(key)
    if error is None:
        not_done = answer.status in (-1, 400, 401, 403, 404, 422, 429)
        error = _ERRORS[key] = LeaseApiError(
            answer.reason,
            status=answer.status if answer.status > 0 else None,
            reason=answer.reason,
            retry_after=1.0 if answer.status == 429 else None,
            outcome="not done" if not_done else "unknown",
        )
    return error


class Process:
    """
    One process with one elector.

    It lives on a node (whose clocks and link it uses) until it dies; a restart is
    another process.
    """

    def __init__(
        self, world: World, node: Node, settings: ElectionSettings, name: str
    ) -> None:
        self.world = world
        self.node = node
        self.settings = settings
        self.name = name
        self.identity = settings.identity
        self.link: Link = node.link
        self.alive = True
        self.asked_to_stop = False
        self.inbox: list[tuple[Callable[[Any], None], Any]] = []
        self.witness = Witness(
            name=name,
            identity=settings.identity,
            own_duration=settings.lease_duration,
            renew_deadline=settings.renew_deadline,
        )
        self.core = world.make_election(settings, draw=node.draw)
        self.open: dict[int, str] = {}
        self.watch: Watch | None = None
        self.orders = 0
        self.belief: Belief | None = None
        self.believing = False
        self._belief_event = 0.0
        self._due = float("inf")
        self._due_event = float("inf")
        self._spins = 0
        self._spun_at = -1.0
        self.work_runs = False
        self._just_lost = False
        self.term = 0
        self.on_work_over: Callable[[Process], None] | None = None
        self._carriers: dict[type[Any], Callable[[Any], None]] = {
            m.GetLease: self._get,
            m.CreateLease: self._put,
            m.UpdateLease: self._put,
            m.WatchLease: self._open_watch,
            m.AbandonRequest: self._abandon,
            m.LeadershipAcquired: self._acquired,
            m.LeadershipLost: self._lost,
            m.LeaseRenewed: _ignore,
            m.LeaderChanged: _ignore,
            m.ErrorOccurred: _ignore,
        }

    # Driving the core ---------------------------------------------------------

    def do(self, action: Callable[[Any], None], argument: Any) -> None:
        """Let something happen in this process: now, after its thaw, or never."""
        if not self.alive:
            return
        if self.node.frozen:
            self.inbox.append((action, argument))
        else:
            action(argument)

    def say(self, message: m.Message) -> None:
        """Give the core one input and carry out all that comes of it."""
        world = self.world
        now = self.node.clocks.read(world.time)
        recorder = world.recorder
        before = self.core.state if recorder is not None else None
        try:
            self.core.receive(message, now=now)
            self._carry_out(now)
        except Exception as error:  # noqa: BLE001 - whatever the core raises is a finding
            self._failed(error)
            return
        if recorder is not None and before is not self.core.state:
            recorder.state(world.time, self.name, before, self.core.state)

    def tick(self) -> None:
        """Handle the timer, and carry out all that comes of it."""
        world = self.world
        now = self.node.clocks.read(world.time)
        recorder = world.recorder
        before = self.core.state if recorder is not None else None
        try:
            self.core.handle_timer(now=now)
            self._carry_out(now)
        except Exception as error:  # noqa: BLE001 - whatever the core raises is a finding
            self._failed(error)
            return
        if recorder is not None and before is not self.core.state:
            recorder.state(world.time, self.name, before, self.core.state)

    def _failed(self, error: Exception) -> None:
        text = f"the core raised {type(error).__name__}: {error}"
        self.world.checks.broken(self.world.time, "core", self.name, text)
        self.die()

    def _carry_out(self, now: Now) -> None:
        core = self.core
        carriers = self._carriers
        for item in core.drain():
            carriers[type(item)](item)
            if not self.alive:
                return
        belief = core.belief
        if belief is not self.belief:
            self._belief_changed(belief, now)
        if self._just_lost:
            self._just_lost = False
            self.world.checks.after_loss(self.world.time, self.witness)
        due = core.next_deadline()
        if due is not None:
            self._arm(due)
        else:
            self._due = float("inf")

    # Timers -------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        self._due = due
        node, world = self.node, self.world
        when = node.clocks.when_boottime(due)
        # A process wakes up at least a little late, and some a good deal.
        when = max(when, world.time) + 1e-6
        if node.lateness:
            when += node.lateness * node.draw()
        if when < self._due_event:
            self._due_event = when
            world.at(when, self._timer_fired, when)

    def rearm(self) -> None:
        """Compute anew when the timer is due, after the clocks changed."""
        if self.alive and not self.node.frozen:
            self._due_event = float("inf")
            if self._due != float("inf"):
                self._arm(self._due)
            self._watch_belief()

    def _timer_fired(self, when: float) -> None:
        if when != self._due_event or not self.alive or self.node.frozen:
            return
        self._due_event = float("inf")
        world = self.world
        now = self.node.clocks.read(world.time)
        if now.boottime < self._due:
            if self._due != float("inf"):
                self._arm(self._due)
            return
        if world.time - self._spun_at > 1e-3:
            self._spins = 0
            self._spun_at = world.time
        self._spins += 1
        if self._spins > SPIN_LIMIT:
            text = f"handles its timer again and again in state {self.core.state.name}"
            world.checks.broken(world.time, "core", self.name, text)
            self.die()
            return
        self.tick()

    # Belief -------------------------------------------------------------------

    def _belief_changed(self, belief: Belief | None, now: Now) -> None:
        self.belief = belief
        if belief is None:
            self._set_believing(believing=False)
            return
        if not self.believing:
            self._set_believing(believing=belief.holds(now))
        self.world.checks.belief_deadline(
            self.world.time, self.witness, belief.boottime_deadline
        )
        self._watch_belief()

    def _watch_belief(self) -> None:
        """Look at the belief now, and again at the very instant it ends."""
        belief = self.belief
        if belief is None or not self.alive or self.node.frozen:
            return
        world = self.world
        ends = self.node.clocks.when_belief_ends(belief, world.time)
        self._set_believing(believing=ends > world.time)
        if self.believing and (ends < self._belief_event or self._belief_event == 0.0):
            self._belief_event = ends
            world.at(ends, self._belief_fired, ends)

    def _belief_fired(self, when: float) -> None:
        if when != self._belief_event:
            return
        self._belief_event = 0.0
        belief = self.belief
        if belief is None or not self.alive or self.node.frozen or not self.believing:
            return
        ends = self.node.clocks.when_belief_ends(belief, self.world.time)
        if ends > self.world.time + 1e-9:
            self._belief_event = ends
            self.world.at(ends, self._belief_fired, ends)
        else:
            self._set_believing(believing=False)

    def _set_believing(self, *, believing: bool) -> None:
        if believing is self.believing:
            return
        self.believing = believing
        world = self.world
        if believing:
            assert self.belief is not None
            world.checks.belief_began(world.time, self.witness, self.belief.term)
        else:
            self._belief_event = 0.0
            world.checks.belief_ended(world.time, self.witness)
        if world.recorder is not None:
            world.recorder.belief(world.time, self.name, believing=believing)

    # Freezing and dying -------------------------------------------------------

    def froze(self) -> None:
        """Stop running: a frozen process sees nothing and does nothing."""
        self.witness.frozen = True
        self._set_believing(believing=False)

    def thawed(self) -> None:
        """Run again: the clock first, then what has piled up."""
        if not self.alive:
            return
        world = self.world
        self.witness.frozen = False
        self._due_event = float("inf")
        if self.work_runs and (
            self.belief is None
            or not self.belief.holds(self.node.clocks.read(world.time))
        ):
            # No program stops its own work while frozen; S after it, it must be over.
            until = world.time + self.settings.stop_budget
            world.checks.thawed(world.time, self.witness, until)
            world.at(until + 1e-6, self._budget_over, self.witness.work_term)
        self._watch_belief()
        self.tick()
        inbox, self.inbox = self.inbox, []
        for action, argument in inbox:
            if self.alive:
                action(argument)

    def _budget_over(self, term: int) -> None:
        if self.witness.work_term == term:
            self.world.checks.budget_over(self.world.time, self.witness)

    def die(self) -> None:
        """End at once, as by SIGKILL: what was sent may still land."""
        if not self.alive:
            return
        self.alive = False
        self.work_runs = False
        world = self.world
        self._set_believing(believing=False)
        world.checks.died(world.time, self.witness)
        if self.watch is not None:
            world.network.close_watch(self.watch)
        if world.recorder is not None:
            world.recorder.died(world.time, self.name)

    # Requests -----------------------------------------------------------------

    def _late(self, deadline: float) -> bool:
        """Tell whether a request may not be sent any more."""
        return self.node.clocks.read(self.world.time).boottime >= deadline

    def _get(self, request: m.GetLease) -> None:
        number = request.request_id
        self.open[number] = "GetLease"
        self.orders += 1
        self._note_order(request, number)
        ticket = Ticket(self, number, "GetLease", self.world.time)
        self._send(ticket, request.deadline)

    def _put(self, request: m.CreateLease | m.UpdateLease) -> None:
        world = self.world
        now = self.node.clocks.read(world.time)
        number = request.request_id
        kind = type(request).__name__
        self.open[number] = kind
        self.orders += 1
        order = world.checks.ordered(
            world.time, self.witness, request.lease, (now.boottime, now.monotonic)
        )
        self._note_order(request, number)
        ticket = Ticket(self, number, kind, world.time, request.lease, order)
        self._send(ticket, request.deadline)

    def _send(self, ticket: Ticket, deadline: float) -> None:
        node = self.node
        if node.send_lag:
            lag = node.send_lag * node.draw()
            self.world.after(lag, self._send_later, (ticket, deadline))
        elif self._late(deadline):
            self.world.after(0.0, self._not_sent, ticket)
        else:
            self.world.network.send(ticket)

    def _send_later(self, ticket_and_deadline: tuple[Ticket, float]) -> None:
        self.do(self._send_now, ticket_and_deadline)

    def _send_now(self, ticket_and_deadline: tuple[Ticket, float]) -> None:
        ticket, deadline = ticket_and_deadline
        if ticket.number not in self.open:
            return
        if self._late(deadline):
            self._not_sent(ticket)
            return
        if ticket.order is not None:
            self.world.checks.sent(self.world.time, ticket.order)
        self.world.network.send(ticket)

    def _not_sent(self, ticket: Ticket) -> None:
        self.answered(ticket, NOT_SENT)

    def refused(self) -> Answer | None:
        """Give what the API server thinks of this process's rights."""
        return self.node.refused

    def answered(self, ticket: Ticket, answer: Answer) -> None:
        """Take an answer from the network."""
        self.do(self._take_answer, (ticket, answer))

    def _take_answer(self, ticket_and_answer: tuple[Ticket, Answer]) -> None:
        ticket, answer = ticket_and_answer
        if self.open.pop(ticket.number, None) is None:
            return  # abandoned: a driver does not pass such answers on
        message = self._translate(ticket, answer)
        if self.world.recorder is not None:
            text = f"< {type(message).__name__}{_brief(answer)}"
            self.world.recorder.answer(self.world.time, self.name, ticket.number, text)
        self.say(message)

    def _translate(self, ticket: Ticket, answer: Answer) -> m.Message:
        number, status, stored = ticket.number, answer.status, answer.stored
        if status in (200, 201) and stored is not None:
            self._observe(stored)
            if ticket.lease is None:
                return m.LeaseFetched(request_id=number, lease=stored.lease)
            return m.LeaseWritten(request_id=number, lease=stored.lease)
        if status == 404 and ticket.lease is None and answer is not NO_NAMESPACE:
            self._observe(None)
            return m.LeaseNotFound(request_id=number)
        if status == 409 or (status == 422 and "must be specified" in answer.reason):
            return m.WriteConflict(request_id=number, message=answer.reason)
        if status in (-1, 400, 401, 403, 404, 422, 429):
            return m.RequestFailed(request_id=number, error=_error(answer))
        return m.OutcomeUnknown(request_id=number, error=_error(answer))

    def _observe(self, stored: Stored | None) -> None:
        now = self.node.clocks.read(self.world.time)
        self.world.checks.observed(self.witness, now.monotonic, stored)

    def _abandon(self, request: m.AbandonRequest) -> None:
        number = request.request_id
        if self.watch is not None and self.watch.number == number:
            self.world.network.close_watch(self.watch)
            self.watch = None
        if self.open.pop(number, None) is not None and self.world.recorder is not None:
            self.world.recorder.answer(
                self.world.time, self.name, number, "AbandonRequest"
            )

    def _note_order(self, request: m.Request, number: int) -> None:
        recorder = self.world.recorder
        if recorder is None:
            return
        text = f"> {type(request).__name__}"
        if isinstance(request, m.CreateLease | m.UpdateLease):
            spec, metadata = request.lease["spec"], request.lease["metadata"]
            text += f" holder={spec['holderIdentity'] or '-'}"
            if metadata.get("resourceVersion"):
                text += f" rv={metadata['resourceVersion']}"
        elif isinstance(request, m.WatchLease):
            text += f" rv={request.resource_version or '-'}"
        recorder.order(self.world.time, self.name, number, text)

    # Watches ------------------------------------------------------------------

    def _open_watch(self, request: m.WatchLease) -> None:
        self.orders += 1
        self._note_order(request, request.request_id)
        self.watch = self.world.network.open_watch(
            self, request.request_id, request.resource_version
        )

    def watch_brought(self, watch: Watch, change: Change) -> None:
        """Take one event of a watch from the network."""
        self.do(self._take_event, (watch, change))

    def _take_event(self, watch_and_change: tuple[Watch, Change]) -> None:
        watch, change = watch_and_change
        if watch is not self.watch:
            return
        stored = None if change.type == "DELETED" else change.stored
        self._observe(stored)
        if self.world.recorder is not None:
            text = f"< WatchEvent {change.type}{_brief(Answer(200, change.stored))}"
            self.world.recorder.event(self.world.time, self.name, text)
        self.say(
            m.WatchEvent(
                request_id=watch.number, type=change.type, object=change.stored.lease
            )
        )

    def watch_bookmarked(self, watch: Watch, version: int) -> None:
        """Take a bookmark from the network."""
        self.do(self._take_bookmark, (watch, version))

    def _take_bookmark(self, watch_and_version: tuple[Watch, int]) -> None:
        watch, version = watch_and_version
        if watch is self.watch:
            bookmark = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "resourceVersion": str(version),
                    "creationTimestamp": None,
                },
                "spec": {},
            }
            self.say(
                m.WatchEvent(request_id=watch.number, type="BOOKMARK", object=bookmark)
            )

    def watch_ended(self, watch: Watch, answer: Answer | None) -> None:
        """Take the end of a watch from the network."""
        self.do(self._take_end, (watch, answer))

    def _take_end(self, watch_and_answer: tuple[Watch, Answer | None]) -> None:
        watch, answer = watch_and_answer
        if watch is not self.watch:
            return
        self.watch = None
        if self.world.recorder is not None:
            text = f"< WatchEnded {answer.reason if answer else ''}".rstrip()
            self.world.recorder.event(self.world.time, self.name, text)
        error = _error(answer) if answer is not None else None
        self.say(m.WatchEnded(request_id=watch.number, error=error))

    def drop_watch(self) -> None:
        """Notice that a half-open connection is dead (a reset came at last)."""
        if self.watch is not None:
            watch = self.watch
            self.world.network.close_watch(watch)
            self.do(self._take_end, (watch, DISCONNECTED))

    # The application ----------------------------------------------------------

    def _acquired(self, event: m.LeadershipAcquired) -> None:
        world = self.world
        self.term = event.term
        world.checks.acquired(world.time, self.witness, event.term, event.token)
        if world.recorder is not None:
            text = f"LeadershipAcquired term={event.term} token={event.token}"
            world.recorder.event(world.time, self.name, text)
        self.work_runs = True
        world.checks.work_began(world.time, self.witness, event.term)
        if world.recorder is not None:
            world.recorder.work(world.time, self.name, works=True)

    def _lost(self, event: m.LeadershipLost) -> None:
        world, node = self.world, self.node
        self._just_lost = True
        world.checks.lost(
            world.time,
            self.witness,
            event.term,
            drains=event.reason in DRAINING_REASONS,
        )
        if world.recorder is not None:
            text = f"LeadershipLost term={event.term} reason={event.reason}"
            world.recorder.event(world.time, self.name, text)
        wait = 1e-6
        if self.work_runs:
            budget = self.settings.stop_budget - node.lateness - 1e-3
            wait += max(0.0, node.stop_share * budget) * node.draw()
            if node.hangs_until > world.time:
                world.checks.work_outlives_budget(self.witness)
                wait += node.hangs_until - world.time
        world.after(wait, self._work_over, event.term)

    def _work_over(self, term: int) -> None:
        if self.alive and self.node.hangs_until > self.world.time:
            wait = self.node.hangs_until - self.world.time
            self.world.checks.work_outlives_budget(self.witness)
            self.world.after(wait, self._work_over, term)
            return
        self.do(self._work_ended, term)

    def _work_ended(self, term: int) -> None:
        self._stop_working()
        if self.on_work_over is not None:
            self.on_work_over(self)
        self.say(m.WorkEnded(term=term))

    def _stop_working(self) -> None:
        if self.work_runs:
            self.work_runs = False
            self.world.checks.work_ended(self.world.time, self.witness)
            if self.world.recorder is not None:
                self.world.recorder.work(self.world.time, self.name, works=False)

    def work_returns(self, _: object = None) -> None:
        """Let the work of the present term return, or raise: the same to the core."""
        if self.work_runs and self.core.state is State.LEADER:
            self._stop_working()
            self.say(m.EndAsked(term=self.term))

    def stop(self, _: object = None) -> None:
        """Ask to stop."""
        self.asked_to_stop = True
        self.say(m.StopAsked())

    def start(self, _: object = None) -> None:
        """Start taking part; nothing when it does already."""
        if self.core.state is State.STOPPED:
            self.asked_to_stop = False
            self.say(m.StartAsked())

    def step_down(self, stay_out: float | None) -> None:
        """Ask to hand over and stay out for a while."""
        if self.core.state is not State.STOPPED:
            self.say(m.StepDownAsked(stay_out=stay_out))

    def report_liveness(self, alive: bool) -> None:  # noqa: FBT001 - called by the loop
        """Say whether the application is alive."""
        self.say(m.LivenessReported(alive=alive))

    def driver_failed(self, _: object = None) -> None:
        """Report an exception of the driver."""
        error = LeaderElectionError("an exception of the driver, simulated")
        self.say(m.DriverFailed(error=error))


def _ignore(_: object) -> None:
    """Pass over an event that is for people."""


def _brief(answer: Answer) -> str:
    stored = answer.stored
    if stored is not None:
        return f" holder={stored.holder or '-'} rv={stored.version}"
    return f" {answer.reason}" if answer.reason else ""
