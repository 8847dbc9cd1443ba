"""What `make` says on a machine where it cannot work."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.node_page import PATIENCE
from tests.programs import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(python, *targets):
    """Run make with another Python, and give its exit code and what it complains of."""
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    done = subprocess.run(  # noqa: S603 - our own Makefile
        ["make", "--no-print-directory", f"PYTHON={python}", *targets],  # noqa: S607
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("fails_on", "says"),
    [
        ("version_info", "Python 3.11 or newer is needed"),
        ("ensurepip", "apt-get install python3-venv"),
    ],
    ids=["an old Python", "no venv module"],
)
def test_make_says_what_the_machine_lacks(tmp_path, fails_on, says):
    """One readable line, before anything is installed."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{fails_on}*) exit 1;; esac\n')
    python.chmod(0o755)
    code, errors = make(python, "check-python")
    assert code != 0
    assert says in errors
