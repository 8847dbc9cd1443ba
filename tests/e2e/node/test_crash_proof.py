"""
A leader that crashes in a pod is followed in seconds, where its end is proved.

The counterpart of the tests with the embedded API and a kubelet that is played: here a
real one reports. Each test asks that no two containers worked at once, by their own
logs. All use 15/10/2, where a crash without a proof takes 13 to 15 s.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from kubernetes_leader_election.testing.belief_log import Line
from node.crashes import NOTE, TOKEN, annotation, ready, start
from node.workloads import WORKER

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

IN_FULL = 10.0
"""Seconds: less is no expiry; the last renewal may be two old, and more on a busy machine."""
SOON = 8.0
"""Seconds, generous: the kubelet's report comes within one, the question takes 1.3."""

RUN = ("--", *WORKER)
PROGRAMS = pytest.mark.parametrize(
    "words",
    [("--crash-takeover",), ("--crash-takeover", *RUN)],
    ids=["library", "under run"],
)


def kill(space, leader):
    """Kill the first process of a leader's container; give the instant before."""
    killed = time.monotonic()
    space.signal(leader, signal.SIGKILL)
    return killed


def followed(space, leader, since):
    """Wait until the next leader works; give it, and how long nobody worked."""
    successor = space.wait_leader(after=since)
    assert successor.name != leader.name
    return successor, space.gap(since)


def proof(space, successor, since):
    """Return how a leader says that the end of the one before was proved."""
    told = [line.detail for line in successor.noted("proof") if line.instant > since]
    # `kle run` says it in its log, which has no such instant: its last word counts.
    terms = [text for text in successor.said if "fencing token" in text]
    told += [text for text in terms[-1:] if "; took over: " in text]
    return told[-1] if told else ""


@PROGRAMS
def test_killed_leader_is_followed_in_seconds(space, measured, words):
    """Fault 73: `kill -9` of the container's first process, five times."""
    form = ", under `run`" if RUN[0] in words else ""
    start(space, words)
    tokens = []
    for _ in range(5):
        leader = ready(space)
        tokens.append(int(annotation(space, TOKEN).split(" ")[0]))
        killed = kill(space, leader)
        successor, gap = followed(space, leader, killed)
        measured(f"kill -9 of the container, with proof{form}", gap)
        assert gap < SOON
        said = proof(space, successor, killed)
        assert f"{leader.container} of {leader.pod} was killed (SIGKILL)" in said
    assert space.overlaps() == 0
    assert tokens == sorted(set(tokens))


