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
from contextlib import suppress
from pathlib import Path

import pytest

from kubernetes_leader_election.testing.belief_log import count_overlaps, read_log
from node.crashes import IN_FULL, NOTE, TOKEN, annotation, proof, proved, ready, start
from node.hurt import hide_state, parent
from node.workloads import WORKER

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

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
        said = proved(space, successor, killed)
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
    assert "was killed (out of memory)" in proved(space, successor, taken)
    assert space.overlaps() == 0


def test_leader_that_exits_without_a_word_is_followed_in_seconds(space, measured):
    """Fault 73: exit code 1 of a program that released nothing."""
    leader = start(space)
    began = time.monotonic()
    space.signal(leader, signal.SIGHUP)
    successor, gap = followed(space, leader, began)
    measured("exit code 1, nothing released, with proof", gap)
    assert gap < SOON
    assert "ended with exit code 1" in proved(space, successor, began)
    assert space.overlaps() == 0


def test_only_replica_leads_again_as_soon_as_it_is_back(space, measured):
    """Fault 73, restart in place: its own pod proves the end of its former self."""
    leader = start(space, replicas=1)
    killed = kill(space, leader)
    successor, gap = followed(space, leader, killed)
    measured("kill -9 of the only replica, with proof", gap)
    assert (successor.pod, successor.number) == (leader.pod, leader.number + 1)
    assert gap < SOON
    assert "was killed (SIGKILL)" in proved(space, successor, killed)
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


def logged(pod):
    """Give the program a volume for its log: standard output ends with the shim."""
    pod["volumes"] = [{"name": "log", "emptyDir": {}}]
    container = pod["containers"][0]
    container["volumeMounts"] = [{"name": "log", "mountPath": "/log"}]
    container["args"] = [*container["args"], "--log-folder=/log"]


def own_logs(space):
    """Return what every life wrote into its volume, by the name of the file."""
    volumes = space.node.folder / "kubelet" / "pods"
    uids = [pod["metadata"]["uid"] for pod in space.pods().values()]
    files = [file for uid in uids for file in volumes.glob(f"{uid}/volumes/*/log/*")]
    return {file.name: read_log(file) for file in files}


@pytest.mark.parametrize("runs_on", [False, True], ids=["killed too", "runs on"])
def test_report_after_the_shim_was_killed_proves_nothing(space, measured, runs_on):
    """
    Fault 74: exit code 255, with the note, of a process that may run on.

    runc, which is called to clean up, kills it; but not where its state is hidden. Then
    the kubelet takes the network of the pod down, and the leader works to its deadline.
    """
    leader = start(space, change=logged)
    nonce = annotation(space, NOTE).split(" ")[5]
    process, *_ = space.processes(leader)  # its first one
    if runs_on:
        hide_state(space, leader)
    killed = time.monotonic()
    os.kill(parent(process), signal.SIGKILL)
    try:
        reported = space.ended(leader)
        assert reported["exitCode"] == 255
        assert nonce in reported["message"].split("\n")
        successor = space.wait_leader(after=killed)
        assert Path(f"/proc/{process}").exists() is runs_on
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    logs = own_logs(space)
    (_, last), (first, _) = sorted(run for x in logs.values() for run in x.runs("work"))
    also = ", its process runs on" if runs_on else ""
    measured(f"the leader's shim killed{also}: no proof", first - last)
    assert (last - killed > 3) is runs_on
    assert first - killed > IN_FULL
    assert space.wait_noted("why", after=killed).detail == "expiry"
    assert not proof(space, successor, killed)
    assert count_overlaps(logs, "work")[0] == 0
