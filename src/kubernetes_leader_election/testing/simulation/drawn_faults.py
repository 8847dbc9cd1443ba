"""What goes wrong in a random world, when, and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from kubernetes_leader_election.testing.simulation.drawn_nodes import Random, draw_rate
from kubernetes_leader_election.testing.simulation.faults import ON_NODE
from kubernetes_leader_election.testing.simulation.lease_faults import EDITS, MORE_EDITS
from kubernetes_leader_election.testing.simulation.network import LIES, OUTAGES
from kubernetes_leader_election.testing.simulation.plan import Fault, Profile

MakeFault = Callable[[Random, str, float], tuple[float, float, str]]


SHARES: Final = ("lose_out", "lose_in", "repeat", "resend")
DELAYS: Final = ("held", "stale", "watch_lag")
"""What can be wrong with a link: how often something happens, or by how many seconds."""


def draw_length(draw: Random, longest: float) -> float:
    """Return a length: often short, sometimes around D, seldom a good deal longer."""
    share = draw.choice((0.05, 0.2, 0.5, 1.0, 1.5, 2.0))
    return round(draw.uniform(0.1, 1.0) * share * longest, 3)


def _node_fault_of(draw: Random, kind: str, longest: float) -> tuple[float, float, str]:
    length = draw_length(draw, longest)
    match kind:
        case "crash":
            detail = draw.choice(("same identity", "other identity"))
            return length * draw.choice((0.05, 1.0)), 0.0, detail
        case "container killed":
            detail = draw.choice(("same identity", "other identity"))
            return draw.choice((0.16, 1.0, length)), 0.0, detail
        case "force deleted":
            return length, round(draw.choice((0.0, 0.2)) * longest, 3), ""
        case "message lost":
            return 0.0, 0.0, draw.choice(("seen", ""))
        case "shim killed" | "false report":
            return draw.choice((0.2, 1.0)), 0.0, draw.choice(("again", ""))
        case "work fails":
            pause = draw.choice((0.1, 1.0, 3.0)) * draw.random() * longest
            return 0.0, round(pause, 3), draw.choice(("", "", "then step down"))
        case "step down":
            return 0.0, round(draw.choice((0.0, draw.uniform(0.1, longest))), 3), ""
        case "wall blink":
            amount = draw.choice((0.5, 1.0, 10.0)) * longest
            return draw.choice((0.0, 0.1)), round(amount, 3), ""
        case "ambush":
            return length * 0.5, 0.0, draw.choice(AMBUSHED)
        case "held release":
            detail = draw.choice(("returned", "transferred"))
            return 0.0, round(draw.random(), 3), detail
        case "capped acquire":
            return length, float(draw.choice((1, 2))), ""
        case "copied acquire":
            return 0.0, 0.0, draw.choice(("recreated", "moved"))
        case "undone watch":
            return 0.0, 0.0, draw.choice(("", "missing"))
        case "bad resume":
            return length, 0.0, "bad resume"
        case "wall step":
            amount = draw.choice((0.5, 3.0, longest, 3600.0)) * draw.choice((-1, 1))
            return 0.0, round(draw.uniform(0.2, 1.0) * amount, 3), ""
        case "rate":
            return 0.0, draw_rate(draw), ""
        case "freeze":
            detail = draw.choice(("stop", "stop", "suspend", "pause", "pause"))
            return length, 0.0, detail
        case "send lag":
            return length, round(draw.uniform(0.01, 0.3) * longest, 3), ""
        case "cut":
            amount = float(draw.random() < 0.5)
            return length, amount, draw.choice(("both", "out", "in", "in"))
        case "trouble":
            field = draw.choice((*SHARES, *DELAYS))
            if field in DELAYS:
                return length * 2, round(draw.uniform(0.01, 1.5) * longest, 3), field
            return length * 2, round(draw.uniform(0.2, 0.9), 3), field
        case "refused":
            return length, 0.0, draw.choice(("403", "401", "429"))
        case "watch end":
            return 0.0, 0.0, draw.choice(("clean", "broken", "expired", "silent"))
        case _:
            return length, 0.0, ""


def world_fault_of(
    draw: Random, kind: str, longest: float, edits: Mapping[str, object] = EDITS
) -> tuple[float, float, str]:
    """Draw length, amount and detail of what happens to all, or to the Lease."""
    length = draw_length(draw, longest)
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


def hand_fault_of(draw: Random, kind: str, longest: float) -> tuple[float, float, str]:
    """Draw the same where people have their hands on the Lease."""
    if kind in ("undone edit", "undone label", "undone delete"):
        return round(draw.choice((0.02, 0.2)) * longest * draw.random(), 3), 0.0, ""
    if kind in ("writes fail", "away"):
        return draw_length(draw, longest), 0.0, ""
    return world_fault_of(draw, kind, longest, MORE_EDITS)


def meddling_fault_of(
    draw: Random, kind: str, longest: float
) -> tuple[float, float, str]:
    """Draw the same where controllers and policies meddle with the Lease."""
    if kind in ("tug", "cap"):
        seconds = draw.choice((1, 2, longest / 2, longest - 1))
        return draw_length(draw, longest), float(int(seconds)), ""
    return hand_fault_of(draw, kind, longest)


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


def draw_faults(
    draw: Random,
    names: list[str],
    *,
    count: int,
    until: float,
    longest: float,
    often: Mapping[str, int],
    world_fault: MakeFault,
) -> tuple[Fault, ...]:
    """Draw so many faults, each of a kind as often as its weight says."""
    weights = dict(NODE_WEIGHTS) | WORLD_WEIGHTS
    if draw.random() < 0.3:
        # Outside hands break assumptions, so most worlds go without them.
        weights |= HANDS
    weights |= often
    pauses = draw.random() < 0.5 and "wall step" not in often
    if pauses:
        # Two guests whose wall clocks are stepped as well could not know a pause.
        del weights["wall step"]
    kinds = list(weights)
    chosen = draw.choices(kinds, [weights[kind] for kind in kinds], k=count)
    faults = []
    at = 0.0
    for kind in chosen:
        on_node = kind in ON_NODE
        make = _node_fault_of if on_node else world_fault
        length, amount, detail = make(draw, kind, longest)
        if detail == "pause" and not pauses:
            detail = "stop"
        length = min(length, until * 0.5)
        latest = until - length
        # Half of all faults come soon after another: trouble meets trouble.
        soon = draw.uniform(at, at + draw.choice((0.1, 1.0)) * longest)
        anywhere = draw.uniform(0.0, latest)
        at = round(soon if draw.random() < 0.5 and soon < latest else anywhere, 3)
        target = draw.choice((*names, "leader", "leader")) if on_node else ""
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


def draw_moves(seed: int, faults: tuple[Fault, ...], until: float) -> tuple[Fault, ...]:
    """
    Draw when the Lease is moved: soon after a term may have ended, and its record stays.

    Drawn apart, as attacks are.
    """
    draw = random.Random(f"moves {seed}")
    ends = [f for f in faults if f.kind in ("writes fail", "held release")]
    if not ends or draw.random() < 0.5:
        return ()
    end = draw.choice(ends)
    at = end.at + draw.random() * (end.length or 5.0)
    return (Fault(at=round(min(at, until), 3), kind="move"),)


def draw_late_acquires(seed: int, names: list[str], until: float) -> tuple[Fault, ...]:
    """Draw whose next acquire lands only after its next try. Drawn apart, as attacks are."""
    draw = random.Random(f"late acquires {seed}")
    faults = []
    for name in names:
        if draw.random() < 0.3:
            at, amount = round(draw.uniform(0.0, 0.9) * until, 3), draw.random()
            faults.append(
                Fault(at=at, kind="late acquire", target=name, amount=round(amount, 3))
            )
    return tuple(faults)


def draw_deletions(seed: int, until: float, longest: float) -> tuple[Fault, ...]:
    """
    Draw deletions after which another may have led, unseen by the last leader (rule 4).

    Drawn apart, as attacks are.
    """
    draw = random.Random(f"deletions {seed}")
    faults = []
    for _ in range(draw.choice((0, 1, 2))):
        asked = draw.random() < 0.5
        amount = draw.uniform(0.05, 0.5) * longest if asked else 0.0
        faults.append(
            Fault(
                at=round(draw.uniform(0.05, 0.9) * until, 3),
                kind="deleted and asked" if asked else "unheard edit",
                target="leader" if asked else "",
                length=draw.choice((0.01, 0.05, 0.2)),
                amount=round(amount, 3),
            )
        )
    return tuple(faults)


def draw_attacks(
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
        ("outage", draw.choice(tuple(LIES)), 0.0, draw_length(draw, longest)),
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
