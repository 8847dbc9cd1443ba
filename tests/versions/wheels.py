"""
Earlier versions as their users have them: a wheel in a virtual environment of its own.

Nothing is asked of a network: the wheel is built from the history of this clone, with
the build tools of this environment, and what it depends on is copied from there.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.versions import Version
from tests.versions.freeze import ROOT, archive

__all__ = ["Installed", "build_wheel", "install"]

DEPENDENCIES: Final = ("click", "PyYAML")
"""What the package itself needs, in each version that is tested here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One earlier version, ready to run."""

    python: Path
    """The interpreter of its environment."""
    source: Path
    """The whole tree at its commit: its tests have programs that know its names."""


def build_wheel(version: Version, to: Path, *, root: Path = ROOT) -> Path:
    """
    Build the wheel of a version into a folder, with its source, and return the wheel.

    Raises:
        FreezeError: the commit is not in this clone; says how to get it.

    """
    source = to / "source"
    with tarfile.open(fileobj=io.BytesIO(archive(version.commit, root=root))) as tar:
        tar.extractall(source, filter="data")
    _call(
        *(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", to),
        cwd=source,
    )
    (wheel,) = to.glob("*.whl")
    return wheel


def install(version: Version, to: Path, *, root: Path = ROOT) -> Installed:
    """
    Build the wheel of a version, and install it.

    Args:
        version: which one.
        to: an empty folder for its source, its wheel and its environment.
        root: the clone that has its commit.

    Raises:
        FreezeError: the commit is not in this clone; says how to get it.

    """
    wheel, venv = build_wheel(version, to, root=root), to / "venv"
    _call(sys.executable, "-m", "venv", venv, cwd=to)
    paths = {"base": str(venv), "platbase": str(venv)}
    for name in DEPENDENCIES:
        _copy(name, Path(sysconfig.get_path("purelib", "venv", vars=paths)))
    python = venv / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    _call(*pip, "install", "--no-index", "--no-deps", wheel, cwd=to)
    return Installed(python=python, source=to / "source")


def _call(*words: object, cwd: Path) -> None:
    """Call a program; an error shows what it said."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(  # noqa: S603 - programs of this environment
        [str(word) for word in words],
        cwd=cwd,
        env={**kept, "TMPDIR": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shown = " ".join(str(word) for word in words)
        raise RuntimeError(f"{shown}\nfailed:\n{done.stdout}{done.stderr}")


def _copy(name: str, to: Path) -> None:
    """Copy an installed distribution."""
    for file in metadata.distribution(name).files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            place = to / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), place)
