"""
Draw what ``kle demo`` has just done: ``python docs/demo_picture.py`` (half a minute).

Nothing is written where a promise was not kept, as on a machine that is too busy. It plays
the real story of the demo, with its processes, and draws who led at which instant
by the logs that the demo itself judges. The letters are large: a reader on a telephone
sees the picture at half its size.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from kubernetes_leader_election.cli.demo import story
from kubernetes_leader_election.cli.output import short_time

PICTURE: Final = Path(__file__).parent / "demo.svg"
WIDTH: Final = 620
LEFT: Final = 64
RIGHT: Final = 20
ROW: Final = 36
TOP: Final = 92
LINE: Final = 27
LOOK: Final = 0.05
"""Seconds between two looks at what was done to the processes."""
GAP: Final = 0.15
"""Seconds between two beliefs that are one term: a worker notes one each 10 ms."""
STYLE: Final = """
svg { font-family: Inter, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 19px; }
.paper { fill: #ffffff; stroke: #d1d5db; } text { fill: #1f2937; }
.head { font-weight: 600; font-size: 21px; } .pale { fill: #4b5563; font-size: 16px; }
.lane { fill: #e5e7eb; } .leads { fill: #059669; } .frozen { fill: #2563eb; }
.gone { fill: #b91c1c; } .hangs { fill: #b45309; }
.yes { fill: #047857; font-weight: 600; }
@media (prefers-color-scheme: dark) {
.paper { fill: #111827; stroke: #374151; } text { fill: #e5e7eb; } .pale { fill: #9ca3af; }
.lane { fill: #374151; } .leads { fill: #34d399; } .frozen { fill: #60a5fa; }
.gone { fill: #f87171; } .hangs { fill: #fbbf24; }
.yes { fill: #34d399; }
}
"""
"""Colours for paper and for the dark: a browser chooses by what its user asked for."""
KINDS: Final = {"frozen": "frozen", "killed": "gone"}
LEGEND: Final = {
    "leads": "leads",
    "frozen": "frozen",
    "gone": "killed",
    "hangs": "API hangs",
}

Span = tuple[float, float, str]
"""Seconds from the begin of the story, and the kind of bar."""


@dataclass
class Recording:
    """What is seen of a story while it is played."""

    begin: float = field(default_factory=time.monotonic)
    crew: story.Crew | None = None
    seen: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    """Instants, and what was last done to each process and to the API."""
    logs: dict[str, list[float]] = field(default_factory=dict)
    """Instants at which each process believed that it leads."""
    results: list[story.Result] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Note what was done to whom, until the story is over."""
        while not self.over.wait(LOOK):
            if self.crew is not None:
                now = time.monotonic() - self.begin
                self.seen.append((now, self.crew.conditions | {"API": self.crew.api}))

    def spans(self, name: str) -> list[Span]:
        """Return the bars of a lane."""
        found = [
            (start, end, KINDS.get(before[name], "hangs"))
            for (start, before), (end, _) in pairwise(self.seen)
            if before[name] in {*KINDS, "hangs"}
        ]
        instants = self.logs.get(name, [])
        found += [(a, b, "leads") for a, b in pairwise(instants) if b - a < GAP]
        return _joined(found)


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end, kind in spans:
        if joined and joined[-1][2] == kind and start - joined[-1][1] < GAP:
            joined[-1] = joined[-1][0], end, kind
        else:
            joined.append((start, end, kind))
    return joined


def record() -> Recording:
    """Play the story, and return what was seen of it."""
    recording = Recording()
    watcher = threading.Thread(target=recording.look)

    def introduce(crew: story.Crew) -> None:
        recording.crew = crew

    watcher.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            told = story.play(Path(folder), print, introduce)
            recording.results = list(told)
            logs = {} if recording.crew is None else recording.crew.logs()
            for name, log in logs.items():
                instants = [t - recording.begin for t in log.instants("belief")]
                recording.logs[name] = instants
    finally:
        recording.over.set()
        watcher.join()
    return recording


def draw(recording: Recording) -> str:
    """Return the picture as SVG."""
    end = max(max(instants) for instants in recording.logs.values()) + 0.5
    scale = (WIDTH - LEFT - RIGHT) / end
    body = [_text(16, 34, "Three processes, one Lease: who leads", "head")]
    x = 16.0
    for kind, word in LEGEND.items():
        body.append(_bar(x, 52, 14, kind))
        body.append(_text(x + 20, 65, word, "pale"))
        x += 46 + 9 * len(word)
    y = TOP
    for name in (*story.NAMES, "API"):
        body.append(_text(16, y + 21, name))
        body.append(_bar(LEFT, y + 5, WIDTH - LEFT - RIGHT, "lane"))
        body += [
            _bar(LEFT + scale * start, y + 5, scale * (min(stop, end) - start), kind)
            for start, stop, kind in recording.spans(name)
            if start < end
        ]
        y += ROW
    body += [
        _text(LEFT + scale * second, y + 18, f"{second} s", "pale")
        for second in range(0, int(end), 5)
    ]
    y += 56
    for result in recording.results:
        took = "" if result.took is None else short_time(result.took)
        body.append(_text(16, y, result.what))
        body.append(_text(WIDTH - 90, y, took, anchor="end"))
        body.append(
            _text(WIDTH - RIGHT, y, "kept" if result.kept else "BROKEN", "yes", "end")
        )
        y += LINE
    return _svg(y, body)


def _svg(height: float, body: list[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    paper = f'width="{WIDTH - 1}" height="{height - 1}" x="0.5" y="0.5" rx="8"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
            "<title>kle demo: who leads when, and what took how long</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" {paper}/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _bar(x: float, y: float, width: float, kind: str) -> str:
    height = 14 if width == 14 else ROW - 12
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 2):.1f}"'
        f' height="{height}" rx="2"/>'
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    look = f' class="{kind}"' if kind else ""
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{look}{place}>{escape(text)}</text>'


def main() -> int:
    """Play, and draw what happened, unless the machine was too busy to keep all."""
    recording = record()
    if not all(result.kept for result in recording.results):
        return 1
    PICTURE.write_text(draw(recording), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
