"""
A new field of an event reaches the handlers, or the type checker says where it is missing.

Each test adds one to a copy of the package, as somebody would.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from kubernetes_leader_election import EVENTS
from tests.type_checker import ROOT, check_types

PACKAGE = "kubernetes_leader_election"

MAKERS = {
    "LeadershipAcquired": {"core/assumed.py", "core/observed.py"},
    "LeadershipLost": {"core/assumed.py", "core/standing.py", "engine/driver.py"},
    "LeaseRenewed": {"core/observed.py"},
    "LeaderChanged": {"core/notices.py"},
    "ErrorOccurred": {
        "core/assumed.py",
        "core/standing.py",
        "engine/driver.py",
        "lifecycle/engine_listener.py",
    },
}
"""Which files make each event."""

PROGRAM = """
from kubernetes_leader_election import EVENTS, sync
elector = sync.Elector(lease_name="demo", credentials=None, auto_close=False)
elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda event: print(event.mood))
elector.start()
elector.wait_until_leading(20)
elector.stop()
"""


@pytest.fixture
def package(tmp_path):
    """Lend a copy of the package."""
    copy = tmp_path / PACKAGE
    shutil.copytree(
        ROOT / "src" / PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    return copy


def change(path, old, new):
    """Replace what stands once in a file."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def add_field(package, event, field):
    """Add a field to an event, below the first line of its class."""
    change(
        package / "events.py",
        f"    name: ClassVar = EVENTS.{event}\n",
        f"    name: ClassVar = EVENTS.{event}\n    {field}\n",
    )


@pytest.mark.slow
def test_type_checker_names_who_does_not_fill_a_new_field(package):
    """One look at all five: each field is required, and nobody fills it."""
    for event in EVENTS:
        add_field(package, event.name, "mood: str")
    said = check_types(package.parent, package.parent / "cache", "-p", PACKAGE)
    for event, files in MAKERS.items():
        problem = f'Missing named argument "mood" for "{event}"'
        named = {
            line.split(":")[0].split(f"{PACKAGE}/")[-1]
            for line in said.splitlines()
            if problem in line
        }
        assert named == files, said


def test_page_of_tasks_names_who_makes_events():
    """Where to change what: nobody has to guess which files of the core make one."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    row = next(r for r in page.splitlines() if r.startswith("| a field of an event |"))
    named = set(re.findall(r"`([\w/]+\.py)`", row))
    assert named == {"events.py"}.union(*MAKERS.values())


def test_new_field_reaches_a_handler(package):
    """Filled where the event is made, and by nothing else that was changed."""
    add_field(package, "LEADERSHIP_ACQUIRED", 'mood: str = "none"')
    change(
        package / "core" / "assumed.py", "assumed=True", 'assumed=True, mood="cheerful"'
    )
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KUBE", "PYTHON"))
    }
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM],
        env={**outside, "PYTHONPATH": str(package.parent), "HOME": str(package.parent)},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["cheerful"], done.stderr
