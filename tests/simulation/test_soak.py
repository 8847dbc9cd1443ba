"""The soak: random worlds, a summary, failing seeds kept and told."""

from __future__ import annotations

import io
import itertools

import pytest

from kubernetes_leader_election.testing.simulation import soak
from kubernetes_leader_election.testing.simulation.cores import Versions
from kubernetes_leader_election.testing.simulation.failures import (
    keep_regression,
    read_regressions,
)
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.world import run_plan
from tests.simulation.planted_bugs import BUGS

BUG = BUGS["deadline counted from the response"].election


def test_worlds_of_a_soak_are_counted_and_the_core_keeps_its_promises():
    """At least one world is run, in however little time."""
    done = soak.run_worlds(soak.Schedule(0), 0.0)
    assert done.tally.worlds == 1
    assert done.failed == []
    assert not done.broken
    assert "1 worlds" in str(done)
    assert "0 violations" in str(done)


def test_a_violation_makes_a_soak_broken_and_is_told():
    """A planted bug is a violation in the sum."""
    done = soak.run_worlds(soak.Schedule(0, BUG), 0.0)
    assert done.broken
    assert done.failed[0].violations[0].guarantee == "G2"
    assert "1 violations" in str(done)


def test_worlds_of_a_soak_share_its_time_and_repeat_with_the_same_first_seed(
    monkeypatch,
):
    """Kinds take turns by the time they took; each counts its own seeds."""
    costs = {"long": 5, "storm": 3}
    clock = 0.0

    def run(asked, *, make_election):
        nonlocal clock
        clock += costs.get(asked[1], 1)
        return asked

    versions = Versions(BUG)
    monkeypatch.setattr(soak, "make_plan", lambda seed, profile: (seed, profile))
    monkeypatch.setattr(soak, "run_plan", run)
    monkeypatch.setattr(soak.time, "process_time", lambda: clock)
    ran = list(itertools.islice(soak.Schedule(7, versions).outcomes(3600.0), 2000))
    for profile, share in soak.SHARES.items():
        seeds = [seed for seed, kind in ran if kind == profile]
        assert seeds == list(range(7, 7 + len(seeds)))
        assert len(seeds) * costs.get(profile, 1) / clock == pytest.approx(
            share, rel=0.05
        )


def test_time_of_three_replicas_is_told_apart():
    """Half a year is promised of an election of three: others do not count."""
    done = soak.Sum(seconds=1.0)
    for profile in ("quiet", "storm"):
        done.count(run_plan(make_plan(0, profile)))
    quiet, storm = done.kinds["quiet"], done.kinds["storm"]
    assert done.three_replicas == quiet.simulated
    assert done.tally.simulated == quiet.simulated + storm.simulated
    twice = soak.Sum(seconds=1.0)
    twice.add(done)
    twice.add(done)
    assert twice.three_replicas == 2 * quiet.simulated
    assert [line.split()[:2] for line in twice.table().splitlines()[1:]] == [
        ["quiet", "2"],
        ["storm", "2"],
    ]


def test_a_soak_that_ran_nothing_has_shown_nothing():
    """No world at all is no success."""
    assert soak.Sum().broken


@pytest.mark.slow
def test_soak_runs_on_all_workers_and_ends_well(capsys, tmp_path):
    """One worker for a moment: a summary line, exit code 0, no regression."""
    file = tmp_path / "regressions.txt"
    # The same worlds each time: what is random belongs into a soak, not into a test.
    arguments = ["--seconds", "1", "--workers", "1", "--first", "0"]
    arguments += ["--regressions", str(file)]
    code = soak.main(arguments)
    last = capsys.readouterr().out.splitlines()[-1]
    assert (code, file.exists()) == (0, False), last
    assert last.startswith("All kept: ")


def test_failing_seed_is_kept_once_and_read_again(tmp_path):
    """The file has a line for it: seed, profile, why."""
    file = tmp_path / "regressions.txt"
    assert read_regressions(file) == []
    outcome = run_plan(make_plan(0), make_election=BUG)
    assert keep_regression(file, outcome)
    assert not keep_regression(file, outcome)
    [kept] = read_regressions(file)
    assert kept[:2] == (0, "default")
    assert "breaks G2" in kept.why


@pytest.mark.parametrize("line", ["1", "1, default", "x, default, y", "1, odd, y"])
def test_odd_line_of_a_regressions_file_is_refused(tmp_path, line):
    """The message names the file, the line and the form."""
    file = tmp_path / "regressions.txt"
    file.write_text(f"# seeds\n{line}\n")
    with pytest.raises(ValueError, match=r"regressions\.txt:2: .*seed, profile, why"):
        read_regressions(file)


@pytest.mark.parametrize("story", [True, False], ids=["in full", "in one line"])
def test_failed_world_is_told_while_the_soak_runs(story, monkeypatch, tmp_path):
    """Seed, profile and the shrunk story or the violation, and where it was kept."""
    outcome = run_plan(make_plan(0), make_election=BUG)

    def told(plan, *, make_election, seconds, pictures):
        assert make_election is BUG
        assert (seconds, pictures) == (soak.SHRINK_FOR, tmp_path)
        return f"the story of {plan.seed}"

    monkeypatch.setattr(soak, "explain", told)
    out, file = io.StringIO(), tmp_path / "regressions.txt"
    soak._tell(outcome, file, tmp_path, out, story=story, make_election=BUG)
    what = "the story of 0" if story else str(outcome.violations[0])
    assert f"FAILED: seed 0, profile default\n{what}\n" in out.getvalue()
    assert f"kept in {file}" in out.getvalue()
