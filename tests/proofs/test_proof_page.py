"""The page that says what is proved: its numbers are those of what proves it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.core.test_election_machine import MISTAKES
from tests.mutants import MISTAKES as MUTANTS
from tests.simulation import core_mistakes, test_core_mistakes, test_worlds
from tests.simulation.planted_bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]
PAGE = " ".join((ROOT / "docs" / "proof.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def model():
    """Give the script that checks the formal model, as a module."""
    spec = importlib.util.spec_from_file_location("model", ROOT / "proofs" / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module  # where its dataclasses look for their names
    spec.loader.exec_module(module)
    yield module
    del sys.modules["model"]


def of_other_kinds():
    """Count the worlds of other kinds that the tests run."""
    test = test_worlds.test_core_keeps_every_guarantee_in_worlds_of_other_kinds
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return sum(worlds for _, worlds in mark.args[1]) + 1


def test_page_counts_stories_and_worlds():
    """As many stories as there are files, as many worlds as the tests run."""
    stories = len(list((ROOT / "tests" / "traces").glob("*.trace")))
    assert f"{stories} stories" in PAGE
    assert f"{test_worlds.WORLDS:,} worlds of three" in PAGE
    assert f"{of_other_kinds()} of other kinds" in PAGE
    assert test_worlds.INVALID_AT_MOST == 0.1
    assert "more than one in ten" in PAGE


def test_page_counts_the_planted_mistakes():
    """As many as are planted, and no more worlds than it says for each."""
    assert f"There are {len(BUGS)} of them" in PAGE
    assert f"each of the {len(BUGS)} mistakes above" in PAGE
    assert f"at most {max(bug.seeds for bug in BUGS.values())}" in PAGE
    assert f"has to find {len(MISTAKES)} of them" in PAGE


WHERE_PLANTED = {
    "engine": "in the engine",
    "kube_api": "in the client of the Lease API",
    "fronts": "in the fronts",
    "pods": "in what pods tell",
    "core": "in what the core tells people alone",
    "command line": "in the command line",
}
"""What the page calls the parts of the registry."""


def test_page_counts_the_mistakes_planted_outside_the_core():
    """As many in each part as the registry has there."""
    planted = Counter(mistake.area for mistake in MUTANTS)
    assert planted.keys() == WHERE_PLANTED.keys()
    for area, words in WHERE_PLANTED.items():
        assert f" {planted[area]} {words}" in PAGE


def test_page_counts_the_mistakes_of_the_core():
    """As many as are in the list, as many as were found, and those of each build."""
    mistakes = core_mistakes.MISTAKES.values()
    usual = [m for m in mistakes if not m.with_proof]
    found = [m for m in usual if m.worlds is not None]
    count, left = len(usual), len(usual) - len(found)
    assert f"It has {count} mistakes" in PAGE
    assert f"Of these {len(found)} are found by random worlds alone" in PAGE
    assert f"{left} of the {count} mistakes above have not been found" in PAGE
    proofs = [m for m in mistakes if m.with_proof]
    took = max(m.worlds for m in proofs)  # of None there is none: all are found
    assert f"all of them are found, and none took more than {took}." in PAGE
    tried = [m for m in usual if m.survived == 5000]
    assert f"Of {len(tried)} of them it is noted in the list that 5,000 worlds" in PAGE
    assert f"found at once, {len(test_core_mistakes.QUICK)} of them" in PAGE
    assert f"fails below {core_mistakes.SHARE * 100:.0f} %" in PAGE


def test_page_counts_the_configurations_of_the_model(model):
    """Those that must hold, how many must not, and those of the short form."""
    assert f"{len(model.CORRECT)} configurations must hold" in PAGE
    assert f"{len(model.PLANTED)} planted defects" in PAGE
    correct = [c.name for c in model.CORRECT]
    quick = [c.name.removeprefix("defect: ") for c in model.PLANTED if c.quick]
    rows = re.findall(r"\| ([^|]+?)(?: \([^)]*\))? \| [\d,]+ \|", PAGE)
    assert rows == correct + quick
    assert [c.name for c in model.CORRECT if c.quick] == correct[:1]
