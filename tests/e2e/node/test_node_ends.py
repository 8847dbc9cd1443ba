"""What is done to a node as a whole: no test runs beside one of these."""

from __future__ import annotations

import time

import pytest

from node.handle import NODE_NAME
from node.workloads import FORMS, pair

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(600),
]

SELECTED = "--pod-selector=app.kubernetes.io/name=billing"


@pytest.fixture
def cordoned(node):
    """Let pods be scheduled again, whatever became of the test."""
    yield
    node.must("uncordon", NODE_NAME)


@pytest.mark.usefixtures("cordoned")
def test_drained_node_keeps_the_leader_that_the_budget_protects(space, measured):
    """
    Fault 70: there is one node; a drain takes one replica, and is refused the other.

    Whoever is taken, one goes on: the PodDisruptionBudget of `kle manifests` sees to it.
    """
    leader, other = pair(space)
    began = time.monotonic()
    drain = ("drain", NODE_NAME, SELECTED, "--timeout=8s", "--ignore-daemonsets")
    done = space.node.kubectl(*drain)
    assert done.returncode != 0
    assert "violate the pod's disruption budget" in done.stderr
    (left,) = space.pods(ready=True)
    assert left in {leader.pod, other}
    assert space.wait_leader().pod == left
    if left == other:
        measured("a node drained", space.gap(began))
    # What the budget holds, it holds against everybody who asks for an eviction.
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": left, "namespace": space.name},
    }
    path = f"{space.path('pods', left)}/eviction"
    assert space.node.request("POST", path, eviction).status == 429
    space.node.must("uncordon", NODE_NAME)
    space.wait_pods(2)
    assert space.wait_leader().pod == left
    assert space.overlaps() == 0


@pytest.mark.parametrize("daemon", ["kubelet", "containerd"])
def test_restarted_daemon_costs_no_leader_its_term(space, daemon):
    """
    Fault 71: kubelet or container runtime killed and started again: pods live on.

    The leader renews all the while; its restarted agents end it in good order later.
    """
    leader, other = pair(space)
    space.node.restart(daemon)
    restarted = time.monotonic()
    space.node.wait(space.node.ready, "the node is ready")
    space.wait_noted("renewed", pod=leader.pod, after=restarted)
    assert space.wait_leader().pod == leader.pod
    assert len(space.runs()) == 1
    space.wait_pods(2)
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    assert space.wait_leader(after=deleted).pod == other
    assert space.overlaps() == 0


@FORMS
def test_pod_on_a_silent_node_leads_until_its_kubelet_can_end_it(
    space, measured, words
):
    """
    Fault 71: no kubelet, the node counts as not ready, and the leader's pod is deleted.

    Nobody tells the program, so it leads on; a new replica finds the Lease held. When
    the kubelet is back, SIGTERM comes, and the hand-over is as quick as ever.
    """
    leader, _ = pair(space, *words)
    space.node.daemons["kubelet"].kill()
    try:
        space.kubectl("delete", "pod", leader.pod, "--wait=false")
        space.node.wait(lambda: not space.node.ready(), "the node is not ready")
        silent = time.monotonic()
        space.node.wait(
            lambda: space.leader() and leader.runs[-1][1] > silent + 1, "it works on"
        )
        assert space.wait_leader().pod == leader.pod
    finally:
        space.node.daemons["kubelet"].start(space.node.inside)
    back = time.monotonic()
    space.wait_leader(after=back)
    form = ", under `run`" if words else ""
    measured(f"a silent node comes back and ends its pod{form}", space.gap(back))
    space.wait_pods(2)
    assert space.overlaps() == 0
