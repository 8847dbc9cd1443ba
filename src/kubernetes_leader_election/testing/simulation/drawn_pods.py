"""What goes wrong with pods and proofs in a random world, and for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kubernetes_leader_election.testing.simulation.drawn_nodes import Random
from kubernetes_leader_election.testing.simulation.plan import Fault, Plan
from kubernetes_leader_election.values import replace as with_settings

WHILE_ASKED: Final = (
    "label",
    "label",
    "suspend",
    "suspend",
    "stop",
    "not alive",
    "step down",
    "watch end",
    "killed",
)
"""What happens to whoever asks a holder, or to the Lease, while that is asked."""
FREED: Final = ("restored", "restored", "recreated", "put back", "unseen", "newcomer")
"""In which ways the Lease becomes free, or goes back, before its next holder dies."""
DOUBTFUL: Final = (*(("free again",) * 4), "own past", "question dropped")
"""What happens besides, to make a proof worth less than it seems."""
UNSURE: Final = (
    *(("handed back",) * 2),
    *(("note swapped",) * 3),
    *(("unwatchable",) * 2),
    *(("pod watch end",) * 2),
    *(("node unreachable",) * 2),
)
"""What makes it unsure whose end is proved, or whether anybody can look."""
SWAPPED: Final = (0.1, 0.4)
"""Seconds for which a note is another one's: less than the shortest challenge lasts."""
ON_LEASE: Final = frozenset({"label", "wish", "old question"})
"""Those of what follows that are done to the Lease, and to nobody."""
ANSWERED: Final = (
    *(("false report",) * 6),
    *(("container killed",) * 2),
    "label",
    "step down",
    "stop and start",
    "not alive",
    "shim killed",
    "wish",
    "old question",
)
"""What happens where whoever leads can hear and answer."""


def in_pods(plan: Plan, draw: Random) -> Plan:
    """Put most electors into pods, each with a challenge of its own length."""
    nodes = [
        replace(
            node,
            settings=with_settings(
                node.settings,
                crash_takeover=draw.random() < 0.9,
                crash_challenge=draw.choice((0.5, 1.0, 1.0, 3.0)),
            ),
        )
        if node.kind == "elector"
        else node
        for node in plan.nodes
    ]
    return replace(plan, nodes=tuple(nodes))


def hard_of_hearing(plan: Plan, draw: Random) -> Plan:
    """
    Let watches of a plan bring things late, end, and miss things, beside its other faults.

    What may be noted, and which proof may be believed, is decided by how well one hears.
    Drawn after all else: the other faults of a seed stay what they are.
    """
    names = [node.name for node in plan.nodes if node.kind == "elector"]
    faults: list[Fault] = []
    for _ in range(draw.randint(3, 9)):
        kind = draw.choice(
            ("trouble", "trouble", "watch end", "watch end", "watch drop")
        )
        detail, length, amount = "", 0.0, 0.0
        if kind == "trouble":
            detail, amount = "watch_lag", round(draw.uniform(0.05, 1.5), 3)
            length = round(draw.uniform(1.0, 3.0) * plan.longest_duration, 3)
        elif kind == "watch end":
            detail = draw.choice(("clean", "clean", "broken", "silent"))
        at = round(draw.uniform(0.0, plan.heal_at - length), 3)
        target = draw.choice((*names, "leader"))
        faults.append(
            Fault(
                at=at,
                kind=kind,
                target=target,
                length=length,
                amount=amount,
                detail=detail,
            )
        )
    return plan.with_faults(faults)


def doubtful(plan: Plan, draw: Random) -> Plan:
    """Let holders die on a Lease that was touched, beside the other faults of a plan."""
    longest, until = plan.longest_duration, plan.heal_at
    faults: list[Fault] = []
    for _ in range(draw.choice((0, 1, 2, 3))):
        kind = draw.choice(DOUBTFUL)
        length, amount, detail, target = draw.choice((0.16, 1.0)), 0.0, "", ""
        if kind == "free again":
            amount = round(draw.choice((0.1, 0.5, 1.0)) * draw.random() * longest, 3)
            detail = draw.choice(FREED)
        else:
            length = round(draw.uniform(1.05, 1.8) * longest, 3)
            target = "leader" if kind == "own past" else ""
        at = round(draw.uniform(0.1, 0.95) * (until - length - amount), 3)
        faults.append(
            Fault(
                at=at,
                kind=kind,
                target=target,
                length=length,
                amount=amount,
                detail=detail,
            )
        )
    return asked_at_worst(plan.with_faults(faults), draw)


def asked_at_worst(plan: Plan, draw: Random) -> Plan:
    """Let something happen to who asks a holder, just then or while it waits."""
    names = [node.name for node in plan.nodes if node.kind == "elector"]
    faults: list[Fault] = []
    for _ in range(draw.choice((0, 2, 4))):
        wait = draw.choice((0.0, draw.uniform(0.05, 1.0)))
        fault = Fault(
            at=round(draw.uniform(0.0, 0.8) * plan.heal_at, 3),
            kind="ambush",
            target=draw.choice(names),
            length=round(draw.uniform(0.5, 8.0), 3),
            amount=round(wait, 3),
            detail=f"ask: {draw.choice(WHILE_ASKED)}",
        )
        faults.append(fault)
    return plan.with_faults(faults)


def unsure(plan: Plan, kinds: tuple[str, ...] = UNSURE) -> Plan:
    """
    Let notes be others' for a while, and watches on pods end, beside other faults.

    Drawn apart: the other faults of a seed stay what they are.
    """
    draw = Random(f"unsure {plan.profile} {plan.seed}")
    longest, until = plan.longest_duration, plan.heal_at
    faults: list[Fault] = []
    for _ in range(draw.choice((0, 0, 2, 4))):
        kind = draw.choice(kinds)
        length, amount, detail, target = 0.0, 0.0, "", ""
        if kind == "note swapped":
            length = draw.uniform(*SWAPPED)
        elif kind == "unwatchable":
            length, amount = draw.uniform(3.0, 8.0), draw.uniform(0.0, 2.0)
            detail = draw.choice(("", "asked in vain"))
        elif kind == "pod watch end":
            target = draw.choice([node.name for node in plan.nodes])
            detail = draw.choice(("clean", "clean", "broken"))
        elif kind == "node unreachable":
            target, length = "leader", draw.uniform(0.5, 2.5) * longest
            amount = draw.uniform(0.0, 0.4) * longest
        at = draw.uniform(0.1, 0.95) * (until - max(length, longest))
        faults.append(
            Fault(
                at=round(at, 3),
                kind=kind,
                target=target,
                length=round(length, 3),
                amount=round(amount, 3),
                detail=detail,
            )
        )
    return plan.with_faults(faults)


def draw_answered(draw: Random, *, until: float, longest: float) -> tuple[Fault, ...]:
    """Draw false reports, and what ends terms, on networks in good order."""
    faults = []
    for _ in range(draw.randint(10, 24)):
        kind = draw.choice(ANSWERED)
        again = kind in ("false report", "shim killed") and draw.random() < 0.3
        length = round(draw.choice((0.2, 1.0, 0.5 * longest)), 3)
        faults.append(
            Fault(
                at=round(draw.uniform(0.0, until - length), 3),
                kind=kind,
                target="" if kind in ON_LEASE else "leader",
                length=length,
                detail="again" if again else "",
            )
        )
    return tuple(sorted(faults, key=lambda fault: fault.at))
