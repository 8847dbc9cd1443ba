"""A test that hangs where no time-out can end it is named, and the others are run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.node_page import PATIENCE

pytestmark = pytest.mark.slow

TESTS = """
import time

import pytest


def test_before():
    pass


@pytest.fixture
def that_hangs_at_its_end():
    yield
    time.sleep(3600)  # what hangs: nothing but the end of the process ends it


@pytest.mark.timeout(1)
def test_that_fails_and_hangs(that_hangs_at_its_end):
    assert "an answer" == "none"


@pytest.mark.timeout(1)
def test_that_hangs_in_time_outs():
    while True:
        try:
            time.sleep(3600)  # what hangs, again after each time-out
        except BaseException:
            pass


def test_after():
    pass
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Give what is shown where two tests hang for ever."""
    path = tmp_path_factory.mktemp("hanging")
    (path / "test_it.py").write_text(TESTS)
    (path / "pytest.ini").write_text("[pytest]\ntimeout = 60\n")
    root = Path(__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "tests.hanging", "-ra"],
        check=False,
        cwd=path,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_tests_beside_those_that_hang_are_run(ran):
    """What hangs costs its own time alone, and fails the run."""
    assert ran.returncode == 1
    assert "3 failed, 2 passed" in ran.stdout


@pytest.mark.parametrize(
    ("name", "stood_in"),
    [
        ("test_that_fails_and_hangs", "that_hangs_at_its_end"),
        ("test_that_hangs_in_time_outs", "test_that_hangs_in_time_outs"),
    ],
)
def test_test_that_hangs_is_named_with_where_it_stood(ran, name, stood_in):
    """Each failure says where to look, also at the end of a test."""
    assert f"crashed while running 'test_it.py::{name}'" in ran.stdout
    assert f"in {stood_in}\n" in ran.stderr


def test_failure_is_shown_when_it_happens(ran):
    """Whoever ends the run from outside has seen what failed until then."""
    shown, _, _ = ran.stdout.partition("= FAILURES =")
    assert "FAILED test_it.py::test_that_fails_and_hangs (call)" in shown
    assert "assert 'an answer' == 'none'" in shown
