"""Every fault of ``docs/faults.md`` has a test that carries its number."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"

ABOUT_THE_KIT = ("testing", "conformance")
"""Tests of the embedded server: that it can fail shows nothing about the electors."""

_ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.*) \|$", re.MULTILINE)
_LABEL = re.compile(
    r"\bfaults?[ _]0*(\d+)((?:(?:, | and |, and | or )(?:fault )?0*\d+)*)",
    re.IGNORECASE,
)


def numbers_in(text: str) -> set[int]:
    """Give the faults that a text names, as ``fault 7`` or ``faults 7, 8 and 9``."""
    return {
        int(number)
        for first, more in _LABEL.findall(text)
        for number in [first, *re.findall(r"\d+", more)]
    }


@functools.cache
def labelled() -> tuple[tuple[str, set[int]], ...]:
    """Give each test and scenario with the faults that it names."""
    return tuple(_look())


def _look() -> Iterator[tuple[str, set[int]]]:
    root = TESTS.parent
    for file in sorted(TESTS.rglob("test_*.py")):
        if file.relative_to(TESTS).parts[0] in ABOUT_THE_KIT:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef
            ) and node.name.startswith("test_"):
                text = f"{node.name.replace('_', ' ')}\n{ast.get_docstring(node) or ''}"
                yield f"{file.relative_to(root)}::{node.name}", numbers_in(text)
    for file in sorted(TESTS.rglob("*.trace")):
        first = file.read_text().partition("\n")[0]
        yield str(file.relative_to(root)), numbers_in(first)


def rows() -> dict[int, str]:
    """Give the rows of the page: number, and what it says shows it."""
    return {
        int(number): shown for number, _, _, shown in _ROW.findall(PAGE.read_text())
    }


def test_page_lists_the_faults_in_order_and_without_gaps():
    """A row is not lost, and none has the number of another."""
    numbers = [int(row[0]) for row in _ROW.findall(PAGE.read_text())]
    assert numbers == list(range(1, 82))


@pytest.mark.parametrize("number", range(1, 82), ids=lambda n: f"row {n}")
def test_each_row_is_carried_by_a_test(number):
    """A row that no test names is not proven, and this fails."""
    carriers = [place for place, found in labelled() if number in found]
    assert carriers, f"no test names fault {number}"


def test_no_test_claims_a_fault_that_is_not_listed():
    """A label that means nothing proves nothing."""
    known = set(rows())
    strangers = {place: found - known for place, found in labelled() if found - known}
    assert strangers == {}


def test_what_the_page_names_is_there_and_carries_the_number():
    """The last column points at files with a test of that very row."""
    carried: dict[str, set[int]] = {}
    for place, found in labelled():
        carried.setdefault(place.partition("::")[0], set()).update(found)
    wrong = {
        (number, file)
        for number, shown in rows().items()
        for file in re.findall(r"`([^`]+)`", shown)
        if number not in carried.get(file, set())
    }
    assert wrong == set()
    empty = {number for number, shown in rows().items() if not shown}
    assert empty == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Fault 07: caught.", {7}),
        ("test fault 15 child leaves", {15}),
        ("Faults 24, 33, 34 and 35: one line.", {24, 33, 34, 35}),
        ("The default 20 s.", set()),
        ("Nothing.", set()),
    ],
    ids=["one", "in a name", "several", "not a label", "none"],
)
def test_labels_are_read_as_people_write_them(text, found):
    """The script that counts is tested itself."""
    assert numbers_in(text) == found
