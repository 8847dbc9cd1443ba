"""
Foreign electors on the same Lease, with the rules their implementations really keep.

They are simplified to what can be seen from outside: what they read, when they
write, when they believe. Their defects are kept, since ours has to live with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes_leader_election.testing.simulation.machine import Machine
from kubernetes_leader_election.testing.simulation.network import (
    Link,
    NetworkedStage,
    Ticket,
)
from kubernetes_leader_election.testing.simulation.store import Answer, Stored
from kubernetes_leader_election.testing.simulation.witness import Witness

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micro_time(microseconds: int) -> str:
    """Write a time as the API server wants it."""
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Rival:
    """What the rivals share: a request at a time, a timer, a belief."""

    keeps_rules = True

    def __init__(self, world: NetworkedStage, node: Machine) -> None:
        self.world = world
        self.node = node
        self.link: Link = node.link
        self.settings = node.plan.settings
        self.identity = self.settings.identity
        self.alive = True
        self.leads = False
        self.witness = Witness(
            name=node.name,
            identity=self.identity,
            own_duration=self.settings.lease_duration,
            renew_deadline=self.settings.renew_deadline,
            ours=False,
            keeps_rules=self.keeps_rules,
        )
        self._numbers = 0
        self._waiting: dict[int, Callable[[Answer], None]] = {}
        self._inbox: list[tuple[Ticket, Answer]] = []
        self._wake = 0

    def start(self, _: object = None) -> None:
        """Start taking part."""
        self.step(self._wake)

    def step(self, wake: int) -> None:
        """Do what the timer is for."""
        if self.alive and wake == self._wake and not self.node.frozen:
            self._wake += 1
            self.turn()

    def turn(self) -> None:
        """Take one turn of the loop."""
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        """Take the next turn after so many seconds of its own clock."""
        self.world.after(seconds / self.node.clocks.rate, self.step, self._wake)

    def now(self) -> float:
        """Read the monotonic clock."""
        return self.node.clocks.read(self.world.time).monotonic

    def wall(self) -> int:
        """Read the wall clock, in microseconds."""
        return self.node.clocks.read(self.world.time).wall

    def ask(
        self, then: Callable[[Answer], None], lease: Mapping[str, Any] | None = None
    ) -> None:
        """Send a GET, or a PUT of ``lease``; ``then`` takes what comes of it."""
        self._numbers += 1
        number = self._numbers
        self._waiting[number] = then
        world = self.world
        order = None
        if lease is not None:
            now = self.node.clocks.read(world.time)
            clocks = (now.boottime, now.monotonic)
            order = world.checks.ordered(world.time, self.witness, lease, clocks)
        kind = "GetLease" if lease is None else "UpdateLease"
        if world.recorder is not None:
            text = f"> {kind}"
            if lease is not None:
                text += f" holder={lease['spec']['holderIdentity']}"
            world.recorder.order(world.time, self.node.name, number, text)
        world.network.send(Ticket(self, number, kind, world.time, lease, order))
        world.after(self.settings.request_timeout, self._timed_out, number)

    def _timed_out(self, number: int) -> None:
        then = self._waiting.pop(number, None)
        if then is not None and self.alive and not self.node.frozen:
            then(Answer(0))

    def refused(self) -> Answer | None:
        """Have good credentials."""
        return None

    def answered(self, ticket_and_answer: tuple[Ticket, Answer]) -> None:
        """Take an answer from the network."""
        if not self.alive:
            return
        if self.node.frozen:
            self._inbox.append(ticket_and_answer)
            return
        ticket, answer = ticket_and_answer
        then = self._waiting.pop(ticket.number, None)
        if then is not None:
            if answer.stored is not None:
                self.world.checks.observed(self.witness, self.now(), answer.stored)
            if self.world.recorder is not None:
                self.world.recorder.answer(
                    self.world.time, self.node.name, ticket.number, f"< {answer.status}"
                )
            then(answer)

    def thawed(self) -> None:
        """Run again after a freeze."""
        waiting, self._inbox = self._inbox, []
        for ticket_and_answer in waiting:
            self.answered(ticket_and_answer)
        self._waiting.clear()
        if self.alive:
            self.world.after(0.0, self.step, self._wake)

    def believe(self, *, leads: bool) -> None:
        """Begin or end belief and work, which are one to these."""
        if leads is self.leads:
            return
        self.leads = leads
        world = self.world
        if leads:
            self.witness.open_term = self.witness.term = self.witness.term + 1
            world.checks.belief_began(world.time, self.witness, self.witness.term)
        else:
            world.checks.belief_ended(world.time, self.witness)
        if world.recorder is not None:
            world.recorder.belief(world.time, self.node.name, believing=leads)

    def die(self) -> None:
        """End at once."""
        if self.alive:
            self.alive = False
            self.believe(leads=False)
            self.world.checks.died(self.world.time, self.witness)

    def lease(self, base: Stored | None, **spec: object) -> dict[str, Any]:
        """Return the Lease to be written, on top of what was read."""
        if base is None:
            store = self.world.network.store
            metadata = {"name": store.name, "namespace": store.namespace}
            return {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": metadata,
                "spec": spec,
            }
        return {**base.lease, "spec": {**base.lease["spec"], **spec}}


class ClientGoRival(Rival):
    """
    Elect as client-go does.

    GET and PUT each retry period; change is seen in whole seconds; the record's own
    duration is waited for on its monotonic clock; it believes until the renew
    deadline, counted from the *answer* to its last renewal (its own defect).
    """

    def __init__(self, world: NetworkedStage, node: Machine) -> None:
        super().__init__(world, node)
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0
        self._base: Stored | None = None
        self._renewed_at = 0.0

    def turn(self) -> None:
        """Try to acquire or renew, then sleep for the retry period."""
        retry = self.settings.renew_interval
        if self.leads and self.now() - self._renewed_at > self.settings.renew_deadline:
            self._lose()
            return
        if self.leads and self._base is not None:
            self._write(self._base)
        else:
            self.ask(self._read)
        # Where it does not lead it sleeps with a jitter factor of 1.2.
        self.sleep(retry if self.leads else retry * (1 + 1.2 * self.node.draw()))

    def _read(self, answer: Answer) -> None:
        if answer.status == 404:
            self._write(None)
            return
        stored = answer.stored
        if stored is None:
            return
        spec = stored.lease["spec"]
        in_seconds = (
            stored.holder,
            stored.duration,
            str(spec.get("acquireTime"))[:19],
            str(spec.get("renewTime"))[:19],
            spec.get("leaseTransitions"),
        )
        if in_seconds != self._seen:
            self._seen, self._seen_at = in_seconds, self.now()
        valid = self._seen_at + (stored.duration or 0) > self.now()
        if stored.holder and valid and stored.holder != self.identity:
            self._base = None
            self.believe(leads=False)
            return
        self._write(stored)

    def _write(self, base: Stored | None) -> None:
        stamp = micro_time(self.wall())
        again = base is not None and base.holder == self.identity
        old = base.lease["spec"] if base is not None else {}
        lease = self.lease(
            base,
            holderIdentity=self.identity,
            leaseDurationSeconds=self.settings.lease_duration,
            acquireTime=old.get("acquireTime") if again else stamp,
            renewTime=stamp,
            leaseTransitions=(old.get("leaseTransitions") or 0) + (0 if again else 1),
        )
        self.ask(self._written, lease)

    def _written(self, answer: Answer) -> None:
        if answer.status in (200, 201) and answer.stored is not None:
            self._base = answer.stored
            self._renewed_at = self.now()
            self.believe(leads=True)
        else:
            self._base = None  # the fast path failed: GET next time

    def _lose(self) -> None:
        """Exit, as its programs do, and be restarted by the kubelet."""
        self._base = self._seen = None
        self.believe(leads=False)
        self.sleep(2.0)


class NodePackageRival(Rival):
    """
    Elect as the Node package does.

    It creates Leases without a duration, never raises the transitions, compares its
    wall clock with the record's renew time, and drops leadership for good at the
    first renewal that fails.
    """

    keeps_rules = False

    def __init__(self, world: NetworkedStage, node: Machine) -> None:
        super().__init__(world, node)
        self._base: Stored | None = None
        self._tries = 0

    def turn(self) -> None:
        """Renew while leading, else look whether the Lease has run out."""
        if self.leads and self._base is not None:
            lease = self.lease(self._base, renewTime=micro_time(self.wall()))
            self.ask(self._renewed, lease)
        elif self._tries < 3:
            self.ask(self._read)
        self.sleep(self.settings.renew_interval)

    def _read(self, answer: Answer) -> None:
        stamp = micro_time(self.wall())
        spec = {
            "holderIdentity": self.identity,
            "acquireTime": stamp,
            "renewTime": stamp,
        }
        if answer.status == 404:
            self.ask(self._acquired, self.lease(None, **spec))
            return
        stored = answer.stored
        if stored is None:
            self._tries += 1
            return
        renewed = stored.lease["spec"].get("renewTime")
        if stored.holder and isinstance(renewed, str):
            age = self.wall() - (datetime.fromisoformat(renewed) - _EPOCH) // timedelta(
                microseconds=1
            )
            duration = stored.duration or self.settings.lease_duration
            if age < duration * 1_000_000:
                return
        duration = self.settings.lease_duration
        self.ask(
            self._acquired, self.lease(stored, leaseDurationSeconds=duration, **spec)
        )

    def _acquired(self, answer: Answer) -> None:
        if answer.status in (200, 201) and answer.stored is not None:
            self._base = answer.stored
            self.believe(leads=True)
        else:
            self._tries += 1

    def _renewed(self, answer: Answer) -> None:
        if answer.status == 200 and answer.stored is not None:
            self._base = answer.stored
        else:
            self._tries = 3  # for good
            self.believe(leads=False)


RIVALS: dict[str, type[Rival]] = {
    "client-go": ClientGoRival,
    "node-package": NodePackageRival,
}
