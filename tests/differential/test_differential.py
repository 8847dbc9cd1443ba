"""A core does what a copy of it does; and where it does something else, this shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubernetes_leader_election.testing.simulation.generate import make_plan
from tests.differential import command, pair
from tests.differential.direct import Play
from tests.differential.earlier import load, sources
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
from tests.versions.families import HERE
from tests.versions.freeze import ROOT, of_tree

SEEDS = 50
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
    with pytest.raises(AssertionError, match="working core and the earlier one differ"):
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
    options = ("--seeds", "8", "--workers", "2", "--since", "")
    words = ("-m", "tests.differential", *options)
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "beside that of the working tree, which is the same" in done.stdout
    assert "The same: 8 worlds and 8 plays" in done.stdout


def test_command_shows_a_difference_and_makes_it_small():
    """A world that differs is shrunk, and described with what is left of it."""
    core = CHANGES["deadline a millisecond later"].core
    found = command.compare(0, 1, core)
    assert len(found.differ) == 2
    story = command.smallest(found.plans[0], core)
    assert story.startswith("As small as it gets:\n  ")
    assert story.count(" elector as ") == 1
    assert "differ in next_deadline" in story


# The earlier core -----------------------------------------------------------------


def test_earlier_core_stands_alone():
    """It loads nothing of the package whose core it is compared with."""
    code = (
        "import sys; from tests.differential.earlier import earlier_core; "
        "earlier_core(); "
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


def test_change_since_a_commit_is_found(tmp_path, monkeypatch):
    """The other core is of the commit that is named, whatever the tree has now."""
    then = of_tree()
    name, now = "core/timing.py", "settings.renew_deadline"
    assert now in then[name]
    then[name] = then[name].replace(now, "settings.lease_duration")
    for path, text in then.items():
        file = tmp_path / "src" / HERE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    for command_line in (("init", "-q"), ("add", "."), ("commit", "-qm", "then")):
        subprocess.run(  # noqa: S603 - git, in a folder of this test, with words that stand here
            [*git, *command_line], cwd=tmp_path, check=True
        )
    then_core = load(sources("HEAD", root=tmp_path), package="core_of_a_commit")
    monkeypatch.setattr(pair, "earlier_core", lambda: then_core)
    with pytest.raises(AssertionError, match=r"earlier one differ in .*belief"):
        run_world(make_plan(0))


def test_commit_that_is_not_there_is_refused(capsys):
    """Before any world is run, with what git says of it."""
    with pytest.raises(SystemExit) as exit_:
        command.main(["--since", "no-such-commit"])
    assert exit_.value.code == 2
    assert "no-such-commit" in capsys.readouterr().err
