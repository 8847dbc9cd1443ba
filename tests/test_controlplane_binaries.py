"""Which programs `make e2e` takes, and what it says where there are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The end-to-end tests are found from their own folder: see tests/e2e/run.py.
sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

import run
from controlplane import binaries, build

VARIABLES = (
    "CI",
    "E2E_KUBECONFIG",
    "KUBEBUILDER_ASSETS",
    *(f"TEST_ASSET_{one.upper().replace('-', '_')}" for one in binaries.PROGRAMS),
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the folder of a machine with no Go, no programs and an empty cache."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def no_build(_arguments: list[str]) -> int:
        raise AssertionError("nothing is to be built here")

    monkeypatch.setattr(build, "main", no_build)
    return tmp_path


def program(path: Path, text: str = "exit 0") -> Path:
    """Write a program and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def assets(folder: Path, *names: str) -> str:
    """Fill a folder as setup-envtest does, and give it."""
    for name in names:
        program(folder / name)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("etcd", "TEST_ASSET_ETCD"),
        ("kube-apiserver", "TEST_ASSET_KUBE_APISERVER"),
        ("kubectl", "TEST_ASSET_KUBECTL"),
        ("clientgo-elector", "TEST_ASSET_CLIENTGO_ELECTOR"),
        ("kubelet", "TEST_ASSET_KUBELET"),
        ("kube-scheduler", "TEST_ASSET_KUBE_SCHEDULER"),
    ],
)
def test_variable_names_one_program(tmp_path, name, variable):
    """TEST_ASSET_* is the path of one program, and goes before the folder."""
    own = program(tmp_path / "own")
    folder = assets(tmp_path / "assets", name)
    both = {variable: str(own), "KUBEBUILDER_ASSETS": folder}
    assert binaries.given(name, both) == own
    assert binaries.given(name, {"KUBEBUILDER_ASSETS": folder}) == Path(folder) / name
    assert binaries.given(name, {}) is None


def test_variable_that_names_no_program_is_an_error(tmp_path):
    """A path that leads nowhere is a mistake to hear of, not a reason to build."""
    wrong = str(tmp_path / "nothing")
    with pytest.raises(binaries.MissingProgramError) as missing:
        binaries.given("etcd", {"TEST_ASSET_ETCD": wrong})
    assert str(missing.value) == f"TEST_ASSET_ETCD={wrong} is not a program."


def test_folder_without_the_program_is_passed_over(tmp_path):
    """KUBEBUILDER_ASSETS holds what it holds: the rest is built."""
    folder = assets(tmp_path, "etcd")
    environment = {"KUBEBUILDER_ASSETS": folder}
    assert binaries.given("clientgo-elector", environment) is None
    (tmp_path / "kubectl").write_text("no program: it may not be executed")
    assert binaries.given("kubectl", environment) is None


def test_find_takes_what_the_environment_names(machine, monkeypatch):
    """Each program is looked for on its own, without Go."""
    folder = assets(machine / "assets", "etcd", "kube-apiserver")
    kubectl = program(machine / "my-kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", folder)
    monkeypatch.setenv("TEST_ASSET_KUBECTL", str(kubectl))
    assert binaries.find(("etcd", "kube-apiserver", "kubectl")) == {
        "etcd": Path(folder) / "etcd",
        "kube-apiserver": Path(folder) / "kube-apiserver",
        "kubectl": kubectl,
    }


def test_find_says_what_is_missing_without_go(machine):
    """Without Go nothing can be built: the line names both ways out."""
    with pytest.raises(binaries.MissingProgramError) as missing:
        binaries.find(("kubectl",))
    assert str(missing.value) == (
        "kubectl is missing, and Go to build it:"
        " install Go 1.26 or set KUBEBUILDER_ASSETS."
    )


def test_find_looks_into_the_cache(machine):
    """With Go the cache is asked, and what is not there is to be built first."""
    program(machine / "bin" / "go", "echo go1.26.0")
    with pytest.raises(binaries.MissingProgramError, match="run `make controlplane`"):
        binaries.find(("etcd",))
    place = binaries.source("etcd", go="go1.26.0").path
    assert place.is_relative_to(machine / "cache")
    program(place)
    assert binaries.find(("etcd",)) == {"etcd": place}


@pytest.mark.parametrize(
    ("ci", "code"), [(None, 0), ("", 0), ("false", 0), ("true", 1), ("1", 1)]
)
def test_e2e_without_go_says_one_line(machine, monkeypatch, capsys, ci, code):
    """A laptop without Go has nothing to run, which is no failure; in CI it is one."""
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert run.main([]) == code
    out, err = capsys.readouterr()
    assert not out
    assert err == (
        "e2e skipped: etcd is missing, and Go to build it:"
        " install Go 1.26 or set KUBEBUILDER_ASSETS.\n"
    )


