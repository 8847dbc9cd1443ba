"""A kubelet that reports the end of a leader which lives: what is withstood, and what not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubernetes_leader_election.pods import proof
from kubernetes_leader_election.pods.proof import Proven
from kubernetes_leader_election.testing.simulation import wire
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.world import World
from kubernetes_leader_election.values import replace as with_settings

LIES = 8
"""False reports in each world; of one process the first that is answered is the last."""


def run(seed, lie, *, cut=False, amount=0.0):
    """Run a world without other faults; tell what it broke, and who was asked."""
    plan = make_plan(seed, "quiet")
    nodes = tuple(
        replace(node, settings=with_settings(node.settings, crash_takeover=True))
        for node in plan.nodes
    )
    longest = plan.longest_duration
    faults = []
    for number in range(LIES):
        at = (2.0 + 0.37 * number) * longest
        if cut:
            length = 0.6 * longest
            before = Fault(
                at=at - 0.01, kind="cut", target="leader", length=length, detail="both"
            )
            faults.append(before)
        faults.append(
            Fault(
                at=at,
                kind=lie,
                target="leader",
                length=0.6 * longest,
                amount=amount * longest,
            )
        )
    until = 6.0 * longest
    plan = replace(
        plan,
        nodes=nodes,
        faults=tuple(faults),
        heal_at=until,
        probes=("crash", "quiet", "stop"),
        ends=until + 1000.0,
        leader_changes_needed=0,
    )
    world = World(plan)
    asked, ordered = [], world.checks.ordered

    def note(*order):
        made = ordered(*order)
        if made.asks and world.time < until:
            asked.append(made)
        return made

    world.checks.ordered = note
    return world.run().violations, asked


SEEDS = pytest.mark.parametrize("seed", range(5))


def test_leader_that_hears_answers_a_false_report():
    """Fault 74, G1: a report as of a killed process that lives costs nothing (rule 19)."""
    questions = 0
    for seed in range(8):
        violations, asked = run(seed, "false report")
        assert violations == ()
        questions += len(asked)
    assert questions >= 4, "of others a renewal comes before the question"


@SEEDS
def test_exit_code_that_no_process_has_is_not_believed(seed):
    """Fault 74, G1: what a lost shim leaves behind is no proof, whatever the leader hears."""
    violations, asked = run(seed, "shim killed", cut=True)
    assert violations == ()
    assert asked == []


@SEEDS
def test_false_report_of_a_leader_that_is_cut_off_is_what_is_left_over(seed):
    """G1 says so: this is the one thing in which a kubelet is trusted."""
    violations, asked = run(seed, "false report", cut=True)
    assert {violation.guarantee for violation in violations} & {"G1", "G2"}
    assert asked


MISTAKES = pytest.mark.parametrize(
    ("fault", "amount", "is_taken"),
    [
        ("force deleted", 0.6, lambda pod: "deletionTimestamp" in pod["metadata"]),
        ("node unreachable", 0.1, lambda pod: pod["status"].get("phase") == "Failed"),
        ("shim killed", 0.0, lambda pod: "'exitCode': 255" in str(pod["status"])),
    ],
)


@MISTAKES
def test_worlds_find_what_is_taken_for_a_proof_and_is_none(
    monkeypatch, fault, amount, is_taken
):
    """Faults 74 and 75, G1: a deletion, a phase, an exit code that no process has."""
    assert not any(run(seed, fault, cut=True, amount=amount)[0] for seed in range(3))

    def judge(pod, note):
        return Proven(why="a mistake") if is_taken(pod) else proof.judge_pod(pod, note)

    monkeypatch.setattr(wire, "judge_pod", judge)
    found = [run(seed, fault, cut=True, amount=amount)[0] for seed in range(3)]
    assert {v.guarantee for violations in found for v in violations} & {"G1", "G2"}
