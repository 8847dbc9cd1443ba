"""Fault rules as values: what they match, how often, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.faults import (
    Answer,
    ApplyLate,
    ApplyThenDrop,
    ApplyThenHang,
    CutWatch,
    Delay,
    DropBefore,
    Fault,
    FaultPlan,
    Hang,
    LagWatch,
    SilenceWatch,
    StaleRead,
    Throttle,
    parse_fault,
)
from kubernetes_leader_election.testing.rules import VERBS


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
        (Fault(DROP, path="/readyz"), Request(), False),
        (Fault(DROP, path="/readyz", verb="get"), Request(verb="get"), False),
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
    plan.add(Fault(DROP, times=None))
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


@pytest.mark.parametrize(
    "options",
    [
        {"share": 0},
        {"share": 1.5},
        {"share": float("nan")},
        {"times": 0},
        {"skip": -1},
        {"verb": "renew"},
        {"verb": ("get", "")},
        {"verb": ()},
    ],
    ids=repr,
)
def test_fault_refuses_options_that_cannot_act(options):
    """A rule that would never act is a mistake, and the message names the option."""
    with pytest.raises(ConfigurationError) as refused:
        Fault(DROP, **options)
    (option,) = options
    assert refused.value.option == option
    assert str(refused.value).startswith(f"{option}=")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("action", "option"),
    [
        (Answer(0), "status"),
        (Answer(101), "status"),
        (Answer(600), "status"),
        (Answer(-503), "status"),
        (Answer(503, retry_after=-1), "retry_after"),
        (Throttle(-1), "retry_after"),
        (Delay(-0.5), "seconds"),
        (Delay(float("nan")), "seconds"),
        (Hang(float("inf")), "seconds"),
        (ApplyThenHang(-1.0), "seconds"),
        (ApplyLate(float("-inf")), "seconds"),
        (LagWatch(-1.0), "seconds"),
        (CutWatch(-1), "after_events"),
        (SilenceWatch(-1), "after_events"),
        (StaleRead(-1), "versions"),
    ],
    ids=repr,
)
def test_fault_refuses_actions_that_cannot_be_carried_out(action, option):
    """A status that is none, a time or a number below nothing is a mistake."""
    with pytest.raises(ConfigurationError) as refused:
        Fault(action)
    assert refused.value.option == option
    assert str(refused.value).startswith(f"{option}=")


@pytest.mark.parametrize(
    ("action", "verb", "fitting"),
    [
        (CutWatch(), "update", "it is for watch"),
        (LagWatch(1.0), ("get", "list"), "it is for watch"),
        (StaleRead(), "watch", "it is for get, list"),
    ],
    ids=repr,
)
def test_fault_refuses_verbs_it_never_acts_on(action, verb, fitting):
    """A fault of watches on a write would never act, and says what it is for."""
    with pytest.raises(ConfigurationError) as refused:
        Fault(action, verb=verb)
    assert str(refused.value).endswith(fitting)


def test_fault_takes_the_ends_of_what_fits():
    """The first and last status, no time at all, and each verb there is."""
    for status in (200, 599):
        assert Fault(Answer(status, retry_after=0)).times == 1
    assert Fault(Delay(0.0), skip=0, verb=VERBS).matches(Request())
    assert Fault(CutWatch(0), verb=("watch", "list")).matches(Request(verb="watch"))


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
        ("answer status=403 message='it''s so'", Fault(Answer(403, message="its so"))),
    ],
)
def test_faults_are_read_from_words(text, expected):
    """A command line can say any rule."""
    assert parse_fault(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bogus",
        "delay",
        "delay seconds=x",
        "delay bogus=1",
        "drop-before verb",
        "answer '",
    ],
)
def test_unreadable_words_are_refused(text):
    """The message says what is known."""
    with pytest.raises(ConfigurationError) as refused:
        parse_fault(text)
    assert refused.value.option == "fault"


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("answer status=99", "status"),
        ("hang seconds=nan", "seconds"),
        ("apply-late seconds=-1", "seconds"),
        ("cut-watch after-events=-1", "after_events"),
        ("stale-read versions=-2", "versions"),
        ("drop-before skip=-1", "skip"),
        ("drop-before verb=renew", "verb"),
        ("drop-before verb=get,", "verb"),
    ],
)
def test_words_that_cannot_work_are_refused(text, option):
    """A command line is judged as a rule is."""
    with pytest.raises(ConfigurationError) as refused:
        parse_fault(text)
    assert refused.value.option == option
