"""
What goes wrong at the very instant of a write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kubernetes_leader_election.testing.simulation.lease_faults import (
    ask_to_hand_over,
    cap,
    change_spec,
    delete,
    label,
    move,
    recreate,
    undone_label,
)
from kubernetes_leader_election.testing.simulation.network_faults import (
    cut,
    watch_end,
    writes_fail,
)
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.pod_faults import container_killed
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.process_faults import (
    freeze,
    hurry_again,
    newest,
    not_alive,
    step_down,
    stop_and_start,
    thaw,
)
from kubernetes_leader_election.testing.simulation.scene import Scene


def stop_acquiring(world: Scene, fault: Fault, node: Node) -> bool:
    """Stop the application of a node at the very instant of its next acquire."""
    node.stops_acquire = True
    return True


def ambush(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Let something happen at the very instant of a node's next write of a kind.

    Or ``amount`` seconds after it, while the holder still has time for an answer, say.
    """
    kind, _, what = fault.detail.partition(": ")

    def spring(writer: Process) -> None:
        if kind == "ask" and len(node.living) > 1:
            return  # beside it may run the very holder, which is to hear and answer
        if what in ("freeze", "answer"):
            _freeze_late(world, writer, sent=what == "answer")
        else:
            world.after(fault.amount, AMBUSHES[what], (world, fault, node))

    node.ambush = (kind, spring)
    return True


def _freeze_late(world: Scene, writer: Process, *, sent: bool) -> None:
    """
    Freeze the node of a process until just after L, with a write in its hands.

    ``sent``: it is under way already, and its answer is looked at before the timer.
    """
    node, witness, settings = writer.node, writer.witness, writer.settings
    if node.frozen or witness.last_applied_sent == -math.inf:
        return  # it never had a term whose end could be waited for
    now = node.clocks.boottime(world.time)
    left = witness.last_applied_sent + witness.renew_deadline - now
    length = left + 0.5 * max(0.0, settings.request_timeout - left)
    if sent:
        node.answers_first = True
    else:
        node.send_lag = 1e-3
    world.after(0.0, _freeze_now, node)
    world.after(length / node.clocks.rate, thaw, (node, 0.0))
    world.after(length / node.clocks.rate, hurry_again, node)


def _freeze_now(node: Node) -> None:
    if not node.frozen:
        node.freeze("stop")


# What comes late -------------------------------------------------------------


def held_release(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Hold the release of who leads until it gave up, or until others take it for dead.

    "returned": its work returns, and the release lands just after it was given up, at
    a moment that ``amount``, from 0 to 1, chooses. "transferred": it was asked to hand
    over to another, and the release lands while others contend for what has expired.
    """
    leader = newest(node)
    if leader is None or not leader.work_runs:
        return False

    def spring(writer: Process) -> None:
        link = writer.link
        link.keeps = []
        link.look()
        if fault.detail == "returned":
            given_up = writer.now[0] + 3 * writer.settings.request_timeout
            lands = writer.node.clocks.when_boottime(given_up) + 0.06 * fault.amount
        else:
            lands = _expires(world, node) + 0.4 * fault.amount
        world.at(max(lands, world.time), world.network.let_kept_land, link)

    node.ambush = ("release", spring)
    if fault.detail == "returned":
        leader.do(leader.work_returns, None)
        return True
    others = [other for other in world.processes() if other.node is not node]
    return bool(others) and ask_to_hand_over(world, others[0].identity)


def late_acquire(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Keep the next acquire of a node, and its next try; then let the first one land.

    Nobody else can write meanwhile, so both are based on what still stands there.
    ``amount``, from 0 to 1, chooses when after the first time limit that is.
    """

    def spring(writer: Process) -> None:
        link, limit = writer.link, writer.settings.request_timeout
        link.keeps = []
        link.look()
        lands = (1.3 + 0.6 * fault.amount) * limit / writer.node.clocks.rate
        for other in world.nodes.values():
            if other is not node:
                alone = replace(fault, length=lands + limit, detail="out", amount=0.0)
                cut(world, alone, other)
        world.after(lands, world.network.let_kept_land, link)

    node.ambush = ("acquire", spring)
    return True


def _expires(world: Scene, node: Node) -> float:
    """Return when the first of the other nodes takes the record for expired."""
    history = world.network.store.history
    rates = [n.clocks.rate for n in world.nodes.values() if n is not node]
    last = history[-1] if history else None
    if last is None or not rates:
        return world.time
    return last.time + (last.stored.duration or 20) / max(rates)


def copied_acquire(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Lose the answer to the next acquire, and copy the Lease before it is looked at.

    The copy has another uid. "recreated": on the same server; "moved": on another one,
    whose versions are lower, as by ``kubectl get -o yaml`` here and ``create`` there.
    """

    def spring(writer: Process) -> None:
        link = writer.link
        world.network.end_watches(link, None, silently=True)
        world.after(link.delay + link.jitter + 1e-3, _copy, (world, fault, writer))
        _lose_answer(world, writer)

    node.ambush = ("acquire", spring)
    return True


def _copy(copied: tuple[Scene, Fault, Process]) -> None:
    world, fault, writer = copied
    current = world.network.store.current
    if current is None or current.key[3] != writer.acquire_time:
        return  # it did not land
    if fault.detail == "moved":
        move(world, fault)
    else:
        recreate(world, Fault(at=world.time, kind="recreate", detail="unseen"))


def capped_acquire(world: Scene, fault: Fault, node: Node) -> bool:
    """Cut the next acquire to ``amount`` seconds, and lose the answer to it."""

    def spring(writer: Process) -> None:
        cap(world, fault)
        _lose_answer(world, writer)

    node.ambush = ("acquire", spring)
    return True


def _lose_answer(world: Scene, writer: Process) -> None:
    """Lose what is answered to a write of this instant, on a link in good order."""
    link = writer.link
    link.lose_in = 1.0
    link.look()
    world.after(2 * (link.delay + link.jitter) + 2e-3, _answers_arrive, writer)


def _answers_arrive(writer: Process) -> None:
    writer.link.lose_in = 0.0
    writer.link.look()


Sprung = tuple[Scene, Fault, Node]


def _fail_driver(sprung: Sprung) -> None:
    """Let the write fail, then the driver."""
    world, fault, node = sprung
    process = newest(node)
    writes_fail(world, fault)
    if process is not None:
        process.do(process.driver_failed, None)


def _suspend(sprung: Sprung) -> None:
    """Suspend the machine of who writes: its CLOCK_BOOTTIME goes on without it."""
    _, fault, node = sprung
    freeze(sprung[0], replace(fault, detail="suspend"), node)


AMBUSHES: Final[dict[str, Callable[[Sprung], object]]] = {
    "delete": lambda s: delete(s[0], s[1]),
    "recreate": lambda s: recreate(s[0], s[1]),
    "edit": lambda s: change_spec(s[0], {"holderIdentity": "somebody"}),
    "label": lambda s: label(s[0], s[1]),
    "undone label": lambda s: undone_label(s[0], s[1]),
    "stop": lambda s: stop_and_start(*s),
    "fail": _fail_driver,
    "suspend": _suspend,
    "not alive": lambda s: not_alive(*s),
    "step down": lambda s: step_down(s[0], replace(s[1], amount=0.0), s[2]),
    "watch end": lambda s: watch_end(s[0], replace(s[1], detail="broken"), s[2]),
    "killed": lambda s: container_killed(s[0], replace(s[1], detail=""), s[2]),
}
"""What can happen at the instant of a write; besides a freeze of who sends it."""
