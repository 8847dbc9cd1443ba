"""The tables of docs/life-cycle.md, as the tests read them."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "life-cycle.md"


def table(heading):
    """Give the rows of the first table below a heading, as tuples of cells."""
    lines = iter(PAGE.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("## ") and line.removeprefix("## ") == heading:
            break
    else:
        raise LookupError(f"{PAGE.name} has no heading {heading!r}")
    rows = []
    for line in lines:
        if line.startswith("## "):
            break
        if line.startswith("|"):
            rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
        elif rows:
            break
    if len(rows) < 3:
        raise LookupError(f"no table below {heading!r}")
    return rows[2:]  # without the head and the line below it


def code(cell):
    """Give a cell without the marks of code around it."""
    return cell.strip("`")
