"""How a program is tested behind a proxy that lies."""

import random
import time

from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import (
    LeaseServer,
    Mutate,
    MutatingProxy,
    Mutation,
)


def elector(server: str, name: str) -> Elector:
    """Make an elector with a short rhythm: a leader trusts itself for 1.2 s."""
    return Elector(
        lease_name="my-program",
        identity=name,
        server=server,
        renew_interval_ms=100,
        lease_duration_sec=2,
        auto_close=False,
    )


def test_write_that_was_applied_and_refused_costs_no_leadership(
    lease_server: LeaseServer,
) -> None:
    """The server did it and says 500: the elector looks, and finds what it wrote."""
    with MutatingProxy(lease_server.url) as proxy:
        proxy.add(Mutate(Mutation.FAIL_AFTER_APPLY, verb="update", status=500))
        with elector(proxy.url, "a") as mine:
            assert mine.wait_until_leading(timeout=30).fencing_token
            assert [done.mutation for done in proxy.log] == ["fail-after-apply"]


def test_two_replicas_never_lead_both_whatever_they_are_told(
    lease_server: LeaseServer,
) -> None:
    """One request or event in five is mutated, each replica in a lane of its own."""
    chance = random.Random(7)  # noqa: S311 - not a secret
    with MutatingProxy(lease_server.url, chance=chance) as proxy:
        proxy.add(Mutate(Mutation.STALE_READ, lane="b", share=0.5, times=None))
        proxy.at_random(0.2, hold=(0.05, 1.0))
        with (
            elector(proxy.lane("a").url, "a") as a,
            elector(proxy.lane("b").url, "b") as b,
        ):
            a.wait_for_leader(timeout=30)
            for _ in range(300):
                # Asked a, b, a: a that led before and after b was asked led with it.
                before, other = a.current_leader, b.current_leader
                assert not (before and other and a.current_leader)
                time.sleep(0.01)
            proxy.clear()