def test_leader_that_the_kernel_kills_for_memory_is_followed_in_seconds(
    space, measured
):
    """Fault 73: over its memory limit, the leader dies without a word."""

    def limited(pod):
        pod["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}

    leader = start(space, change=limited)
    space.signal(leader, signal.SIGUSR1)
    taken = space.wait_noted("memory").instant
    successor, gap = followed(space, leader, taken)
    measured("out of memory, with proof", gap)
    assert gap < SOON
    assert "was killed (out of memory)" in proof(space, successor, taken)
    assert space.overlaps() == 0


def test_leader_that_exits_without_a_word_is_followed_in_seconds(space, measured):
    """Fault 73: exit code 1 of a program that released nothing."""
    leader = start(space)
    began = time.monotonic()
    space.signal(leader, signal.SIGHUP)
    successor, gap = followed(space, leader, began)
    measured("exit code 1, nothing released, with proof", gap)
    assert gap < SOON
    assert "ended with exit code 1" in proof(space, successor, began)
    assert space.overlaps() == 0


def test_only_replica_leads_again_as_soon_as_it_is_back(space, measured):
    """Fault 73, restart in place: its own pod proves the end of its former self."""
    leader = start(space, replicas=1)
    killed = kill(space, leader)
    successor, gap = followed(space, leader, killed)
    measured("kill -9 of the only replica, with proof", gap)
    assert (successor.pod, successor.number) == (leader.pod, leader.number + 1)
    assert gap < SOON
    assert "was killed (SIGKILL)" in proof(space, successor, killed)
    assert space.overlaps() == 0


def test_leader_that_was_deleted_by_force_is_waited_for(space, measured):
    """
    Fault 75: the pod is gone from the API before its end is reported.

    It is stopped first, or it would release on the kubelet's SIGTERM.
    """
    leader = start(space)
    began = time.monotonic()
    space.signal(leader, signal.SIGSTOP)
    space.kubectl("delete", "pod", leader.pod, "--force", "--grace-period=0")
    successor, gap = followed(space, leader, began)
    measured("a stopped pod deleted by force: no proof", gap)
    assert gap > IN_FULL
    assert not proof(space, successor, began)
    assert space.overlaps() == 0


def test_false_report_of_the_end_is_not_believed(space, measured):
    """
    Fault 74: the shim is killed and cannot clean up: exit code 255, and it lives on.

    The kubelet even shows the note. It takes the pod's network away as well, so the
    leader cannot answer the question: it works on until its renew deadline. The shim
    was the reader of its standard output; what it does then it writes to a volume.
    """

    def kept(pod):
        pod["volumes"] = [{"name": "log", "emptyDir": {}}]
        container = pod["containers"][0]
        container["volumeMounts"] = [{"name": "log", "mountPath": "/kept"}]
        container["args"].append("--keep=/kept")

    leader = start(space, change=kept)
    first = min(space.processes(leader))
    nonce = annotation(space, NOTE).split(" ")[5]
    began = time.monotonic()
    lose_shim(space, leader, first)
    try:
        space.node.wait(
            lambda: reported_ends(space, leader), "the kubelet reports an end"
        )
        (end,) = reported_ends(space, leader)
        assert end["exitCode"] == 255
        assert nonce in end["message"].split("\n")
        assert alive(first), "the process lives on"
        successor, _ = followed(space, leader, began)
        assert alive(first), "the process lives on"
    finally:
        if alive(first):
            os.kill(first, signal.SIGKILL)
    assert not proof(space, successor, began)
    take_in(space, leader)
    worked_on = leader.runs[-1][1] - began
    measured("a false report of an end: the leader worked on for", worked_on)
    measured("a false report of an end", space.gap(began))
    assert worked_on > 3, "it worked on, long after its end was reported"
    assert successor.runs[-1][0] - began > IN_FULL
    assert space.overlaps() == 0


def lose_shim(space, leader, first):
    """Kill the shim of a container, and hide the container from who cleans up."""
    container = space.container_id(leader.pod, leader.container)
    home = f"/run/containerd/runc/k8s.io/{container}"
    space.node.inside.must("mv", home, f"/run/hidden-{container}")
    fields = Path(f"/proc/{first}/stat").read_text(encoding="ascii").rpartition(")")[2]
    os.kill(int(fields.split()[1]), signal.SIGKILL)  # its parent


def take_in(space, leader):
    """Take what the leader wrote to its volume, when nobody read its output any more."""
    uid = space.node.get(space.path("pods", leader.pod))["metadata"]["uid"]
    volumes = space.node.folder / "kubelet" / "pods" / uid / "volumes"
    # The container that was started in its place has a file of its own.
    files = (volumes / "kubernetes.io~empty-dir" / "log").iterdir()
    oldest = min(files, key=lambda file: float(file.stem))
    space.lives()
    known = leader.log.lines[-1].instant
    for line in map(str.split, oldest.read_text(encoding="utf-8").splitlines()):
        if float(line[0]) > known:
            leader.log.lines.append(Line(float(line[0]), line[1], " ".join(line[2:])))


def reported_ends(space, leader):
    """Return what the kubelet says of the end of a container, in one place or the other."""
    status = space.status(leader.pod, leader.container)
    states = (status.get("state") or {}, status.get("lastState") or {})
    return [x["terminated"] for x in states if "terminated" in x][:1]


def alive(pid):
    """Say whether a process lives, and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
