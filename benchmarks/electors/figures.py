"""Figures of a benchmark: medians, the aim beside them, a table and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table."""

    what: str
    unit: str
    n: int
    median: float
    p99: float
    aim: str
    met: bool


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def figure(
    what: str,
    values: Sequence[float],
    *,
    unit: str,
    limit: float,
    judged: str = "median",
    aim: str = "",
) -> Figure:
    """Make a line of values, judged by their median or their p99 against a limit."""
    median, p99 = statistics.median(values), percentile(values, 0.99)
    judged_value = median if judged == "median" else p99
    return Figure(
        what=what,
        unit=unit,
        n=len(values),
        median=median,
        p99=p99,
        aim=aim or f"{judged} <= {limit:g} {unit}",
        met=judged_value <= limit,
    )


def machine() -> dict[str, object]:
    """Say where this was measured."""
    return {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(figures: Sequence[Figure]) -> str:
    """Draw all lines for people."""
    rows = [("what", "n", "median", "p99", "unit", "aim", "")]
    rows += [
        (
            one.what,
            str(one.n),
            f"{one.median:.4g}",
            f"{one.p99:.4g}",
            one.unit,
            one.aim,
            "met" if one.met else "MISSED",
        )
        for one in figures
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def write_json(path: Path, figures: Sequence[Figure]) -> None:
    """Write all lines for programs."""
    document = {"machine": machine(), "figures": [asdict(one) for one in figures]}
    path.write_text(json.dumps(document, indent=2) + "\n")
