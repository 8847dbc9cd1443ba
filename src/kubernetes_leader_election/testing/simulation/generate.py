"""Make worlds from seeds: one integer decides everything in a plan."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal

from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.testing.simulation.faults import (
    EDITS,
    MORE_EDITS,
    ON_NODE,
)
from kubernetes_leader_election.testing.simulation.network import LIES, OUTAGES
from kubernetes_leader_election.testing.simulation.plan import (
    Fault,
    NodePlan,
    Plan,
    Probe,
    Profile,
)
from kubernetes_leader_election.testing.simulation.store import RHO
from kubernetes_leader_election.values import replace as with_settings

Random = random.Random
MakeFault = Callable[[Random, str, float], tuple[float, float, str]]

LEASE_NAME = "simulated"
NAMESPACE = "default"


def make_plan(seed: int, profile: Profile = "default") -> Plan:
    """Make the world that ``seed`` stands for in ``profile``."""
    # A string seed: the same plan on every machine, whatever hash() does.
    draw = random.Random(f"{profile} {seed}")
    return PROFILES[profile](seed, draw)


# Settings ---------------------------------------------------------------------


def settings_for(
    identity: str, *, duration: int, share: float, budget: float = 0.05
) -> ElectionSettings:
    """
    Give settings that keep G2: L / (1 - rho) + S <= D / (1 + rho).

    ``share`` is R as a share of D where that leaves room for two requests.
    """
    stop = max(0.5 if duration > 2 else 0.2, budget * duration)
    bound = (duration / (1.0 + RHO) - stop) * (1.0 - RHO)
    deadline = int(min(0.75 * duration, bound) * 1000) / 1000
    least = min(0.5, deadline / 4)
    interval = round(min(share * duration, deadline - 2 * least), 3)
    timeout = round(min(5.0, max(least, (deadline - interval) / 2)), 3)
    return ElectionSettings(
        lease_name=LEASE_NAME,
        namespace=NAMESPACE,
        identity=identity,
        lease_duration=duration,
        renew_interval=interval,
        renew_deadline=deadline,
        stop_budget=stop,
        request_timeout=timeout,
        clock_rate_error=RHO,
    )


DURATIONS: Final = (3, 5, 8, 10, 15, 15, 20, 20, 30)
USUAL_DURATIONS: Final = (15, 15, 20, 20, 30)


def _draw_settings(
    draw: Random, identity: str, durations: tuple[int, ...] = DURATIONS
) -> ElectionSettings:
    duration = draw.choice(durations)
    share = draw.choice((0.25, 1 / 3, 0.4, 0.5))
    return settings_for(
        identity, duration=duration, share=share, budget=draw.choice((0.05, 0.1))
    )


def _draw_rate(draw: Random) -> float:
    kind = draw.random()
    if kind < 0.3:
        return 1.0
    if kind < 0.6:
        return draw.choice((1.0 - RHO, 1.0 + RHO))
    return round(draw.uniform(1.0 - RHO, 1.0 + RHO), 3)


def _draw_nodes(
    draw: Random,
    count: int,
    durations: tuple[int, ...],
    shared: ElectionSettings | None,
) -> tuple[NodePlan, ...]:
    """Draw nodes; without ``shared`` their settings, too, which are now and then each its own."""
    own = False
    if shared is None:
        shared = _draw_settings(draw, "shared", durations)
        own = draw.random() < 0.3
    same_identity = draw.random() < 0.1
    offsets = draw.random() < 0.7
    nodes = []
    for index in range(count):
        name = chr(ord("a") + index)
        identity = "twin" if same_identity else name
        settings = (
            _draw_settings(draw, identity, durations)
            if own
            else with_settings(shared, identity=identity)
        )
        nodes.append(
            NodePlan(
                name=name,
                settings=settings,
                starts=round(draw.choice((0.0, draw.uniform(0.0, 10.0))), 3),
                rate=_draw_rate(draw),
                wall_offset=round(draw.uniform(-3600, 3600), 3) if offsets else 0.0,
                delay=draw.choice((0.0005, 0.002, 0.01)),
                jitter=draw.choice((0.001, 0.005, 0.05)),
                lateness=draw.choice((0.0, 0.0, 0.01, 0.1)),
                stop_share=draw.choice((0.0, 0.5, 1.0)),
            )
        )
    return tuple(nodes)


def _rival(draw: Random, name: str) -> NodePlan:
    kind: Literal["client-go", "node-package"] = draw.choice(
        ("client-go", "client-go", "client-go", "node-package")
    )
    settings = settings_for(f"rival-{name}", duration=15, share=2 / 15)
    if kind == "node-package":
        settings = settings_for(f"rival-{name}", duration=20, share=0.5)
    return NodePlan(
        name=name,
        kind=kind,
        settings=settings,
        starts=round(draw.uniform(0.0, 20.0), 3),
        rate=_draw_rate(draw),
        wall_offset=draw.choice((0.0, 0.0, 5.0, -5.0)),
    )


# Faults -----------------------------------------------------------------------


def _length(draw: Random, longest: float) -> float:
    """Give a length: often short, sometimes around D, seldom a good deal longer."""
    share = draw.choice((0.05, 0.2, 0.5, 1.0, 1.5, 2.0))
    return round(draw.uniform(0.1, 1.0) * share * longest, 3)


def _process_fault(draw: Random, kind: str, longest: float) -> tuple[float, float, str]:
    length = _length(draw, longest)
    match kind:
        case "crash":
            detail = draw.choice(("same identity", "other identity"))
            return length * draw.choice((0.05, 1.0)), 0.0, detail
        case "step down":
            return 0.0, round(draw.choice((0.0, draw.uniform(0.1, longest))), 3), ""
        case "wall blink":
            amount = draw.choice((0.5, 1.0, 10.0)) * longest
            return draw.choice((0.0, 0.1)), round(amount, 3), ""
        case "ambush":
            return length * 0.5, 0.0, draw.choice(AMBUSHED)
        case "bad resume":
            return length, 0.0, "bad resume"
        case "wall step":
            amount = draw.choice((0.5, 3.0, longest, 3600.0)) * draw.choice((-1, 1))
            return 0.0, round(draw.uniform(0.2, 1.0) * amount, 3), ""
        case "rate":
            return 0.0, _draw_rate(draw), ""
        case "freeze":
            return (
                length,
                0.0,
                draw.choice(("stop", "stop", "suspend", "pause", "pause")),
            )
        case "send lag":
            return length, round(draw.uniform(0.01, 0.3) * longest, 3), ""
        case "cut":
            amount = float(draw.random() < 0.5)
            return length, amount, draw.choice(("both", "out", "in", "in"))
        case "trouble":
            field = draw.choice(
                (
                    "lose_out",
                    "lose_in",
                    "repeat",
                    "resend",
                    "held",
                    "stale",
                    "watch_lag",
                )
            )
            if field in ("held", "stale", "watch_lag"):
                return length * 2, round(draw.uniform(0.01, 1.5) * longest, 3), field
            return length * 2, round(draw.uniform(0.2, 0.9), 3), field
        case "refused":
            return length, 0.0, draw.choice(("403", "401", "429"))
        case "watch end":
            return 0.0, 0.0, draw.choice(("clean", "broken", "expired", "silent"))
        case _:
            return length, 0.0, ""


def _world_fault(
    draw: Random, kind: str, longest: float, edits: Mapping[str, object] = EDITS
) -> tuple[float, float, str]:
    length = _length(draw, longest)
    match kind:
        case "outage":
            return length, 0.0, draw.choice(tuple(OUTAGES))
        case "recreate":
            return 0.0, 0.0, draw.choice(("seen", "unseen"))
        case "restore":
            return 0.0, round(draw.uniform(0.1, 2.0) * longest, 3), ""
        case "edit":
            return 0.0, 0.0, draw.choice(tuple(edits))
        case "watch denied":
            return length, 0.0, ""
        case _:
            return 0.0, 0.0, ""


AMBUSHED: Final = (
    "acquire: delete",
    "acquire: recreate",
    "acquire: stop",
    "renew: delete",
    "renew: edit",
    "renew: label",
    "renew: recreate",
    "renew: undone label",
    "late: freeze",
    "renew: answer",
    "release: delete",
    "release: edit",
    "release: fail",
    "release: fail",
    "release: label",
    "release: recreate",
)
"""What happens, in some worlds, at the very instant of a write."""

NODE_WEIGHTS: Final[dict[str, int]] = {
    "crash": 10,
    "second start": 3,
    "stop and start": 6,
    "step down": 4,
    "not alive": 2,
    "driver failed": 2,
    "work returns": 4,
    "work hangs": 3,
    "freeze": 12,
    "wall step": 5,
    "rate": 4,
    "send lag": 4,
    "cut": 14,
    "trouble": 16,
    "refused": 3,
    "watch end": 6,
    "watch drop": 3,
    "bookmark": 2,
}
WORLD_WEIGHTS: Final[dict[str, int]] = {
    "outage": 14,
    "label": 6,
    "compact": 3,
    "watch denied": 1,
}
HANDS: Final[dict[str, int]] = {"delete": 8, "edit": 6, "restore": 4}


def _draw_faults(
    draw: Random,
    names: list[str],
    *,
    count: int,
    until: float,
    longest: float,
    often: Mapping[str, int],
    world_fault: MakeFault,
) -> tuple[Fault, ...]:
    weights = dict(NODE_WEIGHTS) | WORLD_WEIGHTS
    if draw.random() < 0.3:
        # Outside hands break assumptions, so most worlds go without them.
        weights |= HANDS
    weights |= often
    if draw.random() < 0.5 and "wall step" not in often:
        # Two guests whose wall clocks are stepped as well could not know a pause.
        del weights["wall step"]
        pauses = True
    else:
        pauses = False
    kinds = list(weights)
    chosen = draw.choices(kinds, [weights[kind] for kind in kinds], k=count)
    faults = []
    at = 0.0
    for kind in chosen:
        on_node = kind in ON_NODE
        make = _process_fault if on_node else world_fault
        length, amount, detail = make(draw, kind, longest)
        if detail == "pause" and not pauses:
            detail = "stop"
        length = min(length, until * 0.5)
        latest = until - length
        # Half of all faults come soon after another: trouble meets trouble.
        soon = draw.uniform(at, at + draw.choice((0.1, 1.0)) * longest)
        anywhere = draw.uniform(0.0, latest)
        at = round(soon if draw.random() < 0.5 and soon < latest else anywhere, 3)
        target = ""
        if on_node:
            target = draw.choice((*names, "leader", "leader"))
        faults.append(
            Fault(
                at=at,
                kind=kind,
                target=target,
                length=round(length, 3),
                amount=amount,
                detail=detail,
            )
        )
    faults.sort(key=lambda fault: fault.at)
    return tuple(faults)


def _attacks(
    seed: int, profile: Profile, *, until: float, longest: int
) -> tuple[Fault, ...]:
    """
    Draw what once broke the core, each in a few worlds, beside their other faults.

    They are drawn apart: the other faults of a seed stay what they are.
    """
    if profile in ("three", "wild clocks"):
        return ()  # worlds that something is measured in
    draw = random.Random(f"attacks {profile} {seed}")
    drawn = [
        ("late create", "", 0.0, draw.uniform(0.2, 0.8) * longest),
        ("roll back", "", 0.0, 0.0),
        ("roll back", "after an edit", 0.0, draw.uniform(0.01, 0.5) * longest),
        ("cap", "", draw.choice((1, 2, longest - 1)), draw.uniform(0.5, 2) * longest),
        ("shorten", "", draw.choice((1, 2, longest / 2, longest - 1)), 0.0),
        ("outage", draw.choice(tuple(LIES)), 0.0, _length(draw, longest)),
    ]
    faults = []
    for kind, detail, amount, wanted in drawn:
        length = min(wanted, 0.4 * until)
        at = 0.0 if kind == "late create" else draw.uniform(0.1, 1.0) * (until - length)
        if draw.random() < 0.15:
            faults.append(
                Fault(
                    at=round(at, 3),
                    kind=kind,
                    length=round(length, 3),
                    amount=float(int(amount)),
                    detail=detail,
                )
            )
    return tuple(faults)


# Profiles ---------------------------------------------------------------------


def _default(seed: int, draw: Random) -> Plan:
    """Three candidates, twenty lease durations, faults, then healing and probes."""
    return _faulty(seed, draw, "default", candidates=3, faults=(6, 16))


def _three(seed: int, draw: Random) -> Plan:
    """
    Three replicas of one program for twenty lease durations: what speed is said of.

    They have the default options (D = 20 s, R = 10 s). Faults come as often as in the
    default worlds, but for longer, so that twenty lease durations are over when the
    last probe is.
    """
    return _faulty(
        seed,
        draw,
        "three",
        candidates=3,
        faults=(7, 19),
        rivals=0.0,
        shared=settings_for("shared", duration=20, share=0.5),
        bad_for=16.2,
    )


def _storm(seed: int, draw: Random) -> Plan:
    """Five candidates and several times the faults."""
    return _faulty(seed, draw, "storm", candidates=5, faults=(30, 60))


def _long(seed: int, draw: Random) -> Plan:
    """Three candidates for three hours, with faults some minutes apart."""
    plan = _faulty(
        seed, draw, "long", candidates=3, faults=(30, 90), at_least=3 * 3600.0
    )
    # Hours without faults would make years of nothing.
    return replace(plan, faults_needed=20, leader_changes_needed=5)


def _rivals(seed: int, draw: Random) -> Plan:
    """A foreign elector in each world, and wall clocks that are stepped."""
    return _faulty(
        seed,
        draw,
        "rivals",
        candidates=3,
        faults=(6, 16),
        often={"wall step": 40},
        rivals=1.0,
    )


def _slow_sends(seed: int, draw: Random) -> Plan:
    """Much time between an order and its first byte, while hands touch the Lease."""
    return _faulty(
        seed,
        draw,
        "slow sends",
        candidates=3,
        faults=(8, 20),
        often={"send lag": 60, **HANDS},
    )


def _words(seed: int, draw: Random) -> Plan:
    """
    An application that says a lot, over a slow link.

    States that are over in milliseconds elsewhere, as a release is, last here, and
    words come in all of them.
    """
    plan = _faulty(
        seed,
        draw,
        "words",
        candidates=3,
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
    nodes = tuple(
        replace(node, delay=0.15 * node.settings.request_timeout) for node in plan.nodes
    )
    # What touches the Lease while a slow write is under way holds up a take-over.
    probes = tuple(probe for probe in plan.probes if probe != "crash")
    return replace(plan, nodes=nodes, probes=probes)


def _mixed_versions(seed: int, draw: Random) -> Plan:
    """
    A rolling update, and back: some run this version, some an earlier one.

    Who is restarted comes back with the other version as often as with its own.
    """
    plan = _faulty(
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


def _hand_fault(draw: Random, kind: str, longest: float) -> tuple[float, float, str]:
    if kind in ("undone edit", "undone label"):
        return round(draw.choice((0.02, 0.2)) * longest * draw.random(), 3), 0.0, ""
    if kind == "writes fail":
        return _length(draw, longest), 0.0, ""
    return _world_fault(draw, kind, longest, MORE_EDITS)


def _hands(seed: int, draw: Random) -> Plan:
    """
    People with kubectl, and an application that asks and says a lot.

    The Lease is deleted and created again with another uid, edited, restored, and
    carries wishes for this term, another one, or a successor. Half of the worlds are
    on a slow link, on which what is over elsewhere in a moment meets all this.
    """
    plan = _faulty(
        seed,
        draw,
        "hands",
        candidates=3,
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
        world_fault=_hand_fault,
    )
    slow = draw.random() < 0.5
    nodes = tuple(
        replace(
            node,
            asks=node.kind == "elector",
            delay=0.15 * node.settings.request_timeout if slow else node.delay,
        )
        for node in plan.nodes
    )
    probes = tuple(probe for probe in plan.probes if not slow or probe != "crash")
    return replace(plan, nodes=nodes, probes=probes)


def _races(seed: int, draw: Random) -> Plan:
    """
    What goes wrong does so at the worst moment: while a write is under way.

    Work takes its time to stop, so that terms drain for long; writes fail while reads
    are served; requests and answers are late.
    """
    plan = _faulty(
        seed,
        draw,
        "races",
        candidates=3,
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
        world_fault=_hand_fault,
    )
    slow = draw.random() < 0.5
    nodes = tuple(
        replace(
            node,
            delay=0.15 * node.settings.request_timeout if slow else node.delay,
            jitter=node.jitter if slow else 0.001,
        )
        for node in plan.nodes
    )
    probes = tuple(probe for probe in plan.probes if not slow or probe != "crash")
    return replace(plan, nodes=nodes, probes=probes)


def _wild_clocks(seed: int, draw: Random) -> Plan:
    """Clocks that go wrong by much more than rho: guarantees end there (fault 20)."""
    plan = _faulty(seed, draw, "wild clocks", candidates=3, faults=(6, 16))
    nodes = tuple(
        replace(node, rate=round(draw.choice((0.6, 0.7, 1.0, 1.4, 1.6)), 3))
        for node in plan.nodes
    )
    faults = tuple(fault for fault in plan.faults if fault.kind != "rate")
    return replace(
        plan, nodes=nodes, faults=faults, ends=plan.heal_at, heal_at=plan.ends
    )


def _faulty(
    seed: int,
    draw: Random,
    profile: Profile,
    *,
    candidates: int,
    faults: tuple[int, int],
    at_least: float = 0.0,
    often: Mapping[str, int] | None = None,
    rivals: float = 0.2,
    shared: ElectionSettings | None = None,
    bad_for: float = 14.0,
    world_fault: MakeFault = _world_fault,
) -> Plan:
    # A world that lasts is one of those that people run.
    durations = USUAL_DURATIONS if at_least else DURATIONS
    nodes = list(_draw_nodes(draw, candidates, durations, shared))
    if draw.random() < rivals:
        nodes[-1] = _rival(draw, nodes[-1].name)
    longest = max(node.settings.lease_duration for node in nodes)
    if draw.random() < 0.3:
        nodes[0] = replace(nodes[0], starts=0.0)
    until = max(bad_for * longest, at_least)
    probes: list[Probe] = ["crash", "stop", "outage", "quiet", "churn"]
    draw.shuffle(probes)
    drawn = _draw_faults(
        draw,
        [node.name for node in nodes],
        count=draw.randint(*faults),
        until=until,
        longest=longest,
        often=often or {},
        world_fault=world_fault,
    )
    attacks = _attacks(seed, profile, until=until, longest=longest)
    return Plan(
        seed=seed,
        profile=profile,
        nodes=tuple(nodes),
        faults=tuple(sorted((*drawn, *attacks), key=lambda fault: fault.at)),
        heal_at=until,
        probes=tuple(probes[:2]),
        ends=40.0 * max(20, longest) + until,
        faults_needed=3,
        leader_changes_needed=2,
    )


def _quiet(seed: int, draw: Random) -> Plan:
    """Three candidates, good clocks, no faults: all probes."""
    nodes = []
    shared = _draw_settings(draw, "shared")
    for name in ("a", "b", "c"):
        nodes.append(
            NodePlan(
                name=name,
                settings=with_settings(shared, identity=name),
                starts=round(draw.uniform(0.0, 5.0), 3),
                rate=round(draw.uniform(0.999, 1.001), 6),
                wall_offset=round(draw.uniform(-60, 60), 3),
                delay=0.002,
                jitter=0.002,
                stop_share=0.5,
            )
        )
    until = 2.0 * shared.lease_duration
    return Plan(
        seed=seed,
        profile="quiet",
        nodes=tuple(nodes),
        faults=(),
        heal_at=until,
        probes=("quiet", "crash", "quiet", "stop", "outage", "quiet", "hang", "quiet"),
        ends=until + 1000.0,
        leader_changes_needed=3,
    )


def _thousand(seed: int, draw: Random) -> Plan:
    """A thousand candidates on one Lease, whose leader crashes (fault 44)."""
    nodes = tuple(
        NodePlan(
            name=f"n{index:03}",
            settings=settings_for(f"n{index:03}", duration=20, share=0.5),
            starts=0.0 if index == 0 else round(draw.uniform(0.5, 10.0), 3),
            delay=0.001,
            jitter=0.004,
            lateness=0.005,
        )
        for index in range(1000)
    )
    return Plan(
        seed=seed,
        profile="thousand",
        nodes=nodes,
        faults=(),
        heal_at=15.0,
        probes=("crash", "quiet", "stop"),
        ends=400.0,
        leader_changes_needed=3,
    )


def _crowd(seed: int, draw: Random) -> Plan:
    """Two dozen candidates, whose leader crashes, stops, and comes to its end."""
    nodes = tuple(
        NodePlan(
            name=f"n{index:02}",
            settings=settings_for(f"n{index:02}", duration=20, share=0.5),
            starts=0.0 if index == 0 else round(draw.uniform(0.5, 5.0), 3),
            delay=0.0005,
            jitter=0.001,
        )
        for index in range(24)
    )
    return Plan(
        seed=seed,
        profile="crowd",
        nodes=nodes,
        faults=(),
        heal_at=10.0,
        probes=("crash", "stop", "return", "crash"),
        ends=400.0,
        leader_changes_needed=3,
    )


PROFILES: Final[dict[Profile, Callable[[int, Random], Plan]]] = {
    "default": _default,
    "three": _three,
    "storm": _storm,
    "quiet": _quiet,
    "thousand": _thousand,
    "long": _long,
    "rivals": _rivals,
    "slow sends": _slow_sends,
    "words": _words,
    "mixed versions": _mixed_versions,
    "hands": _hands,
    "races": _races,
    "crowd": _crowd,
    "wild clocks": _wild_clocks,
}
