"""
Draw the pictures of the documentation: ``python proofs/pictures.py``.

One story with three faults, one random world, and the diagrams of the states of an
election and of a signal, which need Graphviz (Debian and Ubuntu: ``apt-get install
graphviz``).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from kubernetes_leader_election.core import states
from kubernetes_leader_election.process import signals
from kubernetes_leader_election.testing.simulation.drawn_nodes import settings_for
from kubernetes_leader_election.testing.simulation.plan import Fault, NodePlan, Plan
from kubernetes_leader_election.testing.simulation.timeline import (
    seed_svg,
    timeline_svg,
)
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import run_plan

DOCS = Path(__file__).resolve().parents[1] / "docs"
SEED = 11


def story() -> str:
    """Draw a leader that is cut off, one that is frozen, and one that stops."""
    rates = {"a": 0.95, "b": 1.0, "c": 1.05}
    nodes = tuple(
        NodePlan(
            name=name,
            settings=settings_for(name, duration=20, share=0.5),
            rate=rate,
            starts=0.5 * index,
            stop_share=1.0,
        )
        for index, (name, rate) in enumerate(rates.items())
    )
    faults = (
        Fault(at=25.0, kind="cut", target="leader", length=35.0, detail="both"),
        Fault(at=75.0, kind="freeze", target="leader", length=30.0, detail="stop"),
        Fault(at=128.0, kind="stop and start", target="leader", length=8.0),
    )
    plan = Plan(
        seed=3,
        profile="default",
        nodes=nodes,
        faults=faults,
        heal_at=150.0,
        ends=150.0,
    )
    recorder = Recorder()
    outcome = run_plan(plan, recorder=recorder)
    assert not outcome.violations
    return timeline_svg(recorder, title="D = 20 s: cut off, frozen, stopped", end=150.0)


def diagram_of_election() -> str:
    """Draw the states of an election in the Graphviz language."""
    lines = ["digraph election {", "  rankdir=LR; node [shape=box, style=rounded];"]
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, fact), target in states._CHANGES.items():  # noqa: SLF001 - those that change it
        edges.setdefault((state.value, target.value), []).append(fact.value)
    lines += [
        f'  "{start}" -> "{end}" [label="{", ".join(facts)}"];'
        for (start, end), facts in edges.items()
    ]
    return "\n".join([*lines, "}", ""])


def diagram_of_signal() -> str:
    """Draw the states of a signal on its way in the Graphviz language."""
    edges: dict[tuple[str, str, str], list[str]] = {}
    for (state, fact), (target, action) in signals._CHANGES.items():  # noqa: SLF001 - as above
        edge = state.value, target.value, action.value
        edges.setdefault(edge, []).append(fact.value)
    edges["any state", signals.State.EXITING.value, ""] = [signals.Fact.EXIT.value]
    edges["any state", "any state", signals.Action.HAND_ON.value] = [
        signals.Fact.SIGNAL_WITH_EARLIER_HANDLER.value
    ]
    lines = ["digraph signals {", "  rankdir=LR; node [shape=box, style=rounded];"]
    for (start, end, done), facts in edges.items():
        label = ", ".join([*facts, f"({done})"] if done else facts)
        lines.append(f'  "{start}" -> "{end}" [label="{label}"];')
    return "\n".join([*lines, "}", ""])


DIAGRAMS = {"states": diagram_of_election, "signals": diagram_of_signal}
"""What draws a table of states, by the name of its files."""
TIMELINES = {"timeline-story": story, "timeline-world": lambda: seed_svg(SEED)}
"""What draws a time line, by the name of its file."""


def laid_out(diagram: str) -> str:
    """Lay a diagram of states out with Graphviz, one fact a line."""
    lines = [
        line.replace(", ", "\\n") if "label=" in line else line
        for line in diagram.splitlines()
    ]
    look = ["-Nfontname=Helvetica", "-Efontname=Helvetica", "-Efontsize=10"]
    look += ["-Grankdir=TB", "-Gnodesep=0.5", "-Ecolor=#6b7280"]
    drawn = subprocess.run(
        ["dot", "-Tsvg", *look],  # noqa: S607 - wherever it is installed
        input="\n".join(lines).replace("rankdir=LR; ", ""),
        capture_output=True,
        check=True,
        text=True,
    )
    return drawn.stdout


def main() -> None:
    """Write all pictures."""
    for name, drawn in TIMELINES.items():
        (DOCS / f"{name}.svg").write_text(drawn(), encoding="utf-8")
    for name, diagram in DIAGRAMS.items():
        (DOCS / f"{name}.dot").write_text(diagram(), encoding="utf-8")
        (DOCS / f"{name}.svg").write_text(laid_out(diagram()), encoding="utf-8")


if __name__ == "__main__":
    main()
