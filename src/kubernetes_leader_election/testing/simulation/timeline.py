"""
Draw a run as a time line: who believed, who worked, requests, faults, clocks.

A recorded world (:func:`timeline_svg`) or the belief logs of real processes
(:func:`belief_logs_svg`) become one SVG file, made with the standard library alone::

    python -m kubernetes_leader_election.testing.simulation 42 -o run.svg
    python -m kubernetes_leader_election.testing.simulation \
        --logs worker-1.log worker-2.log -o run.svg
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from kubernetes_leader_election.testing.belief_log import ReadLog, read_log
from kubernetes_leader_election.testing.simulation.generate import PROFILES, make_plan
from kubernetes_leader_election.testing.simulation.plan import NodePlan
from kubernetes_leader_election.testing.simulation.trace import Recorder, Span
from kubernetes_leader_election.testing.simulation.world import run_plan

WIDTH: Final = 1200
LEFT: Final = 170
RIGHT: Final = 24
TOP: Final = 62
ROW: Final = 64
COLOURS: Final = ("#2563eb", "#059669", "#9333ea", "#d97706", "#0891b2", "#be185d")
INK: Final = "#1f2937"
PALE: Final = "#6b7280"
FAULT: Final = "#f59e0b"
BAD: Final = "#dc2626"
_NICE: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(slots=True)
class Row:
    """One process, or the API server, or the Lease, from left to right."""

    name: str
    note: str = ""
    colour: str = PALE
    lives: list[Span] = field(default_factory=list)
    beliefs: list[Span] = field(default_factory=list)
    works: list[Span] = field(default_factory=list)
    requests: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    holders: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class Picture:
    """All that is drawn; times in seconds from ``begin`` to ``end``."""

    title: str
    begin: float
    end: float
    rows: list[Row]
    marks: list[tuple[float, str]] = field(default_factory=list)
    """Instants with a text, drawn over everything: broken guarantees."""


# What is drawn ----------------------------------------------------------------


def timeline_svg(
    recorder: Recorder,
    *,
    title: str = "An election",
    begin: float = 0.0,
    end: float | None = None,
) -> str:
    """Draw a recorded world, or the part of it between two instants."""
    names = list(dict.fromkeys(span.who for span in recorder.lives))
    # Processes of one machine share its colour: a restart is told by its name.
    machines = list(dict.fromkeys(name.split(".")[0] for name in names))
    colours = {
        name: COLOURS[machines.index(name.split(".")[0]) % len(COLOURS)]
        for name in names
    }
    rows = [Row("Lease", "who stands in it", holders=recorder.holders)]
    broken = [span for span in recorder.faults if span.who == "API"]
    if broken:
        rows.append(Row("API server", faults=broken))
    for name in names:
        # A fault of a machine meets all processes on it: it is drawn at the first.
        faults = [s for s in recorder.faults if s.who == name]
        rows.append(
            Row(
                name,
                _clocks(recorder.nodes[name]),
                colours[name],
                lives=_of(name, recorder.lives),
                beliefs=_of(name, recorder.beliefs),
                works=_of(name, recorder.works),
                requests=_of(name, recorder.requests),
                faults=faults,
            )
        )
    marks = [(v.time, f"breaks {v.guarantee}") for v in recorder.violations]
    last = recorder.ended if end is None else end
    return draw(Picture(title, begin, max(last, begin + 0.001), rows, marks))


def belief_logs_svg(
    logs: Mapping[str, ReadLog], *, title: str = "A recorded run"
) -> str:
    """Draw the belief logs of real processes on one machine."""
    instants = [line.instant for log in logs.values() for line in log.lines]
    begin, end = min(instants, default=0.0), max(instants, default=1.0)
    rows = []
    for index, (name, log) in enumerate(logs.items()):
        row = Row(name, colour=COLOURS[index % len(COLOURS)])
        if log.lines:
            first, last = log.lines[0].instant, log.lines[-1].instant
            row.lives = [Span(name, first, last)]
        row.beliefs = [Span(name, a, b) for a, b in log.runs("belief")]
        row.works = [Span(name, a, b) for a, b in log.runs("work")]
        noted = [x for x in log.lines if x.detail not in {"yes", "no"}]
        row.requests = [Span(name, x.instant, x.instant, x.what) for x in noted]
        rows.append(row)
    return draw(Picture(title, begin, max(end, begin + 0.001), rows))


def _of(name: str, spans: Sequence[Span]) -> list[Span]:
    return [span for span in spans if span.who == name]


def _clocks(plan: NodePlan) -> str:
    parts: list[str] = [] if plan.kind == "elector" else [plan.kind]
    if plan.rate != 1.0:
        parts.append(f"clock {100 * (plan.rate - 1):+.0f} %")
    if plan.wall_offset:
        parts.append(f"wall {plan.wall_offset:+.0f} s")
    return ", ".join(parts) or "clock right"


# How it is drawn --------------------------------------------------------------


class _Canvas:
    """Turn seconds into places, and collect the shapes."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.height = TOP + ROW * len(picture.rows) + 64
        self.shapes: list[str] = []

    def x(self, time: float) -> float:
        """Return the place of an instant."""
        picture = self.picture
        share = (time - picture.begin) / (picture.end - picture.begin)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def seen(self, spans: Sequence[Span]) -> Iterator[tuple[Span, float, float]]:
        """Yield the spans within the picture, with where they begin and end."""
        picture = self.picture
        for span in spans:
            end = picture.end if span.end is None else span.end
            if end >= picture.begin and span.begin <= picture.end:
                yield span, self.x(span.begin), self.x(end)

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, more: str = ""
    ) -> None:
        """Draw a rectangle, at least wide enough to be seen."""
        self.shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.5):.1f}" '
            f'height="{height:.1f}" fill="{fill}" {more}/>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, colour: str) -> None:
        """Draw a thin line."""
        self.shapes.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" '
            f'stroke="{colour}" stroke-width="1"/>'
        )

    def text(
        self, x: float, y: float, text: str, size: int = 12, more: str = ""
    ) -> None:
        """Write a text."""
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" {more}>'
            f"{escape(text)}</text>"
        )


