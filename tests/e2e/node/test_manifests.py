"""
What `kle manifests` prints, applied as it is, on a real node.

Each test asks that no two containers worked at once, by their own logs, and writes
down how long nobody did.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from pathlib import Path

import pytest
from tests.versions import EARLIER
from tests.versions.wheels import build_wheel

from node import images
from node.workloads import FORMS, deploy, pair, printed

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def replace_pods(space, *words):
    """Do what replaces the pods, wait until a new one leads; give when that began."""
    old, began = set(space.pods()), time.monotonic()
    space.kubectl(*words)
    space.kubectl("rollout", "status", "deployment/billing", "--timeout=120s")
    space.node.wait(
        lambda: not old & space.pods().keys() and space.leader(after=began),
        "a new pod leads",
    )
    return began


@FORMS
def test_manifests_elect_and_survive_a_day(space, measured, words):
    """
    Ready, elected, restricted; then a pod deleted, a rollout, none, and two again.

    The namespace enforces the Pod Security level `restricted`. Fault 57: a rollout, a
    scaling or a deletion ends the leader; it releases, and the next one is there.
    """
    leader, _ = pair(space, *words)
    assert space.lease()["holderIdentity"] == leader.pod

    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    leader = space.wait_leader(after=deleted)
    measured("a pod deleted", space.gap(deleted))
    space.wait_pods(2)

    began = replace_pods(space, "rollout", "restart", "deployment/billing")
    measured("a rollout", space.gap(began))

    space.kubectl("scale", "deployment/billing", "--replicas=0")
    space.node.wait(
        lambda: not space.node.get(space.path("pods"))["items"], "no pod is left"
    )
    assert space.leader() is None
    assert not space.lease().get("holderIdentity")  # released, not left to expire
    began = time.monotonic()
    space.kubectl("scale", "deployment/billing", "--replicas=2")
    space.wait_leader(after=began)
    measured(
        "scaled to 0, and to 2: until the next one works", space.runs()[-1][0] - began
    )
    assert space.overlaps() == 0


def test_rollout_that_never_gets_ready_leaves_the_leader_alone(space):
    """Readiness: a version that is never ready takes no leader's place; undo is quiet."""
    leader, _ = pair(space)
    began = time.monotonic()
    bad = [{"op": "replace", "path": "/spec/template/spec/containers/0/readinessProbe"
            "/httpGet/path", "value": "/nothing"}]  # fmt: skip
    space.kubectl("patch", "deployment/billing", "--type=json", f"-p={json.dumps(bad)}")
    space.node.wait(lambda: len(space.pods()) == 3, "the new version was started")
    newcomer = (space.pods().keys() - space.pods(ready=True).keys()).pop()
    space.wait_noted("leader", pod=newcomer)
    assert space.wait_leader().pod == leader.pod
    space.kubectl("rollout", "undo", "deployment/billing")
    space.wait_pods(2)
    assert space.wait_leader().pod == leader.pod
    assert max(space.runs())[0] < began  # one run of work, from before all this
    assert space.overlaps() == 0


def test_failing_liveness_probe_restarts_the_leader_and_it_releases(space, measured):
    """
    Fault 58: the kubelet restarts a container; SIGTERM comes first, so it releases.

    The Lease is followed at once by the other pod, not after it ran out.
    """

    def quick(pod):
        container = pod["containers"][0]
        # A busy machine, and a program that is not up yet, are not what is tested.
        asked = {**container["livenessProbe"], "periodSeconds": 1, "timeoutSeconds": 30}
        container["startupProbe"] = {**asked, "failureThreshold": 90}
        container["livenessProbe"] = {**asked, "failureThreshold": 1}

    leader, other = pair(space, change=quick)
    began = time.monotonic()
    space.signal(leader, signal.SIGUSR2)
    successor = space.wait_leader(after=began)
    assert successor.pod == other
    space.wait_noted("began", pod=leader.pod, after=began)
    measured("liveness probe failed", space.gap(began))
    assert [x.detail for x in leader.noted("lost")] == ["stopped"]
    assert space.overlaps() == 0


def test_rollout_and_undo_between_two_versions_of_the_package(
    space, measured, tmp_path
):
    """Fault 57: an earlier version leads, is updated, and comes back by `undo`."""
    (version, *_) = EARLIER
    wheel = build_wheel(version, tmp_path)
    earlier = "registry.example/billing:0.9"
    archive = images.build_earlier(space.node.folder, wheel=wheel, name=earlier)
    space.node.ctr("images", "import", archive)
    archive.unlink()
    deploy(space, change=lambda pod: pod["containers"][0].update(image=earlier))
    space.wait_pods(2)
    space.wait_leader()
    for words in (
        ("set", "image", "deployment/billing", f"main={images.BILLING}"),
        ("rollout", "undo", "deployment/billing"),
    ):
        began = replace_pods(space, *words)
        measured("a rollout between two versions of the package", space.gap(began))
    assert space.overlaps() == 0


def test_pair_of_the_tutorial_elects(space, measured):
    """From a checkout: the image of `make image`, and the one command of the page."""
    page = Path(__file__).resolve().parents[3] / "docs" / "tutorial.md"
    (line,) = re.findall(
        r"^kle manifests (pair .+) \| kubectl", page.read_text(), re.MULTILINE
    )
    words = shlex.split(line)
    assert images.KLE in words
    began = time.monotonic()
    space.apply(printed(*words[:1], "-n", space.name, *words[1:]))
    space.node.wait(
        lambda: space.lease("pair").get("holderIdentity"), "one of the pair leads"
    )
    measured(
        "from the two commands of the tutorial to a leader", time.monotonic() - began
    )
    assert space.lease("pair")["holderIdentity"] in space.wait_pods(2)
