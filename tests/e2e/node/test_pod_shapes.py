"""Other shapes than a Deployment's: jobs, stable names, shared processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from node.images import BILLING
from node.workloads import FORMS, WORKER, apply, deploy, manifests, pair, pod_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def apply_with_rights(space, kind, spec, *, group="batch/v1", name="billing"):
    """Apply an object, with the account and the rights that elections need."""
    body = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec}
    apply(space, [*manifests(space, "--rbac-only"), body])


def job_pod(space, *words):
    """Return the template of a pod that ends: `run` around the program of the tests."""
    pod = pod_of(manifests(space, "--", *WORKER, *words))
    del pod["topologySpreadConstraints"]
    del pod["containers"][0]["livenessProbe"], pod["containers"][0]["readinessProbe"]
    return {"spec": {**pod, "restartPolicy": "Never"}}


def test_pods_of_a_job_work_one_after_another(space):
    """Fault 68: three pods at once, each of which has to have worked: in turns."""
    counts = {"parallelism": 3, "completions": 3}
    apply_with_rights(
        space, "Job", {**counts, "template": job_pod(space, "--seconds=2")}
    )
    path = space.path("jobs", "billing")
    space.node.wait(
        lambda: space.node.get(path).get("status", {}).get("succeeded") == 3,
        "all three are through",
    )
    assert len(space.runs()) == 3
    assert space.overlaps() == 0


def test_cron_job_does_not_overlap_whatever_its_policy(space):
    """Fault 68: a schedule that starts the next one while the last still works."""
    template = {"spec": {"template": job_pod(space, "--seconds=75")}}
    spec = {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Allow",
        "jobTemplate": template,
    }
    apply_with_rights(space, "CronJob", spec)
    # One that somebody starts by hand, a moment before the clock starts another.
    space.kubectl("create", "job", "--from=cronjob/billing", "by-hand")
    first = space.wait_leader()
    space.node.wait(
        lambda: len(space.pods()) >= 2, "the clock has started one", within=150
    )
    space.wait_leader(after=first.runs[0][1], within=150)
    assert len(space.runs()) >= 2
    assert space.overlaps() == 0


def test_stable_name_comes_back_and_is_no_leader_by_it(space, measured):
    """
    Fault 60: the leader's pod is deleted by force, and made anew under its name.

    The API server lets go of it at once, while the old container may still work: the
    new one finds its own name in the record, and waits (rule 5).
    """
    documents = manifests(space)
    pod = pod_of(documents)
    pod["containers"][0]["env"].append({"name": "PRESET", "value": "fast"})
    pod["terminationGracePeriodSeconds"] = 5
    (template,) = (
        x["spec"]["template"] for x in documents if x["kind"] == "Deployment"
    )
    labels = template["metadata"]["labels"]
    spec = {
        "replicas": 2,
        "serviceName": "billing",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": template,
    }
    apply_with_rights(space, "StatefulSet", spec, group="apps/v1")
    assert space.wait_pods(2).keys() == {"billing-0", "billing-1"}
    leader = space.wait_leader()
    uid = space.pods()[leader.pod]["metadata"]["uid"]
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--grace-period=0", "--force")
    space.node.wait(
        lambda: (
            leader.pod in space.pods(ready=True)
            and space.pods()[leader.pod]["metadata"]["uid"] != uid
        ),
        f"{leader.pod} is there again",
    )
    space.wait_leader(after=deleted)
    measured(
        "a pod of a StatefulSet deleted by force (preset fast)", space.gap(deleted)
    )
    assert space.overlaps() == 0


@pytest.mark.parametrize("shared", ["shareProcessNamespace", "hostPID"])
@FORMS
def test_program_that_is_not_process_1_is_ended_as_well(
    make_space, measured, words, shared
):
    """Fault 69: with shared process ids, `run` still finds and ends all of its own."""
    level = "privileged" if shared == "hostPID" else "restricted"
    space = make_space(level=level)
    leader, _ = pair(space, *words, change=lambda pod: pod.update({shared: True}))
    processes = space.processes(leader)
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    space.wait_leader(after=deleted)
    form = ", under `run`" if words else ""
    measured(f"a pod with {shared} deleted{form}", space.gap(deleted))
    space.node.wait(lambda: not any(alive(pid) for pid in processes), "all have ended")
    assert space.overlaps() == 0


def alive(pid):
    """Say whether a process, as it is numbered outside, runs the tests' program."""
    try:
        return b"billing" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_termination_message_elsewhere_on_a_read_only_file_system(space):
    """Fault 69: nothing is written but where the pod has a volume."""

    def elsewhere(pod):
        container = pod["containers"][0]
        pod["volumes"] = [{"name": "tmp", "emptyDir": {}}]
        container["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
        container["terminationMessagePath"] = "/tmp/last-words"
        container["terminationMessagePolicy"] = "FallbackToLogsOnError"
        container["securityContext"]["readOnlyRootFilesystem"] = True

    failing = ("--", *WORKER, "--seconds", "1", "--exit", "3")
    deploy(space, *failing, change=elsewhere)
    space.node.wait(lambda: len(space.runs()) >= 2, "it has failed in both")
    pod = space.runs()[0][2].split("/")[0]

    def last():
        state = space.status(pod, "main")
        return (state.get("lastState") or {}).get("terminated") or state["state"].get(
            "terminated"
        )

    space.node.wait(last, "its end is told")
    found = last()
    assert found["exitCode"] == 3
    assert BILLING in space.status(pod, "main")["image"]
    assert "gave up leadership" in found["message"]
    assert space.overlaps() == 0