def draw(picture: Picture) -> str:
    """Return the SVG of a picture."""
    canvas = _Canvas(picture)
    canvas.text(16, 26, picture.title, 17, 'font-weight="600"')
    _axis(canvas)
    colours = {row.name: row.colour for row in picture.rows}
    for index, row in enumerate(picture.rows):
        _row(canvas, row, TOP + ROW * index, colours)
    for time, text in picture.marks:
        x = canvas.x(time)
        canvas.line(x, TOP - 8, x, TOP + ROW * len(picture.rows), BAD)
        canvas.text(x + 4, TOP - 10, text, 12, f'fill="{BAD}" font-weight="600"')
    _legend(canvas)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
                f'height="{canvas.height}" viewBox="0 0 {WIDTH} {canvas.height}" '
                f'font-family="Inter, Helvetica, Arial, sans-serif" fill="{INK}">'
            ),
            f"<title>{escape(picture.title)}</title>",
            f'<rect width="{WIDTH}" height="{canvas.height}" fill="#ffffff"/>',
            *canvas.shapes,
            "</svg>",
            "",
        ]
    )


def _axis(canvas: _Canvas) -> None:
    picture = canvas.picture
    length = picture.end - picture.begin
    step = next((s for s in _NICE if length / s <= 14), _NICE[-1])
    bottom = TOP + ROW * len(picture.rows)
    for number in range(math.floor(length / step) + 1):
        x = canvas.x(picture.begin + number * step)
        canvas.line(x, TOP - 4, x, bottom, "#e5e7eb")
        shown = number * step + (round(picture.begin) if picture.begin < 1e5 else 0)
        more = f'text-anchor="middle" fill="{PALE}"'
        canvas.text(x, bottom + 16, f"{shown} s", 11, more)


