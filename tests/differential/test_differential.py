"""The working core does what the frozen one does; and where it does not, this shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubernetes_leader_election.testing.simulation.generate import make_plan
from tests.core.harness import Clock, settings
from tests.differential import command
from tests.differential.direct import Play
from tests.differential.freeze import FROZEN, PACKAGE
from tests.differential.pair import Draws
from tests.differential.planted import CHANGES
from tests.differential.worlds import (
    OF_A_HUNDRED,
    Compared,
    profile_of,
    run_seed,
    run_world,
)
from tests.simulation.planted_bugs import BUGS
from tests.versions.families import family
from tests.versions.freeze import MARK, ROOT, FreezeError, freeze, of_tree

SEEDS = 150
CHUNK = 25
PLAYS = 300


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_both_cores_do_the_same_in_random_worlds(first):
    """Same requests, events, order, instants and beliefs; many more by `make`."""
    compared = Compared()
    for seed in range(first, first + CHUNK):
        compared.add(run_seed(seed))
    assert compared.worlds == CHUNK
    assert compared.inputs > 200 * CHUNK
    assert compared.outputs > 100 * CHUNK


@pytest.mark.slow
def test_both_cores_do_the_same_whatever_comes_in():
    """Hostile Leases, odd versions, words out of place: the same, errors included."""
    raised = set()
    for seed in range(PLAYS):
        error = Play(seed).run()
        raised.add(type(error).__name__)
    assert raised == {"NoneType", "ProtocolMisuseError"}


def test_each_kind_of_world_has_its_seeds():
    """A hundred in a row are of all kinds but the longest, in the shares stated."""
    for first in (0, 700, 12_345):
        found = [profile_of(seed) for seed in range(first, first + 100)]
        for profile, count in OF_A_HUNDRED.items():
            assert found.count(profile) in {count, count - 1}
    assert [profile_of(seed) for seed in range(10_000)].count("thousand") == 3


# What it finds --------------------------------------------------------------------


LATE = {
    "answer taken before a look at the clock": 60,
    "release without looking whose it is": 240,
}
"""Where the search for some bugs begins, since nothing is found before for long."""


def run_until_different(changed):
    """Run the worlds, or plays, of the seeds in which a change has to be found."""
    for seed in range(changed.seeds):
        if changed.by == "worlds":
            run_seed(seed, working=changed.core)
        else:
            Play(seed, working=changed.core).run()


def run_until_found(bug):
    """Run the worlds in which the simulator has to find a bug."""
    late = LATE.get(bug.name, 0)
    for seed in (*range(late, bug.seeds), *range(late)):
        run_world(make_plan(seed, bug.profile), working=bug.election)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_small_change_is_found(name):
    """One field, a millisecond, one more read: found, and named."""
    changed = CHANGES[name]
    with pytest.raises(AssertionError, match=rf"differ in .*{changed.shown}.*, at in"):
        run_until_different(changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_as_fast_as_by_the_checkers(name):
    """Each mistake that the simulator has to find, in as many worlds at most."""
    bug = BUGS[name]
    with pytest.raises(AssertionError, match="working core and the frozen one differ"):
        run_until_found(bug)


def test_difference_says_where_and_what():
    """The world, the instant, the input and both outputs, line by line."""
    core = CHANGES["deadline a millisecond later"].core
    with pytest.raises(AssertionError) as failed:
        run_world(make_plan(0), working=core)
    text = str(failed.value)
    assert text.startswith("World 0 of profile 'default', 93.3")
    assert "differ in next_deadline, at input 55 of 'b'" in text
    for part in ("  input   'the timer'", "  clocks  Now(", "    - 109", "    + 109"):
        assert part in text
    assert "inputs before, oldest first:" in text


def test_draws_are_repeated_and_counted():
    """The second core gets the numbers of the first; how many is told for each."""
    numbers = iter((0.1, 0.2, 0.3))
    draws = Draws(lambda: next(numbers))
    assert [draws.first(), draws.first()] == [0.1, 0.2]
    assert [draws.second(), draws.second()] == [0.1, 0.2]
    assert draws.take_counts() == (2, 2)
    assert draws.first() == 0.3
    assert draws.take_counts() == (1, 0)
    draws.second()
    assert draws.take_counts() == (0, 1)


@pytest.mark.slow
def test_command_tells_what_it_compared():
    """Both cores in a few worlds, in processes: a summary, and exit code 0."""
    words = ("-m", "tests.differential", "--seeds", "8", "--workers", "2")
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "The same: 8 worlds and 8 plays" in done.stdout


def test_command_shows_a_difference_and_makes_it_small(monkeypatch):
    """A world that differs is shrunk, and described with what is left of it."""
    core = CHANGES["deadline a millisecond later"].core
    found = command.compare(0, 1, core)
    assert len(found.differ) == 2
    monkeypatch.setattr(command, "SHRINK_FOR", 5.0)
    story = command.smallest(found.plans[0], core)
    assert story.startswith("As small as it gets:\n  ")
    assert story.count(" elector as ") == 1
    assert "differ in next_deadline" in story


# The frozen copy ------------------------------------------------------------------


def test_frozen_core_stands_alone():
    """It loads nothing of the package whose core it is compared with."""
    code = (
        f"import sys, {PACKAGE}.core.election; "
        "print([n for n in sys.modules if n.startswith('kubernetes_leader')])"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_working_tree_can_be_frozen(tmp_path, monkeypatch):
    """Anew, over an older copy, without what is no longer there."""
    to = tmp_path / "frozen_anew"
    for _ in range(2):
        freeze(of_tree(), to, package="frozen_anew", origin="the working tree")
        (to / "core" / "gone.py").write_text("")
    assert (to / "core" / "gone.py").exists()
    freeze(of_tree(), to, package="frozen_anew", origin="the working tree")
    assert not (to / "core" / "gone.py").exists()
    monkeypatch.syspath_prepend(str(tmp_path))
    core = family("frozen_anew").election(settings(), draw=lambda: 0.0)
    core.handle_timer(now=Clock().now())
    assert core.state.name == "STOPPED"


def test_freezing_overwrites_no_other_folder(tmp_path):
    """A folder that holds something else is left alone, and named."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(FreezeError, match=f"{tmp_path} holds no frozen core"):
        freeze(of_tree(), tmp_path, package="x", origin="x")
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("from . import states", "core/election.py:1: a relative import"),
        ("from kubernetes_leader_election import Elector", "core/election.py:1: kuber"),
    ],
)
def test_core_that_cannot_stand_alone_is_not_frozen(line, problem, tmp_path):
    """What a copy would lack, and where it is imported."""
    sources = {"core/__init__.py": "", "core/election.py": line}
    with pytest.raises(FreezeError, match=problem):
        freeze(sources, tmp_path / "new", package="x", origin="x")
    assert not (tmp_path / "new").exists()


def test_frozen_copy_says_where_it_comes_from():
    """The first line names the commit, and the mark by which it may be replaced."""
    assert (FROZEN / "__init__.py").read_text("utf-8").splitlines()[1].startswith(MARK)
