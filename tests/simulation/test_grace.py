"""Planned stops that take long, in virtual time: the network goes while work drains."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.testing.simulation.drawn_nodes import settings_for
from kubernetes_leader_election.testing.simulation.plan import Fault, NodePlan, Plan
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import run_plan

GRACE = 100.0
STOPS = 25.0
RATES = pytest.mark.parametrize(
    "rates", [(1.0, 1.0), (0.95, 1.05), (1.05, 0.95)], ids=["right", "slow", "fast"]
)


def play(rates, *faults):
    """Let a leader stop whose work takes long; give how that went, and who worked when."""
    nodes = tuple(
        NodePlan(
            name=name,
            settings=settings_for(name, duration=20, share=0.5),
            rate=rate,
            starts=index * 2.0,
            grace=GRACE,
        )
        for index, (name, rate) in enumerate(zip("ab", rates, strict=True))
    )
    stop = Fault(at=STOPS, kind="stop and start", target="a", length=150.0)
    plan = Plan(
        seed=3,
        profile="default",
        nodes=nodes,
        faults=(stop, *faults),
        heal_at=200.0,
        ends=220.0,
    )
    recorder = Recorder()
    outcome = run_plan(plan, recorder=recorder)
    works = [(span.who, span.begin, span.end) for span in recorder.works]
    return outcome, works, nodes[0].settings


@RATES
def test_work_has_its_grace_while_the_lease_is_renewed(rates):
    """G5: nobody else works before it has ended, however long that takes."""
    outcome, works, _ = play(rates)
    assert not outcome.violations
    (first, _, ended), (second, began, _), *_ = works
    assert (first, second) == ("a", "b")
    assert ended == pytest.approx(STOPS + GRACE)
    assert ended < began < ended + 0.1


GONE = Fault(at=STOPS + 3.0, kind="cut", target="a", length=170.0, detail="both")


@RATES
def test_network_that_goes_in_a_planned_stop_leaves_the_stop_budget(rates):
    """G2: the work has ended a stop budget after the deadline, and before another's."""
    outcome, works, settings = play(rates, GONE)
    assert not outcome.violations
    (first, _, ended), (second, began, _), *_ = works
    assert (first, second) == ("a", "b")
    latest = (settings.renew_deadline + settings.stop_budget) / rates[0]
    assert GONE.at < ended < GONE.at + latest
    assert ended < began < STOPS + GRACE


def test_checkers_see_work_that_has_its_grace_though_the_lease_is_lost(monkeypatch):
    """G2: what the world above would tell of a front that only looks at the grace."""

    def in_grace(self, at):
        self.world.at(at[1], self._work_over, at[0])

    monkeypatch.setattr(Process, "_in_grace", in_grace)
    outcome, *_ = play((1.0, 1.0), GONE)
    assert "G2" in {violation.guarantee for violation in outcome.violations}
