"""
How long nobody led, as the tests on a node found it: ``build/node.jsonl``.

``python tests/e2e/node/report.py`` makes the table of ``docs/node.md`` anew of it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measured", "table"]

ROOT = Path(__file__).resolve().parents[3]
LINES = ROOT / "build" / "node.jsonl"
PAGE = ROOT / "docs" / "node.md"
BEGIN, END = "<!-- generated: python tests/e2e/node/report.py -->", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one test measures."""

    test: str

    def note(self, what: str, seconds: float) -> None:
        """Write down how long nobody worked, or anything else, in seconds."""
        LINES.parent.mkdir(exist_ok=True)
        line = {"test": self.test, "what": what, "seconds": round(seconds, 4)}
        # One write at the end of the file: tests run side by side.
        file = os.open(LINES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, f"{json.dumps(line)}\n".encode())
        finally:
            os.close(file)


def table(lines: str) -> str:
    """Return the table: for each thing measured the median, and of how many."""
    found: dict[str, list[float]] = {}
    for line in lines.splitlines():
        one = json.loads(line)
        found.setdefault(one["what"], []).append(one["seconds"])
    rows = [
        f"| {what} | {statistics.median(times):.3g} s | {max(times):.3g} s | {len(times)} |"
        for what, times in found.items()
    ]
    head = ["| What happened | Nobody worked for (median) | at most | n |"]
    return "\n".join([*head, "|---|---|---|---|", *rows])


def main() -> None:
    """Write the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = table(LINES.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
