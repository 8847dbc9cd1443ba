"""What `kle manifests` prints, applied as it is, on a real node."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from node.images import BILLING

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def manifests(*words: str) -> str:
    """Return what the command prints."""
    kle = [sys.executable, "-m", "kubernetes_leader_election", "manifests", *words]
    return subprocess.run(kle, check=True, capture_output=True, text=True).stdout


def test_two_replicas_elect_and_a_deleted_pod_is_followed(space):
    """Applied as it is: both become ready, one leads, its deletion costs no time."""
    space.apply(manifests("billing", "-n", space.name, f"--image={BILLING}"))
    space.wait_pods(2)
    leader = space.wait_leader()
    assert space.lease()["holderIdentity"] == leader.pod
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    successor = space.wait_leader(after=deleted)
    assert successor.pod != leader.pod
    print(f"{space.gap(deleted) * 1e3:.0f} ms without a leader")
    assert space.overlaps() == 0
