"""
What can go wrong in a world: one function for each kind of fault.

A fault tells whether it found something to break; one that did not is not counted.
Whatever lasts is undone after ``fault.length``, or when the world heals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from kubernetes_leader_election.testing.simulation import (
    ambushes,
    lease_faults,
    network_faults,
    pod_faults,
    process_faults,
    proof_faults,
)
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.scene import Scene

OnNode = Callable[[Scene, Fault, Node], bool]
OnWorld = Callable[[Scene, Fault], bool]
Happens = TypeVar("Happens", OnNode, OnWorld)


def _named(*functions: Happens) -> dict[str, Happens]:
    """Name each kind of fault as its function is, in words."""
    return {function.__name__.replace("_", " "): function for function in functions}


ON_NODE: Final[dict[str, OnNode]] = _named(
    process_faults.crash,
    process_faults.second_start,
    process_faults.stop_and_start,
    process_faults.stop_again,
    process_faults.step_down,
    process_faults.not_alive,
    process_faults.driver_failed,
    process_faults.work_returns,
    process_faults.work_fails,
    process_faults.job,
    process_faults.work_hangs,
    process_faults.freeze,
    process_faults.late_words,
    ambushes.stop_acquiring,
    ambushes.ambush,
    ambushes.held_release,
    ambushes.late_acquire,
    ambushes.copied_acquire,
    ambushes.capped_acquire,
    lease_faults.transfer,
    lease_faults.deleted_and_asked,
    pod_faults.container_killed,
    pod_faults.node_lost,
    pod_faults.node_unreachable,
    pod_faults.force_deleted,
    pod_faults.message_lost,
    pod_faults.shim_killed,
    pod_faults.false_report,
    pod_faults.pod_watch_end,
    proof_faults.own_past,
    lease_faults.undone_watch,
    process_faults.wall_step,
    process_faults.wall_blink,
    process_faults.rate,
    process_faults.send_lag,
    network_faults.cut,
    network_faults.trouble,
    network_faults.refused,
    network_faults.watch_end,
    network_faults.watch_drop,
    network_faults.bookmark,
) | {"bad resume": process_faults.freeze}
ON_WORLD: Final[dict[str, OnWorld]] = _named(
    network_faults.watch_denied,
    network_faults.compact,
    network_faults.outage,
    lease_faults.restore,
    lease_faults.delete,
    lease_faults.label,
    lease_faults.wish,
    lease_faults.old_wish,
    lease_faults.forged_note,
    lease_faults.undone_label,
    lease_faults.undone_delete,
    network_faults.writes_fail,
    lease_faults.recreate,
    lease_faults.undone_edit,
    lease_faults.unheard_edit,
    lease_faults.edit,
    lease_faults.late_create,
    lease_faults.overtaken_read,
    lease_faults.roll_back,
    lease_faults.move,
    lease_faults.cap,
    lease_faults.shorten,
    lease_faults.tug,
    proof_faults.free_again,
    proof_faults.old_question,
    proof_faults.question_dropped,
    proof_faults.handed_back,
    proof_faults.note_swapped,
    proof_faults.unwatchable,
    network_faults.away,
)
WITH_RIVAL: Final = frozenset(
    {"crash", "freeze", "wall step", "rate", "cut", "trouble"}
)
"""Faults that a node with a foreign elector on it can meet."""


def inject(world: Scene, fault: Fault) -> None:
    """Let a fault happen, and count it if it met something."""
    target = ""
    if fault.kind in ON_WORLD:
        met = ON_WORLD[fault.kind](world, fault)
    else:
        node = world.node(fault.target)
        met = node is not None and (node.rival is None or fault.kind in WITH_RIVAL)
        if met and node is not None:
            target = node.name
            if world.recorder is not None:
                world.recorder.fault(world.time, fault, target)
            met = ON_NODE[fault.kind](world, fault, node)
    if not met:
        return
    world.count(fault)
    if world.recorder is not None and not target:
        world.recorder.fault(world.time, fault, "")