def test_e2e_with_an_old_go_says_so(machine):
    """A Go that cannot build the module is as good as none."""
    program(machine / "bin" / "go", "echo go1.25.9")
    assert run.missing() == (
        "etcd is missing, and go1.25.9 is too old to build it:"
        " install Go 1.26 or set KUBEBUILDER_ASSETS."
    )


@pytest.mark.parametrize("ci", [None, "true"], ids=["laptop", "CI"])
def test_e2e_with_a_failed_build_is_a_failure(machine, monkeypatch, capsys, ci):
    """Whoever could build and did not has a defect, on a laptop too."""
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    program(machine / "bin" / "go", "echo go1.26.0")
    monkeypatch.setattr(build, "main", lambda _: build.FAILED)
    assert run.main([]) == 1
    assert capsys.readouterr().err == "e2e skipped: the build failed\n"


def test_e2e_runs_without_the_rival(machine, monkeypatch):
    """The three programs of setup-envtest will do: only client-go's elector lacks."""
    folder = assets(machine / "assets", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", folder)
    assert run.missing() is None


def test_e2e_on_a_cluster_needs_kubectl_alone(machine, monkeypatch):
    """With E2E_KUBECONFIG no server is started, so that its programs may be missing."""
    monkeypatch.setenv("E2E_KUBECONFIG", str(machine / "config"))
    assert run.missing() is not None
    monkeypatch.setenv("TEST_ASSET_KUBECTL", str(program(machine / "kubectl")))
    assert run.missing() is None


@pytest.mark.parametrize(
    ("ci", "code", "word"),
    [(None, 0, "passed"), ("true", 1, "failed")],
    ids=["laptop", "CI"],
)
def test_e2e_on_a_cluster_leaves_conformance_out(
    machine, monkeypatch, capsys, ci, code, word
):
    """Conformance needs a server of its own: without its programs one line says so."""
    monkeypatch.setenv("E2E_KUBECONFIG", str(machine / "config"))
    monkeypatch.setenv("TEST_ASSET_KUBECTL", str(program(machine / "kubectl")))
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    commands = runs(monkeypatch)
    assert run.main([]) == code
    out, err = capsys.readouterr()
    assert err == (
        "conformance left out: etcd is missing, and Go to build it:"
        " install Go 1.26 or set KUBEBUILDER_ASSETS.\n"
    )
    assert f"conformance {word}" in out
    assert not any(str(run.CONFORMANCE) in one for one in commands)


def test_e2e_runs_conformance_on_a_fresh_server(machine, monkeypatch):
    """With the programs of a server the conformance suite is run on one."""
    folder = assets(machine / "assets", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", folder)
    commands = runs(monkeypatch)
    assert run.main(["-x"]) == 0
    assert [str(run.CONFORMANCE) in one for one in commands] == [
        *[False] * 2,
        True,
        False,
    ]
    assert str(run.HERE / "controlplane") in commands[2]
    assert all(one[-1] == "-x" for one in commands[:3])


@pytest.mark.parametrize("passed", [True, False], ids=["passed", "failed"])
def test_e2e_runs_the_tests_on_a_node_side_by_side_and_then_alone(
    machine, monkeypatch, tmp_path, passed
):
    """One node for both runs of pytest; either that fails is a failure."""
    folder = assets(machine / "assets", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", folder)
    commands = runs(monkeypatch)
    assert run.main(["-x"]) == 0
    *command, shell = commands[-1]
    assert command == [sys.executable, str(run.NODE), "--", "sh", "-c"]
    noted = tmp_path / "noted"
    python = program(
        tmp_path / "python", f'echo "$@" >> {noted}; {str(passed).lower()}'
    )
    shell = shell.replace(sys.executable, str(python))
    monkeypatch.undo()
    done = subprocess.run(["/bin/sh", "-c", shell], check=False)  # noqa: S603 - our own
    assert (done.returncode == 0) is passed
    first, second = noted.read_text().splitlines()
    assert "-n 6 -m not alone and not nightly" in first
    assert second.endswith("-x -m alone and not nightly")


@pytest.mark.parametrize(("ci", "code"), [(None, 0), ("true", 1)])
def test_e2e_says_what_a_machine_lacks_for_a_node(
    machine, monkeypatch, capsys, ci, code
):
    """One line, which is no failure on a laptop, and is one in CI."""
    folder = assets(machine / "assets", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", folder)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    commands = runs(monkeypatch)
    monkeypatch.setattr(run.up, "lacking", lambda: "a node needs root")
    assert run.main([]) == code
    assert capsys.readouterr().err == "node left out: a node needs root.\n"
    assert not any(str(run.NODE) in one for one in commands)


def runs(monkeypatch) -> list[list[str]]:
    """Let every command succeed unseen, and give the list they are noted in."""
    noted: list[list[str]] = []

    def done(command, **_options):
        noted.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(run.subprocess, "run", done)
    monkeypatch.setattr(run.up, "lacking", lambda: None)
    return noted
