"""
The Service of the leader, with real pods: which pod its EndpointSlice leads to.

There is no kube-proxy on this node: what counts is the slice, which each one reads.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from node.crashes import ready, start
from node.space import Life, Space
from node.workloads import WORKER, pair

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "billing-leader"
ASKED = (f"--leader-endpoints={SERVICE}:9000", "--kubernetes-events")
RUN = ("--", *WORKER)


def slice_now(space: Space) -> dict[str, Any]:
    """Return the slice; empty where there is none."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{space.name}/endpointslices/{SERVICE}"
    return space.node.get(path) or {}


def leads_to(space: Space, life: Life) -> bool:
    """Return whether the slice has the address of that pod, and of no other."""
    pod = space.pods().get(life.pod)
    endpoints = slice_now(space).get("endpoints") or []
    return pod is not None and [
        (one["addresses"], one["targetRef"]["name"]) for one in endpoints
    ] == [([pod["status"]["podIP"]], life.pod)]


def wait_moved(space: Space, life: Life) -> float:
    """Wait until the slice leads to that pod; give the seconds that this took."""
    began = time.monotonic()
    space.node.wait(lambda: leads_to(space, life), f"the slice leads to {life.pod}")
    return time.monotonic() - began


def test_service_follows_the_leader_when_its_pod_is_deleted(
    space: Space,
) -> None:
    """A planned end: the next leader's address in one write, and Events of both."""
    leader, _ = pair(space, *ASKED, *RUN)
    wait_moved(space, leader)
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    successor = space.wait_leader(after=deleted)
    assert successor.pod != leader.pod
    took = wait_moved(space, successor)
    print(f"the slice after the next leader works, pod deleted: {took:.3f} s")
    text = space.kubectl("describe", "lease", "billing")
    assert "GaveUpLeadership" in text
    assert text.count("BecameLeader") == 2
    assert space.overlaps() == 0


def test_service_follows_the_leader_after_kill_9(space: Space) -> None:
    """A crash: the old address stays until the next leader replaces it, with its proof."""
    leader = start(space, ("--crash-takeover", *ASKED, *RUN))
    wait_moved(space, leader)
    killed = time.monotonic()
    space.signal(leader, signal.SIGKILL)
    successor = space.wait_leader(after=killed)
    assert successor.name != leader.name
    took = wait_moved(space, successor)
    print(f"the slice after the next leader works, kill -9: {took:.3f} s")
    space.node.wait(
        lambda: "TookOver" in space.kubectl("describe", "lease", "billing"),
        "the take-over is among the Events",
    )
    assert space.overlaps() == 0


def test_service_leads_nowhere_when_all_replicas_stop(space: Space) -> None:
    """Scaled to none: clients are refused, and not led to an address of tomorrow's pod."""
    start(space, ("--crash-takeover", *ASKED, *RUN))
    wait_moved(space, ready(space))
    space.kubectl("scale", "deployment/billing", "--replicas=0")
    space.node.wait(lambda: not space.pods(), "no pod is left")
    space.node.wait(lambda: not slice_now(space).get("endpoints"), "the slice is empty")
