"""
What goes wrong at the very instant of a write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.testing.simulation.lease_faults import (
    change_spec,
    delete,
    label,
    recreate,
    undone_label,
)
from kubernetes_leader_election.testing.simulation.network_faults import writes_fail
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.process_faults import (
    hurry_again,
    newest,
    stop_and_start,
    thaw,
)
from kubernetes_leader_election.testing.simulation.scene import Scene


def stop_acquiring(world: Scene, fault: Fault, node: Node) -> bool:
    """Stop the application of a node at the very instant of its next acquire."""
    node.stops_acquire = True
    return True


def ambush(world: Scene, fault: Fault, node: Node) -> bool:
    """Let something happen at the very instant of a node's next write of a kind."""
    kind, _, what = fault.detail.partition(": ")

    def spring(writer: Process) -> None:
        if what in ("freeze", "answer"):
            _freeze_late(world, writer, sent=what == "answer")
        else:
            world.after(0.0, AMBUSHES[what], (world, fault, node))

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


Sprung = tuple[Scene, Fault, Node]


def _fail_driver(sprung: Sprung) -> None:
    """Let the write fail, then the driver."""
    world, fault, node = sprung
    process = newest(node)
    writes_fail(world, fault)
    if process is not None:
        process.do(process.driver_failed, None)


AMBUSHES: Final[dict[str, Callable[[Sprung], object]]] = {
    "delete": lambda s: delete(s[0], s[1]),
    "recreate": lambda s: recreate(s[0], s[1]),
    "edit": lambda s: change_spec(s[0], {"holderIdentity": "somebody"}),
    "label": lambda s: label(s[0], s[1]),
    "undone label": lambda s: undone_label(s[0], s[1]),
    "stop": lambda s: stop_and_start(*s),
    "fail": _fail_driver,
}
"""What can happen at the instant of a write; besides a freeze of who sends it."""
