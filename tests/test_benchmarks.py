"""What `make bench` measures with is still there: nobody runs it at each change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def unknown_names(folder, cache):
    """Return what is asked of a module or an object there that it does not have."""
    done = subprocess.run(  # noqa: S603 - our own tool
        [sys.executable, "-m", "mypy", "--cache-dir", str(cache), str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode in {0, 1}, done.stderr
    return [x for x in done.stdout.splitlines() if x.endswith("[attr-defined]")]


@pytest.mark.slow
def test_benchmarks_use_names_that_are_there(tmp_path):
    """A hook into a private name goes with the name, unseen until somebody measures."""
    assert unknown_names("benchmarks", tmp_path) == []
