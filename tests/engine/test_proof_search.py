"""The search for a proof in a holder's pod, on the embedded API with a played kubelet."""

from __future__ import annotations

import queue
import threading

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.engine.proof_search import search
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.pods import PodClient
from kubernetes_leader_election.kube_api.results import Answered
from kubernetes_leader_election.testing import (
    Answer,
    Fault,
    Hang,
    Kubelet,
    LeaseServer,
    SilenceWatch,
)
from tests.node_page import PATIENCE, eventually
from tests.pods.conftest import NOTE, POD

NONCE = "00112233445566778899aabbccddeeff"
ROLE = {
    "kind": "Role",
    "metadata": {"namespace": "default"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}],
}


@pytest.fixture(scope="module")
def server():
    """Give an embedded Lease API with users."""
    with LeaseServer(open_access=False) as server:
        yield server


@pytest.fixture
def kubelet(server):
    """Give a kubelet of its node."""
    with Kubelet(server) as kubelet:
        yield kubelet
    server.faults.clear()


@pytest.fixture
def pod(kubelet, request):
    """Give a pod whose container has left the note."""
    number = abs(hash(request.node.name)) % 10**9
    pod = kubelet.start(f"billing-{number}", container="billing")
    pod.termination_file.write_text(f"{NONCE}\n")
    return pod


class Search:
    """A search on a thread, and what it said."""

    def __init__(
        self, server, pod, *, rights=(ROLE,), silence=60.0, within=30.0, changed=None
    ):
        self.server, self.pod = server, pod
        self.said = queue.SimpleQueue()
        self.call = Call()
        user = server.add_user("web", roles=rights)
        self.client = LeaseClient(explicit(server=server.url, token=user.token))
        left = {
            "namespace": pod.namespace,
            "pod": pod.name,
            "uid": pod.uid,
            "container": "billing",
        }
        note = m.PodNote(nonce=NONCE, **(left | (changed or {})))

        def run():
            self.said.put(
                search(
                    PodClient(self.client),
                    m.SeekProof(request_id=7, note=note),
                    self.call,
                    proven=self.said.put,
                    within=within,
                    silence=silence,
                )
            )

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def watching(self):
        """Wait until it has read the pod, and watches what comes after; return it."""
        asked = {"verb": "watch", "name": self.pod.name}
        eventually(lambda: self.server.requests.matching(**asked))
        return self

    def next(self):
        """Return what it says next."""
        return self.said.get(timeout=PATIENCE)

    def is_silent(self, seconds=0.15):
        """Return whether it says nothing for a while."""
        self.thread.join(seconds)
        return self.said.empty() and self.thread.is_alive()

    def close(self):
        """End it from outside."""
        self.call.abandon()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.client.close()


@pytest.fixture
def begin(server):
    """Begin searches, and end them."""
    made = []

    def start(pod, **given):
        made.append(Search(server, pod, **given))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_end_that_is_reported_later_is_proved(pod, begin):
    """Fault 73: one read and one watch; nothing is said while the container runs."""
    search = begin(pod).watching()
    assert search.is_silent()
    pod.kill()
    proof = search.next()
    assert proof == m.ProofSeen(
        request_id=7,
        why=f"the container billing of {pod.name} was killed (SIGKILL)",
    )
    pod.restart()
    assert search.next() == proof


def test_end_that_was_reported_before_is_proved(pod, begin):
    """A restarted container reads of its former self at once."""
    pod.kill(code=1)
    pod.restart()
    assert search_why(begin(pod)).endswith("ended with exit code 1")


def search_why(search):
    """Return what a search says that it has proved."""
    proof = search.next()
    assert isinstance(proof, m.ProofSeen)
    return proof.why


def test_out_of_memory_is_told(pod, begin):
    """The words are those of the kubelet's reason."""
    search = begin(pod).watching()
    pod.kill(reason="OOMKilled")
    assert search_why(search).endswith("was killed (out of memory)")


def test_status_inside_the_event_of_a_deletion_counts(pod, begin):
    """In good order the last status has the message."""
    search = begin(pod).watching()
    pod.delete()
    assert search_why(search).endswith("ended with exit code 143 (SIGTERM)")


class LastWords:
    """Answer as a client whose watch brings the end and the deletion in one event."""

    def __init__(self, pod):
        self.pod = pod

    def get(self, _namespace, _name, *, call):
        """Return the pod while it runs."""
        status = self.pod["status"]["containerStatuses"][0] | {"lastState": {}}
        running = self.pod | {"status": {"containerStatuses": [status]}}
        return Answered(body=running)

    def watch(self, *_, on_event, **_options):
        """Bring its end."""
        on_event("DELETED", self.pod)


