"""Every story in `tests/traces` goes as it is written down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scenarios import ScenarioError, play, read_scenario

TRACES = Path(__file__).with_name("traces")
STORIES = sorted(TRACES.glob("*.trace"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_scenario_goes_as_it_is_written(path, request):
    """G1-G9: the trace is what happens, and no guarantee breaks unless it says so."""
    written = read_scenario(path)
    played = play(written)
    if request.config.getoption("--rewrite-traces"):
        path.write_text(played.text(), encoding="utf-8")
        return
    assert played.text().splitlines() == path.read_text(encoding="utf-8").splitlines()


def test_scenarios_break_a_guarantee_only_where_that_is_the_claim():
    """G1: a violation stands in no trace but those whose claim says that it breaks."""
    broken = [p.stem for p in STORIES if "BREAKS" in p.read_text(encoding="utf-8")]
    claimed = [p.stem for p in STORIES if "G1 breaks" in read_scenario(p).claim]
    assert broken == claimed


def test_there_are_scenarios_enough():
    """At least forty stories are told, each of another fault or rule."""
    assert len(STORIES) >= 40
    claims = [read_scenario(path).claim for path in STORIES]
    assert len(set(claims)) == len(claims)


FAULTS = (1, 2, 3, 4, 8, 9, 10, 17, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29, 31, 32)
FAULTS += (34, 36, 37, 38, 39, 40, 41, 42, 43, 54, 55, 56)
"""Rows of the fault catalogue that a simulated world can meet, one election at a time."""


def test_scenarios_cover_the_faults_of_a_simulation():
    """Each fault that can be simulated has a story whose claim names it."""
    told = " ".join(read_scenario(path).claim for path in STORIES)
    named = {int(number) for number in re.findall(r"fault (\d\d)", told)}
    assert not set(FAULTS) - named


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("world D=20 R=10\n----\n", "no claim", id="no claim"),
        pytest.param("# A claim.\nwait\n----\n", "not `world`", id="no world"),
        pytest.param(
            "# A claim.\nworld D=2 R=1\n----\n\nwait\n", "neither", id="no answer"
        ),
        pytest.param(
            "# A claim.\nworld D=9 R=3\n----\n\nstart a until=a_stopping\n----\n",
            "no such state",
            id="unknown state",
        ),
        pytest.param(
            "# A claim.\nworld D=9 R=3\n----\n\nstart a\n----\n\nbookmark a\n----\n",
            "met nothing",
            id="fault that meets nothing",
        ),
    ],
)
def test_scenario_that_cannot_be_played_says_why(tmp_path, text, complaint):
    """A story with a mistake in it fails; it is not passed over."""
    path = tmp_path / "story.trace"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=complaint):
        play(read_scenario(path))
