"""
What can go wrong on the way to the API server, and with the server itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kubernetes_leader_election.testing.simulation.network import (
    DISCONNECTED,
    FORBIDDEN,
    THROTTLED,
    UNAUTHORIZED,
)
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.scene import Scene
from kubernetes_leader_election.testing.simulation.store import Answer

REFUSALS: Final = {"403": FORBIDDEN, "401": UNAUTHORIZED, "429": THROTTLED}


# The link --------------------------------------------------------------------


def cut(world: Scene, fault: Fault, node: Node) -> bool:
    """Cut a link: "both" ways, "out", or "in"; ``amount`` 1: watches die unnoticed."""
    link = node.link
    outward, inward = fault.detail in ("both", "out"), fault.detail in ("both", "in")
    link.cut_out += outward
    link.cut_in += inward
    link.look()
    world.after(fault.length, _mend, (world, node, fault))
    return True


def _mend(world_node_fault: tuple[Scene, Node, Fault]) -> None:
    world, node, fault = world_node_fault
    link = node.link
    link.cut_out = max(0, link.cut_out - (fault.detail in ("both", "out")))
    link.cut_in = max(0, link.cut_in - (fault.detail in ("both", "in")))
    link.look()
    if not link.cut_in:
        world.network.resume_watches(link, lost=fault.amount > 0.5)


def trouble(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Trouble a link: one of the fields of :class:`~.network.Link` for a while.

    Losses, repeats and resends are shares; delays and staleness are seconds.
    """
    setattr(node.link, fault.detail, fault.amount)
    node.link.look()
    world.after(fault.length, _untrouble, (node, fault.detail))
    return True


def _untrouble(node_and_field: tuple[Node, str]) -> None:
    node, name = node_and_field
    setattr(node.link, name, 0.0)
    node.link.look()


def refused(world: Scene, fault: Fault, node: Node) -> bool:
    """Refuse one node's requests: its token is bad, or its role, or it is throttled."""
    node.refused = REFUSALS[fault.detail]
    world.after(fault.length, _welcome, node)
    return True


def _welcome(node: Node) -> None:
    node.refused = None


# Watches ---------------------------------------------------------------------


def watch_end(world: Scene, fault: Fault, node: Node) -> bool:
    """End a watch: "clean", "broken", "expired", or "silent" (and nobody notices)."""
    answers = {
        "clean": None,
        "broken": DISCONNECTED,
        "expired": Answer(410, None, "too old resource version"),
        "silent": None,
    }
    silently = fault.detail == "silent"
    return bool(
        world.network.end_watches(node.link, answers[fault.detail], silently=silently)
    )


def watch_drop(world: Scene, fault: Fault, node: Node) -> bool:
    """Lose the next event of a watch, which goes on as if nothing had been."""
    found = False
    for watch in world.network.watches:
        if watch.sink.link is node.link:
            watch.drop += 1
            found = True
    return found


def bookmark(world: Scene, fault: Fault, node: Node) -> bool:
    """Send a bookmark."""
    return bool(world.network.bookmark(node.link))


def watch_denied(world: Scene, fault: Fault) -> bool:
    """Deny watching to all, as a role without the verb does."""
    world.network.watch_denied = True
    world.polls = True
    world.network.end_watches(None, None)
    world.after(fault.length, _watch_allowed, world)
    return True


def _watch_allowed(world: Scene) -> None:
    world.network.watch_denied = False


def compact(world: Scene, fault: Fault) -> bool:
    """Forget the watch history, and end all watches, as a restart does."""
    world.network.store.compact()
    world.network.end_watches(None, DISCONNECTED)
    return True


# The API server --------------------------------------------------------------


def outage(world: Scene, fault: Fault) -> bool:
    """Let the API server fail for a while, in one of the ways of ``OUTAGES``."""
    if world.network.outage is not None:
        return False
    world.network.fail(fault.detail)
    world.after(fault.length, lambda _: world.network.recover(), None)
    return True


def away(world: Scene, fault: Fault) -> bool:
    """End all watches, and ask whoever comes back to come again in days."""
    if world.network.outage is not None:
        return False
    world.network.end_watches(None, None)
    return outage(world, replace(fault, detail="come back in days"))


def writes_fail(world: Scene, fault: Fault) -> bool:
    """Let all writes time out while reads are served, as without a quorum (fault 24)."""
    world.network.writes_fail = True
    world.after(fault.length, _writes_succeed, world)
    return True


def _writes_succeed(world: Scene) -> None:
    world.network.writes_fail = False
