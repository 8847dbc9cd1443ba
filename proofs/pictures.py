"""
Draw the pictures of the documentation: ``python proofs/pictures.py``.

One story with three faults, one random world, how work stops, a crash, and the diagrams of the
states of an election and of a signal, which need Graphviz (Debian and Ubuntu: ``apt-get
install graphviz``).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from kubernetes_leader_election.core import states
from kubernetes_leader_election.process import signal_table as signals
from kubernetes_leader_election.settings import resolve_settings, timings
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


# How work stops ---------------------------------------------------------------

WIDTH: Final = 1000
LEFT: Final = 150
RIGHT: Final = 30
ROW: Final = 30
LETTER: Final = 6.0
"""Width of a letter of 12 px, more rather than less."""
END: Final = 26.0
"""Seconds that are drawn."""
STYLE: Final = """
svg { font-family: Inter, Helvetica, Arial, sans-serif; font-size: 13px; }
.paper { fill: #ffffff; } text { fill: #1f2937; } .pale { fill: #4b5563; font-size: 12px; }
.head { font-weight: 600; font-size: 15px; } .grid { stroke: #e5e7eb; }
.lease { fill: #9ca3af; } .work { fill: #2563eb; } .ends { fill: #93c5fd; }
.next { fill: #059669; } .mark { stroke: #b45309; stroke-width: 1.5; }
.word { fill: #b45309; font-size: 12px; } .on { fill: #ffffff; font-size: 12px; }
.dark { fill: #111827; font-size: 12px; }
@media (prefers-color-scheme: dark) {
.paper { fill: #111827; } text { fill: #e5e7eb; } .pale { fill: #9ca3af; }
.grid { stroke: #374151; } .mark { stroke: #fbbf24; } .word { fill: #fbbf24; }
.on { fill: #ffffff; } .dark { fill: #111827; }
}
"""
"""Colours for paper and for the dark: a browser chooses by what its user asked for."""


@dataclass(frozen=True)
class Bar:
    """What goes on from one second to another."""

    begin: float
    end: float
    kind: str
    """lease, work, ends or next."""
    text: str = ""


@dataclass(frozen=True)
class Panel:
    """One story: rows of bars, and instants that have a name."""

    title: str
    rows: dict[str, list[Bar]]
    marks: list[tuple[float, str]] = field(default_factory=list)


def panels() -> list[Panel]:
    """Tell the three stories, in seconds of the default times."""
    settings = resolve_settings()
    means = timings(settings)
    grace, budget = means.grace or 0.0, means.stop_budget
    lost, gone = means.renew_deadline, means.renew_deadline + budget
    others, latest = means.others_start_after, means.crash_fail_over
    ended, killed = 8.0, 3.0
    return [
        Panel(
            "SIGTERM, stop(), step_down(), a transfer: nothing hurries",
            {
                "Lease": [
                    Bar(0, ended, "lease", "renewed while the work ends"),
                    Bar(ended, END, "next", "released: the next one leads"),
                ],
                "asyncio": [
                    Bar(0, ended, "ends", "cancelled, and cleans up"),
                ],
                "on_stop=": [
                    Bar(0, ended, "ends", "asked to end, not cancelled"),
                ],
                "threads": [
                    Bar(0, ended, "ends", "sees term.lost"),
                ],
            },
            [
                (0, "asked"),
                (ended, "the work has ended"),
                (grace, f"grace_sec, {grace:g} s: else cancelled, SystemExit"),
            ],
        ),
        Panel(
            "A loss: the network goes, also after SIGTERM",
            {
                "Lease": [
                    Bar(0, others, "lease", "not renewed any more"),
                    Bar(others, latest, "ends", "runs out"),
                    Bar(latest, END, "next", "the next one"),
                ],
                "work": [
                    Bar(0, lost, "work", "goes on, until the renew deadline"),
                    Bar(lost, gone, "ends"),
                ],
            },
            [
                (0, "last renewal"),
                (lost, f"L, {lost:g} s: cancelled, SystemExit; then S, {budget:g} s"),
            ],
        ),
        Panel(
            "A crash: the process is killed",
            {
                "Lease": [
                    Bar(0, killed, "lease"),
                    Bar(killed, others, "lease", "nobody leads, until it runs out"),
                    Bar(others, latest, "ends", "runs out"),
                    Bar(latest, END, "next", "the next one"),
                ],
                "work": [Bar(0, killed, "work", "goes on")],
            },
            [(0, "last renewal"), (killed, "killed"), (others, "others start")],
        ),
    ]


def crash_panels() -> list[Panel]:
    """Tell of a crash with a proof, and of one without, by the default times."""
    settings = resolve_settings(crash_takeover=True)
    means = timings(settings)
    others, latest = means.others_start_after, means.crash_fail_over
    killed, reported = 3.0, 3.6
    asked = reported + 0.3
    leads = asked + settings.crash_challenge_sec
    return [
        Panel(
            "With a proof: its pod's status shows the note",
            {
                "Lease": [
                    Bar(0, killed, "lease", "renewed"),
                    Bar(killed, leads, "ends"),
                    Bar(leads, END, "next", "the next one leads"),
                ],
                "work": [Bar(0, killed, "work", "goes on")],
            },
            [
                (0, "last renewal"),
                (killed, "killed"),
                (leads, "reported, asked, no answer"),
            ],
        ),
        Panel(
            "Without a proof: the node is lost, the pod is deleted by force, no note",
            {
                "Lease": [
                    Bar(0, killed, "lease", "renewed"),
                    Bar(killed, others, "lease", "nobody leads, until it runs out"),
                    Bar(others, latest, "ends", "runs out"),
                    Bar(latest, END, "next", "the next one"),
                ],
                "work": [Bar(0, killed, "work", "may go on, for all that is known")],
            },
            [(0, "last renewal"), (killed, "gone"), (others, "others start")],
        ),
    ]


def stops() -> str:
    """Draw how work stops: a planned stop, a loss, a crash, by the default times."""
    return _drawn("How work stops: a planned stop, a loss, a crash", panels())


def crashes() -> str:
    """Draw a crash with a proof beside one without."""
    return _drawn("After a crash: with a proof, and without", crash_panels())


def _drawn(title: str, told: list[Panel]) -> str:
    """Draw panels below each other, over one axis of seconds."""
    body: list[str] = []
    top = 16.0
    for panel in told:
        top = _panel(panel, top, body)
    height = round(top + 28)
    for second in range(0, int(END), 5):
        x = _x(second)
        body.insert(0, f'<path class="grid" d="M{x:.1f} 12V{top:.1f}"/>')
        body.append(_text(x, top + 18, f"{second} s", "pale", anchor="middle"))
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(panel: Panel, top: float, body: list[str]) -> float:
    """Draw a panel below ``top``; give where it ends."""
    body.append(_text(16, top + 16, panel.title, "head"))
    names = top + 38
    rows = names + 8
    end = rows + ROW * len(panel.rows)
    for number, (name, bars) in enumerate(panel.rows.items()):
        y = rows + ROW * number
        body.append(_text(16, y + 19, name))
        for bar in bars:
            x, width = _x(bar.begin), _x(bar.end) - _x(bar.begin)
            body.append(
                f'<rect class="{bar.kind}" x="{x:.1f}" y="{y + 4:.1f}" '
                f'width="{width:.1f}" height="{ROW - 8}" rx="3"/>'
            )
            ink = "dark" if bar.kind in {"ends", "lease"} else "on"
            if len(bar.text) * LETTER + 6 > width:
                # It would leave its bar, in an ink that the paper swallows.
                assert bar is bars[-1], f"no room for {bar.text!r}"
                x, ink = x + width, ""
            body.append(_text(x + 6, y + 19, bar.text, ink))
    for at, word in panel.marks:
        x = _x(at)
        body.append(f'<path class="mark" d="M{x:.1f} {names + 2:.1f}V{end:.1f}"/>')
        far = x > WIDTH / 2
        body.append(
            _text(
                x + (4 if far else -2), names, word, "word", anchor="end" if far else ""
            )
        )
    return end + 22


def _x(second: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * second / END


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "") -> str:
    if not text:
        return ""
    look = f' class="{kind}"' if kind else ""
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{look}{place}>{escape(text)}</text>'


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
    for (state, fact), (target, action) in signals.CHANGES.items():
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


DIAGRAM_IN_THE_DARK: Final = """<style>
@media (prefers-color-scheme: dark) {
polygon[fill=white] { fill: #111827; } text { fill: #e5e7eb; }
path { stroke: #9ca3af; } polygon[fill="#6b7280"] { fill: #9ca3af; stroke: #9ca3af; }
}
</style>"""
"""Graphviz draws for paper."""
DIAGRAMS = {"states": diagram_of_election, "signals": diagram_of_signal}
"""What draws a table of states, by the name of its files."""
TIMELINES = {
    "timeline-story": story,
    "timeline-world": lambda: seed_svg(SEED),
    "how-work-stops": stops,
    "after-a-crash": crashes,
}
"""What draws a time line, by the name of its file."""


def laid_out(diagram: str) -> str:
    """Lay a diagram of states out with Graphviz, one fact a line."""
    lines = [
        line.replace(", ", "\\n") if "label=" in line else line
        for line in diagram.splitlines()
    ]
    look = ["-Nfontname=Helvetica", "-Efontname=Helvetica", "-Efontsize=10"]
    look += ["-Grankdir=TB", "-Gnodesep=0.15", "-Ecolor=#6b7280"]
    drawn = subprocess.run(
        ["dot", "-Tsvg", *look],  # noqa: S607 - wherever it is installed
        input="\n".join(lines).replace("rankdir=LR; ", ""),
        capture_output=True,
        check=True,
        text=True,
    )
    head, group, rest = drawn.stdout.partition("<g id")
    return f"{head}{DIAGRAM_IN_THE_DARK}\n{group}{rest}"


def main() -> None:
    """Write all pictures."""
    for name, drawn in TIMELINES.items():
        (DOCS / f"{name}.svg").write_text(drawn(), encoding="utf-8")
    for name, diagram in DIAGRAMS.items():
        (DOCS / f"{name}.dot").write_text(diagram(), encoding="utf-8")
        (DOCS / f"{name}.svg").write_text(laid_out(diagram()), encoding="utf-8")


if __name__ == "__main__":
    main()
