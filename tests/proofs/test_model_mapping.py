"""The formal model has an action for each change of state that the code can make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubernetes_leader_election.core.states import TABLE, Fact, State

S, F = State, Fact
MODEL = (
    Path(__file__).resolve().parents[2] / "proofs" / "LeaderElection.tla"
).read_text(encoding="utf-8")

ACTIONS = {
    F.START_ASKED: "StartAsked",
    F.STOP_ASKED: "StopAsked",
    F.STEP_DOWN_ASKED: "StepDownAsked",
    # A stuck application gives up as one that steps down; the Lease sees no difference.
    F.NOT_ALIVE: "StepDownAsked",
    F.END_ASKED: "EndAsked",
    F.WORK_ENDED: "WorkEnded",
    F.DRIVER_FAILED: "DriverFailed",
    F.HELD: "Observe",
    F.FREE: "Observe",
    F.EXPIRED: "Observe",
    F.END_PROVED: "EndProved",
    F.UNANSWERED: "Unanswered",
    F.MAY_CONTEND: "MayContend",
    F.DELAY_OVER: "DelayOver",
    F.ACQUIRE_PROVED: "AcquireProved",
    F.WITHDRAWN: "Withdrawn",
    F.LOST: "LossSeen",
    F.DEADLINE_PASSED: "DeadlinePassed",
    F.RELEASE_OVER: "ReleaseOver",
}
"""The action of the model in which a fact changes the state."""

SPECIAL = {
    (S.WAITING, F.EXPIRED): "Expired",
    (S.WITHDRAWING, F.ACQUIRE_PROVED): "WithdrawProved",
    (S.ACQUIRING, F.FREE): "AsBefore",
}
"""Changes that have an action of their own, beside that of their fact."""

CHANGES = [pair for pair, target in TABLE.items() if target is not pair[0]]


def definition(name):
    """Give the text of one definition of the model."""
    found = re.search(
        rf"^{name}(?:\([^)]*\))? ==.*?(?=^\S|\Z)", MODEL, re.MULTILINE | re.DOTALL
    )
    return found[0] if found else ""


def steps():
    """Give the names of all definitions that a step of a candidate may use."""
    seen, todo = set(), ["Steps"]
    while todo:
        new = set(re.findall(r"\b[A-Z]\w+", definition(todo.pop()))) - seen
        seen |= new
        todo += new
    return seen


@pytest.mark.parametrize(
    ("state", "fact"), CHANGES, ids=[f"{s.value}, {f.value}" for s, f in CHANGES]
)
def test_model_has_an_action_for_each_change(state, fact):
    """A change of state that the table names is a step of the model."""
    action = SPECIAL.get((state, fact)) or ACTIONS.get(fact)
    assert action, f"{fact} changes {state}: the model has no action for it"
    assert definition(action), f"the model defines no {action}"
    assert action in steps(), f"{action} is in no step of a candidate"


def test_mapping_names_no_change_that_is_gone():
    """A fact or a pair that the table has no more is stale here, and fails."""
    assert set(SPECIAL) <= set(CHANGES)
    assert set(ACTIONS) == {fact for _, fact in CHANGES}


def test_model_knows_the_same_states():
    """The states of the model are those of the code, by the same names."""
    assert set(re.findall(r'"([^"]+)"', definition("States"))) == {
        state.value for state in State
    }


def test_definition_of_nothing_is_empty():
    """The search finds what is there and nothing else."""
    assert definition("NoSuchAction") == ""
    assert "Send" in steps()
    assert "Fairness" not in steps()
