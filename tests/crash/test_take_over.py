"""A leader crashes in a pod: who leads next, how soon, and with what proof."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.node_page import eventually

from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import Answer, Fault, Kubelet, LeaseServer

LEADER = Path(__file__).with_name("leader.py")
SOON = 45.0
"""Seconds in which the next leader leads, generously; the lease duration is 60 s."""
POD = "kubernetes-leader-election/pod"
NO_RIGHT = (
    'pods "billing-0" is forbidden: User "web" cannot get resource "pods" in API group '
    '"" in the namespace "default"'
)


class Leader:
    """A process that leads in a pod."""

    def __init__(self, server, pod, identity="a"):
        place = [pod.name, pod.uid, pod.container, str(pod.termination_file)]
        self.process = subprocess.Popen(
            [sys.executable, str(LEADER), server.url, identity, *place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_to_lead(self):
        """Return its fencing token."""
        word, token = self.process.stdout.readline().split()
        assert word == "leads"
        return int(token)

    def kill(self):
        """End it as the kernel does."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Candidate:
    """An elector of this process that waits, and when it led."""

    def __init__(self, server, **options):
        self.led = threading.Event()
        self.token, self.at = None, None
        self.elector = Elector(
            lease_name="billing",
            identity="b",
            server=server.url,
            renew_interval_ms=500,
            lease_duration_sec=60,
            crash_takeover=True,
            **options,
        )
        self.elector.on("leadership_acquired", self._lead)
        self.states = []
        self._on_view = self.elector._lifecycle.on_view
        self.elector._lifecycle.on_view = self._note_state

    def _note_state(self, view):
        if not self.states or view.state is not self.states[-1]:
            self.states.append(view.state)  # each, however short it lasts
        self._on_view(view)

    def _lead(self, event):
        self.token, self.at, self.event = event.token, time.monotonic(), event
        self.led.set()


@pytest.fixture
def server():
    """Give an embedded Lease API."""
    with LeaseServer() as server:
        yield server


@pytest.fixture
def kubelet(server):
    """Give a kubelet of its node."""
    with Kubelet(server) as kubelet:
        yield kubelet


@pytest.fixture
def leader(server):
    """Start leaders in pods, and end them."""
    made = []

    def start(pod, **given):
        made.append(Leader(server, pod, **given))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.kill()


def led_on(server):
    """Wait until the leader's note was written, and read in a renewal."""
    eventually(lambda: POD in (annotations(server) or {}))
    # A proof counts for a term that was seen alive: two renewals, and the pod's watch.
    eventually(lambda: watches_of_pods(server))


def watches_of_pods(server):
    """Return the watches on pods that were begun."""
    watches = server.requests.matching(verb="watch")
    return [one for one in watches if one.path.endswith("/pods")]


def annotations(server):
    """Return the annotations of the Lease; None where it has none."""
    lease = server.lease("billing") or {"metadata": {}}
    return lease["metadata"].get("annotations")


@pytest.mark.slow
def test_next_leader_after_a_kill_leads_within_seconds(server, kubelet, leader):
    """Fault 73: the note, its proof, the challenge, and one conditional write."""
    pod = kubelet.start("billing-0", container="billing")
    first = leader(pod)
    token = first.wait_to_lead()
    candidate = Candidate(server)
    with candidate.elector:
        led_on(server)
        first.kill()
        began = time.monotonic()
        pod.kill(reason="OOMKilled")
        assert candidate.led.wait(SOON)
        assert candidate.at - began < SOON
        assert candidate.token > token
        assert candidate.event.crash_proof.startswith(
            "the container billing of billing-0 was killed (out of memory), which was seen"
        )


@pytest.mark.slow
def test_leader_that_lives_answers_the_challenge(server, kubelet, leader):
    """Fault 74: a kubelet reports an end, with a likely exit code, of what runs on."""
    pod = kubelet.start("billing-0", container="billing")
    first = leader(pod)
    first.wait_to_lead()
    # Time enough for an answer on a machine with other work to do.
    candidate = Candidate(server, crash_challenge_sec=20.0)
    with candidate.elector:
        led_on(server)
        pod.lie(code=137)
        eventually(lambda: State.CHALLENGING in candidate.states)
        # It was asked, and has answered: what its kubelet says is never believed again.
        eventually(lambda: candidate.states[-1] is State.WAITING)
        pod.lie(code=137)
        assert not candidate.led.wait(0.5)
        assert candidate.states[-1] is State.WAITING
        assert candidate.states.count(State.CHALLENGING) == 1
        assert server.lease("billing")["spec"]["holderIdentity"] == "a"


@pytest.mark.slow
def test_container_that_is_started_again_leads_at_once(server, kubelet, leader):
    """Fault 73: with one replica, the status of its own pod proves its former self's end."""
    pod = kubelet.start("billing-0", container="billing")
    first = leader(pod, identity="billing-0")
    token = first.wait_to_lead()
    eventually(lambda: POD in (annotations(server) or {}))
    first.kill()
    pod.kill()
    pod.restart()
    began = time.monotonic()
    second = leader(pod, identity="billing-0")
    assert second.wait_to_lead() > token
    assert time.monotonic() - began < SOON


@pytest.mark.slow
def test_forced_deletion_proves_nothing_and_is_told(server, kubelet, leader, caplog):
    """Fault 75: its leader runs on, and renews, which is what others go by."""
    pod = kubelet.start("billing-0", container="billing")
    leader(pod).wait_to_lead()
    candidate = Candidate(server)
    with caplog.at_level("INFO"), candidate.elector:
        led_on(server)
        pod.force_delete()
        eventually(lambda: "nothing proves the end of the leader" in caplog.text)
        assert "has its note is reported, and the pod is gone" in caplog.text
        assert not candidate.led.is_set()
        assert server.lease("billing")["spec"]["holderIdentity"] == "a"


@pytest.mark.slow
def test_without_the_right_to_pods_the_election_goes_on(
    server, kubelet, leader, caplog
):
    """Fault 76: told once, with the rule to add; then the duration decides."""
    server.faults.add(
        Fault(Answer(403, message=NO_RIGHT), verb="get", times=None, name="billing-0")
    )
    pod = kubelet.start("billing-0", container="billing")
    first = leader(pod)
    first.wait_to_lead()
    candidate = Candidate(server)
    with caplog.at_level("INFO"), candidate.elector:
        eventually(lambda: "resources: [pods], verbs: [get, watch]" in caplog.text)
        first.kill()
        pod.kill()
        assert not candidate.led.wait(3.0)
