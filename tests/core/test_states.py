"""The table of state changes, walked in full."""

from __future__ import annotations

import itertools

import pytest
from proofs.pictures import diagram_of_election

from kubernetes_leader_election.core import states
from kubernetes_leader_election.core.states import (
    HOLDING,
    IN_TERM,
    TABLE,
    Fact,
    Special,
    State,
    next_state,
)
from kubernetes_leader_election.errors import ProtocolMisuseError

PAIRS = list(itertools.product(State, Fact))
ENDS = {State.STOPPED, State.LOOKING, State.STANDING_BY}
"""Where the end of a term may lead."""


def targets(state):
    """Give every state that one fact can lead to."""
    found = set()
    for fact in Fact:
        target = TABLE.get((state, fact))
        if isinstance(target, Special):
            found |= ENDS
        elif target is not None:
            found.add(target)
    return found


def reachable_from(state):
    """Give every state that any facts can lead to."""
    seen, todo = {state}, [state]
    while todo:
        new = targets(todo.pop()) - seen
        seen |= new
        todo += new
    return seen


@pytest.mark.parametrize(
    ("state", "fact"), PAIRS, ids=[f"{s.value}, {f.value}" for s, f in PAIRS]
)
def test_table_names_or_refuses_each_pair(state, fact):
    """Each state meets each fact: by the table, or refused loudly."""
    if (state, fact) in TABLE:
        assert isinstance(
            next_state(state, fact, stopping=False, may_contend=True), State
        )
        return
    with pytest.raises(ProtocolMisuseError, match=f"{fact.value}.*{state.name}"):
        next_state(state, fact, stopping=False, may_contend=True)


def test_table_names_no_pair_twice():
    """A pair that changes the state is not also one that leaves it as it is."""
    stays = {(s, f) for s, facts in states._STAYS.items() for f in facts}
    assert not stays & set(states._CHANGES)
    assert set(TABLE) == stays | set(states._CHANGES)
    assert all(after is not s for (s, _), after in states._CHANGES.items())


def test_each_fact_is_met_somewhere():
    """There is no fact that no state knows."""
    assert {fact for _, fact in TABLE} == set(Fact)


def test_each_state_is_reachable():
    """Facts lead from the first state to every other one."""
    assert reachable_from(State.STOPPED) == set(State)


@pytest.mark.parametrize("state", State, ids=lambda s: s.value)
def test_stopped_is_reachable_from_each_state(state):
    """G8: a stop comes to its end wherever it begins."""
    assert State.STOPPED in reachable_from(state)


@pytest.mark.parametrize("state", State, ids=lambda s: s.value)
def test_stop_is_never_refused(state):
    """Fault 13: stop() may be asked at any time, and again."""
    assert (state, Fact.STOP_ASKED) in TABLE


@pytest.mark.parametrize("state", State, ids=lambda s: s.value)
@pytest.mark.parametrize(
    "fact", [Fact.ALIVE, Fact.NOT_ALIVE, Fact.DRIVER_FAILED], ids=lambda f: f.value
)
def test_what_comes_at_any_time_is_never_refused(state, fact):
    """Faults 07 and 08: a failing driver or a stuck application may be in any state."""
    assert (state, fact) in TABLE


def test_leader_is_entered_by_proof_alone():
    """G1: leadership comes from a write of this elector, and only so."""
    ways = [
        pair
        for pair, target in TABLE.items()
        if target is State.LEADER and pair[0] is not State.LEADER
    ]
    assert ways == [(State.ACQUIRING, Fact.ACQUIRE_PROVED)]


def test_no_way_leads_back_to_leader_within_a_term():
    """G4: a term never revives: out of LEADER goes to its end, or draining to it."""
    assert targets(State.LEADER) - {State.LEADER} == {State.DRAINING, State.FENCED}
    assert State.LEADER not in targets(State.DRAINING) | targets(State.FENCED)


def test_release_follows_the_end_of_the_work():
    """G5: RELEASING is entered when the work ended, or when none ever began."""
    ways = {
        pair
        for pair, target in TABLE.items()
        if target is State.RELEASING and pair[0] is not State.RELEASING
    }
    assert ways == {
        (State.DRAINING, Fact.WORK_ENDED),
        (State.WITHDRAWING, Fact.ACQUIRE_PROVED),
    }


def test_fenced_is_left_by_the_end_of_the_work_alone():
    """G4: no new term is sought while anything of the old one runs."""
    left = [
        fact
        for (state, fact), target in TABLE.items()
        if state is State.FENCED and target is not State.FENCED
    ]
    assert left == [Fact.WORK_ENDED]


@pytest.mark.parametrize(
    ("stopping", "may_contend", "expected"),
    [
        pytest.param(True, True, State.STOPPED, id="asked to stop"),
        pytest.param(True, False, State.STOPPED, id="asked to stop, out as well"),
        pytest.param(False, True, State.LOOKING, id="free to contend"),
        pytest.param(False, False, State.STANDING_BY, id="asked to stay out"),
    ],
)
def test_end_of_a_term_leads_where_it_was_asked_to(stopping, may_contend, expected):
    """After a term comes STOPPED, STANDING_BY, or LOOKING (G8)."""
    after = next_state(
        State.RELEASING, Fact.RELEASE_OVER, stopping=stopping, may_contend=may_contend
    )
    assert after is expected


def test_groups_of_states_are_those_of_a_term():
    """A term is led, drained or fenced; it is renewed while led or drained."""
    assert {State.LEADER, State.DRAINING} == HOLDING
    assert HOLDING | {State.FENCED} == IN_TERM


def test_diagram_shows_each_change_of_state_once():
    """The diagram of the documentation is drawn from the table."""
    lines = diagram_of_election().splitlines()
    assert lines[0] == "digraph election {"
    assert lines[-1] == "}"
    edges = [line for line in lines if "->" in line]
    assert len(edges) == len(set(edges))
    drawn = {
        tuple(part.strip(' "') for part in e.split("[")[0].split("->")) for e in edges
    }
    expected = {
        (state.value, target.value)
        for (state, _), target in TABLE.items()
        if target is not state
    }
    assert drawn == expected
    labels = sum(len(e.split('label="')[1].split(",")) for e in edges)
    assert labels == len(states._CHANGES)