def test_status_that_comes_with_the_deletion_alone_counts():
    """A watch may have been opened anew in between: what it brings last is proof, too."""
    proofs = []
    note = m.PodNote(**{field: getattr(NOTE, field) for field in NOTE._fields})
    request = m.SeekProof(request_id=7, note=note)
    client = LastWords(POD)
    answer = search(client, request, Call(), proven=proofs.append, within=1.0)
    assert answer == m.ProofUnreadable(request_id=7, error=None)
    (proof,) = proofs
    assert proof.why.endswith("was killed (SIGKILL)")


def refuted(search):
    """Return why a search says that nothing will ever be proved."""
    answer = search.next()
    assert isinstance(answer, m.ProofRefuted), answer
    search.thread.join(PATIENCE)
    assert not search.thread.is_alive()
    return answer.why


def test_pod_that_was_deleted_by_force_is_no_proof(pod, begin):
    """Fault 75: its process may run on, and its kubelet can no longer say."""
    search = begin(pod).watching()
    assert search.is_silent()
    pod.force_delete()
    assert refuted(search).endswith("and the pod is gone")


def test_pod_that_is_gone_is_no_proof(pod, begin):
    """A 404 says nothing of its processes."""
    pod.force_delete()
    assert refuted(begin(pod)) == f"the pod {pod.name} is gone"


def test_node_that_is_lost_is_no_proof(pod, begin):
    """Fault 75: phase and conditions are what the control plane guesses."""
    search = begin(pod).watching()
    pod.lose_node()
    assert search.is_silent()


def test_lie_of_a_lost_shim_is_no_proof(pod, begin):
    """Fault 74: 255 is no wait status; what such a kubelet says later is not believed either."""
    search = begin(pod).watching()
    pod.lie()
    assert "exit code" in refuted(search)


def test_message_that_was_overwritten_is_no_proof(pod, begin):
    """Fault 77: without the nonce nothing is known; the note is lost, which is safe."""
    search = begin(pod).watching()
    pod.termination_file.write_text("fatal: no disk\n")
    pod.kill()
    assert search.is_silent()


def test_pod_with_the_processes_of_its_node_is_no_proof(kubelet, begin):
    """With hostPID processes outlive their container."""
    pod = kubelet.start("host", container="billing", hostPID=True)
    pod.termination_file.write_text(f"{NONCE}\n")
    pod.kill()
    assert refuted(begin(pod)) == "host has hostPID"


def test_namesake_is_no_proof(pod, begin):
    """Fault 75: another pod of that name, as of a StatefulSet."""
    pod.kill()
    uid = "00000000-0000-0000-0000-000000000000"
    assert "another pod has the name" in refuted(begin(pod, changed={"uid": uid}))


@pytest.mark.parametrize("field", ["namespace", "pod", "container"])
def test_names_that_are_none_are_never_asked_for(server, pod, begin, field):
    """They come out of an annotation that others may write."""
    before = len(server.requests)
    assert refuted(begin(pod, changed={field: "../x"})) == "its note cannot be used"
    assert len(server.requests) == before


def unreadable(search):
    """Return the error with which a search has ended."""
    answer = search.next()
    assert isinstance(answer, m.ProofUnreadable), answer
    return answer.error


@pytest.mark.parametrize("verb", ["get", "watch"])
def test_missing_right_ends_the_search_with_the_rule_to_add(pod, begin, verb):
    """Fault 76: it is told, and the election goes on without a proof."""
    kept = {**ROLE["rules"][0], "verbs": list({"get", "watch"} - {verb})}
    error = unreadable(begin(pod, rights=({**ROLE, "rules": [kept]},)))
    assert error.status == 403
    assert "resources: [pods], verbs: [get, watch]" in str(error)


def test_read_that_hangs_ends_in_time(server, pod, begin):
    """The first read has the time of a request."""
    server.faults.add(Fault(Hang(), verb="get", name=pod.name))
    assert unreadable(begin(pod, within=0.5)).status is None


def test_server_that_fails_ends_the_search(server, pod, begin):
    """Any failure is the core's to try again, after a pause."""
    server.faults.add(Fault(Answer(503), verb="watch", name=pod.name))
    assert unreadable(begin(pod)).status == 503


def test_half_open_watch_is_given_up(server, pod, begin):
    """Fault 76: a watch that brings nothing, not even a bookmark, is not waited for."""
    server.faults.add(Fault(SilenceWatch(), verb="watch", name=pod.name))
    search = begin(pod, silence=0.3)
    eventually(lambda: server.requests.matching(verb="watch", name=pod.name))
    pod.kill()
    assert "no complete answer came" in str(unreadable(search))


def test_watch_that_ends_cleanly_is_no_error(server, pod, begin):
    """It may be ordered again at once."""
    search = begin(pod).watching()
    assert search.is_silent()
    server.end_watches()
    assert unreadable(search) is None
