"""
What a simulated process has under way: its requests and its watch.

It carries out what the core orders, and translates what comes back, as the engine and
the client of the API do in a real process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.pods.proof import Proven, judge_pod
from kubernetes_leader_election.testing.simulation.machine import Machine
from kubernetes_leader_election.testing.simulation.network import (
    AWAY,
    DISCONNECTED,
    FORBIDDEN,
    NO_NAMESPACE,
    NOT_SENT,
    THROTTLED,
    Link,
    NetworkedStage,
    Ticket,
    Watch,
)
from kubernetes_leader_election.testing.simulation.store import Answer, Change, Stored
from kubernetes_leader_election.testing.simulation.witness import Witness
from kubernetes_leader_election.testing.simulation.writes import LONGEST_ASKED, NEVER
from kubernetes_leader_election.testing.simulation.writes import asks as is_question

ORDERS_A_SECOND = 50
"""Requests of one process in a second that no fault excuses: a hot loop (fault 24)."""

_REFUSED = frozenset({-1, 400, 401, 403, 404, 408, 422, 429})
"""Statuses that say of a request that it was not applied; -1: never sent."""
_RETRY_AFTER = {THROTTLED: 1.0, AWAY: 999_999.0}

_ERRORS: dict[tuple[int, str], LeaseApiError] = {}


def _error(answer: Answer) -> LeaseApiError:
    """Return the error for an answer; made once for each, for speed."""
    key = (answer.status, answer.reason)
    error = _ERRORS.get(key)
    if error is None:
        not_done = answer.status in _REFUSED
        error = _ERRORS[key] = LeaseApiError(
            answer.reason,
            status=answer.status if answer.status > 0 else None,
            reason=answer.reason,
            retry_after=_RETRY_AFTER.get(answer),
            outcome="not done" if not_done else "unknown",
        )
    return error


class Wire:
    """Carry requests to the network and answers to the core."""

    # A dictionary of more than thirty fields is slower to read, and so are methods.
    __slots__ = (
        "_second",
        "acquire_time",
        "alive",
        "asked_at",
        "inbox",
        "link",
        "looked",
        "name",
        "node",
        "nonce",
        "now",
        "open",
        "orders",
        "patience",
        "refused_at",
        "sought",
        "watch",
        "witness",
        "world",
        "writes",
    )

    def __init__(
        self, world: NetworkedStage, node: Machine, name: str, witness: Witness
    ) -> None:
        self.world = world
        self.node = node
        self.name = name
        self.witness = witness
        self.link: Link = node.link
        self.alive = True
        self.inbox: list[tuple[Callable[[Any], None], Any]] = []
        self.open: dict[int, str] = {}
        self.watch: Watch | None = None
        self.sought: m.SeekProof | None = None
        """Whose end it looks for in that one's pod."""
        self.nonce = ""
        """What it left for its kubelet to report; empty: it is in no pod."""
        self.asked_at = -1.0
        """When the last read was ordered."""
        self.acquire_time: object = None
        """Of the last acquire that was ordered."""
        self.refused_at = NEVER
        """When that was refused; who refused it need not know (rule 10)."""
        self.looked = False
        """A read that was ordered since then has failed: one look is enough."""
        self.patience = 0.0
        """The time limit of its requests, in seconds."""
        self.orders = 0
        self.writes = 0
        """How many of the orders were writes."""
        self._second = (0.0, 0)
        """When the present second began, and how many orders there were by then."""
        self.now = node.clocks.read(world.time)
        """The clocks when the core was last given something: it orders nothing else."""

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
        raise NotImplementedError

    def ran_out(self) -> bool:
        """Return whether a term is over by the clock, which is looked at first (rule 15)."""
        return False

    def is_over(self) -> bool:
        """Return the same, also while its work runs on, of which no event tells."""
        return False

    def stop_now(self, _: object) -> None:
        """Ask to stop, at the instant at which an acquire was ordered."""
        raise NotImplementedError

    # Requests -----------------------------------------------------------------

    def _count_order(self) -> None:
        self.orders += 1
        time = self.world.time
        begun, before = self._second
        if time - begun > 1.0:
            self._second = (time, self.orders)
        elif self.orders - before > ORDERS_A_SECOND:
            text = f"ordered {ORDERS_A_SECOND} requests in {time - begun:.3f} s"
            self.world.checks.broken(time, "G9", self.name, text)

    def _check_alone(self, kind: str, number: int) -> None:
        """Check that no other request of its kind is under way (rule 9)."""
        if kind in self.open.values():
            text = f"orders request {number}, and never abandoned the one before"
            self.world.checks.broken(self.world.time, "G5", self.name, text)

    def _late(self, deadline: float) -> bool:
        """Return whether a request may not be sent any more."""
        return self.node.clocks.read(self.world.time).boottime >= deadline

    def _get(self, request: m.GetLease) -> None:
        number = request.request_id
        if self.open:
            self._check_alone("GetLease", number)
        self.open[number] = "GetLease"
        self.witness.heard_at = self.now[1]
        self.asked_at = self.world.time
        self._count_order()
        if self.world.recorder is not None:
            self._note_order(request, number)
        ticket = Ticket(self, number, "GetLease", self.world.time)
        ticket.known = self.witness.shown
        ticket.newest = self.witness.newest
        self._send(ticket, request.deadline)

    def _put(self, request: m.CreateLease | m.UpdateLease) -> None:
        world = self.world
        number = request.request_id
        kind = type(request).__name__
        if self.open:
            self._check_alone("LeasePUT", number)
            if "GetLease" in self.open.values():
                self.witness.heard_at = self.now[1]  # it is asking
        self.open[number] = "LeasePUT"
        self._count_order()
        self.writes += 1
        clocks = self.now
        spec = request.lease["spec"]
        asks = is_question(self.witness, request.lease)
        acquires = (
            spec["holderIdentity"] and spec["acquireTime"] != self.witness.term_acquire
        )
        if acquires and not asks:
            self.acquire_time = spec["acquireTime"]
            self.refused_at, self.looked = NEVER, False
        order = world.checks.ordered(world.time, self.witness, request.lease, clocks)
        if world.recorder is not None:
            self._note_order(request, number)
        if self.node.ambush is not None:
            self._spring(self.node.ambush, spec, asks=asks)
        if self.node.stops_acquire and request.lease["spec"]["holderIdentity"]:
            if not self.witness.open_term:
                self.node.stops_acquire = False
                world.after(0.0, self.stop_now, None)
        ticket = Ticket(self, number, kind, world.time, request.lease, order)
        self._send(ticket, request.deadline)

    def _spring(
        self,
        ambush: tuple[str, Callable[[Any], None]],
        spec: Mapping[str, Any],
        *,
        asks: bool,
    ) -> None:
        """Let happen what was to happen at the instant of such a write."""
        kind, action = ambush
        witness = self.witness
        if asks:
            now = kind == "ask"
        elif not spec.get("holderIdentity"):
            now = kind == "release"
        elif spec.get("acquireTime") != witness.term_acquire:
            now = kind == "acquire"
        else:
            late = witness.last_applied_sent + witness.renew_deadline - self.now[0]
            now = kind == "renew" or (kind == "late" and late < self.patience)
        if now:
            self.node.ambush = None
            action(self)

    def _send(self, ticket: Ticket, deadline: float) -> None:
        node = self.node
        if node.send_lag:
            lag = node.send_lag * node.draw()
            self.world.after(lag, self._send_later, (ticket, deadline))
        elif self.now[0] >= deadline:
            self.world.after(0.0, self._not_sent, ticket)
        else:
            self.world.network.send(ticket)

    def _send_later(self, ticket_and_deadline: tuple[Ticket, float]) -> None:
        self.do(self._send_now, ticket_and_deadline)

    def _send_now(self, ticket_and_deadline: tuple[Ticket, float]) -> None:
        ticket, deadline = ticket_and_deadline
        node = self.node
        if ticket.number not in self.open:
            return
        if self._late(deadline):
            self._not_sent(ticket)
            return
        if ticket.order is not None:
            boottime = node.clocks.boottime(self.world.time)
            self.world.checks.sent(self.world.time, ticket.order, boottime)
        self.world.network.send(ticket)

    def _not_sent(self, ticket: Ticket) -> None:
        self.answered((ticket, NOT_SENT))

    def refused(self) -> Answer | None:
        """Return what the API server thinks of this process's rights."""
        return self.node.refused

    def answered(self, ticket_and_answer: tuple[Ticket, Answer]) -> None:
        """Take an answer from the network: now, after the thaw, or never."""
        if not self.alive:
            return
        if self.node.frozen:
            self.inbox.append((self.answered, ticket_and_answer))
            return
        ticket, answer = ticket_and_answer
        if self.open.pop(ticket.number, None) is None:
            return  # abandoned: a driver does not pass such answers on
        silent = self._knows_of_silence(ticket, answer)
        message = self._translate(ticket, answer)
        if self.world.recorder is not None:
            text = f"< {type(message).__name__}{_brief(answer)}"
            self.world.recorder.answer(self.world.time, self.name, ticket.number, text)
        self.say(message)
        if silent is not None and self.watch is silent:
            text = "keeps a watch on which nothing comes, though it read of a restore"
            self.world.checks.broken(self.world.time, "G7", self.name, text)

    def _knows_of_silence(self, ticket: Ticket, answer: Answer) -> Watch | None:
        """Return its watch where a read shows that this began after all that comes."""
        watch, known, network = self.watch, ticket.known, self.world.network
        if watch is None or known is None or watch not in network.watches:
            return None
        # A bookmark may be up to two versions ahead of what the server has.
        if watch.version <= network.store.version + 2:
            return None
        witness, stored = self.witness, answer.stored
        if witness.shown != known or witness.absent_since is not None:
            return None  # it heard more since, or knows of no version any more
        if stored is None:
            return (
                watch if answer.status == 404 and answer is not NO_NAMESPACE else None
            )
        return watch if stored.version < known else None

    def _translate(self, ticket: Ticket, answer: Answer) -> m.Message:
        number, (status, stored, reason) = ticket.number, answer
        witness = self.witness
        if stored is not None:
            if ticket.lease is None:
                self.world.checks.went_back(
                    witness, stored, ticket.known, self.now_monotonic()
                )
            if ticket.lease is None or not self.ran_out():
                self._observe(stored, read=ticket.lease is None)
            if ticket.lease is None:
                return m.LeaseFetched(request_id=number, lease=stored.lease)
            witness.answered = self.node.clocks.boottime(self.world.time)
            return m.LeaseWritten(request_id=number, lease=stored.lease)
        if status == 404 and ticket.lease is None and answer is not NO_NAMESPACE:
            self.world.checks.found_nothing(
                witness, ticket.known, ticket.newest, self.now_monotonic()
            )
            self._observe(None)
            return m.LeaseNotFound(request_id=number)
        self._hindered()
        if ticket.lease is None:
            self.looked |= ticket.sent >= self.refused_at
        if answer in _RETRY_AFTER:
            self._asked_to_wait(answer)
        if status == 409 or (status == 422 and "must be specified" in reason):
            witness.doubtful = True
            return m.WriteConflict(request_id=number, message=reason)
        if status in _REFUSED:
            if ticket.lease is not None:
                if ticket.lease["spec"]["acquireTime"] == self.acquire_time:
                    self.refused_at = self.world.time
            return m.RequestFailed(request_id=number, error=_error(answer))
        if ticket.lease is not None:
            witness.doubtful = True
        return m.OutcomeUnknown(request_id=number, error=_error(answer))

    def now_monotonic(self) -> float:
        """Return its CLOCK_MONOTONIC."""
        return self.node.clocks.read(self.world.time).monotonic

    def _hindered(self) -> None:
        """Note that something keeps the process from what it would do else."""
        clocks, time = self.node.clocks, self.world.time
        now = clocks.last if clocks.last_at == time else clocks.read(time)
        witness = self.witness
        witness.ready_at = now[0]
        if now[1] > witness.hindered_at:
            witness.hindered_at = now[1]

    def _asked_to_wait(self, answer: Answer) -> None:
        """Note that a server asked for a pause, which is honoured up to a limit."""
        longest = max(LONGEST_ASKED, float(self.witness.own_duration))
        asked = min(_RETRY_AFTER[answer], longest)
        until = self.now_monotonic() + asked
        self.witness.hindered_at = max(self.witness.hindered_at, until)

    def _observe(
        self, stored: Stored | None, *, deleted: bool = False, read: bool = False
    ) -> None:
        world, witness, clocks = self.world, self.witness, self.node.clocks
        time = world.time
        now = clocks.last if clocks.last_at == time else clocks.read(time)
        if stored is not None and stored.challenged:
            witness.ends.questions.setdefault((stored.version, stored.key), now[1])
        world.checks.observed(witness, now[1], stored, deleted=deleted, read=read)
        if stored is None or deleted or stored.holder != witness.identity:
            return
        times, before = stored.key[3:5], witness.proved_as
        again = times == witness.proved
        if times in witness.written and times[1] > witness.proved[1]:
            witness.proved = times
            if witness.leads and not witness.marred:
                witness.edits = 0  # it went well for a whole renew interval
            witness.marred = False
        elif not again or before is None or stored.mark < before.mark:
            return  # a read or a watch that lags shows nothing of the newest
        witness.proved_as = stored
        if stored.duration == witness.own_duration:
            return
        if again and before is not None and stored.key == before.key:
            return  # a label was touched, or it is shown once more: no edit
        current = world.network.store.current
        world.checks.cut_short(
            world.time,
            witness,
            stored,
            now,
            again=again,
            old=current is None or current.key != stored.key,
            over=self.is_over(),
        )

    def _abandon(self, request: m.AbandonRequest) -> None:
        number = request.request_id
        if self.watch is not None and self.watch.number == number:
            self.world.network.close_watch(self.watch)
            self.watch = None
        if self.sought is not None and self.sought.request_id == number:
            self.stop_seeking()
        kind = self.open.pop(number, None)
        if kind is None:
            return
        self._hindered()
        if kind == "LeasePUT":
            self.witness.doubtful = True
        elif self.asked_at >= self.refused_at:
            waited = (self.world.time - self.asked_at) * self.node.clocks.rate
            self.looked |= waited > 0.99 * self.patience  # else it was given up
        if self.world.recorder is not None:
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

    # The pod of the holder ----------------------------------------------------

    def _seek(self, request: m.SeekProof) -> None:
        if self.sought is not None:
            text = "watches a pod, and never closed the watch on the one before"
            self.world.checks.broken(self.world.time, "G9", self.name, text)
        self.sought = request
        if self.witness.ends.seeks_too_often(request.note.nonce, self.now[1]):
            text = "watches the pod of one holder again and again (fault 24)"
            self.world.checks.broken(self.world.time, "G9", self.name, text)
        self._note_order(request, request.request_id)
        self._after_the_way(self._first_look, (request, "ADDED", None))

    def stop_seeking(self) -> None:
        """Watch no pod any more."""
        if self.sought is not None:
            kubelet = self.world.network.pods.get(self.sought.note.pod)
            if kubelet is not None:
                kubelet.followers.pop(id(self.sought), None)
            self.sought = None

    def _after_the_way(self, action: Callable[[Any], None], argument: Any) -> None:
        link = self.link
        wait = 2.0 * (link.delay + link.jitter * link.draw())
        self.world.after(wait, partial(self.do, action), argument)

    def _first_look(self, seen: tuple[m.SeekProof, str, Any]) -> None:
        request, network = seen[0], self.world.network
        if request is not self.sought:
            return
        link = self.link
        if link.cut_out or link.cut_in or network.outage is not None:
            self.witness.ends.unreadable_at = self.now_monotonic()
            self._sees_no_pod(m.ProofUnreadable, error=_error(DISCONNECTED))
            return
        kubelet = network.pods.get(request.note.pod)
        if kubelet is None or kubelet.pod is None:
            self._sees_no_pod(m.ProofRefuted, why="the pod is gone")
            return

        def follow(kind: str, pod: Mapping[str, Any]) -> None:
            if not link.cut_in and network.outage is None:  # else half open, or lost
                self._after_the_way(self._look, (request, kind, pod))

        kubelet.followers[id(request)] = follow
        self._look((request, "ADDED", kubelet.pod))
        if link.pods_fail:
            self._after_the_way(self._pod_watch_ends, (request, DISCONNECTED))

    def end_pod_watch(self, answer: Answer | None) -> bool:
        """End its watch on a pod; None: in good order. Tell whether there was one."""
        if self.sought is None or self.link.cut_in:
            return False
        self.do(self._pod_watch_ends, (self.sought, answer))
        return True

    def _pod_watch_ends(self, ended: tuple[m.SeekProof, Answer | None]) -> None:
        request, answer = ended
        if request is not self.sought:
            return
        broken = answer is not None
        self.witness.ends.pod_watch_ended(self.now_monotonic(), broken=broken)
        error = None if answer is None else _error(answer)
        self._sees_no_pod(m.ProofUnreadable, error=error)

    def _sees_no_pod(self, answer: type[Any], **what: Any) -> None:
        assert self.sought is not None
        number = self.sought.request_id
        self.stop_seeking()
        self.say(answer(request_id=number, **what))

    def _look(self, seen: tuple[m.SeekProof, str, Mapping[str, Any]]) -> None:
        request, kind, pod = seen
        if request is not self.sought:
            return
        note = request.note
        judged = judge_pod(pod, note)
        if isinstance(judged, Proven):
            self.witness.ends.proofs.add(note.nonce)
            self.say(m.ProofSeen(request_id=request.request_id, why=judged.why))
        elif kind == "DELETED" or judged.for_good:
            self.witness.ends.refuted.add(note.nonce)
            self._sees_no_pod(m.ProofRefuted, why=judged.why)

    # Watches ------------------------------------------------------------------

    def _open_watch(self, request: m.WatchLease) -> None:
        self._count_order()
        if self.watch is not None:
            text = "opens a watch, and never closed the one before"
            self.world.checks.broken(self.world.time, "G9", self.name, text)
        self.witness.heard_at = self.now[1]
        self.witness.ends.opens_watch()
        self._note_order(request, request.request_id)
        self.watch = self.world.network.open_watch(
            self, request.request_id, request.resource_version
        )

    def watch_brought(self, watch_and_change: tuple[Watch, Change]) -> None:
        """Take one event of a watch from the network: now, after the thaw, or never."""
        watch, change = watch_and_change
        if watch is not self.watch or not self.alive:
            return
        if self.node.frozen:
            self.inbox.append((self.watch_brought, watch_and_change))
            return
        world = self.world
        _, _, kind, stored = change
        if self.witness.ends.challenge is not None:
            self._hears(stored, deleted=kind == "DELETED")
        self._observe(stored, deleted=kind == "DELETED")
        if world.recorder is not None:
            text = f"< WatchEvent {kind}{_brief(Answer(200, stored))}"
            world.recorder.event(world.time, self.name, text)
        self.say(m.WatchEvent(request_id=watch.number, type=kind, object=stored.lease))
        if stored.challenged and stored is world.network.store.current:
            self._check_answered(stored)

    def _check_answered(self, stored: Stored) -> None:
        """Check that a holder that was asked, and could write, answers at once (rule 19)."""
        witness = self.witness
        if not (self.alive and witness.leads and witness.ends.challenge is not None):
            return
        if stored.stamp not in witness.stamps or stored.key[3] != witness.term_acquire:
            return
        if witness.answered is None or self.ran_out():
            return  # a write of its own failed, or is under way
        if "LeasePUT" not in self.open.values():
            text = "was asked whether it lives, and does not answer (rule 19)"
            self.world.checks.broken(self.world.time, "G1", self.name, text)

    def _hears(self, stored: Stored, *, deleted: bool) -> None:
        """Note what the open watch shows of who lives, and of its own last write."""
        witness, ends, times = self.witness, self.witness.ends, stored.key[3:5]
        if times in witness.written and stored.holder == witness.identity:
            if ends.heard_back is None or ends.heard_back[0] != times:
                now = self.node.clocks.read(self.world.time)
                ends.heard_back = (times, now.boottime)
        if not deleted:
            ends.hears(witness.newest_seen, stored)

    def watch_bookmarked(self, watch: Watch, version: int) -> None:
        """Take a bookmark from the network."""
        self.do(self._take_bookmark, (watch, version))

    def _take_bookmark(self, watch_and_version: tuple[Watch, int]) -> None:
        watch, version = watch_and_version
        if watch is self.watch:
            now = self.node.clocks.read(self.world.time)
            self.witness.heard_at = now.monotonic
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
        if answer is FORBIDDEN:
            # For all it can know it may not watch, and polls for a while (rule 16).
            self.world.polls = True
        error = None
        if answer is not None:
            self.witness.recreates = False  # it may miss what came and went
            error = _error(answer)
            if answer in _RETRY_AFTER:
                self._asked_to_wait(answer)
        self.say(m.WatchEnded(request_id=watch.number, error=error))

    def drop_watch(self) -> None:
        """Notice that a half-open connection is dead (a reset came at last)."""
        if self.watch is not None:
            watch = self.watch
            self.world.network.close_watch(watch)
            self.do(self._take_end, (watch, DISCONNECTED))


def _brief(answer: Answer) -> str:
    stored = answer.stored
    if stored is not None:
        return f" holder={stored.holder or '-'} rv={stored.version}"
    return f" {answer.reason}" if answer.reason else ""
