"""Random worlds: the core survives them, reproducibly, and most of them count."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.failures import read_regressions
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Tally
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import World, run_plan
from tests.versions.cores import mixed

WORLDS = 5000
CHUNK = 250
AT_EACH_CHANGE = 2000
"""Worlds of `make test`; `make thorough` runs the others, and so does CI."""
INVALID_AT_MOST = 0.1
"""Share of worlds in which too little happened; measured: 273 of 5,000."""
REGRESSIONS = read_regressions(Path(__file__).with_name("regressions.txt"))


@pytest.fixture
def survive(fail_with_story):
    """Give a function that runs worlds; the first that fails is shrunk, told, drawn."""

    def run(seeds, profile="default"):
        tally = Tally()
        for seed in seeds:
            make = mixed() if profile == "mixed versions" else Election
            outcome = run_plan(make_plan(seed, profile), make_election=make)
            tally.add(outcome.tally)
            if outcome.violations:
                fail_with_story(outcome.plan, make_election=make)
        return tally

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(
            first,
            id=f"seeds {first} to {first + CHUNK - 1}",
            marks=[pytest.mark.thorough] if first >= AT_EACH_CHANGE else [],
        )
        for first in range(0, WORLDS, CHUNK)
    ],
)
def test_core_keeps_every_guarantee_in_random_worlds(first, survive, record_property):
    """G1 G2 G3 G4 G5 G6 G7 G8 G9: no violation in any world, and most count."""
    tally = survive(range(first, first + CHUNK))
    record_property("invalid_worlds", tally.invalid)
    assert tally.worlds == CHUNK
    assert tally.invalid <= INVALID_AT_MOST * CHUNK
    assert tally.faults >= 6 * CHUNK
    assert tally.leader_changes >= 2 * CHUNK


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "worlds"),
    [
        ("storm", 40),
        ("rivals", 60),
        ("slow sends", 60),
        ("words", 60),
        ("hands", 250),
        ("races", 100),
        ("meddling", 100),
        ("old news", 100),
        ("endings", 60),
        ("proofs", 60),
        ("lies", 40),
        ("answered lies", 40),
        ("crowd", 10),
        ("quiet", 30),
        ("long", 2),
    ],
)
def test_core_keeps_every_guarantee_in_worlds_of_other_kinds(profile, worlds, survive):
    """G1 G2 G3 G4 G5 G6 G7 G8 G9: nor under more faults, rivals, lags, or none."""
    tally = survive(range(worlds), profile)
    assert tally.invalid <= worlds / 4


def contests(written):
    """Give who wrote, contest by contest: a leader's renewals are far apart."""
    found, last = [], float("-inf")
    for time, who in sorted(written):
        if time - last > 0.5:
            found.append([])
        found[-1].append(who)
        last = time
    return [contest for contest in found if len(contest) > 1]


@pytest.mark.slow
def test_a_thousand_candidates_write_little_when_their_leader_dies():
    """Fault 44: at most one PUT each at a change, and few at all (G1 G6 G7 G9)."""
    world = World(make_plan(0, "thousand"))
    written, ordered = [], world.checks.ordered

    def note(time, who, lease, now):
        if lease["spec"]["holderIdentity"]:
            written.append((time, who.name))
        return ordered(time, who, lease, now)

    world.checks.ordered = note
    outcome = world.run()
    assert outcome.violations == ()
    assert outcome.valid
    # One read and one watch each at the start, a PUT each at the two changes.
    assert outcome.tally.requests < 5 * 1000
    expiry, release = contests(written)
    for contest in (expiry, release):
        assert len(contest) == len(set(contest))
    assert len(expiry) <= 80, "8 % of the candidates, with D = 20 s"


@pytest.mark.parametrize("regression", REGRESSIONS, ids=str)
def test_world_that_once_broke_a_promise_breaks_none_now(regression, survive):
    """A failing seed is kept for ever."""
    survive([regression.seed], regression.profile)


def test_clocks_beyond_rho_can_break_exclusive_belief():
    """Fault 20: inside rho no overlap, far above it the simulator sees one."""
    broken = set()
    for seed in range(60):
        outcome = run_plan(make_plan(seed, "wild clocks"))
        broken |= {violation.guarantee for violation in outcome.violations}
    assert broken & {"G1", "G2"}


def digest(seed, profile):
    """Give one number for all that happens in a world."""
    recorder = Recorder()
    outcome = run_plan(make_plan(seed, profile), recorder=recorder)
    text = f"{recorder.lines}{outcome.tally}{outcome.violations}"
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "profile"), [(7, "default"), (3, "storm"), (1, "rivals")]
)
def test_one_seed_gives_the_same_world_in_every_process(seed, profile):
    """Bit for bit, whatever the hashes of strings are."""
    code = f"from {__name__} import digest; print(digest({seed}, {profile!r}))"
    found = {
        subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert found == {digest(seed, profile)}
