"""
A leader that crashes in a pod is followed in seconds, where its end is proved.

The counterpart of the tests with the embedded API and a kubelet that is played: here a
real one reports. Each test asks that no two containers worked at once, by their own
logs. All use 15/10/2, where a crash without a proof takes 13 to 15 s.
"""

from __future__ import annotations

import signal
import time

import pytest

from node.crashes import TOKEN, annotation, ready, start
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


def proved(space, successor, since):
    """Wait until a leader says so, which may be after its work has begun."""
    space.node.wait(
        lambda: proof(space, successor, since), f"{successor.name} tells of a proof"
    )
    return proof(space, successor, since)


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