def _row(canvas: _Canvas, row: Row, top: float, colours: Mapping[str, str]) -> None:
    canvas.line(16, top, WIDTH - RIGHT, top, "#f3f4f6")
    canvas.text(16, top + 30, row.name, 14, f'font-weight="600" fill="{row.colour}"')
    canvas.text(16, top + 46, row.note, 11, f'fill="{PALE}"')
    taken = 0.0
    for span, x, end in canvas.seen(row.faults):
        if span.end is not None:
            canvas.box(x, top + 2, end - x, ROW - 4, FAULT, 'fill-opacity="0.18"')
        canvas.box(x, top + 2, 2, ROW - 4, FAULT)
        width = 6.4 * len(span.text)
        near_end = WIDTH - RIGHT - x < width + 8
        place = x - 4 - width if near_end else x + 5
        # Below the bars where another label stands in the way.
        canvas.text(
            place,
            top + (14 if place > taken else ROW - 5),
            span.text,
            11,
            'fill="#b45309"',
        )
        taken = place + width
    for _, x, end in canvas.seen(row.lives):
        canvas.box(x, top + 38, end - x, 2, "#d1d5db")
    for span, x, end in canvas.seen(row.holders):
        free = span.who in {"free", "gone"}
        fill = "#e5e7eb" if free else colours.get(span.who, PALE)
        canvas.box(
            x, top + 24, end - x, 22, fill, f'fill-opacity="{1 if free else 0.75}"'
        )
        if end - x > 8 * len(span.who) + 6:
            ink = PALE if free else "#ffffff"
            canvas.text(x + 5, top + 39, span.who, 12, f'fill="{ink}"')
    for _, x, end in canvas.seen(row.beliefs):
        canvas.box(x, top + 28, end - x, 14, row.colour, 'rx="2"')
    for _, x, end in canvas.seen(row.works):
        canvas.box(x, top + 46, end - x, 5, row.colour, 'fill-opacity="0.45" rx="2"')
    for span, x, end in canvas.seen(row.requests):
        bad = any(w in span.text for w in ("Unknown", "Failed", "Conflict", "Abandon"))
        canvas.box(x, top + 18, end - x, 6, BAD if bad else "#9ca3af")


def _legend(canvas: _Canvas) -> None:
    y = canvas.height - 20
    x = 16.0
    for shape, colour, text in (
        ((20, 14, 1.0), COLOURS[0], "believes that it leads"),
        ((20, 5, 0.45), COLOURS[0], "its work runs"),
        ((20, 2, 1.0), "#d1d5db", "the process lives"),
        ((4, 8, 1.0), "#9ca3af", "a request"),
        ((20, 8, 1.0), BAD, "a request that failed, or nobody knows"),
        ((20, 14, 0.3), FAULT, "a fault"),
    ):
        width, height, opacity = shape
        more = f'fill-opacity="{opacity}"'
        canvas.box(x, y - 4 - height / 2, width, height, colour, more)
        canvas.text(x + width + 6, y, text, 12, f'fill="{PALE}"')
        x += width + 30 + 6.6 * len(text)


# The command ------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a seed's world, or logs, into a file; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m kubernetes_leader_election.testing.simulation",
        description="Draw a simulated or a recorded election as an SVG time line.",
    )
    parser.add_argument("seed", nargs="?", type=int, help="the world to run and draw")
    parser.add_argument(
        "--profile", default="default", choices=sorted(PROFILES), help="of the world"
    )
    parser.add_argument("--logs", nargs="+", type=Path, help="belief logs to draw")
    parser.add_argument("--begin", type=float, default=0.0, help="first second drawn")
    parser.add_argument("--end", type=float, help="last second drawn")
    parser.add_argument("-o", "--output", type=Path, default=Path("timeline.svg"))
    asked = parser.parse_args(arguments)
    if (asked.seed is None) == (not asked.logs):
        parser.error("name either a seed or --logs")
    if asked.logs:
        svg = belief_logs_svg({path.stem: read_log(path) for path in asked.logs})
    else:
        svg = seed_svg(
            asked.seed, profile=asked.profile, begin=asked.begin, end=asked.end
        )
    asked.output.write_text(svg, encoding="utf-8")
    sys.stdout.write(f"{asked.output}\n")
    return 0


def seed_svg(
    seed: int,
    *,
    profile: str = "default",
    begin: float = 0.0,
    end: float | None = None,
) -> str:
    """Run the world of a seed, and draw it."""
    recorder = Recorder()
    outcome = run_plan(make_plan(seed, profile), recorder=recorder)  # type: ignore[arg-type]  # the command knows no other
    told = "; ".join(str(v) for v in outcome.violations) or "no guarantee broken"
    title = f"World {seed} ({profile}): {told}"
    return timeline_svg(recorder, title=title, begin=begin, end=end)
