"""
How a kubelet and a kernel end containers, and who leads then.

Each test asks that no two containers worked at once, by their own logs, and writes
down how long nobody did.
"""

from __future__ import annotations

import signal
import time

import pytest

from node.workloads import FORMS, WORKER, deploy, pair

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

RUN = ("--", *WORKER)


def limited(pod):
    """Give a pod 64 MiB."""
    pod["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}


def test_leader_that_the_kernel_kills_for_memory_is_followed(space, measured):
    """Fault 59: over its memory limit, the leader dies without a word: G6."""
    leader, _ = pair(space, preset="fast", change=limited)
    space.signal(leader, signal.SIGUSR1)
    taken = space.wait_noted("memory").instant
    space.wait_leader(after=taken)
    measured("out of memory (preset fast)", space.gap(taken))
    assert space.ended(leader)["reason"] == "OOMKilled"
    assert space.overlaps() == 0


def test_command_that_the_kernel_kills_for_memory_is_followed_at_once(space, measured):
    """
    Fault 59: where the kernel kills the command alone, `run` is left to release.

    With the second version of control groups the kubelet has all processes of the
    container killed together: then the Lease runs out, as without `run`.
    """
    leader, _ = pair(space, *RUN, preset="fast", change=limited)
    space.signal(leader, signal.SIGUSR1, named=WORKER[2])
    taken = space.wait_noted("memory").instant
    space.wait_leader(after=taken)
    measured("the command out of memory, under `run` (preset fast)", space.gap(taken))
    assert space.ended(leader)["exitCode"] == 137
    assert space.overlaps() == 0


@FORMS
def test_killed_container_comes_back_and_does_not_lead_by_its_name(
    space, measured, words
):
    """
    Fault 60: PID 1 is killed with -9; the kubelet starts it anew under the same name.

    Whether it or the other pod leads next, the record is waited for in full (rule 5),
    where no proof of its end is asked for: the name alone is none.
    """
    leader, _ = pair(space, "--no-crash-takeover", *words, preset="fast")
    killed = time.monotonic()
    space.signal(leader, signal.SIGKILL)
    assert space.ended(leader)["exitCode"] == 137
    space.wait_leader(after=killed)
    form = ", under `run`" if words else ""
    measured(f"kill -9 of the container{form} (preset fast)", space.gap(killed))
    assert space.overlaps() == 0
    # The last renewal was a second old at the most, and is waited for.
    assert space.gap(killed) > 3


def test_command_that_fails_again_and_again_moves_from_pod_to_pod(space, measured):
    """Fault 61: exit code 1; `run` releases before the kubelet's growing pauses."""
    failing = ("--", *WORKER, "--seconds", "1.5", "--exit", "1")
    deploy(space, *failing)
    space.node.wait(
        lambda: len(space.runs()) >= 4, "the command has failed in both pods, twice"
    )
    runs = space.runs()
    assert len({name.split("/")[0] for _, _, name in runs[:2]}) == 2  # by turns
    measured("the command fails, under `run`", runs[1][0] - runs[0][1])
    pod = runs[0][2].split("/")[0]
    status = space.status(pod, "main")
    assert status["restartCount"] >= 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert space.overlaps() == 0


def test_work_that_outlives_the_grace_period_is_killed_and_waited_for(space, measured):
    """Fault 62: SIGTERM, too short a time, SIGKILL: the Lease is not released."""

    def hasty(pod):
        pod["terminationGracePeriodSeconds"] = 1

    leader, _ = pair(space, *RUN, "--slow-stop=60", preset="fast", change=hasty)
    space.kubectl("delete", "pod", leader.pod)
    killed = time.monotonic()
    assert len(leader.runs) == 1  # it worked until it was killed
    space.wait_leader(after=killed)
    measured("grace period too short, under `run` (preset fast)", space.gap(killed))
    assert not leader.noted("stopped")
    assert space.gap(killed) > 1  # not followed at once: nobody released
    assert space.overlaps() == 0


def test_leader_works_until_its_pre_stop_hook_is_over(space, measured):
    """Fault 63: SIGTERM comes after the hook; until then the pod leads, then at once."""

    def hooked(pod):
        hook = {"exec": {"command": ["sleep", "3"]}}
        pod["containers"][0]["lifecycle"] = {"preStop": hook}

    leader, _ = pair(space, change=hooked)
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    space.wait_leader(after=deleted)
    assert leader.runs[-1][1] - deleted > 2.5
    space.wait_noted("lost", pod=leader.pod)
    assert [x.detail for x in leader.noted("lost")] == ["stopped"]
    measured("a pod with a preStop hook deleted", space.gap(deleted))
    assert space.overlaps() == 0
