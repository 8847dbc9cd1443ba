"""Worlds in which some processes run this version and some an earlier one."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation import soak
from kubernetes_leader_election.testing.simulation.cores import Versions
from kubernetes_leader_election.testing.simulation.failures import describe, explain
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Tally
from kubernetes_leader_election.testing.simulation.world import run_plan
from tests.simulation.planted_bugs import BUGS
from tests.versions import EARLIER
from tests.versions.cores import EARLIER_CORES, LEFT_OUT, core_of, mixed

WORLDS = 300
CHUNK = 100
PROFILE = "mixed versions"


class Noting:
    """
    Make cores that note who leads, one after the other, by the name of its version.

    Args:
        make: makes the cores.
        name: of their version.
        led: where it is noted; shared by the versions of a world.

    """

    def __init__(self, make, name, led):
        self.make, self.name, self.led = make, name, led

    def __call__(self, settings, *, draw):
        """Return a core whose acquisitions are noted."""
        core = self.make(settings, draw=draw)
        drain = core.drain

        def noting():
            out = drain()
            led = any(isinstance(item, m.LeadershipAcquired) for item in out)
            self.led.extend([self.name] * led)
            return out

        core.drain = noting
        return core


class Slotless(Election):
    """The core, with room for a method of its own."""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_two_versions_keep_every_guarantee_on_one_lease(first, fail_with_story):
    """G1 G2 G3 G4 G5 G6 G7 G8 G9: whoever runs which, and hands over to whom."""
    tally, handed_over = Tally(), Counter()
    for seed in range(first, first + CHUNK):
        led = []
        earlier = [
            Noting(make, f"earlier {number}", led)
            for number, make in enumerate(EARLIER_CORES)
        ]
        make = Versions(*earlier, this=Noting(Slotless, "this", led), left_out=LEFT_OUT)
        outcome = run_plan(make_plan(seed, PROFILE), make_election=make)
        tally.add(outcome.tally)
        handed_over.update(pairwise(led))
        if outcome.violations:
            fail_with_story(outcome.plan, make_election=mixed())
    assert tally.invalid <= CHUNK / 10
    for number in range(len(EARLIER)):
        assert handed_over["this", f"earlier {number}"] >= CHUNK / len(EARLIER) / 2
        assert handed_over[f"earlier {number}", "this"] >= CHUNK / len(EARLIER) / 2


@pytest.mark.slow
@pytest.mark.parametrize("faulty", ["this", "earlier"])
def test_checkers_judge_both_versions(faulty):
    """A mistake in either is found, and told with the versions that take part."""
    bug = BUGS["own duration instead of the holders"].election
    right = core_of(EARLIER[0])
    make = Versions(right, this=bug) if faulty == "this" else Versions(bug)
    for seed in range(100):
        plan = make_plan(seed, PROFILE)
        outcome = run_plan(plan, make_election=make)
        if outcome.violations:
            break
    assert outcome.violations[0].guarantee in {"G1", "G5"}
    story = explain(plan, make_election=make, seconds=10.0)
    assert " of versions " in story


def test_each_world_begins_with_both_versions():
    """At least one process of each, and nodes that change from one to the other."""
    for seed in range(50):
        plan = make_plan(seed, PROFILE)
        ours = [node.versions for node in plan.nodes]
        assert {versions[0] for versions in ours} == {0, 1}
        assert {(0, 1), (1, 0)} <= set(ours)
        assert " of versions 0, 1 in turn as " in describe(plan)


def test_restarted_process_runs_the_version_that_is_next():
    """A node of versions 1 and 0: the first process is an earlier one, the next this."""
    made = []

    def noting(name):
        def make(settings, *, draw):
            made.append((settings.identity.partition("-")[0], name))
            return Election(settings, draw=draw)

        return make

    plan = make_plan(0, PROFILE)
    run_plan(plan, make_election=Versions(noting(1), this=noting(0)))
    for node in plan.nodes:
        found = [version for name, version in made if name == node.settings.identity]
        if node.kind == "elector":
            turns = node.versions * len(found)
            assert found == list(turns[: len(found)])
    assert len(made) > len(plan.nodes)


def test_faults_that_break_an_earlier_version_are_left_out():
    """Those that are named, and no others."""
    plan = make_plan(0, PROFILE)
    named = plan.faults[0].name
    happened = run_plan(plan, make_election=mixed()).tally.by_fault
    make = Versions(*EARLIER_CORES, left_out={*LEFT_OUT, named})
    left = run_plan(plan, make_election=make).tally.by_fault
    assert named in happened
    assert named not in left
    assert len(left) > 1


def test_nothing_is_left_out_where_no_earlier_version_takes_part():
    """A soak is given earlier versions for all its worlds, and needs them in some."""
    plan = next(
        plan
        for plan in map(make_plan, range(100))
        if any(fault.kind == "shorten" for fault in plan.faults)
    )
    happened = run_plan(plan, make_election=mixed()).tally.by_fault
    assert happened == run_plan(plan).tally.by_fault
    assert "shorten" in LEFT_OUT & happened.keys()


def test_world_of_two_versions_asks_for_the_earlier_one():
    """Without it: what is missing, and what to pass."""
    with pytest.raises(ValueError, match=r"run it with make_election=Versions\("):
        run_plan(make_plan(0, PROFILE))
    with pytest.raises(ValueError, match="at least one earlier version"):
        Versions()


def test_more_earlier_versions_take_turns():
    """A plan numbers them without an end; a world has as many as it was given."""
    makes = [Noting(Election, name, []) for name in ("first", "second")]
    versions = Versions(*makes)
    assert [versions.of(number) for number in (0, 1, 2, 3)] == [
        Election,
        makes[0],
        makes[1],
        makes[0],
    ]


def test_soak_mixes_versions_where_it_is_given_earlier_ones():
    """In its share of the time; without them such worlds are not run."""
    assert isinstance(soak.cores("tests.versions.cores"), Versions)
    assert soak.cores(None) is Election
    for make, expected in ((mixed(), True), (Election, False)):
        # Each kind of world comes once before any comes again.
        first = islice(soak.Schedule(0, make).outcomes(600.0), len(soak.SHARES) - 1)
        outcomes = list(first)
        assert (PROFILE in {outcome.plan.profile for outcome in outcomes}) is expected
        assert not any(outcome.violations for outcome in outcomes)
