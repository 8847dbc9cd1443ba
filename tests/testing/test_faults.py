"""Fault rules as values: what they match, how often, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.faults import (
    Answer,
    ApplyLate,
    ApplyThenDrop,
    CutWatch,
    Delay,
    DropBefore,
    Fault,
    FaultPlan,
    Hang,
    StaleRead,
    Throttle,
    every,
    parse_fault,
)


@dataclass(frozen=True)
class Request:
    """Facts of a request."""

    verb: str = "update"
    name: str = "p"
    namespace: str = "default"
    user: str = "a"
    user_agent: str = "elector/1.0"
    path: str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/p"


DROP = DropBefore()


@pytest.mark.parametrize(
    ("fault", "request_", "matches"),
    [
        (Fault(DROP), Request(), True),
        (Fault(DROP), Request(path="/readyz"), False),
        (Fault(DROP, path="/readyz"), Request(path="/readyz"), True),
        (Fault(DROP, verb="update"), Request(), True),
        (Fault(DROP, verb="get"), Request(), False),
        (Fault(DROP, verb=("get", "update")), Request(), True),
        (Fault(DROP, name="q"), Request(), False),
        (Fault(DROP, namespace="other"), Request(), False),
        (Fault(DROP, user="a"), Request(), True),
        (Fault(DROP, user="b"), Request(), False),
        (Fault(DROP, user_agent="elector"), Request(), True),
        (Fault(DROP, user_agent="kubectl"), Request(), False),
        (Fault(CutWatch()), Request(), False),
        (Fault(CutWatch()), Request(verb="watch"), True),
        (Fault(StaleRead()), Request(), False),
        (Fault(StaleRead()), Request(verb="get"), True),
    ],
)
def test_fault_matches(fault, request_, matches):
    """A rule is about the requests with all its properties, and no others."""
    assert fault.matches(request_) is matches


def test_plan_uses_a_fault_up():
    """A rule acts as often as it may, and is gone."""
    plan = FaultPlan()
    active = plan.add(Fault(DROP, times=2))
    assert [plan.pick(Request()) for _ in range(3)] == [DROP, DROP, None]
    assert (active.hits, active.used_up, len(plan)) == (2, True, 0)


def test_plan_lets_some_pass_first():
    """``skip`` lets so many matching requests pass."""
    plan = FaultPlan()
    plan.add(Fault(DROP, skip=2))
    assert [plan.pick(Request()) for _ in range(4)] == [None, None, DROP, None]


def test_plan_acts_for_ever():
    """``times=None`` is never used up."""
    plan = FaultPlan()
    plan.add(every(Fault(DROP)))
    assert [plan.pick(Request()) for _ in range(50)] == [DROP] * 50


def test_plan_acts_on_a_share():
    """A share of the requests is hit, and a seed repeats which."""
    picks = []
    for _ in range(2):
        plan = FaultPlan(seed=7)
        plan.add(Fault(DROP, share=0.3, times=None))
        picks.append([plan.pick(Request()) for _ in range(1000)])
    assert picks[0] == picks[1]
    assert 200 < picks[0].count(DROP) < 400


def test_plan_takes_the_first_rule_that_acts():
    """Rules are asked in the order they were added."""
    plan = FaultPlan()
    plan.add(Fault(Delay(1.0), verb="get"))
    plan.add(Fault(DROP))
    plan.add(Fault(Hang()))
    assert plan.pick(Request()) == DROP
    assert plan.pick(Request()) == Hang()


def test_plan_takes_rules_back():
    """Removing twice is no error, and clearing empties the plan."""
    plan = FaultPlan()
    active = plan.add(Fault(DROP))
    plan.remove(active)
    plan.remove(active)
    assert plan.pick(Request()) is None
    plan.add(Fault(DROP))
    plan.clear()
    assert list(plan) == []


@pytest.mark.parametrize("options", [{"share": 0}, {"share": 1.5}, {"times": 0}])
def test_fault_refuses_options_that_cannot_act(options):
    """A rule that would never act is a mistake."""
    with pytest.raises(ConfigurationError):
        Fault(DROP, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drop-before", Fault(DROP)),
        ("delay seconds=0.5 times=every", Fault(Delay(0.5), times=None)),
        ("throttle retry_after=3", Fault(Throttle(3))),
        (
            "apply-then-drop verb=update,patch name=p times=3",
            Fault(ApplyThenDrop(), verb=("update", "patch"), name="p", times=3),
        ),
        (
            "answer status=503 reason=ServiceUnavailable user=a share=0.5",
            Fault(Answer(503, "ServiceUnavailable"), user="a", share=0.5),
        ),
        ("apply-late seconds=2 skip=1", Fault(ApplyLate(2.0), skip=1)),
        ("hang user-agent=kubectl", Fault(Hang(), user_agent="kubectl")),
    ],
)
def test_faults_are_read_from_words(text, expected):
    """A command line can say any rule."""
    assert parse_fault(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "bogus", "delay", "delay seconds=x", "delay bogus=1", "drop-before verb"],
)
def test_unreadable_words_are_refused(text):
    """The message says what is known."""
    with pytest.raises(ConfigurationError) as refused:
        parse_fault(text)
    assert refused.value.option == "fault"
