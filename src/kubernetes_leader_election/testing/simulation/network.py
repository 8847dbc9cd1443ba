"""
The way to the API server and back, and the server's own moods.

Every request is two events: it arrives, and its answer arrives. Between them stand
delays, losses, duplicates, cut links and outages. A watch delivers in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from heapq import heappush
from typing import Any, Protocol, Unpack

from kubernetes_leader_election.testing.simulation.kubelets import Kubelet
from kubernetes_leader_election.testing.simulation.plan import Plan
from kubernetes_leader_election.testing.simulation.stage import Options, Stage
from kubernetes_leader_election.testing.simulation.store import (
    Answer,
    Change,
    LeaseStore,
    Stored,
)
from kubernetes_leader_election.testing.simulation.witness import Order, Witness

DISCONNECTED = Answer(0, None, "disconnected")
NOT_SENT = Answer(-1, None, "not sent: connection refused")
UNAVAILABLE = Answer(503, None, "the server is currently unable to handle the request")
GATEWAY_TIMEOUT = Answer(504, None, "Timeout: request did not complete")
INTERNAL = Answer(500, None, "etcdserver: request timed out")
AWAY = Answer(503, None, "the server is away; Retry-After: 999999")
THROTTLED = Answer(429, None, "Too many requests, please try again later.")
FORBIDDEN = Answer(403, None, "leases.coordination.k8s.io is forbidden")
UNAUTHORIZED = Answer(401, None, "Unauthorized")
NO_NAMESPACE = Answer(404, None, 'namespaces "default" not found')

OUTAGES: dict[str, Answer | None] = {
    "black hole": None,
    "refused": NOT_SENT,
    "503": UNAVAILABLE,
    "500 before commit": INTERNAL,
    "504 after commit": GATEWAY_TIMEOUT,
    "disconnect after commit": DISCONNECTED,
    "429": THROTTLED,
    "403": FORBIDDEN,
    "401": UNAUTHORIZED,
    "no namespace": NO_NAMESPACE,
}
"""How an API server can fail; None: no answer ever."""

LIES: dict[str, Answer | None] = {
    "408 after commit": Answer(408, None, "Request Timeout"),
    "403 after commit": FORBIDDEN,
    "429 after commit": THROTTLED,
    "come back in days": AWAY,
}
"""Outages in which who answers has not applied it, or asks for too much."""
ANSWERS = OUTAGES | LIES

MEDDLES_AFTER = 2e-3
"""Seconds until a controller that watches the Lease has edited what was written."""

COMMITS = frozenset(
    {
        "504 after commit",
        "disconnect after commit",
        "408 after commit",
        "403 after commit",
        "429 after commit",
    }
)
ENDS_WATCHES = frozenset({"refused", "503", "disconnect after commit", "no namespace"})


class Link:
    """The connection of one machine to the API server, and what is wrong with it."""

    __slots__ = (
        "cut_in",
        "cut_out",
        "delay",
        "draw",
        "held",
        "jitter",
        "keeps",
        "lose_in",
        "lose_out",
        "pods_fail",
        "repeat",
        "resend",
        "stale",
        "troubled",
        "watch_lag",
    )

    def __init__(
        self, *, delay: float, jitter: float, draw: Callable[[], float]
    ) -> None:
        self.delay = delay
        self.jitter = jitter
        self.draw = draw
        self.heal()

    def heal(self) -> None:
        """Put everything right."""
        self.cut_out = self.cut_in = 0
        self.lose_out = self.lose_in = self.repeat = self.resend = 0.0
        self.held = self.stale = self.watch_lag = 0.0
        self.keeps: list[Ticket] | None = None
        """Writes that something in between keeps; None: it passes them on."""
        self.pods_fail = False
        """Each watch on a pod breaks as soon as it has shown what is there."""
        self.troubled = False

    def look(self) -> None:
        """Note after a change whether anything is wrong: keeps the usual way short."""
        self.troubled = bool(
            self.cut_out
            or self.cut_in
            or self.lose_out
            or self.lose_in
            or self.repeat
            or self.resend
            or self.held
            or self.stale
            or self.keeps is not None
        )


class Sender(Protocol):
    """Who sends requests: a process of ours, or a rival."""

    link: Link
    witness: Witness

    def answered(self, ticket_and_answer: tuple[Ticket, Answer]) -> None:
        """Take an answer, if it is still wanted."""

    def refused(self) -> Answer | None:
        """Return what its own credentials make of any request; None: they are fine."""


class Ticket:
    """One request on its way."""

    __slots__ = (
        "kind",
        "known",
        "lease",
        "newest",
        "number",
        "order",
        "sender",
        "sent",
    )

    def __init__(
        self,
        sender: Sender,
        number: int,
        kind: str,
        sent: float,
        lease: Mapping[str, Any] | None = None,
        order: Order | None = None,
    ) -> None:
        self.sender = sender
        self.number = number
        self.kind = kind
        self.sent = sent
        self.lease = lease
        self.order = order
        self.known: int | None = None
        """Of a read: the version that its sender knew when it was ordered."""
        self.newest = 0
        """Of a read: the newest version that it had heard of then, be it of a deletion."""


class WatchSink(Protocol):
    """Who reads a watch."""

    link: Link

    def watch_brought(self, watch_and_change: tuple[Watch, Change]) -> None:
        """Take one event."""

    def watch_bookmarked(self, watch: Watch, version: int) -> None:
        """Take a bookmark."""

    def watch_ended(self, watch: Watch, answer: Answer | None) -> None:
        """Take the end; None: a clean one."""


class Watch:
    """One open watch, seen from the server."""

    __slots__ = ("dead", "drop", "last", "number", "sink", "stalled", "version")

    def __init__(self, sink: WatchSink, number: int, version: int) -> None:
        self.sink = sink
        self.number = number
        self.version = version
        self.last = 0.0
        self.stalled: list[Change] | None = None
        self.dead = False
        self.drop = 0


class Network:
    """Carry requests between processes and the store."""

    def __init__(self, world: Stage, store: LeaseStore, seed: int) -> None:
        self.world = world
        self.store = store
        self.outage: str | None = None
        self.outages = 0
        self.watch_denied = False
        self.writes_fail = False
        """Writes time out while reads are served."""
        self.watches: dict[Watch, None] = {}
        self.requests = 0
        self.holds_create = False
        """The next creating write is held on its way."""
        self.held: Ticket | None = None
        self.overtakes = False
        """The next creating write lands while who looks for it reads that there is none."""
        self.overtaking: Ticket | None = None
        """That write, which a gateway said to know nothing of, and passes on later."""
        self.pods: dict[str, Kubelet] = {}
        """The pods that the API server has, by name."""
        self.meddler: Callable[[None], object] | None = None
        """What somebody does after each write, a moment later."""
        self.random = random.Random(seed)

    # Requests -----------------------------------------------------------------

    def send(self, ticket: Ticket) -> None:
        """Put a request on its way."""
        self.requests += 1
        link = ticket.sender.link
        world = self.world
        delay = link.delay + link.jitter * link.draw()
        if self.holds_create and _creates(ticket):
            self.holds_create, self.held = False, ticket
            return
        if self.overtakes and _creates(ticket) and ticket.sender.witness.ours:
            self.overtakes, self.overtaking = False, ticket
            world.after(2.0 * delay, ticket.sender.answered, (ticket, GATEWAY_TIMEOUT))
            return
        if self.outage == "refused":
            world.after(delay, ticket.sender.answered, (ticket, NOT_SENT))
            return
        if link.troubled:
            if link.cut_out or (link.lose_out and link.draw() < link.lose_out):
                return
            if link.keeps is not None and ticket.lease is not None:
                link.keeps.append(ticket)
                return
            if link.repeat and link.draw() < link.repeat:
                late = delay + link.draw() * 2.0 * world.plan.longest_duration
                world.after(late, self._arrive_again, ticket)
            if link.held and link.draw() < 0.5:
                delay += link.draw() * link.held
        heappush(world.heap, (world.time + delay, world.number(), self._arrive, ticket))

    def let_kept_land(self, link: Link) -> None:
        """Let the first write that was kept arrive at last, and no other; keep none."""
        kept, link.keeps = link.keeps, None
        link.look()
        if kept:
            self._arrive_again(kept[0])

    def let_held_land(self) -> None:
        """Let a write that was held arrive at last; nobody waits for its answer."""
        ticket, self.held = self.held, None
        self.holds_create = False
        if ticket is not None:
            self._arrive_again(ticket)

    def _arrive_again(self, ticket: Ticket) -> None:
        """Apply a copy of a request, long after; nobody waits for its answer."""
        if self.outage is None:
            self._execute(ticket)

    def _arrive(self, ticket: Ticket) -> None:
        answer = ticket.sender.refused()
        outage = self.outage
        if answer is None and outage is None:
            if self.writes_fail and ticket.lease is not None:
                answer = INTERNAL
            else:
                answer = self._execute(ticket)
        elif answer is None and outage is not None:
            if outage in COMMITS:
                self._execute(ticket)
            answer = ANSWERS[outage]
            if answer is None:
                return
        assert answer is not None
        link = ticket.sender.link
        delay = link.delay + link.jitter * link.draw()
        if self.overtaking is not None and self._overtake(ticket, answer):
            delay += 2.0 * (link.delay + link.jitter) + link.watch_lag + 1e-3
        if link.troubled:
            if link.cut_in or (link.lose_in and link.draw() < link.lose_in):
                return
            if link.resend and ticket.lease is not None and link.draw() < link.resend:
                # Something in between sends it again and passes the second answer on.
                answer = self._execute(ticket)
            if link.held and link.draw() < 0.5:
                delay += link.draw() * link.held
        world, answered = self.world, ticket.sender.answered
        heappush(
            world.heap,
            (world.time + delay, world.number(), answered, (ticket, answer)),
        )

    def _overtake(self, read: Ticket, answer: Answer) -> bool:
        """Let a write land just after a read of its sender found nothing."""
        write = self.overtaking
        if write is None or read.lease is not None or read.sender is not write.sender:
            return False
        if answer.status == 404:
            self._execute(write)
        self.overtaking = None
        return answer.status == 404

    def _execute(self, ticket: Ticket) -> Answer:
        store, world = self.store, self.world
        if ticket.lease is None:
            link = ticket.sender.link
            stored = store.current
            if link.stale and link.draw() < 0.5:
                stored = store.at(world.time - link.draw() * link.stale)
                ticket.sender.witness.loss_excused = True
            return Answer(200, stored) if stored is not None else Answer(404)
        before, version = store.current, store.version
        answer = store.put(world.time, ticket.lease)
        if store.version != version:
            assert ticket.order is not None
            assert answer.stored is not None
            world.checks.applied(world.time, ticket.order, before, answer.stored)
            self.tell_watches()
            if world.recorder is not None:
                world.recorder.stored(world.time, answer.stored)
            if self.meddler is not None:
                world.after(MEDDLES_AFTER, self.meddler, None)
        return answer

    # Watches ------------------------------------------------------------------

    def open_watch(self, sink: WatchSink, number: int, version: str) -> Watch:
        """Order a watch; the server hears of it a moment later."""
        self.requests += 1
        watch = Watch(sink, number, int(version) if version.isdigit() else 0)
        link = sink.link
        delay = link.delay + link.jitter * link.draw()
        if self.outage == "refused":
            self.world.after(delay, self._end, (watch, NOT_SENT))
        elif link.cut_out or (link.lose_out and link.draw() < link.lose_out):
            watch.dead = True  # a connection that nobody answers on
        else:
            self.world.after(delay, self._watch_arrives, watch)
        return watch

    def close_watch(self, watch: Watch) -> None:
        """Close a watch from the client's side."""
        watch.dead = True
        self.watches.pop(watch, None)

    def _watch_arrives(self, watch: Watch) -> None:
        if watch.dead:
            return
        store, world = self.store, self.world
        if self.outage is not None:
            answer = ANSWERS[self.outage]
            if answer is not None:
                self._end_later(watch, answer)
            return
        if self.watch_denied:
            self._end_later(watch, FORBIDDEN)
            return
        watch.last = world.time
        if watch.version == 0:
            if store.current is not None:
                first = Change(world.time, store.version, "ADDED", store.current)
                self._push(watch, first)
            watch.version = store.version
        missed = store.since(watch.version)
        if missed is None:
            self._end_later(watch, Answer(410, None, "too old resource version"))
            return
        self.watches[watch] = None
        for change in missed:
            self._push(watch, change)

    def tell_watches(self, change: Change | None = None) -> None:
        """Send a change to every open watch, the newest one if none is named."""
        if change is None:
            change = self.store.history[-1]
        version = change.version
        for watch in self.watches:
            # A watch from the future hears only of what comes after it.
            if version > watch.version:
                self._push(watch, change)

    def _push(self, watch: Watch, change: Change) -> None:
        if watch.drop:
            watch.drop -= 1
            return
        sink, world = watch.sink, self.world
        link = sink.link
        if link.cut_in or watch.stalled is not None:
            if watch.stalled is None:
                watch.stalled = []
            watch.stalled.append(change)
            return
        due = world.time + link.delay + link.jitter * link.draw() + link.watch_lag
        if due < watch.last:
            due = watch.last
        watch.last = due
        heappush(world.heap, (due, world.number(), sink.watch_brought, (watch, change)))

    def _end_later(self, watch: Watch, answer: Answer | None) -> None:
        self.watches.pop(watch, None)
        link = watch.sink.link
        due = max(self.world.time + link.delay, watch.last)
        self.world.at(due, self._end, (watch, answer))

    def _end(self, watch_and_answer: tuple[Watch, Answer | None]) -> None:
        watch, answer = watch_and_answer
        if not watch.dead:
            watch.dead = True
            watch.sink.watch_ended(watch, answer)

    def resume_watches(self, link: Link | None, *, lost: bool) -> None:
        """After a cut: let stalled watches go on, or leave them half-open for ever."""
        for watch in list(self.watches):
            if watch.stalled is None or (
                link is not None and watch.sink.link is not link
            ):
                continue
            if lost:
                self.watches.pop(watch, None)
                continue
            held, watch.stalled = watch.stalled, None
            for change in held:
                self._push(watch, change)

    def end_watches(
        self, link: Link | None, answer: Answer | None, *, silently: bool = False
    ) -> int:
        """End watches of one machine (None: of all); tell how many there were."""
        ended = 0
        for watch in list(self.watches):
            if link is None or watch.sink.link is link:
                ended += 1
                if silently:
                    self.watches.pop(watch, None)
                else:
                    self._end_later(watch, answer)
        return ended

    def stall_watches(self) -> None:
        """Hold back what all watches bring, as in an outage without an answer."""
        for watch in self.watches:
            if watch.stalled is None:
                watch.stalled = []

    def bookmark(self, link: Link) -> int:
        """
        Send a bookmark on the watches of one machine.

        Other objects were written since the Lease was, but none after the bookmark:
        it is newer than the Lease, and older than what is written next.
        """
        sent = 0
        version = self.store.version + self.store.version % 3
        for watch in self.watches:
            if watch.sink.link is link and watch.stalled is None:
                sent += 1
                watch.sink.watch_bookmarked(watch, version)
        return sent

    # Outages ------------------------------------------------------------------

    def fail(self, outage: str) -> None:
        """Begin an outage of the API server."""
        self.outage = outage
        if outage in ENDS_WATCHES:
            self.end_watches(None, DISCONNECTED)
        elif outage == "black hole":
            self.stall_watches()

    def recover(self) -> None:
        """End an outage."""
        self.outage = None
        self.resume_watches(None, lost=False)

    def heal(self) -> None:
        """Put everything right, and end what hangs so that its readers notice."""
        self.recover()
        self.watch_denied = self.writes_fail = False
        self.holds_create, self.held = False, None
        self.overtakes, self.overtaking = False, None
        self.store.cap = self.meddler = None


def _creates(ticket: Ticket) -> bool:
    return ticket.lease is not None and not ticket.lease["metadata"].get("uid")


def summary(stored: Stored | None) -> str:
    """Show a Lease in a few words."""
    if stored is None:
        return "none"
    return f"holder={stored.holder or '-'} rv={stored.version}"


class NetworkedStage(Stage):
    """A stage with a network between its machines and the store."""

    def __init__(self, plan: Plan, **options: Unpack[Options]) -> None:
        super().__init__(plan, **options)
        settings = plan.nodes[0].settings
        store = LeaseStore(name=settings.lease_name, namespace=settings.namespace)
        seed = random.Random(plan.seed).getrandbits(64)
        self.network = Network(self, store, seed)
