"""Planted mistakes: each has its place and its tests; what counts as found is checked."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from tests.mutants import MISTAKES
from tests.mutants import __main__ as runner
from tests.mutants.__main__ import (
    Finding,
    Outcome,
    Run,
    chosen,
    read_report,
    table,
)
from tests.mutants.mistakes import PACKAGE, ROOT, LostPlaceError, Mistake

AREAS = {
    "core": 10,
    "engine": 25,
    "kube_api": 25,
    "fronts": 25,
    "command line": 15,
    "pods": 25,
}
"""How many mistakes each part has at least."""


@cache
def named_in(file):
    """Give the names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_planted_mistake_has_its_place_and_its_tests(mistake):
    """
    Its text occurs once, what it becomes can be compiled, and its tests are there.

    Nor does it name a private part that its file does not have: every test would fail
    by that alone, and none would have noticed the mistake.
    """
    path = ROOT / "src" / PACKAGE / mistake.file
    right = path.read_text(encoding="utf-8")
    planted = mistake.plant(right)
    assert planted != right
    compile(planted, path, "exec")
    parts = set(re.findall(r"\bself\.(_\w+)", mistake.new))
    assert parts <= set(re.findall(r"\w+", right))
    assert mistake.tests
    for test in mistake.tests:
        file, _, rest = test.partition("::")
        name = rest.partition("[")[0]
        assert not name or name in named_in(file), f"{test} is not there any more"


def test_planted_mistakes_are_many_and_have_names_of_their_own():
    """No two are called the same, and no part of the package is left out."""
    names = Counter(mistake.name for mistake in MISTAKES)
    assert [name for name, times in names.items() if times > 1] == []
    counted = Counter(mistake.area for mistake in MISTAKES)
    assert set(counted) == set(AREAS)
    assert all(counted[area] >= least for area, least in AREAS.items())


@pytest.mark.parametrize(
    ("text", "times"), [("x = 1\n", 0), ("y = 2\ny = 2\n", 2)], ids=["gone", "twice"]
)
def test_mistake_that_lost_its_place_is_said_loudly(text, times):
    """Which one, what it looked for, where, and what to do."""
    mistake = Mistake(
        name="y is 3", file="core/y.py", old="y = 2", new="y = 3", tests=("t.py",)
    )
    with pytest.raises(LostPlaceError) as lost:
        mistake.plant(text)
    said = str(lost.value)
    assert "'y is 3' has lost its place" in said
    assert f"'y = 2' occurs {times} times in src/kubernetes_leader_election" in said
    assert mistake.plant("y = 2\n") == "y = 3\n"


SUITE = """
import pytest

@pytest.fixture
def unmade():
    raise RuntimeError("not set up")

def test_passes():
    pass

def test_asserts():
    assert 1 == 2, "one is not two"

def test_name_is_not_there():
    x

def test_import():
    import no_such_module

def test_is_not_set_up(unmade):
    pass

def test_is_skipped():
    pytest.skip("not here")
"""
TORN = """
import sys

def pytest_sessionfinish():
    raise SystemExit(143)
"""


@pytest.mark.parametrize("torn", [False, True], ids=["ends well", "torn at its end"])
def test_only_a_test_that_fails_by_itself_has_found_a_mistake(tmp_path, torn):
    """
    What cannot be imported, collected or set up has looked at nothing.

    What is known stays known where pytest is torn: a mistake about signals may have one
    come up in pytest itself.
    """
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_no_file.py").write_text("import no_such_module\n")
    (tmp_path / "conftest.py").write_text(TORN if torn else "")
    script = (
        "import sys, pytest; from pathlib import Path;"
        "from tests.mutants.__main__ import Recorder;"
        "sys.exit(pytest.main(sys.argv[2:], [Recorder(Path(sys.argv[1]))]))"
    )
    report = tmp_path / "report.jsonl"
    options = ["--continue-on-collection-errors", "--rootdir", tmp_path, tmp_path]
    ended = subprocess.run(  # noqa: S603 - a suite of this test
        [sys.executable, "-c", script, report, "-p", "no:cacheprovider", *options],
        cwd=ROOT,
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert ended.returncode == (143 if torn else 1), ended.stdout
    outcome = read_report(report)
    assert list(outcome.failed) == [
        "test_suite.py::test_asserts: AssertionError: one is not two"
    ]
    assert [line.partition(": ")[0] for line in outcome.broken] == [
        "test_no_file.py",
        "test_suite.py::test_name_is_not_there",
        "test_suite.py::test_import",
        "test_suite.py::test_is_not_set_up",
    ]
    assert outcome.seconds["test_suite.py::test_passes"] > 0


@pytest.mark.parametrize("failed", [False, True], ids=["all passed", "one failed"])
def test_run_that_tears_pytest_has_found_what_a_test_noticed_before(tmp_path, failed):
    """A signal that comes up in pytest itself ends it with the code of its own errors."""
    run = object.__new__(Run)  # without the process that it begins
    run._tests, run._hangs = ("test_suite.py",), False
    run._report, run._output_path = tmp_path / "report", tmp_path / "output"
    run._output_path.write_text("INTERNALERROR> SystemExit: 143")
    step = {"test": "a", "step": "call", "failed": failed, "why": "no", "seconds": 1.0}
    run._report.write_text(json.dumps(step))
    torn = pytest.ExitCode.INTERNAL_ERROR << 8
    if failed:
        assert run.outcome(torn).failed == ("a: no",)
    else:
        with pytest.raises(SystemExit, match="exit code 3"):
            run.outcome(torn)


def test_run_without_a_mistake_names_the_test_that_was_not_run(monkeypatch, tmp_path):
    """A run that was torn has told nothing of the tests after that."""

    class Torn:
        def __init__(self, *_, **__):
            pass

        def wait(self):
            return 0

        def outcome(self, _code):
            return Outcome((), (), {"tests/a.py::test_ran[1]": 1.0})

    monkeypatch.setattr(runner, "Run", Torn)
    tests = ("tests/a.py::test_ran", "tests/a.py::test_other")
    mistake = Mistake(name="it", file="a.py", old="a", new="b", tests=tests)
    with pytest.raises(SystemExit) as ended:
        runner.check_unplanted([tmp_path], [mistake])
    assert "tests/a.py::test_other: it was not run" in str(ended.value)
    assert "test_ran:" not in str(ended.value)


def test_short_form_leaves_out_what_takes_long():
    """`make mutants QUICK=1`: most of them, in every part; a word chooses by name."""
    quick = chosen(["--quick"])
    assert not [m for m in quick if m.slow]
    assert {m.area for m in quick} == set(AREAS)
    assert len(quick) > len(MISTAKES) / 2
    (one,) = chosen(["the newest word is taken first"])
    assert one.file == "engine/engine.py"
    with pytest.raises(SystemExit):
        chosen(["no such mistake as this"])


def test_table_counts_what_was_found_in_each_part():
    """A line a part, and the sum."""
    one, other = MISTAKES[0], MISTAKES[-1]
    findings = [Finding(one, True, "", 1.0), Finding(other, False, "", 1.0)]
    rows = [re.split(r"\s{2,}", line) for line in table(findings).splitlines()]
    assert rows == [
        ["planted in", "mistakes", "found"],
        ["command line", "1", "0"],
        ["engine", "1", "1"],
        ["all", "2", "1"],
    ]
