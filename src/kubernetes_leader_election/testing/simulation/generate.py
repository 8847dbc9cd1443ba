"""Make worlds from seeds: one integer decides everything in a plan."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kubernetes_leader_election.testing.simulation.drawn_faults import (
    HANDS,
    draw_deletions,
    draw_late_acquires,
    draw_moves,
    hand_fault_of,
    meddling_fault_of,
)
from kubernetes_leader_election.testing.simulation.drawn_nodes import (
    Random,
    draw_rate,
    draw_settings,
    settings_for,
)
from kubernetes_leader_election.testing.simulation.drawn_plans import (
    draw_faulty,
    slowed,
    with_all,
)
from kubernetes_leader_election.testing.simulation.drawn_pods import (
    asked_at_worst,
    doubtful,
    draw_answered,
    hard_of_hearing,
    in_pods,
    unsure,
)
from kubernetes_leader_election.testing.simulation.healthy_worlds import (
    crowd,
    quiet,
    thousand,
)
from kubernetes_leader_election.testing.simulation.plan import (
    NodePlan,
    Plan,
    Probe,
    Profile,
)
from kubernetes_leader_election.values import replace as with_settings


def make_plan(seed: int, profile: Profile = "default") -> Plan:
    """Make the world that ``seed`` stands for in ``profile``."""
    # A string seed: the same plan on every machine, whatever hash() does.
    draw = random.Random(f"{profile} {seed}")
    return PROFILES[profile](seed, draw)


# Profiles --------------------------------------------------------------------


def _default(seed: int, draw: Random) -> Plan:
    """Three candidates, twenty lease durations, faults, then healing and probes."""
    return draw_faulty(seed, draw, "default")


def _three(seed: int, draw: Random) -> Plan:
    """
    Three replicas of one program for twenty lease durations: what speed is said of.

    They have the default options (D = 20 s, R = 10 s). Faults come as often as in the
    default worlds, but for longer, so that twenty lease durations are over when the
    last probe is.
    """
    return draw_faulty(
        seed,
        draw,
        "three",
        faults=(7, 19),
        rivals=0.0,
        shared=settings_for("shared", duration=20, share=0.5),
        bad_for=16.2,
    )


def _storm(seed: int, draw: Random) -> Plan:
    """Five candidates and several times the faults."""
    return draw_faulty(seed, draw, "storm", candidates=5, faults=(30, 60))


def _long(seed: int, draw: Random) -> Plan:
    """Three candidates for three hours, with faults some minutes apart."""
    plan = draw_faulty(seed, draw, "long", faults=(30, 90), at_least=3 * 3600.0)
    # Hours without faults would make years of nothing.
    return replace(plan, faults_needed=20, leader_changes_needed=5)


def _rivals(seed: int, draw: Random) -> Plan:
    """A foreign elector in each world, and wall clocks that are stepped."""
    return draw_faulty(seed, draw, "rivals", often={"wall step": 40}, rivals=1.0)


def _slow_sends(seed: int, draw: Random) -> Plan:
    """Much time between an order and its first byte, while hands touch the Lease."""
    return draw_faulty(
        seed,
        draw,
        "slow sends",
        faults=(8, 20),
        often={"send lag": 60, **HANDS},
    )


def _words(seed: int, draw: Random) -> Plan:
    """
    An application that says a lot, over a slow link.

    States that are over in milliseconds elsewhere, as a release is, last here, and
    words come in all of them.
    """
    plan = draw_faulty(
        seed,
        draw,
        "words",
        faults=(40, 80),
        often={
            "stop and start": 60,
            "stop again": 60,
            "step down": 60,
            "wish": 30,
            "work returns": 40,
            "work hangs": 40,
            "not alive": 60,
            "driver failed": 80,
            "bookmark": 60,
        },
    )
    return slowed(plan)


def _mixed_versions(seed: int, draw: Random) -> Plan:
    """
    A rolling update, and back: some run this version, some an earlier one.

    Who is restarted comes back with the other version as often as with its own.
    """
    plan = draw_faulty(
        seed,
        draw,
        "mixed versions",
        candidates=draw.choice((3, 3, 4)),
        faults=(8, 20),
        often={"crash": 40, "stop and start": 20, "step down": 15, "second start": 6},
        rivals=0.1,
    )
    # Two of them differ from the start on.
    turns = [(0, 1), (1, 0), *draw.choices(((0,), (1,), (0, 1), (1, 0)), k=2)]
    turns = turns[: len(plan.nodes)]
    draw.shuffle(turns)
    nodes = tuple(
        replace(node, versions=versions)
        for node, versions in zip(plan.nodes, turns, strict=True)
    )
    return replace(plan, nodes=nodes)


def _hands(seed: int, draw: Random) -> Plan:
    """
    People with kubectl, and an application that asks and says a lot.

    The Lease is deleted and created again with another uid, edited, restored, and
    carries wishes for this term, another one, or a successor. Half of the worlds are
    on a slow link, on which what is over elsewhere in a moment meets all this.
    """
    plan = draw_faulty(
        seed,
        draw,
        "hands",
        faults=(12, 30),
        often={
            **HANDS,
            "delete": 16,
            "edit": 24,
            "restore": 8,
            "recreate": 30,
            "undone edit": 12,
            "undone label": 8,
            "forged note": 5,
            "writes fail": 6,
            "stop acquiring": 12,
            "work hangs": 12,
            "bad resume": 8,
            "label": 20,
            "wish": 10,
            "old wish": 14,
            "transfer": 14,
            "late words": 12,
            "wall blink": 12,
            "stop and start": 20,
            "step down": 10,
            "bookmark": 6,
        },
        world_fault=hand_fault_of,
    )
    nodes = tuple(replace(node, asks=node.kind == "elector") for node in plan.nodes)
    plan = replace(plan, nodes=nodes)
    return slowed(plan) if draw.random() < 0.5 else plan


def _races(seed: int, draw: Random) -> Plan:
    """
    What goes wrong does so at the worst moment: while a write is under way.

    Work takes its time to stop, so that terms drain for long; writes fail while reads
    are served; requests and answers are late.
    """
    plan = draw_faulty(
        seed,
        draw,
        "races",
        faults=(12, 30),
        often={
            "ambush": 90,
            "delete": 8,
            "step down": 16,
            "stop and start": 20,
            "work hangs": 16,
            "trouble": 30,
            "writes fail": 24,
            "wish": 6,
        },
        world_fault=hand_fault_of,
    )
    if draw.random() < 0.5:
        return slowed(plan)
    return with_all(plan, jitter=0.001)


def _meddling(seed: int, draw: Random) -> Plan:
    """
    Others meddle: proxies that hold a write for long, controllers, policies, movers.

    A release lands after it was given up, a record is edited after each write, a Lease
    is copied before its holder knows that it leads.
    """
    plan = draw_faulty(
        seed,
        draw,
        "meddling",
        faults=(10, 24),
        often={
            "held release": 50,
            "copied acquire": 16,
            "capped acquire": 16,
            "tug": 20,
            "cap": 12,
            "away": 8,
            "label": 12,
            "transfer": 8,
            "work returns": 16,
            "stop and start": 12,
            "writes fail": 16,
            "trouble": 24,
        },
        rivals=0.1,
        world_fault=meddling_fault_of,
    )
    nodes = tuple(replace(node, jitter=min(node.jitter, 0.005)) for node in plan.nodes)
    names = [node.name for node in nodes if node.kind == "elector"]
    more = (
        *draw_moves(seed, plan.faults, 0.99 * plan.heal_at),
        *draw_late_acquires(seed, names, plan.heal_at),
        *draw_deletions(seed, plan.heal_at, plan.longest_duration),
    )
    return replace(plan, nodes=nodes).with_faults(more)


def _old_news(seed: int, draw: Random) -> Plan:
    """
    What is shown is old: answers that newer news overtake, and backups brought back.

    Reads find nothing where a write has just landed, and watches are opened from
    versions that the server does not have any more.
    """
    return draw_faulty(
        seed,
        draw,
        "old news",
        faults=(8, 20),
        often={
            "overtaken read": 40,
            "undone watch": 50,
            "undone delete": 24,
            "undone label": 8,
            "restore": 8,
            "delete": 8,
            "edit": 8,
            "stop and start": 12,
            "writes fail": 8,
        },
        rivals=0.1,
        world_fault=hand_fault_of,
    )


def _endings(seed: int, draw: Random) -> Plan:
    """
    Work ends in every way: it has a grace, is asked, fails, and leaves jobs behind.

    Planned stops, and the end of work of its own, last for up to three lease durations,
    and the network goes, machines freeze and words come meanwhile.
    """
    plan = draw_faulty(
        seed,
        draw,
        "endings",
        faults=(12, 30),
        often={
            "job": 80,
            "work fails": 40,
            "work returns": 16,
            "work hangs": 8,
            "stop and start": 30,
            "stop again": 8,
            "step down": 24,
            "wish": 10,
            "late words": 6,
        },
        rivals=0.1,
    )
    nodes = tuple(
        replace(node, grace=round(share * node.settings.lease_duration, 3))
        for node in plan.nodes
        for share in (draw.choice((0.0, 0.3 * draw.random(), draw.random(), 3.0)),)
    )
    probes: tuple[Probe, ...] = ("fail", *plan.probes)
    return replace(plan, nodes=nodes, probes=probes)


def _wild_clocks(seed: int, draw: Random) -> Plan:
    """Clocks that go wrong by much more than rho: guarantees end there (fault 20)."""
    plan = draw_faulty(seed, draw, "wild clocks")
    nodes = tuple(
        replace(node, rate=round(draw.choice((0.6, 0.7, 1.0, 1.4, 1.6)), 3))
        for node in plan.nodes
    )
    faults = tuple(fault for fault in plan.faults if fault.kind != "rate")
    return replace(
        plan, nodes=nodes, faults=faults, ends=plan.heal_at, heal_at=plan.ends
    )


def _proofs(seed: int, draw: Random) -> Plan:
    """
    Electors in pods, with crash take-over; their containers are killed.

    Kubelets report it late, or never; pods are deleted by force, notes are lost, and
    the Lease is restored.
    """
    often = {
        "container killed": 80,
        "node lost": 12,
        "force deleted": 12,
        "message lost": 10,
        "second start": 6,
        "restore": 6,
        "wish": 4,
        "label": 12,
    }
    plan = draw_faulty(seed, draw, "proofs", faults=(8, 20), often=often)
    return unsure(doubtful(hard_of_hearing(in_pods(plan, draw), draw), draw))


def _lies(seed: int, draw: Random) -> Plan:
    """The same, where kubelets report the end of containers that run on."""
    often = {
        "shim killed": 100,
        "container killed": 40,
        "force deleted": 12,
        "message lost": 6,
        "restore": 6,
        "work hangs": 10,
        "label": 6,
    }
    plan = draw_faulty(seed, draw, "lies", faults=(10, 24), often=often)
    return unsure(doubtful(hard_of_hearing(in_pods(plan, draw), draw), draw))


def _answered_lies(seed: int, draw: Random) -> Plan:
    """
    Kubelets report the end of containers that run on, as if they had been killed.

    Whoever leads hears what it is asked, and can answer: that is all that a false
    report leaves (G1). So nothing is wrong with networks, and nobody is slow.
    """
    shared = draw_settings(draw, "shared")
    longest, names = shared.lease_duration, ("a", "b", "c")
    nodes = tuple(
        NodePlan(
            name=name,
            settings=with_settings(shared, identity=name),
            starts=round(draw.uniform(0.0, 5.0), 3),
            rate=draw_rate(draw),
            wall_offset=round(draw.uniform(-60, 60), 3),
            stop_share=draw.choice((0.0, 0.5, 1.0)),
        )
        for name in names
    )
    until = 14.0 * longest
    plan = Plan(
        seed=seed,
        profile="answered lies",
        nodes=nodes,
        faults=draw_answered(draw, until=until, longest=longest),
        heal_at=until,
        probes=("crash", "outage", "stop"),  # who lives on may be asked in quiet
        ends=40.0 * max(20, longest) + until,
        faults_needed=3,
        leader_changes_needed=2,
    )
    return asked_at_worst(in_pods(plan, draw), draw)


PROFILES: Final[dict[Profile, Callable[[int, Random], Plan]]] = {
    "default": _default,
    "three": _three,
    "storm": _storm,
    "quiet": quiet,
    "thousand": thousand,
    "long": _long,
    "rivals": _rivals,
    "slow sends": _slow_sends,
    "words": _words,
    "mixed versions": _mixed_versions,
    "hands": _hands,
    "races": _races,
    "meddling": _meddling,
    "old news": _old_news,
    "crowd": crowd,
    "endings": _endings,
    "wild clocks": _wild_clocks,
    "proofs": _proofs,
    "lies": _lies,
    "answered lies": _answered_lies,
}
