"""Copies of earlier cores: complete, as they were, and spoken to as the present one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import Belief
from kubernetes_leader_election.errors import (
    LeaseApiError,
    ProtocolMisuseError,
)
from tests.core.harness import Clock, Hand, settings
from tests.versions import EARLIER
from tests.versions.cores import core_of
from tests.versions.families import family, plain, this_version
from tests.versions.freeze import (
    MARK,
    ROOT,
    FreezeError,
    archive,
    freeze,
    of_commit,
    of_tree,
)

each_version = pytest.mark.parametrize("version", EARLIER, ids=str)


@each_version
def test_copy_is_the_core_of_its_commit(version, tmp_path):
    """Nobody has edited it; where the history is not there, this cannot be seen."""
    try:
        sources = of_commit(version.commit)
    except FreezeError as problem:
        pytest.skip(str(problem))
    freeze(
        sources,
        tmp_path / "new",
        package=version.package,
        origin=f"commit {version.commit}",
    )
    kept = ROOT.joinpath(*version.package.split("."))
    new = {p.relative_to(tmp_path / "new") for p in (tmp_path / "new").rglob("*.py")}
    assert new == {path.relative_to(kept) for path in kept.rglob("*.py")}
    for name in new:
        assert (tmp_path / "new" / name).read_text() == (kept / name).read_text(), name


@each_version
def test_copy_stands_alone(version):
    """It loads nothing of this version."""
    code = (
        f"import sys, {version.package}.core.election; "
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


@each_version
def test_copy_says_which_commit_it_is(version):
    """In its first line, for people who find it."""
    first = ROOT.joinpath(*version.package.split("."), "__init__.py")
    line = first.read_text("utf-8").splitlines()[1]
    assert line == f"{MARK}, of commit {version.commit}."


def test_commit_that_is_not_there_is_explained(tmp_path):
    """One clear sentence: a shallow clone has no history, and how to get it."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)  # noqa: S603, S607
    with pytest.raises(FreezeError, match="git fetch --unshallow") as failed:
        archive(EARLIER[0].commit, root=tmp_path)
    assert "d0d2bc781854 is not in this clone" in str(failed.value)
    assert "fetch-depth: 0" in str(failed.value)


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


# Speaking to another family -------------------------------------------------------


@pytest.fixture
def hand():
    """Lend an election in the hand whose core is an earlier one."""
    hand = Hand()
    hand.core = core_of(EARLIER[0])(hand.settings, draw=lambda: 0.5)
    return hand


def test_earlier_core_leads_in_the_words_of_this_version(hand):
    """Requests, events, state and belief are of the classes that a driver knows."""
    hand.say(m.StartAsked())
    assert type(hand.read) is m.GetLease
    hand.fetched()
    hand.wait(1.0)
    assert type(hand.write) is m.CreateLease
    lease = hand.commit()
    hand.say(m.LeaseWritten(request_id=hand.write.request_id, lease=lease))
    assert hand.state is State.LEADER
    assert type(hand.core.belief) is Belief
    assert hand.core.belief is hand.core.belief
    assert hand.leads
    [acquired] = hand.events(m.LeadershipAcquired)
    assert acquired == m.LeadershipAcquired(
        **hand.settings.origin, term=1, token_if_any=101
    )


def test_errors_keep_what_they_say(hand):
    """An error that goes in comes out with its text, its status and its cause."""
    hand.say(m.StartAsked())
    error = LeaseApiError("no", status=503, reason="down", outcome="unknown")
    error.__cause__ = OSError("gone")
    hand.say(m.OutcomeUnknown(request_id=hand.read.request_id, error=error))
    [told] = hand.events(m.ErrorOccurred)
    assert type(told.error) is LeaseApiError
    assert plain(told.error) == plain(error)


def test_what_an_earlier_core_refuses_is_refused(hand):
    """Its exceptions pass, of its own class: who drives it takes any for a defect."""
    hand.say(m.StartAsked())
    with pytest.raises(Exception, match="cannot be met in state") as failed:
        hand.say(m.StartAsked())
    assert type(failed.value).__name__ == ProtocolMisuseError.__name__


def test_values_of_two_families_are_equal_as_plain_data():
    """And unlike as soon as one field differs."""
    its = family(EARLIER[0].package)
    told = m.OutcomeUnknown(request_id=1, error=LeaseApiError("a"))
    assert its.take(told) != told
    assert plain(its.take(told)) == plain(told)
    other = m.OutcomeUnknown(request_id=1, error=LeaseApiError("b"))
    assert plain(its.take(other)) != plain(told)
    assert plain(its.take(State.LEADER)) == plain(State.LEADER) == "LEADER"


def test_class_without_a_counterpart_is_named():
    """And where to say what it is called on the other side."""
    with pytest.raises(LookupError, match=r"no class 'Nonsense'.*RENAMED in tests/"):
        this_version().kind("Nonsense")
