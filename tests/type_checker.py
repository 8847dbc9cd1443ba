"""The type checker as tests run it: beside what `make types` has learned already."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEARNED = ROOT / ".mypy_cache"
LIMIT = 110
"""Seconds: without what was learned, the whole package is checked anew."""


def check_types(folder: Path, cache: Path, *what: str) -> str:
    """
    Return what the type checker says of this, seen from a folder.

    It takes a file for the one that it knows where the text is the same, so that a copy
    of the package costs only what was changed in it.
    """
    if LEARNED.exists():
        shutil.copytree(LEARNED, cache)
    config = str(ROOT / "pyproject.toml")
    done = subprocess.run(  # noqa: S603 - our own tool
        [
            *(sys.executable, "-m", "mypy", "--config-file", config),
            *("--cache-dir", str(cache), *what),
        ],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout
