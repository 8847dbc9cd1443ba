"""The files of `deploy/`, which the README and the page about deploying show, applied."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from node.workloads import apply, manifests

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


def file(name):
    """Return the text of a file of `deploy/`."""
    return (DEPLOY / f"{name}.yaml").read_text(encoding="utf-8")


def account(space):
    """Make the account and its rights, for files that have none."""
    apply(space, manifests(space, "--rbac-only"))


def hand_over(space, measured, what):
    """Delete the leader's pod, and wait for the next one."""
    leader = space.wait_leader()
    deleted = time.monotonic()
    space.kubectl("delete", "pod", leader.pod, "--wait=false")
    assert space.wait_leader(after=deleted).pod != leader.pod
    measured(what, space.gap(deleted))
    assert space.overlaps() == 0


def test_files_of_the_readme_elect(make_space, measured):
    """Rights, Deployment and flow schema as they stand there, in their namespace."""
    space = make_space(name="default", level="baseline")
    for name in ("role", "deployment", "flow-schema"):
        space.node.must("apply", "-f", "-", text=file(name))
    space.wait_pods(2)
    hand_over(space, measured, "a pod deleted")
    leader = space.wait_leader()
    assert space.lease()["holderIdentity"] == leader.pod
    name = "billing-leader-election"
    schema = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/"
    assert space.node.get(schema + name)["spec"]["priorityLevelConfiguration"] == {
        "name": "leader-election"
    }
    space.node.must("delete", "flowschema", name)


def test_doctor_runs_as_a_job(space):
    """`kle doctor` finds nothing wrong with the rights of the account."""
    account(space)
    space.apply(file("doctor-job"))
    job = space.path("jobs", "billing-doctor")

    def over():
        status = space.node.get(job).get("status", {})
        return status.get("succeeded") or status.get("failed")

    space.node.wait(over, "the job is over")
    (life,) = space.lives()
    told = "\n".join(life.said)
    assert space.node.get(job)["status"].get("succeeded") == 1, told
    assert "PASS" in told


def test_side_car_tells_the_program_when_it_may_work(space, measured):
    """
    Fault 67: a side-car in the native form ends after the program that it serves.

    So the Lease is released only when nothing works any more, and then at once.
    """
    account(space)
    space.apply(file("side-car"))
    space.wait_pods(2)
    hand_over(space, measured, "a pod with a side-car deleted")


def test_kle_that_was_copied_into_a_volume_runs_the_command(space, measured):
    """One file that an init container copies is all that another image needs."""
    account(space)
    space.apply(file("copied-kle"))
    space.wait_pods(2)
    hand_over(space, measured, "a pod deleted, under a copied `kle run`")


def test_migration_runs_in_one_pod_at_a_time_and_before_the_program(space):
    """
    Fault 67: an init container that elects lets each pod migrate in its turn.

    Its Lease is another one than the program's: so a rollout does not wait for the
    leader, which waits for the rollout.
    """
    account(space)
    space.apply(file("migration"))
    space.wait_pods(2)
    space.wait_leader()
    began = time.monotonic()
    space.kubectl("rollout", "restart", "deployment/billing")
    space.kubectl("rollout", "status", "deployment/billing", "--timeout=180s")
    space.wait_leader(after=began)
    lives = space.lives()
    migrations = [life for life in lives if life.container == "migrate"]
    assert len(migrations) == 4
    assert all(life.noted("stopped") for life in migrations)
    migrated = {life.pod: life.log.lines[-1].instant for life in migrations}
    programs = [x for x in lives if x.container == "billing" and x.log.lines]
    assert programs
    assert all(x.log.lines[0].instant > migrated[x.pod] for x in programs)
    assert space.overlaps(container="migrate") == 0
    assert space.overlaps(container="billing") == 0
