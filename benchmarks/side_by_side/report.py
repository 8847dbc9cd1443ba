"""The comparison for people and for programs: a table, JSON, a picture, a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.electors.figures import machine
from benchmarks.side_by_side.contenders import CONTENDERS, RHYTHM, Contender
from benchmarks.side_by_side.parts import HAND_OVERS
from controlplane.binaries import kubernetes_version

__all__ = ["Report", "write_all"]

UNITS = {
    "first acquisition": "ms",
    "clean hand-over": "s",
    "crash fail-over": "s",
    "requests a minute, leader": "",
    "requests a minute, waiting": "",
    "memory, leader": "MiB",
    "memory, waiting": "MiB",
    "processor, leader": "ms a minute",
    "processor, waiting": "ms a minute",
    "stale work after SIGSTOP": "s",
    "black hole: leader works for": "s",
    "black hole: beside its successor": "s",
    "outage: leader works for": "s",
    "outage: work goes on after": "s",
    "outage: instants with two leaders": "",
}
"""Every line of the table, in order."""

NOT_SHORTER: Mapping[str, str] = {
    # Up to its deadline, after which others may start: neither is better.
    "black hole: leader works for": "",
    # Nobody can take over while the server is gone: who stops early loses work.
    "outage: leader works for": "longer is better",
}
"""The lines in which shorter is not better, and what is; of all others it is."""

WIDTH, HALF, EDGE, ROW, BAR = 440, 200, 12, 22, 310
COLOURS = {
    "ours": "#2a78d6",
    "asyncio": "#7fb0ea",
    "clientgo": "#8a8f98",
    "official": "#c9ccd1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All results, by contender and by line."""

    results: Mapping[str, Mapping[str, float | None]]
    seconds: float
    where: Mapping[str, Any] = field(default_factory=machine)
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)
    """Every line of the table, in order."""
    contenders: Sequence[Contender] = CONTENDERS
    """Every column, in order."""

    def shown(self, key: str, what: str) -> str:
        """Return one figure as text; what had no end when nobody looked any more."""
        value = self.results[key].get(what)
        if value is None:
            return "no end"
        if self.units[what] == "ms":
            return f"{value * 1000:.0f} ms"
        if self.units[what] == "s":
            return f"{value:.3f} s" if value < 1 else f"{value:.1f} s"
        return f"{value:.0f} {self.units[what]}".strip()

    def rows(self) -> list[list[str]]:
        """Return the table, its head first."""
        head = ["", *(one.name for one in self.contenders)]
        return [
            head,
            *(
                [what, *(self.shown(one.key, what) for one in self.contenders)]
                for what in self.units
            ),
        ]

    def table(self) -> str:
        """Draw the table for a terminal."""
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        )

    def drawn(self) -> str:
        """Draw the table for a page."""
        head, *body = self.rows()
        lines = [head, ["---"] * len(head), *body]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def markdown(self) -> str:
        """Write the page of the documentation."""
        drawn, where = self.drawn(), self.where
        return f"""\
# Side by side

This page is written by `make side-by-side`: the same work on one API server, in one run, for this package (its electors for threads and for asyncio), for client-go and for the official `kubernetes` package.
All use client-go's times: lease duration {RHYTHM.duration:g} s, renew deadline {RHYTHM.deadline:g} s, a renewal every {RHYTHM.interval:g} s.

{drawn}

![The same figures as bars](side-by-side.svg)

Measured on {where["when"][:10]} on {where["cores"]} cores at a load of {where["load"]} with kube-apiserver {kubernetes_version()}, Python {where["python"]}, `kubernetes` {version("kubernetes")}.
Figures are medians of three runs (first acquisition: of five; hand-over: of {HAND_OVERS}) on this one machine: compare the columns, not the digits.

## What the lines mean

- **First acquisition**: from the elector's start, on a Lease that does not exist, to the first work.
- **Clean hand-over**: SIGTERM to the leader; from its last work to its successor's first. The signal comes at a random moment, as a candidate that polls (client-go, every 2 to 4.4 s) sees a release sooner or later by chance. The official package cannot release, so its successor waits.
- **Crash fail-over**: from `kill -9` to the successor's first work.
- **Requests a minute**: requests in the server's audit log over {self.seconds:g} s in which nothing happens.
- **Memory**: of the whole process, at the end of that time.
- **Processor**: of the whole process over {self.seconds:g} s, by its own clock (`clock_getcpuclockid`), in which it does nothing but lead or wait: no work, and no handler of `lease_renewed`.
- **Stale work after SIGSTOP**: the leader is stopped until another one leads, and goes on; how long it works beside that one.
- **Black hole**: nothing reaches the leader any more; how long it works (up to its renew deadline, neither longer nor shorter is better), and how long beside its successor. "No end" means that it still worked when the measurement ended, 12 s after the successor had begun.
- **Outage**: the API server is killed, and started again after 20 s; how long the leader works without it (longer is better: nobody can take over), and how long after the restart anybody works again (the server itself takes some seconds).

[Other libraries on the same Lease](interoperation.md) says why the others work beside their successors.
"""

    def picture(self) -> str:
        """
        Draw every line of the table as bars, and say which are better in it.

        It is drawn for a narrow screen: names stand above the bars, not beside them.
        """
        legend = "".join(
            f'<rect x="{EDGE + i % 2 * HALF}" y="{14 + i // 2 * ROW}" width="14"'
            f' height="14" rx="2" fill="{COLOURS[one.key]}"/>'
            f'<text x="{EDGE + i % 2 * HALF + 20}" y="{26 + i // 2 * ROW}">'
            f"{escape(one.name)}</text>"
            for i, one in enumerate(self.contenders)
        )
        parts: list[str] = []
        y = 14 + (len(self.contenders) + 1) // 2 * ROW
        for what in self.units:
            y += 28
            values = [self.results[one.key].get(what) for one in self.contenders]
            most = max([value for value in values if value is not None] or [0.0])
            parts.append(f'<text x="{EDGE}" y="{y - 8}">{escape(what)}</text>')
            if better := NOT_SHORTER.get(what, "shorter is better"):
                parts.append(
                    f'<text x="{WIDTH - EDGE}" y="{y - 8}" class="n e">{better}</text>'
                )
            for one, value in zip(self.contenders, values, strict=True):
                full = value is None
                share = 1.0 if value is None else value / most if most else 0.0
                long = max(2.0, share * BAR)
                dash = ' stroke="#b3261e" stroke-dasharray="4 3"' if full else ""
                parts.append(
                    f'<rect x="{EDGE}" y="{y}" width="{long:.1f}"'
                    f' height="{ROW - 6}" rx="2" fill="{COLOURS[one.key]}"{dash}/>'
                    f'<text x="{EDGE + long + 8:.1f}" y="{y + 13}"'
                    f' class="n">{escape(self.shown(one.key, what))}</text>'
                )
                y += ROW
        y += EDGE
        style = (
            "text{font:14px sans-serif;fill:#24292f}.n{font-size:12px}"
            ".e{text-anchor:end}.p{fill:#fff}"
            "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.p{fill:#131416}}"
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}"'
            f' role="img" aria-label="The table as bars"><style>{style}</style>'
            f'<rect width="{WIDTH}" height="{y}" class="p"/>'
            f"{legend}{''.join(parts)}</svg>\n"
        )

    def json(self) -> str:
        """Write everything for programs."""
        document = {
            "machine": self.where,
            "seconds": self.seconds,
            "kubernetes": kubernetes_version(),
            "rhythm": {
                "lease_duration_sec": RHYTHM.duration,
                "renew_deadline_sec": RHYTHM.deadline,
                "renew_interval_sec": RHYTHM.interval,
            },
            "results": self.results,
        }
        return json.dumps(document, indent=2) + "\n"


def write_all(report: Report, page: str, *, docs: Path, name: str) -> None:
    """Write a page, its picture and its figures into a folder."""
    written = {"md": page, "svg": report.picture(), "json": report.json()}
    for suffix, text in written.items():
        (docs / f"{name}.{suffix}").write_text(text, encoding="utf-8")
