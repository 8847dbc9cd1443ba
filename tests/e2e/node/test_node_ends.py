"""What is done to a node as a whole: no test runs beside one of these."""

from __future__ import annotations

import time

import pytest

from node.crashes import IN_FULL, proof, start
from node.handle import NODE_NAME
from node.hurt import cut_off, frozen
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
    leader, _ = pair(space)
    space.node.restart(daemon)
    restarted = time.monotonic()
    space.node.wait(space.node.ready, "the node is ready")
    space.wait_noted("renewed", pod=leader.pod, after=restarted)
    assert space.wait_leader().pod == leader.pod
    assert len(space.runs()) == 1
    space.wait_pods(2)
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    # The other one, or the pod that takes its place: it may be there by now.
    assert space.wait_leader(after=deleted).pod != leader.pod
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


def evict(space, pod):
    """Let the API evict a pod, as a drain does: it stays until its kubelet has ended it."""
    metadata = {"name": pod, "namespace": space.name}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"{space.path('pods', pod)}/eviction"
    answer = space.node.request("POST", path, eviction)
    assert answer.status == 201, answer.body
    assert pod not in space.pods()


def delete_by_force(space, pod):
    """Take a pod out of the API, as people do for one on a node that is lost."""
    space.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    assert space.node.get(space.path("pods", pod)) is None


@pytest.mark.parametrize(
    ("fault", "take_away", "what"),
    [
        (cut_off, evict, "cut off, its pod evicted"),
        (cut_off, delete_by_force, "cut off, its pod deleted by force"),
        (frozen, delete_by_force, "frozen, its pod deleted by force"),
    ],
)
def test_leader_on_a_lost_node_is_waited_for(space, measured, fault, take_away, what):
    """
    Fault 75: no kubelet, and the API takes the pod away while its container runs on.

    What is cut off works until its term is over: whoever took the word of the API for
    a proof would work beside it.
    """
    leader = start(space)
    lost = time.monotonic()
    space.node.daemons["kubelet"].kill()
    try:
        with fault(space, leader):
            take_away(space, leader.pod)
            successor = space.wait_leader(after=lost)
            first = successor.runs[-1][0]
            measured(f"a node lost, {what}: no proof", space.gap(lost))
        space.wait_noted("lost", pod=leader.pod, after=lost)
    finally:
        space.node.daemons["kubelet"].start(space.node.inside)
    assert successor.pod != leader.pod
    assert first - lost > IN_FULL
    assert space.wait_noted("why", after=lost).detail == "expiry"
    assert not proof(space, successor, lost)
    assert space.overlaps() == 0
    space.node.wait(space.node.ready, "the node is ready")
