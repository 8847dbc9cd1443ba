"""The wheel in an environment of its own: what users get, with nothing of this tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
DEPENDENCIES = ("click", "PyYAML")
"""All that the package itself may need."""
PROGRAMS = ("kle", "kubernetes-leader-election", "kubectl-leader")


def _call(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Call a program with nothing in its environment that could help it."""
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"HOME": str(cwd), "PATH": os.environ["PATH"], "TMPDIR": str(cwd)},
    )


def _copy(name: str, to: Path) -> None:
    """Copy an installed distribution, since a test asks no other machine for it."""
    found = metadata.distribution(name)
    for file in found.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            place = to / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), place)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it where only its dependencies are; give the folder."""
    home = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = home.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
    base = {"base": str(home / "venv"), "platbase": str(home / "venv")}
    for name in DEPENDENCIES:
        _copy(name, Path(sysconfig.get_path("purelib", "venv", vars=base)))
    # pip looks at what the wheel requires, and fails where anything is missing.
    pip = (home / "venv" / "bin" / "pip", "--disable-pip-version-check")
    done = _call(*pip, "install", "--no-index", wheel, cwd=home)
    assert done.returncode == 0, done.stderr
    return home


def test_wheel_holds_the_package_and_nothing_beside_it(installed: Path) -> None:
    """Its own files with py.typed, installed from the wheel and not from this tree."""
    where = "import kubernetes_leader_election as it; print(it.__path__[0])"
    done = _call(installed / "venv/bin/python", "-c", where, cwd=installed)
    package = Path(done.stdout.strip())
    assert package.is_relative_to(installed), done.stderr
    assert (package / "py.typed").exists()
    found = {p.relative_to(package) for p in package.rglob("*.py")}
    ours = ROOT / "src" / "kubernetes_leader_election"
    assert found == {p.relative_to(ours) for p in ours.rglob("*.py")}
    others = {p.name for p in package.parent.iterdir()}
    assert not {"tests", "src", "benchmarks", "docs", "conftest.py"} & others


@pytest.mark.parametrize("program", PROGRAMS)
def test_installed_program_shows_its_help(installed: Path, program: str) -> None:
    """Under each of its names, with every command."""
    done = _call(installed / "venv/bin" / program, "--help", cwd=installed)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name in ("run", "status", "doctor", "dev", "demo"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_installed_program_names_the_extra_it_lacks(
    installed: Path, command: str
) -> None:
    """Without the extra: one line that says what to install."""
    done = _call(installed / "venv/bin/kle", command, cwd=installed)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pip install 'kubernetes-leader-election[testing]'" in line


def test_installed_program_says_in_a_line_that_there_is_no_cluster(
    installed: Path,
) -> None:
    """`kle status` on a fresh machine: no traceback, what to do, exit code 3."""
    done = _call(installed / "venv/bin/kle", "status", "beat", cwd=installed)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "--kubeconfig" in line


def test_installed_program_runs_a_command_off_cluster(installed: Path) -> None:
    """`kle run` needs nothing but the package: its watchdog starts, the code is passed."""
    words = ("run", "beat", "--", "sh", "-c", "kle check && exit 5")
    kle = installed / "venv/bin/kle"
    path = f"{kle.parent}:{os.environ['PATH']}"
    done = _call("env", f"PATH={path}", kle, *words, cwd=installed)
    assert done.returncode == 5, done.stderr
    assert "no end (off-cluster)" in done.stdout


def test_installed_library_assumes_leadership_off_cluster(installed: Path) -> None:
    """The first lines of the readme work with nothing but the package."""
    program = (
        "from kubernetes_leader_election.sync import Elector\n"
        "with Elector(lease_name='x', auto_close=False) as elector:\n"
        "    print(elector.wait_until_leading(timeout=20).fencing_token)\n"
    )
    done = _call(installed / "venv/bin/python", "-c", program, cwd=installed)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
