"""The page of guarantees and rules: each entry has tests, and they quote it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "guarantees.md"
RULES = range(1, 20)
GUARANTEES = range(1, 10)


def entries():
    """Give the entries of the page: heading to text."""
    parts = re.split(
        r"^### (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def docstrings(pattern):
    """Give the docstrings of all tests in these modules: place to text."""
    found = {}
    for path in sorted(TESTS.glob(pattern)):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                place = f"{path.relative_to(TESTS.parent).as_posix()}::{node.name}"
                found[place] = " ".join((ast.get_docstring(node) or "").split())
    return found


def prose(entry):
    """Give the text of an entry on one line, without its list of tests."""
    text = entry.split("\n- ")[0].split("\n## ")[0]
    return " ".join(text.replace("*", "").replace("`", "").split())


ENTRIES = entries()
QUOTING = docstrings("core/test_rules_of_*.py")


def test_page_numbers_all_guarantees_and_rules():
    """The page has G1 to G9 and the rules 1 to 19, in order and no others."""
    labels = [heading.split(":")[0] for heading in ENTRIES]
    expected = [f"G{n}" for n in GUARANTEES] + [f"Rule {n}" for n in RULES]
    assert [label for label in labels if label != "What is not guaranteed"] == expected


@pytest.mark.parametrize(
    "heading", [h for h in ENTRIES if h != "What is not guaranteed"]
)
def test_page_names_tests_that_exist(heading):
    """Each entry names at least one test, and no test that is not there."""
    places = re.findall(
        r"^- `(tests/[\w/]+\.py)(?:::(\w+))?`$", ENTRIES[heading], flags=re.MULTILINE
    )
    assert places
    for path, name in places:
        source = (TESTS.parent / path).read_text(encoding="utf-8")
        assert not name or re.search(
            rf"^(def {name}\(|class {name}\b|{name} = )", source, re.MULTILINE
        ), (
            path,
            name,
        )


@pytest.mark.parametrize("number", RULES)
def test_each_rule_is_quoted_by_a_test(number):
    """A rule has a test of its own whose docstring quotes it, word for word."""
    rule = prose(ENTRIES[f"Rule {number}"])
    quotes = [
        quote
        for place, text in QUOTING.items()
        if f"::test_rule_{number:02}_" in place
        for quote in re.findall(r'"([^"]{12,})"', text)
    ]
    assert quotes
    assert not [quote for quote in quotes if quote not in rule]


def test_each_test_of_a_rule_names_the_rule():
    """The number in a test's name stands in its docstring, or a fault's number does."""
    unnamed = []
    for place, text in QUOTING.items():
        number = int(re.search(r"::test_rule_(\d\d)_", place)[1])
        if not re.search(rf"[Rr]ules? (\d+ and )?{number}\b|[Ff]ault \d\d", text):
            unnamed.append(place)
    assert not unnamed
