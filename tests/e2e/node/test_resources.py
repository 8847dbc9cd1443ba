"""A leader that is short of something: processor, time, room, the network."""

from __future__ import annotations

import signal
import time

import pytest

from node.hurt import cut_off, frozen
from node.workloads import FORMS, WORKER, pair

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def wait_three_renewals(space):
    """Wait until what stands in the Lease was renewed three times."""
    seen = set()

    def renewed():
        seen.add(space.lease()["renewTime"])
        return len(seen) > 3

    space.node.wait(renewed, "three renewals")


def test_frozen_container_finds_its_term_over(space, measured):
    """Fault 2: the freezer of control groups, as `docker pause` uses it."""
    leader, other = pair(space, preset="fast")
    began = time.monotonic()
    with frozen(space, leader):
        assert space.wait_leader(after=began).pod == other
        measured("the leader's container frozen (preset fast)", space.gap(began))
    space.wait_noted("lost", pod=leader.pod, after=began)
    assert space.overlaps() == 0


def test_leader_with_a_twentieth_of_a_processor_keeps_its_lease(space, measured):
    """
    Fault 64: 5 ms of every 100 for half a minute, with the default times.

    It renews in time: what is late by tenths of a second costs nothing.
    """
    leader, _ = pair(space)
    groups = space.node.groups(space.container_id(leader.pod, "main"))
    if "cpu" in groups:
        quota, value = groups["cpu"] / "cpu.cfs_quota_us", "5000"
    else:
        quota, value = groups["cgroup"] / "cpu.max", "5000 100000"
    before = space.lease()
    began = time.monotonic()
    quota.write_text(value)
    wait_three_renewals(space)
    measured("5 % of a processor: three renewals", time.monotonic() - began)
    after = space.lease()
    assert after["holderIdentity"] == leader.pod
    assert after["leaseTransitions"] == before["leaseTransitions"]
    assert len(space.runs()) == 1
    assert not leader.noted("error")
    assert space.overlaps() == 0


def test_leader_without_room_for_its_files_goes_on(space):
    """Fault 65: every folder that `run` may write to is full."""

    def small(pod):
        memory = {"medium": "Memory", "sizeLimit": "1Mi"}
        pod["volumes"] = [{"name": "tmp", "emptyDir": memory}]
        container = pod["containers"][0]
        container["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
        container["securityContext"]["readOnlyRootFilesystem"] = True

    leader, _ = pair(space, "--", *WORKER, preset="fast", change=small)
    full = "cat /dev/zero > /tmp/full; cat /dev/zero > /dev/shm/full"
    pod = f"pod/{leader.pod}"
    done = space.node.kubectl(f"-n{space.name}", "exec", pod, "--", "sh", "-c", full)
    assert "No space left on device" in done.stderr
    filled = time.monotonic()
    wait_three_renewals(space)
    assert space.lease()["holderIdentity"] == leader.pod
    successor_since = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    space.wait_leader(after=successor_since)
    assert min(first for first, _, _ in space.runs()) < filled
    assert space.overlaps() == 0


@FORMS
def test_pod_that_is_evicted_for_its_files_hands_over(space, measured, words):
    """
    Fault 65: a pod that fills more of the node's disk than it may is evicted.

    The kubelet gives it one second from SIGTERM to the KILL, whatever its grace period:
    for the work of a program of good manners that is enough to end and to release.
    """

    def bounded(pod):
        pod["volumes"] = [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]
        container = pod["containers"][0]
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]

    leader, _ = pair(space, *words, preset="fast", change=bounded)
    fill = "open('/data/full', 'wb').write(bytes(1 << 23))"
    done = space.node.kubectl(
        f"-n{space.name}", "exec", f"pod/{leader.pod}", "--", "python", "-c", fill
    )
    assert done.returncode == 0, done.stderr
    filled = time.monotonic()
    successor = space.wait_leader(after=filled)
    assert successor.pod != leader.pod
    # Its phase is Succeeded where the program ended well, and tells nothing.
    ours = f"--field-selector=reason=Evicted,involvedObject.name={leader.pod}"
    space.node.wait(
        lambda: "exceeds the limit" in space.kubectl("get", "events", ours),
        "the pod was evicted",
    )
    form = ", under `run`" if words else ""
    measured(f"evicted for its files{form} (preset fast)", space.gap(filled))
    assert space.overlaps() == 0


def test_pod_that_is_cut_off_stops_before_another_starts(space, measured):
    """Fault 22: the wire of one pod is cut; the node and its probes go on."""
    leader, other = pair(space, preset="fast")
    cut = time.monotonic()
    with cut_off(space, leader):
        assert space.wait_leader(after=cut).pod == other
        measured("the leader's pod cut off (preset fast)", space.gap(cut))
    space.wait_noted("lost", pod=leader.pod, after=cut)
    assert space.overlaps() == 0


def test_stopped_process_finds_its_term_over(space):
    """Fault 2: SIGSTOP from the node, with nobody to send SIGCONT until another leads."""
    leader, other = pair(space, preset="fast")
    stopped = time.monotonic()
    space.signal(leader, signal.SIGSTOP)
    try:
        assert space.wait_leader(after=stopped).pod == other
    finally:
        space.signal(leader, signal.SIGCONT)
    space.wait_noted("lost", pod=leader.pod, after=stopped)
    assert space.overlaps() == 0
