"""How a program is tested under faults, moved clocks, and in simulated worlds."""

import pytest

from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import (
    ApplyThenDrop,
    ElectorClocks,
    Fault,
    LeaseServer,
    TcpProxy,
    simulation,
)


def elector(server: str) -> Elector:
    """Make an elector with a short rhythm: a leader trusts itself for 1.2 s."""
    return Elector(
        lease_name="my-program",
        server=server,
        renew_interval_ms=100,
        lease_duration_sec=2,
        auto_close=False,
    )


def test_lost_answer_costs_no_leadership(lease_server: LeaseServer) -> None:
    """The write was applied, its answer never came: the elector looks, and finds it."""
    lost = lease_server.faults.add(Fault(ApplyThenDrop(), verb="update"))
    with elector(lease_server.url) as mine:
        term = mine.wait_until_leading(timeout=30)
        assert lost.hits == 1
        assert term.fencing_token


def test_black_hole_ends_the_term_in_time(lease_server_proxy: TcpProxy) -> None:
    """Nothing answers and nothing is refused: the clock ends the term."""
    with elector(lease_server_proxy.url) as mine:
        term = mine.wait_until_leading(timeout=30)
        lease_server_proxy.black_hole()
        assert term.lost.wait(timeout=30)
        assert term.reason == "renew_deadline"
        lease_server_proxy.heal()
        assert mine.wait_until_leading(timeout=30).fencing_token


def test_suspended_laptop_does_not_lead(
    lease_server: LeaseServer, elector_clocks: ElectorClocks
) -> None:
    """The lid was closed for a minute: nobody leads when it opens."""
    with elector(lease_server.url) as mine:
        mine.wait_until_leading(timeout=30)
        elector_clocks.suspend(60)
        assert not mine.current_leader


@pytest.mark.parametrize("seed", range(5))
def test_settings_of_mine_survive_a_bad_day(seed: int) -> None:
    """Three replicas with my settings: frozen, cut off, and never two leaders."""
    plan = simulation.Plan(
        seed=seed,
        profile="default",
        nodes=tuple(
            simulation.NodePlan(
                name=name,
                settings=simulation.settings_for(name, duration=6, share=0.5),
            )
            for name in ("a", "b", "c")
        ),
        faults=(
            simulation.Fault(
                at=20.0, kind="freeze", target="leader", length=30.0, detail="stop"
            ),
            simulation.Fault(at=60.0, kind="outage", length=15.0, detail="503"),
        ),
        heal_at=90.0,
        probes=("crash", "stop"),
        ends=600.0,
    )
    outcome = simulation.run_plan(plan)
    assert not outcome.violations, simulation.explain(plan)
    assert outcome.tally.leader_changes >= 2
