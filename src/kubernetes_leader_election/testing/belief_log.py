"""
Logs of belief: what each process believed at which instant, and where two did at once.

A process writes the instant it took *before* it asked whether it leads, so that a
freeze between the two is never counted as belief. All processes of one machine share
CLOCK_MONOTONIC, so their logs can be laid side by side.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Interval = tuple[float, float]
"""First and last instant, in CLOCK_MONOTONIC seconds, of an unbroken run of yeses."""


class BeliefLog:
    """
    Write one process's log; every line is in the file when the call returns.

    .. code-block:: python

        log = BeliefLog(Path("worker-1.log"))
        while running:
            log.check("belief", lambda: elector.current_leader)
            time.sleep(0.005)

    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._last: dict[str, bool] = {}

    def check(self, what: str, ask: Callable[[], bool]) -> bool:
        """Ask, and note the answer with the instant before the question."""
        before = time.monotonic()
        answer = ask()
        # A no is only news after a yes: it ends the run.
        if answer or self._last.get(what, False):
            self._write(before, what, "yes" if answer else "no")
        self._last[what] = answer
        return answer

    def note(self, what: str, detail: str = "-") -> None:
        """Note that something happened now."""
        self._write(time.monotonic(), what, detail.replace("\n", " ") or "-")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, instant: float, what: str, detail: str) -> None:
        os.write(self._file, f"{instant:.6f} {what} {detail}\n".encode())


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log."""

    instant: float
    what: str
    detail: str


@dataclass(slots=True)
class ReadLog:
    """A log as it was read back."""

    lines: list[Line] = field(default_factory=list)

    def instants(self, what: str) -> list[float]:
        """Return the instants of all yeses."""
        return [x.instant for x in self.lines if x.what == what and x.detail == "yes"]

    def runs(self, what: str) -> list[Interval]:
        """Return the unbroken runs of yeses."""
        runs: list[Interval] = []
        open_run: Interval | None = None
        for line in self.lines:
            if line.what == what and line.detail == "yes":
                start = open_run[0] if open_run else line.instant
                open_run = (start, line.instant)
            elif open_run is not None and line.what in {what, "began"}:
                # A no, or another life of the process: what it believed is over.
                runs.append(open_run)
                open_run = None
        return runs if open_run is None else [*runs, open_run]


def read_log(path: Path) -> ReadLog:
    """Read a log; a last line cut off by a kill is left out."""
    log = ReadLog()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        parts = line.rstrip("\n").split(" ", 2)
        if line.endswith("\n") and len(parts) == 3:
            log.lines.append(Line(float(parts[0]), parts[1], parts[2]))
    return log


def count_overlaps(logs: Mapping[str, ReadLog], what: str) -> tuple[int, int]:
    """
    Count the instants at which two processes said yes at once, and all instants.

    Returns:
        Instants of one process that lie within a run of another, and how many
        instants there were in all.

    """
    runs = {name: log.runs(what) for name, log in logs.items()}
    total = overlaps = 0
    for name, log in logs.items():
        instants = log.instants(what)
        total += len(instants)
        for other, others in runs.items():
            if other != name:
                overlaps += _within(instants, others)
    return overlaps, total


def _within(instants: list[float], runs: Iterable[Interval]) -> int:
    return sum(
        bisect_right(instants, last) - bisect_left(instants, first)
        for first, last in runs
    )
