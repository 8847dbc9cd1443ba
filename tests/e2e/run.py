"""
Run everything that needs the real control plane: what ``make e2e`` calls.

Builds what is missing, runs the end-to-end tests, then the conformance suite of
the Lease API against a fresh kube-apiserver. Arguments go to pytest, in both runs.

Where nothing can be built and nothing ready is named, one line says so; that is
success on a developer's machine and a failure in CI (``CI`` set).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from controlplane import binaries, build
from node import up

IN_PARALLEL = ("-n", "2", "--dist", "loadfile")
"""Most tests wait; those of one file share servers. (Conformance freezes the only one.)"""

SIDE_BY_SIDE = ("-n", "6")
"""On a node nearly all is waiting for leases and for pods."""

SERVER = ("etcd", "kube-apiserver", "kubectl")
"""The programs without which no control plane starts."""

KUBECTL = HERE.parent / "testing" / "lease_server" / "test_kubectl.py"
CONFORMANCE = HERE.parent / "conformance"
NODE = HERE / "node"


def missing() -> str | None:
    """Return why there is no control plane, after an attempt to build it."""
    try:
        binaries.find()
    except binaries.MissingProgramError as error:
        absent = str(error)
    else:
        return None
    if build.why_impossible(binaries.go_version()) is None:
        return "the build failed" if build.main([]) == build.FAILED else None
    # The rest may do: those who bring a cluster, or its programs, have no rivals.
    try:
        binaries.find(("kubectl",) if os.environ.get("E2E_KUBECONFIG") else SERVER)
    except binaries.MissingProgramError:
        return absent
    return None


def no_server() -> str | None:
    """Return why no server can be started, which conformance needs."""
    try:
        binaries.find(SERVER)
    except binaries.MissingProgramError as error:
        return str(error)
    return None


def on_a_node(arguments: list[str]) -> int:
    """
    Run the tests that need a kubelet, on one node: most side by side, some alone.

    Where a node cannot be had, one line says so; that is a failure in CI.
    """
    if lacking := up.lacking():
        print(f"node left out: {lacking}.", file=sys.stderr)
        return int(binaries.in_ci())
    pytest = [sys.executable, "-m", "pytest", str(NODE), *arguments]
    shared = [*pytest, *SIDE_BY_SIDE, "-m", "not alone and not nightly"]
    alone = [*pytest, "-m", "alone and not nightly"]
    commands = f"{shlex.join(shared)}; shared=$?; {shlex.join(alone)} && exit $shared"
    with_node = [sys.executable, str(NODE), "--", "sh", "-c", commands]
    return subprocess.run(with_node, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run both suites; return 0 if both passed."""
    if reason := missing():
        print(f"e2e skipped: {reason}", file=sys.stderr)
        return 1 if binaries.in_ci() or "failed" in reason else 0
    pytest = [sys.executable, "-m", "pytest"]
    results: dict[str, int] = {}
    began = time.monotonic()
    results["e2e"] = subprocess.run(
        [*pytest, str(HERE), f"--ignore={NODE}", *IN_PARALLEL, *arguments], check=False
    ).returncode
    # Without kubectl these are skipped; here it is there, and named.
    kubectl = binaries.find(["kubectl"])["kubectl"]
    results["kubectl on the embedded server"] = subprocess.run(
        [*pytest, str(KUBECTL), *arguments],
        check=False,
        env={**os.environ, "TEST_ASSET_KUBECTL": str(kubectl)},
    ).returncode
    if lacking := no_server():
        # Only on a cluster of the user's: its API is what a vendor made of it.
        print(f"conformance left out: {lacking}", file=sys.stderr)
        results["conformance"] = int(binaries.in_ci())
    else:
        with_server = [sys.executable, str(HERE / "controlplane"), "--"]
        results["conformance"] = subprocess.run(
            [*with_server, *pytest, str(CONFORMANCE), *arguments], check=False
        ).returncode
    results["node"] = on_a_node(arguments)
    spent = time.monotonic() - began
    said = ", ".join(f"{k} {'failed' if v else 'passed'}" for k, v in results.items())
    print(f"On the real control plane: {said}; {spent:.0f} s.")
    return int(any(results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
