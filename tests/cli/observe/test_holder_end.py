"""``status`` and ``watch`` tell whether the pod of a holder proves its end."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time

import pytest

from kubernetes_leader_election.cli.observe import cluster, holder_end
from kubernetes_leader_election.cli.observe.changes import as_dict, changes, with_proof
from kubernetes_leader_election.cli.observe.holder_end import look_at_holder
from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher, Sighting
from kubernetes_leader_election.cli.observe.tracker import Change
from kubernetes_leader_election.core.annotations import challenged
from kubernetes_leader_election.core.messages import PodNote
from kubernetes_leader_election.core.pod_notes import with_note
from kubernetes_leader_election.core.record import read_snapshot
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.testing import Kubelet
from kubernetes_leader_election.testing.faults import Answer, Fault, Hang
from kubernetes_leader_election.testing.kubelet import Pod
from tests.cli.observe.leases import write_lease

NONCE = "7" * 32
PATIENCE = 30.0
NEVER_ENDS = {"duration": 3600, "written": "2099-01-01T00:00:00.000000Z"}
NOT_REPORTED = "no end of the container main of {} that has its note is reported"


@pytest.fixture
def kubelet(server):
    """Play the kubelet of one node."""
    with Kubelet(server) as kubelet:
        yield kubelet


@pytest.fixture
def held(server, kubelet):
    """Let a container of a pod hold a Lease of this name, with its note on both."""

    def hold(name, **more):
        pod = kubelet.start(f"{name}-0")
        pod.termination_file.write_text(f"{NONCE}\n")
        write_noted(server, name, pod, **more)
        return pod

    return hold


def write_noted(server, name, pod, **more):
    """Write a record and the note for it, as who leads in a pod renews."""
    note = PodNote(
        namespace="default",
        pod=pod.name,
        uid=pod.uid,
        container="main",
        nonce=NONCE,
        crash_challenge=1.0,
    )
    written = {**NEVER_ENDS, **more}
    times = {"acquireTime": written["written"], "renewTime": written["written"]}
    spec = {"holderIdentity": "ada", **times, **more}
    noted = with_note({"metadata": {}, "spec": spec}, note)["metadata"]["annotations"]
    if server.lease(name) is None:
        write_lease(server, name, **written)
    write_lease(server, name, annotations=noted, **written)  # at once, as electors do


@contextlib.contextmanager
def renewed_all_the_time(server, name, pod):
    """Renew a Lease again and again, as a leader that lives does."""
    over = threading.Event()

    def renew():
        for second in itertools.cycle(range(60)):
            write_noted(
                server, name, pod, renewTime=f"2099-01-01T00:00:{second:02}.500000Z"
            )
            if over.wait(0.05):  # the rhythm of the renewals
                return

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def target(server):
    """Look at the Leases of the namespace, as a command does."""
    client = LeaseClient(explicit(server=server.url))
    yield cluster.Target(client=client, namespace="default", why="", needs=())
    client.close()


def look(target, server, name):
    """Look at the holder of a Lease, as it is now."""
    return look_at_holder(target, read_snapshot(server.lease(name)))


def killed_and_restarted(pod):
    """Let the kubelet start a container in place that was killed."""
    pod.kill()
    pod.restart()


@pytest.mark.parametrize(
    ("name", "becomes", "verdict", "why"),
    [
        ("alive", lambda _: None, "not yet", NOT_REPORTED),
        ("killed", Pod.kill, "proven", "container main of {} was killed (SIGKILL)"),
        (
            "memory",
            lambda pod: pod.kill(reason="OOMKilled"),
            "proven",
            "was killed (out of memory)",
        ),
        ("restarted", killed_and_restarted, "proven", "was killed (SIGKILL)"),
        ("forced", Pod.force_delete, "never", "the pod 'default/{}' is gone"),
        ("shim", Pod.lie, "never", "no process of the container main of {} can have"),
        ("node", Pod.lose_node, "not yet", NOT_REPORTED),
    ],
)
def test_pod_of_the_holder_is_judged_as_a_candidate_does(
    target, server, held, name, becomes, verdict, why
):
    """A deletion by force, a lost node and a lost shim prove nothing; an end does."""
    pod = held(name)
    becomes(pod)
    end = look(target, server, name)
    assert (end.pod, end.verdict) == (f"default/{pod.name}", verdict)
    assert why.format(pod.name) in end.why


def test_pod_that_must_not_be_read_is_not_judged(server, target, held):
    """Whoever may read Leases alone is told so, with the rule to add."""
    held("unreadable")
    fault = Answer(status=403)
    server.faults.add(Fault(fault, verb="get", name="unreadable-0"))
    end = look(target, server, "unreadable")
    assert end.verdict == "unknown"
    assert "Pod default/unreadable-0" in end.why


def test_pod_is_waited_for_a_moment_only(server, target, held, monkeypatch):
    """A display does without it, rather than to stand still as long as for a Lease."""
    held("slow")
    monkeypatch.setattr(holder_end, "READ_WITHIN", 0.1)
    server.faults.add(Fault(Hang(), verb="get", name="slow-0", times=None))
    began = time.monotonic()
    assert look(target, server, "slow").verdict == "unknown"
    assert time.monotonic() - began < cluster.REQUEST_WITHIN


def test_reason_of_a_server_can_be_shown(server, target, held):
    """Fault 51: whatever a server, or a proxy, answers moves no cursor and has an end."""
    held("hostile")
    fault = Answer(status=403, message="\x1b[2J\n" * 2000)
    server.faults.add(Fault(fault, verb="get", name="hostile-0"))
    why = look(target, server, "hostile").why
    assert why.isprintable()
    assert len(why) <= holder_end.LONGEST


def test_holder_without_a_note_has_no_verdict(target, server):
    """Nothing is read, and nothing added to what is told."""
    write_lease(server, "noteless", **NEVER_ENDS)
    assert look(target, server, "noteless") is None
    change = Change(lease="noteless", kind="expired", at=Now(0.0, 0.0, 0), text="so")
    snapshot = read_snapshot(server.lease("noteless"))
    assert with_proof(change, target, snapshot) is change
    assert look_at_holder(target, None) is None


def test_status_says_that_a_crash_would_be_proved(call, held, kubeconfig):
    """Of a holder that is not seen to renew it says what its pod tells, and who waits."""
    held("would-be")
    words = ("status", "would-be", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    told = call(*words).stdout
    assert f"not proven: {NOT_REPORTED.format('would-be-0')}; others wait for" in told


def test_status_tells_what_proves_the_end_and_what_does_not(call, held, kubeconfig):
    """As text and as JSON."""
    pod = held("ended")
    words = ("status", "ended", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    pod.kill(reason="OOMKilled")
    assert (
        "proved: the container main of ended-0 was killed (out of"
        in call(*words).stdout
    )
    found = json.loads(call(*words, "-o", "json").stdout)
    assert (found["pod_of_crash_note"], found["crash_proof"]) == (
        "default/ended-0",
        "proven",
    )
    assert "out of memory" in found["crash_proof_because"]
    pod.force_delete()
    told = call(*words).stdout
    assert "not proven: the pod 'default/ended-0' is gone; others wait for" in told


@pytest.mark.parametrize(
    ("name", "becomes", "told"),
    [
        ("lives", lambda _: None, "would be proved by the status of its pod 'default/"),
        (
            "fallen",
            Pod.kill,
            (
                "proved: the container main of fallen-0 was killed (SIGKILL); yet it was "
                "seen to renew\n"
            ),
        ),
        (
            "unprovable",
            Pod.force_delete,
            (
                "not proven: the pod 'default/unprovable-0' is gone; after a crash others "
                "wait for the whole lease duration\n"
            ),
        ),
    ],
)
def test_status_tells_what_a_crash_of_who_renews_would_cost(
    server, call, held, kubeconfig, name, becomes, told
):
    """And that it renews, where its pod says that it has ended."""
    pod = held(name)
    becomes(pod)
    with renewed_all_the_time(server, name, pod):
        words = ("status", name, "--kubeconfig", kubeconfig, "--observe-sec", "20")
        shown = call(*words).stdout
    assert "seen to renew\n" in shown
    assert told in shown


def test_status_says_that_the_pod_was_not_read(server, call, held, kubeconfig):
    """It does not say of who may be proved to have ended that nothing proves it."""
    held("secret")
    fault = Fault(Answer(status=403), verb="get", name="secret-0", times=None)
    server.faults.add(fault)
    words = ("status", "secret", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    told = call(*words).stdout
    assert "would be proved by the status of its pod 'default/secret-0', not" in told
    assert "not proven" not in told


def test_nobody_waits_for_a_lease_that_has_run_out(call, held, kubeconfig):
    """There is no time to tell."""
    held("over", duration=1).force_delete()
    told = call("status", "over", "--kubeconfig", kubeconfig).stdout
    assert "not proven: the pod 'default/over-0' is gone\n" in told


def write_holder(server, name, holder):
    """Write another holder into a Lease, as who takes over does."""
    write_lease(server, name, holder=holder, annotations={}, **NEVER_ENDS)


@pytest.mark.parametrize(
    ("name", "becomes", "told"),
    [
        ("proved", Pod.kill, "; its end is proved: the container main of proved-0 was"),
        ("alive-yet", lambda _: None, "'bob' leads"),
    ],
)
def test_watch_tells_what_a_take_over_rests_on(
    target, server, held, name, becomes, told
):
    """Who leads next, and that the end of who led before was proved: for both readers."""
    pod = held(name)
    with LeaseWatcher(target, [name]) as watcher:
        following = (change for change, _ in changes(watcher, [name], PATIENCE))
        seen = (change for change in following if change is not None)
        assert next(seen).kind == "held"
        becomes(pod)
        asked = challenged(read_snapshot(server.lease(name)))["metadata"]["annotations"]
        write_lease(server, name, annotations=asked, **NEVER_ENDS)
        assert next(seen).kind == "asked whether it lives"
        write_holder(server, name, "bob")
        acquired = next(seen)
    assert (acquired.kind, acquired.holder) == ("acquired", "bob")
    assert told in acquired.text
    assert ("its end" in acquired.text) is (becomes is Pod.kill)
    assert as_dict(acquired, target)["crash_proof"] == acquired.crash_proof
    assert acquired.crash_proof == ("proven" if becomes is Pod.kill else None)


def test_watch_asks_no_pod_where_nobody_was_asked(target, server, held):
    """An ordinary hand-over rests on no proof, and needs no right to read pods."""
    held("handed").kill()  # so that its end could be told
    with LeaseWatcher(target, ["handed"]) as watcher:
        following = (change for change, _ in changes(watcher, ["handed"], PATIENCE))
        seen = (change for change in following if change is not None)
        assert next(seen).kind == "held"
        write_holder(server, "handed", "bob")
        acquired = next(seen)
    assert acquired.crash_proof is None
    assert "end" not in acquired.text


def test_watch_says_why_nobody_took_over_before_the_lease_ran_out(target, server, held):
    """An expiry has the reason why nothing was proved."""
    held("silent", duration=1).force_delete()
    with LeaseWatcher(target, ["silent"]) as watcher:
        following = (change for change, _ in changes(watcher, ["silent"], PATIENCE))
        expired = next(one for one in following if one and one.kind == "expired")
    assert expired.text.endswith(
        "; its end is not proven: the pod 'default/silent-0' is gone"
    )
    assert expired.crash_proof == "never"


def test_take_over_that_a_look_shows_rests_on_the_same_proof(target, server, held):
    """Where the watch is slower than the look that an expiry begins with."""
    name = "looked-at"
    held(name).kill()
    asked = challenged(read_snapshot(server.lease(name)))["metadata"]["annotations"]
    write_lease(server, name, annotations=asked, **NEVER_ENDS)
    before = read_snapshot(server.lease(name))
    write_holder(server, name, "bob")
    at_first, late = Now(0.0, 0.0, 0), Now(9999.0, 9999.0, 0)

    class Slow(LeaseWatcher):
        """Has seen the question; sees the take-over when it looks."""

        seen = (Sighting(lease=name, snapshot=before, at=at_first),)

        def next(self, timeout):
            found, self.seen = self.seen, ()
            return found[0] if found else None

        def now(self):
            return at_first if self.seen else late

    following = changes(Slow(target, [name]), [name], None)
    acquired = next(one for one, _ in following if one and one.kind == "acquired")
    assert (acquired.holder, acquired.crash_proof) == ("bob", "proven")
