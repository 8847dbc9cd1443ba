"""
Where the programs of the control plane are: given by the environment, or built.

Each program is looked for in this order:

1. ``TEST_ASSET_ETCD``, ``TEST_ASSET_KUBE_APISERVER``, ``TEST_ASSET_KUBECTL``,
   ``TEST_ASSET_CLIENTGO_ELECTOR``: the path of that program;
2. ``KUBEBUILDER_ASSETS``: a folder that holds it under its own name;
3. the cache folder that ``make controlplane`` fills.

Only the standard library is used, so that any Python 3.11 can build before a
virtual environment exists.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "PROGRAMS",
    "MissingProgramError",
    "Source",
    "find",
    "go_version",
    "in_ci",
    "source",
]

MODULE = Path(__file__).resolve().parent
"""The Go module that names every version."""

NODE = ("kubelet", "kube-scheduler", "kube-controller-manager", "pause")
"""What a control plane needs beside itself to run pods, on a machine with containerd."""

PROGRAMS = ("etcd", "kube-apiserver", "kubectl", "clientgo-elector", *NODE)

OLDEST_GO = (1, 26)
"""k8s.io/kubernetes 1.37 says `go 1.26.0`."""


class MissingProgramError(Exception):
    """Say which program was not found, and what would bring it."""


def in_ci() -> bool:
    """Say whether this is a CI run, where a skipped check is a failed one."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}


def kubernetes_version() -> str:
    """Return the version of Kubernetes that go.mod requires, like ``v1.37.2``."""
    found = re.search(
        r"^\s*k8s\.io/kubernetes (v\S+)$",
        (MODULE / "go.mod").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert found is not None, "go.mod requires k8s.io/kubernetes"
    return found[1]


def linker_flags() -> str:
    """Return the -ldflags that tell the programs their version, as releases do."""
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "",
        "gitTreeState": "",
    }
    settings = [
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in values.items()
    ]
    return " ".join(["-s", "-w", *settings])


def go_version() -> str | None:
    """Return what ``go`` calls itself, like ``go1.26.8``; None without Go."""
    if shutil.which("go") is None:
        return None
    answer = subprocess.run(
        ["go", "env", "GOVERSION"],
        cwd=MODULE,
        capture_output=True,
        text=True,
        check=False,
    )
    # An old Go that may not fetch a newer one fails in this folder: no Go for us.
    return answer.stdout.strip() if answer.returncode == 0 else None


def is_new_enough(version: str) -> bool:
    """Say whether a Go of this version can build the module."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= OLDEST_GO


def cache_folder() -> Path:
    """Return the folder that holds everything built, outside the source tree."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kubernetes-leader-election" / "controlplane"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Everything that decides what a built program is, and its place in the cache."""

    program: str
    key: str

    @property
    def path(self) -> Path:
        """Return where the program is, once built."""
        return cache_folder() / self.key / self.program


def source(program: str, *, go: str) -> Source:
    """
    Return the place of one program, keyed by all that goes into it.

    Only the program's own files count beside go.mod and go.sum, so that a change
    of the elector does not build the API server again.
    """
    files = [MODULE / "go.mod", MODULE / "go.sum"]
    files += sorted((MODULE / "cmd" / program).rglob("*.go"))
    digest = hashlib.sha256()
    for text in (go, platform.system(), platform.machine(), linker_flags()):
        digest.update(text.encode() + b"\0")
    for file in files:
        digest.update(file.relative_to(MODULE).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    key = f"{program}-{kubernetes_version()}-{digest.hexdigest()[:12]}"
    return Source(program=program, key=key)


def given(program: str, environment: Mapping[str, str]) -> Path | None:
    """
    Return the ready program the environment names, if it names one.

    Raises:
        MissingProgramError: one is named, and it is not there.

    """
    variable = "TEST_ASSET_" + program.upper().replace("-", "_")
    if named := environment.get(variable):
        path = Path(named)
        if not os.access(path, os.X_OK):
            raise MissingProgramError(f"{variable}={named} is not a program.")
        return path
    if folder := environment.get("KUBEBUILDER_ASSETS"):
        path = Path(folder) / program
        if os.access(path, os.X_OK):
            return path
    return None


def find(programs: Iterable[str] = PROGRAMS) -> dict[str, Path]:
    """
    Return the path of each program asked for; build nothing.

    Raises:
        MissingProgramError: one is missing; the message says what to do.

    """
    found: dict[str, Path] = {}
    version: str | None = None
    for program in programs:
        ready = given(program, os.environ)
        if ready is None:
            version = version or go_version()
            if version is None:
                raise MissingProgramError(
                    f"{program} is missing, and Go to build it:"
                    " install Go 1.26 or set KUBEBUILDER_ASSETS."
                )
            ready = source(program, go=version).path
            if not ready.exists() and not is_new_enough(version):
                raise MissingProgramError(
                    f"{program} is missing, and {version} is too old to build it:"
                    " install Go 1.26 or set KUBEBUILDER_ASSETS."
                )
            if not ready.exists():
                raise MissingProgramError(
                    f"{program} is not built: run `make controlplane`"
                    " or set KUBEBUILDER_ASSETS."
                )
        found[program] = ready
    return found
