"""Tables that fit: names are shortened, and columns left out, only where there is no room."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from typing import Final

import click

from kubernetes_leader_election.cli.output import style, to_terminal
from kubernetes_leader_election.values import Value

GAP: Final = 2
"""Spaces between two columns."""
SHORTEST: Final = 5
"""Characters that a name keeps however narrow the terminal is: both ends, and the cut."""


class Column(Value):
    """A column, and what may be done to it where there is no room."""

    title: str
    least: int | None = None
    """Its cells are names: shortened in the middle, to no less while others can go."""
    optional: int = 0
    """Left out where there is no room, the highest number first; 0: never."""
    right: bool = False
    """Numbers, which stand at the right."""


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where stdout is none: programs want all."""
    return shutil.get_terminal_size().columns if to_terminal() else None


def width_of(text: str) -> int:
    """Return the columns that a text takes on a terminal, its colours aside."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in click.unstyle(text)
    )


def shortened(text: str, width: int) -> str:
    """Cut a name in the middle: what tells pods apart is at the end of their names."""
    if width_of(text) <= width:
        return text
    kept = width - 2  # less ".."
    first = _first(text, kept // 2)
    last = _first(text[::-1], kept - width_of(first))[::-1]
    return f"{first}..{last}"


def _first(text: str, width: int) -> str:
    """Return as many characters of the beginning as fit."""
    taken = 0
    for place, character in enumerate(text):
        taken += width_of(character)
        if taken > width:
            return text[:place]
    return text


def fit(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> dict[int, int]:
    """Return the columns that there is room for, by their place, and their widths."""
    widths = {
        place: max(width_of(text) for text in (column.title, *(r[place] for r in rows)))
        for place, column in enumerate(columns)
    }
    if width is None:
        return widths
    least = {
        place: min(widths[place], max(column.least, width_of(column.title)))
        for place, column in enumerate(columns)
        if column.least is not None
    }
    leaving = sorted(widths, key=lambda place: columns[place].optional)
    while columns[leaving[-1]].optional and _total(widths | least) > width:
        gone = leaving.pop()
        del widths[gone]
        least.pop(gone, None)
    for bounds in (least, dict.fromkeys(least, SHORTEST)):
        while _total(widths) > width and (
            wide := [place for place in least if widths[place] > bounds[place]]
        ):
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def cells(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> list[dict[int, str]]:
    """Return the head and each row, filled up to the widths: cells by their place."""
    widths = fit(columns, rows, width)
    return [
        {place: _cell(columns[place], row[place], widths[place]) for place in widths}
        for row in ([column.title for column in columns], *rows)
    ]


def _cell(column: Column, text: str, width: int) -> str:
    if column.least is not None:
        text = shortened(text, width)
    room = " " * (width - width_of(text))
    return room + text if column.right else text + room


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    """
    Lay out a table as lines.

    Args:
        columns: what they are called, and how they give way.
        rows: the cells; they may have colours, but for the names.
        width: the columns of the terminal; None: there is room for everything.

    """
    head, *body = [
        (" " * GAP).join(line.values()).rstrip() for line in cells(columns, rows, width)
    ]
    return [style(head, bold=True), *body]
