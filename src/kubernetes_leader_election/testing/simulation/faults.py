"""
What can go wrong in a world: one function for each kind of fault.

A fault tells whether it found something to break; one that did not is not counted.
Whatever lasts is undone after ``fault.length``, or when the world heals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.testing.simulation.ambushes import (
    ambush,
    capped_acquire,
    copied_acquire,
    held_release,
    stop_acquiring,
)
from kubernetes_leader_election.testing.simulation.lease_faults import (
    cap,
    delete,
    edit,
    forged_note,
    label,
    late_create,
    move,
    old_wish,
    recreate,
    restore,
    roll_back,
    shorten,
    transfer,
    tug,
    undone_edit,
    undone_label,
    wish,
)
from kubernetes_leader_election.testing.simulation.network_faults import (
    away,
    bookmark,
    compact,
    cut,
    outage,
    refused,
    trouble,
    watch_denied,
    watch_drop,
    watch_end,
    writes_fail,
)
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.process_faults import (
    crash,
    driver_failed,
    freeze,
    late_words,
    not_alive,
    rate,
    second_start,
    send_lag,
    step_down,
    stop_again,
    stop_and_start,
    wall_blink,
    wall_step,
    work_hangs,
    work_returns,
)
from kubernetes_leader_election.testing.simulation.scene import Scene

OnNode = Callable[[Scene, Fault, Node], bool]
OnWorld = Callable[[Scene, Fault], bool]
ON_NODE: Final[dict[str, OnNode]] = {
    "crash": crash,
    "second start": second_start,
    "stop and start": stop_and_start,
    "stop again": stop_again,
    "step down": step_down,
    "not alive": not_alive,
    "driver failed": driver_failed,
    "work returns": work_returns,
    "work hangs": work_hangs,
    "freeze": freeze,
    "bad resume": freeze,
    "late words": late_words,
    "stop acquiring": stop_acquiring,
    "ambush": ambush,
    "held release": held_release,
    "copied acquire": copied_acquire,
    "capped acquire": capped_acquire,
    "transfer": transfer,
    "wall step": wall_step,
    "wall blink": wall_blink,
    "rate": rate,
    "send lag": send_lag,
    "cut": cut,
    "trouble": trouble,
    "refused": refused,
    "watch end": watch_end,
    "watch drop": watch_drop,
    "bookmark": bookmark,
}
ON_WORLD: Final[dict[str, OnWorld]] = {
    "watch denied": watch_denied,
    "compact": compact,
    "outage": outage,
    "restore": restore,
    "delete": delete,
    "label": label,
    "wish": wish,
    "old wish": old_wish,
    "forged note": forged_note,
    "undone label": undone_label,
    "writes fail": writes_fail,
    "recreate": recreate,
    "undone edit": undone_edit,
    "edit": edit,
    "late create": late_create,
    "roll back": roll_back,
    "move": move,
    "cap": cap,
    "shorten": shorten,
    "tug": tug,
    "away": away,
}
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
