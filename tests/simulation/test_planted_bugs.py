"""Planted mistakes: each is found, named, and told in a short story."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubernetes_leader_election.testing.simulation.failures import explain
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.shrink import shrink
from kubernetes_leader_election.testing.simulation.world import run_plan
from tests.simulation.planted_bugs import BUGS

GUARANTEES = {"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9"}


def first_violation(bug, fail_with_story):
    """Give the first world of its seeds that a bug fails in; the core survives it."""
    for seed in range(bug.seeds):
        plan = make_plan(seed, bug.profile)
        outcome = run_plan(plan, make_election=bug.election)
        # The default profile's are among the 5,000 that the core survives anyway.
        covered = bug.profile == "default" and not outcome.violations
        if not covered and run_plan(plan).violations:
            fail_with_story(plan, because="the correct core fails, too: ")
        if outcome.violations:
            return outcome
    return pytest.fail(f"{bug.name!r} was not found in {bug.seeds} worlds")


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_simulator_finds_a_planted_bug(name, fail_with_story):
    """A mutated core breaks a guarantee that it should, within the seeds it states."""
    bug = BUGS[name]
    outcome = first_violation(bug, fail_with_story)
    if outcome.violations[0].guarantee not in bug.breaks:
        because = f"it should break {' or '.join(sorted(bug.breaks))}: "
        fail_with_story(outcome.plan, make_election=bug.election, because=because)


def test_there_are_bugs_enough_for_every_guarantee():
    """At least 16, and each of G1 to G9 is what one of them may break first."""
    assert len(BUGS) >= 16
    assert all(b.seeds <= 5000 for b in BUGS.values() if b.profile == "default")
    assert set().union(*(bug.breaks for bug in BUGS.values())) >= GUARANTEES


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["own identity taken as proof", "own duration instead of the holders"]
)
def test_failing_world_is_shrunk_to_a_short_story(name, fail_with_story):
    """What is printed names the seed, the guarantee, and little more than the cause."""
    bug = BUGS[name]
    outcome = first_violation(bug, fail_with_story)
    violation = outcome.violations[0]
    story = explain(outcome.plan, make_election=bug.election)
    assert f"breaks {violation.guarantee}" in story.splitlines()[0]
    assert f"seed {outcome.plan.seed}, profile {bug.profile}" in story
    assert f"BREAKS {violation.guarantee}" in story.splitlines()[-1]
    assert story.count(" elector as ") <= 2
    plan, _, _ = story.partition("What happened:")
    assert len(plan.splitlines()) <= 10
    assert len(story.splitlines()) <= 100


def test_a_world_that_breaks_nothing_cannot_be_explained():
    """There is no story where nothing went wrong."""
    with pytest.raises(ValueError, match="seed 0 breaks nothing"):
        explain(make_plan(0))


def test_failing_test_draws_its_world_and_says_where(fail_with_story):
    """The message names a picture of the shrunk world that shows what is broken."""
    bug = BUGS["no uid on the put"]
    plan = make_plan(0)
    with pytest.raises(pytest.fail.Exception) as failed:
        fail_with_story(plan, make_election=bug.election, because="planted: ")
    message = str(failed.value)
    assert message.startswith("planted: ")
    [path] = re.findall("^Drawn in (.*)$", message, re.MULTILINE)
    assert path.endswith("default-0.svg")
    assert "breaks G5" in Path(path).read_text(encoding="utf-8")
    Path(path).unlink()


def test_shrinking_ends_when_its_time_is_over():
    """With no time left the world is told as it is."""
    bug = BUGS["no uid on the put"]
    plan = make_plan(0)
    assert shrink(plan, make_election=bug.election, seconds=0.0) is plan
    smaller = shrink(plan, make_election=bug.election, seconds=60.0)
    assert len(smaller.nodes) < len(plan.nodes)
